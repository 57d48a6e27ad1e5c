"""L1, the lasso penalty: Ω(w) = Σ|w| (Tibshirani 1996). Exact zeros need the proximal coupling."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar


def soft_threshold(w: Tensor, t: Scalar) -> Tensor:
    """sign(w)·(|w| − t)₊, written as w − clamp(w, −t, t): two kernels, and exact zeros."""
    return w - w.clamp(-t, t)  # type: ignore[arg-type]


@dataclass(frozen=True)
class L1(Regularizer):
    """Ω(w) = Σ|w|, Ω' = sign(w); prox = soft threshold; project = onto the L1 ball (Duchi et al. 2008)."""

    fresh = True

    def each(self, w: Tensor) -> Tensor:
        return w.abs()

    def grad(self, w: Tensor) -> Tensor:
        return w.sign()

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return soft_threshold(w, t)

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        magnitude = w.abs().flatten().sort(descending=True).values  # (n,)
        excess = magnitude.cumsum(0) - radius
        rank = torch.arange(1, magnitude.numel() + 1, dtype=w.dtype, device=w.device)
        # The threshold θ with Σ(|w| − θ)₊ = radius is the largest excess/rank over the prefixes.
        threshold = (excess / rank).amax()
        return torch.where(w.abs().sum() > radius, self.prox(w, threshold), w)
