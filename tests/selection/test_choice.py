"""Which λ is chosen: hand tables against brute force, properties, ties and test scores"""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.selection.choices import QUIET, brute, cells_of_losses, chosen, curve, only, row, said, table
from wdrun.selection.intervals import dunnett


def test_a_hand_table():
    """Means 3, 2, 2.5, 4; the best has s = 1, se = 1/√3 ≈ 0.577, so λ = 0.1 (2.5) is within it and 1 (4) is not."""
    runs = curve({0: [3, 3.5, 2.5], 0.01: [2, 3, 1], 0.1: [2.5, 2.5, 2.5], 1: [4, 4, 4]})
    selection = chosen(runs)
    choice = only(selection)
    assert selection.facets == ()
    assert (choice["lambda_min"], choice["lambda_1se"]) == (0.01, 0.1)
    assert (choice["n"], choice["mean"], choice["mean_zero"], choice["mean_1se"]) == (3, 2, 3, 2.5)
    assert choice["se"] == pytest.approx(1 / math.sqrt(3))
    assert choice["difference"] == pytest.approx(-1)  # pairs −1, −0.5, −1.5
    half = stats.t.ppf(0.975, 2) * 0.5 / math.sqrt(3)
    assert choice[["difference_low", "difference_high"]].tolist() == pytest.approx([-1 - half, -1 + half])
    assert (choice["method"], choice["pairs"], choice["edge"], choice["runs"]) == ("best of 3 cells", 3, "lower", 12)
    assert choice["test_loss"] == 3
    cell = selection.cells[selection.cells["lambda"] == 0.01].iloc[0]
    assert [cell["low"], cell["high"]] == pytest.approx(list(stats.t.interval(0.95, 2, 2, 1 / math.sqrt(3))))
    assert cell[["n", "sd", "train_loss", "total_decay", "diverged", "failed", "missing"]].tolist() == [
        3, 1, 1, 1, 0, 0, 0,
    ]  # fmt: skip


def test_what_decay_gains_knows_that_lambda_was_picked():
    """Of two λ the difference of the better one, −1, has s = 1, as the other has: half is c·1/√4, for c > t."""
    d = {0.01: [-2, -1, 0, -1], 0.1: [-1.5, 0.5, 0.5, -0.5]}
    rows = curve({0: [3.0] * 4, **{lam: [3 + x for x in xs] for lam, xs in d.items()}})
    choice = only(chosen(rows))
    s = math.sqrt(2 / 3)
    c, b = dunnett(2, 2, 4, 0.96), stats.t.ppf(1 - 0.005 / 2, 3)
    t = stats.t.ppf(0.975, 3)
    spreads = [np.std(xs, ddof=1) for xs in d.values()]
    half = max(min(c * max(math.sqrt(np.mean(np.square(spreads))), s), b * s), t * s) / 2
    assert (choice["difference"], choice["method"]) == (-1, "best of 2 cells")
    assert choice[["difference_low", "difference_high"]].tolist() == pytest.approx([-1 - half, -1 + half])
    alone = only(chosen([r for r in rows if r["lambda"] != 0.1]))
    assert (alone["method"], alone["difference_high"]) == ("t", pytest.approx(-1 + t * s / 2))


def test_fresh_seeds_tell_and_do_not_choose():
    """Seeds 0 to 2 choose λ = 0.1; of λ = 0 and 0.1 there are seeds 3 to 9 too, and these tell, by Student's t."""
    fresh = [0.1, -0.3, 0.2, -0.1, 0.0, -0.2, 0.05]
    rows = curve(
        {0: [3, 3.1, 3.2] + [3.0] * 7, 0.1: [1, 1.1, 1.2] + [3 + d for d in fresh], 1: [2, 2.1, 2.2], 2: [2.5] * 3}
    )
    choice = only(chosen(rows))
    assert (choice["lambda_min"], choice["mean"], choice["n"]) == (0.1, pytest.approx(1.1), 3)
    assert (choice["method"], choice["pairs"]) == ("fresh replicates", 7)
    assert choice["difference"] == pytest.approx(np.mean(fresh))
    expected = stats.t.interval(0.95, 6, np.mean(fresh), stats.sem(fresh))
    assert choice[["difference_low", "difference_high"]].tolist() == pytest.approx(list(expected))


def test_what_was_left_out_was_tried_all_the_same():
    """Of three λ two are left out by filter words, after a look; other facets, λ = 0 and failed runs were no tries."""
    losses = {0: [3, 3.1, 3.2], 0.01: [2, 2.15, 2.2], 0.1: [2.5, 2.6, 2.8], 1: [4, 4, 4]}
    few = curve({lam: losses[lam] for lam in (0, 0.01)})
    rest = curve({lam: losses[lam] for lam in (0.1, 1)}) + curve({0: [3, 3, 3]}, lr=0.2)
    rest += [*curve({0.5: [1.0]}, decay="l1"), row(2, 0, math.nan, status="failed")]
    alone, honest = only(chosen(few)), only(chosen(few, left_out=pd.DataFrame(rest)))
    assert (alone["method"], honest["method"]) == ("t", "best of 3 cells")
    d = np.array([-1, -0.95, -1.0])
    half = stats.t.ppf(1 - 0.025 / 3, 2) * d.std(ddof=1) / math.sqrt(3)
    assert honest["difference_high"] == pytest.approx(d.mean() + half)


def test_settings_told_of_together_share_the_error():
    rng = np.random.default_rng(0)
    xs = {0: rng.normal(3, 0.1, 5), 0.1: rng.normal(2.9, 0.1, 5), 1: rng.normal(3, 0.1, 5)}
    one = only(chosen(curve(xs)))
    three = chosen([r for decay in ("l2", "l1", "huber") for r in curve(xs, decay=decay)]).choices
    tight = only(chosen(curve(xs), confidence=1 - 0.05 / 3))
    assert three["difference_low"].tolist() == pytest.approx([tight["difference_low"]] * 3)
    assert tight["difference_low"] < one["difference_low"]


@QUIET
@given(cells_of_losses)
def test_equals_brute_force(cells):
    rows = table(cells)
    if not rows:
        return
    choice = only(chosen(rows))
    expected = brute(rows)
    assert [None if math.isnan(choice[k]) else choice[k] for k in ("lambda_min", "lambda_1se")] == list(expected)
    for name in ("diverged", "failed"):
        assert choice[name] == sum(r["status"] == name for r in rows)


@QUIET
@given(cells_of_losses, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(cells, random):
    rows = table(cells, optimizer="sgd") + table(cells, optimizer="adam")
    if not rows:
        return
    shuffled = random.sample(rows, len(rows))
    a, b = chosen(rows), chosen(shuffled)
    for name in ("cells", "points", "choices", "leaderboard"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    assert a.findings == b.findings


@QUIET
@given(cells_of_losses, st.randoms(use_true_random=False))
def test_test_scores_decide_nothing(cells, random):
    rows = table(cells, optimizer="sgd") + table(cells, optimizer="adam")
    if not rows:
        return
    a = chosen(rows)
    other = [r | {"test_loss": random.uniform(0, 9), "test_accuracy": random.random()} for r in rows]
    b = chosen(other)
    test = ["test_loss", "test_accuracy"]
    pd.testing.assert_frame_equal(a.choices.drop(columns=test), b.choices.drop(columns=test))
    for name in ("cells", "points", "leaderboard"):
        pd.testing.assert_frame_equal(getattr(a, name), getattr(b, name))
    assert a.findings == b.findings
    for choice in (c for _, c in b.choices.iterrows() if not math.isnan(c["lambda_min"])):
        used = [
            r["test_loss"] for r in other
            if r["optimizer"] == choice["optimizer"] and r["lambda"] == choice["lambda_min"]
            and r["lr"] == choice["lr_min"] and r["status"] == "done"
        ]  # fmt: skip
        assert choice["test_loss"] == pytest.approx(sum(used) / len(used))


@QUIET
@given(cells_of_losses)
def test_the_metric_has_a_sign(cells):
    """val_accuracy = −val_loss here, so higher accuracy picks what lower loss picks."""
    rows = table(cells)
    if not rows:
        return
    loss, accuracy = only(chosen(rows)), only(chosen(rows, metric="val_accuracy"))
    same = ["lambda_min", "lambda_1se", "n", "se", "edge", "lr_min", "test_loss"]
    pd.testing.assert_series_equal(loss[same], accuracy[same], check_names=False)
    assert loss["difference"] == pytest.approx(-accuracy["difference"], nan_ok=True)
    assert loss["difference_low"] == pytest.approx(-accuracy["difference_high"], nan_ok=True)


def test_ties_go_to_the_larger_lambda_and_are_said():
    selection = chosen(curve({0: [2, 2.5], 0.1: [1, 1.5], 1: [1, 1.5], 10: [3, 3]}))
    assert only(selection)["lambda_min"] == 1
    assert any("λ = 0.1, 1 have the same best mean; the larger λ" in w for w in said(selection))


def test_of_a_projection_the_smaller_radius_is_the_stronger():
    rows = curve({0: [2, 2.5], 0.1: [1.1, 1.6], 1: [1, 1.5], 10: [1, 1.5]}, coupling="projected")
    choice = only(chosen(rows))
    assert (choice["lambda_min"], choice["lambda_1se"]) == (1, 0.1)


def test_all_diverged_has_no_choice():
    selection = chosen([row(lam, s, math.nan, status="diverged") for lam in (0, 1) for s in (0, 1)])
    choice = only(selection)
    assert choice[["lambda_min", "lambda_1se", "mean", "test_loss"]].isna().all()
    assert (choice["runs"], choice["diverged"], choice["n"]) == (4, 4, 0)
    (finding,) = selection.findings
    assert "4 of 4 runs diverged" in finding.sentence
    assert selection.leaderboard["rank"].isna().all()
