"""No decay: Ω(w) = 0."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class Zero(Regularizer):
    """Ω(w) = 0: the reference every λ = 0 must equal bit for bit."""

    def each(self, w: Tensor) -> Tensor:
        return torch.zeros_like(w)

    def grad(self, w: Tensor) -> Tensor:
        return torch.zeros_like(w)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return w

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        return w
