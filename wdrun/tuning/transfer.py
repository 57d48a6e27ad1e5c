"""λ for a changed setting, from the best λ of another: what is carried is D, as a power law has it.

    D_here = D_there · Π (here/there)^exponent,      λ_here = D_here / (D of the run here at λ = 1)

over what changes of the training images, epochs, batch, parameters and lr. Constant τ = epochs/D (Wang & Aitchison
2024, arXiv 2405.13698) would be exponent 1 of epochs and 0 of the others; Bergsma et al. (2025, arXiv 2505.13738) find
a power law too. Another schedule or coupling changes the D of a given λ, and not the D that is best.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from wdrun.config.run import Run
from wdrun.errors import ConfigError
from wdrun.tuning.finished import Best
from wdrun.wording import shown


class Exponent(NamedTuple):
    """Of the best D in a size of the run, with its standard error."""

    value: float
    error: float


# Fitted to transfers on CIFAR-10, MLP and CNN, SGD and AdamW: `python tests/bench/transfers.py told
# outputs/examples/transfers`. SCATTER is what is left where the target is left out of the fit. A change of the coupling
# alone was exact to 0.015 decades.
EXPONENTS = {
    "images": Exponent(0.34, 0.05),
    "epochs": Exponent(1.61, 0.12),
    "batch": Exponent(-0.75, 0.14),  # at the same lr
    "parameters": Exponent(0.18, 0.11),
    "lr": Exponent(0.62, 0.18),
}
SCATTER = 0.18  # standard deviation of log10 λ about the rule
EXACT = ("decay.coupling",)  # changes that D says all of
LEVEL = 0.95  # of the part of the interval that is the rule's
WIDE = NormalDist().inv_cdf((1 + LEVEL) / 2)

LINEAR, ROOT = ("sgd",), ("adam", "nadam", "rmsprop")  # update rules by how lr goes with the batch
SAME_PULL = ("coupled", "decoupled", "independent", "proximal")  # couplings whose D says the same of a weight

# What may change: sizes of the data and the model, what D is computed from, and what leaves the best λ as it is.
DATA = tuple(f"data.{key}" for key in ("train_size", "val_size", "test_size", "folds", "split_seed", "train_examples"))
WIDTHS = ("model.hidden", "model.channels", "model.width", "model.widths")
PULL = ("lr", "optimizer.dampening", "optimizer.nesterov", "decay.coupling", "decay.schedule", "decay.normalized")
IDLE = (
    *("lambda", "seed", "fold", "device", "precision", "threads", "diagnostics", "ema", "init_from"),
    *("optimizer.name", "optimizer.prefers", "decay.name", "decay.prefers", "decay.couplings", "data.root"),
    "data.test_examples",
)

FAMILIES = (  # groups, the key in which what λ does not carry over to is another, and why
    ("model", "name", "λ does not carry over to another family of models"),
    ("model", "_target_", "λ does not carry over to another family of models"),
    ("data", "name", "λ does not carry over to other data"),
    ("optimizer", "rule", "λ does not carry over to another family of optimizers"),
    ("decay", "_target_", "λ of another regularizer is another quantity"),
)
NO_RULE = "no rule says how the best λ follows from it"
DECOUPLED = "decay.coupling=decoupled"


class Change(NamedTuple):
    """A knob that differs: its key, and its value there and here as it is typed."""

    key: str
    there: str
    here: str


@dataclass(frozen=True)
class Facts:
    """What the rule needs of a run: training images, the shape of each trained tensor, and D at λ = 1.

    `per_lambda` is None, or 0, where D is not defined. `gain` is what momentum multiplies lr by, 1/(1−μ) under SGD.
    """

    run: Run
    images: int
    shapes: Mapping[str, tuple[int, ...]]
    per_lambda: float | None
    gain: float = 1.0

    @property
    def sizes(self) -> dict[str, float]:
        """What EXPONENTS names, lr with what momentum makes of it."""
        parameters = sum(math.prod(shape) for shape in self.shapes.values())
        run = self.run
        found = {"images": self.images, "epochs": run.epochs, "batch": run.batch_size, "parameters": parameters}
        return found | {"lr": run.lr * self.gain}


@dataclass(frozen=True)
class Prediction:
    """λ for the run `here`, from the best λ of `there`.

    `low` and `high` hold the λ there that were as good and the scatter of the rule, added in log λ as independent; 0
    and inf where what was tried there does not bound it on that side. `total_there` and `total` are D there and here;
    `spread` is half the width of the rule's part, in decades.
    """

    best: Best
    there: Facts
    here: Facts
    changes: tuple[Change, ...]
    lam: float
    low: float
    high: float
    total_there: float
    total: float
    spread: float


def changes(there: Run, here: Run) -> tuple[Change, ...]:
    """The knobs that differ and matter to λ; ConfigError, in one sentence, for one that no rule is known for."""
    for group, key, why in FAMILIES:
        one, other = (getattr(run, group) for run in (there, here))
        if one.get(key) != other.get(key):
            named, of = (group, "name") if one["name"] != other["name"] else (f"{group}.{key}", key)
            raise _refused(Change(named, shown(one.get(of)), shown(other.get(of))), why)
    found = []
    if there.coupling != here.coupling:
        found.append(Change("decay.coupling", there.coupling, here.coupling))
        if odd := [coupling for coupling in found[0][1:] if coupling not in SAME_PULL]:
            raise _refused(found[0], f"what {odd[0]} takes of a weight has no formula that others share")
    old, new = there.knobs, here.knobs
    differing = (key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    for key in sorted(differing, key=lambda key: (not key.endswith(".name"), key)):
        if key in IDLE or key.startswith("evaluate.") or key == "decay.coupling":
            continue
        change = Change(key.removesuffix(".name"), shown(old.get(key)), shown(new.get(key)))
        if not _has_rule(key, there):
            raise _refused(change, NO_RULE)
        found.append(change)
    return tuple(sorted(found))


def _refused(change: Change, why: str) -> ConfigError:
    key, old, new = change
    return ConfigError(f"{key}={new}: must be {old}, as in the runs there: {why}; wdrun tune finds λ anew")


def _has_rule(key: str, there: Run) -> bool:
    """Whether the rule says what a change of the key does."""
    group = key.partition(".")[0]
    if key == "optimizer.momentum":
        return bool(there.optimizer["rule"] == "sgd")
    own = group == "model" and bool(there.model.get("_target_"))
    return own or group == "schedule" or key in (*DATA, *WIDTHS, *PULL, "epochs", "batch_size")


def predict(best: Best, there: Facts, here: Facts) -> Prediction:
    """λ for `here`, from what was best in `there`; ConfigError, in one sentence, where no rule holds."""
    if best.refused:
        raise ConfigError(best.refused)
    changed = changes(there.run, here.run)
    of_model = [change for change in changed if change.key.startswith("model.")]
    if of_model and there.shapes == here.shapes:  # a key of a user's own model that is not its width
        raise _refused(of_model[0], NO_RULE)
    if set(there.shapes) != set(here.shapes):
        key, old, new = of_model[0]
        raise ConfigError(
            f"{key}={new}: must give as many layers as {old} in the runs there: the rule is one of their width; "
            "wdrun tune finds λ anew"
        )
    for facts, where, advice in ((there, "there", "wdrun tune finds λ anew"), (here, "here", f"{DECOUPLED} has one")):
        if not facts.per_lambda:
            what = f"{facts.run.decay['name']}, {facts.run.coupling}, under {facts.run.optimizer['name']}"
            raise ConfigError(f"{what}: has no total decay D {where}, so no rule carries its λ; {advice}")
    pulls = (there.per_lambda or math.nan) / (here.per_lambda or math.nan)
    ratios = {size: here.sizes[size] / value for size, value in there.sizes.items()}
    factor = math.prod(ratio ** EXPONENTS[size].value for size, ratio in ratios.items())
    rule = _spread(there, here) if {change.key for change in changed}.difference(EXACT) else 0.0
    below = math.hypot(rule, _decades(best.low, best.lam))
    above = math.hypot(rule, _decades(best.lam, best.high))
    lam, total = best.lam * factor * pulls, best.lam * (there.per_lambda or math.nan)
    return Prediction(best, there, here, changed, lam, lam * 10**-below, lam * 10**above, total, total * factor, rule)


def _spread(there: Facts, here: Facts) -> float:
    """Half the width of the rule's interval, in decades of λ: its scatter, and the errors of the exponents."""
    errors = (EXPONENTS[size].error * math.log10(here.sizes[size] / value) for size, value in there.sizes.items())
    return WIDE * math.hypot(SCATTER, *errors)


def _decades(low: float, high: float) -> float:
    return math.log10(high / low) if low and high < math.inf else math.inf


def scaled_lr(there: Run, batch_size: int) -> tuple[float, str]:
    """lr for another batch, and the rule in words; ConfigError under an optimizer that has none.

    ∝ batch under SGD (Goyal et al. 2017, arXiv 1706.02677), ∝ √batch where the step is divided by the root of a mean of
    g² (Malladi et al. 2022, arXiv 2205.10287).
    """
    rule, name = there.optimizer["rule"], there.optimizer["name"]
    if rule not in (*LINEAR, *ROOT):
        raise ConfigError(f"scale_lr=true: no rule says how lr goes with the batch under {name}; give lr=")
    ratio = batch_size / there.batch_size
    if rule in LINEAR:
        return there.lr * ratio, f"∝ batch under {name}, Goyal et al. 2017"
    return there.lr * math.sqrt(ratio), f"∝ √batch under {name}, Malladi et al. 2022"
