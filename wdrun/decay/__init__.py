"""Weight decay: a regularizer Ω, a coupling, a scope and a λ-schedule, multiplied."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from wdrun.decay.base import COUPLINGS, Context, Coupling, Decay, Knobs, Rule
from wdrun.decay.chain import Chain
from wdrun.decay.kinds import Kind, Layers, kinds
from wdrun.decay.l2 import L2
from wdrun.decay.normed import normed
from wdrun.decay.rate import pulls_elsewhere, rate
from wdrun.decay.regularizer import Anchored, Coefficient, Constraint, Regularizer
from wdrun.decay.scope import SCOPES, chosen_scope, coefficients, holds
from wdrun.errors import ConfigError
from wdrun.tensors import Scalar, Tensors, axpy
from wdrun.wording import nearest

__all__ = [
    "COUPLINGS",
    "SCOPES",
    "Anchored",
    "Chain",
    "Constraint",
    "Context",
    "Coupling",
    "Decay",
    "Kind",
    "Knobs",
    "Layers",
    "Regularizer",
    "Rule",
    "Scalar",
    "Tensors",
    "axpy",
    "build",
    "chosen_scope",
    "coefficients",
    "holds",
    "kinds",
    "normed",
    "pulls_elsewhere",
    "rate",
]

SHARED = (
    "name",
    "_target_",
    "lambda",
    "coupling",
    "couplings",
    "prefers",
    "reduction",
    "scales",
    "scope",
    "exclude_1d",
    "schedule",
    "normalized",
    "corrected",
)
LambdaSchedule = Callable[[float], float]
# What `Decay` itself takes: of a rule's fields, these come from the shared keys, the others from its own.
PARTS = tuple(f.name for f in dataclasses.fields(Decay))


def build(
    spec: Mapping[str, Any],
    params: Tensors,
    schedule: Callable[[Mapping[str, Any]], LambdaSchedule],
    preferred: str = "coupled",
    key: str = "decay",
    layers: Layers | None = None,
) -> Rule:
    """The rule of a `conf/decay/*.yaml` for these parameters; keys beyond the shared ones are its class's arguments.

    `schedule` makes λ(progress)/λ of a spec. `preferred` is the optimizer's coupling, taken when `coupling: auto` and
    the decay has no preference of its own. A chain is built of the specs in its `terms`. Without `layers` the kinds of
    the parameters are told by their shapes.
    ConfigError (which names the spec `key`) for a class that cannot be imported, an argument it lacks, a coupling the
    decay cannot do, or a part of a tensor given to a decay that acts on whole ones.
    """
    cls = _class(spec, key)
    if cls is Chain:
        return _chain(spec, params, schedule, preferred, key, layers)
    own = _arguments(spec, cls, key)
    is_omega = issubclass(cls, Regularizer)
    regularizer: Regularizer = cls(**own) if is_omega else L2()
    if is_omega and not any(map(regularizer.can, ("grad", "prox", "project"))):
        raise ConfigError(
            f"{key}._target_={spec['_target_']}: write its value(self, w), or each(self, w) where Ω is a sum over "
            "single weights, or grad(self, w) alone where Ω has no formula"
        )
    coupling = _coupling(spec, regularizer, preferred, key)
    scale = coefficients(params, spec["scales"], spec["exclude_1d"], spec["scope"], layers.kinds if layers else None)
    if spec["reduction"] == "mean":
        if not (is_omega or getattr(cls, "by_element", False)):
            raise ConfigError(f"{key}.reduction=mean: must be sum for {spec['name']}, which acts on whole tensors")
        # λcΩ/n is a decay by c/n; as a bound, Ω/n ≤ λc is Ω ≤ λcn.
        sizes = {n: params[n].numel() for n in scale}
        scale = {n: c * sizes[n] if coupling == "projected" else c / sizes[n] for n, c in scale.items()}
    steady = _steady(spec, scale, layers)
    constant = schedule({**spec, "schedule": {"name": "constant"}})(0.0) if steady else 1.0
    parts = (regularizer, coupling, scale, schedule(spec), steady, constant)
    shared: dict[str, Any] = dict(zip(PARTS, parts, strict=True))
    taken = {f.name for f in dataclasses.fields(cls)}
    rule: Rule = Decay(**shared) if is_omega else cls(**{k: v for k, v in shared.items() if k in taken}, **own)
    _check_parts(rule, scale, f"{key}.scales: {spec['name']} ({coupling})")
    return rule


def _steady(spec: Mapping[str, Any], scale: Mapping[str, Coefficient], layers: Layers | None) -> frozenset[str]:
    """The parameters in scope whose λ keeps off the schedule: by `corrected`, those that no normalisation follows."""
    asked = spec.get("corrected", "all")
    if layers is None or asked == "all" or (asked == "auto" and not layers.selective):
        return frozenset()
    return frozenset(scale) - layers.normed()


def _check_parts(rule: Rule, scale: Mapping[str, Coefficient], who: str) -> None:
    parts = [n for n, c in scale.items() if isinstance(c, Tensor)]
    if parts and not _takes_parts(rule):
        raise ConfigError(
            f"{who} acts on whole tensors, so not on a part of {parts[0]}; a decay that acts on each weight by itself "
            "can, such as l2 or l1, in any coupling but projected"
        )


def _takes_parts(rule: Rule) -> bool:
    """Whether c may differ within a tensor."""
    if not isinstance(rule, Decay) or not rule.by_element:
        return False
    return rule.coupling != "projected" and rule.regularizer.can("each")


def _chain(
    spec: Mapping[str, Any],
    params: Tensors,
    schedule: Callable[..., LambdaSchedule],
    preferred: str,
    key: str,
    layers: Layers | None,
) -> Chain:
    """The terms in their order, each over its own scope times the chain's."""
    if spec["reduction"] != "sum":
        raise ConfigError(f"{key}.reduction={spec['reduction']}: set it on a term of {key}.terms")
    if spec.get("corrected") == "normed":
        raise ConfigError(f"{key}.corrected=normed: must be auto or all for a chain; set it on a term of {key}.terms")
    common = coefficients(params, spec["scales"], spec["exclude_1d"], spec["scope"], layers.kinds if layers else None)
    coupling = preferred if spec["coupling"] == "auto" else spec["coupling"]
    rules = [build(t, params, schedule, coupling, f"{key}.terms[{i}]", layers) for i, t in enumerate(spec["terms"])]
    weights = tuple(float(t["weight"]) for t in spec["terms"])
    return Chain(tuple(_within(rule, common) for rule in rules), weights, schedule(spec))


def _within(rule: Rule, common: Mapping[str, Coefficient]) -> Rule:
    """The rule with its coefficients times those of the chain it is in."""
    if isinstance(rule, Chain):
        return dataclasses.replace(rule, rules=tuple(_within(r, common) for r in rule.rules))
    if not isinstance(rule, Decay):
        return rule
    within = {n: common[n] for n in rule.scale if n in common}
    _check_parts(rule, within, "decay.scales: a term of the chain")
    return dataclasses.replace(rule, scale={n: rule.scale[n] * c for n, c in within.items()})


def _coupling(spec: Mapping[str, Any], regularizer: Regularizer, preferred: str, key: str) -> str:
    chosen: str = spec["coupling"] if spec["coupling"] != "auto" else spec.get("prefers") or preferred
    need, among = COUPLINGS[chosen].needs, spec.get("couplings")
    able = [k for k, c in COUPLINGS.items() if regularizer.can(c.needs) and (among is None or k in among)]
    if chosen in able:
        return chosen
    at = f" at {regularizer.lacks_at}" * bool(regularizer.lacks_at)
    what = f"has no {need}{at}, which {chosen} needs" if not regularizer.can(need) else f"is not made for {chosen}"
    raise ConfigError(f"{key}.coupling={chosen}: {spec['name']} {what}; it can do {', '.join(able)}")


def _class(spec: Mapping[str, Any], key: str) -> type:
    path = spec["_target_"]
    module, _, attribute = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{key}._target_={path}: cannot be imported ({error})") from error
    if not (isinstance(cls, type) and issubclass(cls, Regularizer | Rule) and dataclasses.is_dataclass(cls)):
        raise ConfigError(f"{key}._target_={path}: not a dataclass derived from wdrun.decay.Regularizer or Rule")
    return cls


def _arguments(spec: Mapping[str, Any], cls: type, key: str) -> dict[str, Any]:
    """The keys of the spec that are the class's own; ConfigError for one it does not take or lacks."""
    given = {k: v for k, v in spec.items() if k not in (*SHARED, "weight")}
    inner = ("anchor",) if issubclass(cls, Regularizer) else PARTS
    accepted = [f.name for f in dataclasses.fields(cls) if f.name not in inner]
    takes = f"it takes {', '.join(accepted) or 'no arguments'}"
    for argument in given:
        if argument not in accepted:
            hint = nearest(argument, (*accepted, *SHARED), f"{key}.")
            raise ConfigError(f"{key}.{argument}: {spec['name']} does not take it; {takes}{hint}")
    for argument in accepted:
        if argument not in given:
            raise ConfigError(f"{key}.{argument}: {spec['name']} needs it; {takes}")
    return given
