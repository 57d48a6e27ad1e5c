"""Lp: Ω(w) = (1/p)Σ|w|^p, 0 < p ≤ 2, p = `decay.p` (Outmezguine & Levi 2024, arXiv 2404.10824); p = 2 is l2, p = 1 l1.

λ of the authors' code, which leaves out the 1/p, is λ/p. For p < 1 the gradient is infinite at 0, so only `prox` is
offered; it jumps, as Ω is not convex, and sets to 0 what it does not keep at a share of its size:

    prox_t(w) = x·w, x the larger root of x + T·x^(p−1) = 1, T = t|w|^(p−2), for T < T_p, else 0
    T_p = x_p^(2−p)·p/(2(1−p)), x_p = 2(1−p)/(2−p), the least share that is kept.

Both follow from x + T·x^(p−1) = 1, a derivative of 0, and ½(1−x)² + T·x^p/p = ½, where keeping x is as good as 0.
"""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from wdrun.accepts import check, number
from wdrun.decay.l1 import L1
from wdrun.decay.regularizer import Regularizer
from wdrun.tensors import Scalar

# Newton's steps from the start used below to float64's last digit, for every p and T: 6 and 10, and some to spare.
BELOW_1, ABOVE_1 = 8, 12


@dataclass(frozen=True)
class Lp(Regularizer):
    """Between L1 and L2 for p in [1, 2]; for p < 1 sparser than L1. `prox` and `project` are exact for every p."""

    p: float

    def __post_init__(self) -> None:
        check("decay.p", self.p, number(above=0, high=2))

    def can(self, ability: str) -> bool:
        return super().can(ability) and not (self.lacks_at and ability in ("grad", "project"))

    @property
    def lacks_at(self) -> str:
        return "p < 1" if self.p < 1 else ""

    def each(self, w: Tensor) -> Tensor:
        size = w.abs()
        return torch.where(size > 0, size, 1.0).pow(self.p).where(size > 0, 0.0) / self.p  # no nan in autograd at 0

    def grad(self, w: Tensor) -> Tensor:
        return w.sign() * w.abs().pow(self.p - 1)

    def prox(self, w: Tensor, t: Scalar) -> Tensor:
        if self.p == 1:
            return L1().prox(w, t)
        most = torch.finfo(w.dtype).max  # so that T = 0 for t = 0, whatever w
        weight = t * w.abs().pow(self.p - 2).clamp_max(most)  # T
        return w * (_kept(weight, self.p) if self.p < 1 else _shrunk(weight, self.p))

    def project(self, w: Tensor, radius: Scalar) -> Tensor:
        return L1().project(w, radius) if self.p == 1 else super().project(w, radius)


def _kept(weight: Tensor, p: float) -> Tensor:
    """x of p < 1: Newton's method from 1, where x + T·x^(p−1) − 1 is convex, down to its larger root."""
    least = 2 * (1 - p) / (2 - p)
    largest = least ** (2 - p) * p / (2 * (1 - p))
    x = torch.ones_like(weight)
    for _ in range(BELOW_1):
        pull = weight * x.pow(p - 1)
        x = (x * (1 - (2 - p) * pull) / (x - (1 - p) * pull)).clamp_min(least)
    return torch.where(weight < largest, x, 0.0)


def _shrunk(weight: Tensor, p: float) -> Tensor:
    """x of p > 1: Newton's method in s = log x, where e^s + T·e^((p−1)s) − 1 rises and is convex, from s above."""
    s = (-weight.log() / (p - 1)).clamp_max(0.0)
    for _ in range(ABOVE_1):
        x, pull = s.exp(), weight * ((p - 1) * s).exp()
        s = s - (x + pull - 1) / (x + (p - 1) * pull)
    return torch.where(weight < inf, s.exp(), 0.0)
