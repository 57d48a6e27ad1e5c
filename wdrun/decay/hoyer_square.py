"""Hoyer-square: Ω(w) = (Σ|w|)²/Σw² (Yang, Wen & Li 2020, DeepHoyer): counts weights, 1 = one, numel = all equal."""

from dataclasses import dataclass

from torch import Tensor

from wdrun.decay.regularizer import Regularizer, over


@dataclass(frozen=True)
class HoyerSquare(Regularizer):
    """Scale-free and not convex: shrinks weights below Σw²/Σ|w| and grows those above; Ω = 0 for w = 0."""

    convex = False

    def value(self, w: Tensor) -> Tensor:
        return over(w.abs().sum().square(), w.square().sum())

    def grad(self, w: Tensor) -> Tensor:
        ratio = over(w.abs().sum(), w.square().sum())
        return 2 * ratio * (w.sign() - ratio * w)
