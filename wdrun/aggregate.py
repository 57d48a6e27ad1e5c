"""The tables of a folder: those of its run folders one under another; what is broken is left out and said."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from wdrun import records
from wdrun.storage import hold, write_atomically


def write(root: Path, tell: Callable[[str], None] = lambda problem: None) -> int:
    """Write runs.csv and the other tables at `root` from the run folders below it; return how many.

    Runs are ordered by folder name, so the tables do not depend on the order in which runs ended. A folder that is
    not a whole run's is left out; `tell` is called with a line that names it and says why.
    """
    runs: list[tuple[list[str], list[str]]] = []
    bodies: dict[str, list[list[str]]] = {name: [] for name in records.TABLES}
    with hold(root, wait=True):
        for directory in sorted(path.parent for path in root.glob("*/run.csv")):
            try:
                run, tables = _folder(directory)
            except (OSError, ValueError) as error:
                tell(f"left out {directory}: {' '.join(str(error).split())}")
                continue
            runs.append(run)
            for name, rows in tables.items():
                bodies[name] += rows
        outcome = [c.name for c in records.RUN]
        knobs = dict.fromkeys(name for header, _ in runs for name in header if name not in outcome)
        whole = (dict(zip(header, row, strict=True)) for header, row in runs)
        write_atomically(root / "runs.csv", records.render([*knobs, *outcome], whole))
        for name, columns in records.TABLES.items():
            write_atomically(root / f"{name}.csv", records.csv_text([[c.name for c in columns], *bodies.pop(name)]))
    return len(runs)


def _folder(directory: Path) -> tuple[tuple[list[str], list[str]], dict[str, list[list[str]]]]:
    """Header and row of a run folder's run.csv, and the rows of its tables; ValueError where they are not a run's."""
    header, rows = whole(directory / "run.csv")
    row = run_of(header, rows)
    tables = {}
    for name, columns in records.TABLES.items():
        path = directory / f"{name}.csv"
        if row["status"] == "failed" and not path.exists():  # it failed before it had anything to write
            continue
        found, tables[name] = whole(path)
        if found != [c.name for c in columns]:
            raise ValueError(f"{path.name} has other columns than this wdrun writes")
        if any(cells[0] != row["id"] for cells in tables[name]):
            raise ValueError(f"{path.name} holds rows of another run than {row['id']}")
    return (header, rows[0]), tables


def whole(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a CSV; ValueError unless every row is whole and the last line ended."""
    text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    if not text.endswith("\n"):
        raise ValueError(f"{path.name} is cut off")
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as error:
        raise ValueError(f"{path.name} is no CSV ({error})") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"{path.name} row {number} has {len(row)} cells, its header {len(header)}")
    return header, rows


def run_of(header: list[str], rows: list[list[str]]) -> dict[str, str]:
    """The row of a run.csv; ValueError unless it is one of this wdrun's."""
    missing = [c.name for c in (*records.FACTORS, *records.RUN) if c.name not in header]
    if missing:
        raise ValueError(f"run.csv is not a table of wdrun's (no column {missing[0]})")
    if len(rows) != 1:
        raise ValueError(f"run.csv has {len(rows)} rows where one run has one")
    row = dict(zip(header, rows[0], strict=True))
    if row["schema"] != str(records.SCHEMA):
        raise ValueError(f"run.csv has schema {row['schema']!r}, this wdrun reads {records.SCHEMA}")
    records.typed(row)  # ValueError names the text that is no number
    return row
