"""Killed at every durable call, or without power there, and resumed: the bytes of a run that nobody stopped."""

import pytest

from tests.hazards.deaths import (  # noqa: F401 - marks and fixture of this module too
    KINDS,
    TWO,
    Case,
    check_deaths,
    check_deaths_of_the_resumed,
    pytestmark,
    uninterrupted,
    warm,
)

SWEEP = Case(TWO)
GROUP = Case((*TWO, "fuse=true", "precision=fp64"))
QUICK = Case(("epochs=3",), quick=True)
LONGER = Case(("schedule=constant", "keep_state=true", "epochs=3"), before=("epochs=1",))
CHANGES = (("after", "replace"), ("after", "unlink"))
MIDDLE = 63  # the write of the checkpoint after the second epoch


def test_killed_at_any_call_of_a_run():
    """After every call and in the middle of every write."""
    deaths, kinds = check_deaths(Case(), at=lambda phase, kind, path: phase != "before")
    assert deaths > 140
    assert kinds == KINDS


def test_killed_before_a_call_of_a_run():
    """The folder is as after the call before, so a sample is enough; `test_dying_at_every_call` takes them all."""
    assert check_deaths(Case(), 40, seed=5, at=lambda phase, kind, path: phase == "before")[0] == 40


@pytest.mark.parametrize("power", [None, "latest"])
def test_dead_in_a_run_whose_epochs_are_too_quick_to_be_shown_one_by_one(power):
    """After each file that comes or goes; `latest`: what says that it is done comes after what it speaks of."""
    assert check_deaths(QUICK, power=power, at=lambda phase, kind, _: (phase, kind) in CHANGES)[0] > 20
    assert check_deaths(SWEEP, 24, seed=1)[0] == 24


def test_killed_in_a_group_that_trains_as_one():
    assert check_deaths(GROUP, 20, seed=2)[0] == 20


def test_killed_again_after_resuming():
    assert check_deaths_of_the_resumed(Case(), (MIDDLE, "middle"), 24, seed=3) == 24


@pytest.mark.parametrize("power", [None, "all"])
def test_killed_in_a_run_that_goes_on_from_a_shorter_one(power):
    assert check_deaths(LONGER, 16, seed=6, power=power)[0] == 16


@pytest.mark.parametrize("power", ["all", "content"])
def test_without_power_at_any_call(power):
    assert check_deaths(Case(), 24, seed=4, power=power)[0] == 24


def test_each_kind_of_call_is_counted_and_can_be_died_at():
    kinds = {kind for kind, _ in uninterrupted(Case()).calls}
    assert kinds == KINDS


RICH = Case(
    (
        *("epochs=4", "model.dropout=0.3", "optimizer=adam", "early_stopping.patience=3", "augment=flip_crop"),
        *("diagnostics=[histograms]", "evaluate=full"),
    )
)


@pytest.mark.long
@pytest.mark.parametrize("power", [None, "all", "content"])
@pytest.mark.parametrize(
    "case",
    [Case(), QUICK, RICH, Case(("epochs=3", *TWO)), GROUP, LONGER],
    ids=["run", "quick", "rich", "sweep", "group", "longer"],
)
def test_dying_at_every_call(case, power, tmp_path):
    case.execute(tmp_path)  # warm, as above
    deaths, kinds = check_deaths(case, power=power)
    print(f"{deaths} deaths")
    assert kinds == KINDS


@pytest.mark.long
@pytest.mark.parametrize("phase", ["before", "middle"])
@pytest.mark.parametrize("at", range(10, 111, 10))
def test_dying_again_at_every_call(at, phase):
    whole = uninterrupted(Case())
    phase = phase if whole.calls[at - 1][0] == "write" else "before"
    assert check_deaths_of_the_resumed(Case(), (at, phase), 60, seed=at) == 60
