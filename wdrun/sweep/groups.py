"""Jobs that can train as one computation do (training/fused): on a GPU, many small runs cost little more than one.

Each run keeps its own folder, checkpoint and tables, as if it had trained alone; a group that is killed resumes run
by run. What cannot be lifted, or fails when it is, trains alone, and that is said.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from wdrun.config.run import Job
from wdrun.errors import BusyError, StorageError
from wdrun.storage import hold, storage_error
from wdrun.sweep import contention
from wdrun.sweep.one_run import Rows, Trainers, begin, finished, interrupted, settle
from wdrun.sweep.outcome import Numbered, Outcome
from wdrun.sweep.recording import Record
from wdrun.sweep.resumption import FUSED
from wdrun.sweep.signals import Interrupted, Stop
from wdrun.sweep.source import Take
from wdrun.terminal.progress import Watch, say
from wdrun.training import fused
from wdrun.wording import named

SAVE_SECONDS = 5.0  # a group's checkpoints are written at most this often: hundreds of files take their time


def in_groups(
    take: Take,
    jobs: Sequence[Job],
    watches: Mapping[int, Watch],
    stop: Stop,
    enough: Callable[[], bool],
    trainers: Trainers,
    before: Rows | None = None,
) -> Generator[Numbered, None, None]:
    """All jobs that `take` gives at a time, in groups that train as one, until `enough()`; `before` as for `settle`."""
    waiting: list[list[int]] = []
    while waiting or (waiting := _families(take(sys.maxsize), jobs)):
        if enough():
            return
        alike = waiting.pop()
        try:
            first = trainers.take(jobs[alike[0]].run)
        except (Exception, SystemExit):  # alone it says why, and the others are looked at without it
            number = alike.pop(0)
            waiting += [alike] * bool(alike)
            yield number, settle(jobs[number], stop, watches[number], trainers.take, before)
            continue
        trainers.keep(first)  # for the run itself, once it is known how it trains
        if reason := fused.fusable(first):
            if len(alike) > 1:
                say(f"{len(alike)} runs train one after another: {reason}")
            group, outcomes = alike, None
        else:
            group = alike[: fused.chunk(len(alike), first)]
            outcomes = _fused({number: jobs[number] for number in group}, watches, stop, trainers, before)
        del first  # no longer needed, and as large as a run
        if left := alike[len(group) :]:
            waiting.append(left)
        ended = set()
        for number, outcome in outcomes or ():
            ended.add(number)
            yield number, outcome
        for number in group:
            if number not in ended and not enough():
                yield number, settle(jobs[number], stop, watches[number], trainers.take, before)


def _families(numbers: Iterable[int], jobs: Sequence[Job]) -> list[list[int]]:
    """The jobs of these numbers by the training step that they share, the first last."""
    families: dict[Hashable, list[int]] = {}
    for number in numbers:
        families.setdefault(fused.family(jobs[number].run), []).append(number)
    return list(families.values())[::-1]


def _fused(
    jobs: dict[int, Job], watches: Mapping[int, Watch], stop: Stop, trainers: Trainers, before: Rows | None
) -> Iterator[Numbered]:
    """Train these jobs as one, or as few as their states allow; a job without an outcome is left to train alone."""
    with ExitStack() as held:
        runs: dict[int, Record] = {}
        for number, job in jobs.items():
            try:
                held.enter_context(hold(job.directory))
                if ended := finished(job, before):  # by another process, since the sweep looked
                    yield number, ended
                    continue
                runs[number] = begin(job, trainers.take(job.run), stop, watches[number], FUSED)
                held.callback(runs[number].close)
            except BusyError as error:
                yield number, Outcome.busy(job, error)
            except (StorageError, OSError):
                raise
            except (Exception, SystemExit):  # alone it says why
                continue
        for number in [number for number, record in runs.items() if record.over]:
            yield number, _end(runs.pop(number))
        groups: dict[Hashable, list[int]] = {}
        for number, record in runs.items():
            groups.setdefault((fused.group_key(record.trainer), record.epochs_done), []).append(number)
        for members in groups.values():
            with runs[members[0]].trainer.machine.at_work():
                yield from _train({number: runs.pop(number) for number in members}, stop)


def _train(runs: dict[int, Record], stop: Stop) -> Iterator[Numbered]:
    """Train these, all after the same epoch, as one."""
    numbers = list(runs)
    first = runs[numbers[0]]
    saved, number = time.monotonic(), first.epochs_done

    def tick(step: int) -> None:
        stop.check()
        first.watch.tick(step)
        if told := contention.here.look(first.trainer.machine.threads):
            first.watch.note(told)

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
            yield left, interrupted(record.job)
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(first.job.directory, error) from error
    except Exception as error:  # of the lift: memory, or a user's code; alone it may well train
        say(f"{len(runs)} runs train one after another: {named(error)}")


def _end(record: Record) -> Outcome:
    try:
        row = record.end()
    except Interrupted:  # while it measured; whoever trains beside it hears the same at the next step
        record.interrupted()
        return interrupted(record.job)
    return Outcome(record.job, row["status"], row)
