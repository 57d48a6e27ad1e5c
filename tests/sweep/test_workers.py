"""Jobs one after another and in processes: what a worker sends, how it dies, what it raises. Sweeps: test_execute."""

import os
import signal
from dataclasses import replace

import pytest

from wdrun import cores
from wdrun.config import experiments
from wdrun.errors import StorageError
from wdrun.storage import hold
from wdrun.sweep import sharing, template, workers
from wdrun.sweep.one_run import settle
from wdrun.sweep.outcome import Outcome
from wdrun.sweep.signals import Stop
from wdrun.terminal.progress import Watch

TINY = ["data=synthetic", "data.train_examples=96", "data.test_examples=20", "model=linear", "epochs=2"]
TINY += ["batch_size=32", "lambda=0.001", "lr=0.02", "threads=1", "precision=fp32", "device=cpu"]


class Kept(Watch):
    """Keeps what it is told."""

    def __init__(self):
        self.begun, self.epochs, self.notes = [], [], []

    def begin(self, label, steps, steps_per_epoch, done):
        self.begun.append((label, steps, steps_per_epoch, done))

    def epoch(self, number, epochs, metrics, timing):
        self.epochs.append((number, epochs, metrics))

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def jobs(tmp_path):
    return experiments.jobs([*TINY, f"output_dir={tmp_path / 'out'}", "seed=0,1,2"], True)


def giving(*numbers):
    """Gives these numbers, as many at a time as are asked for."""
    left = list(numbers)
    return lambda count: [left.pop(0) for _ in range(min(count, len(left)))]


def test_in_turn_as_long_as_there_is_one_to_take(jobs, monkeypatch):
    seen = []
    monkeypatch.setattr(workers, "settle", lambda job, *rest: seen.append((job, *rest)) or Outcome(job, "done"))
    endings = workers.in_turn(giving(0, 1), jobs, "abc", "stop", "prepare", "rows")
    assert [(number, outcome.job) for number, outcome in endings] == [(0, jobs[0]), (1, jobs[1])]
    assert seen == [(jobs[0], "stop", "a", "prepare", "rows"), (jobs[1], "stop", "b", "prepare", "rows")]


def test_what_a_worker_trains_is_told_here(jobs):
    watches = [Kept() for _ in jobs]
    ended = dict(workers.side_by_side(giving(0, 1, 2), jobs, watches, lambda: False, lambda: None, 2))
    assert sorted(ended) == [0, 1, 2]
    for number, outcome in ended.items():
        assert outcome.status == "done"
        assert outcome.job is jobs[number]  # not the copy that travelled
        assert watches[number].begun == [(f"λ=0.001 lr=0.02 seed={number}", 4, 2, 0)]
        assert watches[number].epochs == [(1, 2, ()), (2, 2, ())]


def test_a_copied_worker_has_the_environment_of_now(jobs, monkeypatch):
    """Its origin was there before: here it is told of one thread once that is so."""
    with template.begun(True):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        asked = replace(jobs[0], run=replace(jobs[0].run, threads="auto"))
        ((_, outcome),) = workers.side_by_side(giving(0), [asked], [Kept()], lambda: False, lambda: None, 1)
    assert (outcome.status, outcome.row["threads_used"]) == ("done", 1)


@pytest.mark.skipif(len(cores.usable()) < 2, reason="needs two cores")
def test_a_worker_whose_threads_are_bound_is_no_copy(jobs, monkeypatch):
    """OpenMP binds as it is loaded, which for a copy was before it was known where to."""
    two, seen = cores.usable()[:2], set()
    monkeypatch.setattr(cores, "_here", cores.Placement(two))
    for name in cores.BINDING:
        monkeypatch.delenv(name, raising=False)
    asked = replace(jobs[0], run=replace(jobs[0].run, threads=2, epochs=60))
    serving = []
    make = workers._Worker
    monkeypatch.setattr(workers, "_Worker", lambda *given: serving.append(make(*given)) or serving[-1])

    def look():
        seen.update(len(os.sched_getaffinity(worker.process.pid)) for worker in serving if worker.process.is_alive())

    with template.begun(True):
        ((_, outcome),) = workers.side_by_side(giving(0), [asked], [Kept()], lambda: False, look, 1)
    assert outcome.status == "done"
    assert 1 in seen  # while it trains, and as it loads torch


@pytest.mark.skipif(len(cores.usable()) < 2, reason="needs two cores")
@pytest.mark.parametrize(("threads", "copied"), [("1", False), ("auto", False), ("auto", True)])
def test_workers_train_on_cores_of_their_own(threads, copied, tmp_path, monkeypatch):
    """Seen from outside, of those that live: here, where its next one starts, this process is where it was."""
    before, seen = os.sched_getaffinity(0), {}
    two = cores.usable()[:2]
    monkeypatch.setattr(cores, "_here", cores.Placement(two))
    words = [word for word in TINY if not word.startswith("threads")]
    jobs = experiments.jobs([*words, f"threads={threads}", f"output_dir={tmp_path / 'out'}", "seed=0,1,2"], True)
    serving = []
    make = workers._Worker
    monkeypatch.setattr(workers, "_Worker", lambda *given: serving.append(make(*given)) or serving[-1])

    def look():
        for worker in serving:
            if worker.process.is_alive():
                seen.setdefault(worker.seat, set()).add(tuple(sorted(os.sched_getaffinity(worker.process.pid))))
        assert os.sched_getaffinity(0) == before

    with template.begun(copied):
        ended = dict(workers.side_by_side(giving(0, 1, 2), jobs, [Kept() for _ in jobs], lambda: False, look, 2))
    if copied:  # which is where its origin is until it takes its place
        seen = {seat: places - {tuple(sorted(before))} for seat, places in seen.items()}
    assert seen == {0: {two[:1]}, 1: {two[1:]}}
    assert [outcome.row["threads_used"] for outcome in ended.values()] == [1, 1, 1]  # a half of what auto counts


def test_nothing_starts_where_there_is_none_to_take(jobs, tmp_path):
    assert list(workers.side_by_side(giving(), jobs, [Kept()] * 3, lambda: True, lambda: None, 2)) == []
    assert not (tmp_path / "out").exists()


def test_the_error_that_ends_a_single_run_is_raised_here(jobs, tmp_path):
    (tmp_path / "out").write_text("no folder")
    with pytest.raises(StorageError, match="Not a directory"):
        list(workers.side_by_side(giving(0), jobs[:1], [Kept()], lambda: False, lambda: None, 1))


def test_a_job_that_another_process_took_over_from_a_dead_worker_is_left_to_it(jobs):
    with hold(jobs[0].directory):
        outcome = workers._lost(jobs[0], 4)
    assert (outcome.status, sharing.in_use(outcome)) == ("busy", True)
    assert not (jobs[0].directory / "run.csv").exists()
    ended = settle(jobs[0], Stop(), Watch())
    before = (jobs[0].directory / "run.csv").read_bytes()
    outcome = workers._lost(jobs[0], 4)
    assert (outcome.status, outcome.skipped, outcome.row["id"]) == ("done", True, ended.row["id"])
    assert (jobs[0].directory / "run.csv").read_bytes() == before


@pytest.mark.parametrize(("code", "cause", "said"), [
    (4, "worker exited with 4", "ended the process (os._exit)"),
    (-signal.SIGKILL, "worker ended by signal 9", "SIGKILL. The system sends 9 when memory runs out"),
])  # fmt: skip
def test_a_job_whose_worker_died_has_failed(jobs, code, cause, said):
    outcome = workers._lost(jobs[0], code)
    assert (outcome.status, outcome.row["cause"], str(outcome.error)) == ("failed", cause, cause)
    log = (outcome.directory / "error.log").read_text()
    assert log.startswith(f"{cause}\n")
    assert said in log
    assert outcome.bad
