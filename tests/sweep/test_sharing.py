"""Runs that another process trains: waited for, read back, taken over. With real processes: test_races."""

import signal
from contextlib import ExitStack

import pytest

from tests.runs import jobs
from wdrun.config.run import SweepOptions
from wdrun.errors import BusyError, InUseError
from wdrun.storage import hold
from wdrun.sweep import checkpoint, sharing
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import failed, finished, rows_of, settle
from wdrun.sweep.outcome import Outcome, exit_code
from wdrun.sweep.signals import Interrupted, Stop
from wdrun.terminal.progress import Watch

SAID = "waiting  for {} that another process trains: {}"


@pytest.fixture
def other(monkeypatch):
    """Another process: holds the folders it is given, until the first look at them after which `acts` is called."""

    class Other:
        def __init__(self):
            self.folders, self.acts, self.looks = ExitStack(), lambda: None, 0

        def trains(self, *some):
            for job in some:
                self.folders.enter_context(hold(job.directory))

        def look(self, seconds):
            assert seconds == sharing.LOOK_SECONDS
            self.looks += 1
            if self.looks == 3:
                self.folders.close()
                self.acts()

    other = Other()
    monkeypatch.setattr(sharing.time, "sleep", other.look)
    with other.folders:
        yield other


def told(err):
    return [line for line in err.splitlines() if line.startswith("waiting")]


def test_only_a_folder_that_is_held_now_is_waited_for():
    (job,) = jobs("out")
    assert sharing.in_use(Outcome.busy(job, InUseError("held")))
    assert not sharing.in_use(Outcome.busy(job, BusyError("of another run")))
    assert not sharing.in_use(Outcome(job, "failed", {}, RuntimeError("broken")))


@pytest.mark.parametrize("fuse", [False, True])
def test_what_another_process_trains_is_read_back_when_it_ended(tmp_path, other, fuse, capsys):
    first, second, third = some = jobs(tmp_path, "seed=0,1,2")
    other.trains(first, third)
    other.acts = lambda: [settle(job, Stop(), Watch()) for job in (first, third)]
    ended = []
    outcomes = execute(some, SweepOptions(fuse=fuse), ended.append)
    assert [(o.status, o.skipped) for o in outcomes] == [("done", True), ("done", False), ("done", True)]
    assert [o.job for o in ended] == [second, first, third]
    assert all(o.result()["val_loss"] is not None for o in outcomes)
    assert exit_code(outcomes) == 0
    slugs = f"{first.directory.name} and {third.directory.name}"
    assert told(capsys.readouterr().err) == [SAID.format("2 runs", slugs)]


@pytest.mark.parametrize("fuse", [False, True])
def test_what_another_process_left_is_trained(tmp_path, other, fuse):
    some = jobs(tmp_path, "seed=0,1")
    other.trains(*some)
    outcomes = execute(some, SweepOptions(fuse=fuse))
    assert [(o.status, o.skipped) for o in outcomes] == [("done", False)] * 2


def broken(job):
    with hold(job.directory):
        failed(job, "out of luck", "log", RuntimeError())


def test_a_failure_of_another_process_is_the_outcome(tmp_path, other, monkeypatch, capsys):
    """The run that failed before this command is trained again, that which fails meanwhile is not."""
    first, _, third = some = jobs(tmp_path, "seed=0,1,2")
    broken(third)
    other.trains(first)
    other.acts = lambda: broken(first)
    outcomes = execute(some)
    assert [o.status for o in outcomes] == ["failed", "done", "done"]
    assert outcomes[0].row["cause"] == str(outcomes[0].error) == "out of luck"
    assert exit_code(outcomes) == 1
    assert f"failed   {first.directory.name}: out of luck; log " in capsys.readouterr().err
    assert [o.status for o in execute(some)] == ["done"] * 3  # the next command trains it


def test_a_run_that_failed_elsewhere_before_its_turn_is_not_trained_again(tmp_path, monkeypatch):
    first, second = some = jobs(tmp_path, "seed=0,1")
    outcomes = execute(some, on_end=lambda outcome: outcome.directory == first.directory and broken(second))
    assert [o.status for o in outcomes] == ["done", "failed"]


def test_a_failure_counts_once_it_is_another_than_before(tmp_path):
    (job,) = jobs(tmp_path)
    broken(job)
    before = rows_of([job])
    assert finished(job) is None
    assert finished(job, before) is None
    broken(job)
    assert finished(job) is None
    assert finished(job, before).status == "failed"


def test_fail_fast_ends_the_waiting_as_well(tmp_path, other):
    first, second = some = jobs(tmp_path, "seed=0,1")
    other.trains(first, second)
    other.acts = lambda: (broken(first), other.trains(second))
    outcomes = execute(some, SweepOptions(fail_fast=True))
    assert [o.status for o in outcomes] == ["failed", "waiting"]
    assert other.looks == 3


@pytest.mark.parametrize("words", ["seed=0,1", "seed=0"])
def test_a_signal_ends_the_waiting_at_once(tmp_path, other, words):
    some = jobs(tmp_path, words)
    other.trains(*some)
    looks = []

    def look(seconds):
        looks.append(seconds)
        signal.raise_signal(signal.SIGTERM)

    sharing.time.sleep, before = look, sharing.time.sleep  # the fixture's patch is undone after the test
    try:
        with pytest.raises(Interrupted):
            execute(some, part=True)
    finally:
        sharing.time.sleep = before
    assert len(looks) == 1
    assert not list(tmp_path.glob("*/*/run.csv"))


def test_folders_where_waiting_cannot_help_are_busy_at_once(tmp_path, other):
    first, _ = some = jobs(tmp_path, "seed=0,1")
    first.directory.mkdir(parents=True)
    (first.directory / checkpoint.NAME).write_bytes(checkpoint.encode({}, {"id": "another"}))
    outcomes = execute(some)
    assert [o.status for o in outcomes] == ["busy", "done"]
    assert exit_code(outcomes) == 4
    assert other.looks == 0


def test_a_run_alone_is_waited_for_only_as_a_part_of_a_sweep(tmp_path, other, capsys):
    (job,) = jobs(tmp_path)
    other.trains(job)
    assert [o.status for o in execute([job])] == ["busy"]
    assert other.looks == 0
    other.acts = lambda: settle(job, Stop(), Watch())
    capsys.readouterr()
    assert [(o.status, o.skipped) for o in execute([job], part=True)] == [("done", True)]
    assert told(capsys.readouterr().err) == [SAID.format("1 run", job.directory.name)]


def test_the_same_runs_are_told_of_once(tmp_path, other):
    folders = [job.directory for job in jobs(tmp_path, "seed=0,1")]
    lines, seen, left = [], set(), iter([False, False, True] * 2)
    for some in (folders, folders[:1]):
        other.folders.close()
        for folder in some:
            other.folders.enter_context(hold(folder))
        other.looks = 0
        assert sharing.wait(some, lambda: next(left), tell=lines.append, told=seen) == set()
    assert lines == [SAID.format("2 runs", f"{folders[0].name} and {folders[1].name}")]
