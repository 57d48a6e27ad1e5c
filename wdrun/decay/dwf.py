"""Deep weight factorization's penalty: Ω(w) = Σ|w|^(2/D), D = `decay.depth` (Kolb et al. 2025, arXiv 2502.02496).

With w = ω₁⊙…⊙ω_D the minima of L(w) + (λ/D)Σ_i‖ω_i‖², weight decay 2λ/D on every factor, are those of L(w) + λΩ(w):
of all factors with that product those of equal size have the least sum of squares, D|w|^(2/D). This is the penalty;
the authors' training on the factors, with its own initial weights and learning rate, is another path to it, not a decay
of w, and not shipped.
"""

from dataclasses import dataclass

from torch import Tensor

from wdrun.accepts import check, whole
from wdrun.decay.lp import Lp
from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar


@dataclass(frozen=True)
class Dwf(Regularizer):
    """D = 2 is L1, D = 4 is Σ√|w|; (2/D) times Lp at p = 2/D."""

    depth: int

    def __post_init__(self) -> None:
        check("decay.depth", self.depth, whole(2))

    @property
    def p(self) -> float:
        """The exponent, 2/D."""
        return 2 / self.depth

    def can(self, ability: str) -> bool:
        return super().can(ability) and Lp(self.p).can(ability)

    @property
    def lacks_at(self) -> str:
        return "depth > 2" if self.depth > 2 else ""

    def each(self, w: Tensor) -> Tensor:
        return self.p * Lp(self.p).each(w)

    def grad(self, w: Tensor) -> Tensor:
        return self.p * Lp(self.p).grad(w)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        return Lp(self.p).prox(w, self.p * t)
