"""AlphaDecay: the exponent of a tail, the factors that exponents give, and when they are taken anew."""

import math

import numpy as np
import pytest
import torch

from tests import runs
from tests.runs import CNN, LEARNING, MLP
from tests.training.test_fused import IMAGES, assert_fused_is_serial, mixed
from wdrun import decay, optim
from wdrun.decay import Decay
from wdrun.decay.alpha_decay import exponent
from wdrun.decay.l2 import L2
from wdrun.errors import ConfigError
from wdrun.laws.cases import Case, noise, train, weights

SGD = optim.Sgd(0.0, False)
KEYS = {"least": 1, "ends": True, "low": 0.5, "high": 4.0, "every": 500}


def rule_of(params, coupling="decoupled", **changes):
    return Case("alpha_decay", coupling, "sgd").rule(params, **(KEYS | changes))


def matrix(eigenvalues, rows=None, seed=0):
    """A matrix (rows, N) of WᵀW with these eigenvalues."""
    source, n = torch.Generator().manual_seed(seed), len(eigenvalues)
    left, right = (
        torch.linalg.qr(torch.randn(m, m, generator=source, dtype=torch.float64)).Q[:, :n] for m in (rows or n, n)
    )
    return left @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64).sqrt()) @ right.T


def pareto(alpha, n=400):
    """Eigenvalues with a density that falls as x^−α from 1 on, at evenly spaced quantiles."""
    return [(1 - (j - 0.5) / n) ** (-1 / (alpha - 1)) for j in range(1, n + 1)]


@pytest.mark.parametrize("alpha", [1.5, 2.0, 3.0, 5.0])
def test_the_exponent_of_a_power_law_is_its_own(alpha):
    assert exponent(matrix(pareto(alpha), rows=500)).item() == pytest.approx(alpha, rel=0.05)


def test_of_four_eigenvalues_the_exponent_is_by_hand():
    assert exponent(matrix([0.1, 0.5, 2.0, 6.0])).item() == pytest.approx(1 + 2 / math.log(3), rel=1e-10)
    assert exponent(7 * matrix([0.1, 0.5, 2.0, 6.0])).item() == pytest.approx(1 + 2 / math.log(3), rel=1e-10)


def test_of_five_the_middle_one_is_in_the_tail():
    assert exponent(matrix([0.1, 0.5, 1.0, 2.0, 6.0])).item() == pytest.approx(1 + 3 / math.log(12), rel=1e-10)


def test_a_convolution_is_its_matrices_with_their_eigenvalues_pooled():
    w = torch.stack([matrix([0.1, 2.0], rows=3), matrix([0.5, 6.0], rows=3, seed=1)], dim=-1)  # (3, 2, 2)
    for shape in ((3, 2, 2), (3, 2, 1, 2), (3, 2, 2, 1)):
        assert exponent(w.reshape(shape)).item() == pytest.approx(1 + 2 / math.log(3), rel=1e-10)


def three():
    """Tensors of different tails, and one of another shape."""
    return {
        "a": matrix(pareto(2.0, 20)),
        "b": matrix(pareto(3.0, 20), rows=30),
        "c": weights()["conv.weight"],
        "d": matrix(pareto(5.0, 20)),
    }


def by_interp(params, names, low=0.5, high=4.0):
    """f of the tensors of these names by numpy, 1 for the others."""
    alphas = []
    for n in names:
        w = params[n].numpy()
        slices = [w] if w.ndim == 2 else [w[:, :, i, j] for i in range(w.shape[2]) for j in range(w.shape[3])]
        x = np.sort(np.concatenate([np.linalg.svd(s, compute_uv=False) ** 2 for s in slices]))
        tail = x[len(x) // 2 :]
        alphas.append(1 + len(tail) / np.log(tail / tail[0]).sum())
    found = np.interp(alphas, [min(alphas), max(alphas)], [low, high])
    return dict.fromkeys(params, 1.0) | dict(zip(names, found.tolist(), strict=True))


@pytest.mark.parametrize(
    ("changes", "names"),
    [({}, "abcd"), ({"ends": False}, "bc"), ({"least": 21}, "c"), ({"least": 28}, ""), ({"least": 20}, "abcd")],
)
def test_factors_are_a_linear_map_of_the_exponents(changes, names):
    params = three()
    expected = by_interp(params, names) if len(names) > 1 else dict.fromkeys(params, 1.0)
    found = {n: f.item() for n, f in rule_of(params, **changes).init(params).items()}
    assert found == pytest.approx(expected, rel=1e-10)


def test_factors_are_taken_anew_from_the_weights_after_every_so_many_steps():
    """w ← w − ηg − ηλf·w by hand, f of the start, and of the weights after steps 3 and 6."""
    params, lam, lr = three(), 0.2, 0.1
    push = lambda t, p: {n: noise(t, n, w) for n, w in p.items()}  # noqa: E731
    found = train(rule_of(params, every=3), SGD, params, push, lam, lr, [1.0] * 8)
    w, factors, seen = params, by_interp(params, "abcd"), []
    for t in range(1, 9):
        w = {n: x - lr * noise(t, n, x) - lr * lam * factors[n] * x for n, x in w.items()}
        if t % 3 == 0:
            factors = by_interp(w, "abcd")
            seen.append(factors)
        for n in w:
            torch.testing.assert_close(found[t][n], w[n], rtol=0, atol=1e-12)
    assert all(abs(seen[0][n] - seen[1][n]) > 1e-3 for n in seen[0] if 0.5 < seen[0][n] < 4)


@pytest.mark.parametrize("coupling", ["coupled", "decoupled", "independent", "cautious", "proximal"])
def test_of_equal_spectra_it_is_l2_bit_for_bit(coupling):
    x = [0.1, 0.5, 2.0, 6.0]
    params = {n: matrix(x, seed=seed) for seed, n in enumerate("abc")}
    l2 = Decay(L2(), coupling, dict.fromkeys(params, 1.0))
    push = lambda t, p: {n: noise(t, n, w) for n, w in p.items()}  # noqa: E731
    lam = torch.tensor(0.1, dtype=torch.float64)  # a number would be rounded once less
    ends = [train(rule, SGD, params, push, lam, 0.1, [1.0] * 4)[-1] for rule in (rule_of(params, coupling), l2)]
    assert all(torch.equal(ends[0][n], ends[1][n]) for n in params)


def test_spectra_without_a_tail_have_a_factor_all_the_same():
    turned = matrix([1.0] * 6)  # all equal
    flat = torch.cat([matrix([2.0, 3.0]), torch.zeros(2, 6, dtype=torch.float64)], dim=1).T  # (8, 2)
    poor = matrix([0.0, 0.0, 0.0, 0.0, 1.0, 2.0])  # a rank below half
    gone = torch.full((4, 4), float("nan"), dtype=torch.float64)
    params = {"turned": turned, "flat": flat, "poor": poor, "gone": gone, "zero": torch.zeros_like(gone)}
    found = rule_of(params).init(params)
    assert (found["turned"], found["poor"]) == (4.0, 0.5)
    assert all(0.5 <= f <= 4 for f in found.values())


def test_penalty_and_rate_count_the_factors():
    params, lam = three(), 0.3
    rule, factors = rule_of(params), by_interp(params, "abcd")
    squares = {n: w.square().sum().item() for n, w in params.items()}
    weighed = sum(factors[n] * squares[n] for n in params)
    later = {n: 2 * w for n, w in params.items()}
    assert rule.penalty(later, rule.init(params), lam, 1.0).item() == pytest.approx(0.5 * lam * 4 * weighed, rel=1e-10)
    assert decay.rate(rule, params) == pytest.approx(weighed / sum(squares.values()), rel=1e-10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"every": 0}, "decay.every=0: must be a whole number ≥ 1"),
        ({"low": -1}, "decay.low=-1: must be a number ≥ 0"),
        ({"high": "x"}, "decay.high=x: must be a number ≥ 0"),
        ({"least": 0.5}, "decay.least=0.5: must be a whole number ≥ 1"),
        ({"ends": 2}, "decay.ends=2: must be true or false"),
        ({"coupling": "projected"}, "alpha_decay is not made for projected"),
        ({"reduction": "mean"}, "decay.reduction=mean: must be sum for alpha_decay, which acts on whole tensors"),
        ({"scales": [["fc.weight[:, :3]", 2.0]]}, "alpha_decay (decoupled) acts on whole tensors, so not on a part of"),
    ],
)
def test_what_does_not_fit_is_a_sentence(changes, message):
    with pytest.raises(ConfigError) as error:
        rule_of(weights(), **changes)
    assert message in str(error.value)


def test_runs_trained_together_take_their_factors_as_each_alone():
    """Beside λ = 0 and another λ, lr and seed; six steps an epoch, so factors are taken within and between epochs."""
    words = (*IMAGES, "decay=alpha_decay", "decay.least=1", "decay.every=4", "lambda=0.5")
    found = assert_fused_is_serial(words, *mixed())
    factors = [{k: f.item() for k, f in epochs[-1].state.tensors.items() if k.startswith("decay/")} for epochs in found]
    assert len({tuple(f.values()) for f in factors}) == 3


def test_a_run_resumes_to_the_same_bits():
    words = (*CNN, "decay=alpha_decay", "decay.least=1", "decay.every=3", "optimizer=adam", "lambda=0.1")
    first, last = runs.trainer(*words).train()
    (again,) = runs.trainer(*words).train(first.state)
    assert last.state.tensors.keys() == again.state.tensors.keys()
    assert all(torch.equal(w, again.state.tensors[n]) for n, w in last.state.tensors.items())
    assert again.metrics == last.metrics


def test_its_total_decay_is_known_and_its_defaults_act():
    """Of the shipped networks two tensors or more take part, so that λ differs between them."""
    for words in (MLP[:1], CNN[:1]):
        trainer = runs.trainer(*words, "decay=alpha_decay", base=LEARNING)
        factors = {f.item() for f in trainer.decay_start.values()}
        assert {round(f, 4) for f in factors} >= {0.6667, 3.0}
        assert trainer.budget.total > 0
