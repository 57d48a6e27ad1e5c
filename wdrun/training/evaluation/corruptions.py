"""Corruptions of images: the image operations are torchvision's. Shapes: x (B, C, H, W) in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def gaussian_noise(x: Tensor, sigma: float) -> Tensor:
    """clip(x + σε, 0, 1), ε standard normal from the global generator: seed it, and every σ adds the same ε."""
    from torchvision.transforms.v2 import functional

    return functional.gaussian_noise(x, sigma=sigma)


def blur(x: Tensor, sigma: float) -> Tensor:
    """x convolved with a Gaussian of σ pixels, cut at 4σ, the border mirrored; σ = 0 is x."""
    from torchvision.transforms.v2 import functional

    reach = min(math.ceil(4 * sigma), *(edge - 1 for edge in x.shape[-2:]))  # a mirror is no wider than the image
    return functional.gaussian_blur(x, [2 * reach + 1] * 2, [sigma] * 2) if reach else x


def brightness(x: Tensor, factor: float) -> Tensor:
    """clip(factor·x, 0, 1)."""
    from torchvision.transforms.v2 import functional

    return functional.adjust_brightness(x, factor)


def contrast(x: Tensor, factor: float) -> Tensor:
    """clip(m + factor·(x − m), 0, 1), m the mean grey of the image."""
    from torchvision.transforms.v2 import functional

    return functional.adjust_contrast(x, factor)


CORRUPTIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "blur": blur,
    "brightness": brightness,
    "contrast": contrast,
}


def corrupt(name: str, x: Tensor, strength: float, seed: int) -> Tensor:
    """x corrupted, its randomness a function of `seed` alone; the process's generators stay as they are."""
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        torch.manual_seed(seed)
        return CORRUPTIONS[name](x, strength)
