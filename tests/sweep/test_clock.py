"""What a run is expected to take, and what still fits into the time."""

import math

import pytest

from tests.runs import MLP, trainer
from wdrun.sweep import clock as clocks
from wdrun.sweep.clock import Clock, seconds_of
from wdrun.sweep.one_run import ready


@pytest.fixture
def clock():
    """A clock of two facets that shows what `moment` holds."""
    found = Clock(0.0, lambda: found.moment)
    found.moment, found.guesses = 0.0, (2.0, 6.0)
    return found


def test_runs_that_ended_correct_the_guesses_of_all_facets(clock):
    assert [clock.expected(0), clock.expected(1), clock.a_run] == [2, 6, 4]
    for seconds in (3.0, 100.0, 4.0):  # the middle one counts: one run beside a busy neighbour is no rule
        clock.learn(0, seconds)
    assert [clock.expected(0), clock.expected(1), clock.a_run] == [4, 12, 8]
    clock.learn(1, 5.0)
    assert [clock.expected(0), clock.expected(1), clock.a_run] == [4, 5, 4.5]


def test_a_run_fits_to_the_last_second(clock):
    assert clock.left is None
    assert clock.fits(1, before=1e9)
    clock.seconds = 10.0
    clock.moment = 4.0
    assert (clock.spent, clock.left) == (4, 6)
    assert clock.fits(1)
    assert not clock.fits(1, before=0.1)
    clock.moment = 8.5
    assert (clock.fits(0), clock.fits(1)) == (False, False)


def test_a_command_that_began_earlier_has_less_time():
    clock = Clock(3.0, lambda: 5.0)
    clock.seconds = 10.0
    assert clock.left == 8


def test_the_guess_is_the_steps_and_the_examples_that_are_evaluated(monkeypatch):
    """Of steps of a second: their number, and a third for as many validation examples an epoch, and test ones."""
    one = trainer(*MLP, "epochs=40", "data.train_examples=320")
    moment = iter(range(10**6))
    monkeypatch.setattr(clocks.time, "perf_counter", lambda: float(next(moment)))
    splits = one.dataset.splits
    examples = 40 * len(splits["val"]) + len(splits["test"])
    assert seconds_of(one) == pytest.approx(one.steps + examples / 32 / 3)
    assert one.steps == 40 * math.floor(len(splits["train"]) / 32)


def test_a_short_run_is_timed_whole_and_leaves_nothing(monkeypatch):
    one = trainer(*MLP, "epochs=1", "data.train_examples=64")
    before = {name: w.clone() for name, w in one.initial().tensors.items()}
    assert 0 < seconds_of(one) < 5
    assert all(w.equal(before[name]) for name, w in one.initial().tensors.items())
    (first,), (second,) = one.train(), ready(one.run).train()
    assert first.metrics == second.metrics
