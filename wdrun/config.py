"""Command line -> Run: composes the config and makes every error in it one line. The only reader of Hydra objects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from wdrun import schedules
from wdrun.errors import ConfigError
from wdrun.job import Job, Options, Run
from wdrun.rules import DIAGNOSTICS, RULES, check, nearest, shown

GROUPS = ("data", "augment", "model", "optimizer", "schedule", "decay", "evaluate")
SECTIONS = ("early_stopping", "require", "article")  # mappings that are no groups
# What every option of a group has, a user's own too; what else it takes is checked where it is read.
REQUIRED = dict.fromkeys(GROUPS, ("name",)) | {
    "optimizer": ("name", "prefers", "clip_norm", "clip_value"),
    "decay": (
        *("name", "_target_", "coupling", "prefers", "reduction"),
        *("scope", "scales", "exclude_1d", "schedule", "normalized"),
    ),
    "evaluate": ("name", *(k.removeprefix("evaluate.") for k in RULES if k.startswith("evaluate."))),
}


def conf_dir() -> Path:
    """The shipped conf/: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def parse(config: Any, overrides: Sequence[str] = ()) -> Job:
    """The job of a composed config, every value known, typed and in range; else ConfigError."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0].removeprefix("KeyError raised while resolving interpolation: ").strip('"')
        raise ConfigError(f"{error.full_key}: {reason}") from error
    plain.pop("experiment", None)
    _check_keys(plain)
    for key, value in _flatten(plain):
        check(key, value, RULES.get(key))
    if plain["fold"] >= (folds := plain["data"].get("folds", 1)):
        raise ConfigError(f"fold={plain['fold']}: must be below data.folds={folds}")
    schedules.build(plain["schedule"], epochs=plain["epochs"], steps=1)  # raises on what does not fit
    decay = _decay({k: v for k, v in plain["decay"].items() if k != "lambda"}, plain)
    run = Run(
        lam=0.0 if decay["_target_"] == "wdrun.decay.none.Zero" else float(plain["lambda"]),
        lr=float(plain["lr"]),
        decay=decay,
        model=_model(plain["model"]),
        optimizer={k: v for k, v in plain["optimizer"].items() if k != "lr"},
        **{k: plain[k] for k in ("seed", "fold", "epochs", "batch_size", "device", "precision", "threads")},
        **{k: plain[k] for k in ("data", "augment", "schedule", "early_stopping", "evaluate")},
        diagnostics=[name for name in DIAGNOSTICS if name in plain["diagnostics"]],
    )
    _check_budget(plain, overrides)
    options = Options(**{field.name: plain[field.name] for field in fields(Options)})
    return Job(run, options, tuple(overrides))


def _check_budget(plain: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """λ is said once: lambda=, budget= or tau=."""
    given = [key for key in ("budget", "tau") if plain[key] is not None]
    given += ["lambda"] if any(word.lstrip("+").startswith("lambda=") for word in overrides) else []
    if len(given) > 1:
        raise ConfigError(f"{given[0]}={shown(plain[given[0]])}: {given[1]} is given too; each of them sets λ")


def _check_keys(plain: Mapping[str, Any]) -> None:
    """Every top-level key known and there, every section a mapping, every group with what all its options have."""
    top = {key.partition(".")[0] for key in RULES} | set(GROUPS)
    for key in plain:
        if key not in top:
            raise ConfigError(f"{key}: unknown key{nearest(str(key), top)}")
    for key in sorted(top - plain.keys()):
        raise ConfigError(f"{key}: missing")
    for section in SECTIONS:
        known = [k for k in RULES if k.startswith(f"{section}.")]
        if not isinstance(plain[section], dict):
            raise ConfigError(f"{section}={shown(plain[section])}: set {' or '.join(f'{k}=…' for k in known)} instead")
    for group, required in REQUIRED.items():
        if not isinstance(plain[group], dict):
            raise ConfigError(f"{group}={shown(plain[group])}: must be one of {', '.join(option_names(group))}")
        for key in required:
            if key not in plain[group]:
                remedy = "; start its file with defaults: [_shared, _self_]" if group == "decay" else ""
                raise ConfigError(f"{group}.{key}: missing; every option of {group} has it{remedy}")
    for section in (*SECTIONS, "evaluate"):  # no option and no user adds keys to these
        known = [k for k in RULES if k.startswith(f"{section}.")]
        for key in plain[section]:
            if key != "name" and f"{section}.{key}" not in known:
                near = nearest(f"{section}.{key}", known)
                raise ConfigError(f"{section}.{key}: unknown key{near or '; must be one of ' + ', '.join(known)}")


def _model(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A user's class takes the place of the built-in option, whose own arguments only reach it if it names them."""
    target = spec.get("_target_")
    model = {k: v for k, v in spec.items() if k != "_target_"}
    return model if target is None else {**model, "name": target.rpartition(".")[2], "_target_": target}


def _decay(spec: Mapping[str, Any], plain: Mapping[str, Any], path: str = "decay") -> dict[str, Any]:
    """A decay with its λ-schedule written out, and the terms of a chain with the defaults of their own options."""
    from omegaconf import OmegaConf

    schedule = _schedule(spec["schedule"], plain["schedule"], f"{path}.schedule")
    schedules.build(schedule, epochs=plain["epochs"], steps=1, key=f"{path}.schedule")  # raises on what does not fit
    decay = {**spec, "schedule": schedule}
    if "terms" not in spec:
        return decay
    options, terms = option_names("decay"), []
    for i, term in enumerate(spec["terms"]):
        here = f"{path}.terms[{i}]"
        if not isinstance(term, dict) or term.get("decay") not in options:
            example = "[{decay: l2, weight: 1}, {decay: l1, weight: 0.1, coupling: proximal}]"
            raise ConfigError(f"{here}={shown(term)}: must name a decay, as in {path}.terms='{example}'")
        files = [conf_dir() / "decay" / f"{name}.yaml" for name in ("_shared", term["decay"])]
        defaults: dict[str, Any] = OmegaConf.to_container(OmegaConf.merge(*map(OmegaConf.load, files)))  # type: ignore[assignment]
        full = {"weight": 1.0} | defaults | {k: v for k, v in term.items() if k != "decay"}
        full = {k: v for k, v in full.items() if k not in ("defaults", "lambda")}
        for key, value in full.items():
            check(f"{here}.{key}", value, RULES.get(f"decay.{key}"))
        terms.append(_decay(full, plain, here))
    return {**decay, "terms": terms}


def _schedule(spec: Any, lr_schedule: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The λ-schedule as a mapping with every parameter: a name, or a mapping that changes some of the defaults."""
    from omegaconf import OmegaConf

    if spec == "with_lr":
        return dict(lr_schedule)
    given = {"name": spec} if isinstance(spec, str) else spec
    options = option_names("schedule")
    if not isinstance(given, dict) or given.get("name") not in options:
        name = shown(given.get("name", given) if isinstance(given, dict) else given)
        words = [*options, "with_lr"]
        raise ConfigError(f"{path}={name}: must be one of {', '.join(words)}{nearest(name, words)}")
    defaults: dict[str, Any] = OmegaConf.to_container(OmegaConf.load(conf_dir() / "schedule" / f"{given['name']}.yaml"))  # type: ignore[assignment]
    return defaults | given


def compose(overrides: Sequence[str], config_dir: str | None = None) -> Any:
    """The config of these overrides (no sweep among them); errors are one line where Hydra explains at length."""
    return next(iter(compose_all([overrides], config_dir)))


def compose_all(jobs: Sequence[Sequence[str]], config_dir: str | None = None) -> list[Any]:
    """The configs of many jobs, the search path opened once. `config_dir` adds a user's own options."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    extra = []
    if config_dir is not None:
        path = Path(config_dir).absolute()
        if not path.is_dir():
            raise ConfigError(f"--config-dir={config_dir}: no such folder")
        quoted = str(path).replace("\\", "\\\\").replace("'", "\\'")
        extra = [f"hydra.searchpath=['file://{quoted}']"]
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        configs = []
        for words in jobs:
            for word in words:
                _check_override(word, config_dir)
            try:
                configs.append(hydra_compose("config", [*extra, *words]))
            except YAMLError as error:
                raise ConfigError(f"--config-dir={config_dir}: not YAML: {' '.join(str(error).split())}") from error
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                choices = [word for word in words if word.partition("=")[0] in GROUPS]
                known = [key for key, _ in _flatten(dict(hydra_compose("config", [*extra, *choices])))]
                raise ConfigError(_one_line(error, words, known, config_dir)) from error
        return configs


def expand(overrides: Sequence[str], config_dir: str | None = None) -> list[list[str]]:
    """The jobs of a sweep: the grid over every override with several values, the last one varying fastest."""
    axes = []
    for word in overrides:
        override = _override(word)
        if override.is_sweep_override():
            axes.append([f"{override.get_key_element()}={value}" for value in _values(word, config_dir)])
        else:
            axes.append([word])
    return [list(job) for job in product(*axes)]


def _values(word: str, config_dir: str | None) -> list[str]:
    """The values of one sweep override: a list, a range, or a glob over a group's options."""
    from hydra.core.override_parser.types import Glob

    override = _override(word)
    value: Any = override.value()
    if override.is_interval_sweep():
        raise ConfigError(f"{word}: an interval is not a list of values; write commas, or range(start,stop,step)")
    if isinstance(value, Glob):
        values = value.filter(option_names(override.key_or_group, config_dir))
    else:
        values = [] if override.is_range_sweep() and value.step == 0 else list(override.sweep_string_iterator())
    if not values:
        raise ConfigError(f"{word}: holds no value")
    return values


@cache
def _override(word: str) -> Any:
    """The override as Hydra's grammar reads it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise ConfigError(f"{word!r}: not an override; write key=value, special characters in quotes") from error
    if not override.key_or_group:
        raise ConfigError(f"{word!r}: not an override; the key is missing before '='")
    return override


def _check_override(word: str, config_dir: str | None) -> None:
    """Refuse what Hydra would take without an effect, or refuse at length."""
    override = _override(word)
    key: str = override.key_or_group
    if re.match(r"hydra\b", key):
        raise ConfigError(f"{word}: wdrun does not use it; see output_dir, name and --config-dir in wdrun --help")
    if override.package is not None:
        raise ConfigError(f"{word}: '@' has no use here; write {key}=…")
    if override.is_sweep_override():
        raise ConfigError(f"{word}: several values make a sweep; add -m")
    if key not in (*GROUPS, "experiment"):
        return
    options = option_names(key, config_dir)
    accepted = f"one of {', '.join(options)}" if options else f"a file of {key}/ in --config-dir"
    if override.is_delete() or override.is_add() or override.is_force_add():
        raise ConfigError(f"{word}: write {key}=… with {accepted}")
    if (value := override.value()) not in options:
        raise ConfigError(f"{key}={shown(value)}: must be {accepted}{nearest(shown(value), options)}")


def _one_line(error: Exception, words: Sequence[str], known: Sequence[str], config_dir: str | None) -> str:
    """What Hydra found wrong, `known` being the keys of the chosen options."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    where = match.group(1) if (match := re.match(r"In '(.+?)': ", first)) and match.group(1) != "config" else ""
    where = f"{where}.yaml: " if where else ""
    if match := re.search(r"Could not find '([^']+)'", first):
        group, _, option = match.group(1).rpartition("/")
        options = option_names(group, config_dir)
        return f"{where}{group}={option}: must be one of {', '.join(options)}{nearest(option, options)}"
    if match := re.search(r"Could not append to config\. An item is already at '([^']+)'", first):
        return f"+{match.group(1)}: is a key already; write it without '+'"
    if match := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", first):
        key = match.group(1)
        if key in known:  # Hydra cannot delete a null
            return f"~{key}: cannot be left out; set it instead"
        group, _, leaf = key.rpartition(".")
        siblings = [k.removeprefix(f"{group}.") for k in known if group and k.startswith(f"{group}.")]
        if not siblings:
            near = nearest(key, [*known, *GROUPS, "experiment"])
            return f"{where}{key}: unknown key{near or '; `wdrun --cfg job` shows every key'}"
        near = nearest(leaf, siblings, f"{group}.") or f"; {group} has {', '.join(siblings)}"
        return f"{where}{key}: unknown key{near}"
    if match := re.search(r"Error merging override ([^=]+)=(.*)", first):
        accepted = RULES[match.group(1)].accepted if match.group(1) in RULES else "a value of the same kind"
        return f"{match.group(1)}={match.group(2)}: must be {accepted}"
    return f"{' '.join(words)}: {first}"


def option_names(group: str, config_dir: str | None = None) -> list[str]:
    """The options of a config group, a user's own included."""
    folders = [conf_dir(), *([Path(config_dir)] if config_dir else [])]
    return sorted({p.stem for f in folders for p in (f / group).glob("*.yaml") if not p.stem.startswith("_")})


def _flatten(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for key, value in node.items():
        path = f"{prefix}{key}"
        # A key with a rule, and decay.schedule, is one value, however it is written.
        nested = isinstance(value, Mapping) and path not in RULES and path != "decay.schedule"
        flat += _flatten(value, f"{path}.") if nested else [(path, value)]
    return flat
