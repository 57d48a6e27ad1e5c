"""What tune says before, while and after it trains."""

import math
from dataclasses import replace

import pytest

from tests import tuned_folder
from wdrun.tuning import sentences
from wdrun.tuning.plan import Verdict
from wdrun.tuning.question import Cell, Facet, Pair, Question
from wdrun.tuning.sequential import Answer
from wdrun.tuning.space import Axis, Space

SURE = "told: on pairs of runs with seeds from 1000, which choose nothing; all together right with 95 %"


def facet(name, *axes):
    decays = any(axis.key == "lambda" for axis in axes)
    return Facet(name, ("model=mlp", name), ("model=mlp", "decay=none"), Space(axes, decays))


LAMBDA, LR = Axis("lambda", 1e-3), Axis("lr", 0.02)


def test_what_is_asked_of_one_decay():
    bounded = Axis("lambda", 1e-3, 1e-5, 0.1)
    assert sentences.asked(Question((facet("decay=l2", bounded, LR),), 0.02)) == [
        "asked: decay=l2 against λ = 0, 1 question",
        "answer: better, worse, or equivalent within 0.0200 nats of val_loss",
        "tuned: λ from 0.001 in interval(1e-5,0.1) and lr from 0.02 of decay=l2",
        SURE,
    ]


def test_what_is_asked_of_several():
    facets = facet("decay=none", LR), facet("decay=l2", LAMBDA, LR), facet("decay=l1", LAMBDA, LR)
    found = sentences.asked(Question(facets, 0.005, "val_accuracy", alpha=0.01))
    assert found == [
        "asked: decay=l2 and decay=l1 each against λ = 0, 2 questions",
        "asked: decay=l2 against decay=l1, each tuned, 1 question",
        "answer: better, worse, or equivalent within 0.50 points of val_accuracy",
        "tuned: lr from 0.02 of decay=none",
        "tuned: λ from 0.001 and lr from 0.02 of decay=l2 and decay=l1",
        SURE.replace("95", "99"),
    ]


def test_two_are_asked_about_by_name_and_what_is_alike_is_said_once():
    found = sentences.asked(Question((facet("decay=l2", LAMBDA), facet("decay=l1", LAMBDA)), 0.02))
    assert found[1] == "asked: decay=l2 against decay=l1, each tuned, 1 question"
    assert found[3] == "tuned: λ from 0.001 of each"


def test_a_regression_has_no_nats():
    one = replace(facet("decay=l2", LAMBDA), words=("data=regression", "decay=l2"))
    assert sentences.asked(Question((one,), 0.02))[1].endswith("within 0.0200 of val_loss")


def test_every_line_is_one_line_of_moderate_length_whatever_is_asked():
    many = Question(tuple(facet(f"decay={n}", LAMBDA, LR) for n in range(30)), 0.02)
    assert max(map(len, sentences.asked(many))) < 200


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return tuned_folder.tuned(tmp_path_factory.mktemp("r") / "r")


def test_the_end_has_every_verdict_and_how_sure_they_are(made):
    lines = sentences.ended(made.question, made.plan, 60.0, 2)
    assert len(lines) == len(made.question.pairs) + 1
    assert lines[0] == sentences.verdict(made.question, made.plan.verdicts[0])
    assert lines[0].startswith("decay=l2 is better than λ = 0: by ")
    assert lines[2].startswith("decay=l2 is better than decay=l1, each tuned: by ")
    assert lines[-1].startswith("All verdicts together are right with 95 %")


def test_an_end_that_is_none_says_what_is_left_and_how_long_it_would_take(tmp_path):
    cut = tuned_folder.tuned(tmp_path / "r", upto=19)
    lines = sentences.ended(cut.question, replace(cut.plan, ended="time", forecast=15.0), 120.0, 2)
    assert lines[-1] == (
        "3 of 3 questions are undecided; about 15 more runs, 15 min, would decide them; the same command with a larger "
        "budget goes on"
    )
    assert all(line.endswith("no further round fits into the budget of time") for line in lines[:-1])
    assert not any("right with" in line for line in lines)
    one = replace(cut.plan, verdicts=cut.plan.verdicts[:1], forecast=15.0, ended="time")
    assert "is undecided; about 15 more runs would decide it; the same" in sentences.ended(cut.question, one)[-1]
    unknown = sentences.ended(cut.question, replace(cut.plan, forecast=math.nan))
    assert unknown[-1] == "3 of 3 questions are undecided; the same command with a larger budget goes on"


def test_the_questions_that_are_left_are_them_or_it_however_many_runs_they_take(tmp_path):
    cut = tuned_folder.tuned(tmp_path / "r", upto=19)
    plan = replace(cut.plan, verdicts=cut.plan.verdicts[:1], ended="time", forecast=15.0)
    assert sentences.ended(cut.question, plan)[-1] == (
        "1 of 1 question is undecided; about 15 more runs would decide it; the same command with a larger budget "
        "goes on"
    )


def test_more_runs_of_one_question_have_their_time():
    answer = Answer(-0.012, -0.033, 0.009, 3, "", 0.01, 0.05)
    open_ = Verdict(Pair(0, None), Cell(0, (1e-3,)), Cell(0, (0.0,)), answer, more=14.0)
    said = sentences.verdict(Question((facet("decay=l2", LAMBDA),), 0.02), open_, 18.0)
    assert said == (
        "decay=l2 against λ = 0 is undecided: −0.0120 nats (−0.0330 to +0.0090) after 3 pairs of fresh runs; about 14 "
        "more runs, 18 min, would decide it"
    )


def test_the_board_has_the_open_questions_and_what_each_waits_for(tmp_path, made):
    assert sentences.board(made.question, made.plan) == []
    searching = tuned_folder.tuned(tmp_path / "a", upto=3)
    assert sentences.board(searching.question, searching.plan) == [
        ("decay=l2 against λ = 0", "", "", "0", "the search of decay=l2"),
        ("decay=l1 against λ = 0", "", "", "0", "the search of decay=l1"),
        ("decay=l2 against decay=l1", "", "", "0", "the search of decay=l2 and decay=l1"),
    ]
    one = Answer(0.02, -0.01, 0.05, 4, "", 0.02, 0.05)
    asked = replace(made.question, objective="val_accuracy", margin=0.005)
    verdicts = tuple(replace(v, answer=one, more=7.0) for v in made.plan.verdicts)
    rows = sentences.board(asked, replace(made.plan, verdicts=verdicts))
    assert rows[0] == (
        "decay=l2 against λ = 0",
        "−2.00 points",
        "−5.00 points to +1.00 points",
        "4",
        "pair 5, about 4 more",
    )


def test_of_facets_that_share_a_lambda_of_zero_not_all_two_are_asked_about():
    def facet(words, *axes):
        return Facet(words, ("model=mlp", *words.split()), (words.split()[0], "decay=none"), Space(axes, len(axes) > 1))

    four = [
        facet(f"optimizer={o} decay={d}", *([LAMBDA] * (d == "l2")), LR)
        for o in ("sgd", "adam")
        for d in ("none", "l2")
    ]
    four = [replace(one, words=one.without) if not one.decays else one for one in four]
    line = sentences.asked(Question(tuple(four), 0.02))[1]
    assert line.startswith("asked: each two of optimizer=sgd decay=none, optimizer=sgd decay=l2, ")
    assert line.endswith(" but those that are one at λ = 0, each tuned, 4 questions")
