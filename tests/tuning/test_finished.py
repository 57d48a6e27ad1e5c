"""The best λ of a finished folder, and the λ beside it that were as good."""

import math

import pandas as pd
import pytest

from tests import tuned_folder
from tests.selection.choices import SMALL, grid, write
from wdrun.tables import verdicts
from wdrun.tables.read import load
from wdrun.tuning.finished import ZERO, as_good, bests


def found(*folders, **settings):
    return bests(load(list(folders), tables=()), **settings)


def only(*folders, **settings):
    (best,) = found(*folders, **settings)
    return best


@pytest.mark.parametrize(
    ("curve", "low", "high"),
    [
        ({1: 0.5, 10: 0.0, 100: 0.5}, 10**0.5, 10**1.5),  # halfway to the first that is worse
        ({1: 0.5, 2: 0.1, 10: 0.0, 20: 0.1, 80: 0.2}, 2**0.5, 40),
        ({1: 0.1, 10: 0.0, 100: math.inf}, 0, 10**1.5),  # nothing worse below; one diverged above
        ({10: 0.0}, 0, math.inf),
        ({1: 0.0, 2: 0.5, 10: 0.0, 20: 0.5}, 20**0.5, 200**0.5),  # as good, but not beside it
    ],
)
def test_as_good_is_up_to_the_first_worse(curve, low, high):
    assert as_good(list(curve.items()), 10, 0.1) == (pytest.approx(low), pytest.approx(high))


def test_a_sweep_gives_what_select_chooses(here):
    best = only(grid("r", {0: 1.0, 0.001: 0.99, 0.01: 0.9, 0.1: 0.915, 1: 1.2}))
    assert (best.facet, best.lam, best.edge, best.tried, best.refused) == ("decay=l2", 0.01, "", 4, "")
    assert (best.low, best.high) == (pytest.approx(1e-5**0.5), pytest.approx(0.1**0.5))
    assert (best.metric, best.margin) == ("val_loss", 0.02)
    assert {*best.words} == {*SMALL, "decay=l2", "lambda=0.01", "lr=0.02"}
    assert (best.run.lam, best.run.lr, best.run.epochs) == (0.01, 0.02, 4)


@pytest.mark.parametrize(
    ("losses", "unproven"),
    [
        ({0: (1.0, 1.02, 0.99), 0.1: (0.9, 0.91, 0.89), 1: (1.2, 1.21, 1.2)}, ""),
        ({0: (1.0, 1.2, 0.9), 0.1: (0.9, 1.1, 1.0), 1: (1.2, 1.3, 1.2)}, "; the interval includes 0"),
        ({0: (1.0,), 0.1: (0.9,), 1: (1.2,)}, "(one pair, so no interval)"),
        ({0.1: (0.9, 0.91), 1: (1.2, 1.21)}, "there is no λ = 0 with the same replicates"),
        ({0: (1.0, 1.001, 1.002), 0.1: (0.999, 1.0, 1.002), 1: (1.2, 1.3, 1.2)}, "no difference that matters"),
    ],
)
def test_a_gain_that_a_sweep_does_not_show_is_told(here, losses, unproven):
    for lam, of in losses.items():
        for seed, loss in enumerate(of):
            write(here / "r", *SMALL, f"lambda={lam}", "lr=0.02", f"seed={seed}", status="done", val_loss=loss)
    best = only(here / "r")
    assert (best.lam, bool(best.unproven)) == (0.1, bool(unproven))
    assert unproven in best.unproven


def test_metric_and_margin_are_as_asked(here):
    folder = grid("r", {0: 1.0, 0.001: 0.99, 0.01: 0.9, 0.1: 0.915, 1: 1.2})
    assert only(folder, margin=0.01).high == pytest.approx(0.001**0.5)
    by = only(folder, metric="val_accuracy")
    assert (by.lam, by.metric, by.margin) == (0.01, "val_accuracy", 0.005)
    assert by.high == pytest.approx(0.1**0.5)  # 0.005 of accuracy are 0.015 of this loss


@pytest.mark.parametrize(
    ("cells", "edge", "low", "high"),
    [
        ({0: 1, 0.1: 0.5, 1: 0.4}, "upper", 0.1**0.5, math.inf),
        ({0: 1, 0.1: 0.4, 1: 0.5}, "lower", 0, 0.1**0.5),
        ({0: 1, 0.1: 0.4}, "both", 0, math.inf),
        ({0: 1, 0.1: 0.4, 1: math.inf}, "lower", 0, 0.1**0.5),  # what diverged was tried too
    ],
)
def test_a_best_at_the_end_of_what_was_tried_has_an_open_side(here, cells, edge, low, high):
    best = only(grid("r", cells))
    assert (best.edge, best.low, best.high) == (edge, pytest.approx(low), pytest.approx(high))


def test_other_lambdas_are_compared_at_the_lr_of_the_best(here):
    cells = {0: {0.1: 1}, 0.01: {0.1: 0.9, 0.5: 0.5}, 0.1: {0.1: 0.4, 0.5: 0.9}, 1: {0.1: 0.9, 0.02: 0.41}}
    best = only(grid("r", cells))
    assert (best.lam, best.run.lr) == (0.1, 0.1)
    assert (best.low, best.high) == (pytest.approx(0.001**0.5), pytest.approx(0.1**0.5))
    cells[0.3] = {0.5: 0.9}  # tried at another lr alone, which says less than one at this
    assert only(grid("beside", cells)).high == pytest.approx(0.1**0.5)
    del cells[0.3], cells[1][0.1]  # no larger λ at this lr: at its own lr 1 is as good, and none is larger
    assert only(grid("s", cells)).high == math.inf


def test_where_no_decay_was_best_nothing_is_carried(here):
    folder = grid("r", {0: 0.4, 0.1: 0.5, 1: 0.6})
    assert only(folder).refused == ZERO
    assert only(grid("none", {0: 0.4}, "decay=none")).refused.startswith("no λ > 0 was tried there")
    assert only(grid("bad", {0.1: math.inf, 1: math.inf})).refused.startswith("no λ can be chosen there")


def test_the_lr_with_it_and_without_decay_are_told_where_several_were_tried(here):
    best = only(grid("r", {0: {0.1: 1.0, 0.5: 0.95}, 0.1: {0.1: 0.4, 0.5: 0.9}, 1: {0.1: 0.6}}))
    assert (best.lr, best.bare) == (0.1, 0.5)
    folder = grid("one", {0: 1, 0.1: 0.4, 1: 0.6})
    grid("one", {0.1: {0.5: 0.4}, 1: {0.5: 0.6}}, "decay=l1")  # another facet's lr, not tuned in either
    for best in found(folder):
        assert math.isnan(best.lr)
        assert math.isnan(best.bare)
    best = only(grid("without", {0.1: {0.1: 0.4, 0.5: 0.9}, 1: {0.1: 0.6}}))  # no λ = 0 there
    assert (best.lr, best.bare) == (0.1, 0.1)


def test_each_facet_has_its_own(here):
    folder = grid("r", {0: 1, 0.1: 0.5, 1: 0.6})
    grid("r", {0.01: 0.5, 0.1: 0.6, 1: 0.7}, "decay=l1")
    assert [(best.facet, best.values, best.lam) for best in found(folder)] == [
        ("decay=l1", {"decay": "l1"}, 0.01), ("decay=l2", {"decay": "l2"}, 0.1),
    ]  # fmt: skip


@pytest.fixture
def tuned(here):
    """One decay tuned over λ and lr, with folders that a line can be made of."""

    def written(root, lam, loss, seed, lr, decay):
        words = (*SMALL, f"decay={decay}", *[f"lambda={lam}"] * (decay != "none"), f"lr={lr}", f"seed={seed}")
        return write(root, *words, status="done", val_loss=loss, val_accuracy=0.5).id

    return tuned_folder.tuned(here / "runs", tuned_folder.question(("l2",)), write=written).root


def test_a_tuned_question_gives_its_verdicts_setting(tuned):
    best, verdict = only(tuned), verdicts.read(tuned).verdicts.iloc[0]
    assert (best.facet, best.values, best.lam, best.run.lr) == (
        "decay=l2", {"decay": "l2"}, verdict["lambda"], verdict["lr"],
    )  # fmt: skip
    assert (best.lr, f"lambda=0 lr={best.bare:g}") == (verdict["lr"], verdict["against_setting"])
    assert 0 < best.low < best.lam < best.high < math.inf
    assert (best.edge, best.metric, best.margin) == ("", "val_loss", 0.02)


def test_a_question_by_another_metric_has_the_usual_margin_of_that(tuned):
    best = only(tuned, metric="val_accuracy")
    assert (best.metric, best.margin) == ("val_accuracy", 0.005)
    assert only(tuned, metric="val_loss").margin == 0.02
    assert only(tuned, metric="val_accuracy", margin=0.01).margin == 0.01


def test_a_metric_that_no_run_has_is_refused_in_a_sentence(tuned):
    for file in tuned.glob("*/run.csv"):
        table = pd.read_csv(file, dtype=str)
        table.assign(val_accuracy="").to_csv(file, index=False)
    (tuned / "runs.csv").unlink(missing_ok=True)
    assert only(tuned, metric="val_accuracy").refused == "no run there has a val_accuracy"


@pytest.mark.parametrize(
    ("verdict", "refused", "unproven"),
    [
        ("better", "", ""),
        ("worse", ZERO, ""),
        ("equivalent", "", "decay=l2 is equivalent to λ = 0: the difference"),
        ("undecided", "", "decay=l2 against λ = 0 is undecided: "),
    ],
)
def test_a_tuned_decay_is_carried_unless_worse_and_a_gain_that_is_not_shown_is_told(tuned, verdict, refused, unproven):
    path = tuned / "verdict.csv"
    pd.read_csv(path, dtype=str).assign(verdict=verdict).to_csv(path, index=False)
    best = only(tuned)
    assert (best.refused, bool(best.unproven)) == (refused, bool(unproven))
    assert best.unproven.startswith(unproven)
