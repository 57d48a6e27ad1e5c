"""Optimizers of other packages, fed the same gradients in float64, end at wdrun's weights; other decays do not.

Without the extra `peers` only the rows of torch are compared.
"""

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from functools import cache, partial
from importlib import import_module
from unittest import mock

import pytest
import torch
from torch import Tensor

from tests.peers.rows import LAM, ROWS, SHAPES, Row
from wdrun import decay, optim, schedules
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import Run, parse
from wdrun.laws.cases import train
from wdrun.tensors import Tensors

EPOCHS, APART = 10, 1e-12
each_row = pytest.mark.parametrize("number", range(len(ROWS)), ids=map(str, ROWS))


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # in which torch's nadam keeps its product of momenta
    yield
    torch.set_default_dtype(before)


def weights(row: Row) -> Tensors:
    """Multiples of 1/16, the sum of whose squares float32 holds."""
    source = torch.Generator().manual_seed(5)
    drawn = {n: torch.randn(shape, generator=source).mul(16).round() / 16 for n, shape in SHAPES.items()}
    return {n: drawn[n] for n in row.tensors}


@cache
def gradient(t: int, name: str) -> Tensor:
    """Noise that keeps away from 0, where an ε would show; each tensor, later than the one before, is pushed outward.

    The norm of the last one so grows fastest after 750 steps: CPR must find four inflections.
    """
    place = list(SHAPES).index(name)
    g = torch.randn(SHAPES[name], generator=torch.Generator().manual_seed(1000 * t + place))
    return g + 0.5 * g.sign() - 3.0 * (t > 250 * place)


@cache
def run_of(words: str) -> Run:
    """The run that these words configure."""
    return parse(compose(words.split())).run


def configured(row: Row, of_decay: str) -> tuple[Run, list[float]]:
    """The row's run, with these words for its decay, and the values of its lr's schedule."""
    shared = f"epochs={EPOCHS} optimizer.lr=0.0625 decay.exclude_1d=false lambda={LAM}"
    words = dict(word.split("=", 1) for word in f"{shared} {row.schedule} {row.optimizer} {of_decay}".split())
    run = run_of(" ".join("=".join(word) for word in words.items()))
    s = schedules.build(run.schedule, epochs=EPOCHS, steps=row.steps)
    return run, [s(k / row.steps) for k in range(row.steps)]


def ours(row: Row, of_decay: str, factor: float = 1.0) -> Tensors:
    """wdrun's weights after the row's steps, λ times a factor."""
    run, scales = configured(row, of_decay)
    params = weights(row)
    rule = decay.build(run.decay, params, partial(schedules.of_lambda, epochs=EPOCHS, steps=row.steps), run.coupling)

    def given(t: int, w: Tensors) -> Tensors:
        return {n: gradient(t, n) for n in w}

    return train(rule, optim.build(run.optimizer), params, given, factor * run.lam, run.lr, scales)[-1]


@cache
def theirs(number: int) -> Tensors:
    """The other package's weights after the row's steps."""
    row = ROWS[number]
    run, scales = configured(row, row.decay)
    leaves = {n: w.requires_grad_() for n, w in weights(row).items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what others deprecate is not ours to mend
        pytest.importorskip(row.package)
        module, _, name = row.peer.rpartition(".")
        make = getattr(import_module(module), name)
        peer = make([{"params": list(leaves.values()), **row.group}], lr=run.lr, **row.keys)
        with in_float64(row):
            for t, s in enumerate(scales, start=1):
                for n, leaf in leaves.items():
                    leaf.grad = gradient(t, n).clone()  # which some change in place
                for group in peer.param_groups:
                    group["lr"] = run.lr * s
                peer.step()
                if t == 1 and row.package == "pytorch_cpr":
                    peer.load_state_dict(peer.state_dict())  # casts its float32 to the type of the weights
    return {n: w.detach() for n, w in leaves.items()}


def in_float64(row: Row):
    """A package as it is, but for a product in bfloat16 where that is an argument, and without compilation."""
    if row.peer == "timm.optim.Muon":
        place = import_module("timm.optim.muon")
        exact = partial(place.zeropower_via_newtonschulz, dtype=torch.float64)
        return mock.patch.object(place, "zeropower_via_newtonschulz", exact)
    if row.package == "heavyball":
        return mock.patch.object(import_module("heavyball.utils"), "compile_mode", None)
    return nullcontext()


def apart(some: Tensors, others: Tensors) -> float:
    """The largest difference of two weights."""
    return max((some[n] - others[n]).abs().max().item() for n in some)


@each_row
def test_agrees(number):
    row = ROWS[number]
    found = ours(row, row.decay)
    assert apart(found, theirs(number)) <= APART
    assert all(apart({n: w}, {n: found[n]}) > 0.05 for n, w in weights(row).items())


@each_row
@pytest.mark.parametrize("other", ["lambda", "decay"])
def test_the_comparison_can_fail(number, other):
    """It does with λ × 1.01, and with another decay or coupling."""
    row = ROWS[number]
    found = ours(row, row.wrong) if other == "decay" else ours(row, row.decay, 1.01)
    assert apart(found, theirs(number)) > 1e6 * APART


def test_every_optimizer_has_a_row():
    assert {row.optimizer.split()[0].partition("=")[2] for row in ROWS} == set(option_names("optimizer"))
