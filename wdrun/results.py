"""The tables of result folders, read back and checked: what is broken is left out and said, never guessed at."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun import aggregate, records
from wdrun.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """Typed tables (columns as the README has them) of the runs found; `problems` is one line for each left out.

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


def load(folders: Sequence[Path], tables: Sequence[str] = tuple(records.TABLES)) -> Results:
    """Read the runs of the folders with those of their tables; ConfigError where there is no sound run at all."""

    texts: dict[str, list[tuple[list[str], list[list[str]]]]] = {name: [] for name in ("run", *records.TABLES)}
    problems, seen = [], set()
    for directory in run_folders(folders):
        try:
            row, content = aggregate.settled(directory, partial(_content, directory, tables))
        except (OSError, ValueError) as error:
            problems.append(aggregate.left_out(directory, error))
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
    content = {"run": aggregate.whole(directory / "run.csv")}
    row = aggregate.run_of(*content["run"])
    for name in tables:
        path = directory / f"{name}.csv"
        if row["status"] == "failed" and not path.exists():  # it failed before it had anything to write
            continue
        content[name] = aggregate.whole(path)
        _check_table(path, *content[name], name=name, run_id=row["id"])
    aggregate.complete(row, {name: content[name][1] for name in content if name != "run"})
    return row, content


def _check_table(path: Path, header: list[str], rows: list[list[str]], *, name: str, run_id: str) -> None:
    expected = [c.name for c in records.TABLES[name]]
    if header != expected:
        odd = next((c for c in expected if c not in header), None)
        raise ValueError(f"{path.name} has other columns than this wdrun writes" + (f" (no {odd})" if odd else ""))
    at = header.index("id")
    if any(row[at] != run_id for row in rows):
        raise ValueError(f"{path.name} holds rows of another run than {run_id}")
    kinds = [(i, c.name, c.kind) for i, c in enumerate(records.TABLES[name]) if c.kind is not str]
    for number, row in enumerate(rows, start=2):
        for i, column, kind in kinds:
            if row[i] != "":
                try:
                    kind(row[i])
                except ValueError:
                    raise ValueError(f"{path.name} row {number}: {column}={row[i]!r} is no number") from None


def _frame(parts: Sequence[tuple[list[str], list[list[str]]]], name: str) -> pd.DataFrame:
    """One typed frame of the parts, the columns of all of them, as records.read makes it from the same cells."""
    columns: dict[str, None] = dict.fromkeys([] if name == "run" else [c.name for c in records.TABLES[name]])
    for header, _ in parts:
        columns |= dict.fromkeys(header)
    rows = (dict(zip(header, row, strict=True)) for header, rows in parts for row in rows)
    return records.read(io.BytesIO(records.render(list(columns), rows)))
