"""Optimizers: update rules without weight decay, built from a config, and the clipping of gradients."""

from collections.abc import Mapping
from dataclasses import fields
from math import isfinite

import torch

from wdrun.errors import ConfigError
from wdrun.optim.rules import (
    Adadelta,
    Adagrad,
    Adam,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    RmsProp,
    Sgd,
    State,
    orthogonalize,
)
from wdrun.tensors import Tensors

__all__ = [
    "OPTIMIZERS",
    "Adadelta",
    "Adagrad",
    "Adam",
    "Lion",
    "Muon",
    "NAdam",
    "Optimizer",
    "RmsProp",
    "Sgd",
    "State",
    "Tensors",
    "build",
    "clip",
    "orthogonalize",
]

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": Sgd,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "rmsprop": RmsProp,
    "adam": Adam,
    "nadam": NAdam,
    "lion": Lion,
    "muon": Muon,
}
_NOT_OF_THE_RULE = {"name", "rule", "prefers", "lr", "clip_norm", "clip_value"}
_BELOW_ONE = {"momentum", "beta1", "beta2", "rho", "alpha"}
_DTYPES = ("bfloat16", "float32", "float64")


def build(spec: Mapping[str, object]) -> Optimizer:
    """The optimizer of a dict shaped like conf/optimizer/<name>.yaml; ConfigError names what does not fit."""
    rule = spec.get("rule")
    if not isinstance(rule, str) or rule not in OPTIMIZERS:
        raise ConfigError(f"optimizer.rule={rule}: accepted are {', '.join(OPTIMIZERS)}")
    kind = OPTIMIZERS[rule]
    types = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]  # subclasses are dataclasses
    given = {str(k): v for k, v in spec.items() if k not in _NOT_OF_THE_RULE}
    if wrong := sorted(given.keys() ^ types.keys()):
        missing = "missing" if wrong[0] in types else "unknown"
        raise ConfigError(f"optimizer.{wrong[0]} is {missing}: {rule} takes {', '.join(types)}")
    return kind(**{k: _checked(k, given[k], expected) for k, expected in types.items()})


def _checked(key: str, value: object, expected: object) -> bool | int | float | str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if expected is bool:
        fits, accepted = isinstance(value, bool), "true or false"
    elif expected is str:
        fits, accepted = value in _DTYPES, ", ".join(_DTYPES)
    elif expected is int:
        fits, accepted = isinstance(value, int) and number and value >= 1, "a whole number ≥ 1"
    elif key in _BELOW_ONE:
        fits, accepted = number and 0 <= value < 1, "a number in [0, 1)"  # type: ignore[operator]
    else:
        fits, accepted = number and value >= 0, "a number ≥ 0"  # type: ignore[operator]
    if not fits:
        raise ConfigError(f"optimizer.{key}={value}: accepted is {accepted}")
    return float(value) if expected is float else value  # type: ignore[arg-type, return-value]


def clip(grads: Tensors, norm: float | None, value: float | None) -> Tensors:
    """g ← clamp(g, −value, value), then g·min(1, norm/(‖g‖₂ + 10⁻⁶)); None = off.

    ‖g‖ is taken over all tensors together, as torch.nn.utils.clip_grad_norm_ does.
    """
    if value is not None:
        grads = {k: g.clamp(-value, value) for k, g in grads.items()}
    if norm is not None and grads:
        total = torch.stack([torch.linalg.vector_norm(g) for g in grads.values()]).norm()
        factor = (norm / (total + 1e-6)).clamp(max=1.0)
        grads = {k: g * factor for k, g in grads.items()}
    return grads
