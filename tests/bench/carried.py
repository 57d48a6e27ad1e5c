"""What carrying λ from one setting to another costs: curves, the rules, and their regret. Pure numbers.

Legend: D total decay of a run, Σηλ × gain; a curve's losses are (λ, seed); ratios are target over source.
"""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline

MARGIN = 0.02  # nats of validation loss
RULES = {  # D at the target from D at the source; λ is D over the target's D at λ = 1
    "λ unchanged": lambda total, change: total * change["unit"],
    "constant D": lambda total, change: total,
    "constant τ": lambda total, change: total * change["epochs"],
}
POWER = "power law"
EXPONENTS = ("images", "epochs", "batch", "lr", "parameters")


@dataclass(frozen=True)
class Curve:
    """Validation losses (λ, seed) over λ = 0 and a rising grid; `unit` is D at λ = 1."""

    lams: np.ndarray
    losses: np.ndarray
    unit: float
    mean: np.ndarray = field(init=False)

    def __post_init__(self):
        order = np.argsort(self.lams)
        for name, value in {"lams": self.lams[order], "losses": self.losses[order]}.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "mean", self.losses.mean(axis=1))

    @property
    def spline(self):
        """Mean loss over log10 λ as far as it is finite, and the ends of that."""
        fine = np.isfinite(self.mean) & (self.lams > 0)
        x = np.log10(self.lams[fine])
        return CubicSpline(x, self.mean[fine]), x[0], x[-1]

    def loss(self, lam):
        """Mean loss at λ, between cells by a cubic spline; at least that of the grid's end beyond it."""
        spline, first, last = self.spline
        return float(spline(np.clip(math.log10(lam), first, last)))

    @property
    def lowest(self):
        """The lowest mean loss of the curve, cells and what lies between them."""
        spline, first, last = self.spline
        return min(float(spline(np.linspace(first, last, 2001)).min()), float(np.nanmin(self.mean)))

    @property
    def open(self):
        """Whether losses still fall at the grid's end, so that the best λ lies beyond it."""
        fine = np.where(np.isfinite(self.mean), self.mean, np.inf)
        return int(fine.argmin()) == len(fine) - 1

    @property
    def best(self):
        """D of the best λ: where the parabola through five cells about the lowest has its vertex, at most a cell off.

        None where λ = 0 or an end of the grid is the lowest.
        """
        mean = np.where(np.isfinite(self.mean), self.mean, np.inf)
        at = int(mean.argmin())
        if self.lams[at] == 0 or at == len(mean) - 1 or self.lams[at - 1] == 0:
            return None
        x = np.log10(self.lams[self.lams > 0])
        at -= len(self.lams) - len(x)
        near = slice(max(0, at - 2), at + 3)
        y = mean[-len(x) :][near]
        near_x = x[near][np.isfinite(y)]
        a, b, _ = np.polyfit(near_x, y[np.isfinite(y)], 2) if len(near_x) > 2 else (0.0, 0.0, 0.0)
        found = np.clip(-b / (2 * a), x[at - 1], x[at + 1]) if a > 0 else x[at]
        return float(10**found) * self.unit


@dataclass(frozen=True)
class Transfer:
    """From `source` to `target`, keys of curves; `change` has the ratios of EXPONENTS and of `unit`.

    `kind` says in words what changes, `share` what the source's curve costs of the target's.
    """

    source: str
    target: str
    kind: str
    change: dict
    share: float = 1.0


def predicted(transfers, curves):
    """Of each transfer by number, D at the target by each rule, from the source's curve alone; {} where it has none."""
    totals = [curves[t.source].best if t.source in curves else None for t in transfers]
    return [
        {rule: law(total, t.change) for rule, law in RULES.items()} if total else {}
        for total, t in zip(totals, transfers, strict=True)
    ]


class Law(NamedTuple):
    """Exponents of D_target/D_source and their standard errors, inf where what is there does not tell.

    `spread` is the deviation of log10 D about the law, `n` the transfers it was fitted to.
    """

    exponents: np.ndarray
    errors: np.ndarray
    spread: float
    n: int


def fitted(transfers, curves):
    """The power law of these transfers, by least squares, of those whose two best are known."""
    pairs = [(t, curves[t.source].best, curves[t.target].best) for t in transfers if {t.source, t.target} <= {*curves}]
    pairs = [(t, one, other) for t, one, other in pairs if one and other]
    if not pairs:
        return Law(np.zeros(len(EXPONENTS)), np.full(len(EXPONENTS), math.inf), math.nan, 0)
    x = np.array([[math.log10(t.change[name]) for name in EXPONENTS] for t, *_ in pairs])
    y = np.array([math.log10(other / one) for _, one, other in pairs])
    inverse = np.linalg.pinv(x)
    found, known = inverse @ y, np.isclose(np.diag(inverse @ x), 1)
    free = len(y) - np.linalg.matrix_rank(x)
    spread = math.sqrt(((y - x @ found) ** 2).sum() / free) if free > 0 else math.nan
    return Law(found, np.where(known, spread * np.linalg.norm(inverse, axis=1), math.inf), spread, len(pairs))


def by_power_law(transfer, transfers, curves):
    """D at the target by the power law of those transfers that do not touch this target."""
    law = fitted([t for t in transfers if transfer.target not in (t.source, t.target)], curves)
    powers = (transfer.change[name] ** b for name, b in zip(EXPONENTS, law.exponents, strict=True))
    return curves[transfer.source].best * math.prod(powers)


def wilson(hits, n, z=1.959964):
    """Wilson's 95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    middle, half = hits + z * z / 2, z * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return max(0.0, (middle - half) / (n + z * z)), min(1.0, (middle + half) / (n + z * z))


@dataclass(frozen=True)
class Outcome:
    """A prediction at its target: `off` is log10 of it over the best there (nan where the curve has none)."""

    rule: str
    transfer: Transfer
    total: float
    regret: float
    off: float


def outcomes(transfers, curves, predictions):
    """All rules' outcomes, the power law's among them, but at open targets; `predictions` as of `predicted`."""
    found = []
    for transfer, totals in zip(transfers, predictions, strict=True):
        if not totals or transfer.target not in curves or curves[transfer.target].open:
            continue
        target = curves[transfer.target]
        for rule, total in {**totals, POWER: by_power_law(transfer, transfers, curves)}.items():
            regret = target.loss(total / target.unit) - target.lowest
            off = math.log10(total / target.best) if target.best else math.nan
            found.append(Outcome(rule, transfer, total, regret, off))
    return found


def summary(found):
    """Cells of outcomes by one rule: n, hits, Wilson's interval of their share, regrets, bias and scatter."""
    regrets, off = np.array([one.regret for one in found]), np.array([one.off for one in found])
    hits, n = int((regrets <= MARGIN).sum()), len(found)
    low, high = wilson(hits, n)
    off = off[np.isfinite(off)]
    scatter = f"{off.mean():+.2f} ± {off.std(ddof=1):.2f}" if len(off) > 1 else ""
    middle, worst = (np.median(regrets), regrets.max()) if n else (math.nan, math.nan)
    return f"{n} | {hits} | {hits / max(1, n):.0%} ({low:.0%} to {high:.0%}) | {middle:.3f} | {worst:.3f} | {scatter}"


def told(transfers, curves, predictions):
    """The lines of the tables: rules, what changes, the cheap ones, each transfer, the exponents."""
    found = outcomes(transfers, curves, predictions)
    rules = [*RULES, POWER]
    of = {rule: [one for one in found if one.rule == rule] for rule in rules}
    yield from table("rule", "n | within the margin | share (95 %) | regret, median | worst | log10 of λ over the best")
    for rule in rules:
        yield f"| {rule} | {summary(of[rule])} |"
    yield "\nat most 10 % of the target's cost:"
    for rule in rules:
        yield f"| {rule} | {summary([one for one in of[rule] if one.transfer.share <= 0.1])} |"
    yield ""
    for number, (transfer, totals) in enumerate(zip(transfers, predictions, strict=True), start=1):
        if transfer.target in curves and curves[transfer.target].open:
            yield f"{number} is not counted: the best lies beyond the curve of {transfer.target}"
        elif not totals:
            yield f"{number} has no prediction: λ = 0 or an end of the curve is the best of {transfer.source}"
    yield ""
    yield from table("what changes", "n | " + " | ".join(f"{rule}: within, off" for rule in rules))
    for kind in dict.fromkeys(t.kind for t in transfers):
        cells = [[one for one in of[rule] if one.transfer.kind == kind] for rule in rules]
        hits = [sum(one.regret <= MARGIN for one in cell) for cell in cells]
        off = [[one.off for one in cell if math.isfinite(one.off)] for cell in cells]
        words = [f"{n}, {np.mean(of):+.2f}" if of else f"{n}" for n, of in zip(hits, off, strict=True)]
        yield f"| {kind} | {len(cells[0])} | {' | '.join(words)} |"
    yield ""
    yield from table("transfer", "best D there | here | " + " | ".join(f"{rule}: off, regret" for rule in rules))
    for number, transfer in enumerate(transfers, start=1):
        mine = {one.rule: one for one in found if one.transfer is transfer}
        if mine:
            ends = (curves[transfer.source].best, curves[transfer.target].best)
            cells = [f"{mine[rule].off:+.2f}, {mine[rule].regret:.3f}" for rule in rules]
            best = " | ".join("" if total is None else f"{total:.2f}" for total in ends)
            yield f"| {number}. {transfer.source}: {transfer.kind} | {best} | {' | '.join(cells)} |"
    yield ""
    yield from table("exponents of D", " | ".join(EXPONENTS) + " | scatter of log10 D | n")
    for family in ("", *dict.fromkeys("-".join(t.source.split("-")[:2]) for t in transfers)):
        law = fitted([t for t in transfers if t.source.startswith(family)], curves)
        pairs = zip(law.exponents, law.errors, strict=True)
        words = [f"{b:.2f} ± {e:.2f}" if math.isfinite(e) else "" for b, e in pairs]
        yield f"| {family or 'all'} | {' | '.join(words)} | {law.spread:.2f} | {law.n} |"


def table(first, others):
    yield f"| {first} | {others} |"
    yield "|---" * (others.count("|") + 2) + "|"
