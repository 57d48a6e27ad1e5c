"""Sweeps whose jobs come while others train: what the source hears before it is asked, and who trains what it gives."""

from contextlib import ExitStack

import pytest

from tests.runs import asked, jobs
from wdrun.config.run import SweepOptions
from wdrun.errors import ConfigError
from wdrun.storage import hold
from wdrun.sweep import groups, sharing, workers
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import settle
from wdrun.sweep.signals import Stop
from wdrun.sweep.source import Source
from wdrun.tables.status import state
from wdrun.terminal.progress import Watch


class Listed(Source):
    """Gives the jobs of a list, at most `most` at a time; `log` has what it was asked for and what it heard of."""

    def __init__(self, given, most=99):
        self.kinds, self.left, self.most, self.log = given[:1], list(given), most, []

    def more(self, count):
        found = [self.left.pop(0) for _ in range(min(count, self.most, len(self.left)))]
        self.log.append((min(count, 99), len(found)))
        return found

    def ended(self, outcome):
        self.log.append(outcome.job.run.seed)


@pytest.fixture
def spawned(monkeypatch):
    """The worker processes that were started."""
    started = []
    init = workers._Worker.__init__
    monkeypatch.setattr(workers._Worker, "__init__", lambda self, *given: started.append(self) or init(self, *given))
    return started


def test_in_turn_each_end_is_told_before_the_next_is_asked_for(tmp_path):
    source = Listed(jobs(tmp_path, "seed=0,1,2"))
    outcomes = execute((), on_end=source.ended, source=source)
    assert source.log == [(1, 1), 0, (1, 1), 1, (1, 1), 2, (1, 0)]
    assert [(o.job.run.seed, o.status) for o in outcomes] == [(0, "done"), (1, "done"), (2, "done")]
    assert not (tmp_path / "default" / "plan.csv").exists()
    assert state(tmp_path / "default").counts == {"done": 3}
    assert (tmp_path / "default" / "runs.csv").is_file()


def test_side_by_side_the_same_workers_go_on(tmp_path, spawned):
    source = Listed(jobs(tmp_path, "seed=range(0,5)"))
    outcomes = execute((), SweepOptions(parallel=2), source.ended, source=source)
    assert [o.status for o in outcomes] == ["done"] * 5
    assert len(spawned) == 2
    assert source.log[0] == (2, 2)  # both workers at once
    assert sorted(entry for entry in source.log if isinstance(entry, int)) == [0, 1, 2, 3, 4]
    asked_for = [at for at, entry in enumerate(source.log) if isinstance(entry, tuple)]
    assert all(isinstance(source.log[at - 1], int) for at in asked_for[1:])  # asked again after an end alone


def test_what_has_nothing_to_give_is_asked_again_after_an_end(tmp_path, spawned):
    """One at a time although two workers are there."""
    source = Listed(jobs(tmp_path, "seed=0,1"), most=1)
    outcomes = execute((), SweepOptions(parallel=2), source.ended, source=source)
    assert source.log == [(2, 1), 0, (2, 1), 1, (2, 0)]
    assert len(outcomes) == 2
    assert len(spawned) == 1


def test_fused_a_batch_trains_as_one(tmp_path, monkeypatch):
    trained = []
    train = groups._train
    monkeypatch.setattr(groups, "_train", lambda runs, stop: trained.append(len(runs)) or train(runs, stop))
    source = Listed(jobs(tmp_path, "seed=range(0,5)"), most=3)
    execute((), SweepOptions(fuse=True), source.ended, source=source)
    assert trained == [3, 2]
    assert source.log == [(99, 3), 0, 1, 2, (99, 2), 3, 4, (99, 0)]


def test_finished_ones_are_told_at_once_and_equal_ones_train_once(tmp_path):
    first, second = given = jobs(tmp_path, "seed=0,1")
    settle(first, Stop(), Watch())
    source = Listed([first, second, second])
    ended = []
    outcomes = execute((), on_end=lambda o: ended.append((o.job.run.seed, o.skipped)), source=source)
    assert ended == [(0, True), (1, False)]
    assert [o.job.run.id for o in outcomes] == [job.run.id for job in given]


def test_beside_jobs_of_its_own_it_gives_what_follows(tmp_path):
    first, *others = jobs(tmp_path, "seed=0,1,2")
    source = Listed(others)
    execute([first], on_end=source.ended, source=source)
    assert source.log == [0, (1, 1), 1, (1, 1), 2, (1, 0)]


def test_what_another_process_trains_is_read_back_as_soon_as_it_ended(tmp_path):
    """Others train meanwhile; the source hears of it before it is asked again."""
    first, *_ = given = jobs(tmp_path, "seed=0,1,2")
    source, skipped, other = Listed(given), [], ExitStack()

    def ended(outcome):
        source.ended(outcome)
        skipped.append(outcome.skipped)
        if outcome.job.run.seed == 1:
            other.close()
            settle(first, Stop(), Watch())

    other.enter_context(hold(first.directory))
    execute((), on_end=ended, source=source)
    assert source.log == [(1, 1), (1, 1), 1, 0, (1, 1), 2, (1, 0)]
    assert skipped == [False, True, False]


def test_where_nothing_else_is_to_do_it_is_waited_for(tmp_path, monkeypatch, capsys):
    (job,) = jobs(tmp_path)
    source, other, looks = Listed([job]), ExitStack(), []
    other.enter_context(hold(job.directory))
    monkeypatch.setattr(
        sharing.time, "sleep", lambda seconds: looks.append(seconds) or (len(looks) == 3 and other.close())
    )
    (outcome,) = execute((), on_end=source.ended, source=source)
    assert (outcome.status, len(looks)) == ("done", 3)
    assert source.log == [(1, 1), (1, 0), 0, (1, 0)]
    assert f"waiting  for 1 run that another process trains: {job.directory.name}" in capsys.readouterr().err


def test_what_cannot_train_is_known_before_anything_is_created(tmp_path):
    source = Listed(asked(tmp_path / "out", "model=mlp", "model.hidden=[4]", "batch_size=100000")[0])
    with pytest.raises(ConfigError, match="batch_size=100000"):
        execute((), source=source)
    assert source.log == []
    assert not (tmp_path / "out").exists()


def test_fail_fast_asks_for_nothing_more(tmp_path):
    source = Listed(jobs(tmp_path, "lr=1e9,0.1,0.2", "schedule=constant"))
    outcomes = execute((), SweepOptions(fail_fast=True), source=source)
    assert [o.status for o in outcomes] == ["diverged"]
    assert source.log == [(1, 1)]
