"""Decay toward a norm: Ω(w) = ½(‖w‖ − r)², r = `decay.target`·‖w₀‖ (weight norm control, AdamWN, Loshchilov 2023)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.accepts import check, number
from wdrun.decay.regularizer import Anchored, over
from wdrun.tensors import Scalar


@dataclass(frozen=True, kw_only=True)
class TargetNorm(Anchored):
    """Ω' = (1 − r/‖w‖)·w per tensor: grows a small tensor, shrinks a large one; target = 0 is L2."""

    convex = False

    target: float

    def __post_init__(self) -> None:
        check("decay.target", self.target, number(0))

    def remember(self, w: Tensor) -> Tensor:
        return torch.linalg.vector_norm(w.detach())

    def value(self, w: Tensor) -> Tensor:
        return 0.5 * (torch.linalg.vector_norm(w) - self.target * self.start).square()

    def grad(self, w: Tensor) -> Tensor:
        return w - w * over(self.target * self.start, torch.linalg.vector_norm(w))

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        size = torch.linalg.vector_norm(w)
        return w * over((size + t * self.target * self.start) / (1 + t), size)
