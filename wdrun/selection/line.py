"""The command line that reproduces a run: its config.yaml -> the fewest overrides that compose to the same knobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wdrun.config import files
from wdrun.config.axes import key_of
from wdrun.config.compose import opened
from wdrun.config.files import Missed, Words
from wdrun.config.options import GROUPS, option_names
from wdrun.errors import ConfigError, StorageError
from wdrun.selection.overrides import recorded

FREE = ("seed", "fold")  # what the command leaves to its reader
SAID = ("decay", "lambda", "lr")  # always in the line, even where the option's default would do


def words(directory: Path, config_dir: str | None = None) -> list[str]:
    """What is typed after `wdrun` for the run in this folder, up to seed and fold; ConfigError where nothing gives it.

    `config_dir`: the user's own options; where None, those that the run was typed with, if they are still there.
    """
    path = directory / "config.yaml"
    try:
        target = {key: value for key, value in files.knobs(path, str(path)).items() if key not in FREE}
    except ConfigError as error:
        raise StorageError(f"{error}; the run's knobs are read from it") from error
    typed_with = recorded(directory)
    if config_dir is None:
        folders = [word.partition("=")[2] for word in typed_with or () if word.startswith("--config-dir=")]
        config_dir = next((folder for folder in folders if Path(folder).is_dir()), None)
    if typed_with is not None:
        _check_options(directory, target, typed_with, config_dir)
    with opened(config_dir) as composed:
        missed = files.difference(target, composed, FREE)
        found = _minimal(files.matching(target, missed, str(directory), config_dir), missed)
    own = [f"--config-dir={config_dir}"] if config_dir else []
    return [*(files.word(key, value) for key, value in found.items()), *own]


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


def _minimal(found: Words, missed: Missed) -> Words:
    """Without the words and the parts of values that change nothing, and without ++ where the key is known."""

    for key in [key for key in found if key not in SAID]:
        without = {k: v for k, v in found.items() if k != key}
        if files.fits(without, missed):
            found = without
            continue
        plain = key.removeprefix("++")
        renamed = {plain if k == key else k: v for k, v in found.items()}
        found, key = (renamed, plain) if files.fits(renamed, missed) else (found, key)
        left = list(_parts(found[key]))
        while left:
            shorter = found | {key: _without(found[key], left[0])}
            if files.fits(shorter, missed):
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
