"""Composed config -> Run: every value known, typed and in range, and every error in it one line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields
from functools import cache
from typing import Any

from wdrun import schedules
from wdrun.accepts import check_known
from wdrun.config import names, own_data, warm_start
from wdrun.config.axes import key_of
from wdrun.config.keys import DIAGNOSTICS, KEYS, check_key, flatten, in_section, spelled
from wdrun.config.options import GROUPS, conf_dir, option_names
from wdrun.config.run import Job, Options, Run, SweepOptions
from wdrun.errors import ConfigError
from wdrun.wording import first_line, nearest, shown

SECTIONS = ("early_stopping", "require", "article")  # mappings that are no groups
# What every option of a group has, a user's own too; what else it takes is checked where it is read.
REQUIRED = dict.fromkeys(GROUPS, ("name",)) | {
    "optimizer": ("name", "prefers", "clip_norm", "clip_value"),
    "decay": (
        *("name", "_target_", "coupling", "prefers", "reduction"),
        *("scope", "scales", "exclude_1d", "schedule", "normalized"),
    ),
    "evaluate": ("name", *in_section("evaluate")),
}


def parse(config: Any, overrides: Sequence[str] = ()) -> Job:
    """The job of a composed config, every value known, typed and in range; else ConfigError."""
    plain = values(config)
    if plain["fold"] >= (folds := plain["data"].get("folds", 1)):
        raise ConfigError(f"fold={plain['fold']}: must be below data.folds={folds}")
    schedules.build(plain["schedule"], epochs=plain["epochs"], steps=1)  # raises on what does not fit
    decay = _decay({k: v for k, v in plain["decay"].items() if k != "lambda"}, plain)
    run = Run(
        lam=0.0 if decay["_target_"] == "wdrun.decay.none.Zero" else float(plain["lambda"]),
        lr=float(plain["lr"]),
        decay=decay,
        model=_model(plain["model"]),
        optimizer=_optimizer(plain["optimizer"]),
        label_smoothing=float(plain["label_smoothing"]),
        **{k: plain[k] for k in ("seed", "fold", "epochs", "batch_size", "device", "precision", "threads")},
        **{k: plain[k] for k in ("augment", "schedule", "early_stopping", "evaluate")},
        data=own_data.knobs(plain["data"], plain["output_dir"]),
        diagnostics=[name for name in DIAGNOSTICS if name in plain["diagnostics"]],
        **warm_start.knobs(plain),
        ema=plain["ema"],
    )
    _check_budget(plain, overrides)
    options = Options(**{field.name: plain[field.name] for field in fields(Options)})
    return Job(run, options, tuple(overrides))


def sweep_options(config: Any) -> SweepOptions:
    """What a composed config asks of the whole sweep; ConfigError as for `parse`."""
    plain = values(config)
    return SweepOptions(**{field.name: plain[field.name] for field in fields(SweepOptions)})


def values(config: Any) -> dict[str, Any]:
    """The plain values of a composed config, each known, typed and in range by itself; else ConfigError."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _check_references(OmegaConf.to_container(config, resolve=False))
    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        reason = first_line(error).removeprefix("KeyError raised while resolving interpolation: ").strip('"')
        raise ConfigError(f"{error.full_key}: {reason}") from error
    plain.pop("experiment", None)
    _check_keys(plain)
    for key, value in flatten(plain):
        if (right := spelled(key, value)) is not value:
            _set(plain, key.split("."), value := right)
        check_key(key, value)
    signless: dict[str, Any] = _signless(plain)
    return signless


def _signless(node: Any) -> Any:
    """The node with every -0.0 as 0.0: what is written, named and computed of them is the same."""
    if isinstance(node, float):
        return node + 0.0
    if isinstance(node, list):
        return [_signless(item) for item in node]
    return {key: _signless(item) for key, item in node.items()} if isinstance(node, dict) else node


def _set(node: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value


def _check_references(node: Any, path: str = "") -> None:
    """A value may refer to another, as ${lr}; a resolver, as ${oc.env:X} or ${now:%s}, would make runs of one config
    differ and copy what it finds, a secret perhaps, into the results."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            _check_references(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, list):
        for value in node:
            _check_references(value, path)
    elif isinstance(node, str) and node.count("${") != len(re.findall(r"\$\{[\w.-]+\}", node)):
        raise ConfigError(f"{path}={node}: must be a value, or a key as in ${{lr}}; nothing else is run")


def _check_budget(plain: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """λ is said once: lambda=, budget= or tau=."""
    given = [key for key in ("budget", "tau") if plain[key] is not None]
    given += [key for key in ("lambda", "decay.lambda") if key in map(key_of, overrides)]
    if len(given) > 1:
        raise ConfigError(f"{given[0]}={shown(plain[given[0]])}: {given[1]} is given too; each of them sets λ")


def _check_keys(plain: Mapping[str, Any]) -> None:
    """Every top-level key known and there, every section a mapping, every group with what all its options have."""
    top = {key.partition(".")[0] for key in KEYS} | set(GROUPS)
    for key in plain:
        if key not in top:
            names.refuse(str(key))
            raise ConfigError(f"{key}: unknown key{nearest(str(key), top)}")
    for key in sorted(top - plain.keys()):
        raise ConfigError(f"{key}: missing")
    for section in SECTIONS:
        takes = in_section(section)
        if not isinstance(plain[section], dict):
            ways = " or ".join(f"{section}.{key}=…" for key in takes)
            raise ConfigError(f"{section}={shown(plain[section])}: set {ways} instead")
        check_known(section, plain[section], takes, section)
    for group, required in REQUIRED.items():
        if not isinstance(plain[group], dict):
            raise ConfigError(f"{group}={shown(plain[group])}: must be one of {', '.join(option_names(group))}")
        for key in required:
            if key not in plain[group]:
                remedy = "; start its file with defaults: [_shared, _self_]" if group == "decay" else ""
                raise ConfigError(f"{group}.{key}: missing; every option of {group} has it{remedy}")
    check_known("evaluate", plain["evaluate"], REQUIRED["evaluate"], "evaluate")  # no option adds keys to it


def _model(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A user's class takes the place of the built-in option, whose own arguments only reach it if it names them."""
    target = spec.get("_target_")
    model = {k: v for k, v in spec.items() if k != "_target_"}
    return model if target is None else {**model, "name": target.rpartition(".")[2], "_target_": target}


def _optimizer(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer without its lr, and without what came later where that is as it was: off, or clipping all."""
    limited = spec["clip_norm"] is not None or spec["clip_value"] is not None
    left_out = {"lr"} if limited and spec.get("clip") == "data" else {"lr", "clip"}
    return {key: value for key, value in spec.items() if key not in left_out}


def _decay(spec: Mapping[str, Any], plain: Mapping[str, Any], path: str = "decay") -> dict[str, Any]:
    """A decay with its λ-schedule written out, and the terms of a chain with the defaults of their own options."""
    schedule = _schedule(spec["schedule"], plain["schedule"], f"{path}.schedule")
    schedules.build(schedule, epochs=plain["epochs"], steps=1, key=f"{path}.schedule")  # raises on what does not fit
    decay = {**spec, "schedule": schedule}
    if "terms" not in spec:
        return decay
    options, terms = option_names("decay"), []
    for i, term in enumerate(spec["terms"]):
        here = f"{path}.terms[{i}]"
        term = _spelled(term, "decay", options)
        if not isinstance(term, dict) or term.get("decay") not in options:
            example = "[{decay: l2, weight: 1}, {decay: l1, weight: 0.1, coupling: proximal}]"
            raise ConfigError(f"{here}={shown(term)}: must name a decay, as in {path}.terms='{example}'")
        full = (
            {"weight": 1.0}
            | _defaults("decay", "_shared", term["decay"])
            | {k: v for k, v in term.items() if k != "decay"}
        )
        full = {k: v for k, v in full.items() if k not in ("defaults", "lambda")}
        for key, value in full.items():
            full[key] = value = spelled(f"decay.{key}", value)
            check_key(f"{here}.{key}", value, f"decay.{key}")
        terms.append(_decay(full, plain, here))
    return {**decay, "terms": terms}


def _schedule(spec: Any, lr_schedule: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The λ-schedule as a mapping with every parameter: a name, or a mapping that changes some of the defaults."""
    options = option_names("schedule")
    given = _spelled({"name": spec} if isinstance(spec, str) else spec, "name", [*options, "with_lr"])
    if given == {"name": "with_lr"}:
        return dict(lr_schedule)
    if not isinstance(given, dict) or given.get("name") not in options:
        name = shown(given.get("name", given) if isinstance(given, dict) else given)
        words = [*options, "with_lr"]
        raise ConfigError(f"{path}={name}: must be one of {', '.join(words)}{nearest(name, words)}")
    return _defaults("schedule", given["name"]) | given


def _spelled(spec: Any, key: str, options: Sequence[str]) -> Any:
    """The mapping with the option that it names in the letter case of its file."""
    if not isinstance(spec, dict) or not isinstance(given := spec.get(key), str) or given in options:
        return spec
    return {**spec, key: next((option for option in options if option == given.casefold()), given)}


def _defaults(group: str, *names: str) -> dict[str, Any]:
    """The shipped options of a group, later ones over earlier ones; the caller's own copy."""
    return deepcopy(_shipped(group, names))


@cache
def _shipped(group: str, names: tuple[str, ...]) -> dict[str, Any]:
    from omegaconf import OmegaConf

    files = [conf_dir() / group / f"{name}.yaml" for name in names]
    plain: dict[str, Any] = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, files)))  # type: ignore[assignment]
    return plain
