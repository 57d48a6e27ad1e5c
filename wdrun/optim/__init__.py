"""Optimizers: update rules without weight decay, built from a config, and the clipping of gradients."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields
from fnmatch import fnmatchcase

import torch

from wdrun.accepts import SHARES, Accepts, boolean, check, check_names, number, one_of, whole
from wdrun.errors import ConfigError
from wdrun.optim.muon import Muon, orthogonalize
from wdrun.optim.rules import (
    Adadelta,
    Adagrad,
    Adam,
    Lion,
    NAdam,
    Optimizer,
    RmsProp,
    Sgd,
    State,
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
    "lr_factors",
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
_NOT_OF_THE_RULE = {"name", "rule", "prefers", "lr", "lr_scales", "clip", "clip_norm", "clip_value"}
_DTYPES = ("bfloat16", "float32", "float64")


def build(spec: Mapping[str, object]) -> Optimizer:
    """The optimizer of a dict shaped like conf/optimizer/<name>.yaml; ConfigError names what does not fit.

    A key with a default of its own came later, and may be missing.
    """
    rule: str = check("optimizer.rule", spec.get("rule"), one_of(*OPTIMIZERS))
    kind = OPTIMIZERS[rule]
    types = {f.name: f.type for f in fields(kind)}  # type: ignore[arg-type]  # subclasses are dataclasses
    given = {f.name: f.default for f in fields(kind) if f.default is not MISSING}  # type: ignore[arg-type]
    given |= {str(k): v for k, v in spec.items() if k not in _NOT_OF_THE_RULE}
    check_names("optimizer", given, types, str(spec.get("name", rule)))
    values = {k: check(f"optimizer.{k}", given[k], _accepts(k, expected)) for k, expected in types.items()}
    if values.get("nesterov") and (damped := values.get("dampening")):
        raise ConfigError(f"optimizer.dampening={damped:g}: must be 0 with optimizer.nesterov=true, as in torch")
    return kind(**{k: float(v) if types[k] is float else v for k, v in values.items()})


def _accepts(key: str, kind: object) -> Accepts:
    """What an update rule's argument of this type takes."""
    if kind is bool:
        return boolean()
    if kind is str:
        return one_of(*_DTYPES)
    if kind is int:
        return whole(1)
    return number(0, below=1) if f"optimizer.{key}" in SHARES else number(0)


def lr_factors(scales: Sequence[tuple[str, float]], names: Collection[str]) -> dict[str, float]:
    """The factor of η of every parameter that a glob matches: that of the first to match.

    ConfigError on a glob that matches nothing, since it is almost always a misspelt layer.
    """
    for glob, _ in scales:
        if not any(fnmatchcase(name, glob) for name in names):
            raise ConfigError(f"optimizer.lr_scales: {glob!r} matches no parameter; there are {', '.join(names)}")
    found = {n: [float(factor) for glob, factor in scales if fnmatchcase(n, glob)] for n in names}
    return {name: factors[0] for name, factors in found.items() if factors}


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
