"""CPR: m_j ← max(0, m_j + (λc/n)(R_j − κ_j)), w⁺ ← w − ηu − m_j·R'(w), R = ‖w‖² (Franke et al. 2024).

Constrained parameter regularization: one multiplier m_j and one bound κ_j a tensor of n weights; λ is how fast m_j
follows the excess over the bound (the paper's μ). κ_j is `kappa_value` (kappa=uniform), `kappa_value`·R(w₀) (init),
R itself after `kappa_after` steps (warm_up), or R where its growth slows (inflection).

The inflection is found as in the authors' AdamCPR (pytorch-cpr 0.3.1, its foreach path; its other path finds none).
x is ‖w‖, from step 200 on its moving mean x ← βx + (1−β)‖w‖ with β = `smoothing`. At t = 200k, k = 1, 2, … its growth
is G_k = (x_k − x_{k−1})/x_k, and κ_j is R at the first k ≥ 4 with 1% < G_k < G_{k−1}, no earlier than `kappa_after`.
"""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from wdrun.accepts import check, number, one_of, whole
from wdrun.decay.base import Context, Decay, unless_off
from wdrun.decay.regularizer import over
from wdrun.tensors import Scalar, Tensors, axpy, is_off

KINDS = ("uniform", "init", "warm_up", "inflection")
WINDOW = 200  # steps over which growth is measured: the authors' reg_step_size
LEAST = 0.01  # a norm that grows by less of itself in a window stands still, and what slows is only its noise


@dataclass(frozen=True, kw_only=True)
class Cpr(Decay):
    """Lets a tensor grow to its bound and no further.

    Memory a tensor: m, κ (∞ until known); for an inflection also the mean of ‖w‖, and that mean and its growth as they
    were at the end of the last window.
    """

    by_element = False
    about = "λ is how fast m follows the excess over the bound, the paper's μ; the bound itself is decay.kappa"
    tries = "lambda=0,0.1,1,10"
    formula = "m ← max(0, m + (λc/n)(‖w‖² − κ)); w⁺ ← w − ηu − 2mw"

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
            state |= {f"{n}.m": zero, f"{n}.kappa": bound}
            if self.kappa == "inflection":
                state |= {f"{n}.mean": size.sqrt(), f"{n}.before": size.sqrt(), f"{n}.growth": torch.zeros_like(size)}
        return state

    def holder(self, key: str) -> str:
        return key.rpartition(".")[0]

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        if is_off(ctx.knobs.lam):
            return new, ctx.state
        lams = self.strengths(ctx)
        moved: Tensors = {}
        state = dict(ctx.state)
        for n, c in self.scale.items():
            m, kappa = ctx.state[f"{n}.m"], ctx.state[f"{n}.kappa"]
            size = new[n].square().sum()
            excess = torch.where(kappa < inf, size - kappa, 0.0)
            m = (m + lams[n] * c / new[n].numel() * excess).clamp_min(0)
            moved[n] = axpy(-2 * m, new[n], new[n])
            t = torch.as_tensor(ctx.knobs.t, device=size.device)
            found = t >= self.kappa_after
            if self.kappa == "inflection":
                slows, seen = self._slows(n, size.sqrt(), t, ctx.state)
                found, state = found & slows, state | seen
            kappa = torch.where((kappa == inf) & found, size, kappa)
            state |= {f"{n}.m": m, f"{n}.kappa": kappa}
        off = ctx.knobs.lam  # 0 in some of several runs
        kept = {n: unless_off(off, ctx.state[n], memory) for n, memory in state.items()}
        return new | {n: unless_off(off, new[n], w) for n, w in moved.items()}, kept

    def _slows(self, name: str, norm: Tensor, t: Tensor, state: Tensors) -> tuple[Tensor, Tensors]:
        """Whether a window that ends with step t grew less than the one before it, and what the next step must know."""
        mean, before, last = (state[f"{name}.{part}"] for part in ("mean", "before", "growth"))
        mean = torch.where(t < WINDOW, norm, self.smoothing * mean + (1 - self.smoothing) * norm)
        growth = over(mean - before, mean)
        ends = t % WINDOW == 0
        slows = ends & (t > 3 * WINDOW) & (growth < last) & (growth > LEAST)
        kept = {"mean": mean, "before": torch.where(ends, mean, before), "growth": torch.where(ends, growth, last)}
        return slows, {f"{name}.{part}": value for part, value in kept.items()}

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        """0: a bound that is followed adds nothing to the objective, and λ is no strength of Ω."""
        return torch.zeros(())
