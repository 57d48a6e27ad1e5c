"""Groups of a sweep's runs, trained by processes that may be anywhere and may die: plan, worker, child, collection.

A plan is a JSON file beside the results: the lines of overrides, the folder of each run, where the command was typed.
An engine's worker is told "do lines i … j". It lets a child process train them, so that a run that exits or is killed
takes neither the worker nor the other runs of its group with it; the child ends when its worker does, so that a run
whose worker is gone is free to be resumed elsewhere.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from wdrun import cores
from wdrun.config import experiments
from wdrun.config.run import Job, Run
from wdrun.errors import BusyError, InUseError, WdrunError
from wdrun.storage import hold, write_atomically
from wdrun.sweep.outcome import FINAL, Outcome
from wdrun.sweep.signals import SIGNALS, Interrupted
from wdrun.tables.columns import TABLES, Row
from wdrun.tables.read import read_run, status_of
from wdrun.tables.sound import version
from wdrun.tables.write import write_row, write_tables

if TYPE_CHECKING:
    from wdrun.sweep.one_run import Rows
    from wdrun.training.trainer import Trainer

CHILD = "from wdrun.sweep.launch.remote import child; child()"
INTERRUPTED = tuple(128 + number for number in SIGNALS)


@dataclass(frozen=True)
class Plan:
    """What the workers of one sweep need to know."""

    lines: list[list[str]]
    folders: list[str]  # of the runs, absolute
    config_dir: str | None
    typed_in: str  # the folder the command was typed in: relative paths and the user's own code start there
    threads: int | None  # CPUs of a worker, where its engine does not tell it itself


def write(plan: Plan, file: Path) -> None:
    """Put the plan where every worker can read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(asdict(plan)).encode())


def prepare(jobs: Sequence[Job]) -> list[Job]:
    """The distinct runs of the jobs, their λ known; whatever is wrong with their data or parts raises here.

    All is looked at on the CPU: the machine that launches need not have the devices of those that train. A step of a
    user's model that fails here is refused only where it is to train on a CPU too.
    """
    from wdrun.sweep.one_run import ready, with_lambda
    from wdrun.sweep.preparation import check, distinct

    def here(run: Run) -> Trainer:
        precision = "fp64" if run.precision == "fp64" else "fp32"
        return ready(replace(run, device="cpu", precision=precision), elsewhere=run.device != "cpu")

    for _ in check(jobs, here):
        pass
    known = [with_lambda(job, build=here).run.lam for job in jobs]
    return distinct([replace(job, run=replace(job.run, lam=lam)) for job, lam in zip(jobs, known, strict=True)])


def work(file: str, log: str, first: int, last: int) -> None:
    """Train lines first … last − 1 of a plan; called in an engine's worker, any number of times for the same lines."""
    plan = Plan(**json.loads(Path(file).read_text(encoding="utf-8")))
    environment = dict(os.environ)
    if plan.threads:
        environment.setdefault("OMP_NUM_THREADS", str(plan.threads))
    waiting = [n for n in range(first, last) if status_of(Path(plan.folders[n])) not in FINAL]
    while waiting:
        with Path(log).open("ab") as output:
            output.write(f"worker {os.getpid()}: {len(waiting)} runs to do\n".encode())
            output.flush()
            process = subprocess.Popen(
                [sys.executable, "-c", CHILD],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output, env=environment,
                cwd=plan.typed_in if Path(plan.typed_in).is_dir() else None,
            )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:  # the child ends when stdin does
            process.stdin.write(json.dumps({"file": file, "lines": waiting}).encode() + b"\n")
            process.stdin.flush()
            ended = {int(line) for line in process.stdout}
            code = process.wait()
        waiting = [number for number in waiting if number not in ended]
        if code == 0 or code in INTERRUPTED:
            return
        folders = {number: Path(plan.folders[number]) for number in waiting}
        under_way = [number for number, folder in folders.items() if status_of(folder) == "running"]
        # Without a run under way the child could not even start: the next one could not either.
        if not under_way:
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        for number in under_way:
            with suppress(InUseError):  # then another command trains it, and the next child waits for that
                fail(folders[number], f"the process that trained it {how}")
                waiting.remove(number)
                break


def child() -> None:
    """The process that trains: takes line numbers from stdin, answers with the number of each run that ended."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a user's code prints is no answer
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_worker, daemon=True).start()
    for name in ("SIGUSR1", "SIGUSR2"):  # batch systems send them to every process of a job, meaning the worker
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    plan = Plan(**json.loads(Path(request["file"]).read_text(encoding="utf-8")))
    numbers = {Path(plan.folders[number]): number for number in request["lines"]}
    cores.count_early()
    jobs, options = experiments.sweep([plan.lines[number] for number in request["lines"]], plan.config_dir)
    cores.load({job.run.threads for job in jobs})
    from wdrun.sweep.execute import execute

    def ended(outcome: Outcome) -> None:
        print(numbers.pop(outcome.directory), file=answers)

    try:
        execute(jobs, options, ended, part=True)
    except Interrupted as interrupted:
        sys.exit(interrupted.exit_code)
    except WdrunError as error:  # of this machine, such as a device it lacks: everything else was known before
        runs = {job.directory: job.run for job in jobs}
        for folder in numbers:
            fail(folder, f"{type(error).__name__}: {error}", runs.get(folder))


def _end_with_worker() -> None:
    """End the process at once, as after a kill, when the worker's end of stdin closes."""
    while os.read(0, 1):
        pass
    os._exit(128 + signal.SIGKILL)


def fail(folder: Path, cause: str, run: Run | None = None) -> None:
    """Note in a run's tables that it failed, and why; `run` is needed where it never began. InUseError: it goes on."""
    with hold(folder):
        row = read_run(folder)
        if row is not None:
            row |= {"status": "failed", "cause": cause}
            write_row(folder, row)
        elif run is not None:
            empty: dict[str, list[Row]] = {name: [] for name in TABLES}
            write_tables(folder, run, empty, {"status": "failed", "cause": cause})


def collect(jobs: Sequence[Job], skipped: Collection[Path], cause: str, before: Rows) -> list[Outcome]:
    """How each job ended, read from its folder; one that did not end is a failed row with this cause, not a retry.

    `before`: the rows that were there when the jobs were handed over; one that still says that a run failed or was
    interrupted is of an earlier command.
    """
    return [_collected(job, job.directory in skipped, cause, before) for job in jobs]


def _collected(job: Job, skipped: bool, cause: str, before: Rows) -> Outcome:
    status, old = status_of(job.directory), before.get(job.directory)
    touched = old is None or version(job.directory / "run.csv") != old
    if status not in FINAL and not (touched and status in ("failed", "interrupted")):
        try:
            fail(job.directory, cause, job.run)
        except BusyError as error:
            return Outcome.busy(job, error)
    row = dict(read_run(job.directory) or {})
    return Outcome(job, row["status"], row, skipped=skipped)
