"""OUI, the overfitting-underfitting indicator: how differently a layer's units switch on from one example to another.

Shapes: B examples, n units of a layer (channels × places after a convolution).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn

SWITCHES = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.ELU)


def indicator(on: Tensor) -> Tensor:
    """Mean over pairs of examples of min(1, 2·d), d the share of units on in one and off in the other; on: (B, n) bool.

    Fernández-Hernández et al. 2025 (arXiv 2504.17160), as their published code computes it, but for all pairs instead
    of 28 of them. 0: every example takes the same linear map; 1: patterns as different as coin tosses.
    """
    p = on.flatten(1).float()
    examples, units = p.shape
    alike = p @ p.T + (1 - p) @ (1 - p).T
    capped = (2 * (1 - alike / units)).clamp(0, 1)
    return (capped.sum() - capped.diagonal().sum()) / (examples * (examples - 1))


def patterns(model: nn.Module, weights: Collection[str], forward: Callable[[], Any]) -> dict[str, float]:
    """OUI of each layer while `forward()` runs the model: name of the weight in front of the activation -> OUI.

    `weights` are the names of those that may stand there: no norm's. Activations are those that are modules (SWITCHES);
    the authors' model-wide OUI is the mean of these values. They measure batches in training mode, we in the mode the
    model is in.
    """
    found: dict[str, list[Tensor]] = {}
    latest: list[str] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, given, output: latest.append(name)

    def look(module: nn.Module, given: Any, output: Tensor) -> None:
        if latest:
            found.setdefault(latest[-1], []).append(indicator(output > 0))

    handles = []
    for prefix, module in model.named_modules():
        own = [name for name, _ in module.named_parameters(prefix, recurse=False) if name in weights]
        if own:
            handles.append(module.register_forward_hook(note(own[0])))
        elif isinstance(module, SWITCHES):
            handles.append(module.register_forward_hook(look))
    try:
        with torch.no_grad():
            forward()
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.stack(values).mean().item() for name, values in found.items()}
