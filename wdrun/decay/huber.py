"""Huber: Ω(w) = Σ h(w), h = ½w² for |w| ≤ δ, else δ(|w| − ½δ) (Huber 1964), δ = `decay.delta`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.accepts import check, number
from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class Huber(Regularizer):
    """L2 near zero, δ·L1 beyond: pulls on large weights no harder than on those of size δ."""

    fresh = True

    delta: float

    def __post_init__(self) -> None:
        check("decay.delta", self.delta, number(above=0))

    def each(self, w: Tensor) -> Tensor:
        near = w.clamp(-self.delta, self.delta)
        return near * (w - 0.5 * near)

    def grad(self, w: Tensor) -> Tensor:
        return w.clamp(-self.delta, self.delta)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return torch.where(w.abs() <= self.delta * (1 + t), w / (1 + t), w - t * self.delta * w.sign())
