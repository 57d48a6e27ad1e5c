"""Intervals on few replicates against closed forms, scipy and brute force, and how often they mislead"""

import math

import numpy as np
import pytest
from scipy import stats

from wdrun.selection.intervals import (
    dunnett,
    narrower,
    pairs_needed,
    picked_interval,
    pool,
    pooled_noise,
    ranked_interval,
    ranked_p,
    spread,
    t_interval,
)


@pytest.mark.parametrize(("mean", "s"), [(1.0, 0.01), (0.5, 1.0), (-0.1, 1.0)])
def test_the_pairs_needed_are_the_fewest_whose_interval_excludes_zero(mean, s):
    n = pairs_needed(mean, s, 0.95)
    tells = [abs(mean) > stats.t.ppf(0.975, m - 1) * s / math.sqrt(m) for m in range(2, n + 2)]
    assert tells == [False] * (n - 2) + [True, True]
    assert pairs_needed(0.0, s, 0.95) == pairs_needed(1e-9, 1.0, 0.95) == math.inf
    assert math.isnan(pairs_needed(mean, math.nan, 0.95))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_the_t_interval_is_scipys(n):
    d = np.random.default_rng(n).normal(size=n)
    expected = stats.t.interval(0.9, n - 1, d.mean(), stats.sem(d))
    assert t_interval(d, 0.9)[:2] == pytest.approx(expected)
    assert t_interval(d, 0.9).method == "t"


def test_of_one_difference_there_was_nothing_to_pick():
    d = np.random.default_rng(0).normal(size=(6, 1))
    assert pool(d) is None
    assert picked_interval(d[:, 0], 1, None, 0.95) == t_interval(d[:, 0], 0.95)
    assert math.isnan(picked_interval(d[:1, 0], 5, None, 0.95).low)


@pytest.mark.parametrize(
    ("k", "m", "n", "confidence"),
    [(2, 2, 2, 0.95), (5, 5, 3, 0.95), (5, 5, 5, 0.9875), (12, 12, 4, 0.99), (6, 3, 3, 0.96)],
)
def test_the_critical_value_is_that_of_drawn_replicates(k, m, n, confidence):
    y = np.random.default_rng(1).normal(size=(100_000, k + 1, n))
    d = y[:, 1:] - y[:, :1]
    drawn = np.abs(d.mean(2)).max(1) / np.sqrt(d[:, :m].var(2, ddof=1).mean(1) / n)
    assert np.mean(drawn <= dunnett(k, m, n, confidence)) == pytest.approx(confidence, abs=0.0025)


@pytest.mark.parametrize(("k", "table"), [(2, 2.21), (5, 2.51), (9, 2.69)])
def test_of_many_replicates_it_is_dunnetts_table(k, table):
    """Two-sided 5 % points for known noise (Dunnett 1964)."""
    assert dunnett(k, k, 4000, 0.95) == pytest.approx(table, abs=0.01)


def test_a_picked_interval_by_hand():
    """Columns of s = 1, 2 and 3: s̄ = √(14/3). Picked at s = 1 the pooled noise counts, at s = 3 its own."""
    d = np.array([[-3.0, 0, 3], [-2, 2, 0], [-1, 4, 6]])
    c, pooled = dunnett(3, 3, 3, 0.96), math.sqrt(14 / 3)
    half = c * pooled / math.sqrt(3)
    assert picked_interval(d[:, 0], 3, pool(d), 0.95) == (
        pytest.approx(-2 - half),
        pytest.approx(-2 + half),
        "best of 3 cells",
    )
    wide = stats.t.ppf(0.975, 2) * 3 / math.sqrt(3)
    assert c < stats.t.ppf(0.975, 2)  # so Student's t of the pair alone is the wider one here
    assert picked_interval(d[:, 2], 3, pool(d), 0.95) == (3 - wide, 3 + wide, "best of 3 cells")


def test_a_picked_difference_that_is_far_less_noisy_keeps_its_own_noise():
    """Bonferroni's t at a fifth of the error, where the noise of the others would make it wider."""
    d = np.random.default_rng(0).normal(size=(8, 3)) * [0.01, 1, 1]
    half = stats.t.ppf(1 - 0.005 / 3, 7) * d[:, 0].std(ddof=1) / math.sqrt(8)
    assert picked_interval(d[:, 0], 3, pool(d), 0.95)[:2] == pytest.approx(
        (d[:, 0].mean() - half, d[:, 0].mean() + half)
    )


def test_without_shared_replicates_it_is_bonferronis():
    d = np.array([1.0, 2, 4, 3])
    assert picked_interval(d, 6, None, 0.95)[:2] == pytest.approx(t_interval(d, 1 - 0.05 / 6)[:2])


def test_more_tries_widen_it_and_fresh_replicates_are_judged_by_their_number():
    assert dunnett(2, 2, 5, 0.95) < dunnett(10, 10, 5, 0.95) < dunnett(100, 100, 5, 0.95)
    shared = pool(np.random.default_rng(0).normal(size=(3, 5)))
    assert [narrower(m, 3, 5, shared, 0.95) for m in range(6)] == [False, False, False, False, True, True]
    assert narrower(3, 3, 50, None, 0.95)
    assert narrower(6, 5, 1, None, 0.95)
    assert not narrower(5, 5, 1, None, 0.95)
    assert narrower(2, 1, 5, None, 0.95)


def test_equal_differences_have_an_interval_of_no_width():
    assert t_interval(np.full(6, 0.1 + 0.2), 0.95)[:2] == pytest.approx((0.3, 0.3))
    assert picked_interval(np.full(3, 0.5), 2, pool(np.full((3, 2), 0.5)), 0.95)[:2] == (0.5, 0.5)
    assert spread(np.array([0.1 + 0.2, 0.3, 0.3])) == 0
    assert math.isnan(t_interval(np.array([1.0]), 0.95).low)


def test_two_settings_are_a_paired_t_test():
    rng = np.random.default_rng(1)
    for n in (2, 5, 12):
        scores = rng.normal(size=(n, 2))
        d = scores[:, 1] - scores[:, 0]
        asked = (d, pooled_noise(scores), 2, 1)
        assert ranked_interval(*asked, 0.95) == t_interval(d, 0.95)
        assert ranked_p(*asked) == pytest.approx(stats.ttest_rel(scores[:, 1], scores[:, 0]).pvalue)


def test_several_settings_are_tukeys_range_over_blocks():
    """s̄² = 2·MSE of the two-way table without interaction, here by least squares; q by scipy."""
    rng = np.random.default_rng(2)
    n, m = 6, 4
    scores = rng.normal(size=(n, m)) + 3 * rng.normal(size=(n, 1))
    design = np.hstack([np.kron(np.eye(n), np.ones((m, 1))), np.tile(np.eye(m), (n, 1))])
    rest = scores.ravel() - design @ np.linalg.lstsq(design, scores.ravel(), rcond=None)[0]
    freedom = (n - 1) * (m - 1)
    noise = pooled_noise(scores)
    assert noise == pytest.approx((math.sqrt(2 * rest @ rest / freedom), freedom))
    d = scores[:, 1] - scores[:, 0]
    q = stats.studentized_range.ppf(0.96, m, freedom) / math.sqrt(2)
    own = d.std(ddof=1)
    half = min(q * max(noise.spread, own), stats.t.ppf(1 - 0.005 / 6, n - 1) * own)
    half = max(half, stats.t.ppf(1 - 0.025 / 3, n - 1) * own) / math.sqrt(n)
    interval = ranked_interval(d, noise, m, m - 1, 0.95)
    assert interval[:2] == pytest.approx((d.mean() - half, d.mean() + half))
    for shift in np.linspace(0, 3, 8):  # interval and p never differ on 0
        interval = ranked_interval(d + shift, noise, m, m - 1, 0.95)
        assert (ranked_p(d + shift, noise, m, m - 1) < 0.05) == (interval.low > 0 or interval.high < 0)


def test_settings_without_a_shared_replicate_or_without_noise():
    assert pooled_noise(np.empty((1, 3))) is None
    assert math.isnan(ranked_interval(np.array([1.0]), None, 3, 2, 0.95).low)
    assert math.isnan(ranked_p(np.array([1.0]), None, 3, 2))
    d = np.array([1.0, 2, 3])  # its own noise, with the few degrees of freedom that has
    alone = ranked_interval(d, None, 5, 2, 0.95)
    q = stats.studentized_range.ppf(0.96, 5, 2) / math.sqrt(2)
    assert alone.high - alone.low == pytest.approx(2 * q / math.sqrt(3))
    flat = pooled_noise(np.ones((3, 3)))
    assert ranked_interval(np.zeros(3), flat, 3, 2, 0.95) == (0, 0, "best of 3 settings")
    assert ranked_p(np.zeros(3), flat, 3, 2) == 1
    assert ranked_p(np.ones(3), flat, 3, 2) == 0


NOISES = {"equal": np.ones(6), "falling": np.linspace(1, 0.4, 6), "one noisy λ": np.r_[np.ones(5), 3.0]}


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("n", [3, 5])
def test_decay_that_does_nothing_is_not_found_to_help(n, noise):
    """λ = 0 and five λ that change nothing: in favour of decay in ≤ 2.5 % of sweeps; plain t in more."""
    rng = np.random.default_rng(n)
    wrong = {"picked": 0, "plain": 0}
    for _ in range(1500):
        y = NOISES[noise][:, None] * rng.normal(size=(6, n)) + rng.normal(size=n)
        d = (y[1:] - y[0]).T
        at = int(d.mean(axis=0).argmin())
        wrong["picked"] += picked_interval(d[:, at], 5, pool(d), 0.95).high < 0
        wrong["plain"] += t_interval(d[:, at], 0.95).high < 0
    assert wrong["picked"] / 1500 < 0.025 + 2 * math.sqrt(0.025 * 0.975 / 1500)
    assert wrong["plain"] / 1500 > 0.045


@pytest.mark.parametrize("tries", [(1,) * 8, (20, 1), (1, 5, 5)])
def test_equal_settings_are_not_called_worse(tries):
    """Settings that do not differ, each at the best of its cells: any called worse in at most 5 % of sweeps."""
    rng, n, wrong = np.random.default_rng(7), 5, 0
    for _ in range(600):
        cells = [rng.normal(size=(m, n)) for m in tries]
        scores = np.stack([c[c.mean(axis=1).argmin()] for c in cells], axis=1) + rng.normal(size=(n, 1))
        best = scores.mean(axis=0).argmin()
        noise, settings = pooled_noise(scores), sum(tries) / min(tries)
        lows = [
            ranked_interval(scores[:, i] - scores[:, best], noise, settings, len(tries) - 1, 0.95).low
            for i in range(len(tries))
            if i != best
        ]
        wrong += max(lows) > 0
    assert wrong / 600 < 0.05 + 2 * math.sqrt(0.05 * 0.95 / 600)
