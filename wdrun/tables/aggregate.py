"""The tables of a folder: those of its run folders one under another; what is broken is left out and said."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from wdrun.storage import hold, write_atomically
from wdrun.tables.columns import RUN, TABLES
from wdrun.tables.sound import complete, left_out, run_of, settled, whole
from wdrun.tables.write import csv_text, render

REFRESH_SECONDS = 30.0  # the tables are at most this old when a sweep is killed, or …
REFRESH_SHARE = 50.0  # … so many times as old as writing them takes: a 50th of the time goes there at most


def write(root: Path, tell: Callable[[str], None] = lambda problem: None) -> int:
    """Write runs.csv and the other tables at `root` from the run folders below it; return how many.

    Runs are ordered by folder name, so the tables do not depend on the order in which runs ended. A folder that is
    not a whole run's is left out; `tell` is called with a line that names it and says why.
    """
    runs: list[tuple[list[str], list[str]]] = []
    bodies: dict[str, list[list[str]]] = {name: [] for name in TABLES}
    with hold(root, wait=True):
        for directory in sorted(path.parent for path in root.glob("*/run.csv")):
            try:
                run, tables = settled(directory, partial(_folder, directory))
            except (OSError, ValueError) as error:
                tell(left_out(directory, error))
                continue
            runs.append(run)
            for name, lines in tables.items():
                bodies[name] += lines
        outcome = [c.name for c in RUN]
        knobs = dict.fromkeys(name for header, _ in runs for name in header if name not in outcome)
        rows = (dict(zip(header, row, strict=True)) for header, row in runs)
        write_atomically(root / "runs.csv", render([*knobs, *outcome], rows))
        for name, columns in TABLES.items():
            write_atomically(root / f"{name}.csv", csv_text([[c.name for c in columns], *bodies.pop(name)]))
    return len(runs)


def _folder(directory: Path) -> tuple[tuple[list[str], list[str]], dict[str, list[list[str]]]]:
    """Header and row of a run folder's run.csv, and the rows of its tables; ValueError where they are not a run's."""
    header, rows = whole(directory / "run.csv")
    row = run_of(header, rows)
    tables = {}
    for name, columns in TABLES.items():
        path = directory / f"{name}.csv"
        if row["status"] == "failed" and not path.exists():  # it failed before it had anything to write
            continue
        found, tables[name] = whole(path)
        if found != [c.name for c in columns]:
            raise ValueError(f"{path.name} has other columns than this wdrun writes")
        if any(cells[0] != row["id"] for cells in tables[name]):
            raise ValueError(f"{path.name} holds rows of another run than {row['id']}")
    complete(row, tables)
    return (header, rows[0]), tables


class Fresh:
    """The tables of the folders `roots`, written again while a sweep goes on, seldom enough to be cheap."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots
        self.due = time.monotonic() + REFRESH_SECONDS

    def refresh(self) -> None:
        """Write them if it is time."""
        if time.monotonic() >= self.due:
            self.write()

    def write(self, tell: Callable[[str], None] = lambda problem: None) -> None:
        """Write them now; `tell` as for `write` of a folder."""
        began = time.monotonic()
        for root in self.roots:
            write(root, tell)
        took = time.monotonic() - began
        self.due = time.monotonic() + max(REFRESH_SECONDS, REFRESH_SHARE * took)
