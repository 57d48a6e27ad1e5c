"""The tables of a folder: those of its run folders one under another; what is broken is left out and said."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from wdrun.errors import StorageError
from wdrun.storage import held, hold, write_atomically
from wdrun.tables import evaluations
from wdrun.tables.columns import CODE, RUN, TABLES
from wdrun.tables.ownership import RESULTS, foreign
from wdrun.tables.read import read_run
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
        knobs = dict.fromkeys(name for header, _ in runs for name in header if name not in (*outcome, CODE.name))
        outcome += [CODE.name] * any(CODE.name in header for header, _ in runs)
        rows = (dict(zip(header, row, strict=True)) for header, row in runs)
        write_atomically(root / "runs.csv", render([*knobs, *outcome], rows))
        for name, columns in TABLES.items():
            write_atomically(root / f"{name}.csv", csv_text([[c.name for c in columns], *bodies.pop(name)]))
    if next(root.glob("*/evaluation.csv"), None) is not None:
        evaluations.gather(root, tell)
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


def refresh(roots: Sequence[Path], tell: Callable[[str], None]) -> None:
    """Write the tables of those folders anew where runs were put there, changed or removed since they were written.

    Nothing is done where nothing may be written, where a file is not wdrun's, while a process trains there, which
    writes them itself, and where the run.csv of a run cannot be read any more. What fails is told: whoever only reads
    has what it needs.
    """
    for root in roots:
        try:
            if root.is_dir() and os.access(root, os.W_OK) and not foreign(root) and _stale(root):
                write(root)
        except (OSError, StorageError) as error:
            tell(f"warning: {error}")


def _stale(root: Path) -> bool:
    """Whether the tables are not those of the run folders: told by times and ids alone, no run's tables are read.

    A file's time of change is that of its arrival here, whatever time of writing a copy keeps.
    """
    changed: dict[str, int] = {}  # run folder -> when its run.csv was last put there, ns
    with os.scandir(root) as entries:
        for entry in entries:
            with suppress(FileNotFoundError, NotADirectoryError):
                changed[entry.name] = os.stat(f"{entry.path}/run.csv").st_ctime_ns
    if not changed:
        return False
    try:
        written = min((root / name).stat().st_ctime_ns for name in RESULTS)
        lines = (root / "runs.csv").read_bytes().split(b"\n")[1:]
    except OSError:  # not there
        return True
    known = {line[:8].decode("latin-1") for line in lines if line[8:9] == b","}  # the ids
    unknown = [name for name in changed if name[-8:] not in known]  # also those with a name of the user's
    changed |= {name: max(changed[name], os.stat(root / name).st_ctime_ns) for name in unknown}  # moved here as a whole
    if new := [name for name, moment in changed.items() if moment > written]:
        # Of a run that broke since, the row in the tables is the last that is known of it.
        return not any(held(root / name) or read_run(root / name) is None for name in new)
    known -= {name[-8:] for name in changed}
    return bool(known) and not known <= {(read_run(root / name) or {}).get("id", "") for name in unknown}


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
