"""Spectral norm: Ω(w) = ½σ², σ the largest singular value of w as (outputs, inputs) (Yoshida & Miyato 2017).

σ is exact, from the eigenvectors of the smaller Gram matrix; the paper iterates towards it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Regularizer, finite, rows
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class Spectral(Regularizer):
    """Ω' = σ·u·vᵀ: shrinks the direction a layer amplifies most; project clips singular values at √(2·radius)."""

    capturable = False

    def value(self, w: Tensor) -> Tensor:
        return 0.5 * torch.linalg.eigvalsh(_gram(w))[-1].clamp_min(0)

    def grad(self, w: Tensor) -> Tensor:
        matrix = rows(w)
        top = torch.linalg.eigh(_gram(w)).eigenvectors[:, -1:]  # (smaller side, 1)
        tall = matrix.shape[0] > matrix.shape[1]
        pull = (matrix @ top) @ top.T if tall else top @ (top.T @ matrix)
        return pull.reshape(w.shape)

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        limit = torch.as_tensor((2 * radius) ** 0.5, dtype=w.dtype, device=w.device)
        left, sizes, right = torch.linalg.svd(finite(rows(w)), full_matrices=False)
        clipped = (left * torch.minimum(sizes, limit)) @ right
        return torch.where(sizes[0] > limit, clipped.reshape(w.shape), w)


def _gram(w: Tensor) -> Tensor:
    matrix = rows(w)
    return finite(matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T)
