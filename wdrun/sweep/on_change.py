"""Runs whose own code has changed since they were trained: refused, kept or trained again, as `on_change` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun.config.run import Job
from wdrun.config.targets import own_classes
from wdrun.errors import BusyError, ConfigError, InUseError
from wdrun.storage import discard, hold, storage_error
from wdrun.sweep import own_code
from wdrun.sweep.outcome import FINAL
from wdrun.tables.columns import TABLES, run_row
from wdrun.tables.read import read_run
from wdrun.tables.write import write_row, write_tables
from wdrun.terminal.progress import say
from wdrun.wording import counted

if TYPE_CHECKING:
    import pandas as pd

WAYS = "on_change=retrain trains {0} again, on_change=keep takes {0} as {1}, another name= keeps both"
NO_DECAY = {"name": "none", "_target_": "wdrun.decay.none.Zero"}  # a question's runs with λ = 0
LINES = {
    "keep": "keeping  {}, although {} since; on_change=retrain trains again",
    "retrain": "again    {}, from the first epoch: {} since",
}


def decide(jobs: Sequence[Job], *, going: bool = False) -> None:
    """Before a command trains: of the runs that other code trained, what their `on_change` says.

    BusyError where it is `error`, a line on stderr where it is `keep` or `retrain`, which empties their folders.
    ConfigError where this process has the old code still. `going`: the command trains already, and has told of it.
    """
    if not going:
        check(jobs)
    changed = [(job, *found) for job in jobs if (found := _changed(job))]
    for number in _answered([(job.directory, job, what, status) for job, what, status in changed], quiet=going):
        job = changed[number][0]
        with suppress(InUseError), hold(job.directory):  # whoever trains it now has the new code
            if _changed(job):  # another command may have trained it again meanwhile
                try:
                    _begin_again(job)
                except OSError as error:
                    raise storage_error(job.directory, error) from error


def outdated(runs: pd.DataFrame, jobs: Mapping[int, Job]) -> list[int]:
    """The places in a typed runs table of the runs that are to be trained again where they are asked for.

    `jobs` has, by place, a job whose run differs in numbers and the seed alone. What their `on_change` says is told as
    by `decide`; nothing is emptied.
    """
    check(list({id(job): job for job in jobs.values()}.values()))
    places, changed = [], []
    for place, job in jobs.items():
        row = runs.iloc[place]
        run = replace(job.run, decay=NO_DECAY) if row["decay"] == "none" else job.run
        if row["decay"] != run.decay["name"] or not own_classes(run):
            continue
        if what := own_code.change(Path(row["dir"]), row.get("code", ""), run):
            places.append(place)
            changed.append((Path(row["dir"]), job, what, row["status"]))
    return [places[number] for number in _answered(changed)]


def check(jobs: Sequence[Job]) -> None:
    """ConfigError where this process would train with code that its files have no longer."""
    for job in jobs:
        if own_classes(job.run) and (name := own_code.stale(job.run)):
            raise ConfigError(
                f"{own_code.shown(name)}: has changed since this process imported it, which still has the old code; "
                f"start Python anew, or importlib.reload({name})"
            )


def _changed(job: Job) -> tuple[str, str] | None:
    """What has changed since the job's run was trained, and how that ended; None where nothing has."""
    if not own_classes(job.run):
        return None
    row = read_run(job.directory) or {}
    what = own_code.change(job.directory, row.get("code", ""), job.run)
    return (what, row["status"]) if what else None


def _answered(changed: Sequence[tuple[Path, Job, str, str]], *, quiet: bool = False) -> list[int]:
    """Which of the changed runs (folder, job, what changed, status) are to be trained again; the others are kept.

    BusyError where one is neither; a line on stderr for either kind unless `quiet`.
    """
    ways = [job.options.on_change for _, job, _, _ in changed]
    if "error" in ways:
        directory, _, what, status = changed[ways.index("error")]
        raise BusyError(refusal(directory, what, ended=status in FINAL, more=ways.count("error") - 1))
    for way, line in LINES.items():
        if way in ways and not quiet:
            directory, _, what, _ = changed[ways.index(way)]
            some = ways.count(way)
            say(line.format(directory.name if some == 1 else counted(some, "run"), what))
    return [number for number, way in enumerate(ways) if way == "retrain"]


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
