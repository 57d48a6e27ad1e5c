"""L2 ball: ‖w‖₂ ≤ λ for every tensor (of a convolution, its Frobenius norm)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Constraint
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class L2Ball(Constraint):
    """Ω(w) = ‖w‖, not its square: λ is the norm itself; what is outside is scaled back."""

    def value(self, w: Tensor) -> Tensor:
        return torch.linalg.vector_norm(w)

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        size = self.value(w)
        return torch.where(size > radius, w * (radius / size), w)
