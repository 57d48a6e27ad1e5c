"""Log-sum: Ω(w) = Σ log(1 + |w|/ε) (Candès, Wakin & Boyd 2008, equation 11, less a constant), ε = `decay.epsilon`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.accepts import check, number
from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class LogSum(Regularizer):
    """Sparser than L1 and not convex: pulls with 1/(|w| + ε), so hard on small weights and hardly on large ones."""

    convex = False

    epsilon: float

    def __post_init__(self) -> None:
        check("decay.epsilon", self.epsilon, number(above=0))

    def each(self, w: Tensor) -> Tensor:
        return (w.abs() / self.epsilon).log1p()

    def grad(self, w: Tensor) -> Tensor:
        return w.sign() / (w.abs() + self.epsilon)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        """The larger root of (z − |w|)(z + ε) + t = 0, the one local minimum besides 0, where it is the better one."""
        size = w.abs()
        root = 0.5 * (size - self.epsilon + ((size + self.epsilon).square() - 4 * t).clamp_min(0).sqrt())
        root = torch.minimum(root.clamp_min(0), size)
        better = 0.5 * (root - size).square() + t * self.each(root) < 0.5 * size.square()
        return torch.where(better, w.sign() * root, torch.zeros_like(w))
