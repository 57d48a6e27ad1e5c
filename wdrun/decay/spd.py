"""SPD: w⁺ ← w̃ − λr(w̃ − w₀) where ⟨g, w − w₀⟩ > 0, else w̃, with w̃ = w − ηu (Tian, Huang & Kira 2024).

Selective projection decay: r = (1 − ‖w − w₀‖/‖w̃ − w₀‖)₊ is how far the step leads away from w₀. It is held back only
where −g points to w₀ all the same, tensor by tensor; λ = 1 puts it back to its former distance. w₀ is the weight that
training starts from (`decay.anchor=initial`: fine-tuning, with `init_from`) or 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.accepts import check, one_of
from wdrun.decay.base import Context, Decay
from wdrun.decay.regularizer import over
from wdrun.tensors import Scalar, Tensors, axpy

ANCHORS = ("initial", "zero")


@dataclass(frozen=True, kw_only=True)
class Spd(Decay):
    """λ is a share of the step, so neither the lr nor its schedule multiplies it. g is as the optimizer saw it."""

    by_element = False
    formula = "w⁺ ← w̃ − λcr(w̃ − w₀) where ⟨g, w − w₀⟩ > 0, w̃ = w − ηu, r = (1 − ‖w − w₀‖/‖w̃ − w₀‖)₊"
    about = (
        "λ is free of the lr and of its schedule: 1 keeps the distance to w₀ where −g points there, above 1 shortens it"
    )
    tries = "lambda=0,0.1,0.3,1,3"

    anchor: str

    def __post_init__(self) -> None:
        check("decay.anchor", self.anchor, one_of(*ANCHORS))

    def init(self, params: Tensors) -> Tensors:
        if self.anchor == "zero":
            return {n: params[n].new_zeros(()) for n in self.scale}
        return {n: params[n].detach().clone() for n in self.scale}

    def after_one(self, name: str, new: Tensor, k: Scalar, ctx: Context) -> Tensor:
        before, after = ctx.params[name] - ctx.state[name], new - ctx.state[name]
        norm = torch.linalg.vector_norm(after)
        share = over(norm - torch.linalg.vector_norm(before), norm).clamp_min(0)
        back = (ctx.grads[name] * before).sum() > 0  # −g points to w₀
        return axpy(-k * torch.where(back, share, 0.0), after, new)

    def penalty(self, params: Tensors, state: Tensors, lam: Scalar, progress: float) -> Tensor:
        """0: a share of a step is no term of the objective."""
        return torch.zeros(())
