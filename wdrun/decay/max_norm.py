"""Max-norm: ‖w_j‖₂ ≤ λ for every output filter or neuron j (Srivastava et al. 2014; Keras' MaxNorm over the inputs)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Constraint, row_norms
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class MaxNorm(Constraint):
    """Ω(w) = max_j ‖w_j‖; a longer row is scaled back to λ."""

    def value(self, w: Tensor) -> Tensor:
        return row_norms(w).amax()

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        norms = row_norms(w)
        return torch.where(norms > radius, w * (radius / norms), w)
