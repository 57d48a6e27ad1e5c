"""The command line that reproduces a run: its config.yaml -> the fewest overrides that compose to the same knobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wdrun.config.axes import key_of
from wdrun.config.compose import opened
from wdrun.config.options import GROUPS, option_names
from wdrun.config.parse import parse
from wdrun.errors import ConfigError, StorageError
from wdrun.selection.overrides import recorded
from wdrun.wording import typed

FREE = ("seed", "fold")  # what the command leaves to its reader
SAID = ("decay", "lambda", "lr")  # always in the line, even where the option's default would do
ABSENT = object()

Words = dict[str, Any]  # key (with ++ or ~ where it needs them) -> value
Missed = Callable[[Words], dict[str, Any]]


def words(directory: Path, config_dir: str | None = None) -> list[str]:
    """What is typed after `wdrun` for the run in this folder, up to seed and fold; ConfigError where nothing gives it.

    `config_dir`: the user's own options; where None, those that the run was typed with, if they are still there.
    """
    target, typed_with = _knobs(directory), recorded(directory)
    if config_dir is None:
        folders = [word.partition("=")[2] for word in typed_with or () if word.startswith("--config-dir=")]
        config_dir = next((folder for folder in folders if Path(folder).is_dir()), None)
    if typed_with is not None:
        _check_options(directory, target, typed_with, config_dir)
    with opened(config_dir) as composed:

        def missed(found: Words) -> dict[str, Any]:
            """What the run has otherwise than these words give, by key; ABSENT for what it has not."""
            knobs = parse(composed([_word(key, value) for key, value in found.items()])).run.knobs
            keys = dict.fromkeys([*target, *(k for k in knobs if k not in FREE)])
            return {k: target.get(k, ABSENT) for k in keys if target.get(k, ABSENT) != knobs.get(k, ABSENT)}

        found = _options(target, missed, config_dir)
        found |= dict(_override(key, value) for key, value in missed(found).items())
        if differs := sorted(missed(found)):
            raise ConfigError(
                f"{directory}: no command of this wdrun gives the same {', '.join(differs)}; "
                "name the folder of your own options by --config-dir=DIR if the run had some"
            )
        found = _minimal(found, missed)
    own = [f"--config-dir={config_dir}"] if config_dir else []
    return [*(_word(key, value) for key, value in found.items()), *own]


def _check_options(
    directory: Path, target: Mapping[str, Any], typed_with: Sequence[str], config_dir: str | None
) -> None:
    """ConfigError for an option of the user's own that is not there: the shipped one most like it is another thing."""
    given = {key_of(word) for word in typed_with}
    for group in (group for group in GROUPS if group != "model"):  # whose name may be that of a class
        named = target.get(f"{group}.name")
        if named not in option_names(group, config_dir) and not given & {f"{group}.name", f"{group}._target_"}:
            where = f"is no option of {config_dir}" if config_dir else "is an option of your own"
            raise ConfigError(f"{directory}: {group}={named} {where}; name its folder by --config-dir=DIR")


def _knobs(directory: Path) -> dict[str, Any]:
    """The knobs of config.yaml, flat as in `Run.knobs`, without seed and fold."""
    import yaml

    path = directory / "config.yaml"
    try:
        content = path.read_text(encoding="utf-8")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(content, yaml.SafeLoader)):
            raise ValueError("has an alias, as no config of wdrun's has")  # it may be endless, or a billion words long
        nested = yaml.safe_load(content)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise StorageError(f"{path}: {reason}; the run's knobs are read from it") from error
    if not isinstance(nested, dict):
        raise StorageError(f"{path}: holds no knobs; the run's knobs are read from it")
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {key: value}
    return {key: value for key, value in flat.items() if key not in FREE}


def _options(target: Mapping[str, Any], missed: Missed, config_dir: str | None) -> Words:
    """The option of each group; where none has the run's name (a class of one's own), the one most like it."""
    found: Words = {}
    for group in sorted(GROUPS, key=lambda group: group != "decay"):
        named, options = target.get(f"{group}.name"), option_names(group, config_dir)
        if named not in options:
            named = min(options, key=lambda option: len(missed({group: option})))
        found[group] = named
        if group == "decay":
            found |= {key: target[key] for key in ("lambda", "lr") if key in target}
    return found


def _override(key: str, value: Any) -> tuple[str, Any]:
    """The word that sets a knob, whether or not the option has it."""
    if value is ABSENT:
        return f"~{key}", value
    if key == "decay.terms":  # in the form that it is typed in
        value = [{"decay": term["name"], **{k: v for k, v in term.items() if k != "name"}} for term in value]
    return f"++{key}", value


def _minimal(found: Words, missed: Missed) -> Words:
    """Without the words and the parts of values that change nothing, and without ++ where the key is known."""

    def fits(candidate: Words) -> bool:
        try:
            return not missed(candidate)
        except ConfigError:
            return False

    for key in [key for key in found if key not in SAID]:
        without = {k: v for k, v in found.items() if k != key}
        if fits(without):
            found = without
            continue
        plain = key.removeprefix("++")
        renamed = {plain if k == key else k: v for k, v in found.items()}
        found, key = (renamed, plain) if fits(renamed) else (found, key)
        left = list(_parts(found[key]))
        while left:
            shorter = found | {key: _without(found[key], left[0])}
            if fits(shorter):
                found = shorter
            left.pop(0)
    return found


def _parts(value: Any) -> Iterator[tuple[Any, ...]]:
    """Where a value has keys: its own, or those of the mappings it lists."""
    if isinstance(value, dict):
        yield from ((key,) for key in value)
    elif isinstance(value, list):
        yield from ((i, key) for i, item in enumerate(value) if isinstance(item, dict) for key in item)


def _without(value: Any, part: tuple[Any, ...]) -> Any:
    """The value without one of its parts."""
    if len(part) == 1:
        return {k: v for k, v in value.items() if k != part[0]}
    return [_without(item, part[1:]) if i == part[0] else item for i, item in enumerate(value)]


def _word(key: str, value: Any) -> str:
    return key if value is ABSENT else f"{key}={_typed(value)}"


def _typed(value: Any) -> str:
    """A value in Hydra's override grammar."""
    if isinstance(value, list):
        return f"[{','.join(map(_typed, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{_typed(v)}' for key, v in value.items())}}}"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_][\w./-]*", value, re.ASCII) and value.lower() not in (
            "null", "true", "false", "nan", "inf",
        )  # fmt: skip
        # Within quotes a backslash is itself, unless a quote follows the backslashes it is one of.
        escaped = re.sub(r"(\\*)('|\Z)", lambda m: 2 * m[1] + (m[2] and "\\'"), value)
        return value if plain else f"'{escaped}'"
    return "null" if value is None else typed(value)
