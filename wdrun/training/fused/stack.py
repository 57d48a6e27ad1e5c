"""R runs as one set of static tensors (R, …), and the step that moves them all, free of host values.

What changes from step to step and is the same for all runs (the schedules' values, the step's number) stands in a
table with a row a step, which a counter on the device reads; so a recorded step can be replayed as it is. Shapes:
R runs, S steps of an epoch, B batch, G distinct batches a step (one for each seed and fold).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from wdrun.decay import Chain, Decay, Knobs, Rule
from wdrun.tensors import Tensors
from wdrun.training.fused.capture import captured
from wdrun.training.fused.lift import Lift
from wdrun.training.state import State, flatten, unflatten
from wdrun.training.step import Training
from wdrun.training.trainer import Trainer


def recordable(rule: Rule) -> bool:
    """Whether a step of it waits for nothing the device computes, so that a CUDA graph can hold it."""
    if isinstance(rule, Chain):
        return all(map(recordable, rule.rules))
    return rule.capturable and (not isinstance(rule, Decay) or rule.regularizer.capturable)


class Stack:
    """The runs of these trainers, all at the same epoch, stacked from their states; `epoch` trains them in place."""

    def __init__(self, trainers: Sequence[Trainer], states: Sequence[State], way: str) -> None:
        first = self.first = trainers[0]
        self.lift = Lift(trainers, way)
        kept = [n for n in states[0].tensors if not n.startswith("best/")]
        self.training, self.buffers = unflatten({n: torch.stack([s.tensors[n] for s in states]) for n in kept})
        sources = [(t.run.seed, t.run.fold) for t in trainers]
        self.sources = {source: trainers[sources.index(source)] for source in dict.fromkeys(sources)}
        self.shared = len(self.sources) == 1
        device = self.lift.device
        self.source_of = torch.tensor([list(self.sources).index(s) for s in sources], device=device)
        steps = first.steps_per_epoch
        self.table = torch.zeros(steps, len(self._row(1)), dtype=torch.float64, device=device)
        self.counter = torch.zeros(1, dtype=torch.int64, device=device)
        self.recorded, self.t = recordable(first.rule), 1
        self.losses = torch.zeros(steps, len(trainers), dtype=torch.float64, device=device)
        self.right = torch.zeros_like(self.losses)
        self.x = self.y = torch.empty(0)
        self._advance: Callable[[], Tensors] | None = None

    def epoch(self, number: int, tick: Callable[[int], None]) -> tuple[Training, Tensors]:
        """Train an epoch; the state before its last step, and that step's gradients (R, …)."""
        self.first.model.train()
        steps = self.first.steps_per_epoch
        start = (number - 1) * steps
        self.table.copy_(torch.tensor([self._row(start + i) for i in range(1, steps + 1)], dtype=torch.float64))
        self.counter.zero_()
        before, grads = self.training, self.training.params
        batches = [t.train_batches.epoch(t.run.seed, number) for t in self.sources.values()]
        for i, batch in enumerate(zip(*batches, strict=True), start=1):
            self.fill(batch)
            self.t = start + i
            if i == steps:
                before = self.copy()[0]
            grads = self._moved()
            tick(start + i)
        return before, grads

    def _row(self, t: int) -> list[float]:
        """Step t's row of the table: t, the lr's schedule, the rule's λ-schedules."""
        knobs = self.first.knobs(t)
        return [float(of) for of in (t, knobs.lr_scale, *knobs.lam_scales)]

    def knobs(self, row: Tensor) -> Knobs:
        """What holds for all runs at the step of this row of the table; λ and lr are the runs' own.

        Where no step is recorded its number is known here, and a rule may branch on it without asking the device.
        """
        t, scale, *lam_scales = row.unbind()
        at = cast(int, t) if self.recorded else self.t
        return Knobs(0.0, 0.0, scale, tuple(m.to(self.lift.dtype) for m in lam_scales), at)

    def fill(self, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Put the batches of a step, one for each source, where the step reads them."""
        if not len(self.x):
            # The first are copied with their layout, channels last each batch by itself.
            if self.first.channels_last:
                self.x = torch.stack([x.movedim(1, -1) for x, _ in batches]).movedim(-1, 2)
            else:
                self.x = torch.stack([x for x, _ in batches])
            self.y = torch.stack([y for _, y in batches])
            return
        for g, (x, y) in enumerate(batches):
            self.x[g].copy_(x)
            self.y[g].copy_(y)

    def _moved(self) -> Tensors:
        if self._advance is None:
            # A rule that cannot be recorded goes step by step, as on a CPU.
            device = self.lift.device if self.recorded else torch.device("cpu")
            self._advance = captured(self.advance, self.written(), device)
        return self._advance()

    def written(self) -> list[Tensor]:
        """All tensors that `advance` writes to, so that a rehearsal can be undone."""
        return [*flatten(self.training, {}).values(), *self.buffers.values(), self.counter, self.losses, self.right]

    def advance(self) -> Tensors:
        """One step in place, by the counter's row of the table; the gradients of the data loss (R, …)."""
        knobs = self.knobs(self.table.index_select(0, self.counter)[0])
        x, y = (w[0] if self.shared else w.index_select(0, self.source_of) for w in (self.x, self.y))
        grads, loss, right = self.lift.gradients(self.training.params, self.buffers, x, y, self.shared)
        moved = self.lift.update(self.training, grads, knobs)
        old, new = flatten(self.training, {}), flatten(self.first.step.averaged(moved, self.buffers, knobs.t), {})
        torch._foreach_copy_(list(old.values()), [new[n] for n in old])
        self.losses.index_copy_(0, self.counter, loss[None].double())
        self.right.index_copy_(0, self.counter, right[None].double())
        self.counter.add_(1)
        return grads

    def copy(self) -> tuple[Training, Tensors]:
        """What the stack holds now, to keep."""
        training = Training(*tree_map(Tensor.clone, tuple(self.training)))
        return training, {n: b.clone() for n, b in self.buffers.items()}
