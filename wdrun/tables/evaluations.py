"""What finished runs gave when they were measured later: evaluation.csv and the tables beside it, and what reads them.

A run's tables stay as training left them; these stand beside them, in its folder, and over all runs at the root.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.storage import hold, write_atomically
from wdrun.tables.columns import EVALUATIONS, Row
from wdrun.tables.ownership import EVALUATION_HEADERS, foreign, has_runs
from wdrun.tables.read import Results, read_table
from wdrun.tables.sound import left_out, whole
from wdrun.tables.write import cell, csv_text, render
from wdrun.wording import printable

if TYPE_CHECKING:
    import pandas as pd

Texts = list[dict[str, str]]  # rows as they stand in a file
REMEDY = "a copy of the folder"  # where a folder of runs may only be read
SCORES = ("ece", "brier", "margin")  # of a row of metrics.csv, where the run measured its calibration
_KINDS = {column.name: column.kind for column in EVALUATIONS["evaluation"]}


def read(directory: Path, name: str = "evaluation") -> Texts:
    """The rows of one of a folder's EVALUATIONS; none where there is no file. ValueError: it is broken."""
    path = directory / f"{name}.csv"
    if not path.is_file():
        return []
    header, rows = whole(path)
    if header != [column.name for column in EVALUATIONS[name]]:
        raise ValueError(f"{path.name} has other columns than this wdrun writes; remove it and measure again")
    return [dict(zip(header, row, strict=True)) for row in rows]


def texts(name: str, rows: Iterable[Row]) -> Texts:
    """The rows as they stand in a file."""
    return [{column.name: cell(row.get(column.name)) for column in EVALUATIONS[name]} for row in rows]


def typed(row: Mapping[str, str]) -> dict[str, Any]:
    """A row of evaluation.csv in the types of its columns; None for a number that is empty or infinite."""
    empty = ("", "inf", "-inf")
    return {key: t if (kind := _KINDS[key]) is str else None if t in empty else kind(t) for key, t in row.items()}


def add(directory: Path, found: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    """Put rows of each table into a run's folder, held by the caller, in the place of those of the same measurement.

    evaluation.csv is the last to be written: what it has the others have too.
    """
    for name in reversed(EVALUATIONS):
        if new := found.get(name):
            replaced = {_measurement(row) for row in new}
            rows = [*(row for row in read(directory, name) if _measurement(row) not in replaced), *new]
            write_atomically(directory / f"{name}.csv", render(list(new[0]), rows), REMEDY)


def _measurement(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["weights"], row["words"], row.get("split", "")


def gather(root: Path, tell: Callable[[str], None]) -> bool:
    """Write the tables at `root` from those of the run folders below it; whether there are any.

    Without a run folder they were handed on and stay as they are, as does a file of that name that is not wdrun's.
    `tell` is called with a line for that, and for each folder that is left out because a table of it is broken.
    """
    if not has_runs(root):
        return False
    if path := foreign(root, EVALUATION_HEADERS):
        tell(printable(f"{path}: is not a table that wdrun wrote, so it stays as it is, and none is written there"))
        return False
    bodies: dict[str, list[list[str]]] = {name: [] for name in EVALUATIONS}
    with hold(root, wait=True, remedy=REMEDY):
        for directory in sorted(path.parent for path in root.glob("*/run.csv")):
            try:
                rows = {name: read(directory, name) for name in EVALUATIONS}
            except (OSError, ValueError) as error:
                tell(left_out(directory, error))
                continue
            for name, of in rows.items():
                bodies[name] += [[*row.values()] for row in of]
        for name, lines in bodies.items():
            if lines or (root / f"{name}.csv").exists():
                header = [column.name for column in EVALUATIONS[name]]
                write_atomically(root / f"{name}.csv", csv_text([header, *lines]), REMEDY)
    return bool(bodies["evaluation"])


def frame(rows: Sequence[Mapping[str, str]], name: str = "evaluation") -> pd.DataFrame:
    """The rows as a typed pandas frame, as `read_table` makes it of a file of them."""
    return read_table(io.BytesIO(render([column.name for column in EVALUATIONS[name]], rows)))


def beside(found: Results) -> Results:
    """The results with what their runs were measured to have later, where the runs themselves did not measure it, and
    with the scores of averaged weights.

    Rows of metrics.csv get their calibration; corruptions and attacks, and histograms, become rows. Only what was
    measured with the weights that the run itself would have used counts, and of several measurements the last.
    """
    rows, bins, problems = _of(found)
    if not rows:
        return found
    import pandas as pd

    later = frame(rows)
    averaged = later[(later["weights"] == "ema") & (later["corruption"] == "")]
    averaged = averaged.drop_duplicates(["id", "split"], keep="last")
    patience = found.runs.get("early_stopping.patience")
    patient = set() if patience is None else {*found.runs["id"][patience.notna()]}
    tested = (later["split"] == "test") & later["id"].isin(patient)
    later = later[(later["weights"] == tested.map({True: "best", False: "last"})) & (later["split"] != "train")]
    keys = ["id", "epoch", "split", "corruption", "severity"]
    known = later[later["ece"].notna()].drop_duplicates(keys, keep="last").set_index(keys)
    wanted = pd.MultiIndex.from_frame(found.metrics[keys])
    scores = {
        name: found.metrics[name].fillna(known[name].reindex(wanted).set_axis(found.metrics.index)) for name in SCORES
    }
    metrics = found.metrics.assign(**scores)
    shifted = found.metrics["id"][found.metrics["corruption"] != ""]
    more = _last(later[(later["corruption"] != "") & ~later["id"].isin(shifted)])
    metrics = pd.concat([metrics, more[[*metrics]]], ignore_index=True)
    histograms = found.histograms
    if bins:
        counted = frame(bins, "evaluation_histograms")
        counted = _last(counted[(counted["weights"] == "last") & ~counted["id"].isin(histograms["id"])])
        histograms = pd.concat([histograms, counted[[*histograms]]], ignore_index=True)
    problems = [*found.problems, *problems]
    return replace(found, metrics=metrics, histograms=histograms, averaged=averaged, problems=tuple(problems))


def _last(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each run the rows of its last measurement among these."""
    return rows[rows["words"] == rows.groupby("id")["words"].transform("last")]


def _of(found: Results) -> tuple[Texts, Texts, list[str]]:
    """Rows and histograms of the runs found, each by its own folder, else by the tables at a root; what is broken."""
    rows: dict[str, tuple[Texts, Texts]] = {}
    problems = []
    wanted = {*found.runs["id"]}
    for place in map(Path, [*found.runs["dir"], *found.folders]):
        try:
            here = read(place), read(place, "evaluation_histograms")
        except (OSError, ValueError) as error:
            problems.append(left_out(place, error))
            continue
        for run in dict.fromkeys(row["id"] for row in here[0]):
            if run in wanted:
                of_run = tuple([row for row in table if row["id"] == run] for table in here)
                rows.setdefault(run, (of_run[0], of_run[1]))
    return [row for of, _ in rows.values() for row in of], [row for _, of in rows.values() for row in of], problems
