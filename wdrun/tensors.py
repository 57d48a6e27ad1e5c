"""Tensors by name, and numbers that are one tensor, a value a run, where runs are trained together."""

from __future__ import annotations

import torch
from torch import Tensor

Tensors = dict[str, Tensor]  # by parameter name
Scalar = float | Tensor  # a float in one run; a 0-d tensor under vmap, one value a run


def axpy(a: Scalar, x: Tensor, y: Tensor, spent: bool = False) -> Tensor:
    """a·x + y, in one kernel when a is a number; a tensor a is rounded to the type of x.

    `spent`: x is not needed any more, and where a is a number (never so under vmap) the sum may take its place.
    """
    if isinstance(a, Tensor):
        return y + a.to(x.dtype) * x
    return torch.add(y, x, alpha=a, out=x if spent and x.stride() == y.stride() else None)


def after_first(t: Scalar) -> Scalar:
    """0 in step t = 1, 1 in every later one; of the type of t."""
    return (t > 1).to(t.dtype) if isinstance(t, Tensor) else float(t > 1)


def toward(old: Tensor, new: Tensor, share: Scalar) -> Tensor:
    """old + share·(new − old); of a float64 share the difference to 1 was taken before it is rounded."""
    return old.lerp(new, share.to(old.dtype) if isinstance(share, Tensor) else share)


def is_off(number: Scalar) -> bool:
    """Whether it is the number 0, and what it multiplies can be left out; never of a tensor, which may hold others."""
    return not isinstance(number, Tensor) and number == 0
