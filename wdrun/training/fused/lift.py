"""A run's pure functions, lifted over R runs that differ in λ, lr, weights, batches and the optimizer's numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from wdrun.decay import Knobs
from wdrun.tensors import Tensors
from wdrun.training.fused.forward import forward
from wdrun.training.step import Step, Training
from wdrun.training.trainer import Trainer

T = TypeVar("T")


class Lift:
    """Step and outputs of R trainers of one structure; `way` is one of `ways(model)`. Stacked tensors are (R, …)."""

    def __init__(self, trainers: Sequence[Trainer], way: str) -> None:
        self.trainers, self.first, self.runs, self.way = trainers, trainers[0], len(trainers), way
        self.device, self.dtype = self.first.machine.device, self.first.machine.dtype
        self.forward = forward(self.first.model, way, self.first.machine.precision == "bf16")
        self.exact_lam = self._column([t.run.lam for t in trainers])
        self.lam, self.lr = self.exact_lam.to(self.dtype), self._column([t.run.lr for t in trainers])
        self.numbers = {n: self._column(v) for n, v in differing([t.optimizer for t in trainers]).items()}

    def _column(self, values: Sequence[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self.device)

    def outputs(self, params: Tensors, buffers: Tensors, x: Tensor, shared: bool) -> Tensor:
        """Outputs (R, B, K) for a batch (B, …) that is shared, or (R, B, …), in the mode the model is in."""
        with self.first.machine.autocast():
            return self.forward(params, buffers, x if self.first.channels_last else x.contiguous(), shared)

    def gradients(
        self, params: Tensors, buffers: Tensors, x: Tensor, y: Tensor, shared: bool
    ) -> tuple[Tensors, Tensor, Tensor]:
        """Each run's gradient (R, …), data loss (R,) and hits (R,): no run's loss depends on another's weights."""
        leaves = {n: w.detach().requires_grad_() for n, w in params.items()}
        axis = None if shared else 0
        outputs = self.outputs(leaves, buffers, x, shared)
        loss = torch.func.vmap(self.first.step.data_loss, in_dims=(0, axis))(outputs, y)
        right = torch.func.vmap(self.first.step.hits, in_dims=(0, axis))(outputs.detach(), y)
        grads = torch.autograd.grad(loss.sum(), tuple(leaves.values()), materialize_grads=True)
        return dict(zip(leaves, grads, strict=True)), loss.detach(), right

    def update(self, now: Training, grads: Tensors, knobs: Knobs) -> Training:
        """`Step.update` of every run."""
        return self.over(Step.update, knobs, now, grads)

    def over(self, function: Callable[..., T], knobs: Knobs, *stacked: Any) -> T:
        """function(step, *stacked, knobs), written for one run, of every run: (R, …).

        Of the knobs, λ and lr are the runs' own; what is given holds for all.
        """

        def one(lam: Tensor, lr: Tensor, numbers: Tensors, *of: Any) -> T:
            return function(_with(self.first.step, numbers), *of, knobs._replace(lam=lam, lr=lr))

        lifted: T = torch.func.vmap(one)(self.lam, self.rates(knobs), self.numbers, *stacked)
        return lifted

    def rates(self, knobs: Knobs) -> Tensor:
        """The learning rate of every run (R,)."""
        return (self.lr * knobs.lr_scale).to(self.dtype)


def _with(step: Step, numbers: Tensors) -> Step:
    return dataclasses.replace(step, optimizer=dataclasses.replace(step.optimizer, **numbers))  # type: ignore[type-var]


def differing(optimizers: Sequence[Any]) -> dict[str, list[float]]:
    """The optimizer's numbers that are not the same for all runs, one value a run."""
    names = [f.name for f in dataclasses.fields(optimizers[0])]
    values = {n: [getattr(o, n) for o in optimizers] for n in names}
    return {n: [float(v) for v in of] for n, of in values.items() if len(set(of)) > 1}
