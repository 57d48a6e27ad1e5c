"""From runs to cells: facets, replicates, what is counted and what is left out"""

import math
from itertools import product

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selection.choices import QUIET, cells_of_losses, chosen, curve, only, row, said, table
from wdrun.errors import ConfigError

full = st.dictionaries(
    st.tuples(st.sampled_from([0.0, 1e-3, 1e-2, 1e-1, 1.0]), st.sampled_from([0.1, 0.2])),
    st.lists(st.sampled_from([1.0, 1.25, 1.5, 2.0]), min_size=2, max_size=2),
    min_size=1,
)


@QUIET
@given(full, st.sampled_from([0.1, 0.2]))
def test_a_diverged_run_changes_only_its_count(cells, lr):
    """Every cell's statistics stay; the cell it is in can no longer be chosen."""
    rows = table(cells)
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


@QUIET
@given(cells_of_losses, st.sampled_from([0.1, 0.2]))
def test_a_diverged_run_is_in_no_mean(cells, lr):
    """Whatever holes the grid has: its cell has the mean of what finished there, and cannot be chosen."""
    rows = table(cells)
    if not rows:
        return
    lam = rows[0]["lambda"]
    after = chosen([*rows, row(lam, 99, math.nan, lr=lr, status="diverged")]).cells.set_index(["lr", "lambda"])
    done = [x for x in cells.get((lam, lr), []) if isinstance(x, float)]
    assert not after.loc[(lr, lam), "candidate"]
    assert after.loc[(lr, lam), "n"] == len(done)
    expected = sum(done) / len(done) if done else math.nan
    assert after.loc[(lr, lam), "mean"] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("status", ["failed", "interrupted", "running"])
def test_what_did_not_finish_is_counted_and_in_no_mean(status):
    """Its last score is there in the table (an interrupted run has one), and is not used."""
    selection = chosen([*curve({0: [2, 3], 0.1: [1, 2]}), row(0.1, 2, 100.0, status=status)])
    assert (only(selection)["mean"], only(selection)["failed"], only(selection)["lambda_min"]) == (1.5, 1, 0.1)
    nan = chosen([*curve({0: [2, 3], 0.1: [1, 2]}), row(0.1, 2, math.nan), row(0.1, 3, math.inf)])
    assert (only(nan)["mean"], only(nan)["failed"]) == (1.5, 2)


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


def test_an_average_beside_is_no_facet():
    """It is evaluated beside the run, whose scores are the same with it."""
    selection = chosen(curve({0: [1, 2]}, ema=math.nan) + curve({0: [1, 2]}, ema=0.9))
    assert (selection.facets, only(selection)["n"]) == ((), 2)


def test_an_empty_cell_is_null_where_the_option_has_the_key_and_is_not_said_where_it_has_not():
    clip, dampening = "optimizer.clip_norm", "optimizer.dampening"
    rows = curve({0: [1]}, **{clip: math.nan, dampening: 0.0}) + curve({0: [1]}, **{clip: 1.0, dampening: 0.0})
    rows += curve({0: [1]}, **{clip: math.nan, dampening: 0.5})
    rows += curve({0: [1]}, optimizer="adam", **{clip: math.nan, dampening: math.nan})
    pairs = (("1", 0), ("null", 0), ("null", 0.5))
    names = [f"optimizer=sgd, optimizer.clip_norm={c}, optimizer.dampening={d}" for c, d in pairs]
    assert sorted(chosen(rows).names) == ["optimizer=adam", *names]


def test_where_the_data_lie_is_no_facet():
    rows = curve({0: [1, 2], 0.1: [1, 2]}, **{"data.root": "/a"})
    moved = curve({0: [1, 2], 0.1: [1, 2]}, **{"data.root": ""})
    for number, one in enumerate(moved):
        one["seed"] += 2
        one["id"] = f"moved{number}"
    selection = chosen([*rows, *moved])
    assert selection.facets == ()
    assert only(selection)["n"] == 4


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
