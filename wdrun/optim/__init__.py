"""Optimizers: update rules without weight decay, built from a config, and the clipping of gradients."""

from collections.abc import Mapping
from dataclasses import fields

import torch

from wdrun.accepts import Accepts, boolean, check, check_names, number, one_of, whole
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
_NOT_OF_THE_RULE = {"name", "rule", "prefers", "lr", "clip", "clip_norm", "clip_value"}
_BELOW_ONE = {"momentum", "beta1", "beta2", "rho", "alpha"}
_DTYPES = ("bfloat16", "float32", "float64")


def build(spec: Mapping[str, object]) -> Optimizer:
    """The optimizer of a dict shaped like conf/optimizer/<name>.yaml; ConfigError names what does not fit."""
    rule: str = check("optimizer.rule", spec.get("rule"), one_of(*OPTIMIZERS))
    kind = OPTIMIZERS[rule]
    types = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]  # subclasses are dataclasses
    given = {str(k): v for k, v in spec.items() if k not in _NOT_OF_THE_RULE}
    check_names("optimizer", given, types, str(spec.get("name", rule)))
    values = {k: check(f"optimizer.{k}", given[k], _accepts(k, expected)) for k, expected in types.items()}
    return kind(**{k: float(v) if types[k] is float else v for k, v in values.items()})


def _accepts(key: str, kind: object) -> Accepts:
    """What an update rule's argument of this type takes."""
    if kind is bool:
        return boolean()
    if kind is str:
        return one_of(*_DTYPES)
    if kind is int:
        return whole(1)
    return number(0, below=1) if key in _BELOW_ONE else number(0)


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
