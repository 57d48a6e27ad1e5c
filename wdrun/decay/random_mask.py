"""Random mask: w⁺ ← w − ηu − ηλc·b⊙w, b ~ Bernoulli(mean(1[u⊙w ≥ 0])): the control for cautious (Chen et al. 2025).

Each weight decays with the probability that cautious decay would act in its tensor at this step, whatever its sign.
"""

import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from wdrun.accepts import check, whole
from wdrun.decay.base import Context, Decay
from wdrun.tensors import Scalar, axpy


@dataclass(frozen=True, kw_only=True)
class RandomMask(Decay):
    """b is a function of (mask_seed, step, parameter): no generator, so it resumes and lifts over runs."""

    by_element = False  # the probability is that of a whole tensor
    formula = "w⁺ ← w − ηu − ηλcΩ'(w)·b, b ~ Bernoulli(mean(1[u⊙w ≥ 0]))"

    mask_seed: int

    def __post_init__(self) -> None:
        check("decay.mask_seed", self.mask_seed, whole(0))

    def after_one(self, name: str, new: Tensor, k: Scalar, ctx: Context) -> Tensor:
        w = ctx.params[name]
        ratio = (ctx.updates[name] * w >= 0).to(w.dtype).mean()
        mask = uniform(w, self.mask_seed + zlib.crc32(name.encode()), ctx.knobs.t) < ratio
        return axpy(-ctx.lr(name) * k, self.regularizer.grad(w) * mask, new)


def uniform(like: Tensor, key: int, t: int) -> Tensor:
    """Numbers in [0, 1), shaped like a tensor: 24 bits of a hash of (element, key, t), in 32-bit arithmetic."""
    element = torch.arange(1, like.numel() + 1, device=like.device).reshape(like.shape)
    step = _mix(torch.as_tensor(t, device=like.device).long() + zlib.crc32(str(key).encode()))
    return (_mix(element * 0x9E3779B1 ^ step) >> 8).to(like.dtype) * 2**-24


def _mix(x: Tensor) -> Tensor:
    """A bijection of 32-bit numbers in which every input bit moves every output bit about half the time."""
    for factor in (0x7FEB352D, 0x846CA68B):
        x = x & 0xFFFFFFFF
        x = (x ^ (x >> 16)) * factor
    x = x & 0xFFFFFFFF
    return x ^ (x >> 16)
