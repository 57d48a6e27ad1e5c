"""The tables of result folders, read back and checked: what is broken is left out and said, never guessed at."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun.config.run import Run
from wdrun.errors import ConfigError
from wdrun.tables.columns import FORMER, PREDICTIONS, RUN, TABLES
from wdrun.tables.sound import complete, left_out, run_of, settled, whole
from wdrun.tables.write import cell, render

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """Typed tables (their columns are those of `columns`) of the runs found; `problems` is one line for each left out.

    `runs` has one row a run and the column `dir`, its folder. Each run is there once, whatever folders named it.
    """

    folders: tuple[Path, ...]
    runs: pd.DataFrame
    metrics: pd.DataFrame
    layers: pd.DataFrame
    histograms: pd.DataFrame
    timing: pd.DataFrame
    problems: tuple[str, ...]


def run_folders(folders: Iterable[Path]) -> list[Path]:
    """The run folders named, or directly below a folder named, in a fixed order, each once."""
    found: dict[Path, Path] = {}
    for folder in folders:
        paths = [folder / "run.csv"] if (folder / "run.csv").is_file() else sorted(folder.glob("*/run.csv"))
        for path in paths:
            found.setdefault(path.parent.resolve(), path.parent)
    return list(found.values())


def load(folders: Sequence[Path], tables: Sequence[str] = tuple(TABLES)) -> Results:
    """Read the runs of the folders with those of their tables; ConfigError where there is no sound run at all."""

    texts: dict[str, list[tuple[list[str], list[list[str]]]]] = {name: [] for name in ("run", *TABLES)}
    problems, seen = [], set()
    for directory in run_folders(folders):
        try:
            row, content = settled(directory, partial(_content, directory, tables))
        except (OSError, ValueError) as error:
            problems.append(left_out(directory, error))
            continue
        if row["id"] in seen:
            continue
        seen.add(row["id"])
        header, rows = content["run"]
        content["run"] = [*header, "dir"], [[*rows[0], str(directory)]]
        for name, table in content.items():
            texts[name].append(table)
    if not seen:
        where = ", ".join(map(str, folders))
        raise ConfigError(f"{where}: {problems[0] if problems else 'no results of wdrun there (no run.csv)'}")
    frames = {name: _frame(parts, name) for name, parts in texts.items() if name != "run"}
    runs: pd.DataFrame = _frame(texts["run"], "run")
    return Results(tuple(folders), runs, **frames, problems=tuple(problems))


Content = dict[str, tuple[list[str], list[list[str]]]]


def _content(directory: Path, tables: Sequence[str]) -> tuple[Mapping[str, str], Content]:
    content = {"run": whole(directory / "run.csv")}
    row = run_of(*content["run"])
    for name in tables:
        path = directory / f"{name}.csv"
        if row["status"] == "failed" and not path.exists():  # it failed before it had anything to write
            continue
        content[name] = whole(path)
        _check_table(path, *content[name], name=name, run_id=row["id"])
    complete(row, {name: content[name][1] for name in content if name != "run"})
    return row, content


def _check_table(path: Path, header: list[str], rows: list[list[str]], *, name: str, run_id: str) -> None:
    expected = [c.name for c in TABLES[name]]
    if header != expected:
        odd = next((c for c in expected if c not in header), None)
        raise ValueError(f"{path.name} has other columns than this wdrun writes" + (f" (no {odd})" if odd else ""))
    at = header.index("id")
    if any(row[at] != run_id for row in rows):
        raise ValueError(f"{path.name} holds rows of another run than {run_id}")
    kinds = [(i, c.name, c.kind) for i, c in enumerate(TABLES[name]) if c.kind is not str]
    for number, row in enumerate(rows, start=2):
        for i, column, kind in kinds:
            if row[i] != "":
                try:
                    kind(row[i])
                except ValueError:
                    raise ValueError(f"{path.name} row {number}: {column}={row[i]!r} is no number") from None


def _frame(parts: Sequence[tuple[list[str], list[list[str]]]], name: str) -> pd.DataFrame:
    """One frame of the parts, with the columns of all of them, as `read_table` makes it of a file of the same cells."""
    columns: dict[str, None] = dict.fromkeys([] if name == "run" else [c.name for c in TABLES[name]])
    for header, _ in parts:
        columns |= dict.fromkeys(header)
    rows = (dict(zip(header, row, strict=True)) for header, rows in parts for row in rows)
    return read_table(io.BytesIO(render(list(columns), rows)))


def read_run(directory: Path) -> dict[str, str] | None:
    """The run's row as text, or None where there is none (yet) that can be read."""
    try:
        text = (directory / "run.csv").read_bytes().decode()
        row = next(csv.DictReader(io.StringIO(text, newline=""), strict=True), None)
    except (FileNotFoundError, UnicodeDecodeError, csv.Error):
        return None
    whole = row is not None and text.endswith("\n") and None not in row and None not in row.values()
    return row if whole else None


def status_of(directory: Path) -> str | None:
    """What the run's row says of it; None where there is no such row."""
    row = read_run(directory)
    return row["status"] if row else None


def without_decay(root: Path, run: Run) -> dict[str, str] | None:
    """The finished run below `root` that differs from this one in having no decay (λ = 0), if there is one."""
    same = {k: cell(v) for k, v in run.knobs.items() if k != "lambda" and not k.startswith("decay.")}
    for path in sorted(root.glob("*/run.csv")):
        row = read_run(path.parent)
        if row and same.items() <= row.items() and row["status"] == "done" and float(row["lambda"]) == 0:
            return row
    return None


def read_table(path: Path | io.BytesIO) -> pd.DataFrame:
    """A table as a pandas frame, known columns in their types; the same floats bit for bit."""
    import pandas as pd

    kinds = {c.name: c.kind for table in (RUN, PREDICTIONS, *TABLES.values()) for c in table}
    text = {name: "str" for name, kind in kinds.items() if kind is str}
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""]).rename(columns=FORMER)
    texts = [name for name in table.columns if kinds.get(name) is str]
    table[texts] = table[texts].fillna("")
    return table.astype({name: "float64" for name in table.columns if kinds.get(name) is float})
