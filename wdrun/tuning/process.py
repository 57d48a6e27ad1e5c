"""A Gaussian process through scores at settings: its mean and deviation elsewhere, and the improvement it promises.

Matérn-5/2 covariance plus noise (Rasmussen & Williams 2006, ch. 2, 4), lengths and noise chosen by their likelihood
among a few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from itertools import product
from typing import Any

import numpy as np
from scipy import special

from wdrun.tuning.space import Numbers

LENGTHS = (0.5, 1.0, 2.0)  # of the covariance, in units of a coordinate
NOISES = (0.02, 0.05, 0.15)  # standard deviation of the noise, in units of the process's own
SPREAD = 0.1  # nats, or share, of scores of which nothing is known
FITTED = 40  # settings, those with the lowest scores, that tell the lengths and the noise


class Process:
    """A Gaussian process through scores at coordinates (settings, axes); `at` is its mean and deviation elsewhere.

    `spread` is the standard deviation that scores are expected to have.
    """

    def __init__(self, x: Numbers, y: Numbers, spread: float = SPREAD) -> None:
        self.spread = spread
        self.x, self.mean = x, float(y.mean())
        rest, lowest = y - self.mean, np.sort(np.argsort(y, kind="stable")[:FITTED])
        self.lengths, self.noise = _likeliest(x[lowest], rest[lowest], spread)
        root = np.linalg.cholesky(matern(x, x, self.lengths) + self.noise**2 * np.eye(len(x)))
        self.whitens = np.linalg.inv(root)
        self.weights = self.whitens.T @ (self.whitens @ rest)
        self.squares = float(rest @ self.weights)
        self.variance = _own_variance(self.squares, len(x), spread)

    def believing(self, x: Numbers) -> Process:
        """The process once one more score is what it expects there: the same means, smaller deviations.

        `x` has shape (1, axes); lengths and noise are kept, and the inverse of the Cholesky root gets one more row.
        """
        # einsum and not @: the threads of a matrix product would wait for cores that train
        white = np.einsum("ij,j->i", self.whitens, matern(self.x, x, self.lengths)[:, 0])
        root = math.sqrt(1 + self.noise**2 - white @ white)
        found, n = copy(self), len(self.x)
        found.x, found.weights = np.append(self.x, x, axis=0), np.append(self.weights, 0.0)
        found.whitens = np.zeros((n + 1, n + 1))
        found.whitens[:n, :n] = self.whitens
        found.whitens[n] = np.append(-np.einsum("i,ij->j", white, self.whitens), 1.0) / root
        found.variance = _own_variance(self.squares, n + 1, self.spread)
        return found

    def expected(self, x: Numbers) -> Numbers:
        """The mean, shape (settings,)."""
        return np.asarray(self.mean + matern(x, self.x, self.lengths) @ self.weights)

    def at(self, x: Numbers) -> tuple[Numbers, Numbers]:
        """Mean and standard deviation, shape (settings,) each."""
        k = matern(x, self.x, self.lengths)
        known = (np.einsum("ij,kj->ik", k, self.whitens) ** 2).sum(axis=1)
        variance = self.variance * np.maximum(1 - known, 1e-12)
        return self.mean + k @ self.weights, np.sqrt(variance)


def _likeliest(x: Numbers, rest: Numbers, spread: float = SPREAD) -> tuple[tuple[float, ...], float]:
    """The lengths and the noise under which the scores are likeliest; lengths near 1 are expected."""
    lengths = list(product(LENGTHS, repeat=x.shape[1]))
    k = np.stack([matern(x, x, each) for each in lengths])
    noisy = k[:, None] + np.array(NOISES)[:, None, None] ** 2 * np.eye(len(x))
    root = np.linalg.cholesky(noisy)  # (lengths, noises, settings, settings)
    white = np.linalg.solve(root, np.broadcast_to(rest[:, None], (*root.shape[:-1], 1)))[..., 0]
    variance = _own_variance((white**2).sum(axis=-1), len(x), spread)
    likely = -0.5 * (len(x) + 2) * np.log(variance) - np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(axis=-1)
    likely -= np.array([sum((math.log(length) / 0.7) ** 2 for length in each) / 2 for each in lengths])[:, None]
    place, noise = np.unravel_index(int(np.argmax(likely)), likely.shape)
    return lengths[int(place)], NOISES[int(noise)]


def _own_variance(squares: Any, count: int, spread: float) -> Any:
    """The process's own variance, integrated out under a prior worth two observations of `spread`²."""
    return (squares + 2 * spread**2) / (count + 2)


def matern(a: Numbers, b: Numbers, lengths: Sequence[float]) -> Numbers:
    """(1 + r + r²/3)·e⁻ʳ, r = √5·‖(a − b)/lengths‖: the correlations of rows of a with rows of b."""
    scaled = (a[:, None] - b[None]) / np.array(lengths)
    r = np.sqrt(5 * np.einsum("ijk,ijk->ij", scaled, scaled))
    return np.asarray((1 + r + r**2 / 3) * np.exp(-r))


def improvement(mean: Numbers, deviation: Numbers, best: float) -> Numbers:
    """E[max(0, best − y)] for y ~ N(mean, deviation²)."""
    z = (best - mean) / deviation
    return np.asarray(deviation * (z * special.ndtr(z) + np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)))
