"""L1 ball: Σ|w| ≤ λ for every tensor (Duchi et al. 2008): the lasso as a constraint, with exact zeros."""

from dataclasses import dataclass

from torch import Tensor

from wdrun.decay.l1 import L1
from wdrun.decay.regularizer import Constraint
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class L1Ball(Constraint):
    """Ω(w) = Σ|w|; what is outside is soft-thresholded onto the ball."""

    def value(self, w: Tensor) -> Tensor:
        return w.abs().sum()

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        return L1().project(w, radius)
