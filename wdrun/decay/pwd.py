"""pWD: w⁺ ← (w − ηu)/(1 + ηλc|w|^(p−2)), w of before the step, p = `decay.p` (Outmezguine & Levi 2024, PAdam).

The decoupled step of Ω = (1/p)Σ|w|^p (`lp.py`): it stands still where u + λc·sgn(w)|w|^(p−1) = 0, and however large
ηλ, the factor is in [0, 1]. λ of the authors' code, which leaves out the 1/p, is λ/p. For p < 2 a weight of 0 stays 0
while it is decayed, also one that begins there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.accepts import check, number
from wdrun.decay.base import Context, Decay
from wdrun.decay.lp import Lp
from wdrun.tensors import Scalar, Tensors


@dataclass(frozen=True, kw_only=True)
class Pwd(Decay):
    """p = 2 is proximal l2; below it small weights shrink by a larger factor than large ones."""

    formula = "w⁺ ← (w − ηu)/(1 + ηλc|w|^(p−2))"
    overshoots = False

    p: float

    def __post_init__(self) -> None:
        check("decay.p", self.p, number(above=0, high=2))

    def omega(self, name: str, state: Tensors) -> Lp:
        return Lp(self.p)

    def after_one(self, name: str, new: Tensor, k: Scalar, ctx: Context) -> Tensor:
        keeps = ctx.params[name].abs().pow(2 - self.p)
        all_of_it = keeps + ctx.lr(name) * k
        return new * torch.where(all_of_it > 0, keeps / all_of_it, 1.0)  # 0/0: no pull in this step on a weight of 0
