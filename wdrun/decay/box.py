"""Box: |w_i| ≤ λ for every weight (article 001's constraint on a weight's range)."""

from dataclasses import dataclass

from torch import Tensor

from wdrun.decay.regularizer import Constraint
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class Box(Constraint):
    """Ω(w) = max|w_i|; what is outside is clipped."""

    def value(self, w: Tensor) -> Tensor:
        return w.abs().amax()

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        return w.clamp(-radius, radius)  # type: ignore[arg-type]
