"""Intervals and tests on few replicates against closed forms and scipy"""

import math

import numpy as np
import pytest
from scipy import stats

from wdrun.selection.intervals import equivalence_p, holm, paired_interval, paired_p, spread, t_interval


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
