"""Choosing λ: hand tables against brute force, properties, intervals and tests against closed forms, the commands."""

import csv
import io
import math
import shlex
import shutil
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wdrun.config import experiments
from wdrun.config.compose import compose, opened
from wdrun.config.parse import parse
from wdrun.errors import ConfigError, StorageError
from wdrun.selection import line, select
from wdrun.selection.comparison import expected_best
from wdrun.selection.intervals import equivalence_p, holm, paired_interval, paired_p, spread, t_interval
from wdrun.tables.columns import RUN, run_row
from wdrun.tables.write import render

QUIET = settings(max_examples=15, deadline=None, derandomize=True)


def row(lam, seed, loss, **changes):
    """A run's row as `records.read` gives it, with the knobs that a test varies."""
    base = {"id": "", "model": "mlp", "decay": "l2", "coupling": "coupled", "lambda": float(lam), "optimizer": "sgd"}
    base |= {"lr": 0.1, "seed": seed, "fold": 0, "epochs": 3, "decay.coupling": "auto", "diagnostics": "[]"}
    base |= {c.name: "" if c.kind is str else math.nan for c in RUN}
    scores = {"val_loss": loss, "val_accuracy": -loss, "train_loss": loss / 2, "train_accuracy": 0.5}
    base |= {"status": "done", "test_loss": loss + 1, "test_accuracy": 0.25, "total_decay": 100.0 * lam, "dir": "."}
    full = base | scores | changes
    return full | {"id": "-".join(str(full[k]) for k in ("decay", "optimizer", "lambda", "lr", "seed", "fold"))}


def curve(losses, **changes):
    """Runs of {λ: losses of seeds 0, 1, …}; None where that seed did not run."""
    return [row(lam, s, x, **changes) for lam, xs in losses.items() for s, x in enumerate(xs) if x is not None]


def chosen(rows, **options):
    return select(pd.DataFrame(rows), **options)


def said(selection):
    """Each finding's sentence and what it would have one run."""
    return [f"{found.facet}: {found.whole}" for found in selection.findings]


def only(selection):
    (_, choice), *rest = selection.choices.iterrows()
    assert not rest
    return choice


def brute(rows, metric="val_loss"):
    """(lambda_min, lambda_1se) of one facet, its lr isolated, by loops over plain rows; larger λ on ties."""
    better = min if metric == "val_loss" else max
    points = {}
    for lam in sorted({r["lambda"] for r in rows}):
        for lr in sorted({r["lr"] for r in rows}):
            cell = [r for r in rows if (r["lambda"], r["lr"]) == (lam, lr)]
            done = [r[metric] for r in cell if r["status"] == "done" and math.isfinite(r[metric])]
            if not done or any(r["status"] == "diverged" for r in cell):
                continue
            mean = sum(done) / len(done)
            if lam not in points or (mean != points[lam][0] and better(mean, points[lam][0]) == mean):
                points[lam] = mean, done
    if not points:
        return None, None
    best = better(mean for mean, _ in points.values())
    lam_min = max(lam for lam, (mean, _) in points.items() if mean == best)
    values = points[lam_min][1]
    if len(values) < 2:
        return lam_min, None
    variance = sum((v - best) ** 2 for v in values) / (len(values) - 1)
    se = math.sqrt(variance / len(values))
    return lam_min, max(lam for lam, (mean, _) in points.items() if abs(mean - best) <= se)


# --- one facet ------------------------------------------------------------------------------------------------------


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
    assert (choice["method"], choice["pairs"], choice["edge"], choice["runs"]) == ("t", 3, "lower", 12)
    assert choice["test_loss"] == 3
    cell = selection.cells[selection.cells["lambda"] == 0.01].iloc[0]
    assert [cell["low"], cell["high"]] == pytest.approx(list(stats.t.interval(0.95, 2, 2, 1 / math.sqrt(3))))
    assert cell[["n", "sd", "train_loss", "total_decay", "diverged", "failed", "missing"]].tolist() == [
        3, 1, 1, 1, 0, 0, 0,
    ]  # fmt: skip


cells_of_losses = st.dictionaries(
    st.tuples(st.sampled_from([0.0, 1e-3, 1e-2, 1e-1, 1.0]), st.sampled_from([0.1, 0.2])),
    st.lists(st.sampled_from([1.0, 1.25, 1.5, 2.0, "diverged", "failed", None]), min_size=1, max_size=3),
    min_size=1,
)


def table(cells, **changes):
    rows = []
    for (lam, lr), outcomes in cells.items():
        for seed, x in enumerate(outcomes):
            if isinstance(x, str):
                rows.append(row(lam, seed, math.nan, lr=lr, status=x, **changes))
            elif x is not None:
                rows.append(row(lam, seed, x, lr=lr, **changes))
    return rows


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


@QUIET
@given(cells_of_losses, st.sampled_from([0.1, 0.2]))
def test_a_diverged_run_changes_only_its_count(cells, lr):
    """Every cell's statistics stay; the cell it is in can no longer be chosen."""
    rows = table(cells)
    if not rows:
        return
    before = chosen(rows).cells.set_index(["lr", "lambda"])
    lam = rows[0]["lambda"]
    after = chosen([*rows, row(lam, 99, math.nan, lr=lr, status="diverged")]).cells.set_index(["lr", "lambda"])
    assert (
        after.loc[(lr, lam), "diverged"] == (before.loc[(lr, lam), "diverged"] if (lr, lam) in before.index else 0) + 1
    )
    assert not after.loc[(lr, lam), "candidate"]
    if (lr, lam) in before.index:
        pd.testing.assert_frame_equal(
            after.drop(columns=["diverged", "candidate"]), before.drop(columns=["diverged", "candidate"])
        )
    others = before.index.drop((lr, lam), errors="ignore")
    pd.testing.assert_frame_equal(after.loc[others], before.loc[others])


def test_ties_go_to_the_larger_lambda_and_are_said():
    selection = chosen(curve({0: [2, 2.5], 0.1: [1, 1.5], 1: [1, 1.5], 10: [3, 3]}))
    assert only(selection)["lambda_min"] == 1
    assert any("λ = 0.1, 1 have the same best mean; the larger λ" in w for w in said(selection))


def test_of_a_projection_the_smaller_radius_is_the_stronger():
    rows = curve({0: [2, 2.5], 0.1: [1.1, 1.6], 1: [1, 1.5], 10: [1, 1.5]}, coupling="projected")
    choice = only(chosen(rows))
    assert (choice["lambda_min"], choice["lambda_1se"]) == (1, 0.1)


def test_one_seed_has_no_standard_error():
    selection = chosen(curve({0: [2], 0.1: [1], 1: [3]}))
    choice = only(selection)
    assert choice["lambda_min"] == 0.1
    assert choice[["se", "lambda_1se", "lr_1se", "difference_low"]].isna().all()
    assert (choice["difference"], choice["pairs"], choice["method"]) == (-1, 1, "")
    assert any("one replicate" in w and "lambda_1se" in w for w in said(selection))


@pytest.mark.parametrize("losses", [{0: [1, 2, 3]}, {0: [1]}])
def test_lambda_zero_only(losses):
    selection = chosen(curve(losses))
    choice = only(selection)
    assert (choice["lambda_min"], choice["edge"]) == (0, "")
    assert math.isnan(choice["difference"])
    assert any("only λ = 0 was tried" in w for w in said(selection))


def test_a_single_lambda_is_both_edges():
    selection = chosen(curve({0.1: [1, 2, 3]}))
    assert only(selection)["edge"] == "both"
    text = "\n".join(said(selection))
    assert "λ = 0 is missing" in text
    assert "add lambda=1,10" in text
    assert "add lambda=0.01,0.001" in text


def test_edges_say_how_to_go_on():
    rows = curve({0: [3, 3, 3], 0.1: [2, 2.1, 2.2], 0.3: [1, 1.1, 1.2]})
    up = chosen(rows)
    assert only(up)["edge"] == "upper"
    assert any("best λ = 0.3 is the largest tried" in w and "add lambda=0.9,2.7" in w for w in said(up))
    beyond = [row(0.9, 0, math.nan, status="diverged")]  # what lies above is known: it diverges
    assert only(chosen([*rows, *beyond]))["edge"] == ""
    zero = chosen(curve({0: [1, 1.1, 1.2], 0.1: [2, 2.1, 2.2], 0.3: [3, 3, 3]}))
    assert only(zero)["edge"] == ""
    assert any("a weaker one may still help; add lambda=0.033,0.011" in w for w in said(zero))
    lr = chosen(curve({0: [2, 2]}, lr=0.1) + curve({0: [1, 1]}, lr=0.2))
    assert any("the best lr = 0.2 at that λ is the largest tried; add lr=0.4,0.8" in w for w in said(lr))


def test_a_lambda_that_cannot_act_is_said():
    selection = chosen(curve({0: [2, 2.1, 2.2], 1e-5: [1, 1.1, 1.2], 1e-4: [2, 2.1, 2.2]}))  # D = 100λ here
    assert any("too small to act" in w and "lambda=0.005 would act" in w for w in said(selection))
    zero = chosen(curve({0: [1, 1.1, 1.2], 1e-5: [2, 2.1, 2.2]}))
    assert any("no λ tried can act" in w for w in said(zero))


def test_all_within_one_standard_error_is_said():
    selection = chosen(curve({0: [1, 3, 2.2], 0.1: [1, 3, 2], 1: [1, 3, 2.1]}))
    assert any("cannot tell whether decay matters" in w for w in said(selection))


def test_missing_replicates_and_cells_are_counted():
    runs = curve({0: [1, 2, 3], 0.1: [1, None, 3]}) + curve({0: [4, 4, 4], 1: [5, 5, 5]}, lr=0.2)
    runs += curve({1: [6, 6, 6]})
    selection = chosen(runs)
    cells = selection.cells.set_index(["lr", "lambda"])["missing"]
    assert cells[(0.1, 0.1)] == 1
    assert cells.sum() == only(selection)["missing"] == 1
    assert any("1 of the 6 cells" in w for w in said(selection))
    assert any("1 replicates are missing" in w for w in said(selection))


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_what_did_not_finish_is_counted_and_in_no_mean(status):
    """Its last score is there in the table (an interrupted run has one), and is not used."""
    selection = chosen([*curve({0: [2, 3], 0.1: [1, 2]}), row(0.1, 2, 100.0, status=status)])
    assert (only(selection)["mean"], only(selection)["failed"], only(selection)["lambda_min"]) == (1.5, 1, 0.1)
    nan = chosen([*curve({0: [2, 3], 0.1: [1, 2]}), row(0.1, 2, math.nan), row(0.1, 3, math.inf)])
    assert (only(nan)["mean"], only(nan)["failed"]) == (1.5, 2)


def test_all_diverged_has_no_choice():
    selection = chosen([row(lam, s, math.nan, status="diverged") for lam in (0, 1) for s in (0, 1)])
    choice = only(selection)
    assert choice[["lambda_min", "lambda_1se", "mean", "test_loss"]].isna().all()
    assert (choice["runs"], choice["diverged"], choice["n"]) == (4, 4, 0)
    (finding,) = selection.findings
    assert "4 of 4 runs diverged" in finding.sentence
    assert selection.leaderboard["rank"].isna().all()


# --- facets ---------------------------------------------------------------------------------------------------------


def test_facets_are_the_knobs_that_vary_each_once():
    rows = []
    for optimizer, coupling in product(["sgd", "adam"], ["coupled", "decoupled"]):
        more = {"optimizer.momentum": 0.9 if optimizer == "sgd" else math.nan, "decay.coupling": coupling}
        rows += curve({0: [1, 2], 0.1: [1, 2]}, optimizer=optimizer, coupling=coupling, **more)
    selection = chosen(rows)
    assert set(selection.facets) == {"optimizer", "decay.coupling"}
    assert len(selection.choices) == 4
    assert selection.name(selection.choices.iloc[0]) == "decay.coupling=coupled, optimizer=adam"
    lr = chosen(curve({0: [1, 2]}, lr=0.1) + curve({0: [1, 3]}, lr=0.2), nuisance=())
    assert lr.facets == ("lr",)
    assert lr.choices["lr"].tolist() == ["0.1", "0.2"]


def test_what_only_measures_is_no_facet_and_a_repeat_is_left_out():
    rows = curve({0: [1, 2]}) + curve({0: [1, 2]}, diagnostics="['hessian']")
    selection = chosen(rows)
    assert selection.facets == ()
    assert only(selection)["n"] == 2
    assert any("2 runs repeat a replicate" in w for w in said(selection))


def test_decay_none_is_the_lambda_zero_of_every_decay():
    none = curve({0: [3, 3.5]}, decay="none")
    selection = chosen(none + curve({0.1: [2, 2.6]}) + curve({0.1: [4, 4]}, decay="l1"))
    assert selection.choices["decay"].tolist() == ["l1", "l2"]
    assert selection.choices["mean_zero"].tolist() == [3.25, 3.25]
    assert selection.choices["lambda_min"].tolist() == [0, 0.1]
    alone = chosen(none + curve({0.1: [2, 2.6]}))
    assert alone.facets == ()
    assert alone.name(only(alone)) == "decay=l2"
    own = chosen(none + curve({0: [9, 9], 0.1: [2, 2.6]}))  # what the facet has itself counts
    assert only(own)["mean_zero"] == 9


def test_only_the_longest_runs_count():
    selection = chosen(curve({0: [2, 2], 1: [1, 1]}) + curve({0: [0, 0]}, epochs=1))
    assert only(selection)["lambda_min"] == 1
    assert any("only the 4 runs of epochs=3 count" in w for w in said(selection))


def test_folds_are_replicates():
    rows = [row(lam, s, lam + s + 10 * f, fold=f) for lam, s, f in product([0, 1], [0, 1], [0, 1, 2])]
    selection = chosen(rows)
    assert only(selection)["n"] == 6
    assert any("folds share training images" in w for w in said(selection))


@pytest.mark.parametrize(
    "options",
    [{"metric": "loss"}, {"metric": "test_loss"}, {"nuisance": ["batch"]}, {"nuisance": ["seed"]}, {"margin": 0.0},
     {"margin": math.nan}, {"confidence": 95}, {"nuisance": ["test_loss"]}],
)  # fmt: skip
def test_wrong_settings_are_one_line(options):
    with pytest.raises(ConfigError, match="must") as error:
        chosen(curve({0: [1]}), **options)
    assert "\n" not in str(error.value)


# --- the leaderboard ------------------------------------------------------------------------------------------------


def facets(**losses):
    return [r for decay, xs in losses.items() for r in curve({0.1: xs}, decay=decay)]


def test_leaderboard_against_scipy():
    rng = np.random.default_rng(3)
    base = rng.normal(1, 0.3, 8)
    losses = {
        "a": base,
        "b": base + rng.normal(0.3, 0.05, 8),
        "c": base + 1e-4 + 1e-3 * np.array([1, -1, 2, -2, 3, -3, 1, -1]),
    }
    selection = chosen(facets(**losses))
    board = selection.leaderboard.set_index("decay")
    order = sorted(losses, key=lambda k: losses[k].mean())
    assert board.index.tolist() == order
    pairs = {(i, j): stats.ttest_rel(losses[i], losses[j]).pvalue for i, j in combinations(losses, 2)}
    ranked = sorted(pairs, key=pairs.get)
    steps = [min(1, (3 - i) * pairs[pair]) for i, pair in enumerate(ranked)]
    corrected = {pair: max(steps[: i + 1]) for i, pair in enumerate(ranked)}
    best = order[0]
    for other in order[1:]:
        pair = tuple(sorted((best, other)))
        assert board.loc[other, "p"] == pytest.approx(pairs[pair])
        assert board.loc[other, "p_holm"] == pytest.approx(corrected[pair])
        assert board.loc[other, "difference"] == pytest.approx((losses[other] - losses[best]).mean())
    assert board["verdict"].to_dict() == {best: "best", "b": "worse", ({"a", "c"} - {best}).pop(): "equivalent"}
    tight = chosen(facets(**losses), margin=1e-5).leaderboard.set_index("decay")
    assert tight.loc[order[1], "verdict"] == "cannot tell"


@pytest.mark.parametrize(("losses", "verdict"), [(([1], [2]), "cannot tell"), (([1, 2], [1, 2]), "equivalent")])
def test_verdicts_of_few_replicates(losses, verdict):
    board = chosen(facets(a=losses[0], b=losses[1])).leaderboard
    assert board["verdict"].tolist() == ["best", verdict]


def test_only_common_replicates_are_compared():
    board = chosen(facets(a=[1, 2, None, 9], b=[5, None, 6, 9.5])).leaderboard
    assert board["pairs"].tolist() == [0, 2]
    assert board.loc[1, "difference"] == pytest.approx((4 + 0.5) / 2)


def test_unequal_budgets_are_said_and_compared_at_equal_budget():
    rows = curve({0.1: [3, 3], 1: [1, 1], 10: [2, 2]}, decay="a") + curve({0.1: [1.5, 1.5]}, decay="b")
    selection = chosen(rows)
    assert selection.leaderboard["expected"].tolist() == pytest.approx([2, 1.5])
    assert any("unequal budgets (1 to 3 cells)" in w and "another one leads" in w for w in said(selection))


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_expected_best_is_the_mean_over_all_draws(k):
    from types import SimpleNamespace

    means = [3.0, 1.0, 2.5, 4.0, math.nan]
    cells = pd.DataFrame({"mean": means, "candidate": [True, True, False, True, False]})
    ok = [m if c else math.inf for m, c in zip(means, cells["candidate"], strict=True)]
    draws = [min(d) for d in combinations(ok, k)]
    finite = [d for d in draws if math.isfinite(d)]
    assert expected_best(SimpleNamespace(sign=1), cells, k) == pytest.approx(sum(finite) / len(finite))


# --- intervals and tests --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_pairs_get_the_t_interval(n):
    d = np.random.default_rng(n).normal(size=n)
    expected = stats.t.interval(0.9, n - 1, d.mean(), stats.sem(d))
    assert paired_interval(d, 0.9)[:2] == pytest.approx(expected)
    assert paired_interval(d, 0.9).method == "t"


def test_more_pairs_get_the_bootstrap_at_the_expanded_level():
    """Resamples drawn and corrected here: percentiles at Φ(z₀ + (z₀ + z)/(1 − a(z₀ + z))) (Efron 1987)."""
    d = np.random.default_rng(0).exponential(size=9)
    n = len(d)
    means = np.random.default_rng(5).choice(d, size=(200_000, n)).mean(axis=1)
    z0 = stats.norm.ppf((np.mean(means < d.mean()) + np.mean(means <= d.mean())) / 2)
    left = (d.sum() - d) / (n - 1)
    u = left.mean() - left
    a = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
    z = -math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1)
    at = [stats.norm.cdf(z0 + (z0 + s) / (1 - a * (z0 + s))) for s in (z, -z)]
    found = paired_interval(d, 0.95)
    assert found.method == "BCa bootstrap"
    assert found[:2] == pytest.approx(np.quantile(means, at), abs=0.04)
    assert paired_interval(d, 0.95) == found


def test_equal_differences_have_an_interval_of_no_width():
    assert paired_interval(np.full(6, 0.1 + 0.2), 0.95)[:2] == pytest.approx((0.3, 0.3))
    assert spread(np.array([0.1 + 0.2, 0.3, 0.3])) == 0
    assert math.isnan(t_interval(np.array([1.0]), 0.95).low)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers(n):
    """Of 300 normal samples about 95 % hold the true mean (five pairs: 91 %), and not all: it is no barn door."""
    rng = np.random.default_rng(100 + n)
    found = [paired_interval(rng.normal(0.3, 1, n), 0.95) for _ in range(300)]
    assert 0.87 < np.mean([i.low <= 0.3 <= i.high for i in found]) < 0.99


def test_paired_p_and_tost_against_scipy():
    rng = np.random.default_rng(1)
    for n, shift in ((2, 0.1), (5, 0.0), (12, 0.3)):
        d = rng.normal(shift, 0.2, n)
        assert paired_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue)
        above = stats.ttest_1samp(d, -0.25, alternative="greater").pvalue
        below = stats.ttest_1samp(d, 0.25, alternative="less").pvalue
        assert equivalence_p(d, 0.25) == pytest.approx(max(above, below))
    assert (paired_p(np.zeros(3)), equivalence_p(np.zeros(3), 0.1)) == (1, 0)
    assert (paired_p(np.ones(3)), equivalence_p(np.ones(3), 0.1)) == (0, 1)
    assert math.isnan(paired_p(np.ones(1)))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1, 1]
    found = holm([math.nan, 0.02, 0.03])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.04, 0.04])


# --- the commands ---------------------------------------------------------------------------------------------------

SMALL = ("data=synthetic", "model=mlp", "model.hidden=[4]", "epochs=1", "threads=1")


def write(root, *words, **summary):
    """A run's folder as training leaves it, but for what select does not read."""
    (job,) = experiments.jobs(words, False)
    folder = root / job.run.slug
    folder.mkdir(parents=True)
    records_row = run_row(job.run, {"status": "done"} | summary)
    (folder / "run.csv").write_bytes(render(list(records_row), [records_row]))
    import yaml

    (folder / "config.yaml").write_text(yaml.safe_dump(job.run.nested, sort_keys=False), encoding="utf-8")
    return job.run


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """l1 and l2 × three λ × three seeds; l2 at 0.01 is best, l1 at 0.1 diverges."""
    root = tmp_path_factory.mktemp("written") / "runs"
    loss = {("l2", 0.0): 2, ("l2", 0.01): 1, ("l2", 0.1): 1.5, ("l1", 0.0): 2, ("l1", 0.01): 1.8, ("l1", 0.1): 9}
    for (decay, lam), x in loss.items():
        for seed in range(3):
            outcome = {"val_loss": x + 0.1 * seed + lam * seed, "val_accuracy": 0.5, "test_loss": x, "total_decay": lam}
            outcome |= {"status": "diverged"} if x == 9 else {}
            write(root, *SMALL, f"decay={decay}", f"lambda={lam}", f"seed={seed}", **outcome)
    return root


@pytest.fixture
def swept(written, here):
    return shutil.copytree(written, here / "runs")


def test_select_prints_and_writes(swept, wdrun, capfd):
    code, out, err = wdrun("select", "runs", capture=capfd)
    assert code == 0
    assert "decay=l2" in out
    assert "lambda_min" in out
    assert "warning: decay=l1: 3 of 9 runs diverged (at λ = 0.1)" in out
    assert "selection.csv" in err
    assert all(text == text.rstrip() and "\x1b" not in text for text in out.splitlines())
    selection = list(csv.DictReader(io.StringIO((swept / "selection.csv").read_text())))
    assert [(r["decay"], r["lambda_min"], r["diverged"]) for r in selection] == [
        ("l1", "0.01", "3"),
        ("l2", "0.01", "0"),
    ]
    assert selection[1]["lr_min"] == "0.02"
    board = list(csv.DictReader(io.StringIO((swept / "leaderboard.csv").read_text())))
    assert [(r["rank"], r["decay"], r["verdict"]) for r in board] == [("1", "l2", "best"), ("2", "l1", "worse")]
    before = (swept / "selection.csv").read_bytes()
    assert wdrun("select", "runs", capture=capfd)[1] == out
    assert (swept / "selection.csv").read_bytes() == before


def test_select_names_what_it_cannot_read(swept, wdrun, capfd):
    victim = sorted(swept.glob("*/run.csv"))[0]
    victim.write_bytes(victim.read_bytes()[:-5])
    code, _, err = wdrun("select", "runs", capture=capfd)
    assert code == 0
    assert f"left out {victim.parent.relative_to(swept.parent)}" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["margin=wide"], "margin=wide: must be a number"),
        (["metric=accuracy"], "metric=accuracy: must be val_loss or val_accuracy; did you mean val_accuracy?"),
        (["nuisance=lrr"], "did you mean lr?"),
        (["rule=1se"], "rule: unknown setting of wdrun select"),
    ],
)
def test_wrong_words_are_one_line(swept, wdrun, capfd, words, message):
    code, out, err = wdrun("select", "runs", *words, capture=capfd)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (swept / "selection.csv").exists()


@pytest.mark.parametrize("command", ["select", "best"])
def test_all_diverged_is_one_line(here, wdrun, capfd, command):
    for seed in (0, 1):
        write(here / "runs", *SMALL, f"seed={seed}", status="diverged")
    code, out, err = wdrun(command, "runs", capture=capfd)
    assert (code, out) == (2, "")
    assert "nothing to choose from: 2 of 2 runs diverged" in err
    assert err.count("\n") == 1


def test_best_is_one_line_that_reproduces_the_choice(swept, wdrun, capfd):
    code, out, err = wdrun("best", "runs", capture=capfd)
    assert code == 0
    assert out.count("\n") == 1
    first, *words = shlex.split(out)
    assert first == "wdrun"
    assert words[:2] == ["decay=l2", "lambda=0.01"]
    assert "decay=l2: lambda_min = 0.01" in err
    (job,) = experiments.jobs(words, False)
    (typed,) = experiments.jobs([*SMALL, "decay=l2", "lambda=0.01"], False)
    assert job.run.id == typed.run.id
    assert "lambda=0.01" in wdrun("best", "runs", "rule=1se", capture=capfd)[1]


def test_best_by_one_standard_error_needs_replicates(here, wdrun, capfd):
    write(here / "runs", *SMALL, val_loss=1.0)
    assert wdrun("best", "runs", capture=capfd)[0] == 0
    code, out, err = wdrun("best", "runs", "rule=1se", capture=capfd)
    assert (code, out) == (2, "")
    assert "has one replicate, so no standard error; take rule=min" in err


def test_best_without_the_config_is_one_line(here, tmp_path):
    with pytest.raises(StorageError, match=r"config.yaml: No such file or directory; the run's knobs"):
        line.words(tmp_path)
    (tmp_path / "config.yaml").write_text("- a\n")
    with pytest.raises(StorageError, match="holds no knobs"):
        line.words(tmp_path)


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["decay=none", "lambda=1"],
        ["decay=l1", "decay.coupling=proximal", "lambda=3.3e-5", "optimizer=adam", "lr=1e-3", "seed=4"],
        ["optimizer=adamw", "schedule=one_cycle", "augment=cutout", "evaluate=full", "early_stopping.patience=3"],
        ["decay=chain", "decay.terms=[{decay: l2, weight: 2}, {decay: l1, weight: 0.1, coupling: proximal}]"],
        ["decay.schedule={name: cosine, final: 0.1}", "data.folds=5", "fold=3"],
        ["decay.schedule=with_lr", "schedule=step", "diagnostics=[oui]", "optimizer.clip_norm=1"],
        ['decay.scales=[["fc1.weight[:, :10]",1],["*",0]]', "data.root='/a b/it\\'s'", "threads=2"],
        ["model._target_=my.module.Net", "+model.depth=3", "~model.width", "decay=l1_ball", "lambda=20"],
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_the_line_is_the_run_and_the_shortest(typed, tmp_path):
    run = write(tmp_path, *typed)
    words = line.words(tmp_path / run.slug)

    def knobs(line, composed=compose):
        try:
            found = parse(composed(line)).run.knobs
        except ConfigError:
            return None
        return {k: v for k, v in found.items() if k not in ("seed", "fold")}

    expected = {k: v for k, v in run.knobs.items() if k not in ("seed", "fold")}
    assert knobs(shlex.split(shlex.join(words))) == expected
    assert [w.partition("=")[0] for w in words[:3]] == ["decay", "lambda", "lr"]
    with opened() as composed:
        for i in range(3, len(words)):
            assert knobs(words[:i] + words[i + 1 :], composed) != expected


def test_a_real_sweep(wdrun, capfd):
    """Trained, chosen, and the printed command trains the very run that was chosen (skipped: it is there already)."""
    code, _, err = wdrun("-m", *SMALL, "data.train_size=128", "lambda=0,0.1", "seed=0,1", capture=capfd)
    assert code == 0, err
    code, out, err = wdrun("best", "outputs/default", capture=capfd)
    assert code == 0, err
    code, _, err = wdrun(*shlex.split(out)[1:], capture=capfd)
    assert code == 0, err
    assert "already done" in err
