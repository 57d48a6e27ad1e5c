"""Every formatter by example, its edge cases among them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wdrun import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (0.0, "0"), (-0.0, "-0"), (1, "1"), (0.05, "0.05"), (0.001, "0.001"), (9999, "9999"),
        (0.0005, "5e-4"), (0.00099999, "9.9999e-4"), (1e-9, "1e-9"), (-2.5e-7, "-2.5e-7"), (5e-324, "4.94066e-324"),
        (1e4, "1e4"), (12345.678, "1.23457e4"), (1e300, "1e300"), (1234.5678, "1234.57"), (9999.999, "10000"),
        (1 / 3, "0.333333"), (math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf"),
    ],
)  # fmt: skip
def test_short(value, text):
    assert wording.short(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_short_keeps_six_digits(value):
    assert float(wording.short(value)) == float(f"{value:.5e}")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (False, "false"), (1, "1"), (1e-4, "0.0001"), ("auto", "auto"), ("", ""),
        ([], "[]"), ([1, None, True], "[1,null,true]"), ({"name": "cosine", "final": 0.1}, "{name:cosine,final:0.1}"),
        ([["fc1*", 0.5], {"a": [None]}], "[[fc1*,0.5],{a:[null]}]"),
    ],
)  # fmt: skip
def test_shown(value, text):
    assert wording.shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (math.nan, ""), (np.float64("nan"), ""), ("", ""), ("l2", "l2"), (True, "true"),
        (np.bool_(False), "false"), (0, "0"), (3, "3"), (np.int64(128), "128"), (10_000, "1e4"), (10_001, "1.0001e4"),
        (123_456_789, "123456789"), (5e-4, "5e-4"), (np.float64(0.1), "0.1"), (0.123456789, "0.123456789"),
        (1 / 3, "0.3333333333333333"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_typed(value, text):
    assert wording.typed(value) == text


@given(st.one_of(st.floats(allow_nan=False), st.integers(-(2**53), 2**53)))
def test_typed_reads_back(value):
    assert float(wording.typed(value)) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""), ("λ = 1e-4 · ‖w‖²", "λ = 1e-4 · ‖w‖²"), ("two\nlines\tand", r"two\nlines\tand"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"), ("a\u202eb\u200b", r"a\u202eb\u200b"), ("\ud800", r"\ud800"),
        ("it's \\ \"so\"", "it's \\ \"so\""),
    ],
)  # fmt: skip
def test_printable(text, shown):
    assert wording.printable(text) == shown


@given(st.text())
def test_printable_obeys_nothing_and_changes_nothing_else(text):
    shown = wording.printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("broken"), "broken"), (ValueError("  first \n second"), "first"), (ValueError("\n\n late"), "late"),
        (ValueError(), "ValueError"), (ValueError(""), "ValueError"), (KeyboardInterrupt(), "KeyboardInterrupt"),
        (RuntimeError(" \n\t\n"), "RuntimeError"), (KeyError("lr"), "'lr'"), (OSError(28, "full"), "[Errno 28] full"),
    ],
)  # fmt: skip
def test_first_line(error, line):
    assert wording.first_line(error) == line


@pytest.mark.parametrize(
    ("word", "known", "prefix", "end"),
    [
        ("lambd", ["lambda", "lr"], "", "; did you mean lambda?"),
        ("epoch", iter(["epochs"]), "", "; did you mean epochs?"),
        ("adm", ["adam", "sgd"], "optimizer=", "; did you mean optimizer=adam?"), ("l3", ["l1", "l2"], "decay=", ""),
        ("zzz", ["lambda", "lr"], "", ""), ("lr", [], "", ""), ("", ["lr"], "", ""),
    ],
)  # fmt: skip
def test_nearest(word, known, prefix, end):
    assert wording.nearest(word, known, prefix) == end


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (0.99, "0:00"), (59.99, "0:59"), (60, "1:00"), (65, "1:05"), (3599, "59:59"), (36_000, "600:00")],
)
def test_clock(seconds, text):
    assert wording.clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s ago"), (0, "0 s ago"), (12.9, "12 s ago"), (59.9, "59 s ago"), (60, "1 min ago"),
        (3599, "59 min ago"), (3600, "1 h ago"), (86_399, "23 h ago"), (86_400, "1 d ago"), (1e9, "11574 d ago"),
    ],
)  # fmt: skip
def test_age(seconds, text):
    assert wording.age(seconds) == text


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("run",), "0 runs"), (1, ("run",), "1 run"), (2, ("run",), "2 runs"), (1200, ("run",), "1,200 runs"),
        (1, ("process", "processes"), "1 process"), (3, ("process", "processes"), "3 processes"),
    ],
)  # fmt: skip
def test_counted(number, words, text):
    assert wording.counted(number, *words) == text


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c"), ("abcdef", "a, b, c, d, e and f"),
        ("abcdefg", "a, b, c, d, e and 2 more"), ("abcdefghi", "a, b, c, d, e and 4 more"),
    ],
)  # fmt: skip
def test_listed(items, text):
    assert wording.listed(list(items)) == text


def test_listed_names_at_most_so_many():
    assert wording.listed(["a", "b", "c", "d"], at_most=2) == "a and 3 more"


def test_sort_key_puts_numbers_by_size_before_words():
    given = ["l2", "10", "1e-4", "", "9", "-1", "nan", "inf", "adam"]
    assert sorted(given, key=wording.sort_key) == ["-1", "1e-4", "9", "10", "inf", "", "adam", "l2", "nan"]


@pytest.mark.parametrize(
    ("message", "said"),
    [("out of memory", "RuntimeError: out of memory"), ("one\ntwo", "RuntimeError: one"), ("", "RuntimeError")],
)
def test_named(message, said):
    assert wording.named(RuntimeError(message)) == said


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "+0.5000"), (-0.5, "−0.5000"), (-0.00001, "−1e-5"), (math.nan, "–"), (0.0, "+0.0000")]
)
def test_signs(value, shown):
    assert wording.difference(value, "val_loss") == shown


def test_words_of_scores():
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed("abcdefgh", at_most=4) == "a, b, c and 5 more"
    assert wording.score(math.nan, "val_loss") == "–"
    assert sorted(["b", "10", "9", "1e-3", "a", "nan"], key=wording.sort_key) == ["1e-3", "9", "10", "a", "b", "nan"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.rough(0.123456), "0.12"),
        (wording.rough(1234567.0, 3), "1.23e6"),
        (wording.rough(math.nan), "–"),
        (wording.rough(math.nan, 4, ""), ""),
        (wording.p_value(0.0004), "<0.001"),
        (wording.p_value(0.04321), "0.043"),
        (wording.p_value(math.nan), ""),
        (wording.ranged(0.123456, 1e-7), "[0.1235, 1e-7]"),
        (wording.ranged(math.nan, math.nan), ""),
        (wording.score(1e-7, "val_loss"), "1e-7"),
        (wording.score(0.5, "test_accuracy"), "50.0 %"),
        (wording.amount(0.005, "val_accuracy"), "0.50 points"),
        (wording.interval(0.1, 0.2, "val_loss"), "0.1000 to 0.2000"),
        (wording.interval(-0.1, 0.2, "val_loss", signed=True), "−0.1000 to +0.2000"),
        (wording.distinct([2, 1.0, 1, None]), "1, 2 and none"),
        (wording.distinct(range(20)), "20 values from 0 to 19"),
    ],
)
def test_numbers_in_words(shown, expected):
    assert shown == expected
