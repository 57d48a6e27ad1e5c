"""Whether runs may be trained into a folder: what would be replaced there is wdrun's own, and made of runs there."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from wdrun.errors import ConfigError
from wdrun.tables import plan
from wdrun.tables.columns import EVALUATIONS, FACTORS, TABLES

RESULTS = ("runs.csv", *(f"{name}.csv" for name in TABLES))
# What the header of each table has, in whatever version: another file of that name is not wdrun's.
HEADERS = (
    {f"{name}.csv": [c.name for c in FACTORS] for name in TABLES}
    | {
        "runs.csv": ["status", "epochs_done", "schema"],  # without a run it has no factors
        plan.NAME: list(plan.COLUMNS[:2]),
    }
)
EVALUATION_HEADERS = {f"{name}.csv": [c.name for c in FACTORS] for name in EVALUATIONS}


def check(roots: Iterable[Path]) -> None:
    """ConfigError where training below one of the folders would replace a file of the user's, or tables handed on.

    Handed on are tables without any folder of a run: nothing is left that they could be made of again.
    """
    for root in sorted(set(roots)):
        if path := foreign(root):
            raise ConfigError(
                f"{path}: is not a table that wdrun wrote, and training into {root} would replace it; "
                "take another name=, or move it away"
            )
        rows = [name for name in RESULTS if _lines(root / name)[1]]
        if rows and not has_runs(root):
            raise ConfigError(
                f"{root}: has the tables of runs ({rows[0]}) without the runs, as where results were handed on, and "
                "training would replace them; take another name=, or move them away"
            )


def foreign(root: Path, headers: Mapping[str, Sequence[str]] = HEADERS) -> Path | None:
    """The first file in the folder that has the name of a table of wdrun's and is none; an empty one is no loss."""
    for name, words in headers.items():
        header, _ = _lines(root / name)
        if header and not {*words} <= {*next(csv.reader([header]), [])}:
            return root / name
    return None


def has_runs(root: Path) -> bool:
    """Whether a folder of a run is in the folder."""
    return next(root.glob("*/run.csv"), None) is not None


def _lines(path: Path) -> tuple[str, str]:
    """The first two lines of a file, empty where there are none; a folder's are no table's."""
    try:
        with path.open("rb") as file:
            first, second = file.readline(1 << 16), file.readline(1 << 16)
    except (FileNotFoundError, NotADirectoryError):
        return "", ""
    except IsADirectoryError:
        return "a folder", ""
    return first.decode("utf-8", "replace"), second.decode("utf-8", "replace")
