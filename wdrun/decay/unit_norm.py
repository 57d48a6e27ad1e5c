"""Unit norm: ‖w_j‖₂ = λ for every output filter or neuron j (Keras' UnitNorm over the inputs is λ = 1)."""

from dataclasses import dataclass

from torch import Tensor

from wdrun.decay.regularizer import Constraint, over, row_norms
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class UnitNorm(Constraint):
    """Every row is scaled to length λ; a row of zeros has no direction and stays."""

    def value(self, w: Tensor) -> Tensor:
        return row_norms(w).amax()

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        return w * over(radius, row_norms(w))

    def violation(self, w: Tensor, radius: Scalar) -> Tensor:
        norms = row_norms(w)
        return ((norms - radius).abs() * (norms > 0)).amax()
