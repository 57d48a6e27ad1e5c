"""Group lasso: Ω(w) = Σ_j √n·‖w_j‖₂ over output filters j of n weights (Yuan & Lin 2006, equation 2.1)."""

from dataclasses import dataclass

from torch import Tensor

from wdrun.decay.regularizer import Regularizer, over, row_norms, rows
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class GroupLasso(Regularizer):
    """Rows are filters or neurons; prox shrinks each along itself, to exactly zero below t√n: dead filters."""

    def value(self, w: Tensor) -> Tensor:
        return _root_size(w) * row_norms(w).sum()

    def grad(self, w: Tensor) -> Tensor:
        return w * over(_root_size(w), row_norms(w))

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return w * (1 - over(t * _root_size(w), row_norms(w))).clamp_min(0)


def _root_size(w: Tensor) -> float:
    return rows(w).shape[1] ** 0.5
