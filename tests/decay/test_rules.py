"""Rules of their own, step by step against their formulas worked out separately: swd, cpr, random_mask, adamc, …"""

import math

import pytest
import torch

from tests import runs
from tests.runs import MLP
from wdrun import decay, optim, schedules
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.decay import Context, Knobs, rate
from wdrun.decay.random_mask import uniform
from wdrun.errors import ConfigError
from wdrun.laws import noise, step_of, weights
from wdrun.training.step import Training

ADAM = optim.Adam(0.9, 0.999, 1e-8)
SGD = optim.Sgd(0.0, False)


def spec(name, **changes):
    return dict(parse(compose([f"decay={name}", "schedule=cosine"])).run.decay) | changes


def rule_of(name, params, **changes):
    made = lambda s: schedules.of_lambda(s, epochs=10, steps=50)  # noqa: E731
    return decay.build(spec(name, **changes), params, made, "decoupled")


def walk(rule, by, params, knobs, gradient=noise):
    """Every Training from the first on."""
    step = step_of(rule, by)
    now = Training(params, by.init(params), rule.init(params))
    seen = [now]
    for k in knobs:
        k = k._replace(lam_scales=rule.lam_scales((k.t - 1) / len(knobs)))
        now = step.update(now, {n: gradient(k.t, n, w) for n, w in now.params.items()}, k)
        seen.append(now)
    return seen


def knobs(lam, lr, steps, s=lambda p: 1.0):
    return [Knobs(lam, lr * s(t / steps), s(t / steps), (), t + 1) for t in range(steps)]


def close(found, expected, atol=1e-12):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_swd_is_adams():
    """AdamS: w ← w(1 − ηλ/√mean(v̂)) − ηm̂/(√v̂ + ε), the mean over every element of every parameter."""
    params, lam, lr = weights(), 0.01, 0.02
    found = walk(rule_of("swd", params), ADAM, params, knobs(lam, lr, 6))[-1].params
    w, m, v = params, *({n: torch.zeros_like(x) for n, x in params.items()} for _ in range(2))
    for t in range(1, 7):
        g = {n: noise(t, n, x) for n, x in w.items()}
        m = {n: 0.9 * m[n] + 0.1 * g[n] for n in w}
        v = {n: 0.999 * v[n] + 0.001 * g[n] ** 2 for n in w}
        hat = {n: v[n] / (1 - 0.999**t) for n in w}
        mean = torch.cat([x.flatten() for x in hat.values()]).mean().sqrt()
        shrunk = {n: x * (1 - lr * lam / mean) if x.ndim > 1 else x for n, x in w.items()}
        w = {n: shrunk[n] - lr * m[n] / (1 - 0.9**t) / (hat[n].sqrt() + 1e-8) for n in w}
    for n in w:
        close(found[n], w[n])


def test_swd_without_gradients_does_not_decay():
    params = weights()
    found = walk(rule_of("swd", params), SGD, params, knobs(0.1, 0.1, 3), lambda t, n, w: torch.zeros_like(w))
    assert all(torch.equal(found[-1].params[n], w) for n, w in params.items())


def test_adamc_is_lr_squared_over_peak():
    params, lam, lr = {"w": weights()["fc.weight"]}, 0.5, 0.1
    rule = rule_of("adamc", params)
    s = schedules.build({"name": "cosine", "start": 1.0, "final": 0.0}, epochs=10, steps=50)
    k = knobs(lam, lr, 50, s)
    found = walk(rule, SGD, params, k, lambda t, n, w: torch.zeros_like(w))[-1].params["w"]
    close(found, params["w"] * math.prod(1 - x.lr**2 * lam / lr for x in k))
    assert rule.scope() == ["w"]


def test_a_lambda_as_the_square_of_the_lr_is_adamc_or_decoupled_with_lr():
    params, lam, lr = weights(), 0.5, 0.1
    s = schedules.build({"name": "cosine", "start": 1.0, "final": 0.0}, epochs=10, steps=50)
    with_lr = {"name": "cosine", "start": 1.0, "final": 0.0}  # what decay.schedule=with_lr is under schedule=cosine
    rules = [rule_of("adamc", params), rule_of("decoupled", params, schedule=with_lr)]
    one, two = (walk(rule, ADAM, params, knobs(lam, lr, 50, s))[-1].params for rule in rules)
    assert all(torch.equal(one[n], two[n]) for n in params)


def test_independent_decay_over_log_time_falls_as_in_adana():
    """ADANA: w ← w'(1 − γ(t)·ω/(T/10 + t)) after the step w'; without a gradient ours is that, t from 0."""
    params, omega, steps = {"w": weights()["fc.weight"]}, 4.0, 400
    rule = rule_of("independent", params, schedule={"name": "log_time", "half": 0.1})
    lam = omega / (steps / 10)  # λ = ω/(T/10) at the first step
    found = walk(rule, SGD, params, knobs(lam, 0.1, steps), lambda t, n, w: torch.zeros_like(w))[-1].params["w"]
    close(found, params["w"] * math.prod(1 - omega / (steps / 10 + t) for t in range(steps)))


def test_with_lr_follows_the_lr_schedule_of_the_run():
    words = ["decay=l2", "decay.schedule=with_lr", "schedule=step", "schedule.factor=0.3"]
    run = parse(compose(words)).run
    assert run.decay["schedule"] == run.schedule


def test_random_mask_acts_as_often_as_cautious_and_elsewhere():
    big = {"w": torch.randn(200, 300, generator=torch.Generator().manual_seed(1), dtype=torch.float64)}
    u = {"w": torch.randn(200, 300, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.4 * big["w"]}
    rule, before = rule_of("random_mask", big), torch.random.get_rng_state()
    ratio = (u["w"] * big["w"] >= 0).double().mean()
    masks = []
    for t in (1, 2):
        context = Context(big, Knobs(1.0, 0.5, 1.0, (1.0,), t), updates=u)
        new, _ = rule.after(big, context)
        masks.append(new["w"] != big["w"])
        close(new["w"], torch.where(masks[-1], 0.5 * big["w"], big["w"]))
        noise_of_share = (ratio * (1 - ratio) / 60_000) ** 0.5
        assert abs(masks[-1].double().mean() - ratio) < 4 * noise_of_share
    either = (masks[0] & masks[1]).double().mean()
    assert abs(either - ratio**2) < 0.01  # two steps are independent
    signs = (u["w"] * big["w"] >= 0).double()
    assert abs(torch.corrcoef(torch.stack([masks[0].double().flatten(), signs.flatten()]))[0, 1]) < 0.02
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_masks_numbers_are_uniform_and_depend_on_each_of_key_step_and_element():
    w = torch.zeros(100_000, dtype=torch.float64)
    x = uniform(w, 5, 1)
    counts = torch.histc(x, 20, 0, 1)
    assert ((counts - 5000) ** 2 / 5000).sum() < 45  # chi-squared, 19 degrees of freedom: p ≈ 0.0007
    for other in (uniform(w, 6, 1), uniform(w, 5, 2), x.roll(1)):
        assert abs(torch.corrcoef(torch.stack([x, other]))[0, 1]) < 0.015
    assert torch.equal(x, uniform(w, 5, 1))
    close(uniform(w[:10].float(), 5, 1).double(), x[:10])


@pytest.mark.parametrize(("kappa", "value", "after"), [("uniform", 20.0, 1), ("init", 0.9, 1), ("warm_up", 1.0, 3)])
def test_cpr_is_its_augmented_lagrangian(kappa, value, after):
    params = {"w": weights()["fc.weight"]}
    rule = rule_of("cpr", params, kappa=kappa, kappa_value=value, kappa_after=after)
    mu, lr, n = 0.1, 0.1, params["w"].numel()
    grow = lambda t, name, w: -w * [3.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.1, 0.1][t - 1]  # noqa: E731
    found = walk(rule, SGD, params, knobs(mu, lr, 8), grow)
    w, m, most = params["w"], 0.0, 0.0
    bound = {"uniform": value, "init": value * w.square().sum().item()}.get(kappa)
    for t in range(1, 9):
        w = w - lr * grow(t, "w", w)
        size = w.square().sum().item()
        m = max(0.0, m + mu / n * (size - bound)) if bound is not None else 0.0
        w, most = w - 2 * m * w, max(m, most)
        if bound is None and t >= after:
            bound = size
        close(found[t].params["w"], w)
        close(found[t].decay["w.m"], torch.tensor(m, dtype=torch.float64))
    assert bound is not None
    assert most > 0
    close(found[-1].decay["w.kappa"], torch.tensor(bound, dtype=torch.float64))


def rising(most, centre, width):
    """A norm that grows from 1 to `most` times as much, fastest at the step `centre`."""
    return lambda t: most ** (1 / (1 + math.exp((centre - t) / width)))


def noisy(curve, size):
    """The same, off by a share of this size at every step."""
    shake = torch.randn(3000, generator=torch.Generator().manual_seed(3), dtype=torch.float64).tolist()
    return lambda t: curve(t) * (1 + size * shake[t])


# ‖w‖/‖w₀‖ by step, the first step at which κ may be taken, and the one at which it is.
CURVES = {
    "slows from the start": (lambda t: 1 + t / 200, 100, 800),
    "slows before it may": (lambda t: 1 + t / 200, 1001, 1200),
    "slows early": (rising(50.0, 700, 150), 100, 1000),
    "slows early, noisy": (noisy(rising(50.0, 700, 150), 0.05), 100, 1000),
    "slows after many windows": (rising(50.0, 1500, 150), 100, 1800),
    "slows after many windows, noisy": (noisy(rising(50.0, 1500, 150), 0.05), 100, 1800),
    "does not slow": (lambda t: math.exp((t / 1000) ** 2), 100, None),
    "does not slow, noisy": (noisy(lambda t: math.exp((t / 1000) ** 2), 0.02), 100, None),
    "slows though it grows by little": (lambda t: (1 + t / 200) ** 0.055, 100, 800),
    "hardly grows": (lambda t: 1 + 4e-5 * t, 100, None),
    "shrinks": (lambda t: 1 / (1 + t / 500), 100, None),
    "is zero": (lambda t: 0.0, 100, None),
}


def sizes(name, steps=2000):
    """‖w‖² of every step as a tensor that follows a curve has it, and those tensors."""
    start = weights()["fc.weight"]
    tensors = [CURVES[name][0](t) * start for t in range(steps + 1)]
    return [w.square().sum().item() for w in tensors], tensors


def inflection(squares, smoothing, after):
    """Step and value of κ as Franke et al.'s AdamCPR finds them (pytorch-cpr 0.3.1, `_multi_tensor_adamcpr`):

    A moving average of the norm begins at step 200; before, it is the norm. Every 200 steps, from 400 on, its growth
    since the last time is taken as a share of itself. From step 800 on, the first such growth that is less than the
    one before and more than 0.01 fixes κ.
    """
    average = previous = growth_before = 0.0
    for t, square in enumerate(squares[1:], start=1):
        norm = math.sqrt(square)
        average = smoothing * average + (1 - smoothing) * norm if t >= 200 else norm
        if t > 200 and t % 200 == 0:
            growth = (average - previous) / average if average else math.nan
            previous = average
            if t > 600 and t >= after and growth_before > growth > 0.01:
                return t, square
            if t > 400:
                growth_before = growth
    return None, math.inf


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("smoothing", [0.99, 0.9])
def test_cpr_takes_kappa_where_the_authors_do(name, smoothing):
    squares, tensors = sizes(name)
    _, after, at = CURVES[name]
    expected = inflection(squares, smoothing, after)
    params = {"w": tensors[0]}
    rule = rule_of("cpr", params, kappa="inflection", kappa_after=after, smoothing=smoothing)
    state, taken = rule.init(params), None
    for t, w in enumerate(tensors[1:], start=1):
        moved, state = rule.after({"w": w}, Context(params, Knobs(0.1, 0.1, 1.0, (1.0,), t), state))
        if taken is None:
            assert torch.equal(moved["w"], w)  # nothing is bounded while κ is not known
        if taken is None and state["w.kappa"] < math.inf:
            taken = t
    assert (taken, state["w.kappa"].item()) == expected
    assert taken == at
    assert all(value.isfinite() for key, value in state.items() if key != "w.kappa")


def test_cpr_bounds_a_tensor_from_its_inflection_on():
    """Beside a tensor that has none, and from the very next step on; m ← max(0, m + (λ/n)(‖w‖² − κ)), w ← w − 2mw."""
    a, b = (sizes(name, 900)[1] for name in ("slows from the start", "does not slow"))
    rule = rule_of("cpr", {"a": a[0], "b": b[0]}, kappa="inflection")
    state, mu, m, n = rule.init({"a": a[0], "b": b[0]}), 0.1, 0.0, a[0].numel()
    bound = a[800].square().sum().item()
    for t in range(1, 901):
        found, state = rule.after({"a": a[t], "b": b[t]}, Context({}, Knobs(mu, 0.1, 1.0, (1.0,), t), state))
        if t == 200:  # the mean begins
            close(state["a.mean"], 0.99 * a[199].norm() + 0.01 * a[200].norm())
        if t > 800:
            m = max(0.0, m + mu / n * (a[t].square().sum().item() - bound))
        close(state["a.m"], torch.tensor(m, dtype=torch.float64))
        close(found["a"], a[t] - 2 * m * a[t])
        assert torch.equal(found["b"], b[t])
    assert m > 0.01


def test_cpr_takes_kappa_of_lifted_runs_as_of_each_alone():
    """By vmap over runs of different growth, with t a tensor, as a recorded step has it."""
    names = ["slows from the start", "slows early, noisy", "does not slow"]
    runs = [sizes(name, 1000)[1] for name in names]
    rule = rule_of("cpr", {"w": runs[0][0]}, kappa="inflection")

    def shrink(state, w, lam, t):
        return rule.after({"w": w}, Context({}, Knobs(lam, 0.1, 1.0, (1.0,), t), state))[1]

    lams = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    state = torch.func.vmap(rule.init)({"w": torch.stack([run[0] for run in runs])})
    for t in range(1, 1001):
        w = torch.stack([run[t] for run in runs])
        state = torch.func.vmap(shrink, in_dims=(0, 0, 0, None))(state, w, lams, torch.tensor(float(t)))
    expected = [inflection([w.square().sum().item() for w in run], 0.99, 100)[1] for run in runs]
    assert state["w.kappa"].tolist() == expected
    assert [math.isfinite(kappa) for kappa in expected] == [True, True, False]


def test_cpr_holds_a_growing_tensor_at_its_bound():
    params = {"w": weights()["fc.weight"]}
    rule = rule_of("cpr", params, kappa="init", kappa_value=1.0)
    found = walk(rule, SGD, params, knobs(1.0, 0.05, 400), lambda t, n, w: -w)
    free = params["w"].norm() * 1.05**400
    assert found[-1].params["w"].norm() == pytest.approx(params["w"].norm().item(), rel=0.1)
    assert free > 1e8


def test_rescale_keeps_the_initial_norm_times_lambda():
    params = weights()
    for lam in (1.0, 0.5):
        found = walk(rule_of("rescale", params), ADAM, params, knobs(lam, 0.1, 5))[-1].params
        plain = walk(rule_of("rescale", params), ADAM, params, knobs(0.0, 0.1, 5))[-1].params
        for n in ("conv.weight", "fc.weight"):
            assert found[n].norm() == pytest.approx(lam * params[n].norm().item(), rel=1e-12)
        assert torch.equal(found["fc.bias"], plain["fc.bias"])


def test_target_norm_goes_to_its_target_and_l2_init_home():
    params = weights()
    zero = lambda t, n, w: torch.zeros_like(w)  # noqa: E731
    found = walk(rule_of("target_norm", params, target=0.3), SGD, params, knobs(1.0, 0.5, 60), zero)[-1].params
    for n in ("conv.weight", "fc.weight"):
        close(found[n], 0.3 * params[n])
    away = lambda t, n, w: noise(1, n, w) if t == 1 else torch.zeros_like(w)  # noqa: E731
    found = walk(rule_of("l2_init", params), SGD, params, knobs(1.0, 0.5, 60), away)
    assert not torch.allclose(found[1].params["fc.weight"], params["fc.weight"])
    close(found[-1].params["fc.weight"], params["fc.weight"])


def test_hoyer_square_counts_weights_and_orthogonal_counts_angles():
    hoyer = decay.build(spec("hoyer_square"), weights(), lambda s: lambda p: 1.0).regularizer
    w = torch.tensor([[3.0, 0.0, -3.0, 0.0], [0.0, 3.0, 0.0, 0.0]])
    assert hoyer.value(w) == pytest.approx(3.0)
    assert hoyer.value(0 * w) == 0
    assert not hoyer.grad(0 * w).any()
    turned = decay.build(spec("orthogonal"), weights(), lambda s: lambda p: 1.0).regularizer
    angle = math.radians(60)
    w = torch.tensor([[2.0, 0.0], [5 * math.cos(angle), 5 * math.sin(angle)], [0.0, 0.0]])
    assert turned.value(w) == pytest.approx(2 * math.cos(angle))
    assert turned.grad(w).isfinite().all()


def test_what_only_bounds_adds_no_penalty_and_a_pull_across_w_has_no_rate():
    params = weights()
    for name in ("max_norm", "rescale", "cpr", "box"):
        rule = rule_of(name, params)
        assert rule.penalty(params, rule.init(params), 3.0, 1.0) == 0
        assert rate(rule, params) is None
    for name in ("hoyer_square", "orthogonal", "l2_init", "swd", "target_norm"):
        assert rate(rule_of(name, params), params) is None
    assert rate(rule_of("spectral", params), params) > 0


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("huber", {"delta": 0}, "decay.delta=0: must be a number > 0"),
        ("log_sum", {"epsilon": "a"}, "decay.epsilon=a: must be a number > 0"),
        ("swd", {"beta2": 1.0}, "decay.beta2=1.0: must be a number in [0, 1)"),
        ("cpr", {"kappa": "late"}, "decay.kappa=late: must be one of uniform, init, warm_up, inflection"),
        ("cpr", {"kappa_after": 0}, "decay.kappa_after=0: must be a whole number ≥ 1"),
        ("cpr", {"reduction": "mean"}, "decay.reduction=mean: must be sum for cpr, which acts on whole tensors"),
        ("cpr", {"coupling": "coupled"}, "decay.coupling=coupled: cpr is not made for coupled; it can do independent"),
        ("max_norm", {"coupling": "decoupled"}, "max_norm has no grad, which decoupled needs; it can do projected"),
        ("cautious", {"coupling": "proximal"}, "cautious is not made for proximal; it can do cautious"),
        ("log_sum", {"coupling": "projected"}, "log_sum has no project, which projected needs; it can do coupled"),
        ("swd", {"gamma": 1}, "decay.gamma: swd does not take it; it takes beta2"),
        (
            "chain",
            {"corrected": "normed"},
            "decay.corrected=normed: must be auto or all for a chain; set it on a term of decay.terms",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(name, changes, message):
    with pytest.raises(ConfigError) as error:
        rule_of(name, weights(), **changes)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["cpr", "swd", "l2_init", "rescale", "random_mask", "spd", "hyperball", "chain"])
def test_a_run_resumes_from_a_checkpoint_with_the_decays_memory(name, tmp_path):
    """Two epochs at once, and one, a checkpoint on disk, another: the same bits, penalty included."""
    from wdrun.sweep import checkpoint
    from wdrun.sweep.one_run import ready
    from wdrun.training.state import State

    words = [*MLP, f"decay={name}", "lambda=0.1", "optimizer=adam", "device=cpu"]
    if name == "chain":
        words += ["decay.terms=[{decay: cpr, kappa: inflection, kappa_after: 2}, {decay: l2_init}]"]
    run = runs.run(*words)
    first, last = ready(run).train()
    checkpoint.save(tmp_path, first.state.tensors, first.state.values)
    tensors, values = checkpoint.load(tmp_path)[0]
    (again,) = ready(run).train(State(tensors, values))
    assert first.state.tensors.keys() == last.state.tensors.keys()
    for n, w in last.state.tensors.items():
        assert torch.equal(w, again.state.tensors[n]), n
    assert again.metrics == last.metrics
