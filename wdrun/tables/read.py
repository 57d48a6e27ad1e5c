"""The tables of result folders, read back and checked: what is broken is left out and said, never guessed at."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wdrun.errors import ConfigError
from wdrun.tables import handed, plan
from wdrun.tables.columns import CODE, EVALUATIONS, FORMER, PREDICTIONS, RUN, TABLES
from wdrun.tables.handed import Content
from wdrun.tables.identity import NO_KNOBS, filled, finished_first, identity, plain
from wdrun.tables.place import placed
from wdrun.tables.sound import complete, left_out, run_of, settled, whole
from wdrun.tables.write import render
from wdrun.wording import counted, printable

if TYPE_CHECKING:
    import pandas as pd

NO_RESULTS = "no results of wdrun there (no run.csv, no runs.csv)"


@dataclass(frozen=True)
class Results:
    """Typed tables (their columns are those of `columns`) of the runs found; `problems` is one line for each left out.

    `folders` are those that have results, or the files of tables. `runs` has one row a run and the column `dir`, its
    folder, which of tables alone is where it would be. Each run is there once, whatever folders named it. `plan` is
    what the folders' last sweeps mean to train, what is there already too; `left_out` are the runs that filter words
    leave out of `runs`; `lacking` says of tables alone what is not beside them. `averaged` has the rows of
    evaluation.csv of averaged weights, a row a run and split, once `evaluations.beside` has found some.
    """

    folders: tuple[Path, ...]
    runs: pd.DataFrame
    metrics: pd.DataFrame
    layers: pd.DataFrame
    histograms: pd.DataFrame
    timing: pd.DataFrame
    problems: tuple[str, ...]
    plan: tuple[plan.Planned, ...] = ()
    left_out: pd.DataFrame | None = None
    lacking: tuple[str, ...] = ()
    averaged: pd.DataFrame | None = None


def run_folders(folders: Iterable[Path]) -> list[Path]:
    """The run folders named, or directly below a folder named, in a fixed order, each once.

    A run.csv stands for its folder, and so does a runs.csv beside run folders: where these are, they alone count.
    """
    found: dict[Path, Path] = {}
    for named in folders:
        folder = named.parent if named.name in ("run.csv", handed.NAME) and named.is_file() else named
        paths = [folder / "run.csv"] if (folder / "run.csv").is_file() else sorted(folder.glob("*/run.csv"))
        for path in paths:
            found.setdefault(path.parent.resolve(), path.parent)
    return list(found.values())


class Found(NamedTuple):
    """A run that was read: how a line names it, its folder, its row, and the header and rows of each table of it."""

    named: str
    directory: Path
    row: Mapping[str, str]
    content: Content


def load(folders: Sequence[Path], tables: Sequence[str] = tuple(TABLES)) -> Results:
    """Read the runs of the folders with those of their tables; ConfigError where there is no sound run at all.

    A folder without run folders is read by its runs.csv and the tables beside it; so is a file with such columns. Of
    two folders that hold the same run, the first counts, a finished one before another; told unless they are alike.
    """
    found: dict[str, Found] = {}
    problems: list[str] = []
    planned: list[plan.Planned] = []
    lacking: list[str] = []
    having = []
    for folder in dict.fromkeys(folders):
        directories = finished_first(run_folders([folder]))
        readers: list[tuple[str, Callable[[], Found]]]
        readers = [(str(directory), partial(_settled, directory, tables)) for directory in directories]
        names: set[str] | None = None  # of the runs of tables alone
        if not directories and (file := handed.table_of(folder)):
            try:
                alone = handed.Tables(file, tables, problems.append)
            except (OSError, ValueError) as error:
                problems.append(left_out(file, error))
                continue
            readers, names = [(alone.named(n), partial(_of_tables, alone, n)) for n in range(len(alone))], set()
            lacking += [alone.lacking] * bool(tables)
        sound = 0
        for named, read in readers:
            try:
                new = read()
            except (OSError, ValueError) as error:
                problems.append(left_out(named, error))
                continue
            sound += 1
            one, two = found.setdefault(run := identity(new.row), new), new
            if said := _differ(one.row, new.row):
                if new.row["status"] == "done" != one.row["status"]:
                    one, two = two, one
                    found[run] = one
                problems.append(left_out(two.named, ValueError(f"{one.named} holds the same run with {said}")))
            if names is not None:
                names.add(new.directory.name)
        if sound:
            having.append(folder)
        else:
            why = f"none of its {counted(len(readers), 'run')} can be read" if readers else NO_RESULTS
            problems.append(printable(f"{folder}: {why}"))
        root = folder if folder.is_dir() else folder.parent
        try:
            known = [
                run._replace(overrides=placed(run.overrides, root, alone=names is not None)) for run in plan.read(root)
            ]
            planned += known if names is None else [run._replace(waits=run.name not in names) for run in known]
        except (OSError, ValueError) as error:
            problems.append(left_out(root / plan.NAME, error))
    if not found:
        where = ", ".join(map(str, folders))
        broken = [problem for problem in problems if problem.startswith("left out")]
        raise ConfigError(f"{where}: {broken[0] if broken else NO_RESULTS}")
    texts: dict[str, list[tuple[list[str], list[list[str]]]]] = {name: [] for name in ("run", *TABLES)}
    for one in found.values():
        header, rows = one.content["run"]
        one.content["run"] = [*header, "dir"], [[*rows[0], str(one.directory)]]
        for name, table in one.content.items():
            texts[name].append(table)
    frames = {name: _frame(parts, name) for name, parts in texts.items() if name != "run"}
    runs: pd.DataFrame = _frame(texts["run"], "run")
    told = tuple(dict.fromkeys(problems))
    return Results(tuple(having), runs, **frames, problems=told, plan=tuple(planned), lacking=tuple(lacking))


def _differ(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The first result in which two rows of one run differ, `another val_loss (1.2 and 1.3)`; "" where in none."""
    results = (c.name for c in RUN[: [c.name for c in RUN].index("device_name")])
    differing = next((name for name in results if one[name] != other[name]), "")
    return f"another {differing} ({one[differing] or 'none'} and {other[differing] or 'none'})" if differing else ""


def _settled(directory: Path, tables: Sequence[str]) -> Found:
    """The run of a run folder."""
    row, content = settled(directory, partial(_content, directory, tables))
    return Found(str(directory), directory, row, content)


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


def _of_tables(alone: handed.Tables, number: int) -> Found:
    """The run of a row of a table, with its rows of those beside it."""
    row, content = alone.run(number)
    for name in content.keys() - {"run"}:
        _check_table(Path(f"{name}.csv"), *content[name], name=name, run_id=row["id"])
    complete(row, {name: content[name][1] for name in content if name != "run"})
    return Found(alone.named(number), alone.directory(row), row, content)


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
    rows = [dict(zip(header, row, strict=True)) for header, rows in parts for row in rows]
    table = io.BytesIO(render(list(columns), rows))
    return read_runs(table) if name == "run" else read_table(table)


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


def read_table(path: Path | io.BytesIO) -> pd.DataFrame:
    """A table as a pandas frame, known columns in their types; the same floats bit for bit; equal knobs as one text."""
    import pandas as pd

    known = (RUN, (CODE,), PREDICTIONS, *TABLES.values(), *EVALUATIONS.values())
    kinds = {c.name: c.kind for table in known for c in table}
    text = {name: "str" for name, kind in kinds.items() if kind is str}
    table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""]).rename(columns=FORMER)
    texts = [name for name in table.columns if kinds.get(name) is str]
    table[texts] = table[texts].fillna("")
    for name in table.columns:
        if name not in kinds and name not in NO_KNOBS and not pd.api.types.is_numeric_dtype(table[name]):
            table[name] = _one_text(table[name])
    numbers: dict[type, str] = (
        {float: "float64"} if len(table) else {float: "float64", int: "int64"}
    )  # of no cell pandas knows no type
    return table.astype({name: numbers[kinds[name]] for name in table.columns if kinds.get(name) in numbers})


def read_runs(path: Path | io.BytesIO) -> pd.DataFrame:
    """A table of runs, of whatever versions, as the commands look at it: `read_table`, and `filled`."""
    return filled(read_table(path))


def _one_text(column: pd.Series) -> pd.Series:
    """The column with the shortest text of each value, as [[fc*, 1]] for [[fc*, 1.0]]."""
    texts = sorted((text for text in column.unique() if isinstance(text, str)), key=lambda text: (len(text), text))
    chosen: dict[str, str] = {}
    for text in texts:
        chosen.setdefault(plain(text), text)
    return column.map({text: chosen[plain(text)] for text in texts}) if len(chosen) < len(texts) else column
