"""What carrying λ from one setting to another costs: curves, the rules, and their regret. Pure numbers.

Legend: D total decay of a run, Σηλ × gain; a curve's losses are (λ, seed); ratios are target over source.
"""

import math
from dataclasses import dataclass, field

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
        """Mean loss at λ, between cells by a cubic spline; beyond the grid that of its end, where losses rise on."""
        spline, first, last = self.spline
        return float(spline(np.clip(math.log10(lam), first, last)))

    @property
    def lowest(self):
        """The lowest mean loss of the curve, cells and what lies between them."""
        spline, first, last = self.spline
        return min(float(spline(np.linspace(first, last, 2001)).min()), float(np.nanmin(self.mean)))

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
    """From `source` to `target`, keys of curves; `change` has the ratios of EXPONENTS and of `unit`."""

    source: str
    target: str
    change: dict


def predicted(transfers, curves):
    """Of each transfer by number, D at the target by each rule, from the source's curve alone; {} where it has none."""
    totals = [curves[t.source].best if t.source in curves else None for t in transfers]
    return [
        {rule: law(total, t.change) for rule, law in RULES.items()} if total else {}
        for total, t in zip(totals, transfers, strict=True)
    ]


def fitted(transfers, curves):
    """Exponents of D_target/D_source in the ratios, their standard errors, and the residuals' deviation in log10."""
    pairs = [(t, curves[t.source].best, curves[t.target].best) for t in transfers if {t.source, t.target} <= {*curves}]
    pairs = [(t, one, other) for t, one, other in pairs if one and other]
    if not pairs:
        return np.zeros(len(EXPONENTS)), np.full(len(EXPONENTS), math.nan), math.nan
    x = np.array([[math.log10(t.change[name]) for name in EXPONENTS] for t, *_ in pairs])
    y = np.array([math.log10(other / one) for _, one, other in pairs])
    found = np.linalg.lstsq(x, y, rcond=None)[0]
    free = len(y) - np.linalg.matrix_rank(x)
    spread = math.sqrt(((y - x @ found) ** 2).sum() / free) if free > 0 else math.nan
    errors = spread * np.sqrt(np.diag(np.linalg.pinv(x.T @ x)))
    return found, errors, spread


def by_power_law(transfer, transfers, curves):
    """D at the target by the power law of those transfers that do not touch this target."""
    total = curves[transfer.source].best
    exponents, *_ = fitted([t for t in transfers if transfer.target not in (t.source, t.target)], curves)
    return total * math.prod(transfer.change[name] ** b for name, b in zip(EXPONENTS, exponents, strict=True))


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
    """All rules' outcomes, the power law's among them; `predictions` as of `predicted`."""
    found = []
    for transfer, totals in zip(transfers, predictions, strict=True):
        if not totals or transfer.target not in curves:
            continue
        target = curves[transfer.target]
        for rule, total in {**totals, POWER: by_power_law(transfer, transfers, curves)}.items():
            regret = target.loss(total / target.unit) - target.lowest
            off = math.log10(total / target.best) if target.best else math.nan
            found.append(Outcome(rule, transfer, total, regret, off))
    return found
