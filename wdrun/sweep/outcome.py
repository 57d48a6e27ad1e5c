"""How a job of a sweep ended, the line on stdout that tells it, and the exit code of all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wdrun.config.run import Job
from wdrun.errors import BusyError, Exit
from wdrun.tables.columns import FACTORS, typed_row
from wdrun.terminal.progress import say

FINAL = ("done", "diverged")  # a run of these statuses is never trained again
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
    def bad(self) -> bool:
        """Whether the run failed, or diverged where that was not allowed: fail_fast ends the sweep there."""
        return self.status == "failed" or (self.status == "diverged" and not self.job.options.allow_diverged)


Numbered = tuple[int, Outcome]  # which of the jobs, and how it ended


def print_result(outcome: Outcome) -> None:
    """One JSON line on stdout."""
    print(json.dumps(outcome.result(), allow_nan=False), flush=True)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """FAILED when a run failed; else BUSY, DIVERGED (unless allowed) or REQUIREMENT (and says which); else DONE."""
    if any(o.status == "failed" for o in outcomes):
        return Exit.FAILED
    if any(o.status == "busy" for o in outcomes):
        return Exit.BUSY
    if any(o.bad for o in outcomes):
        return Exit.DIVERGED
    missed = [line for o in outcomes if o.status == "done" for line in _missed(o)]
    for line in missed:
        say(f"require: {line}")
    return Exit.REQUIREMENT if missed else Exit.DONE


def _missed(outcome: Outcome) -> list[str]:
    """A sentence for each `require.*` threshold the run stayed below; a regression, without accuracy, misses all."""
    asked = {key: least for key, least in outcome.job.options.require.items() if least is not None}
    reached = {key: value for key, value in outcome.result().items() if key in asked}
    return [
        f"{key} {'(a regression has none)' if reached[key] is None else format(reached[key], '.4f')} "
        f"is below {least:g} in {outcome.directory.name}"
        for key, least in asked.items()
        if reached[key] is None or reached[key] < least
    ]
