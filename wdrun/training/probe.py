"""A probe: what the decay of a run does for λ a decade apart, measured on some steps where no formula says it.

Some steps of the run are taken without decay, and the gradients of the last n are kept; then the optimizer and the rule
go through the same gradients again with each λ. With w⁰ the weights of the first pass, w^λ those of the second, g² the
mean squared gradient of each weight, and T the steps of the run, weighted by the schedules:

    δ(λ) = √(Σ g²(w^λ − w⁰)² / Σ g²(w⁰)²),   D(λ) = −log(1 − δ)·T/n

which is the total decay D of `conventions` where that has a formula. The weight g² leaves out what the loss does not
feel: under Adam a small λ moves those weights as far as any. The steps before the n are there because gradients may be
tiny at first. A decay with a memory of where the weights were is held against how far they came, Σ g²(w⁰ − w_start)².
Of a projection λ is a radius: D = −log(1 − δ), however many steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor

from wdrun import devices
from wdrun.decay import Knobs, pulls_elsewhere
from wdrun.tensors import Tensors
from wdrun.training.state import unflatten
from wdrun.training.trainer import Trainer

STEPS, FEW = 20, 3  # n, and that of a projection
BEFORE = 2.5  # times as many steps come before them
HELD = 20_000_000  # numbers of the gradients that are kept
LADDER = tuple(range(-10, 5))  # decades of λ
SEEN, MOST = 1e-6, 1 - 1e-3  # δ below is rounding, above is all of the weight

Curve = tuple[tuple[float, float], ...]  # (log10 λ, log10 D), λ ascending


def total_decays(trainer: Trainer) -> Curve:
    """log10 D at the λ of the ladder, as far as it is finite; a λ that takes next to nothing only of a projection."""
    radius = trainer.run.coupling == "projected"
    replay, schedules = _probe(trainer, FEW if radius else STEPS)
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
    run, scope = trainer.run, trainer.decayed
    sizes = sum(p.numel() for p in trainer.model.parameters())
    steps = max(1, min(steps, trainer.steps, HELD // max(1, sizes)))
    before = min(int(BEFORE * steps), trainer.steps - steps)
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
    with trainer.draws("model", 1):
        for t, (x, y) in enumerate(islice(_batches(trainer), before + steps), start=1):
            grads, _, _ = trainer.step.gradients(free.params, buffers, x, y)
            if t > before:
                kept.append(grads)
            free = trainer.step.update(free, grads, knobs(0.0, t) if t > before else trainer.at(0.0).knobs(t))
            start = free if t == before else start
    without = {n: torch.zeros_like(w) for n, w in start.params.items()}  # of a step that gave none
    felt = {n: torch.stack([g.get(n, without[n]).double().square() for g in kept]).mean(dim=0) for n in scope}

    def size(one: Tensors, other: Tensors | None = None) -> float:
        parts: list[Tensor] = [
            (felt[n] * (one[n] - other[n] if other else one[n]).double().square()).sum() for n in scope
        ]
        return math.sqrt(torch.stack(parts).sum().item()) if parts else 0.0

    from_start = run.coupling != "projected" and pulls_elsewhere(trainer.rule, trainer.decay_start)
    whole = size(free.params, first.params) if from_start else size(free.params)

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
