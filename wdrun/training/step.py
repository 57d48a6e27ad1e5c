"""The training step: one pure function, written for one run.

λ and lr are arguments, the rest of the run is structure. Shapes: B batch, C H W image, K classes. A run's tensors are
dictionaries, parameter name -> tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wdrun import models, optim
from wdrun.decay import Context, Knobs, Rule
from wdrun.devices import Machine
from wdrun.tensors import Scalar, Tensors, after_first, axpy, toward

NOTHING: Tensors = {}


class Training(NamedTuple):
    """What a step reads and returns: parameters, the memory of the optimizer and of the decay, the running average."""

    params: Tensors
    optimizer: dict[str, Tensors]
    decay: Tensors
    average: Tensors = NOTHING  # of the parameters and of batch norms' statistics; empty = none is kept


def data_loss(outputs: Tensor, targets: Tensor, smoothing: float = 0.0, shares: bool = False) -> Tensor:
    """Mean cross-entropy of logits (B, K) and labels (B,); mean squared error when the targets are real numbers.

    With label smoothing ε it is (1 − ε)·CE + ε·mean_k(−log p_k): that of the label's 1 − ε, and of ε/K for each class
    (Szegedy et al. 2016). `shares`: real targets are no regression's, but each example's shares of the classes (B, K).
    """
    if targets.is_floating_point() and not shares:
        return F.mse_loss(outputs.to(targets.dtype), targets)
    logits = outputs.float() if outputs.dtype == torch.bfloat16 else outputs
    if shares and targets.is_floating_point():
        targets = targets.to(logits.dtype)
    return F.cross_entropy(logits, targets, label_smoothing=smoothing)


def hits(outputs: Tensor, targets: Tensor, shares: bool = False) -> Tensor:
    """Number of right answers of logits (B, K); nan for regression. Of `shares` the class of the largest is right."""
    if targets.is_floating_point():
        if not shares:
            return torch.full((), float("nan"), device=targets.device)
        targets = targets.argmax(-1)
    return (outputs.argmax(-1) == targets).sum()


def accuracy(right: float, examples: int) -> float | None:
    """Share of right answers, given their number; None for regression, which has none."""
    return None if math.isnan(right) else right / examples


@dataclass(frozen=True)
class Step:
    """The training step of one run: gradient → decay (coupled) → clip → optimizer → decay (after).

    Pure in its tensor arguments but for a batch norm's buffers, and free of branches on tensor values, so
    `torch.func.vmap` can lift it over runs that differ in λ, lr, initial weights and batches.
    """

    model: nn.Module
    rule: Rule
    optimizer: optim.Optimizer
    clip_norm: float | None
    clip_value: float | None
    machine: Machine
    clip_data: bool = False  # clip the gradient of the data loss alone, as a loop in torch does; else λcΩ' with it
    ema: float | None = None  # the decay d of the running average
    lr_factors: Mapping[str, float] = field(default_factory=dict)  # of η, 1 for a parameter that is not in it
    smoothing: float = 0.0  # ε of the labels
    shares: bool = False  # whether targets are shares of the classes (B, K), as of mixed images

    @property
    def input_dtype(self) -> torch.dtype:
        """Type of the batches."""
        return self.machine.input_dtype

    def outputs(self, params: Tensors, buffers: Tensors, x: Tensor) -> Tensor:
        """Logits (B, K) of a batch x (B, C, H, W), in the mode the model is in."""
        if (layers := self._cast_here()) is not None:
            return models.through(layers, self.cast(layers, params, x), x)
        with self.machine.autocast():
            return models.forward(self.model, params, buffers, x)

    def _cast_here(self) -> models.Layers | None:
        """The layers of a plain chain in bf16, whose parameters are cast here and not by autocast."""
        return models.plain_layers(self.model) if self.machine.precision == "bf16" else None

    def cast(self, layers: models.Layers, params: Tensors, x: Tensor) -> Tensors:
        """The parameters as the products of a plain chain take them: in bf16 where that is faster."""
        own = (f"{name}.{part}" for name in models.worth_bf16(layers, len(x), x.device) for part in ("weight", "bias"))
        return params | {n: params[n].to(torch.bfloat16) for n in own if n in params}

    def loss(self, params: Tensors, buffers: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Data loss and number of right answers on a training batch x (B, C, H, W), y (B,) or shares (B, K)."""
        outputs = self.outputs(params, buffers, x)
        return self.data_loss(outputs, y), self.hits(outputs.detach(), y)

    def data_loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss that is trained on, of outputs (B, K): smoothed, and of mixed targets where the run has such."""
        return data_loss(outputs, y, self.smoothing, self.shares)

    def hits(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Number of right answers in a training batch."""
        return hits(outputs, y, self.shares)

    def gradients(self, params: Tensors, buffers: Tensors, x: Tensor, y: Tensor) -> tuple[Tensors, Tensor, Tensor]:
        """Gradient of the data loss, the loss, the hits: by plain autograd, the fast way for one run."""
        leaves = {name: p.detach() for name, p in params.items()}
        if (layers := self._cast_here()) is not None:  # outside the graph: cast in, and the gradients out
            leaves = self.cast(layers, leaves, x)
        for leaf in leaves.values():
            leaf.requires_grad_()
        loss, right = self.loss(leaves, buffers, x, y)
        grads = torch.autograd.grad(loss, tuple(leaves.values()), materialize_grads=True)
        return {name: g.to(params[name].dtype) for name, g in zip(leaves, grads, strict=True)}, loss.detach(), right

    def begun(self, now: Training) -> Training:
        """The state that the update of the latest step began with: `now`, or as the forward pass left the weights."""
        return now

    def update(self, now: Training, grads: Tensors, knobs: Knobs) -> Training:
        """Parameters and memories after the step, given the gradient of the data loss."""
        context = self.context(now, knobs)
        grads = self.seen(self.coupled(grads, context))
        updates, memory = self.optimizer.direction(grads, now.optimizer, knobs.t, now.params)
        stepped = {n: axpy(-context.lr(n), updates[n], w) for n, w in now.params.items()}
        params, remembered = self.rule.after(stepped, replace(context, grads=grads, updates=updates))
        return now._replace(params=self.held(now.params, params), optimizer=memory, decay=remembered)

    def held(self, before: Tensors, params: Tensors) -> Tensors:
        """The parameters after a step, those whose η has the factor 0 as before it: no decay moves them either."""
        return params | {n: before[n] for n, factor in self.lr_factors.items() if not factor}

    def context(self, now: Training, knobs: Knobs) -> Context:
        """What a step begins with, as its decay sees it."""
        return Context(now.params, knobs, now.decay, lr_factors=self.lr_factors)

    def averaged(self, now: Training, buffers: Tensors, t: Scalar) -> Training:
        """After step t: ē ← dē + (1−d)w; the first step's ē is its w, as in torch's AveragedModel.

        Elementwise, so that it holds of stacked runs as they are. A batch norm's statistics are averaged as weights.
        """
        if self.ema is None:
            return now
        share, latest = 1 - self.ema * after_first(t), now.params | buffers
        return now._replace(average={n: toward(e, latest[n], share) for n, e in now.average.items()})

    def coupled(self, grads: Tensors, context: Context) -> Tensors:
        """The gradient of the data loss with that of a coupled decay."""
        return self.rule.before(self._clip(grads) if self.clip_data else grads, context)

    def seen(self, coupled: Tensors) -> Tensors:
        """The gradient as the optimizer sees it."""
        return coupled if self.clip_data else self._clip(coupled)

    def _clip(self, grads: Tensors) -> Tensors:
        return optim.clip(grads, self.clip_norm, self.clip_value)

    def __call__(
        self, now: Training, buffers: Tensors, x: Tensor, y: Tensor, knobs: Knobs
    ) -> tuple[Training, Tensors, Tensor, Tensor]:
        """One step: the training state after it, the gradient of the data loss, the loss, the hits."""
        grads, loss, right = self.gradients(now.params, buffers, x, y)
        return self.averaged(self.update(now, grads, knobs), buffers, knobs.t), grads, loss, right
