"""Numbers, signs and lists as people read them."""

import math

import pytest

from wdrun.wording import amount, difference, distinct, interval, listed, p_value, ranged, rough, score, sort_key


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "+0.5000"), (-0.5, "−0.5000"), (-0.00001, "−1e-5"), (math.nan, "–"), (0.0, "+0.0000")]
)
def test_signs(value, shown):
    assert difference(value, "val_loss") == shown


def test_words():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed("abcdefgh", at_most=4) == "a, b, c and 5 more"
    assert score(math.nan, "val_loss") == "–"
    assert sorted(["b", "10", "9", "1e-3", "a", "nan"], key=sort_key) == ["1e-3", "9", "10", "a", "b", "nan"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (rough(0.123456), "0.12"),
        (rough(1234567.0, 3), "1.23e6"),
        (rough(math.nan), "–"),
        (rough(math.nan, 4, ""), ""),
        (p_value(0.0004), "<0.001"),
        (p_value(0.04321), "0.043"),
        (p_value(math.nan), ""),
        (ranged(0.123456, 1e-7), "[0.1235, 1e-7]"),
        (ranged(math.nan, math.nan), ""),
        (score(1e-7, "val_loss"), "1e-7"),
        (score(0.5, "test_accuracy"), "50.0 %"),
        (amount(0.005, "val_accuracy"), "0.50 points"),
        (interval(0.1, 0.2, "val_loss"), "0.1000 to 0.2000"),
        (interval(-0.1, 0.2, "val_loss", signed=True), "−0.1000 to +0.2000"),
        (distinct([2, 1.0, 1, None]), "1, 2 and none"),
        (distinct(range(20)), "20 values from 0 to 19"),
    ],
)
def test_numbers_in_words(shown, expected):
    assert shown == expected
