"""What `wdrun tune` found and why it trained what it did: verdict.csv, looks.csv and decisions.csv of a folder.

They are records: the planner follows from the runs alone and never reads them.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.errors import ConfigError, StorageError
from wdrun.storage import hold, write_atomically
from wdrun.tables.columns import Column, Row
from wdrun.tables.ownership import foreign
from wdrun.tables.write import cell, csv_text, render

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = (
    Column("facet", str, "what is asked about, at its own best setting: the words that tell it from the others"),
    Column("against", str, "what it is held against: another facet at its own best setting, or its own λ = 0"),
    Column("verdict", str, "better, worse, equivalent (within the margin), undecided or dropped"),
    Column("lambda", float, "λ of the facet's setting, 0 of one that does not decay; empty: none was found yet"),
    Column("lr", float, "peak learning rate of that setting"),
    Column("setting", str, "all tuned values of that setting, as they are typed"),
    Column("against_setting", str, "those of what it is held against"),
    Column("difference", float, "facet minus against, mean over pairs, in the objective's unit (nats, or a share)"),
    Column("low", float, "lower end of its interval at `confidence`; empty: fewer than 4 pairs"),
    Column("high", float, "upper end"),
    Column("pairs", int, "pairs of fresh runs, the same seeds on both sides, that it is told on"),
    Column("runs", int, "runs of both sides that have ended, of the search too"),
    Column("cause", str, "why it is undecided or dropped; which value lies at the end of its interval()"),
    Column("more", float, "about how many more runs would decide it; inf: no number would; empty: decided, not known"),
    Column("objective", str, "val_loss or val_accuracy"),
    Column("margin", float, "the difference that does not matter, in the objective's unit"),
    Column("confidence", float, "the chance that all verdicts of the table are right, at the least"),
)
LOOKS = (
    *VERDICTS[:2],
    Column("pairs", int, "pairs of fresh runs that there were"),
    Column("difference", float, "facet minus against, as in verdict.csv"),
    Column("low", float, "lower end of its interval then; empty: fewer than 4 pairs"),
    Column("high", float, "upper end"),
    Column("verdict", str, "better, worse or equivalent; empty: it was open"),
)
DECISIONS = (
    Column("step", int, "the how-manieth run it was that was asked for, from 1"),
    Column("phase", str, "search (it chooses), confirm (a fresh run, it tells) or finish (it had begun before)"),
    Column("facet", str, "the facet it is a run of; with λ = 0, of the first that has it"),
    Column("setting", str, "its tuned values, as they are typed"),
    Column("seed", int, "its seed: 1000 and above are fresh"),
    Column("id", str, "its id in runs.csv"),
    Column("known", str, "what was known when it was asked for"),
    Column("reason", str, "why it was"),
)
RECORDS = {"verdict": VERDICTS, "looks": LOOKS, "decisions": DECISIONS}
HEADERS = {f"{name}.csv": [column.name for column in columns] for name, columns in RECORDS.items()}


@dataclass(frozen=True)
class Records:
    """The three tables of a folder as typed pandas frames; one that is not there has no row."""

    verdicts: pd.DataFrame
    looks: pd.DataFrame
    decisions: pd.DataFrame


def check(root: Path) -> None:
    """ConfigError where tuning into the folder would replace a file of one of these names that is not wdrun's."""
    if path := foreign(root, HEADERS):
        raise ConfigError(
            f"{path}: is not a table that wdrun wrote, and tuning into {root} would replace it; take another name=, "
            "or move it away"
        )


def write(root: Path, verdicts: Iterable[Row], looks: Iterable[Row]) -> None:
    """Replace verdict.csv and looks.csv at `root`, each whole, by these rows."""
    with hold(root, wait=True):
        for name, rows in (("looks", looks), ("verdict", verdicts)):
            write_atomically(_ours(root, name), render(HEADERS[f"{name}.csv"], map(_on_one_line, rows)))


def append(root: Path, *decisions: Row) -> None:
    """Put the decisions at the end of decisions.csv, those whose run is in it already left out; `step` is counted."""
    with hold(root, wait=True):
        path = _ours(root, "decisions")
        header, lines = HEADERS[path.name], _lines(path)
        known = {line[header.index("id")] for line in lines}
        for row in map(_on_one_line, decisions):
            if cell(row["id"]) not in known:
                known.add(cell(row["id"]))
                lines.append([cell(({"step": len(lines) + 1} | row)[name]) for name in header])
        write_atomically(path, csv_text([header, *lines]))


def _ours(root: Path, name: str) -> Path:
    """The path of one of the tables; StorageError where a file of another kind is there."""
    path = root / f"{name}.csv"
    if foreign(root, {path.name: HEADERS[path.name]}):
        raise StorageError(f"{path}: was not written by wdrun, so it stays as it is; try another name=")
    return path


def _on_one_line(row: Row) -> dict[str, object]:
    """The row with its texts on one line each, so that a line of the file is a row."""
    return {key: " ".join(value.split()) if isinstance(value, str) else value for key, value in row.items()}


def read(root: Path) -> Records | None:
    """The tables of a folder that was tuned; None where there is no verdict.csv of wdrun's."""
    if not (root / "verdict.csv").is_file() or foreign(root, {"verdict.csv": HEADERS["verdict.csv"]}):
        return None
    return Records(*(frame(name, _lines(root / f"{name}.csv")) for name in RECORDS))


def _lines(path: Path) -> list[list[str]]:
    """The rows of one of the tables as text; none without the file. A line that is cut, or no row of it, is no row."""
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    header, *lines = csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
    wanted = HEADERS[path.name]
    found = [dict(zip(header, line, strict=False)) for line in lines if len(line) == len(header)]
    return [[row.get(name, "") for name in wanted] for row in found]


def frame(name: str, lines: Iterable[Sequence[str]] | Iterable[Row]) -> pd.DataFrame:
    """Rows of one of the tables as a typed frame, texts never nan; without those that lack a whole number."""
    import pandas as pd

    columns = RECORDS[name]
    texts = [[cell(line.get(c.name)) for c in columns] if isinstance(line, Mapping) else line for line in lines]
    rows = [[_value(c.kind, text) for c, text in zip(columns, line, strict=True)] for line in texts]
    whole = [row for row in rows if None not in row]
    kinds: dict[type, Any] = {str: "str", float: "float64", int: "int64"}
    found = pd.DataFrame(whole, columns=[column.name for column in columns])
    return found.astype({column.name: kinds[column.kind] for column in columns})


def _value(kind: type, text: str) -> Any:
    """A cell in its type; nan for a number that is not there, None for a whole number that is not."""
    try:
        return kind(text)
    except ValueError:
        return math.nan if kind is float else None
