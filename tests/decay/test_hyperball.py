"""Hyperball: norm and step of fixed size, so that a tensor turns by the lr and by nothing else."""

import math

import pytest
import torch

from wdrun import optim
from wdrun.decay import Chain, Decay
from wdrun.decay.l2 import L2
from wdrun.laws.cases import Case, noise, train, weights

CASE = Case("hyperball", "projected", "adam")


def test_across_the_weights_a_step_turns_by_the_arctangent_of_the_lr():
    source = torch.Generator().manual_seed(3)

    def across(t, p):
        w = p["w"]
        g = torch.randn(w.shape, generator=source, dtype=w.dtype)
        return {"w": g - (g * w).sum() * w / w.square().sum()}

    start = {"w": torch.randn(20, 30, generator=source, dtype=torch.float64)}
    rates = [1.0, 0.5, 0.1, 2.0, 0.01]
    seen = [s["w"] for s in train(CASE.rule(start), optim.Sgd(0.0, False), start, across, 1.0, 0.3, rates)]
    for s, before, after in zip(rates, seen, seen[1:], strict=False):
        turned = torch.atan2((after - (after * before).sum() * before / before.square().sum()).norm(),
                             (after * before).sum() / before.norm())  # fmt: skip
        assert turned.item() == pytest.approx(math.atan(0.3 * s), abs=1e-14)
        assert after.norm().item() == pytest.approx(start["w"].norm().item(), rel=1e-14)


@pytest.mark.parametrize("lam", [1.0, 0.7])
def test_it_is_its_formula_under_adam(lam):
    """30 steps with Adam written out: w ← R·n(w − η·R·n(m̂/(√v̂ + ε))), R = λ‖w₀‖; biases by Adam alone."""
    params, lr = weights(), 0.03
    scales = [1 - 0.03 * k for k in range(30)]
    gradient = lambda t, p: {n: noise(t, n, w) for n, w in p.items()}  # noqa: E731
    found = train(CASE.rule(params), optim.Adam(0.9, 0.999, 1e-8), params, gradient, lam, lr, scales)[-1]
    for n, start in params.items():
        w, m, v = start, torch.zeros_like(start), torch.zeros_like(start)
        radius = lam * start.norm()
        for t, s in enumerate(scales, start=1):
            g = noise(t, n, w)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            u = m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
            if start.ndim < 2:
                w = w - lr * s * u
            else:
                w = w - lr * s * radius * u / u.norm()
                w = radius * w / w.norm()
        torch.testing.assert_close(found[n], w, rtol=0, atol=1e-12)


def test_without_an_update_only_the_norm_is_set_and_zeros_stay():
    start = {"w": weights()["fc.weight"], "zero": torch.zeros(2, 2, dtype=torch.float64)}
    still = lambda t, p: {n: torch.zeros_like(w) for n, w in p.items()}  # noqa: E731
    rule = CASE.rule(start)
    found = train(rule, optim.Sgd(0.9, False), start, still, 0.5, 0.1, [1.0, 1.0])[-1]
    torch.testing.assert_close(found["w"], 0.5 * start["w"], rtol=0, atol=1e-15)
    assert torch.equal(found["zero"], start["zero"])
    memory = rule.init(start)
    assert (rule.remark("w", memory), rule.remark("zero", memory)) == ("", "begins at 0 and stays there")


def test_in_a_chain_it_takes_its_step_from_where_the_rules_before_it_moved_the_weights():
    w, u, lam, lr = weights()["fc.weight"], noise(1, "w", weights()["fc.weight"]), 0.5, 0.1
    rule = Chain((Decay(L2(), "decoupled", {"w": 1.0}), CASE.rule({"w": w})), (1.0, 2.0))
    found = train(rule, optim.Sgd(0.0, False), {"w": w}, lambda t, p: {"w": u}, lam, lr, [1.0])[-1]["w"]
    radius = 2 * lam * w.norm()
    expected = (1 - lr * lam) * w - lr * radius * u / u.norm()
    torch.testing.assert_close(found, radius * expected / expected.norm(), rtol=0, atol=1e-14)
