"""Schatten: Ω(w) = (1/p)Σσ^p of the singular values of w as (outputs, inputs), p = `decay.p`; p = 1: the nuclear norm.

prox_t(w) = U·prox_t(σ)·Vᵀ with the prox of Lp: for p = 1 singular value thresholding (Cai, Candès & Shen 2010), which
lowers the rank. λΣσ is the least ½λ(‖A‖² + ‖B‖²) of two factors AB = w, weight decay λ on each. One SVD a step.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.lp import Lp
from wdrun.decay.regularizer import Regularizer, finite, rows
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class Schatten(Regularizer):
    """`Lp` of the singular values, so what that offers: p < 1 has a prox only. p = 2 is L2; of one row Ω = ‖w‖^p/p."""

    capturable = False

    p: float

    def __post_init__(self) -> None:
        Lp(self.p)

    def can(self, ability: str) -> bool:
        return super().can(ability) and Lp(self.p).can(ability)

    @property
    def lacks_at(self) -> str:
        return Lp(self.p).lacks_at

    def value(self, w: Tensor) -> Tensor:
        return Lp(self.p).value(torch.linalg.svdvals(finite(rows(w))))

    def grad(self, w: Tensor) -> Tensor:
        left, sizes, right = _parts(w)
        return ((left * Lp(self.p).grad(sizes)) @ right).reshape(w.shape)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        left, sizes, right = _parts(w)
        shrunk = (left * Lp(self.p).prox(sizes, t)) @ right
        return torch.where(torch.isfinite(w).all(), shrunk.reshape(w.shape), w)

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        left, sizes, right = _parts(w)
        near = (left * Lp(self.p).project(sizes, radius)) @ right
        return torch.where(Lp(self.p).value(sizes) > radius, near.reshape(w.shape), w)


def _parts(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (outputs, n), σ (n,), Vᵀ (n, inputs) of w as a matrix."""
    return torch.linalg.svd(finite(rows(w)), full_matrices=False)
