"""`wdrun status DIR…`: how many runs are finished, and one line for each that is not. Reads run.csv files only.

A folder that has root tables and no run folders is told from its runs.csv, as is such a file itself.
"""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wdrun import storage
from wdrun.errors import ConfigError, Exit
from wdrun.tables import plan
from wdrun.tables.columns import run_row
from wdrun.tables.handed import columns_lacking, table_of
from wdrun.tables.identity import finished_first, identity
from wdrun.tables.read import NO_RESULTS, Results, read_runs, run_folders
from wdrun.tables.sound import run_of, whole
from wdrun.tables.words import folders_and_settings
from wdrun.tables.write import render
from wdrun.terminal import screen
from wdrun.terminal.tables import Column, laid_out
from wdrun.wording import age, counted, printable

ORDER = ("done", "running", "interrupted", "failed", "diverged", "waiting")
NAMED = 20  # waiting runs that are named; of thousands the number says enough
COLUMNS = [
    Column("run"), Column("status"), Column("epochs"), Column("written", drop=1), Column("", wraps=True, below=True)
]  # fmt: skip


@dataclass(frozen=True)
class Line:
    """What is told of a run: its folder's name, its status, how far it is, and why.

    `run` is its id, `row` its row of runs.csv as far as it is known; of a planned run that is what was typed for it.
    """

    name: str
    status: str
    done: int = 0
    epochs: str = "?"
    age: str = ""
    cause: str = ""
    run: str = ""
    row: Mapping[str, Any] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class State:
    """The runs of a folder, and a sentence on each file there that cannot be read."""

    folder: Path
    runs: list[Line]
    broken: list[str]

    @property
    def counts(self) -> Counter[str]:
        return Counter(line.status for line in self.runs)

    @property
    def code(self) -> Exit:
        """UNFINISHED while a run is to be trained, then FAILED where one failed or cannot be read, else DONE."""
        if not self.runs and not self.broken:
            return Exit.CONFIG
        if self.counts.keys() & {"running", "interrupted", "waiting"}:
            return Exit.UNFINISHED
        return Exit.FAILED if self.counts["failed"] or self.broken else Exit.DONE


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Print the state of the folders' runs; a folder of folders of runs is told folder by folder.

    With --json an object a line, and the exit code says whether the runs are finished: the worst of the folders'.
    """
    filters: list[str] = []
    folders, _ = folders_and_settings("status", words, {}, filters, files=True)
    states = [state(folder) for given in folders for folder in _expand(given)]
    if filters:
        states = _filtered(states, filters, flags["config_dir"])
    for number, found in enumerate(states):
        print(json.dumps(_object(found)) if flags["json"] else "\n".join([""] * bool(number) + told(found)))
    codes = {found.code for found in states}
    order = (Exit.CONFIG, Exit.UNFINISHED, Exit.FAILED)
    return next((code for code in order if code in codes), Exit.DONE) if flags["json"] else Exit.DONE


def _expand(folder: Path) -> list[Path]:
    """The folder or table itself, or the folders in it that have runs where it has none."""
    if folder.is_file() and (lacking := columns_lacking(folder)):
        raise ConfigError(f"{folder}: {folder.name} is not a table of wdrun's (no column {lacking[0]})")
    if _has_runs(folder):
        return [folder]
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_runs(path)] or [folder]


def _has_runs(folder: Path) -> bool:
    return bool(run_folders([folder])) or (folder / plan.NAME).is_file() or table_of(folder) is not None


def state(folder: Path, now: float | None = None) -> State:
    """The runs of a folder, those that wait too. `now`: Unix seconds."""
    moment = time.time() if now is None else now
    lines: list[Line] = []
    broken: list[str] = []
    seen = set()
    directories = run_folders([folder])
    for directory in finished_first(directories):
        try:
            line = look(directory, moment)
            lines += [line] if line.run not in seen else []
            seen.add(line.run)
        except (OSError, ValueError) as error:
            broken.append(_unreadable(directory, error))
    if not directories and (table := table_of(folder)) is not None:
        try:
            lines += _handed_on(table)
        except (OSError, ValueError) as error:
            broken.append(_unreadable(table, error))
    try:
        waiting = [run for run in plan.read(folder) if run.waits] if directories or not lines else []
        lines += [Line(run.name, "waiting", 0, run.epochs, overrides=run.overrides) for run in waiting]
    except (OSError, ValueError) as error:
        broken.append(_unreadable(folder / plan.NAME, error))
    return State(folder, lines, broken)


def _unreadable(path: Path, error: Exception) -> str:
    return printable(f"cannot be read: {path}: {' '.join(str(error).split())}")


def look(directory: Path, now: float) -> Line:
    """One run as its run.csv has it; `running` is believed only of a run that a process holds."""
    path = directory / "run.csv"
    line = _line(directory.name, run_of(*whole(path)))
    line = replace(line, age=age(now - path.stat().st_mtime))
    if line.status == "running" and not storage.held(directory):
        return replace(line, status="interrupted", cause="killed")
    return replace(line, cause=f"{line.cause}; log {directory / 'error.log'}") if line.status == "failed" else line


def _handed_on(path: Path) -> list[Line]:
    """The runs of a runs.csv whose folders are elsewhere, by their ids."""
    header, rows = whole(path)
    lines = [_line(row["id"], row) for row in (run_of(header, [cells], path.name) for cells in rows)]
    cause = f"it was running when {path.name} was written"
    return [replace(line, status="interrupted", cause=cause) if line.status == "running" else line for line in lines]


def _line(name: str, row: Mapping[str, str]) -> Line:
    done, epochs = int(row["epochs_done"] or 0), row.get("epochs", "?")
    return Line(name, row["status"], done, epochs, cause=row["cause"], run=identity(row), row=row)


def _filtered(states: Sequence[State], words: Sequence[str], config_dir: str | None) -> list[State]:
    """The states with the runs that the filter words keep, as for `select`; what waits is known by what was typed."""
    from wdrun.config import experiments
    from wdrun.tables.filters import kept

    every = [line for found in states for line in found.runs]
    if not every:
        raise ConfigError(f"{', '.join(str(found.folder) for found in states)}: {NO_RESULTS}")
    waiting = [line for line in every if not line.row]
    jobs = experiments.sweep([list(line.overrides) for line in waiting], config_dir)[0] if waiting else []
    planned = iter([run_row(job.run, {"status": "waiting"}) for job in jobs])
    rows = [dict(line.row or next(planned)) | {"id": str(number)} for number, line in enumerate(every)]
    header = list(dict.fromkeys(key for row in rows for key in row))
    runs = read_runs(io.BytesIO(render(header, rows)))
    none = runs.iloc[:0]
    found = Results(tuple(found.folder for found in states), runs, none, none, none, none, ())
    places = {int(place) for place in kept(found, words, "status").runs["id"]}
    kept_lines = {id(line) for place, line in enumerate(every) if place in places}
    return [replace(found, runs=[line for line in found.runs if id(line) in kept_lines]) for found in states]


def _object(found: State) -> dict[str, Any]:
    """The state as `--json` prints it."""
    not_done = [
        {"name": x.name, "status": x.status, "epochs_done": x.done, "epochs": _number(x.epochs), "cause": x.cause}
        for status in ORDER[1:] for x in found.runs if x.status == status
    ]  # fmt: skip
    counts = {status: found.counts[status] for status in ORDER}
    return {"folder": str(found.folder), "runs": len(found.runs), "counts": counts, "not_done": not_done} | (
        {"unreadable": found.broken} if found.broken else {}
    )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def report(folder: Path, now: float | None = None) -> list[str]:
    """The folder's state as lines, as `command` prints them."""
    return told(state(folder, now))


def told(found: State) -> list[str]:
    """The state as lines: counts, the runs that are not done in columns, and files that cannot be read."""
    if not found.runs and not found.broken:
        return [printable(f"{found.folder}: no runs of wdrun there (no run.csv)")]
    told = ", ".join(f"{found.counts[status]} {status}" for status in ORDER if found.counts[status])
    heading = f"{found.folder}: {counted(len(found.runs), 'run')}: {told}" if found.runs else f"{found.folder}:"
    broken = [part for sentence in found.broken for part in screen.folded(f"  {sentence}")]
    return [*screen.lines(printable(heading)), *_table(found.runs), *broken]


def _table(lines: Sequence[Line]) -> list[str]:
    """The runs that are not done, in columns."""
    listed: list[Line] = []
    for status in ORDER[1:]:
        some = [line for line in lines if line.status == status]
        listed += some[:NAMED] if status == "waiting" else some
    if not listed:
        return []
    width = screen.columns()
    rows = [[x.name, x.status, f"{x.done}/{x.epochs}", x.age, x.cause] for x in listed]
    text = laid_out(COLUMNS, rows, None if width is None else max(width - 2, 1))
    more = sum(line.status == "waiting" for line in lines) - NAMED
    return [f"  {line}".rstrip() for line in text] + ([f"  and {more} more waiting"] if more > 0 else [])
