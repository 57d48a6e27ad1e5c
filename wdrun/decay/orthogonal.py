"""Orthogonal filters: Ω(w) = Σ_{i≠j} |⟨ŵ_i, ŵ_j⟩| over output filters, ŵ = w/‖w‖.

Keras' OrthogonalRegularizer(factor, mode="columns") on its (inputs, units) layout is λ = factor/(n(n−1)), n units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Regularizer, over, rows


@dataclass(frozen=True)
class Orthogonal(Regularizer):
    """Turns rows away from each other and leaves their lengths alone; not convex. A row of zeros takes no part."""

    convex = False

    def value(self, w: Tensor) -> Tensor:
        return _cosines(w)[1].abs().sum()

    def grad(self, w: Tensor) -> Tensor:
        unit, cosines, inverse = _cosines(w)
        signs = cosines.sign()
        along = (signs * cosines).sum(1, keepdim=True)
        return (2 * inverse * (signs @ unit - along * unit)).reshape(w.shape)


def _cosines(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of length one (n, m), the cosines between different rows (n, n), and 1/‖w_j‖ (n, 1)."""
    matrix = rows(w)
    inverse = over(1.0, torch.linalg.vector_norm(matrix, dim=1, keepdim=True))
    unit = matrix * inverse
    gram = unit @ unit.T
    return unit, gram * (1 - torch.eye(len(gram), dtype=w.dtype, device=w.device)), inverse
