"""Rescale: w⁺ ← (w − ηu)·λ‖w₀‖/‖w − ηu‖: a fixed norm, the control that keeps what decay does to size and no more."""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.base import Context, Decay
from wdrun.decay.regularizer import over
from wdrun.tensors import Scalar, Tensors


@dataclass(frozen=True, kw_only=True)
class Rescale(Decay):
    """Every tensor in scope is scaled to λ times its initial norm after each step; λ = 1 keeps that norm, 0 is off."""

    by_element = False
    formula = "w⁺ ← (w − ηu)·λc‖w₀‖/‖w − ηu‖"
    about = "λ is the norm that is kept, in initial norms: 1 keeps that of the start, 0 is off"
    tries = "lambda=0,0.5,1,2"

    def init(self, params: Tensors) -> Tensors:
        return {n: torch.linalg.vector_norm(params[n].detach()) for n in self.scale}

    def remark(self, name: str, memory: Tensors) -> str:
        return "" if memory[name] else "begins at 0 and stays there"

    def after_one(self, name: str, new: Tensor, k: Scalar, ctx: Context) -> Tensor:
        return new * over(k * ctx.state[name], torch.linalg.vector_norm(new))
