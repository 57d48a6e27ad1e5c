"""What is expected before the first run: how fast scores rise around the start, and where the best is not expected."""

import math

import pytest

from wdrun.tuning.prior import MOST, RATE, Prior
from wdrun.tuning.space import Axis, Space

SURE = Prior(0.6, 1.2, rates=True, bare=0.02)


@pytest.mark.parametrize(
    ("away", "rate", "rise"),
    [
        (0, 0, 0), (-0.6, 0, 1), (1.2, 0, 1), (0.6, 0, 0.25), (0, RATE, 1), (0, -RATE, 1), (-0.6, RATE, 2),
        (9, 9, MOST),
    ],
)  # fmt: skip
def test_a_score_rises_by_a_margin_towards_the_ends(away, rate, rise):
    assert SURE.rise(away, rate) == pytest.approx(rise)


def test_of_a_side_without_an_end_and_of_an_lr_that_was_not_carried_nothing_is_expected():
    unknown = Prior(math.inf, 0.1)
    assert unknown.rise(-3, 5) == 0
    assert not unknown.excludes(-6, 5)
    assert unknown.half(1) == 0.5  # an interval is never narrower than the grid can tell
    assert unknown.excludes(0.6, 0)


@pytest.mark.parametrize(
    ("away", "rate", "excluded"),
    [(-0.64, 0, False), (-0.66, 0, True), (1.24, 0, False), (1.26, 0, True), (0, 0.54, False), (0, -0.56, True)],
)
def test_the_best_is_not_expected_beyond_the_ends(away, rate, excluded):
    assert SURE.excludes(away, rate) == excluded


def space(prior):
    return Space((Axis("lambda", 1e-2), Axis("lr", 0.1)), True, zero=-5.0, middle=lambda s: 1e-3 / s[1], prior=prior)


def test_a_search_begins_with_what_is_expected_and_both_ends():
    own = space(SURE)
    assert own.without() == [(0.0, 0.018)]  # `bare` on the grid
    assert own.beside((0.0, 0.018)) == [(0.01, 0.1), (3.2e-3, 0.1), (0.18, 0.1)]


def test_without_an_lr_that_was_carried_it_begins_at_the_best_without_decay():
    own = space(Prior(math.inf, 0.6))
    assert len(own.without()) == 3
    # D is kept: at half the lr (on the grid) λ is twice as large
    assert own.beside((0.0, 0.056)) == [(0.018, 0.056), (5.6e-3, 0.056), (0.056, 0.056)]


def test_of_lambda_zero_the_lr_counts_that_was_best_without_decay():
    assert space(SURE).rises([(0.0, 0.02), (0.0, 0.02 * 10**RATE), (1e-2, 0.1)]) == pytest.approx([0, 1, 0])
    assert space(None).rises([(0.0, 5.0)]) == 0
