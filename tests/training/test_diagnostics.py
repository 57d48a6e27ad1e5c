"""Diagnostics against closed forms, brute force and hand-computed steps; they change no bit of the training."""

import itertools
import json
import math
import os
import signal
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import runs
from tests.runs import CNN, LEARNING
from wdrun import optim
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.decay import Decay, Knobs
from wdrun.decay.l1 import L1
from wdrun.decay.l2 import L2
from wdrun.devices import Machine
from wdrun.errors import ConfigError
from wdrun.sweep import checkpoint
from wdrun.sweep.execute import execute
from wdrun.sweep.signals import Interrupted
from wdrun.tables.columns import FACTORS, RUN, TABLES
from wdrun.training import diagnostics
from wdrun.training.diagnostics.curvature import Plan, plan
from wdrun.training.step import Step, Training

WORDS = (*LEARNING, *CNN)
trainer = partial(runs.trainer, base=WORDS)
ALL = "diagnostics=[histograms,oui,hessian,rank]"
COLUMNS = {name: [c.name for c in table[len(FACTORS) :]] for name, table in TABLES.items()}


def params_of(state):
    return {n.removeprefix("params/"): w for n, w in state.tensors.items() if n.startswith("params/")}


def one_step(optimizer, coupling, w, g, knobs, memory=None):
    """Step of one tensor under L2: the state before and after it."""
    step = Step(nn.Identity(), Decay(L2(), coupling, {"w": 1.0}), optimizer, None, None, Machine("cpu", "fp64", 1))
    before = Training({"w": w}, memory or optimizer.init({"w": w}), {})
    return step, before, step.update(before, {"w": g}, knobs)


def test_norms_and_shares():
    w = torch.tensor([[3.0, 0.0, 0.0, 1e-6], [-4.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = {k: v.item() for k, v in diagnostics.norms(w).items()}
    assert found == {
        "l1_norm": pytest.approx(7.0, abs=1e-5),
        "l2_norm": pytest.approx(5.0, abs=1e-6),
        "sparsity": 9 / 12,
        "near_zero": 10 / 12,
        "dead_filters": 1 / 3,
    }
    assert math.isnan(diagnostics.norms(torch.ones(3))["dead_filters"].item())
    nothing = diagnostics.norms(torch.zeros(2, 3, 3, 3))
    assert [nothing[k].item() for k in ("sparsity", "near_zero", "dead_filters")] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.3, 1.57, 3.1])
def test_rotation_is_the_angle_whatever_the_lengths(angle):
    angle = torch.tensor(angle, dtype=torch.float64)
    before = torch.tensor([2.0, 0.0], dtype=torch.float64)
    after = 5 * torch.stack([angle.cos(), angle.sin()])
    assert diagnostics.rotation(before, after).item() == pytest.approx(torch.rad2deg(angle).item(), rel=1e-9, abs=1e-12)


def test_a_row_measures_the_step():
    before, after, grad = torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 3.0]]), torch.tensor([[0.0, 2.0]])
    found = diagnostics.measure(before, after, torch.tensor([[3.0, 3.25]]), grad, lr=0.5)
    names = ("grad_norm", "update_norm", "update_ratio", "decay_share", "effective_lr")
    values = {k: found[k].item() for k in (f"last_{name}" for name in names)}
    assert values == {
        "last_grad_norm": 2.0,
        "last_update_norm": 1.0,
        "last_update_ratio": pytest.approx(0.2),
        "last_decay_share": pytest.approx(0.25),
        "last_effective_lr": pytest.approx(0.5 / 18),
    }


@pytest.mark.parametrize("coupling", ["coupled", "decoupled"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decays_share_of_a_step_by_hand(coupling, momentum):
    """η‖λw‖/‖Δw‖: under SGD the step with λ = 0 differs by ηλw alone, whatever the momentum buffer holds."""
    w = torch.tensor([[1.0, -2.0, 2.0]], dtype=torch.float64)
    g = torch.tensor([[0.5, 0.0, -1.0]], dtype=torch.float64)
    buffer = torch.tensor([[0.3, 0.3, 0.3]], dtype=torch.float64) if momentum else 0.0
    memory = {"b": {"w": buffer}} if momentum else None
    knobs = Knobs(0.1, 0.02, 1.0, (1.0,), 5)
    step, before, after = one_step(optim.Sgd(momentum, False), coupling, w, g, knobs, memory)
    (row,) = diagnostics.layers(step, before, after, {"w": g}, knobs)
    move = 0.02 * (momentum * buffer + g + 0.1 * w)
    assert row["last_update_norm"] == pytest.approx(move.norm().item(), rel=1e-12)
    assert row["last_decay_share"] == pytest.approx(0.02 * 0.1 * 3 / move.norm().item(), rel=1e-9)
    _, before, after = one_step(optim.Sgd(momentum, False), coupling, w, g, knobs._replace(lam=0.0), memory)
    (row,) = diagnostics.layers(step, before, after, {"w": g}, knobs._replace(lam=0.0))
    assert row["last_decay_share"] == 0.0


@pytest.mark.parametrize(
    ("optimizer", "coupling", "by_hand"),
    [
        (optim.Sgd(0.9, False), "coupled", lambda k: 2 * k.lr * k.lam / 1.9),
        (optim.Sgd(0.0, False), "coupled", lambda k: 2 * k.lr * k.lam),
        (optim.Sgd(0.9, False, 0.5), "coupled", lambda k: k.lr * k.lam / 1.9),
        (optim.Sgd(0.9, False), "decoupled", lambda k: 2 * k.lr * k.lam * 0.1 / 1.9),
        (optim.Adam(0.9, 0.99, 1e-12), "decoupled", lambda k: 2 * k.lr * k.lam * 0.1 / 1.9),
        (optim.Adam(0.5, 0.99, 1e-12), "independent", lambda k: 2 * k.lr_scale * k.lam * 0.5 / 1.5),
    ],
)
def test_a_scale_invariant_weight_settles_at_the_predicted_rotation(optimizer, coupling, by_hand):
    """Random gradients across w, as large as 1/‖w‖ like those of a normalised layer: simulated, within 5 %."""
    share = 5e-3 if coupling != "coupled" else 5e-3 * (1 - optimizer.momentum)
    knobs = Knobs(share / (0.05 if coupling == "independent" else 0.1), 0.1, 0.05, (1.0,), 1)
    source = torch.Generator().manual_seed(2)
    w = torch.randn(400, generator=source, dtype=torch.float64)
    step = Step(nn.Identity(), Decay(L2(), coupling, {"w": 1.0}), optimizer, None, None, Machine("cpu", "fp64", 1))
    now, angles = Training({"w": w}, optimizer.init({"w": w}), {}), []
    for t in range(1, 1501):
        w = now.params["w"]
        g = torch.randn(400, generator=source, dtype=torch.float64)
        g = (g - (g @ w) / (w @ w) * w) / w.norm()
        before, now = now, step.update(now, {"w": g}, knobs._replace(t=t))
        if t > 1000:
            angles.append(diagnostics.rotation(before.params["w"], now.params["w"]).item())
    predicted = diagnostics.equilibrium(step.rule, optimizer, "w", knobs)
    assert predicted == pytest.approx(math.degrees(math.sqrt(by_hand(knobs))), rel=1e-12)
    assert sum(angles) / len(angles) == pytest.approx(predicted, rel=0.05)


def test_no_equilibrium_is_claimed_where_none_is_known():
    knobs = Knobs(0.1, 0.1, 1.0, (1.0,), 1)
    sgd, adam, scope = optim.Sgd(0.9, False), optim.Adam(0.9, 0.99, 1e-8), {"w": 1.0}
    assert diagnostics.equilibrium(Decay(L2(), "coupled", scope), adam, "w", knobs) is None
    assert diagnostics.equilibrium(Decay(L2(), "cautious", scope), adam, "w", knobs) is None
    ams = optim.Adam(0.9, 0.99, 1e-8, amsgrad=True)
    assert diagnostics.equilibrium(Decay(L2(), "decoupled", scope), ams, "w", knobs) is None
    assert diagnostics.equilibrium(Decay(L1(), "coupled", scope), sgd, "w", knobs) is None
    assert diagnostics.equilibrium(Decay(L2(), "coupled", scope), optim.Sgd(0.9, True), "w", knobs) is None
    assert diagnostics.equilibrium(Decay(L2(), "coupled", scope), sgd, "bias", knobs) is None
    quarter = Decay(L2(), "coupled", scope, lambda p: 0.25)
    halved = diagnostics.equilibrium(quarter, sgd, "w", knobs._replace(lam_scales=quarter.lam_scales(0.0)))
    assert halved == pytest.approx(diagnostics.equilibrium(Decay(L2(), "coupled", scope), sgd, "w", knobs) / 2)


def test_the_bins_count_every_weight_once():
    w = torch.tensor([[0.0, 0.0009, -0.0009, 0.0011], [0.002, -0.5, 7.0, -7.0]])
    rows = diagnostics.histogram(w)
    assert {row["bin"]: row["count"] for row in rows} == {0: 3, 1: 2, -250: 2, 250: 1}
    (middle,) = [row for row in rows if row["bin"] == 0]
    assert (middle["left"], middle["right"]) == (-0.001, 0.001)


def test_oui_by_hand_over_all_pairs():
    on = torch.rand(6, 40, generator=torch.Generator().manual_seed(0)) > torch.linspace(0, 1, 6)[:, None]
    pairs = list(itertools.combinations(range(6), 2))
    by_hand = sum(min(1.0, 2 * (on[i] != on[j]).double().mean().item()) for i, j in pairs) / len(pairs)
    assert diagnostics.indicator(on).item() == pytest.approx(by_hand, rel=1e-6)
    assert diagnostics.indicator(on[:1].repeat(5, 1)).item() == 0.0
    assert diagnostics.indicator(torch.tensor([[True, False], [False, True]])).item() == 1.0


def test_each_oui_stands_with_the_weight_before_the_activation():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    model.eval()
    x = torch.randn(7, 5)
    found = diagnostics.patterns(model, ["0.weight", "3.weight", "5.weight"], lambda: model(x))
    expected = {"0.weight": model[:3](x) > 0, "3.weight": model[:5](x) > 0}
    assert found == {name: diagnostics.indicator(on).item() for name, on in expected.items()}
    assert not any(m._forward_hooks for m in model.modules())


def small_loss():
    source = torch.Generator().manual_seed(1)
    x = torch.randn(20, 3, generator=source, dtype=torch.float64)
    y = torch.randint(3, (20,), generator=source)
    shapes = {"a": (4, 3), "b": (4,), "c": (3, 4)}
    params = {n: torch.randn(s, generator=source, dtype=torch.float64) for n, s in shapes.items()}

    def loss(w):
        return F.cross_entropy(F.linear((F.linear(x, w["a"], w["b"])).tanh(), w["c"]), y)

    def flat_loss(flat):
        parts = flat.split([w.numel() for w in params.values()])
        return loss({n: p.view(w.shape) for (n, w), p in zip(params.items(), parts, strict=True)})

    flat = torch.cat([w.flatten() for w in params.values()])
    return loss, params, torch.autograd.functional.hessian(flat_loss, flat)


def test_curvature_is_that_of_the_whole_hessian():
    loss, params, hessian = small_loss()
    source = torch.Generator().manual_seed(0)
    found = diagnostics.curvature(loss, params, source, probes=2000, iterations=3000, tolerance=1e-12)
    assert abs(found["hessian_trace"] - hessian.trace().item()) < 4 * found["hessian_trace_error"]
    # Hutchinson's variance with random signs is 2·Σ_{i≠j} H_ij².
    spread = (2 * (hessian.square().sum() - hessian.diagonal().square().sum()) / 2000).sqrt().item()
    assert found["hessian_trace_error"] == pytest.approx(spread, rel=0.1)
    assert found["hessian_top"] == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-6)


@pytest.mark.parametrize(("diagonal", "top"), [([1.0, 3.0, -2.0], 3.0), ([-5.0, 2.0, 1.0], 2.0), ([-1.0, -4.0], -1.0)])
def test_the_top_eigenvalue_is_the_largest_not_the_longest(diagonal, top):
    d = torch.tensor(diagonal, dtype=torch.float64)
    params = {"w": torch.ones_like(d)}
    source = torch.Generator().manual_seed(0)
    found = diagnostics.curvature(lambda w: 0.5 * (d * w["w"].square()).sum(), params, source, tolerance=1e-12)
    assert found["hessian_top"] == pytest.approx(top, rel=1e-6)
    assert found["hessian_trace"] == pytest.approx(sum(diagonal))  # of a diagonal matrix, by every probe
    assert found["hessian_trace_error"] == pytest.approx(0.0, abs=1e-12)


def test_a_linear_loss_has_no_curvature():
    found = diagnostics.curvature(lambda w: w["w"].sum(), {"w": torch.ones(3)}, torch.Generator().manual_seed(0))
    assert set(found.values()) == {0.0}


def test_the_run_fills_every_column_and_no_other():
    epochs = runs.trained(trainer(ALL))
    for epoch in epochs:
        assert all(set(row) == set(COLUMNS["layers"]) for row in epoch.layers)
        assert all(set(row) == set(COLUMNS["histograms"]) for row in epoch.histograms)
        counts = {row["parameter"]: 0 for row in epoch.layers}
        for row in epoch.histograms:
            counts[row["parameter"]] += row["count"]
        assert counts == {row["parameter"]: row["numel"] for row in epoch.layers}
        found = {row["parameter"]: row["oui"] for row in epoch.layers if row["oui"] is not None}
        assert found.keys() == {"conv1.weight", "conv2.weight", "fc1.weight"}
        assert all(0 <= value <= 1 for value in found.values())
    assert all("hessian_top" not in epoch.summary for epoch in epochs[:-1])
    assert epochs[-1].summary["hessian_top"] > 0
    assert epochs[-1].summary.keys() <= {c.name for c in RUN}
    (plain,) = {frozenset(row) for epoch in trainer().train() for row in epoch.layers}
    assert set(COLUMNS["layers"]) - plain == {"oui", "stable_rank"}


@pytest.mark.parametrize("words", [(), ("model.norm=batch", "model.dropout=0.3", "optimizer=adamw")], ids=["", "norm"])
def test_diagnostics_change_no_bit_of_training(words):
    torch.manual_seed(3)
    generator = torch.get_rng_state()
    plain, looked = list(trainer(*words).train()), runs.trained(trainer(*words, ALL, "evaluate=full"))
    assert torch.equal(torch.get_rng_state(), generator)
    for a, b in zip(plain, looked, strict=True):
        assert a.state.values == b.state.values
        assert all(torch.equal(w, b.state.tensors[n]) for n, w in a.state.tensors.items())
        strict = [{k: row[k] for k in ("data_loss", "accuracy", "penalty")} for row in a.metrics]
        assert strict == [{k: row[k] for k in strict[0]} for row in b.metrics[: len(strict)]]


def test_resumed_with_every_diagnostic_the_rows_are_the_same():
    words = (ALL, "evaluate=full", "model.norm=batch", "model.dropout=0.3")
    whole = runs.trained(trainer(*words))
    for after in whole[:-1]:
        rest = runs.trained(trainer(*words), after.state)
        for a, b in zip(rest, whole[after.number :], strict=True):
            assert (a.metrics, a.layers, a.histograms) == (b.metrics, b.layers, b.histograms)
            assert a.summary == b.summary
            assert json.loads(json.dumps(a.layers)) == a.layers  # no nan: it travels in the checkpoint


def test_an_interrupted_run_ends_with_the_same_files(tmp_path, monkeypatch):
    words = [*WORDS, ALL, "evaluate=calibration", "epochs=2"]

    def files(folder):
        job = parse(compose([*words, f"output_dir={folder}"]))
        (outcome,) = execute([job])
        names = ("run", "metrics", "layers", "histograms")
        return {name: (outcome.directory / f"{name}.csv").read_bytes() for name in names}

    whole = files(tmp_path / "whole")
    saved = checkpoint.save

    def save_and_stop(*arguments):
        saved(*arguments)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_stop)
        with pytest.raises(Interrupted):
            files(tmp_path / "parts")
    assert files(tmp_path / "parts") == whole
    assert whole["histograms"].count(b"\n") > 100


@pytest.mark.parametrize(
    ("given", "near"), [("hesian", "hessian"), ("[oui,histogram]", "histograms"), ("[sharpness]", None)]
)
def test_an_unknown_name_is_one_line_with_the_nearest(given, near):
    with pytest.raises(ConfigError) as error:
        parse(compose(["data=synthetic", f"diagnostics={given}"]))
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith("diagnostics=")
    assert "must be a list of histograms, oui, hessian, rank" in text
    assert (f"did you mean {near}?" in text) if near else ("did you mean" not in text)


def test_the_order_of_the_names_is_not_another_run():
    named = [parse(compose(["data=synthetic", f"diagnostics={names}"])).run for names in
             ("[oui,hessian]", "[hessian,oui,oui]", "[]")]  # fmt: skip
    assert named[0].id == named[1].id != named[2].id


class Normed(nn.Module):
    """A convolution with batch norm, and attention, which has second derivatives in one of its kernels alone."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3, 2), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        tokens = self.norm(self.conv(x)).flatten(2).transpose(1, 2)
        return self.fc(F.scaled_dot_product_attention(tokens, tokens, tokens).mean(1))


@pytest.fixture(scope="module")
def normed():
    """A loss of examples, parameters, 48 examples and labels, and the whole Hessian."""
    torch.manual_seed(0)
    model = Normed().double().eval()
    x, y = torch.randn(48, 3, 8, 8, dtype=torch.float64), torch.randint(3, (48,))
    params = {n: p.detach() for n, p in model.named_parameters()}

    def loss(w, x, y):
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return F.cross_entropy(torch.func.functional_call(model, w, (x,)), y)

    def flat_loss(flat):
        parts = flat.split([w.numel() for w in params.values()])
        return loss({n: p.view(w.shape) for (n, w), p in zip(params.items(), parts, strict=True)}, x, y)

    flat = torch.cat([w.flatten() for w in params.values()])
    return loss, params, x, y, torch.autograd.functional.hessian(flat_loss, flat)


def test_no_more_products_are_told_than_there_are():
    """Also where the longest eigenvalue is negative and a second iteration runs."""
    d, heard = torch.tensor([-5.0, 2.0, 1.0], dtype=torch.float64), []

    def loss(w):
        return 0.5 * (d * w["w"].square()).sum()

    draws = torch.Generator().manual_seed(0)
    diagnostics.curvature(loss, {"w": d}, draws, 3, 5, 0.0, told=lambda done, of: heard.append((done, of)))
    assert [done for done, _ in heard] == list(range(1, 14))
    assert [of for _, of in heard] == [3 + 5] * 8 + [3 + 5 + 5] * 5


def test_a_hessian_a_few_examples_at_a_time_is_that_of_all(normed):
    loss, params, x, y, hessian = normed
    top = torch.linalg.eigvalsh(hessian)[-1].item()
    found = []
    for at_once in (1, 2, 48):
        draws = torch.Generator().manual_seed(0)
        found.append(diagnostics.sampled(loss, params, x, y, draws, at_once, steps=60, close=1e-12))
    for key, value in found[0].items():
        assert [of[key] for of in found[1:]] == [pytest.approx(value, rel=1e-9)] * 2
    assert found[0]["hessian_top"] == pytest.approx(top, rel=1e-9)
    close = diagnostics.sampled(loss, params, x, y, torch.Generator().manual_seed(0), 48)
    assert close["hessian_top"] == pytest.approx(top, rel=0.02)  # as it is by default


def test_the_error_of_the_trace_is_what_traces_differ_by(normed):
    """Of many drawings: the mean is the trace, and the standard error that is told their spread, or somewhat more."""
    loss, params, x, y, hessian = normed
    draws = torch.Generator().manual_seed(1)
    found = [diagnostics.sampled(loss, params, x, y, draws, 48, steps=1) for _ in range(40)]
    traces = torch.tensor([of["hessian_trace"] for of in found])
    told = torch.tensor([of["hessian_trace_error"] for of in found]).mean()
    assert abs(traces.mean() - hessian.trace()) < 4 * traces.std() / 40**0.5
    assert 0.8 < told / traces.std() < 2.5


def test_a_product_is_told_and_may_leave(normed):
    loss, params, x, y, _ = normed
    heard = []

    def told(done, of):
        heard.append((done, of))
        if done == 5:
            raise Interrupted(signal.SIGTERM)

    for measure in (
        lambda: diagnostics.sampled(loss, params, x, y, torch.Generator(), 1, told=told),
        lambda: diagnostics.curvature(lambda w: loss(w, x, y), params, torch.Generator(), told=told),
    ):
        heard.clear()
        with pytest.raises(Interrupted):
            measure()
        assert [done for done, _ in heard] == [1, 2, 3, 4, 5]
        assert len({of for _, of in heard}) == 1


@pytest.mark.parametrize(
    ("model", "whole"),
    [
        ((*CNN[:1], "model.channels=[64,64]", "model.width=128", "model.norm=batch"), True),
        (("model=mlp", "model.hidden=[64,64]"), True),
        ((*CNN[:1], "model.channels=[128,128]", "model.width=128"), False),
    ],
)
def test_what_is_cheap_is_measured_whole_as_ever(model, whole):
    ready = runs.trainer(*model, "data.train_examples=300", base=WORDS[:2])
    x, y = ready.sample(256)
    params = {n: p.detach() for n, p in ready.model.named_parameters()}

    def loss(w, x, y):
        return F.cross_entropy(torch.func.functional_call(ready.model, w, (x.float(),)), y)

    found = plan(loss, params, x, y)
    assert found == plan(loss, params, x, y)
    if whole:
        assert found == Plan(len(x), len(x))
    else:
        assert 32 <= found.examples < len(x)
        assert 1 <= found.at_once <= found.examples // 32
        assert found.examples % 32 == 0


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3), (1, 7), (6, 1)])
def test_stable_rank_is_that_of_the_singular_values(shape):
    w = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    sizes = torch.linalg.svdvals(w.double().flatten(1))
    assert diagnostics.stable_rank(w) == pytest.approx((sizes.square().sum() / sizes[0] ** 2).item(), rel=1e-10)


def test_the_stable_rank_of_a_complex_weight_is_its_own():
    w = torch.randn(4, 6, dtype=torch.complex64)
    values = torch.linalg.svdvals(w.to(torch.complex128))
    assert diagnostics.stable_rank(w) == pytest.approx((values.square().sum() / values[0] ** 2).item(), rel=1e-9)


def test_of_a_users_model_all_products_are_bounded():
    """By the operations that are products, and by the elements of those that are none."""
    params, x, y = {"w": torch.ones(3)}, torch.ones(256, 8), torch.zeros(256)

    def cheap(w, x, y):
        return (x @ w["w"].sum().expand(8)).mean()

    def dear(w, x, y):
        return sum((x * w["w"].sum()).unsqueeze(1).expand(-1, 2000, -1).sin().mean() for _ in range(20))

    assert plan(cheap, params, x, y, True) == plan(cheap, params, x, y) == Plan(256, 256)
    assert plan(dear, params, x, y) == Plan(256, 256)
    found = plan(dear, params, x, y, True)
    assert found.at_once < 256
    assert 40 * 20 * 2 * 16000 * found.examples * 11 < 2.4e11 * 1.5


def test_stable_rank_by_hand():
    assert diagnostics.stable_rank(torch.diag(torch.tensor([2.0, 1.0, 1.0]))) == pytest.approx(1.5, rel=1e-12)
    assert diagnostics.stable_rank(torch.eye(6)[:, [2, 0, 1, 5, 4, 3]]) == pytest.approx(6.0, rel=1e-12)
    assert diagnostics.stable_rank(torch.ones(3, 4, 2)) == pytest.approx(1.0, rel=1e-12)
    for nothing in (torch.ones(3), torch.zeros(2, 3), torch.zeros(0, 3), torch.zeros(3, 0)):
        assert diagnostics.stable_rank(nothing) is None


def test_the_rank_of_a_run_is_a_column_of_its_layers():
    ready = trainer("diagnostics=[rank]", "epochs=1")
    (epoch,) = ready.train()
    found = {row["parameter"]: row["stable_rank"] for row in epoch.layers}
    expected = {n: diagnostics.stable_rank(w) for n, w in params_of(epoch.state).items()}
    assert found == expected
    assert {name for name, rank in found.items() if rank is None} == {n for n in found if n.endswith("bias")}
    assert all(1 <= rank <= 10 for rank in found.values() if rank)
