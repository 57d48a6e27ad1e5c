"""The leaderboard against scipy and by hand"""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.selection.choices import chosen, curve
from wdrun.selection.comparison import expected_best


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


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_expected_best_is_the_mean_over_all_draws(k):
    from types import SimpleNamespace

    means = [3.0, 1.0, 2.5, 4.0, math.nan]
    cells = pd.DataFrame({"mean": means, "candidate": [True, True, False, True, False]})
    ok = [m if c else math.inf for m, c in zip(means, cells["candidate"], strict=True)]
    draws = [min(d) for d in combinations(ok, k)]
    finite = [d for d in draws if math.isfinite(d)]
    assert expected_best(SimpleNamespace(sign=1), cells, k) == pytest.approx(sum(finite) / len(finite))
