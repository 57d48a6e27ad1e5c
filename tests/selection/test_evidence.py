"""Which cells are compared, over which replicates: hand tables, brute force over all sets of cells, folds, facets"""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.selection.choices import QUIET, chosen, curve, fullest, only, row, said
from wdrun.selection.cells import grid
from wdrun.selection.evidence import largest

TEN = [1.0 + 0.1 * seed for seed in range(10)]


def compared(rows):
    """Candidates' λ, and the seeds that they are compared over."""
    matrix = grid(pd.DataFrame(rows), "val_loss", ("lr",), 0.95).matrix({})
    assert not matrix.isna().any(axis=None)
    return list(matrix.columns.get_level_values("lambda")), list(matrix.index.get_level_values("seed"))


def test_one_lucky_seed_does_not_win():
    """λ = 0.5 has the best mean of all and is worse than λ = 0 on the seed they share."""
    rows = curve({0: [2, 1, 2, 2], 0.1: [2, 1.1, 2.1, 2], 0.3: [2.5] * 4, 0.5: [None, 1.2]})
    choice = only(selection := chosen(rows))
    assert (choice["lambda_min"], choice["n"], choice["mean"]) == (0, 4, 1.75)
    cell = selection.cells[selection.cells["lambda"] == 0.5].iloc[0]
    assert (cell["n"], cell["mean"], cell["candidate"]) == (1, 1.2, False)
    assert any(
        "λ = 0.5 (n = 1) lacks some of them and cannot be chosen; run what they lack" in s for s in said(selection)
    )
    rows += [row(0.5, seed, 1.2) for seed in (0, 2, 3)]
    assert (only(chosen(rows))["lambda_min"], only(chosen(rows))["n"]) == (0.5, 4)


@pytest.mark.parametrize(
    ("losses", "lambdas", "seeds"),
    [
        ({0: TEN, 0.1: TEN, 0.3: [*TEN[:4], None, *TEN[5:]], 1: TEN}, 4, 9),  # a failed run: nine in common
        ({0: TEN[:3], 0.1: TEN, 0.3: TEN, 1: TEN}, 3, 10),  # three of ten are too few
        ({0: TEN[:3], 0.1: TEN[:4]}, 2, 3),
        ({0: TEN[:5] + TEN, 0.01: TEN[:5], 0.1: TEN[:5] + TEN, 0.3: TEN[:5], 1: TEN[:5]}, 5, 5),  # seeds added to two
        ({0: [1.0, 1.1], 0.1: [None, None, 1.0, 1.1]}, 1, 2),  # no seed in common
        ({0: [1.0, 1.1, 1.2], 0.1: [1.0]}, 2, 1),  # a sweep that was interrupted early
        ({0: [1.0, 1.1, 1.2], 0.1: [1.0, 1.1, 1.2], 0.3: [1.0]}, 2, 3),
        ({0: [1.0], 0.1: [1.0], 0.3: [1.0]}, 3, 1),
    ],
)  # fmt: skip
def test_the_largest_full_table_counts(losses, lambdas, seeds):
    found = compared(curve(losses))
    assert (len(found[0]), len(found[1])) == (lambdas, seeds)


def test_seeds_added_to_two_lambdas_change_no_choice_among_the_others():
    """The five seeds of all λ choose; that the ten more of λ = 0 and 0.1 are bad or good plays no part in it."""
    losses = {0: [2.0] * 5, 0.01: [1.5] * 5, 0.1: [1.4] * 5, 0.3: [1.6] * 5, 1: [3.0] * 5}
    for more in (0.1, 9.0):
        rows = curve(losses | {0: losses[0] + [2.0] * 10, 0.1: losses[0.1] + [more] * 10})
        choice = only(selection := chosen(rows))
        assert (choice["lambda_min"], choice["n"], choice["mean"]) == (0.1, 5, 1.4)
        assert list(selection.points["spare"]) == [10, 0, 10, 0, 0]


def test_folds_are_replicates_too():
    rows = [row(lam, s, 1 + lam, fold=f) for lam in (0, 0.1) for s in (0, 1) for f in (0, 1, 2)]
    rows += [row(1, 0, 0.1, fold=f) for f in (0, 1)]
    lambdas, seeds = compared(rows)
    assert (lambdas, seeds) == ([0, 0.1], [0, 0, 0, 1, 1, 1])


def test_each_facet_has_its_own():
    rows = curve({0: [1, 2, 3], 0.1: [1, 2, 3]}) + curve({0.1: [None, None, None, 5, 6]}, decay="l1")
    found = grid(pd.DataFrame(rows), "val_loss", ("lr",), 0.95)
    assert found.matrix({"decay": "l2"}).shape == (3, 2)
    assert found.matrix({"decay": "l1"}).shape[0] in (2, 3)


def test_no_finished_run_is_an_empty_table():
    found = grid(pd.DataFrame(curve({0: [1, 2]}, status="failed")), "val_loss", ("lr",), 0.95)
    assert found.matrix({}).empty
    assert not found.cells["candidate"].any()


@QUIET
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=6))
def test_equals_all_sets_of_cells_tried(held):
    held = np.array(held)
    rows, columns = largest(held)
    cells, shared = fullest({i: {int(j) for j in np.flatnonzero(row)} for i, row in enumerate(held)})
    assert list(np.flatnonzero(columns)) == list(shared)
    if shared:
        assert list(np.flatnonzero(rows)) == sorted(cells)


def test_many_scattered_failures_take_no_time():
    held = np.random.default_rng(0).random((300, 50)) > 0.05
    rows, columns = largest(held)
    assert held[np.ix_(rows, columns)].all()
    assert rows.sum() * columns.sum() > max(held.sum(axis=0).max(), 10 * held.sum(axis=1).max())


def test_a_facet_with_one_lucky_seed_is_not_ranked():
    """l1 has the best mean of all at its one seed, where l2 is better."""
    rows = [*curve({0: [2, 1, 2, 2], 0.1: [2, 0.9, 2, 2]}), row(0.5, 1, 1.2, decay="l1")]
    rows += curve({0: [3, 3.1, 3, 3], 0.1: [2.9, 2.8, 3, 3]}, decay="swd")
    selection = chosen(rows)
    board = selection.leaderboard.set_index("decay")
    assert board["verdict"]["l2"] == "best"
    assert (board["verdict"]["l1"], math.isnan(board["rank"]["l1"])) in {("not compared", True), ("cannot tell", False)}
    assert board.loc["l2", ["n", "mean"]].tolist() == [4, pytest.approx(1.725)]


def test_facets_are_ranked_over_the_replicates_that_they_share():
    """a has the better mean of its own five, b that of the three that both have."""
    rows = curve({0.1: [2, 2, 2, 0.1, 0.1]}, decay="a") + curve({0.1: [1, 1, 1]}, decay="b")
    board = chosen(rows).leaderboard
    assert board[["decay", "n", "mean"]].to_numpy().tolist() == [["b", 3, 1.0], ["a", 3, 2.0]]
