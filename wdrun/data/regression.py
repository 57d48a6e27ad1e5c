"""Article 000's data: points around a line, y = slope·x + intercept + noise·ε, x uniform in [0, 1], ε normal."""

import hashlib
from functools import lru_cache

import torch

from wdrun.accepts import check, list_of, number
from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, integer, real
from wdrun.streams import generator

OPTIONS = ("train_examples", "test_x", "slope", "intercept", "noise", "seed")
LARGEST = 1e6  # of x, slope and intercept, in size


def pool(spec: Spec) -> Pool:
    """The generated points, float64: a function of the options alone, cached per process.

    Test points are at `test_x`, on the line itself: their mean squared error is what the fit is off by.
    """
    return _pool(
        integer(spec, "train_examples", 125, 2, 1_000_000),
        _places(spec),
        real(spec, "slope", 2.0, -LARGEST, LARGEST),
        real(spec, "intercept", 1.0, -LARGEST, LARGEST),
        real(spec, "noise", 0.1, 0, LARGEST),
        integer(spec, "seed", 0, 0),
    )


@lru_cache(maxsize=4)
def _pool(train: int, test_x: tuple[float, ...], slope: float, intercept: float, noise: float, seed: int) -> Pool:
    x = torch.rand(train, 1, generator=generator(seed, "regression/x"), dtype=torch.float64)
    errors = torch.randn(train, 1, generator=generator(seed, "regression/noise"), dtype=torch.float64)
    z = torch.tensor(test_x, dtype=torch.float64).view(-1, 1)
    tables = (x, slope * x + intercept + noise * errors, z, slope * z + intercept)
    digest = hashlib.sha256()
    for table in tables:
        digest.update(table.numpy().data)
    return Pool(*tables, classes=1, mean=(), std=(), digest=digest.hexdigest())


def _places(spec: Spec) -> tuple[float, ...]:
    value = spec.get("test_x", [0.1, 0.2, 0.3, 0.4, 0.5])
    words = f"a list of numbers from {-LARGEST:g} to {LARGEST:g}, such as [0.1,0.5]"
    places = list_of(number(-LARGEST, LARGEST), words, least=1)
    return tuple(map(float, check("data.test_x", value, places)))
