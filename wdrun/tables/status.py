"""`wdrun status DIR…`: how many runs are finished, and one line for each that is not. Reads run.csv files only."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wdrun import storage
from wdrun.tables import plan
from wdrun.tables.identity import finished_first, identity
from wdrun.tables.read import run_folders
from wdrun.tables.sound import run_of, whole
from wdrun.tables.words import folders_and_settings
from wdrun.wording import age, counted, printable

ORDER = ("done", "running", "interrupted", "failed", "diverged", "waiting")
NAMED = 20  # waiting runs that are named; of thousands the number says enough


@dataclass(frozen=True)
class Line:
    """What is told of a run: its folder's name, its status, how far it is, and why; `run` is its id."""

    name: str
    status: str
    epochs: str = ""
    age: str = ""
    cause: str = ""
    run: str = ""


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Print the state of the folders' runs; a folder of folders of runs is told folder by folder."""
    folders, _ = folders_and_settings("status", words, {})
    for number, folder in enumerate(found for given in folders for found in _expand(given)):
        print("\n".join([""] * bool(number) + report(folder)))
    return 0


def _expand(folder: Path) -> list[Path]:
    """The folder itself, or those in it that have runs where it has none."""
    if _has_runs(folder):
        return [folder]
    return [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_runs(path)] or [folder]


def _has_runs(folder: Path) -> bool:
    return bool(run_folders([folder])) or (folder / plan.NAME).is_file()


def report(folder: Path, now: float | None = None) -> list[str]:
    """The folder's table as lines: counts, runs that are not done, folders that cannot be read. `now`: Unix seconds."""
    moment = time.time() if now is None else now
    lines, broken, seen = [], [], set()
    for directory in finished_first(run_folders([folder])):
        try:
            line = look(directory, moment)
            lines += [line] if line.run not in seen else []
            seen.add(line.run)
        except (OSError, ValueError) as error:
            broken.append(f"  cannot be read: {directory}: {' '.join(str(error).split())}")
    try:
        lines += [Line(name, "waiting", f"0/{epochs}") for name, epochs in plan.waiting(folder)]
    except (OSError, ValueError) as error:
        broken.append(f"  cannot be read: {folder / plan.NAME}: {' '.join(str(error).split())}")
    if not lines and not broken:
        return [f"{folder}: no runs of wdrun there (no run.csv)"]
    counts = Counter(line.status for line in lines)
    told = ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status])
    heading = f"{folder}: {counted(len(lines), 'run')}: {told}" if lines else f"{folder}:"
    return [printable(line) for line in (heading, *_table(lines), *broken)]


def look(directory: Path, now: float) -> Line:
    """One run as its run.csv has it; `running` is believed only of a run that a process holds."""
    path = directory / "run.csv"
    row = run_of(*whole(path))
    status, cause = row["status"], row["cause"]
    if status == "running" and not storage.held(directory):
        status, cause = "interrupted", "killed"
    if status == "failed":
        cause += f"; log {directory / 'error.log'}"
    epochs = f"{row['epochs_done'] or 0}/{row.get('epochs', '?')}"
    return Line(directory.name, status, epochs, age(now - path.stat().st_mtime), cause, identity(row))


def _table(lines: Sequence[Line]) -> list[str]:
    """The runs that are not done, in columns."""
    shown: list[Line] = []
    for status in ORDER[1:]:
        some = [line for line in lines if line.status == status]
        shown += some[:NAMED] if status == "waiting" else some
    if not shown:
        return []
    cells = [("run", "status", "epochs", "written", ""), *((x.name, x.status, x.epochs, x.age, x.cause) for x in shown)]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    text = ["  " + "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]) for row in cells]
    more = sum(line.status == "waiting" for line in lines) - NAMED
    return [line.rstrip() for line in text] + ([f"  and {more} more waiting"] if more > 0 else [])
