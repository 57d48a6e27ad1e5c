"""Elastic net: Ω(w) = αΣ|w| + (1−α)·½Σw² (Zou & Hastie 2005), α = `decay.l1_ratio`."""

from dataclasses import dataclass

from torch import Tensor

from wdrun.decay.l1 import soft_threshold
from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar, axpy


@dataclass(frozen=True)
class ElasticNet(Regularizer):
    """Ω(w) = αΣ|w| + (1−α)·½Σw²; α = 0 is L2, α = 1 is L1."""

    fresh = True

    l1_ratio: float

    def each(self, w: Tensor) -> Tensor:
        return self.l1_ratio * w.abs() + 0.5 * (1 - self.l1_ratio) * w.square()

    def grad(self, w: Tensor) -> Tensor:
        return axpy(self.l1_ratio, w.sign(), (1 - self.l1_ratio) * w)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return soft_threshold(w, t * self.l1_ratio) / (1 + t * (1 - self.l1_ratio))
