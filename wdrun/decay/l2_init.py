"""L2 toward the initial weights: Ω(w) = ½‖w − w₀‖² (L2-SP, Li, Grandvalet & Davoine 2018; Kumar et al. 2023)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.regularizer import Anchored
from wdrun.tensors import Scalar


@dataclass(frozen=True, kw_only=True)
class L2Init(Anchored):
    """Ω' = w − w₀: pulls back to where training started, not to zero."""

    fresh = True

    def remember(self, w: Tensor) -> Tensor:
        return w.detach().clone()

    def each(self, w: Tensor) -> Tensor:
        return 0.5 * (w - self.start).square()

    def grad(self, w: Tensor) -> Tensor:
        return w - self.start

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return w - (w - self.start) * (t / (1 + t))

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        """Onto the ball ‖z − w₀‖ ≤ √(2·radius)."""
        away = w - self.start
        size, limit = torch.linalg.vector_norm(away), (2 * radius) ** 0.5
        return torch.where(size > limit, self.start + away * (limit / size), w)
