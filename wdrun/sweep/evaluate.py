"""`wdrun evaluate DIR… evaluate=calibration`: finished runs measured later, without training.

Each run's rows are on disk before the next run is looked at, and a run that has them already is not measured again: the
same command goes on where it was interrupted.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wdrun.config.commands import COMMANDS
from wdrun.errors import ConfigError, Exit, StorageError
from wdrun.sweep.measurement import Asked, Measured, asked, measured
from wdrun.sweep.signals import Interrupted, Stop
from wdrun.tables import evaluations
from wdrun.tables.filters import kept
from wdrun.tables.read import load
from wdrun.tables.sound import left_out
from wdrun.tables.words import folders_and_settings
from wdrun.terminal import results
from wdrun.terminal.progress import say, scores
from wdrun.terminal.screen import columns
from wdrun.terminal.tables import Column, laid_out
from wdrun.wording import counted, named, typed

if TYPE_CHECKING:
    import pandas as pd

TAKES = COMMANDS["evaluate"]
ROWS = 100  # that a person is shown; what is more is in the table's file
WORDS = ("run", "split", "corruption")
DROPPED = {"margin": 1, "brier": 2, "hessian_top": 3, "ece": 4}  # columns that may go on a narrow terminal, in order
SHOWN = ("split", "corruption", "strength", "data_loss", "accuracy", "ece", "brier", "margin", "hessian_top")


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """A JSON line a row on stdout, on a terminal without --json a table at the end; stderr says how each run went."""
    stop = Stop()
    shown: list[Measured] = []
    in_lines = flags["json"] or not sys.stdout.isatty()

    def show(found: Measured) -> None:
        shown.append(found)
        if in_lines:
            print_rows(found)

    try:
        with stop.installed(), results.alone():
            _measure(words, flags["config_dir"], stop.check, show)
    except Interrupted as interrupted:
        return interrupted.exit_code
    if shown and not in_lines:
        print("\n".join(_table(shown)))
    return Exit.DONE if shown else Exit.FAILED


def measure(*words: str, config_dir: str | None = None) -> pd.DataFrame:
    """What `wdrun evaluate` with these words measures, or has measured before: rows of evaluation.csv, typed.

    The column `dir` is the run's folder. Runs that cannot be measured are left out, and stderr says why.
    """
    found: list[Measured] = []
    _measure(words, config_dir, lambda: None, found.append)
    table = evaluations.frame([row for of in found for row in of.rows])
    return table.assign(dir=[str(of.directory) for of in found for _ in of.rows])


def print_rows(found: Measured) -> None:
    """A JSON line for each row on stdout."""
    for row in found.rows:
        print(
            json.dumps(evaluations.typed(row) | {"dir": str(found.directory)}, allow_nan=False),
            file=results.stream(),
            flush=True,
        )


def _measure(
    words: Sequence[str], config_dir: str | None, tick: Callable[[], None], on_run: Callable[[Measured], None]
) -> None:
    """Measure the runs that the words name; `on_run` sees each as its rows are on disk."""
    filters: list[str] = []
    folders, texts = folders_and_settings("evaluate", words, TAKES.defaults, filters, files=True)
    weights = TAKES.values(texts)["weights"]
    own = [word for word in filters if word.startswith("evaluate.")]
    own += [f"{key}={text}" for key, text in texts.items() if text and key != "weights"]
    wanted = asked(own, weights, config_dir)
    found = load(folders, tables=())
    for problem in found.problems:
        say(f"warning: {problem}")
    found = kept(found, [word for word in filters if word not in own], "evaluate", TAKES.defaults)
    said: set[str] = set()

    def tell(line: str) -> None:
        if line not in said:
            say(line)
        said.add(line)

    try:
        before = 0
        for run in _each([Path(directory) for directory in found.runs["dir"]], wanted, tick, tell):
            before += run.before
            on_run(run)
        if before:
            say(f"{counted(before, 'run')} measured before")
    finally:
        for root in dict.fromkeys(map(_root, folders)):
            if root and evaluations.gather(root, tell):
                say(f"tables   {root / 'evaluation.csv'}")


def _each(
    directories: Sequence[Path], wanted: Asked, tick: Callable[[], None], tell: Callable[[str], None]
) -> Iterator[Measured]:
    """Each run measured; one that cannot be is left out, and `tell` is called with a line that says why."""
    announced: set[str] = set()
    for number, directory in enumerate(directories, start=1):
        began = time.perf_counter()
        try:
            tick()
            found = measured(directory, wanted, tick, announced)
        except (Interrupted, StorageError):
            raise
        except (ValueError, ConfigError) as error:
            tell(left_out(directory, error))
            continue
        except Exception as error:  # of a model or decay of the user's, or of the machine: that run's alone
            tell(left_out(directory, ValueError(named(error))))
            continue
        if not found.before:
            clean = [row for row in map(evaluations.typed, found.rows) if not row["corruption"]]
            parts = [f"{row['split']} {scores(row['accuracy'], row['data_loss'])}" for row in clean]
            seconds = time.perf_counter() - began
            say(f"{number}/{len(directories)}  {directory.name}  {'  '.join(parts)}  {seconds:.1f} s")
        yield found


def _root(folder: Path) -> Path | None:
    """The folder whose tables are to hold the rows; of a run's folder, or a file, the one above where it has tables."""
    if folder.is_dir() and not (folder / "run.csv").is_file():
        return folder
    above = folder.absolute().parent
    return above if (above / "runs.csv").is_file() else None


def _table(shown: Sequence[Measured]) -> list[str]:
    """The rows in columns, those that are empty left out."""
    rows = [{"run": run.directory.name} | evaluations.typed(row) for run in shown for row in run.rows]
    names = ["run", *(name for name in SHOWN if any(row[name] not in (None, "") for row in rows))]
    layout = [Column(name, right=name not in WORDS, wraps=name == "run", drop=DROPPED.get(name, 0)) for name in names]
    cells = [[_shown(row[name]) for name in names] for row in rows[:ROWS]]
    lines = laid_out(layout, cells, columns(), more="evaluation.csv")
    return [*lines, f"and {len(rows) - ROWS:,} rows more in evaluation.csv"] if len(rows) > ROWS else lines


def _shown(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) and abs(value) >= 5e-5 else typed(value)
