"""Total decay against the measured shrink, verdicts, and the same λ in other units by those frameworks' formulas."""

import math

import pytest
import torch

from wdrun import conventions, decay, optim, schedules
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.decay import Decay, Knobs
from wdrun.decay.dwf import Dwf
from wdrun.decay.l2 import L2
from wdrun.decay.lp import Lp
from wdrun.decay.schatten import Schatten
from wdrun.laws import nothing, weights
from wdrun.training.step import Step, Training

EPOCHS, PER_EPOCH = 10, 400
STEPS = EPOCHS * PER_EPOCH
SPECS = {name: dict(parse(compose([f"schedule={name}"])).run.schedule) for name in option_names("schedule")}


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("coupling", ["coupled", "decoupled", "independent"])
@pytest.mark.parametrize("name", SPECS)
def test_without_a_gradient_a_weight_ends_at_exp_minus_d(name, coupling, momentum):
    """Within 1 % of D for every schedule; momentum delivers a pull over 1/(1−μ) later steps, few beside the 4000."""
    lam, lr = (0.03, 0.005) if coupling != "independent" else (0.0002, 0.005)
    lam /= 1 if momentum == 0.0 or coupling != "coupled" else 10
    s = schedules.build(SPECS[name], epochs=EPOCHS, steps=STEPS)
    knobs = [Knobs(lam, lr * s(k / STEPS), s(k / STEPS), (1.0,), k + 1) for k in range(STEPS)]
    optimizer = optim.Sgd(momentum, False)
    params = {"fc.weight": weights()["fc.weight"]}
    rule = Decay(L2(), coupling, dict.fromkeys(params, 1.0))
    step = Step(torch.nn.Identity(), rule, optimizer, None, None, None)
    now = Training(params, optimizer.init(params), {})
    for k in knobs:
        now = step.update(now, {n: nothing(k.t, n, w) for n, w in now.params.items()}, k)
    left = now.params["fc.weight"].norm() / params["fc.weight"].norm()
    found = conventions.budget(
        coupling, [(k.lam, k.lr, k.lr_scale) for k in knobs], epochs=EPOCHS, gain=optimizer.gain(), rate=1.0
    )
    assert -math.log(left) == pytest.approx(found.total, rel=0.01)
    assert found.timescale == pytest.approx(EPOCHS / found.total)


def flat(lam, lr, steps=100):
    return [(lam, lr, 1.0)] * steps


@pytest.mark.parametrize(
    ("coupling", "lam", "lr", "gain", "verdict"),
    [
        ("decoupled", 0.0, 0.1, 1.0, "off"),
        ("coupled", 0.0, 0.1, None, "off"),
        ("decoupled", 1e-4, 0.01, 1.0, "cannot act"),
        ("decoupled", 0.1, 0.05, 1.0, "acts"),
        ("decoupled", 2.0, 0.1, 1.0, "dominates"),
        ("decoupled", 20.0, 0.1, 1.0, "diverges"),
        ("proximal", 20.0, 0.1, 1.0, "dominates"),
        ("coupled", 0.01, 0.05, 10.0, "acts"),
        ("coupled", 0.01, 0.05, None, "cannot be told"),
        ("projected", 0.01, 0.05, 1.0, "cannot be told"),
        ("independent", 0.01, 1e-9, 1.0, "acts"),
    ],
)
def test_verdicts(coupling, lam, lr, gain, verdict):
    assert conventions.budget(coupling, flat(lam, lr), epochs=5, gain=gain, rate=1.0).verdict == verdict


@pytest.mark.parametrize(
    ("pull", "limit", "verdict"),
    [(3.0, 3.8, "overshoots"), (3.9, 3.8, "diverges"), (1.5, 1.36, "diverges"), (1e3, math.inf, "overshoots")],
)
def test_a_pull_past_zero_diverges_from_its_limit_on(pull, limit, verdict):
    assert conventions.budget("coupled", flat(pull, 1.0), epochs=5, gain=1.0, rate=1.0, limit=limit).verdict == verdict


def test_the_articles_own_setting_cannot_act():
    """Article 004: lr 0.01, batch 64, ten epochs, λ = 1e-4: D ≈ 0.008."""
    found = conventions.budget("coupled", flat(1e-4, 0.01, 10 * 781), epochs=10, gain=1.0, rate=1.0)
    assert found.total == pytest.approx(0.0078, abs=1e-4)
    assert found.verdict == "cannot act"
    warning = conventions.sentences(found, 1e-4)[1]
    assert warning.startswith("warning: this λ is too small to act (D < 0.05): lambda=0.006 would (D ≈ 0.5)")


def test_the_suggested_lambda_does_act():
    steps = flat(1e-4, 0.01, 7810)
    found = conventions.budget("decoupled", steps, epochs=10, gain=1.0, rate=1.0)
    better = float(conventions.sentences(found, 1e-4)[1].split("lambda=")[1].split()[0])
    again = conventions.budget("decoupled", flat(better, 0.01, 7810), epochs=10, gain=1.0, rate=1.0)
    assert again.verdict == "acts"
    assert again.total == pytest.approx(conventions.USEFUL, rel=0.3)


def test_the_same_coupled_lambda_elsewhere_gives_the_same_gradient():
    lam, batch = 0.02, 64
    same = conventions.elsewhere(lam, regularizer="l2", coupling="coupled", lr=0.1, batch_size=batch)
    w = weights()["fc.weight"].requires_grad_()
    keras = same["Keras l2"] * w.square().sum()
    tensorflow = same["tf.nn.l2_loss"] * w.square().sum() / 2
    scikit = 0.5 * same["scikit-learn alpha"] * w.square().sum() / batch
    for penalty in (keras, tensorflow, scikit):
        (grad,) = torch.autograd.grad(penalty, w)
        torch.testing.assert_close(grad, same["torch weight_decay"] * w.detach(), rtol=1e-12, atol=0)


def test_the_same_lambda_of_a_power_is_that_of_padams_code_and_of_factors():
    lam, any_coupling = 0.3, {"coupling": "proximal", "lr": 0.1, "batch_size": 64}
    w = weights()["fc.weight"]
    for name in ("lp", "pwd"):
        (theirs,) = conventions.elsewhere(lam, regularizer=name, p=0.8, **any_coupling).values()
        assert theirs * w.abs().pow(0.8).sum() == pytest.approx(lam * Lp(0.8).value(w).item(), rel=1e-12)
    ((where, of_a_factor),) = conventions.elsewhere(lam, regularizer="dwf", depth=3, **any_coupling).items()
    assert where == "torch weight_decay of 3 factors"
    assert of_a_factor / 2 * 3 * w.abs().pow(1 / 3).square().sum() == pytest.approx(lam * Dwf(3).value(w).item())
    left, sizes, right = torch.linalg.svd(w, full_matrices=False)
    a, b = left * sizes.sqrt(), sizes.sqrt()[:, None] * right  # the factors of w with the least sum of squares
    (of_both,) = conventions.elsewhere(lam, regularizer="schatten", p=1.0, **any_coupling).values()
    penalty = of_both / 2 * (a.square().sum() + b.square().sum())
    assert penalty == pytest.approx(lam * Schatten(1.0).value(w).item(), rel=1e-12)
    assert conventions.elsewhere(lam, regularizer="schatten", p=0.5, **any_coupling) == {}
    for name in ("l1", "lp", "pwd", "schatten"):  # λ is a radius
        assert conventions.elsewhere(lam, regularizer=name, p=1.0, **any_coupling | {"coupling": "projected"}) == {}


@pytest.mark.parametrize("coupling", ["decoupled", "independent"])
def test_the_same_decoupled_lambda_elsewhere_shrinks_as_much(coupling):
    lam, lr = 0.02, 0.1
    same = conventions.elsewhere(lam, regularizer="l2", coupling=coupling, lr=lr, batch_size=64)
    rule = Decay(L2(), coupling, {"w": 1.0})
    w = {"w": torch.ones(3, dtype=torch.float64)}
    context = decay.Context(w, Knobs(lam, lr, 1.0, (1.0,), 1), updates={"w": 0 * w["w"]})
    ours = rule.after(w, context)[0]["w"]
    torch.testing.assert_close(ours, w["w"] * (1 - lr * same["torch/optax/Keras weight_decay"]), rtol=1e-12, atol=0)
    torch.testing.assert_close(ours, w["w"] * (1 - same["AdamW paper, Composer"]), rtol=1e-12, atol=0)
