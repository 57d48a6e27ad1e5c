"""Processes that die at a durable call, and the ones that resume: what both leave, held against a run nobody stopped.

A point is a durable call and a phase of it: before, after, and in the middle of a write. Each is a process that dies
and a second one that resumes. Of the second it is asked which epochs it trained: those after the last one whose
checkpoint was complete, so neither a silent start from nothing nor a lost epoch can hide behind equal bytes.

A test module imports `pytestmark` and the fixture `warm` for all of its tests.
"""

import csv
import json
import math
import os
import random
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest
import safetensors.torch
import torch

from tests.hazards.durable import KILLED, Disk, child
from tests.runs import SMALLEST, changed
from wdrun.config import experiments
from wdrun.sweep import checkpoint, groups, recording
from wdrun.sweep.execute import execute
from wdrun.tables import sound
from wdrun.tables.read import read_run

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
    pytest.mark.skipif(torch.cuda.is_available(), reason="torch cannot train in a forked process beside CUDA"),
]

WORDS = changed(SMALLEST, "model.hidden=[4]", "lambda=1e-2")
TWO = ("lambda=1e-2,1e-1",)
PLACE = "/dev/shm" if os.path.isdir("/dev/shm") else None  # memory: what counts as on the disk is the shim's business
KINDS = {"mkdir", "open", "write", "fsync", "replace", "fsync folder", "link", "unlink"}


@dataclass(frozen=True)
class Case:
    """Runs to train: `words` differ from WORDS. A failure names it, the point and the phase, to be had again.

    With `before`, words that differ from `words`, they go on from the end of a run that was finished before. `quick`:
    what is left out where epochs take milliseconds is left out, else nothing is.
    """

    words: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    quick: bool = False

    @cached_property
    def parsed(self):
        return experiments.sweep(experiments.lines(changed(WORDS, *self.words), multirun=True))

    def jobs(self, folder):
        return [replace(job, options=replace(job.options, output_dir=str(folder))) for job in self.parsed[0]]

    def execute(self, folder):
        return execute(self.jobs(folder), self.parsed[1])

    @property
    def epochs(self):
        return self.parsed[0][0].run.epochs

    @cached_property
    def earlier(self):
        return Case((*self.words, *self.before), quick=self.quick) if self.before else None

    @property
    def first(self):
        """How many epochs its runs need not train."""
        return self.earlier.epochs if self.earlier else 0

    def prepare(self, folder):
        """A folder as it is before its runs are trained."""
        if self.earlier:
            self.earlier.execute(folder)


@dataclass
class Trained:
    """What a process did: its exit code, its durable calls if it lived to tell, the epochs it trained by run."""

    code: int
    calls: list[tuple[str, str]]
    epochs: dict[str, list[int]]
    said: str


def train(case, folder, **death):
    """Train the case in a process of its own, which dies as told."""
    folder.mkdir(exist_ok=True)
    log, trace = (folder.with_name(f"{folder.name}.{kind}") for kind in ("log", "calls"))
    trace.unlink(missing_ok=True)

    def task():
        disk = Disk(folder, **death).install()
        take = recording.Record.take

        def told(record, epoch, save=True):
            print("took", record.job.directory.name, epoch.number)
            take(record, epoch, save)

        recording.Record.take = told
        groups.SAVE_SECONDS, recording.FOLLOW_SECONDS = 0.0, math.inf if case.quick else 0.0
        case.execute(folder)
        trace.write_text(json.dumps(disk.calls))

    code = child(task, log)
    said = log.read_text()
    epochs = {job.directory.name: [] for job in case.jobs(folder)}
    for line in said.splitlines():
        if line.startswith("took "):
            epochs[line.split()[1]].append(int(line.split()[2]))
    calls = [tuple(call) for call in json.loads(trace.read_text())] if trace.exists() else []
    return Trained(code, calls, epochs, said)


def content(folder):
    """Every file by its path, but for lock files; of timings, which no two runs share, the epochs."""
    found = {}
    kinds = {"timing.csv": epochs_of, checkpoint.KEPT: kept}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != ".lock":
            found[str(path.relative_to(folder))] = kinds.get(path.name, Path.read_bytes)(path)
    return found


def kept(path):
    tensors, values = checkpoint.decode(path.read_bytes())
    values["rows"]["timing"] = [row["epoch"] for row in values["rows"]["timing"]]
    return {name: w.numpy().tobytes() for name, w in tensors.items()}, values


def epochs_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["id"], int(row["epoch"])) for row in csv.DictReader(file)]


def assert_tables_are_whole(folder, where):
    """Whatever moment it is: each table has whole lines, and each run's epochs rise without a gap."""
    for path in folder.rglob("*.csv"):
        try:
            sound.whole(path)
        except ValueError as error:
            raise AssertionError(f"a table is not whole: {error}; {where}") from error
        if path.name in ("metrics.csv", "timing.csv") and path.parent.parent.parent == folder:
            epochs = sorted({epoch for _, epoch in epochs_of(path)})
            assert epochs == list(range(1, len(epochs) + 1)), f"epochs {epochs}; {where}"


def saved(case, calls, power=None):
    """The last epoch of each run whose checkpoint was complete after these calls; with `power`, on the disk as well.

    The first checkpoint of a run that goes on from a shorter one is the end of that.
    """
    found = dict.fromkeys((job.directory.name for job in case.jobs(Path())), 0)
    replaced = None
    for kind, path in calls:
        if replaced:  # the call that follows is the folder's fsync, or should have been
            found[replaced] += 1
            replaced = None
        folder, _, name = path.rpartition("/")
        if kind == "replace" and name == "checkpoint":
            replaced = Path(folder).name
    if replaced and not power:
        found[replaced] += 1
    return {name: case.first + max(number - 1, 0) if case.first else number for name, number in found.items()}


def points(calls):
    """Every call with its phases."""
    return [
        (at, phase)
        for at, (kind, _) in enumerate(calls, start=1)
        for phase in (("before", "middle", "after") if kind == "write" else ("before", "after"))
    ]


@dataclass
class Whole:
    """The uninterrupted run of a case: what every other must end as."""

    case: Case
    calls: list[tuple[str, str]]
    content: dict[str, object]


def uninterrupted(case):
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        folder = Path(place) / "whole"
        case.prepare(folder)
        trained = train(case, folder)
        assert trained.code == 0, trained.said
        whole = [*range(case.first + 1, case.epochs + 1)]
        assert all(epochs == whole for epochs in trained.epochs.values()), trained.epochs
        return Whole(case, trained.calls, content(folder))


def survives(whole, folder, calls, at, phase, power=None, before=None):
    """Die at a point in `folder`, resume there, and compare; `before` is what was saved before this process."""
    case = whole.case
    where = f"{case} died {phase} call {at} of {len(calls)}, {' '.join(calls[at - 1])}, power={power}"
    died = train(case, folder, at=at, phase=phase, power=power)
    assert died.code == KILLED, f"{died.code}: {died.said}; {where}"
    assert_tables_are_whole(folder, where)
    over = {name for name in died.epochs if (read_run(folder / "default" / name) or {}).get("status") == "done"}
    resumed = train(case, folder)
    assert resumed.code == 0, f"not resumed: {resumed.said}; {where}"
    safe = saved(case, calls[: at - (phase != "after")], power)
    for name, epochs in resumed.epochs.items():
        # The end of a quick run has no checkpoint of its own: there is its row, or the epoch is trained again.
        last = case.epochs if name in over else safe[name] + (before or {}).get(name, 0)
        assert len(epochs) <= case.epochs - last, f"progress lost: {name} trained {epochs} after {last}; {where}"
        if power:  # what a power cut leaves may be more than was promised
            last = case.epochs - len(epochs)
        assert epochs == [*range(last + 1, case.epochs + 1)], f"other epochs: {name}, {epochs} after {last}; {where}"
    found = content(folder)
    assert set(found) == set(whole.content), f"other files: {set(found) ^ set(whole.content)}; {where}"
    together = len(set(map(len, resumed.epochs.values()))) == 1 or "fuse=true" not in case.words
    for name, expected in whole.content.items():
        same = found[name] == expected if together else close(name, found[name], expected)
        assert same, f"other bytes: {name}; {where}"


def close(name, found, expected):
    """Equal but for the last digits of numbers: what is left of a fused group sums in another order than all of it."""
    if isinstance(found, bytes) and name.endswith(".safetensors"):
        a, b = (safetensors.torch.load(content) for content in (found, expected))
        return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], rtol=1e-7, atol=1e-9) for k in a)
    if isinstance(found, bytes) and name.endswith(".csv"):
        a, b = (re.split(r"[,\n]", content.decode()) for content in (found, expected))
        return len(a) == len(b) and all(
            x == y or math.isclose(float(x), float(y), rel_tol=1e-7, abs_tol=1e-9) for x, y in zip(a, b, strict=True)
        )
    return found == expected


def check_deaths(case, chosen=None, seed=0, power=None, at=None):
    """Die at `chosen` random points of a run of the case (default: all; `at` chooses): how many, and kinds of calls."""
    whole = uninterrupted(case)
    todo = points(whole.calls)
    if at is not None:
        todo = [(number, phase) for number, phase in todo if at(phase, *whole.calls[number - 1])]
    if chosen is not None:
        todo = random.Random(seed).sample(todo, min(chosen, len(todo)))
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        before = Path(place) / "before"
        before.mkdir()
        case.prepare(before)
        for number, phase in todo:
            folder = Path(place) / f"{number}{phase}"
            shutil.copytree(before, folder)
            survives(whole, folder, whole.calls, number, phase, power)
            shutil.rmtree(folder)
    return len(todo), {whole.calls[number - 1][0] for number, _ in todo}


def check_deaths_of_the_resumed(case, first, chosen=None, seed=0):
    """Die at the point `first` of the run, then at `chosen` (all) points of the one that resumes it: how many."""
    whole = uninterrupted(case)
    at, phase = first
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        dead = Path(place) / "dead"
        assert train(case, dead, at=at, phase=phase).code == KILLED
        before = saved(case, whole.calls[: at - (phase != "after")])
        shutil.copytree(dead, Path(place) / "resumed")
        calls = train(case, Path(place) / "resumed").calls
        todo = points(calls)
        for number, phase in todo if chosen is None else random.Random(seed).sample(todo, chosen):
            folder = Path(place) / f"{number}{phase}"
            shutil.copytree(dead, folder)
            survives(whole, folder, calls, number, phase, before=before)
            shutil.rmtree(folder)
    return len(todo) if chosen is None else chosen


@pytest.fixture(scope="module", autouse=True)
def warm():
    """What a process does once (lazy imports, data) is done before the forks."""
    with tempfile.TemporaryDirectory(dir=PLACE) as place:
        for words in ((), ("lambda=0,1", "fuse=true")):
            Case(words).execute(Path(place))
