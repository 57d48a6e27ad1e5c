"""Attacks on a classifier within ‖x′ − x‖∞ ≤ ε and the pixels' range [0, 1]. Shapes: x (B, C, H, W), y (B,)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Classifier = Callable[[Tensor], Tensor]  # pixels (B, C, H, W) in [0, 1] -> logits (B, K)


def fgsm(classify: Classifier, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """clip(x + ε·sign ∇ₓL, 0, 1) (Goodfellow et al. 2015)."""
    return (x + epsilon * _ascent(classify, x, y)).clamp(0, 1)


def pgd(
    classify: Classifier, x: Tensor, y: Tensor, epsilon: float, steps: int, step_size: float, draws: torch.Generator
) -> Tensor:
    """x ← Π(x + α·sign ∇ₓL), `steps` times from a uniform point of the ball (Madry et al. 2018).

    Π is onto the ε-ball and [0, 1]; α = step_size. `draws` is a CPU generator.
    """
    low, high = (x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1)
    noise = torch.rand(x.shape, generator=draws).to(x)
    moved = (x + epsilon * (2 * noise - 1)).clamp(low, high)
    for _ in range(steps):
        moved = (moved + step_size * _ascent(classify, moved, y)).clamp(low, high)
    return moved


def _ascent(classify: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """sign ∇ₓL. The sum over the batch: an example's sign is its own, and no small gradient is divided away."""
    leaf = x.detach().requires_grad_()
    loss = F.cross_entropy(classify(leaf).float(), y, reduction="sum")
    return torch.autograd.grad(loss, leaf)[0].sign()
