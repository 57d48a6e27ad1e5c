"""Results already there, from Python: `load` reads tables, `select` chooses λ, `best` and `report` as from a shell."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from wdrun.accepts import check, one_of
from wdrun.api.arguments import Folder, is_one_value, plain, text_of
from wdrun.api.silence import stderr
from wdrun.config import commands
from wdrun.errors import ConfigError, StorageError
from wdrun.report.command import write
from wdrun.selection import command, selecting
from wdrun.selection.looks import last_look
from wdrun.selection.selecting import Selection
from wdrun.tables import filters, read
from wdrun.tables.columns import FACTORS, TABLES
from wdrun.tables.read import Results
from wdrun.terminal.progress import say
from wdrun.wording import typed

if TYPE_CHECKING:
    from wdrun.api.runs import Result, Sweep

Place: TypeAlias = "Folder | Result | Sweep"
Source: TypeAlias = "Place | pd.DataFrame | Results"
Where: TypeAlias = str | Sequence[str] | Mapping[str, Any]

OUTCOMES = ("status", "val_loss", "val_accuracy")  # of a run, which a frame must have beside its factors


def load(*places: Place, tables: Sequence[str] = tuple(TABLES)) -> Results:
    """The runs of these folders, or files of tables, as typed frames: `.runs` has a row each, with its folder `dir`.

    `.metrics`, `.layers`, `.histograms` and `.timing` have the rows of every run; those not in `tables` stay empty.
    `.problems` is a line for what is broken and left out. ConfigError where there is no sound run at all.
    """
    for name in tables:
        check("tables", name, one_of(*TABLES))
    return read.load(paths(places), tables=tuple(tables))


def select(
    *sources: Source,
    metric: str = "val_loss",
    margin: float | None = None,
    nuisance: Sequence[str] | str = "lr",
    confidence: float = 0.95,
    where: Where = (),
    config_dir: Folder | None = None,
    quiet: bool = False,
) -> Selection:
    """Choose λ on validation, as `wdrun select`: from folders, or from one frame of runs, `Results` or sweep.

    `metric`: val_loss or val_accuracy; `margin`: the difference that does not matter, in its unit; `nuisance`: knobs
    that are tuned away; `confidence` of every interval; `where`: the runs to look at, "decay=l2 lr=0.01,0.02" or
    {"decay": "l2", "lr": [0.01, 0.02]}. Nothing is written; what was left out is said on stderr, unless `quiet`.
    ConfigError for what is out of range, and where no run is left.
    """
    check("metric", metric, commands.METRIC.accepts)
    knobs = nuisance.split(",") if isinstance(nuisance, str) else nuisance
    with stderr(quiet):
        found, own = _found(sources)
        for problem in found.problems:
            say(f"warning: {problem}")
        found = filters.kept(found, [*own, *_filters(where)], "select", commands.COMMANDS["select"].defaults)
        return selecting.select(
            found.runs,
            metric=metric,
            margin=plain("margin", margin),
            nuisance=[knob for knob in knobs if knob],
            confidence=plain("confidence", confidence),
            config_dir=text_of(config_dir),
            plan=found.plan,
            before=last_look(found.folders[0]) if found.folders else None,
            left_out=found.left_out,
        )


def best(
    *places: Place, where: Where = (), config_dir: Folder | None = None, quiet: bool = False, **settings: Any
) -> list[str]:
    """The words that reproduce the choice, `wdrun.run(*wdrun.best("outputs/x"), seed=5)`; stderr says why it is these.

    `settings`: rule="1se" for the strongest λ within one standard error, and the others of `wdrun best`.
    """
    with stderr(quiet):
        return command.best(typed_words(places, where, settings), {"config_dir": text_of(config_dir)})


def report(
    *places: Place,
    out: Folder | None = None,
    where: Where = (),
    config_dir: Folder | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Path:
    """Write one offline HTML page and its figures, as `wdrun report`; the page's path. Its text goes to stderr.

    `settings`: metric, margin, formats, as of `wdrun report`. StorageError where it cannot be written.
    """
    given = settings if out is None else {"out": out, **settings}
    with stderr(quiet):
        page = write(typed_words(places, where, given), {"config_dir": text_of(config_dir)})
    if page is None:
        raise StorageError("the page was not written: its folder may only be read; give out=PATH")
    return page


def paths(places: Sequence[Any]) -> list[Path]:
    """The folders and files that the places are; ConfigError for one that is not there."""
    found: list[Path] = []
    for place in places:
        if isinstance(place, str | os.PathLike):
            found.append(Path(place))
        elif hasattr(place, "folders"):
            found += place.folders
        elif isinstance(getattr(place, "directory", None), Path):
            found.append(place.directory)
        else:
            raise ConfigError(f"{type(place).__name__}: must be a folder of results, such as 'outputs/default'")
    if not found:
        raise ConfigError("name a folder of results, such as 'outputs/default'")
    for path in found:
        if not path.exists():
            raise ConfigError(f"{path}: no such folder")
    return found


def _found(sources: Sequence[Any]) -> tuple[Results, list[str]]:
    """The results that the sources are, those of folders together, or one frame, sweep or `Results`; and filters."""
    first = sources[0] if len(sources) == 1 else None
    if isinstance(first, Results):
        return first, []
    if isinstance(first, pd.DataFrame):
        return _of_frame(first), []
    if isinstance(runs := getattr(first, "runs", None), pd.DataFrame):
        return _of_frame(runs), []
    return read.load(paths(sources), tables=()), _own_runs(sources)


def _own_runs(places: Sequence[Any]) -> list[str]:
    """A filter to the runs of sweeps where their folders hold others too; nothing where any place is not a sweep."""
    if not all(hasattr(place, "outcomes") for place in places):
        return []
    ids = dict.fromkeys(run for place in places for run in place.runs["id"])
    there = {path.parent.name.rpartition("-")[2] for folder in paths(places) for path in folder.glob("*/run.csv")}
    return [f"id={','.join(ids)}"] if there - {*ids} else []


def _of_frame(runs: pd.DataFrame) -> Results:
    """A frame of runs as results; one that pandas read itself is typed first."""
    if missing := [name for name in (*(factor.name for factor in FACTORS), *OUTCOMES) if name not in runs]:
        raise ConfigError(f"a frame without {missing[0]}: must be a frame of runs, such as wdrun.load(…).runs")
    if runs.empty:
        raise ConfigError("a frame without rows: must be a frame of runs, such as wdrun.load(…).runs")
    whole = read.read_runs(io.BytesIO(runs.to_csv(index=False).encode()))
    if "dir" not in whole:
        whole["dir"] = whole["id"]
    none = pd.DataFrame()
    return Results((), whole, metrics=none, layers=none, histograms=none, timing=none, problems=())


def _filters(where: Where) -> list[str]:
    """The filter words: of a line of them, a list, or a mapping of knobs to values."""
    if isinstance(where, str):
        try:
            return shlex.split(where)
        except ValueError as error:
            raise ConfigError(f"where={where}: not words as a shell reads them: {error}") from None
    if not isinstance(where, Mapping):
        return list(where)
    return [f"{key}={_values(key, value)}" for key, value in where.items()]


def _values(name: str, value: Any) -> str:
    given = plain(name, value)
    several = isinstance(given, list) and not is_one_value(name, given)
    return ",".join(typed(item) or "null" for item in (given if several else [given]))


def typed_words(places: Sequence[Any], where: Where, settings: Mapping[str, Any]) -> list[str]:
    """The words of a command on these places; a setting of None is not typed."""
    keys = {key.replace("__", "."): value for key, value in settings.items() if value is not None}
    given = [f"{key}={_values(key, value)}" for key, value in keys.items()]
    return [*map(str, paths(places)), *given, *_own_runs(places), *_filters(where)]
