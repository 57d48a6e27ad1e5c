"""L2, the classic weight decay: Ω(w) = ½‖w‖² (Krogh & Hertz 1991; decoupled: Loshchilov & Hutter 2019)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class L2(Regularizer):
    """Ω(w) = ½Σw², Ω' = w: λ is torch's `weight_decay`; Keras' `l2(c)` is λ = 2c."""

    def each(self, w: Tensor) -> Tensor:
        return 0.5 * w.square()

    def grad(self, w: Tensor) -> Tensor:
        return w

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return w / (1 + t)

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        """Onto the ball ‖z‖ ≤ √(2·radius)."""
        size = torch.linalg.vector_norm(w)
        limit = (2 * radius) ** 0.5
        # The shrink factor is only taken outside the ball, so a point inside is returned unchanged, bit for bit.
        return torch.where(size > limit, w * (limit / size), w)
