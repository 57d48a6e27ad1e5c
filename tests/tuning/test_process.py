"""The Gaussian process against its textbook formula, what it believes against a fit, its promise against a sum."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from wdrun.tuning import process
from wdrun.tuning.process import Process, improvement, matern


def test_the_process_is_the_textbook_formula():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(9, 2)), rng.normal(size=9), rng.normal(size=(5, 2))
    found = Process(x, y)

    def k(a, b):
        r = math.sqrt(5) * math.dist(a / np.array(found.lengths), b / np.array(found.lengths))
        return (1 + r + r**2 / 3) * math.exp(-r)

    gram = np.array([[k(a, b) for b in x] for a in x]) + found.noise**2 * np.eye(9)
    cross = np.array([[k(a, b) for b in x] for a in z])
    mean = y.mean() + cross @ np.linalg.solve(gram, y - y.mean())
    own = ((y - y.mean()) @ np.linalg.solve(gram, y - y.mean()) + 0.02) / 11
    deviation = np.sqrt(own * (1 - np.einsum("ij,jk,ik->i", cross, np.linalg.inv(gram), cross)))
    assert found.at(z)[0] == pytest.approx(mean, rel=1e-9)
    assert found.at(z)[1] == pytest.approx(deviation, rel=1e-7)


@pytest.mark.parametrize("more", [1, 2, 5])
def test_to_believe_what_is_expected_is_to_fit_it_with_the_same_lengths_and_noise(more):
    """The textbook formula of all scores, the believed ones among them, about the mean of the known ones."""
    rng = np.random.default_rng(0)
    x, y, new, z = (rng.normal(size=shape) for shape in ((12, 2), 12, (more, 2), (7, 2)))
    before = after = Process(x, y)
    for row in new:
        after = after.believing(row[None])
    all_x, all_y = np.concatenate([x, new]), np.concatenate([y, before.expected(new)]) - y.mean()
    gram = matern(all_x, all_x, before.lengths) + before.noise**2 * np.eye(12 + more)
    cross = matern(z, all_x, before.lengths)
    mean, deviation = after.at(z)
    assert mean == pytest.approx(y.mean() + cross @ np.linalg.solve(gram, all_y), rel=1e-9)
    assert mean == pytest.approx(before.at(z)[0], rel=1e-12)
    own = (all_y @ np.linalg.solve(gram, all_y) + 0.02) / (12 + more + 2)
    left = 1 - np.einsum("ij,jk,ik->i", cross, np.linalg.inv(gram), cross)
    assert deviation == pytest.approx(np.sqrt(own * left), rel=1e-7)
    assert (deviation < before.at(z)[1]).all()


def test_the_lengths_and_the_noise_are_the_likeliest():
    rng = np.random.default_rng(1)
    x, rest = rng.normal(size=(12, 2)), rng.normal(size=12)

    def likely(lengths, noise):  # of Student's t, which the integrated variance makes of the normal
        gram = matern(x, x, lengths) + noise**2 * np.eye(12)
        density = stats.multivariate_t(np.zeros(12), 0.01 * gram, df=2).logpdf(rest)
        return density - 0.5 * sum((math.log(length) / 0.7) ** 2 for length in lengths)

    found = {
        (lengths, noise): likely(lengths, noise)
        for lengths in itertools.product(process.LENGTHS, repeat=2)
        for noise in process.NOISES
    }
    assert process._likeliest(x, rest) == max(found, key=found.get)


def test_the_improvement_is_an_integral():
    for mean, deviation, best in ((0.0, 1.0, 0.3), (2.0, 0.5, 0.0), (-1.0, 0.1, 0.0)):
        density = stats.norm(mean, deviation).pdf
        by_hand = integrate.quad(lambda y, b=best, p=density: (b - y) * p(y), mean - 12 * deviation, best)[0]
        assert improvement(np.array([mean]), np.array([deviation]), best)[0] == pytest.approx(by_hand, abs=1e-9)
