"""SPD: what a step adds to the distance from w₀ is taken back where −g points to w₀."""

from dataclasses import replace

import pytest
import torch

from tests import runs
from tests.runs import MLP
from wdrun import decay, optim
from wdrun.decay import Knobs
from wdrun.errors import ConfigError
from wdrun.laws.cases import Case, noise, option, step_of, train, weights
from wdrun.training.step import Training

CASE = Case("spd", "independent", "adam")
ADAM, SGD = optim.Adam(0.9, 0.999, 1e-8), optim.Sgd(0.0, False)


def gradient(t, p):
    """Noise, which leads away from where the weights start; half of the time downhill is back there."""
    return {n: noise(t, n, w) for n, w in p.items()}


@pytest.mark.parametrize("anchor", ["initial", "zero"])
@pytest.mark.parametrize("lam", [0.4, 1.5])
def test_it_is_its_formula_under_adam(anchor, lam):
    """AdamSPD (Tian, Huang & Kira 2024) written out, 30 steps: λ is multiplied by neither the lr nor its schedule."""
    params, lr, acted = weights(), 0.05, 0
    scales = [1 - 0.03 * k for k in range(30)]
    found = train(CASE.rule(params, anchor=anchor), ADAM, params, gradient, lam, lr, scales)
    for n in ("conv.weight", "fc.weight"):
        w, m, v = params[n], torch.zeros_like(params[n]), torch.zeros_like(params[n])
        home = params[n] if anchor == "initial" else torch.zeros_like(w)
        for t, s in enumerate(scales, start=1):
            g = noise(t, n, w)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            new = w - lr * s * m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
            if -(g * (w - home)).sum() < 0:
                far = torch.linalg.vector_norm(new - home)
                ratio = max(0.0, ((far - torch.linalg.vector_norm(w - home)) / far).item())
                new, acted = new - lam * ratio * (new - home), acted + (ratio > 0)
            w = new
            torch.testing.assert_close(found[t][n], w, rtol=0, atol=1e-12)
    assert acted > 3


def test_lambda_one_keeps_the_distance_where_downhill_is_toward_the_anchor():
    params = {"w": weights()["fc.weight"]}
    rule, past = CASE.rule(params), torch.zeros_like(params["w"])

    def away(t, p):  # momentum carries it on after the gradient has turned round
        return {"w": -torch.ones_like(past) if t < 3 else 0.1 * torch.ones_like(past)}

    by = optim.Sgd(0.9, False)
    seen = [s["w"] - params["w"] for s in train(rule, by, params, away, 1.0, 0.1, [1.0] * 6)]
    free = [s["w"] - params["w"] for s in train(rule, by, params, away, 0.0, 0.1, [1.0] * 6)]
    assert [d.norm().item() for d in seen[:3]] == [d.norm().item() for d in free[:3]]  # g points away: nothing is done
    assert [d.norm().item() for d in seen[3:]] == pytest.approx([seen[2].norm().item()] * 4, rel=1e-14)
    assert free[3].norm() > 1.2 * free[2].norm()


def test_the_gradient_that_decides_is_the_one_the_optimizer_saw():
    """Clipped, as in a loop in torch: of (5, −0.2) at 0.1 nothing points away from w₀ any more."""
    start, moved = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
    rule = CASE.rule({"w": start})
    step = replace(step_of(rule, SGD), clip_value=0.1)
    for second, acts in ((-0.2, False), (0.2, True)):
        g = {"w": torch.tensor([[5.0, second]], dtype=torch.float64)}
        ends = [step.update(Training({"w": moved}, {}, rule.init({"w": start})), g, Knobs(lam, -1.0, 1.0, (1.0,), 2))
                for lam in (0.0, 1.0)]  # fmt: skip
        assert torch.equal(ends[0].params["w"], ends[1].params["w"]) == (not acts)


def test_its_schedule_is_that_of_lambda_not_of_the_lr():
    params = weights()
    spec = {**option("decay", "spd"), "coupling": "independent"}
    half = decay.build(spec, params, lambda spec: lambda progress: 0.5)
    ends = [train(rule, ADAM, params, gradient, lam, 0.05, [1.0] * 20)[-1]["fc.weight"]
            for rule, lam in ((half, 1.0), (CASE.rule(params), 0.5))]  # fmt: skip
    assert torch.equal(*ends)


def test_it_is_no_term_of_the_objective_and_has_no_total_decay():
    params = weights()
    for anchor in ("initial", "zero"):
        rule = CASE.rule(params, anchor=anchor)
        assert rule.penalty(params, rule.init(params), 3.0, 1.0) == 0
        assert decay.rate(rule, params) is None


def test_another_anchor_is_refused():
    with pytest.raises(ConfigError, match=r"^decay\.anchor=old: must be one of initial, zero"):
        CASE.rule(weights(), anchor="old")


def test_a_fine_tuning_is_held_to_what_it_began_with(tmp_path):
    """`init_from`: w₀ is the weight of the file, not that of the seed."""
    from safetensors.torch import save_file

    fresh = runs.trainer(*MLP, "decay=spd")
    params = {n: w + 1 for n, w in fresh.model.state_dict().items()}
    save_file(params, tmp_path / "w.safetensors")
    warm = runs.trainer(*MLP, "decay=spd", f"init_from={tmp_path / 'w.safetensors'}")
    assert warm.decay_start
    assert all(torch.equal(w, params[n]) for n, w in warm.decay_start.items())
