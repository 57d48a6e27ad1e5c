"""A prediction of λ in words: its interval, the equation with its numbers, and what it leaves open."""

import math

import pytest

from tests import runs
from wdrun.conventions import Budget
from wdrun.tuning import equation, transfer
from wdrun.tuning.finished import Best
from wdrun.tuning.transfer import Exponent, Facts, predict


@pytest.fixture(autouse=True)
def _constant_tau(monkeypatch):
    exponents = {size: Exponent(float(size == "epochs"), 0.0) for size in transfer.EXPONENTS}
    monkeypatch.setattr(transfer, "EXPONENTS", exponents)


def told(*words, low=0.05, high=0.4, edge="", decay="l2", images=160, gains=(1, 1), unproven=""):
    """The lines on a λ of 0.1 that is carried to these words."""
    there, here = (runs.run(f"decay={decay}", "lr=0.02", *of) for of in ((), words))
    best = Best(f"decay={decay}", {}, 0.1, low, high, edge, 5, "val_loss", 0.02, there, unproven=unproven)
    shapes = {"fc1.weight": (4, 8)}
    found = predict(best, Facts(there, 160, shapes, 2.0, gains[0]), Facts(here, images, shapes, 8.0, gains[1]))
    return [equation.answer(found), *equation.equation(found)]


def test_the_rule_has_each_size_that_changes_and_its_exponent(monkeypatch):
    exponents = {"images": 0.3, "epochs": 1.0, "batch": 0.0, "parameters": -0.1, "lr": 0.5}
    monkeypatch.setattr(transfer, "EXPONENTS", {size: Exponent(e, 0.0) for size, e in exponents.items()})
    lines = told("epochs=4", "batch_size=8", images=1600)
    assert lines[2:5] == [
        "changed  batch_size 32 → 8, epochs 2 → 4",
        "rule     τ = 5.01 epochs: D = 0.2 × (1,600/160 images)^0.3 × (4/2 epochs) = 0.7981",
        "here     λ = 1 is D = 8 (2 there), so λ = 0.7981/8 = 0.0998",
    ]
    assert "D = 0.2 × (0.08/0.02 lr)^0.5 = 0.4" in told("lr=0.08")[3]
    assert "D = 0.2 × (0.2/0.1 lr/(1 − μ))^0.5 = 0.28" in told("optimizer.momentum=0.9", gains=(5, 10))[3]
    assert told(images=1600)[3] == "rule     τ = 5.01 epochs: D = 0.2 × (1,600/160 images)^0.3 = 0.3991"


def test_where_nothing_changes_nothing_is_said_of_the_rule():
    first, _, changed, rule, last = told("seed=3")
    assert first == "λ = 0.025 (0.013 to 0.1) with lr = 0.02"
    assert changed == "changed  nothing that the best λ depends on"
    assert rule == "rule     constant τ in epochs: D = 0.2 as there"
    assert last == "here     λ = 1 is D = 8 (2 there), so λ = 0.2/8 = 0.025"


@pytest.mark.parametrize(
    ("known", "first", "line"),
    [
        ({"low": 0.0}, "(up to 0.1)", "open     no worse λ was tried there below it: the interval has no end below"),
        (
            {"high": math.inf, "edge": "upper"}, "(0.013 or more)",
            "open     λ = 0.1 is the largest that was tried there: the best may lie above it",
        ),
        (
            {"low": 0.0, "high": math.inf, "edge": "both"}, "(no bound is known)",
            "open     λ = 0.1 is the smallest that was tried there: the best may lie below it",
        ),
    ],
)  # fmt: skip
def test_an_open_side_is_said(known, first, line):
    lines = told(**known)
    assert first in lines[0]
    assert line in lines


def test_a_gain_that_was_not_shown_is_said():
    assert "open     that decay helps there is not shown: no pair" in told("epochs=4", unproven="no pair")
    assert not any("helps" in line for line in told("epochs=4"))


def test_another_regularizer_than_the_rule_is_known_of_is_said():
    note = "note     the rule is known of l2; whether it holds of another Ω is not"
    assert told("epochs=4", decay="l1")[-1] == note
    assert note not in told("epochs=4")
    assert note not in told(decay="l1")  # nothing changes, so no rule is needed


def test_where_the_rule_missed_is_said():
    note = "note     at 4 times the epochs the rule missed where it was tried: search the interval"
    assert (note in told("epochs=8"), note in told("epochs=7")) == (True, False)


def test_a_large_total_decay_is_no_doubt():
    assert equation.doubts(Budget(18.0, 4.4, 0.01), 0.1) == []
    assert equation.doubts(Budget(0.01, 400.0, 0.01), 0.1)[0].startswith("warning: this λ is too small to act")
    assert equation.doubts(Budget(50.0, 4.4, 2.5), 0.1)[0].startswith("warning: ηλ ≥ 2")
