"""Tables handed on without their run folders: runs.csv, or a file with its columns, and the tables beside it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from wdrun.config.run import folder_name
from wdrun.tables.columns import FACTORS, RUN, TABLES
from wdrun.tables.sound import left_out, run_of, whole
from wdrun.wording import counted, listed

NAME = "runs.csv"
LONGEST = 100_000  # bytes of a header; what is no table may be one line

Content = dict[str, tuple[list[str], list[list[str]]]]  # of each table its header and rows, as text


def columns_lacking(path: Path) -> list[str]:
    """The columns of every table of runs that a file, whatever its name, has not; all where it is no text."""
    needed = [c.name for c in (*FACTORS, *RUN)]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(csv.reader([file.readline(LONGEST)]), [])
    except (OSError, ValueError, csv.Error):
        return needed
    return [name for name in needed if name not in header]


def table_of(path: Path) -> Path | None:
    """The table of runs that stands for this folder, or the file itself; None where there is none."""
    if path.is_file():
        return path
    return path / NAME if (path / NAME).is_file() else None


class Tables:
    """A table of runs and those beside it, read once; OSError, ValueError where the table of runs is broken.

    Of the others a broken one is left out, and so are rows of runs that the table of runs has not; `tell` is told.
    """

    def __init__(self, file: Path, names: Sequence[str], tell: Callable[[str], None]) -> None:
        self.file = file
        if lacking := columns_lacking(file):  # before a file of any size is read
            raise ValueError(f"{file.name} is not a table of wdrun's (no column {lacking[0]})")
        self.header, self.rows = whole(file)
        at = self.header.index("id")
        ids = {row[at] for row in self.rows}
        self.beside: dict[str, tuple[list[str], dict[str, list[list[str]]]]] = {}
        for name in names:
            path = file.with_name(f"{name}.csv")
            if not path.exists():
                continue
            try:
                header, rows = whole(path)
                if header != [c.name for c in TABLES[name]]:
                    raise ValueError("has other columns than this wdrun writes")
            except (OSError, ValueError) as error:
                tell(left_out(path, error))
                continue
            by_run = defaultdict(list)
            for row in rows:
                by_run[row[0]].append(row)
            if strange := sorted(by_run.keys() - ids):
                own = ValueError(f"rows of {counted(len(strange), 'run')} that {file.name} has not: {listed(strange)}")
                tell(left_out(path, own))
            self.beside[name] = header, by_run
        self.absent = [f"{name}.csv" for name in names if name not in self.beside]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lacking(self) -> str:
        """The sentence on what is not there beside the table."""
        missing = listed([*self.absent, "weights"], 9)
        return f"{self.file}: without {missing}; what is drawn from them is left out"

    def named(self, number: int) -> str:
        """How a line names a row, counted as in a spreadsheet."""
        return f"{self.file} row {number + 2}"

    def directory(self, row: dict[str, str]) -> Path:
        """Where the folder of a run would be, beside the table."""
        options = (row["model"], row["decay"], row["optimizer"], float(row["lambda"]), float(row["lr"]))
        folds = int(float(row.get("data.folds") or 1))
        return self.file.parent / folder_name(*options, int(row["seed"]), int(row["fold"]), folds, row["id"])

    def run(self, number: int) -> tuple[dict[str, str], Content]:
        """A row by column, and the header and rows of its run in every table that is there; ValueError: it is none."""
        row = run_of(self.header, [self.rows[number]], self.file.name)
        content: Content = {"run": (self.header, [self.rows[number]])}
        for name, (header, by_run) in self.beside.items():
            content[name] = header, by_run.get(row["id"], [])
        return row, content
