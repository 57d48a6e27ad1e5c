"""Jobs that can train as one computation do (training/fused): on a GPU, many small runs cost little more than one.

Each run keeps its own folder, checkpoint and tables, as if it had trained alone; a group that is killed resumes run
by run. What cannot be lifted, or fails when it is, trains alone, and that is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from wdrun import devices
from wdrun.config.run import Job
from wdrun.errors import BusyError, StorageError
from wdrun.storage import hold, storage_error
from wdrun.sweep.one_run import Ending, finished, ready, settle
from wdrun.sweep.recording import Record
from wdrun.sweep.signals import Interrupted, Stop
from wdrun.tables.read import read_run
from wdrun.terminal.progress import Watch, say
from wdrun.training import fused
from wdrun.wording import named

SAVE_SECONDS = 5.0  # a group's checkpoints are written at most this often: hundreds of files take their time

Numbered = tuple[int, Ending]


def in_groups(
    jobs: Sequence[Job], watches: Sequence[Watch], stop: Stop, enough: Callable[[], bool]
) -> Generator[Numbered, None, None]:
    """The jobs in groups that train as one, until `enough()`; which job, and how it ended."""
    families: dict[tuple[object, ...], list[int]] = {}
    for number, job in enumerate(jobs):
        families.setdefault(_family(job), []).append(number)
    waiting = list(families.values())[::-1]
    while waiting and not enough():
        alike = waiting.pop()
        first = ready(jobs[alike[0]].run)
        if reason := fused.fusable(first):
            if len(alike) > 1:
                say(f"{len(alike)} runs train one after another: {reason}")
            group, endings = alike, None
        else:
            group = alike[: fused.chunk(len(alike), first)]
            endings = _fused({number: jobs[number] for number in group}, watches, stop)
        if left := alike[len(group) :]:
            waiting.append(left)
        ended = set()
        for number, ending in endings or ():
            ended.add(number)
            yield number, ending
        for number in group:
            if number not in ended and not enough():
                yield number, settle(jobs[number], stop, watches[number])


def _family(job: Job) -> tuple[object, ...]:
    """Equal for jobs that may well be fusable: `fused.group_key`, which needs a built trainer, decides."""
    numbers = ("lambda", "lr", "seed", "fold")
    return tuple(
        (key, str(value))
        for key, value in job.run.knobs.items()
        if key not in numbers and not (key.startswith("optimizer.") and isinstance(value, float))
    )


def _fused(jobs: dict[int, Job], watches: Sequence[Watch], stop: Stop) -> Iterator[Numbered]:
    """Train these jobs as one, or as few as their states allow; a job without an ending is left to train alone."""
    with ExitStack() as held:
        runs: dict[int, Record] = {}
        for number, job in jobs.items():
            try:
                held.enter_context(hold(job.directory))
                if ended := finished(job.directory):  # by another process, since the sweep looked
                    yield number, ended
                    continue
                trainer = ready(job.run)
                trainer.evaluator = replace(trainer.evaluator, tick=stop.check)
                devices.apply(trainer.machine)
                runs[number] = Record(job, trainer, watches[number])
            except BusyError as error:
                yield number, Ending("busy", {"status": "busy", "cause": str(error)}, error)
        for number in [number for number, record in runs.items() if record.over]:
            yield number, _end(runs.pop(number))
        groups: dict[tuple[object, ...], list[int]] = {}
        for number, record in runs.items():
            groups.setdefault((fused.group_key(record.trainer), record.epochs_done), []).append(number)
        for members in groups.values():
            yield from _train({number: runs.pop(number) for number in members}, stop)


def _train(runs: dict[int, Record], stop: Stop) -> Iterator[Numbered]:
    """Train these, all after the same epoch, as one."""
    numbers = list(runs)
    first = runs[numbers[0]]
    saved, number = time.monotonic(), first.epochs_done

    def tick(step: int) -> None:
        stop.check()
        first.watch.tick(step)

    try:
        trainer = fused.FusedTrainer([record.trainer for record in runs.values()])
        save = False
        for place, epoch in trainer.train([record.state for record in runs.values()], tick):
            if epoch.number > number:  # the epochs of all runs come one after another
                number, save = epoch.number, time.monotonic() - saved > SAVE_SECONDS
                saved = time.monotonic() if save else saved
            record = runs[numbers[place]]
            record.take(epoch, save=save)
            if epoch.status != "running":
                yield numbers[place], _end(runs.pop(numbers[place]))
    except Interrupted:
        for record in runs.values():
            record.interrupted()
        for left, record in runs.items():
            yield left, Ending("interrupted", dict(read_run(record.job.directory) or {}))
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(first.job.directory, error) from error
    except Exception as error:  # of the lift: memory, or a user's code; alone it may well train
        say(f"{len(runs)} runs train one after another: {named(error)}")


def _end(record: Record) -> Ending:
    row = record.end()
    return Ending(row["status"], row)
