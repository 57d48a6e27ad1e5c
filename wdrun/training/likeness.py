"""What a step of a module gave and moved, and whether two of them are the same."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from wdrun.tensors import Tensors
from wdrun.training import network


class Taken(NamedTuple):
    """What one step gave: outputs (B, K), gradients, and the tensors as the forward pass left them."""

    outputs: Tensor
    grads: Tensors
    params: Tensors
    kept: Tensors


def copies(tensors: Mapping[str, Tensor]) -> Tensors:
    """A copy of each tensor."""
    return {name: w.clone() for name, w in tensors.items()}


def difference(a: Taken, b: Taken, tolerance: float) -> str | None:
    """What of two steps is not the same, within a relative tolerance."""
    if not close(a.outputs, b.outputs, tolerance):
        return "output"
    if name := differ(a.grads, b.grads, tolerance):
        return f"gradient of {name}"
    return differ(a.params, b.params, tolerance) or differ(a.kept, b.kept, tolerance)


def differ(a: Tensors, b: Tensors, tolerance: float) -> str | None:
    """The first name whose tensor is not the same within a relative tolerance, or is in one of the two alone."""
    return next(
        (name for name in (*a, *b) if name not in a or name not in b or not close(a[name], b[name], tolerance)), None
    )


def close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """‖a − b‖ ≤ tolerance·‖a‖ over what is finite, which must be the same; of whole numbers equality."""
    if a.shape != b.shape or not a.is_floating_point():
        return torch.equal(a, b)
    finite = torch.isfinite(a)
    if not torch.equal(finite, torch.isfinite(b)):
        return False
    a, b = a[finite].double(), b[finite].double()
    return bool(torch.linalg.vector_norm(a - b) <= tolerance * (torch.linalg.vector_norm(a) + 1e-3))


def generators(device: torch.device) -> list[object]:
    """Where the generators stand that code of a user's may draw from."""
    numpy = np.random.get_state()
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
    return [*(bytes(state.numpy()) for state in states), random.getstate(), bytes(numpy[1]), numpy[2:]]  # type: ignore[index]


def attributes(model: nn.Module) -> dict[str, object]:
    """By name what the modules hold that no checkpoint has, in a form that can be compared."""
    common = vars(nn.Module()).keys()
    return {
        f"{prefix}.{name}" if prefix else name: _told(value)
        for prefix, module in model.named_modules()
        for name, value in ({} if network.has_extra_state(module) else vars(module)).items()
        if name not in common
    }


def _told(value: object) -> object:
    if isinstance(value, Tensor):
        w = network.real(value.detach()).double()
        return tuple(w.shape), w.sum().item(), w.abs().sum().item()
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _told(item) for key, item in value.items()}
    return value if isinstance(value, int | float | str | None) else repr(value)
