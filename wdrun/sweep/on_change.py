"""Runs whose own code has changed since they were trained: refused, kept or trained again, as `on_change` says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from wdrun.config.run import Job, Run
from wdrun.config.targets import own_classes
from wdrun.errors import BusyError, ConfigError, InUseError
from wdrun.storage import discard, hold
from wdrun.sweep import own_code
from wdrun.sweep.outcome import FINAL
from wdrun.tables.columns import TABLES, run_row
from wdrun.tables.read import read_run
from wdrun.tables.write import write_row, write_tables
from wdrun.terminal.progress import say
from wdrun.wording import counted

WAYS = "on_change=retrain trains {0} again, on_change=keep takes {0} as {1}, another name= keeps both"


def decide(jobs: Sequence[Job]) -> None:
    """Before a command trains: of the runs that other code trained, what their `on_change` says.

    BusyError where it is `error`, a line on stderr where it is `keep` or `retrain`, which empties their folders.
    ConfigError where this process has the old code still.
    """
    changed = []
    for job in jobs:
        if own_classes(job.run):
            _check_loaded(job.run)
            row = read_run(job.directory) or {}
            if what := own_code.change(job.directory, row.get("code", ""), job.run):
                changed.append((job, what, row["status"]))
    if refused := [one for one in changed if one[0].options.on_change == "error"]:
        job, what, status = refused[0]
        raise BusyError(refusal(job.directory, what, ended=status in FINAL, more=len(refused) - 1))
    kept = [one for one in changed if one[0].options.on_change == "keep"]
    if kept:
        say(f"keeping  {_named(kept)}, although {kept[0][1]} since; on_change=retrain trains again")
    if again := [one for one in changed if one[0].options.on_change == "retrain"]:
        say(f"again    {_named(again)}, from the first epoch: {again[0][1]} since")
        for job, _, _ in again:
            with suppress(InUseError), hold(job.directory):  # whoever trains it now has the new code
                _begin_again(job)


def _begin_again(job: Job) -> None:
    """Leave a run's folder as one that was interrupted before its first epoch; killed at any moment, it is that."""
    start = {"status": "interrupted", "epochs_done": 0}
    write_row(job.directory, run_row(job.run, start))
    discard(job.directory)
    write_tables(job.directory, job.run, {name: [] for name in TABLES}, start)


def refusal(directory: Path, what: str, *, ended: bool, more: int = 0) -> str:
    """The line that refuses a run of other code, and what to type instead."""
    others = f" (and {counted(more, 'run')} more)" if more else ""
    ways = WAYS.format("them" if more else "it", "they are" if more else "it is")
    return f"{directory}{others}: {what} since it was {'trained' if ended else 'begun'}; {ways}"


def _named(changed: Sequence[tuple[Job, str, str]]) -> str:
    job = changed[0][0]
    return job.directory.name if len(changed) == 1 else counted(len(changed), "run")


def _check_loaded(run: Run) -> None:
    """ConfigError where this process would train with code that its files have no longer."""
    if name := own_code.stale(run):
        raise ConfigError(
            f"{own_code.shown(name)}: has changed since this process imported it, which still has the old code; "
            f"start Python anew, or importlib.reload({name})"
        )
