"""The command line that reproduces a run: its config.yaml, or its row -> the fewest words that give the same knobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.config import files
from wdrun.config.axes import key_of
from wdrun.config.compose import compose, opened
from wdrun.config.files import Missed, Words
from wdrun.config.options import GROUPS, option_names
from wdrun.config.parse import parse
from wdrun.config.run import SCALARS, digest, written
from wdrun.errors import ConfigError, StorageError
from wdrun.selection.overrides import Line, recorded
from wdrun.tables.identity import FORMER, NO_KNOBS, knob
from wdrun.tables.place import placed

if TYPE_CHECKING:
    import pandas as pd

FREE = ("seed", "fold")  # what the command leaves to its reader
SAID = ("decay", "lambda", "lr")  # always in the line, even where the option's default would do
MOST_STRUCTURES = 12  # a second's work each; a report tells as many lines


def words(directory: Path, config_dir: str | None = None, row: Mapping[str, Any] | None = None) -> list[str]:
    """What is typed after `wdrun` for the run in this folder, up to seed and fold; ConfigError where nothing gives it.

    Of tables alone, where there is no such folder, the run's knobs are those of its `row` of runs.csv. `config_dir`:
    the user's own options; where None, those that the run was typed with, if they are still there.
    """
    if row is not None and not directory.is_dir():
        return _with_options(_fewest(_target(row, config_dir), str(directory), config_dir), config_dir)
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
    return _with_options(_fewest(target, str(directory), config_dir), config_dir)


def _with_options(found: Words, config_dir: str | None) -> list[str]:
    return [*(files.word(key, value) for key, value in found.items()), *_flag(config_dir)]


def _flag(config_dir: str | None) -> list[str]:
    return [f"--config-dir={config_dir}"] if config_dir else []


def _fewest(target: Mapping[str, Any], named: str, config_dir: str | None) -> Words:
    with opened(config_dir) as composed:
        missed = files.difference(target, composed, FREE)
        return _minimal(files.matching(target, missed, named, config_dir), missed)


def _target(row: Mapping[str, Any], config_dir: str | None) -> dict[str, Any]:
    """The knobs of a row of runs.csv, without seed and fold; ConfigError where they are not those of its id.

    An empty cell is a knob that is null, or one that only other runs of the table have: the options of the run and its
    id tell.
    """
    cells = written({key: knob(cell) for key, cell in row.items() if key not in NO_KNOBS})
    given = {key: value for key, value in cells.items() if value is not None}
    where = Path(row["dir"])
    _check_options(where, given, (), config_dir)
    options = [f"{group}={given[f'{group}.name']}" for group in GROUPS if f"{group}.name" in given]
    known = [word for word in options if word.partition("=")[2] in option_names(word.partition("=")[0], config_dir)]
    has = parse(compose(known, config_dir)).run.knobs
    likely = {key: value for key, value in cells.items() if value is not None or key in has}
    fitting = [found for found in (likely, cells, given) if FORMER.fullmatch(row["id"]) or digest(found) == row["id"]]
    if not fitting:
        raise ConfigError(f"{where}: the knobs in the table are not those of its id, so no command is known to give it")
    return {key: value for key, value in fitting[0].items() if key not in FREE}


class Typed:
    """What is typed for each of these runs (a runs table, see `read.load`), as far as it is known.

    As recorded in the run's folder; of tables alone made from the knobs, of at most MOST_STRUCTURES structures.
    """

    def __init__(self, runs: pd.DataFrame, config_dir: str | None = None) -> None:
        self.runs, self.config_dir = runs, config_dir
        self.structures: dict[tuple[str, ...], Words | None] = {}

    def __call__(self, directory: str | Path) -> Line | None:
        """What is typed for the run of this folder; None where it is not known."""
        folder = Path(directory)
        if folder.is_dir():
            return recorded(folder)
        row = self._rows.get(str(directory))
        found = self._structure(row) if row else None
        if row is None or found is None:
            return None
        own = found | {key: row[key] for key in SAID[1:]} | {"seed": row["seed"]}
        own |= {"fold": row["fold"]} if row["fold"] else {}
        line = [files.word(key, value) for key, value in own.items()]
        return placed([*line, *_flag(self.config_dir)], folder.parent, alone=True)

    @cached_property
    def _rows(self) -> dict[str, dict[str, Any]]:
        records = self.runs.to_dict("records") if "dir" in self.runs and "id" in self.runs else []
        return {str(row["dir"]): {str(key): value for key, value in row.items()} for row in records}

    def _structure(self, row: Mapping[str, Any]) -> Words | None:
        """The words of the run; of runs that differ in λ, lr, seed and fold only they are looked for once."""
        key = tuple(f"{name}={value}" for name, value in row.items() if name not in (*NO_KNOBS, *SCALARS))
        if key not in self.structures:
            if len(self.structures) == MOST_STRUCTURES:
                return None
            try:
                self.structures[key] = _fewest(_target(row, self.config_dir), row["dir"], self.config_dir)
            except ConfigError:
                self.structures[key] = None
        return self.structures[key]


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
