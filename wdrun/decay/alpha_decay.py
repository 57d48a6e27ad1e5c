"""AlphaDecay: l2 with λ_j = λ·f(α_j), f linear in the exponent of the tail of a tensor's spectrum (He et al. 2025).

Of the N eigenvalues x of WᵀW, ascending, α_j is Hill's estimate over the upper half, i = ⌊N/2⌋ + 1, …, N:
α = 1 + 1/mean(ln(x/x_i)). The smallest α, the heaviest tail, is decayed by `low`·λ, the largest by `high`·λ; where all
are equal, f = 1. As in the authors' code the eigenvalues of a convolution are those of its k² matrices (outputs,
inputs), pooled; α is taken at the start and every `every` steps; and f = 1 for a tensor of fewer than `least`
eigenvalues, with `ends=false` for the first and the last too. Here a rank below half counts as the heaviest tail.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wdrun.accepts import boolean, check, number, whole
from wdrun.decay.base import Context, Decay, unless_off
from wdrun.decay.regularizer import finite, over
from wdrun.tensors import Scalar, Tensors, is_off


@dataclass(frozen=True, kw_only=True)
class AlphaDecay(Decay):
    """Memory a tensor: f, a scalar. The penalty takes f of the weights it is asked for, not that of the memory."""

    by_element = False
    capturable = False  # a decomposition, in some steps only
    to_zero = True
    about = "λ is that of l2, times a factor a tensor, by the tail of its spectrum; D is a mean over the weights"

    every: int
    low: float
    high: float
    least: int
    ends: bool

    def __post_init__(self) -> None:
        check("decay.every", self.every, whole(1))
        check("decay.low", self.low, number(0))
        check("decay.high", self.high, number(0))
        check("decay.least", self.least, whole(1))
        check("decay.ends", self.ends, boolean())

    def init(self, params: Tensors) -> Tensors:
        return self.factors(params)

    def strengths(self, ctx: Context) -> dict[str, Scalar]:
        return {n: lam * ctx.state[n] for n, lam in super().strengths(ctx).items()}

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        new, state = super().after(new, ctx)
        off = ctx.knobs.lam  # 0 in some of several runs
        if is_off(off) or ctx.knobs.t % self.every:
            return new, state
        return new, {n: unless_off(off, state[n], f) for n, f in self.factors(new).items()}

    def value(self, params: Tensors, state: Tensors, of: Collection[str] | None = None) -> Tensor:
        factors = self.factors(params)
        return Decay.value(replace(self, scale={n: c * factors[n] for n, c in self.scale.items()}), params, state, of)

    def remark(self, name: str, memory: Tensors) -> str:
        return f"λ × {memory[name].item():.3g} at first, by its spectrum"

    def factors(self, params: Tensors) -> Tensors:
        """f of every parameter in scope, a scalar each."""
        found = {n: params[n].new_ones(()) for n in self.scale}
        matrices = [n for n in self.scale if params[n].ndim > 1]
        inner = matrices if self.ends else matrices[1:-1]
        names = [n for n in inner if params[n][0, 0].numel() * min(params[n].shape[:2]) >= self.least]
        if names:
            alphas = torch.stack([exponent(params[n].detach()) for n in names])
            least, spread = alphas.amin(), alphas.amax() - alphas.amin()
            apart = spread > _rounding(alphas) * alphas.amax()
            mapped = self.low + (self.high - self.low) * over(alphas - least, spread)
            found |= zip(names, torch.where(apart, mapped, 1.0).unbind(), strict=True)
        return found


def exponent(w: Tensor) -> Tensor:
    """α of the spectrum of w, a matrix (outputs, inputs) or a convolution (outputs, inputs, …): a scalar."""
    matrices = w.flatten(2).movedim(-1, 0) if w.ndim > 2 else w
    sizes = torch.linalg.svdvals(finite(matrices)).flatten().sort().values.square()
    logs = sizes.clamp_min(torch.finfo(w.dtype).tiny).log()
    tail = logs[logs.numel() // 2 :]
    return 1 + 1 / (tail - tail[0]).mean().clamp_min(_rounding(tail))


def _rounding(x: Tensor) -> float:
    """Below this share of them numbers are as good as equal: half of the digits of their type."""
    return float(torch.finfo(x.dtype).eps ** 0.5)
