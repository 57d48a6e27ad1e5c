"""lp, pwd, dwf and nuclear against closed forms and bisection, at zeros, and at their ends."""

import math

import pytest
import torch

from tests import runs
from tests.decay.test_rules import SGD, close, knobs, rule_of, walk
from wdrun import decay
from wdrun.decay import Context, Knobs, rate
from wdrun.decay.dwf import Dwf
from wdrun.decay.l1 import L1
from wdrun.decay.lp import Lp
from wdrun.decay.pwd import Pwd
from wdrun.decay.schatten import Schatten
from wdrun.errors import ConfigError
from wdrun.laws import powers, weights

EXPONENTS = (0.01, 0.1, 0.5, 2 / 3, 0.8, 0.95, 0.999, 1.0, 1.001, 1.1, 1.5, 1.9, 2.0)


def by_bisection(size, t, p):
    """prox of Ω = z^p/p at size > 0: the root of z − size + t·z^(p−1) where it beats 0 (for p < 1 the larger one)."""
    low = (t * (1 - p)) ** (1 / (2 - p)) if p < 1 else 0.0  # where the left side is least
    if p < 1 and low - size + t * low ** (p - 1) >= 0:
        return 0.0
    high = size
    for _ in range(200):
        middle = (low + high) / 2
        below = middle == 0 or middle - size + t * middle ** (p - 1) < 0
        low, high = (middle, high) if below else (low, middle)
    return high if p > 1 or 0.5 * (high - size) ** 2 + t * high**p / p < 0.5 * size**2 else 0.0


@pytest.mark.parametrize("p", EXPONENTS)
def test_the_prox_of_lp_is_the_better_of_its_root_and_zero(p):
    sizes = torch.cat(
        [torch.logspace(-4, 3, 41, dtype=torch.float64), torch.linspace(0.1, 2.9, 30, dtype=torch.float64)]
    )
    for t in (1e-3, 0.3, 2.0):
        expected = torch.tensor([by_bisection(size, t, p) for size in sizes.tolist()], dtype=torch.float64)
        found = Lp(p).prox(-sizes, t)
        torch.testing.assert_close(found, -expected, rtol=1e-12, atol=1e-15)
        if p <= 1:
            assert torch.equal(found == 0, expected == 0)
            assert 0 < (found == 0).sum() < len(sizes) or t < 0.3


def test_the_prox_at_three_halves_is_its_closed_form():
    w, t = torch.tensor([0.9, -0.35, 1e-3, 40.0], dtype=torch.float64), 0.3
    expected = w + w.sign() * t**2 / 2 * (1 - (1 + 4 * w.abs() / t**2).sqrt())
    close(Lp(1.5).prox(w, t), expected, atol=1e-14)


@pytest.mark.parametrize("p", EXPONENTS)
def test_weights_of_zero_and_a_pull_of_nothing_are_left_alone(p):
    w = torch.tensor([0.0, -1e-30, 2.0])
    for t in (0.0, 0.3, torch.zeros(()), torch.full((), 1e30)):
        assert Lp(p).prox(w, t).isfinite().all()
        assert Lp(p).prox(w, t)[0] == 0
    close(Lp(p).prox(w, 0.0), w, atol=0)
    assert torch.func.grad(Lp(p).value)(w).isfinite().all()


@pytest.mark.parametrize("p", [1.0, 1.2, 1.5, 2.0])
def test_from_p_1_on_the_gradient_is_that_of_the_value_and_the_projection_is_feasible_and_optimal(p):
    w = weights()["fc.weight"]
    close(Lp(p).grad(w), torch.func.grad(Lp(p).value)(w))
    for omega in (Lp(p), Schatten(p)):
        radius = 0.3 * omega.value(w)
        near = omega.project(w, radius)
        assert omega.value(near) == pytest.approx(radius.item(), rel=1e-9)
        close(omega.project(near, 1.01 * radius), near, atol=0)  # feasible: bit for bit
        # w − near is a multiple of the gradient there: the nearest point of a convex set.
        normal, away = omega.grad(near)[near.abs() > 1e-9], (w - near)[near.abs() > 1e-9]
        assert torch.nn.functional.cosine_similarity(normal, away, dim=0) == pytest.approx(1, abs=1e-9) or p == 1


@pytest.mark.parametrize("p", [1.0, 1.5])
def test_the_gradient_of_schatten_is_that_of_its_value(p):
    for w in weights().values():
        close(Schatten(p).grad(w), torch.func.grad(Schatten(p).value)(w))
    zero = torch.zeros(3, 2, dtype=torch.float64)
    assert not Schatten(p).grad(zero).any()
    assert not Schatten(p).prox(zero, 0.1).any()


def test_a_matrix_that_is_not_finite_stays_as_it_is_beside_one_that_is():
    w = torch.stack([weights()["fc.weight"], torch.full((5, 12), math.nan, dtype=torch.float64)])
    for found in (torch.func.vmap(lambda m: Schatten(1.0).prox(m, 0.3))(w), torch.func.vmap(Schatten(1.0).grad)(w)):
        assert found[0].isfinite().all()
    assert torch.func.vmap(lambda m: Schatten(1.0).prox(m, 0.3))(w)[1].isnan().all()
    assert torch.func.vmap(lambda m: Schatten(1.0).project(m, 0.3))(w)[1].isnan().all()


def test_dwf_is_the_sum_of_powers_and_its_lambda_that_of_lp():
    w = weights()["fc.weight"]
    for depth in (2, 3, 4, 7):
        assert Dwf(depth).value(w) == pytest.approx(w.abs().pow(2 / depth).sum().item(), rel=1e-14)
        close(Dwf(depth).prox(w, 0.3), Lp(2 / depth).prox(w, 0.6 / depth), atol=1e-15)
    close(Dwf(2).prox(w, 0.3), L1().prox(w, 0.3), atol=0)


@pytest.mark.parametrize("p", [0.5, 0.8, 1.0, 1.5, 2.0])
def test_pwd_ends_where_the_penalty_and_the_loss_balance(p):
    target = torch.tensor([2.0, -1.0, 3.0], dtype=torch.float64)
    rule = rule_of("pwd", {"w.weight": target.reshape(1, 3)}, p=p, scope="all", scales=[["*", 1.0]])
    found = walk(
        rule, SGD, {"w.weight": target.reshape(1, 3)}, knobs(0.2, 0.5, 400), lambda t, n, w: w - target.reshape(1, 3)
    )[-1].params["w.weight"][0]
    assert (found.abs() > 0.5).all()
    close(found - target + 0.2 * found.sign() * found.abs().pow(p - 1), torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0])
def test_pwd_without_a_pull_is_the_step_alone_also_at_zero(p):
    """η = 0 (a schedule that is off), a part out of scope and a weight of 0: 0/0 nowhere."""
    w, new = torch.tensor([[0.0, 0.0, -1.0, 2.0]]), torch.tensor([[0.1, 0.2, -1.1, 1.9]])
    rule = rule_of("pwd", {"w": w}, p=p, scales=[["w[:, 1:2]", 0.0], ["w[:, 2:]", 1.0], ["w[:, :1]", 1.0]])
    at = Context({"w": w}, Knobs(0.3, 0.0, 0.0, (1.0,), 1), updates={"w": w})
    assert torch.equal(rule.after({"w": new}, at)[0]["w"], new)
    moved = rule.after({"w": new}, Context({"w": w}, Knobs(0.3, 0.5, 1.0, (1.0,), 1), updates={"w": w}))[0]["w"]
    close(moved[0, 1:3], torch.tensor([0.2, -1.1 / 1.15]), atol=1e-6)
    assert moved[0, 0] == (0 if p < 2 else pytest.approx(0.1 / 1.15))


def test_the_penalty_and_the_rate_of_pwd_are_those_of_lp():
    params = weights()
    pwd, lp = rule_of("pwd", params, p=0.8), rule_of("lp", params, p=0.8)
    assert pwd.penalty(params, {}, 0.3, 0.5) == lp.penalty(params, {}, 0.3, 0.5) > 0
    of = [params["conv.weight"], params["fc.weight"]]
    pull = sum(w.abs().pow(0.8).sum() for w in of) / sum(w.square().sum() for w in of)
    assert rate(pwd, params) == pytest.approx(pull.item(), rel=1e-12) == rate(lp, params)
    params["fc.weight"][0] = 0.0
    assert rate(lp, params) == rate(pwd, params) is not None


def test_a_pull_of_many_times_a_weight_does_not_make_pwd_overshoot():
    def verdict(name):
        return runs.trainer(*runs.MLP, f"decay={name}", "lambda=200", "lr=0.1").budget.verdict

    assert (verdict("pwd"), verdict("decoupled")) == ("dominates", "diverges")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("lp", {"p": 0}, "decay.p=0: must be a number in (0, 2]"),
        ("lp", {"p": 2.5}, "decay.p=2.5: must be a number in (0, 2]"),
        ("pwd", {"p": -1}, "decay.p=-1: must be a number in (0, 2]"),
        ("nuclear", {"p": True}, "decay.p=true: must be a number in (0, 2]"),
        ("dwf", {"depth": 1}, "decay.depth=1: must be a whole number ≥ 2"),
        ("lp", {"coupling": "coupled"}, "lp has no grad at p < 1, which coupled needs; it can do proximal"),
        ("lp", {"coupling": "projected"}, "lp has no project at p < 1, which projected needs; it can do proximal"),
        ("nuclear", {"p": 0.5, "coupling": "decoupled"}, "nuclear has no grad at p < 1, which decoupled needs; it can"),
        ("dwf", {"coupling": "coupled"}, "dwf has no grad at depth > 2, which coupled needs; it can do proximal"),
        ("dwf", {"depth": 2, "coupling": "coupled"}, "dwf is not made for coupled; it can do proximal"),
        ("pwd", {"coupling": "coupled"}, "pwd is not made for coupled; it can do decoupled"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_a_sentence(name, changes, message):
    with pytest.raises(ConfigError) as error:
        rule_of(name, weights(), **changes)
    assert message in str(error.value)


def test_lp_from_p_1_on_does_every_coupling():
    for name in ("lp", "nuclear"):
        for coupling in decay.COUPLINGS:
            assert rule_of(name, weights(), p=1.5, coupling=coupling).coupling == coupling


@pytest.mark.parametrize(
    ("answer", "cls", "method", "broken"),
    [
        (powers.padam, Pwd, "after_one", lambda self, name, new, k, ctx: new / (1 + 1.01 * ctx.lr(name) * k)),
        (powers.factors, Dwf, "prox", lambda self, w, t: Lp(self.p).prox(w, t)),
        (powers.singular_values, Schatten, "prox", lambda self, w, t: L1().prox(w, t)),
    ],
    ids=["padam", "factors", "singular_values"],
)
def test_a_wrong_step_breaks_its_known_answer(answer, cls, method, broken, monkeypatch):
    monkeypatch.setattr(cls, method, broken)
    assert answer() is not None
