"""A plan as rows: differences in the objective's own sign, which runs count, why a question is not decided."""

import math
from dataclasses import replace

import pytest

from tests import tuned_folder
from wdrun.tables import verdicts
from wdrun.tuning import rows
from wdrun.tuning.plan import Plan, Verdict
from wdrun.tuning.question import Cell, Facet, Pair, Question, Seen
from wdrun.tuning.sequential import Answer
from wdrun.tuning.space import Axis, Space

BOUNDED = Axis("lambda", 1e-3, 1e-5, 1e-2), Axis("lr", 0.02)
FACETS = tuple(
    Facet(f"decay={name}", ("model=mlp", f"decay={name}"), ("model=mlp", "decay=none"), Space(BOUNDED, True))
    for name in ("l2", "l1")
)
TWO = Question(FACETS, 0.02)
FIXED = Question((replace(FACETS[0], words=("decay=l2", "lr=0.5"), space=Space(BOUNDED[:1], True)),), 0.02)
BETTER = Answer(-0.03, -0.05, -0.01, 4, "better", 0.01, 0.05)
ALONE = Pair(0, None)
HERE, ZERO = Cell(0, (1e-3, 0.02)), Cell(0, (0.0, 0.05))


def row(question=TWO, answer=BETTER, one=HERE, other=ZERO, pair=ALONE, ended="", **more):
    return rows.verdict_row(question, Verdict(pair, one, other, answer, **more), 7, ended)


def test_a_row_has_all_columns_and_what_is_known():
    found = row()
    assert list(found) == verdicts.HEADERS["verdict.csv"]
    assert (found["facet"], found["against"], found["verdict"]) == ("decay=l2", "λ = 0", "better")
    assert (found["lambda"], found["lr"]) == (1e-3, 0.02)
    assert (found["setting"], found["against_setting"]) == ("lambda=0.001 lr=0.02", "lambda=0 lr=0.05")
    assert (found["difference"], found["low"], found["high"]) == (-0.03, -0.05, -0.01)
    assert (found["pairs"], found["runs"], found["cause"]) == (4, 7, "")
    assert (found["objective"], found["margin"], found["confidence"]) == ("val_loss", 0.02, 0.95)
    assert math.isnan(found["more"])


def test_an_accuracy_has_its_own_sign():
    found = row(replace(TWO, objective="val_accuracy", margin=0.005, alpha=0.01))
    assert (found["difference"], found["low"], found["high"]) == (0.03, 0.01, 0.05)
    assert found["verdict"] == "better"
    assert found["confidence"] == 0.99


def test_what_is_not_tuned_stands_in_the_words():
    found = row(FIXED, one=Cell(0, (1e-3,)), other=Cell(0, (0.0,)))
    assert (found["lambda"], found["lr"], found["setting"]) == (1e-3, 0.5, "lambda=0.001")
    assert math.isnan(FIXED.facets[0].given("model"))
    assert math.isnan(row(one=None)["lr"])


@pytest.mark.parametrize(
    ("words", "strength", "setting"),
    [
        (("decay=l2", "lambda=0.003"), 0.003, "lambda=0.003 lr=0.02"),
        (("decay=none",), 0.0, "lambda=0 lr=0.02"),
        (("decay=l2", "budget=0.5"), math.nan, "lr=0.02"),
    ],
)
def test_a_strength_that_is_not_tuned_is_that_of_the_words(words, strength, setting):
    facet = Facet("one", words, words, Space(BOUNDED[1:], False))
    found = row(Question((facet, facet), 0.02), one=Cell(0, (0.02,)), other=Cell(1, (0.02,)), pair=Pair(0, 1))
    assert found["lambda"] == pytest.approx(strength, nan_ok=True)
    assert found["setting"] == setting


def test_a_cell_of_which_nothing_is_tuned_has_a_name():
    facet = Facet("one", ("decay=l2", "budget=0.5"), ("decay=l2", "budget=0.5"), Space((), False))
    assert Question((facet,), 0.02).named(Cell(0, ())) == "as given"


@pytest.mark.parametrize(
    ("ended", "cause"),
    [("", ""), ("runs", "no further round fits into the budget of runs"),
     ("time", "no further round fits into the budget of time"),
     ("pairs", "more than 60 pairs are never looked at"), ("decided", "")],
)  # fmt: skip
def test_why_a_question_is_open_is_told(ended, cause):
    found = row(answer=replace(BETTER, verdict=""), more=12.0, ended=ended)
    assert (found["verdict"], found["cause"], found["more"]) == ("undecided", cause, 12.0)
    assert row(ended=ended)["cause"] == ""


def test_a_dropped_one_says_why():
    found = row(one=None, other=None, answer=Answer(), dropped="nothing can be trained", ended="time")
    assert (found["verdict"], found["cause"], found["setting"]) == ("dropped", "nothing can be trained", "")
    assert math.isnan(found["lambda"])


@pytest.mark.parametrize(
    ("value", "end"), [(1e-2, "upper"), (8e-3, "upper"), (1e-5, "lower"), (1.2e-5, "lower"), (1e-3, "")]
)
def test_a_value_at_the_end_of_its_interval_is_told(value, end):
    cause = row(one=Cell(0, (value, 0.02)))["cause"]
    assert cause == (
        f"lambda={value:g} is at the {end} end of its interval(1e-5,0.01)".replace("e-0", "e-") if end else ""
    )


@pytest.mark.parametrize(("value", "end"), [(0.0, "lower"), (0.95, "upper"), (0.5, "")])
def test_zero_is_an_end_as_any_other_but_of_lambda(value, end):
    momentum = Axis("optimizer.momentum", 0.9, 0.0, 0.95, log=False)
    asked = Question((replace(FACETS[0], space=Space((BOUNDED[0], momentum), True)),), 0.02)
    for lam in (0.0, 1e-3):
        cause = row(asked, one=Cell(0, (lam, value)))["cause"]
        assert cause == (f"optimizer.momentum={value:g} is at the {end} end of its interval(0,0.95)" if end else "")


def test_runs_are_those_of_both_sides_that_have_ended():
    other, bare = Cell(1, (1e-2, 0.02)), Cell(0, (0.0, 0.02))
    seen = [Seen(HERE, 0, 1.0), Seen(HERE, 1000, math.inf), Seen(HERE, 1001, math.nan), Seen(other, 0, 1.0)]
    seen.append(Seen(bare, 0, 1.0))  # of both
    pairs = [Verdict(pair, HERE, ZERO, Answer()) for pair in TWO.pairs]
    assert TWO.pairs == (Pair(0, None), Pair(1, None), Pair(0, 1))
    assert [found["runs"] for found in rows.verdict_rows(TWO, Plan((), tuple(pairs)), seen)] == [3, 2, 4]


def test_a_look_is_a_row_with_the_last_as_the_verdict_has_it(tmp_path):
    made = tuned_folder.tuned(tmp_path / "r")
    looks = rows.look_rows(made.question, made.plan)
    assert [found["pairs"] for found in looks] == [n for v in made.plan.verdicts for n in range(1, v.answer.pairs + 1)]
    table = rows.verdict_rows(made.question, made.plan, made.seen)
    for found in table:
        own = [look for look in looks if (look["facet"], look["against"]) == (found["facet"], found["against"])]
        assert own[-1] == {key: found[key] for key in own[-1]}
        assert {look["verdict"] for look in own[:-1]} == {""}
        assert math.isnan(own[0]["low"])


def test_an_lr_that_an_experiment_sets_is_in_the_row():
    facet = Facet(
        "one", ("experiment=decay_comparison", "decay=l2"), ("decay=none",), Space(BOUNDED[:1], True), lr=0.001
    )
    found = row(Question((facet,), 0.02), one=Cell(0, (1e-3,)), other=Cell(0, (0.0,)))
    assert (found["lambda"], found["lr"]) == (1e-3, 0.001)
