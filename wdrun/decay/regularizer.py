"""Ω(w): what a regularizer is, free of λ. Shapes: w has any; its rows are (w.shape[0], everything else)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from wdrun.tensors import Scalar

Coefficient = float | Tensor  # c of a parameter; a tensor shaped like it where c differs within it


class Regularizer:
    """Ω(w) ≥ 0 of one tensor w of any shape, free of λ; no Python branch on tensor values.

    A subclass writes `each` (when Ω is a sum over single weights) or `value`, and may write `grad` (default: autograd),
    `prox` and `project`. One that writes only some of these three is a rule without a formula for Ω: it trains where
    they are enough, and its penalty is not known.
    """

    convex: ClassVar[bool] = True  # whether `project` can be had from `prox`
    fresh: ClassVar[bool] = False  # whether what `grad` gives is its own each time, and may be written over
    capturable: ClassVar[bool] = True  # False for a decomposition, which asks the device how it went: no CUDA graph

    @property
    def lacks_at(self) -> str:
        """Where its keys leave it less than its class can do, as a user types them: `p < 1`; else ""."""
        return ""

    def each(self, w: Tensor) -> Tensor:
        """ω(w_i) of every weight, shaped like w, where Ω = Σ ω(w_i)."""
        raise TypeError(f"{type(self).__name__} is not a sum over single weights")

    def value(self, w: Tensor) -> Tensor:
        """Ω(w), a scalar tensor."""
        return self.each(w).sum()

    def grad(self, w: Tensor) -> Tensor:
        """Ω'(w), shaped like w (at a kink: a subgradient, 0 where 0 is one)."""
        return torch.func.grad(self.value)(w)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        """argmin_z ½‖z−w‖² + t·Ω(z); of a sum over single weights, t may be shaped like w."""
        raise TypeError(f"{type(self).__name__} has no prox")

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        """argmin_z ½‖z−w‖² subject to Ω(z) ≤ radius, for a convex Ω with a prox.

        By the optimality conditions the projection is prox(w, t*) with Ω(prox(w, t*)) = radius, and Ω∘prox falls
        with t: t* is bracketed by doubling and then bisected, a fixed number of steps so that vmap can lift it.
        """
        low = torch.zeros((), dtype=w.dtype, device=w.device)
        high = torch.ones_like(low)
        for _ in range(40):
            high = torch.where(self.value(self.prox(w, high)) > radius, 2 * high, high)
        for _ in range(60):
            middle = (low + high) / 2
            outside = self.value(self.prox(w, middle)) > radius
            low, high = torch.where(outside, middle, low), torch.where(outside, high, middle)
        return torch.where(self.value(w) > radius, self.prox(w, high), w)

    def violation(self, w: Tensor, radius: Scalar) -> Tensor:
        """How far w is from what `project` promises, 0 when it fulfils it."""
        return (self.value(w) - radius).clamp_min(0)

    def can(self, ability: str) -> bool:
        """Whether the regularizer offers "each", "value", "grad", "prox" or "project"."""
        if getattr(type(self), ability) is not getattr(Regularizer, ability):
            return True
        if ability == "project":
            return self.convex and self.can("prox") and self.can("value")
        return (ability == "value" and self.can("each")) or (ability == "grad" and self.can("value"))

    def remember(self, w: Tensor) -> Tensor | None:
        """What Ω keeps of the initial weight; None for an Ω without memory."""
        return None

    def recall(self, memory: Tensor) -> Regularizer:
        """Ω with what `remember` gave."""
        return self


@dataclass(frozen=True, kw_only=True)
class Anchored(Regularizer):
    """Ω that looks back at the initial weight: `anchor` is what it remembers, set by the decay before each use."""

    anchor: Tensor | None = None

    def recall(self, memory: Tensor) -> Regularizer:
        return replace(self, anchor=memory)

    @property
    def start(self) -> Tensor:
        """The memory that `recall` gave, of the initial weight; TypeError before that."""
        if self.anchor is None:
            raise TypeError(f"{type(self).__name__} was not given its memory")
        return self.anchor


class Constraint(Regularizer):
    """A bound Ω(w) ≤ λ and nothing else: only `project` is offered."""

    def can(self, ability: str) -> bool:
        return ability == "project" or (ability == "value" and super().can(ability))


def rows(w: Tensor) -> Tensor:
    """w as a matrix (outputs, everything else): one row an output filter or neuron; a vector has rows of one."""
    return w.reshape(w.shape[0], -1) if w.ndim > 1 else w.reshape(-1, 1)


def finite(matrix: Tensor) -> Tensor:
    """The matrix, zeros if anything in it is not finite: a decomposition would end the runs that train beside it."""
    return torch.where(torch.isfinite(matrix).all(), matrix, torch.zeros_like(matrix))


def row_norms(w: Tensor) -> Tensor:
    """‖w_j‖ of every row, shaped to multiply w: (outputs, 1, …)."""
    norms = torch.linalg.vector_norm(rows(w), dim=1)
    return norms.reshape(-1, *[1] * (w.ndim - 1)) if w.ndim else norms.reshape(())


def over(size: Scalar | Tensor, norm: Tensor) -> Tensor:
    """size/norm, 0 where the norm is 0 (a zero vector has no direction to be scaled along)."""
    safe = torch.where(norm > 0, norm, torch.ones_like(norm))
    return torch.where(norm > 0, size / safe, torch.zeros_like(norm))
