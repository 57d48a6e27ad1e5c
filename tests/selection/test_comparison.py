"""The leaderboard against scipy and by hand"""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.selection.choices import chosen, curve
from wdrun.selection.comparison import expected_best
from wdrun.selection.intervals import pooled_noise


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
    best = order[0]
    table = np.stack([losses[name] for name in order], axis=1)
    noise = pooled_noise(table)
    for other in order[1:]:
        d = losses[other] - losses[best]
        q = stats.studentized_range.ppf(0.96, 3, 14) / math.sqrt(2) * max(noise.spread, d.std(ddof=1))
        half = min(q, stats.t.ppf(1 - 0.005 / 3, 7) * d.std(ddof=1))
        half = max(half, stats.t.ppf(1 - 0.025 / 2, 7) * d.std(ddof=1)) / math.sqrt(8)
        assert board.loc[other, ["difference", "low", "high"]].tolist() == pytest.approx(
            [d.mean(), d.mean() - half, d.mean() + half]
        )
        assert (board.loc[other, "p"] < 0.05) == (abs(d.mean()) > half)
        assert board.loc[other, "method"] == "best of 3 settings"
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


def test_more_cells_to_pick_from_count_as_more_settings():
    """One of 6 cells against one of 1: as the best of 7 settings; of 3 against 3 they are two."""
    rng = np.random.default_rng(0)
    cells = {lam: rng.normal(2, 0.1, 6) for lam in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    poor = curve({0.1: rng.normal(2.3, 0.1, 6)}, decay="b")
    board = chosen(curve(cells, decay="a") + poor).leaderboard
    assert board["cells"].tolist() == [6, 1]
    best = min(cells.values(), key=np.mean)
    d = np.array([r["val_loss"] for r in poor]) - best
    s = d.std(ddof=1) / math.sqrt(6)
    low = d.mean() - stats.studentized_range.ppf(0.96, 7, 5) / math.sqrt(2) * s
    assert board.loc[1, "low"] == pytest.approx(low)
    even = chosen(curve({0.1: best}, decay="a") + poor).leaderboard
    assert even.loc[1, "low"] == pytest.approx(d.mean() - stats.t.ppf(0.975, 5) * s)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_expected_best_is_the_mean_over_all_draws(k):
    from types import SimpleNamespace

    means = [3.0, 1.0, 2.5, 4.0, math.nan]
    cells = pd.DataFrame({"mean": means, "candidate": [True, True, False, True, False]})
    ok = [m if c else math.inf for m, c in zip(means, cells["candidate"], strict=True)]
    draws = [min(d) for d in combinations(ok, k)]
    finite = [d for d in draws if math.isfinite(d)]
    assert expected_best(SimpleNamespace(sign=1), cells, k) == pytest.approx(sum(finite) / len(finite))
