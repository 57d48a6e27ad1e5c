"""How a job ends: trained, skipped, diverged, failed, busy or interrupted; whatever it was, a row and not an error."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wdrun import aggregate, checkpoint, records, runner
from wdrun.errors import BusyError, StorageError, WdrunError
from wdrun.interrupt import Interrupted, Stop
from wdrun.job import Job
from wdrun.progress import Watch
from wdrun.storage import hold, storage_error, write_atomically


@dataclass
class Ending:
    """How a job ended: done, diverged, failed, busy or interrupted; `row` is its row of runs.csv."""

    status: str
    row: dict[str, Any] = field(default_factory=dict)
    error: Exception | None = None
    skipped: bool = False


def finished(directory: Path) -> Ending | None:
    """The ending of a run that needs no training any more, its row as text; busy where that cannot be known."""
    path = directory / "run.csv"
    try:
        row = aggregate.run_of(*aggregate.whole(path))
        if not directory.name.endswith(row["id"]):
            raise ValueError(f"run.csv is that of run {row['id']}")
    except FileNotFoundError:
        return None
    except ValueError as error:
        if (directory / checkpoint.NAME).exists():  # not finished; it goes on from there and writes its tables anew
            return None
        cause = f"{path.parent}: {error}: is the run finished? Restore the file, or remove the folder to train it again"
        return Ending("busy", {"status": "busy", "cause": cause}, BusyError(cause))
    if row["status"] in ("done", "diverged"):
        checkpoint.remove(directory)  # left behind if the process was killed between the last table and this
        return Ending(row["status"], row, skipped=True)
    return None


def settle(job: Job, stop: Stop, watch: Watch | None = None, share: int = 1) -> Ending:
    """Train one job to its end and say how it ended; StorageError is the only error that gets through."""
    directory = job.directory
    try:
        with hold(directory):
            if ended := finished(directory):  # by another process, since the sweep looked
                return ended
            row = runner.train(job, stop, watch, share)
            return Ending(row["status"], row)
    except Interrupted:
        return Ending("interrupted", dict(records.read_run(directory) or {}))
    except StorageError:
        raise
    except BusyError as error:
        return Ending("busy", {"status": "busy", "cause": str(error)}, error)
    except OSError as error:
        raise storage_error(directory, error) from error
    except (Exception, SystemExit) as error:  # a run's failure is a row of the sweep, not its end
        first = (str(error).splitlines() or [""])[0]
        cause = f"{type(error).__name__}: {first}"
        own = error if isinstance(error, Exception) else WdrunError(cause)
        return failed(job, cause, traceback.format_exc(), own)


def failed(job: Job, cause: str, log: str, error: Exception) -> Ending:
    """The ending of a job that broke: `log` goes to its error.log, the cause, one line, into its row."""
    write_atomically(job.directory / "error.log", log.encode())
    row = records.run_row(job.run, {"status": "failed", "cause": cause})
    write_atomically(job.directory / "run.csv", records.render(list(row), [row]))
    return Ending("failed", row, error)
