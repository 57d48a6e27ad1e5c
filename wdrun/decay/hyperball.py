"""Hyperball: w⁺ ← R·n(w − η·R·n(u)), R = λ‖w₀‖, n(x) = x/‖x‖: norm and step of fixed size (Wen et al. 2026, AdamH).

η is the relative step: a tensor turns by arctan η where u is across it. An lr to begin with is √(lr·λ) of the AdamW run
that it replaces, as both turn the weights alike. The paper has matrices; here the norm is that of any whole tensor.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.decay.base import Context
from wdrun.decay.regularizer import over
from wdrun.decay.rescale import Rescale
from wdrun.tensors import Scalar, axpy


@dataclass(frozen=True, kw_only=True)
class Hyperball(Rescale):
    """As rescale, after a step of length η times the norm that is kept; λ = 0 is the optimizer's own step."""

    formula = "w⁺ ← R·n(w − η·R·n(u)), R = λc‖w₀‖, n(x) = x/‖x‖"
    about = "λ is the norm that is kept, in initial norms; tune lr, the relative step: begin at √(lr·λ) of AdamW"
    tries = "lr=0.003,0.01,0.03,0.1"

    def after_one(self, name: str, new: Tensor, k: Scalar, ctx: Context) -> Tensor:
        w, u, eta = ctx.params[name], ctx.updates[name], ctx.lr(name)
        step = u * over(k * ctx.state[name], torch.linalg.vector_norm(u))
        others = new - axpy(-eta, u, w)  # what rules before it in a chain did, 0 to the bit without them
        return super().after_one(name, axpy(-eta, step, w) + others, k, ctx)
