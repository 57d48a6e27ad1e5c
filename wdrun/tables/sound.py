"""Whether a run's folder holds a whole run: ValueError says in a few words what is broken, nothing is guessed at."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from wdrun.tables.columns import ADDED, FACTORS, FORMER, RUN, SCHEMA, TABLES, typed_row
from wdrun.wording import counted, printable

T = TypeVar("T")


def settled(directory: Path, read: Callable[[], T]) -> T:
    """What `read` finds in a run's folder; it reads again where the run went on meanwhile: run.csv is another file."""
    path = directory / "run.csv"
    for _ in range(20):
        if (before := version(path)) is None:
            break
        try:
            return read()
        except (OSError, ValueError):
            if version(path) == before:
                raise
    return read()


def version(path: Path) -> tuple[int, int] | None:
    """Which of the files that replaced one another at this path is there now; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def left_out(what: Path | str, error: Exception) -> str:
    """The line that names a folder, a table or a row of one that is left out of the tables, and why."""
    return printable(f"left out {what}: {' '.join(str(error).split())}")


def whole(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header, with the present names, and rows of a CSV; ValueError unless each row is whole and the last one ended.

    Columns that a former version's table of this name has not are there, and empty.
    """
    text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    if not text.endswith("\n"):
        raise ValueError(f"{path.name} is cut off")
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise ValueError(f"{path.name} is no CSV ({error})") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"{path.name} row {number} has {counted(len(row), 'cell')}, its header {len(header)}")
    names = [FORMER.get(name, name) for name in header]
    if added := [name for name in ADDED.get(path.stem, ()) if name not in names]:
        rows = [[*row, *("" for _ in added)] for row in rows]
    return [*names, *added], rows


def complete(row: Mapping[str, str], tables: Mapping[str, Sequence[Sequence[str]]]) -> None:
    """ValueError unless those tables that are given hold all epochs of a run that ended, and its run.csv's losses.

    A table cut between two lines is whole line by line; only the run's own row knows what it lacks.
    """
    if row["status"] not in ("done", "diverged"):
        return
    number = int(row["epochs_done"] or 0)
    for name in {"metrics", "layers", "timing"} & tables.keys():
        if len(tables[name]) < number:  # before as many names of epochs are made
            raise ValueError(f"{name}.csv has fewer rows than the {counted(number, 'epoch')} of run.csv")
    epochs = [str(epoch) for epoch in range(1, number + 1)]
    found = {name: Counter(_pick(name, rows, "epoch")) for name, rows in tables.items()}
    for name in ("metrics", "layers", "timing"):
        if name in found and list(found[name]) != epochs:
            raise ValueError(f"{name}.csv has other epochs than the {len(epochs)} of run.csv")
    for name in ("layers", "timing"):
        if len(set(found.get(name, Counter()).values())) > 1:
            raise ValueError(f"{name}.csv has more rows of one epoch than of another")
    if "metrics" in tables:
        _same_losses(row, epochs, tables["metrics"])
    if found.get("histograms") and "layers" in tables:
        _same_weights(tables["histograms"], tables["layers"])
    elif "histograms" in found and epochs and "histograms" in row.get("diagnostics", ""):
        raise ValueError("histograms.csv is empty")


def _same_losses(row: Mapping[str, str], epochs: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One clean row an epoch and split, the last with the losses of the run's row, and every corruption asked for."""
    keys = ("epoch", "split", "corruption", "data_loss")
    parts = list(zip(*(_pick("metrics", rows, name) for name in keys), strict=True))
    clean = [(epoch, split) for epoch, split, corruption, _ in parts if not corruption]
    tested = [(last_epoch, "test") for last_epoch in epochs[-1:] if row["status"] == "done"]
    if clean != [*((epoch, split) for epoch in epochs for split in ("train", "val")), *tested]:
        raise ValueError("metrics.csv has not one row of each epoch and split")
    last = {split: loss for _, split, corruption, loss in parts if not corruption}
    for split in ("train", "val", "test"):
        said, there = row[f"{split}_loss"], last.get(split, "")
        if said != there and (not said or not there or float(said) != float(there)):
            raise ValueError(f"metrics.csv ends with a {split} loss of {there or 'nothing'}, run.csv has {said}")
    shifted = Counter(corruption for _, _, corruption, _ in parts if corruption)
    strengths = {key: asked for key, asked in row.items() if key.startswith("evaluate.") and asked.startswith("[")}
    for key, asked in strengths.items() if row["status"] == "done" else ():
        if shifted[key.removeprefix("evaluate.")] != (0 if asked == "[]" else asked.count(",") + 1):
            raise ValueError(f"metrics.csv has not the {key}={asked} of run.csv")


def _same_weights(bins: Sequence[Sequence[str]], layers: Sequence[Sequence[str]]) -> None:
    """Every weight of a tensor is in one bin of its histogram, in every epoch."""
    counted: Counter[tuple[str, str]] = Counter()
    names = ("epoch", "parameter", "count")
    for epoch, parameter, count in zip(*(_pick("histograms", bins, name) for name in names), strict=True):
        counted[epoch, parameter] += int(count)
    names = ("epoch", "parameter", "numel")
    for epoch, parameter, numel in zip(*(_pick("layers", layers, name) for name in names), strict=True):
        if counted[epoch, parameter] != int(numel):
            raise ValueError(f"histograms.csv has {counted[epoch, parameter]} of {numel} weights of {parameter}")


def _pick(name: str, rows: Sequence[Sequence[str]], column: str) -> list[str]:
    """A column of a table."""
    at = [c.name for c in TABLES[name]].index(column)
    return [row[at] for row in rows]


def run_of(header: list[str], rows: list[list[str]], file: str = "run.csv") -> dict[str, str]:
    """The row of a run.csv, or one of another `file`; ValueError unless it is one of this wdrun's."""
    missing = [c.name for c in (*FACTORS, *RUN) if c.name not in header]
    if missing:
        raise ValueError(f"{file} is not a table of wdrun's (no column {missing[0]})")
    if len(rows) != 1:
        raise ValueError(f"{file} has {len(rows)} rows where one run has one")
    row = dict(zip(header, rows[0], strict=True))
    if row["schema"] != str(SCHEMA):
        raise ValueError(f"{file} has schema {row['schema']!r}, this wdrun reads {SCHEMA}")
    typed_row(row)  # ValueError names the text that is no number
    return row
