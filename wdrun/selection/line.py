"""The command line that reproduces a run: its config.yaml -> the fewest overrides that compose to the same knobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wdrun.config import files
from wdrun.config.compose import opened
from wdrun.config.files import Missed, Words
from wdrun.errors import ConfigError, StorageError

FREE = ("seed", "fold")  # what the command leaves to its reader
SAID = ("decay", "lambda", "lr")  # always in the line, even where the option's default would do


def words(directory: Path, config_dir: str | None = None) -> list[str]:
    """Overrides that give the run in this folder, up to seed and fold; ConfigError where no overrides do."""
    path = directory / "config.yaml"
    try:
        target = {key: value for key, value in files.knobs(path, str(path)).items() if key not in FREE}
    except ConfigError as error:
        raise StorageError(f"{error}; the run's knobs are read from it") from error
    with opened(config_dir) as composed:
        missed = files.difference(target, composed, FREE)
        found = _minimal(files.matching(target, missed, str(directory), config_dir), missed)
    return [files.word(key, value) for key, value in found.items()]


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
