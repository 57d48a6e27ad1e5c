"""Stable weight decay: w⁺ ← w − ηu − ηλcw/√v̄, v̄ the mean of Adam's v̂ over all parameters (Xie et al. 2023, AdamS).

v̄ is kept as one number, the bias-corrected mean over steps (decay `decay.beta2`) of the mean of g² over all weights:
with Adam and its own β₂ that is mean(v̂) exactly, and with other optimizers it is the same measure of gradient size.
"""

from dataclasses import dataclass, replace

import torch

from wdrun.accepts import check, number
from wdrun.decay.base import Context, Decay
from wdrun.decay.regularizer import over
from wdrun.tensors import Scalar, Tensors


@dataclass(frozen=True, kw_only=True)
class Swd(Decay):
    """Decays in units of the gradients' size, as Adam steps do; no decay before the first gradient that is not 0."""

    formula = "w⁺ ← w − ηu − ηλcΩ'(w)/√v̄, v̄ the mean of v̂ over all parameters"

    beta2: float

    def __post_init__(self) -> None:
        check("decay.beta2", self.beta2, number(0, below=1))

    def init(self, params: Tensors) -> Tensors:
        return {"v": next(iter(params.values())).new_zeros(())}

    def holder(self, key: str) -> str:
        return ""

    def strength(self, ctx: Context) -> Scalar:
        mean = ctx.state["v"] / (1 - self.beta2**ctx.knobs.t)
        return super().strength(ctx) * over(1.0, mean.sqrt())

    def after(self, new: Tensors, ctx: Context) -> tuple[Tensors, Tensors]:
        squares = torch.stack([g.square().sum() for g in ctx.grads.values()]).sum()
        mean = squares / sum(g.numel() for g in ctx.grads.values())
        state = {"v": ctx.state["v"].lerp(mean.to(ctx.state["v"].dtype), 1 - self.beta2)}
        return super().after(new, replace(ctx, state=state))
