"""Where to look for λ: what the decay of a facet can do, by the formula of total decay D, else by a short probe.

D is the exponent by which a weight without gradient shrinks over a run (see `conventions`). Where it has no formula, or
one that is an upper bound (cautious), some steps of the run are taken without decay, and the gradients of the last n of
them are kept; then the optimizer and the rule go through the same gradients again for λ a decade apart. With w⁰ the
weights of the first pass, w^λ those of the second, g² the mean squared gradient of each weight, and T the steps of the
run, weighted by the schedules:

    δ(λ) = √(Σ g²(w^λ − w⁰)² / Σ g²(w⁰)²),   D(λ) = −log(1 − δ)·T/n

The weight g² leaves out what the loss does not feel: under Adam a small λ moves those weights as far as any. The steps
before the n are there because gradients may be tiny at first. A decay with a memory of where the weights were is held
against how far they came, Σ g²(w⁰ − w_start)². Of a projection λ is a radius: D = −log(1 − δ), however many steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np
import torch
from torch import Tensor

from wdrun import devices
from wdrun.config import experiments
from wdrun.conventions import CANNOT_ACT, USEFUL
from wdrun.decay import Knobs
from wdrun.streams import stream_seed
from wdrun.tensors import Tensors
from wdrun.training.state import unflatten
from wdrun.training.trainer import Trainer
from wdrun.tuning.question import Cell, Question
from wdrun.tuning.search import Axis, Setting, Space
from wdrun.wording import rough

STEPS, FEW = 20, 3  # n, and that of a projection
BEFORE = 2.5  # times as many steps come before them
HELD = 20_000_000  # numbers of the gradients that a probe keeps
LADDER = tuple(range(-10, 5))  # decades of λ that it tries
SEEN, MOST = 1e-6, 1 - 1e-3  # δ below is rounding, above is all of the weight
WEAK = 0.02  # D that is put where λ = 0 is
WIDER = 100.0  # a radius so many times the one that binds at first may still bind later, as weights grow
VALUES = 5  # of another tuned key, at which D is asked

Curve = tuple[tuple[float, float], ...]  # (log10 λ, log10 D), both ascending


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


def with_strength(question: Question, trainers: Iterable[Trainer]) -> tuple[Question, list[str]]:
    """The question with spaces that know what decay can do, and lines that say what had to be measured.

    `trainers` has that of each facet's first run. ConfigError for a bound of an interval that a trainer refuses.
    """
    facets, lines = [], []
    for place, (facet, trainer) in enumerate(zip(question.facets, trainers, strict=True)):
        if facet.decays:
            found, said = strength_of(trainer)
            found = replace(found, factors=tuple(_factors(question, place, trainer, found)))
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
    found = _measured(trainer, FEW if radius else STEPS)
    what = f"{run.decay['name']}, {run.coupling}, under {run.optimizer['name']}"
    if radius and (binds := _binding(found)):
        return Strength(
            binds, radius=True
        ), f"λ of {what} is a radius; measured on a few steps: it binds below {rough(binds)}"
    curve = () if radius else _rising(found)
    default = run.lam or 1.0
    if not curve:
        return Strength(
            default
        ), f"what λ does in {what} cannot be told from a few steps; it starts at {rough(default)}"
    strength = Strength(default, curve)
    acts, useful = (rough(strength.at(total, ())) for total in (CANNOT_ACT, USEFUL))
    why = "has no formula" if per_lambda is None else "is at most what its formula says"
    return (
        strength,
        f"what λ does in {what} {why}; measured on a few steps: it acts from about λ = {acts}, well at {useful}",
    )


def _rising(found: Curve) -> Curve:
    """The part of D(λ) that rises, which is what can be turned round; nothing where D never reaches what acts."""
    kept: list[tuple[float, float]] = []
    for lam, total in found:
        if kept and total <= kept[-1][1]:
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


def _measured(trainer: Trainer, steps: int) -> Curve:
    """log10 D at the λ of the ladder, as far as it is finite; a λ that takes next to nothing only of a projection."""
    replay, schedules = _probe(trainer, steps)
    radius = trainer.run.coupling == "projected"
    found: list[tuple[float, float]] = []
    for decade in LADDER:
        share = replay(10.0**decade)
        if not math.isfinite(share) or (share > MOST and not radius):
            if found:
                break
            continue
        if share > SEEN or radius:
            total = -math.log1p(-min(max(share, SEEN), MOST)) * (1.0 if radius else schedules)
            found.append((float(decade), math.log10(total)))
    return tuple(found)


def _probe(trainer: Trainer, steps: int) -> tuple[Callable[[float], float], float]:
    """δ as a function of λ, and the steps of the run over those of the probe, weighted by the schedules."""
    run, scope = trainer.run, trainer.rule.scope()
    sizes = sum(p.numel() for p in trainer.model.parameters())
    steps = max(1, min(steps, HELD // max(1, sizes)))
    before = int(BEFORE * steps)
    progress = [k / trainer.steps for k in range(trainer.steps)]
    scales = [trainer.rule.lam_scales(p) or (1.0,) for p in progress]
    usual = tuple(sum(own) / len(own) for own in zip(*scales, strict=True))
    weighted = sum(trainer.schedule(p) * own[0] for p, own in zip(progress, scales, strict=True))
    rest = weighted / usual[0] if usual[0] else 0.0
    start, buffers = unflatten(trainer.initial().tensors)
    devices.apply(trainer.machine)
    trainer.model.train()

    def knobs(lam: float, t: int) -> Knobs:
        return Knobs(lam, run.lr, 1.0, usual, t)

    first, free, kept = start, start, []
    cuda = [trainer.machine.device] if trainer.machine.device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(stream_seed(run.seed, "model", 1))
        for t, (x, y) in enumerate(islice(_batches(trainer), before + steps), start=1):
            grads, _, _ = trainer.step.gradients(free.params, buffers, x, y)
            if t > before:
                kept.append(grads)
            free = trainer.step.update(free, grads, knobs(0.0, t))
            start = free if t == before else start
    felt = {n: torch.stack([g[n].double().square() for g in kept]).mean(dim=0) for n in scope}

    def size(one: Tensors, other: Tensors | None = None) -> float:
        parts: list[Tensor] = [
            (felt[n] * (one[n] - other[n] if other else one[n]).double().square()).sum() for n in scope
        ]
        return math.sqrt(torch.stack(parts).sum().item()) if parts else 0.0

    remembers = bool(trainer.decay_start) and run.coupling != "projected"
    whole = size(free.params, first.params) if remembers else size(free.params)

    def replay(lam: float) -> float:
        now = start
        for t, grads in enumerate(kept, start=before + 1):
            now = trainer.step.update(now, grads, knobs(lam, t))
        return size(free.params, now.params) / whole if whole else math.nan

    return replay, rest / len(kept)


def _batches(trainer: Trainer) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of the run, epoch by epoch."""
    epoch = 0
    while True:
        epoch += 1
        yield from trainer.train_batches.epoch(trainer.run.seed, epoch)


def _factors(question: Question, place: int, trainer: Trainer, found: Strength) -> Iterator[tuple[int, Axis, Curve]]:
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
            run = experiments.sweep([question.words(cell, 0)], None)[0][0].run
            total = Trainer(run, trainer.dataset, trainer.machine).at(1.0).budget.total
            if total and here and found.curve:
                curve.append((axis.coordinate(value), math.log10(total / here)))
        if curve:
            yield number, axis, tuple(curve)
