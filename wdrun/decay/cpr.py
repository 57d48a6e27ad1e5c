"""CPR: m_j ← max(0, m_j + (λc/n)(R_j − κ_j)), w⁺ ← w − ηu − m_j·R'(w), R = ‖w‖² (Franke et al. 2024).

Constrained parameter regularization: one multiplier m_j and one bound κ_j a tensor of n weights; λ is how fast m_j
follows the excess over the bound (the paper's μ). κ_j is `kappa_value` (kappa=uniform), `kappa_value`·R(w₀) (init),
or R itself after `kappa_after` steps (warm_up), or at the first bend of its growth after these (inflection).
"""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from wdrun.accepts import check, number, one_of, whole
from wdrun.decay.base import Context, Decay, Tensors, axpy, is_off, unless_off

KINDS = ("uniform", "init", "warm_up", "inflection")


@dataclass(frozen=True, kw_only=True)
class Cpr(Decay):
    """Lets a tensor grow to its bound and no further. Memory a tensor: m, κ (∞ until known), R's mean and its slope."""

    by_element = False

    kappa: str
    kappa_value: float
    kappa_after: int
    smoothing: float

    def __post_init__(self) -> None:
        check("decay.kappa", self.kappa, one_of(*KINDS))
        check("decay.kappa_value", self.kappa_value, number(0))
        check("decay.kappa_after", self.kappa_after, whole(1))
        check("decay.smoothing", self.smoothing, number(0, below=1))

    def init(self, params: Tensors) -> Tensors:
        state: Tensors = {}
        for n in self.scale:
            size = params[n].detach().square().sum()
            zero = torch.zeros_like(size)
            bound = {"uniform": zero + self.kappa_value, "init": size * self.kappa_value}.get(self.kappa, zero + inf)
            state |= {f"{n}.m": zero, f"{n}.kappa": bound, f"{n}.mean": size, f"{n}.slope": zero - inf}
        return state

    def shrink(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        if is_off(ctx.lam):
            return new, ctx.state
        lam = self.strength(ctx)
        late = torch.as_tensor(ctx.t >= self.kappa_after)
        moved: Tensors = {}
        state: Tensors = {}
        for n, c in self.scale.items():
            m, kappa, mean, slope = (ctx.state[f"{n}.{part}"] for part in ("m", "kappa", "mean", "slope"))
            size = new[n].square().sum()
            excess = torch.where(kappa < inf, size - kappa, 0.0)
            m = (m + lam * c / new[n].numel() * excess).clamp_min(0)
            moved[n] = axpy(-2 * m, new[n], new[n])
            mean, before = mean.lerp(size, 1 - self.smoothing), mean
            found = late & (mean - before < slope) if self.kappa == "inflection" else late
            kappa = torch.where((kappa == inf) & found.to(kappa.device), size, kappa)
            state |= {f"{n}.m": m, f"{n}.kappa": kappa, f"{n}.mean": mean, f"{n}.slope": mean - before}
        return new | unless_off(ctx.lam, new, moved), unless_off(ctx.lam, ctx.state, state)

    def value(self, params: Tensors, state: Tensors) -> Tensor:
        return torch.zeros(())

    @property
    def formula(self) -> str:
        return "m ← max(0, m + (λc/n)(‖w‖² − κ)); w⁺ ← w − ηu − 2mw"
