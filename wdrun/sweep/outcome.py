"""How a job of a sweep ended, the line on stdout that tells it, and the exit code of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wdrun.config.run import Job
from wdrun.errors import BusyError, Exit
from wdrun.tables.columns import FACTORS, typed_row
from wdrun.terminal import results
from wdrun.terminal.progress import say

FINAL = ("done", "diverged")  # a run of these statuses is never trained again
FAILED_FAST = "stopped  fail_fast=true: the first failed or diverged run ended the sweep"
WORST_FIRST = (Exit.FAILED, Exit.BUSY, Exit.DIVERGED, Exit.REQUIREMENT, Exit.DONE)
RESULT = (
    *(column.name for column in FACTORS),
    *("status", "cause", "epochs_done", "train_loss", "train_accuracy", "val_loss", "val_accuracy"),
    *("best_epoch", "best_val_accuracy", "test_loss", "test_accuracy", "total_decay", "timescale"),
)


@dataclass
class Outcome:
    """How one job ended: done, diverged, failed, busy or interrupted; waiting where it has not begun.

    `row` is its row of runs.csv, as text where it was read back; `skipped`: it had ended before this command.
    """

    job: Job
    status: str = "waiting"
    row: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    skipped: bool = False
    directory: Path = field(init=False)

    def __post_init__(self) -> None:
        self.directory = self.job.directory

    @classmethod
    def busy(cls, job: Job, error: BusyError) -> Outcome:
        """Of a job whose folder is another's, or cannot be trusted."""
        return cls(job, "busy", {"status": "busy", "cause": str(error)}, error)

    def result(self) -> dict[str, Any]:
        """The run's factors, scores and folder, typed: what stdout tells of it."""
        return typed_row({key: self.row.get(key) for key in RESULT}) | {"dir": str(self.directory)}

    @property
    def missed(self) -> str:
        """The `require.*` thresholds that the run stayed below, in words; one that ended without a score misses all."""
        why = {"done": "a regression has none", "diverged": "it diverged", "failed": "it failed"}.get(self.status)
        asked = {key: least for key, least in self.job.options.require.items() if least is not None}
        if why is None or not asked:
            return ""
        reached = self.result() if self.status == "done" else dict.fromkeys(asked)
        return " and ".join(
            f"{key} {f'({why})' if reached[key] is None else format(reached[key], '.4f')} is below {least:g}"
            for key, least in asked.items()
            if reached[key] is None or not reached[key] >= least  # nan too
        )

    @property
    def code(self) -> int:
        """The exit code of this run alone; DONE where it has not ended."""
        if self.status in ("failed", "busy"):
            return Exit.FAILED if self.status == "failed" else Exit.BUSY
        return Exit.DIVERGED if self.bad else Exit.REQUIREMENT if self.missed else Exit.DONE

    @property
    def bad(self) -> bool:
        """Whether the run failed, or diverged where that was not allowed: fail_fast ends the sweep there."""
        return self.status == "failed" or (self.status == "diverged" and not self.job.options.allow_diverged)


Numbered = tuple[int, Outcome]  # which of the jobs, and how it ended


def print_result(outcome: Outcome, *, always: bool = False) -> None:
    """One JSON line on stdout; on a terminal, where a person reads what stderr says, only if `always` (--json)."""
    if always or not results.stream().isatty():
        print(json.dumps(outcome.result(), allow_nan=False), file=results.stream(), flush=True)


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """That of the worst ending; see `worst`."""
    return worst(outcome.code for outcome in outcomes)


def worst(codes: Iterable[int]) -> int:
    """FAILED where it is among the codes, else BUSY, DIVERGED, REQUIREMENT, DONE: what hides most comes first."""
    return min(codes, key=WORST_FIRST.index, default=Exit.DONE)


def tell_missed(outcomes: Iterable[Outcome]) -> None:
    """A line on stderr for each run that missed a `require.*` threshold, whatever else is told of it."""
    for outcome in outcomes:
        if missed := outcome.missed:
            say(f"require: {missed} in {outcome.directory.name}")
