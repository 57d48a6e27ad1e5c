"""Where to look for λ: what the decay of a facet can do, by the formula of total decay D, else by a short probe."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from wdrun.config import experiments
from wdrun.conventions import CANNOT_ACT, USEFUL
from wdrun.training.probe import Curve, total_decays
from wdrun.training.trainer import Trainer
from wdrun.tuning.question import Cell, Question
from wdrun.tuning.space import Axis, Setting, Space
from wdrun.wording import rough

WEAK = 0.02  # D that is put where λ = 0 is
WIDER = 100.0  # a radius so many times the one that binds at first may still bind later, as weights grow
LEVEL = 0.1  # log10 D that a decade of λ adds where D is still rising
VALUES = 5  # of another tuned key, at which D is asked


@dataclass(frozen=True)
class Strength:
    """What λ does in a facet: D(λ) at the start of its axes, and how D changes along the others.

    `curve` is empty where it is not known: λ then starts at `default`. `radius`: λ is one, and `default` the one that
    binds. `factors` has the place of an axis and (coordinate, log10 of the factor of D) along it.
    """

    default: float
    curve: Curve = ()
    radius: bool = False
    factors: tuple[tuple[int, Axis, Curve], ...] = ()

    def middle(self, setting: Setting) -> float:
        """The λ to begin with at the other values of a setting."""
        return self.at(USEFUL, setting)

    def acts(self, setting: Setting) -> bool:
        """Whether decay can act at a setting."""
        if self.radius:
            return setting[0] <= WIDER * self.default
        return not self.curve or setting[0] >= self.at(CANNOT_ACT, setting) * (1 - 1e-9)

    def at(self, total: float, setting: Setting) -> float:
        """The λ at which D is `total`, at the other values of a setting."""
        if not self.curve:
            return self.default
        wanted = math.log10(total)
        for place, axis, curve in self.factors:
            x, y = zip(*curve, strict=True)
            wanted -= float(np.interp(axis.coordinate(setting[place]), x, y))
        x, y = zip(*self.curve, strict=True)
        below = min(0.0, wanted - y[0])  # below what was measured D is proportional to λ
        return float(10 ** (np.interp(wanted, y, x) + below))


def with_strength(
    question: Question, trainers: Iterable[Trainer], config_dir: str | None = None
) -> tuple[Question, list[str]]:
    """The question with spaces that know what decay can do, and lines that say what had to be measured.

    `trainers` has that of each facet's first run, and is asked for one after another; `config_dir` is the folder of the
    user's own options. ConfigError for a bound of an interval that a trainer refuses.
    """
    facets, lines = [], []
    for place, (facet, trainer) in enumerate(zip(question.facets, trainers, strict=True)):
        if facet.decays:
            found, said = strength_of(trainer)
            found = replace(found, factors=tuple(_factors(question, place, trainer, found, config_dir)))
            space, some = _with(facet.space, found)
            facet = replace(facet, space=space)
            lines += [f"{facet.name}: {said}"] * bool(said)
            lines += [f"{facet.name}: no λ of the interval can act (D < {CANNOT_ACT})"] * (not some)
        facets.append(facet)
    return replace(question, facets=tuple(facets)), lines


def _with(space: Space, found: Strength) -> tuple[Space, bool]:
    """The space, and whether some λ within the user's bounds acts; where none does all are tried all the same."""
    axis, *others = space.axes
    start = (0.0, *(other.start for other in others))
    lam = min(max(float(f"{found.middle(start):.2g}"), axis.low), axis.high)
    if found.radius:
        zero = max(2 * WIDER * found.default, 10 * lam)
    else:
        zero = min(found.at(WEAK, start) if found.curve else math.inf, lam / 10)
    some = any(found.acts((bound, *start[1:])) for bound in (axis.low, axis.high, lam))
    axes = (replace(axis, start=lam), *others)
    acts = found.acts if some else _always
    return replace(space, axes=axes, zero=math.log10(zero), acts=acts, middle=found.middle), some


def _always(setting: Setting) -> bool:
    return True


def strength_of(trainer: Trainer) -> tuple[Strength, str]:
    """What the λ of a run does, and a line that says so where it was measured."""
    run = trainer.run
    per_lambda = trainer.at(1.0).budget.total
    if per_lambda and run.coupling != "cautious":
        one = math.log10(per_lambda)
        return Strength(run.lam, ((-30.0, one - 30), (30.0, one + 30))), ""
    radius = run.coupling == "projected"
    found = total_decays(trainer)
    what = f"{run.decay['name']}, {run.coupling}, under {run.optimizer['name']}"
    if radius and (binds := _binding(found)):
        return Strength(
            binds, radius=True
        ), f"λ of {what} is a radius; measured on a few steps: it binds below {rough(binds)}"
    curve = () if radius else _rising(found)
    default = run.lam or 1.0
    if not curve:
        meant = f" ({trainer.rule.about})" * bool(trainer.rule.about)
        told = f"what λ does in {what} cannot be told from a few steps{meant}"
        return Strength(default), f"{told}; it starts at {rough(default)}"
    strength = Strength(default, curve)
    acts, useful = (rough(strength.at(total, ())) for total in (CANNOT_ACT, USEFUL))
    why = "has no formula" if per_lambda is None else "is at most what its formula says"
    return (
        strength,
        f"what λ does in {what} {why}; measured on a few steps: it acts from about λ = {acts}, well at {useful}",
    )


def _rising(found: Curve) -> Curve:
    """The part of D(λ) that rises, which is what can be turned round; nothing where D does not reach what acts.

    Under an adaptive optimizer a run of few steps goes only so far, whatever λ.
    """
    kept = list(found[:1])
    for lam, total in found[1:]:
        if total < kept[-1][1] + LEVEL:
            break
        kept.append((lam, total))
    return tuple(kept) if kept and kept[-1][1] >= math.log10(CANNOT_ACT) else ()


def _binding(found: Curve) -> float | None:
    """The radius at which a projection takes CANNOT_ACT of the weights; None where a larger one does not take less."""
    falls = [(lam, total) for (lam, total), (_, after) in pairwise(found) if after < total]
    if len(falls) < 2 or found[-1][1] > math.log10(CANNOT_ACT):
        return None
    x, y = zip(*falls, found[-1], strict=True)
    return float(10 ** np.interp(-math.log10(CANNOT_ACT), [-v for v in y], x))


def _factors(
    question: Question, place: int, trainer: Trainer, found: Strength, config_dir: str | None
) -> Iterator[tuple[int, Axis, Curve]]:
    """How D changes along the axes beside λ: with lr in proportion, but where λ is free of it; else as trainers say."""
    space = question.facets[place].space
    here = trainer.at(1.0).budget.total
    start = tuple(axis.start for axis in space.axes)
    for number, axis in enumerate(space.axes[1:], start=1):
        if axis.key == "lr":
            if trainer.run.coupling not in ("independent", "projected"):
                ends = (axis.coordinate(axis.start) + step for step in (-30.0, 30.0))
                yield number, axis, tuple((end, end - axis.coordinate(axis.start)) for end in ends)
            continue
        values = {axis.low + (axis.high - axis.low) * k / (VALUES - 1) for k in range(VALUES)}
        if axis.log:
            values = {axis.low * (axis.high / axis.low) ** (k / (VALUES - 1)) for k in range(VALUES)}
        values = {float(round(value)) if axis.whole else value for value in values}
        curve = []
        for value in sorted(values):
            cell = Cell(place, (*start[:number], value, *start[number + 1 :]))
            run = experiments.sweep([question.words(cell, 0)], config_dir)[0][0].run
            total = Trainer(run, trainer.dataset, trainer.machine).at(1.0).budget.total
            if total and here and found.curve:
                curve.append((axis.coordinate(value), math.log10(total / here)))
        if curve:
            yield number, axis, tuple(curve)
