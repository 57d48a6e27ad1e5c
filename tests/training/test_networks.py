"""A user's own network beside a loop of plain torch: the same batches give the same losses, gradients and weights."""

import importlib
import random
import re
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests import runs
from tests.training import networks
from wdrun.decay import Chain, Decay, kinds
from wdrun.decay.l2_init import L2Init
from wdrun.errors import ConfigError
from wdrun.streams import seeded, stream_seed
from wdrun.sweep.one_run import ready
from wdrun.training import diagnostics, fused, network
from wdrun.training.state import unflatten

HERE = "model._target_=tests.training.networks."
BASE = (
    *("data=synthetic", "data.train_examples=200", "data.test_examples=20", "batch_size=32", "epochs=1", "threads=1"),
    *("schedule=constant", "decay.exclude_1d=false", "device=cpu"),
)
SGD = ("optimizer=sgd", "lr=0.05", "lambda=0.01")
TRAINS = [
    *("Flat", "ViewBehindConv", "ResNet", "Checkpointed", "Reentrant", "dense_net", "shuffle_net", "mobile_net", "vit"),
    *("Frozen", "SinCos", "EvalNorm", "Unused", "Halved", "Accumulated", "ForwardHook", "BackwardHook"),
    *("GradientReversal", "Centred", "NotSaved", "Standardised", "Projected", "Scaled", "Tied", "Shared", "ExtraState"),
    *("FourierFilter", "Rotary", "Paired", "NumpyInit", "NumpyNoise", "Drawn", "Dropped", "MapDropout", "Lazy"),
    *("Whole", "Embedded", "MaxNorm", "Video", "Lines", "WeightNorm", "SpectralNorm", "Mixer", "ConvNext"),
    *("SqueezeExcite", "Causal", "InstanceNorm", "Listed", "Momentum", "Memorised", "Watched", "sequential"),
    *("FrozenInTrain", "FrozenWithoutReturn", "Expanded", "InPlace", "Pruned", "CheckpointedDropout", "scripted"),
    "Turned",
]  # fmt: skip
pytestmark = pytest.mark.filterwarnings(
    "ignore:Lazy modules",
    "ignore:.*torch.jit",
    "ignore:.*use_reentrant",
    "ignore:None of the inputs",
    "ignore:There is a performance drop",
)


def trainer(name, *words):
    return runs.trainer(f"{HERE}{name}", *words, base=BASE)


def loop(ours, optimizer, clip=None, loss_of=F.cross_entropy):
    """The run's first epoch by plain torch: its losses, and the module after it."""
    run, machine = ours.run, ours.machine
    with seeded(stream_seed(run.seed, "init"), own=True):
        model = getattr(networks, run.model["name"])()
        if run.model["name"] == "Lazy":
            model.eval()(torch.zeros(2, 3, 32, 32))
    model = network.place(model, machine.device, machine.dtype, channels_last=False)
    steps = optimizer(model.parameters())
    losses = []
    with seeded(stream_seed(run.seed, "model", 1), own=True):
        for x, y in ours.train_batches.epoch(run.seed, 1):
            steps.zero_grad()
            loss = loss_of(model(x.contiguous()), y)
            loss.backward()
            for p in model.parameters():
                if p.grad is not None and p.grad.is_sparse:
                    p.grad = p.grad.to_dense()
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            torch.set_default_dtype(machine.dtype)  # in which torch keeps the product of its NAdam
            steps.step()
            torch.set_default_dtype(torch.float32)
            losses.append(loss.item())
    return losses, model


def agrees(ours, optimizer, tolerance, clip=None, loss_of=F.cross_entropy):
    (epoch,) = ours.train()
    losses, model = loop(ours, optimizer, clip, loss_of)
    assert len(losses) >= 5
    assert epoch.metrics[0]["data_loss"] == pytest.approx(np.mean(losses), rel=tolerance)
    params, kept = network.trained(model), network.kept(model)
    tensors = epoch.state.tensors
    assert {n.removeprefix("params/") for n in tensors if n.startswith("params/")} == params.keys()
    assert {n.removeprefix("buffers/") for n in tensors if n.startswith("buffers/")} == kept.keys()
    for name, w in params.items():
        torch.testing.assert_close(tensors[f"params/{name}"], w, rtol=tolerance, atol=tolerance, msg=name)
    for name, w in kept.items():
        torch.testing.assert_close(tensors[f"buffers/{name}"], w, rtol=tolerance, atol=tolerance, msg=name)


def sgd(params):
    return torch.optim.SGD(params, lr=0.05, momentum=0.9, weight_decay=0.01)


@pytest.mark.parametrize("name", TRAINS)
def test_trains_as_a_loop_in_torch(name):
    agrees(trainer(name, *SGD, "precision=fp32"), sgd, 1e-6)


@pytest.mark.parametrize("name", TRAINS)
def test_trains_as_a_loop_in_torch_to_the_last_digits(name):
    agrees(trainer(name, *SGD, "precision=fp64"), sgd, 1e-12)


TORCH = {
    "sgd": (("optimizer.momentum=0",), lambda p: torch.optim.SGD(p, lr=0.01, weight_decay=0.01)),
    "sgd dampening": (
        ("optimizer.dampening=0.5",),
        lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, dampening=0.5, weight_decay=0.01),
    ),
    "adam amsgrad": (
        ("optimizer.amsgrad=true", "optimizer.beta2=0.6"),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.9, 0.6), amsgrad=True, weight_decay=0.01),
    ),
    "adam": ((), lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01)),
    "adamw": ((), lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.01)),
    "nadam": ((), lambda p: torch.optim.NAdam(p, lr=0.01, betas=(0.9, 0.999), momentum_decay=4e-3, weight_decay=0.01)),
    "rmsprop": ((), lambda p: torch.optim.RMSprop(p, lr=0.01, weight_decay=0.01)),
    "adagrad": ((), lambda p: torch.optim.Adagrad(p, lr=0.01, weight_decay=0.01)),
    "adadelta": ((), lambda p: torch.optim.Adadelta(p, lr=0.01, weight_decay=0.01)),
}


@pytest.mark.parametrize("name", ["Dropped", "Unused", "FourierFilter", "Tied"])
@pytest.mark.parametrize("optimizer", TORCH)
def test_every_optimizer_steps_only_what_got_a_gradient_as_torch_does(name, optimizer):
    words, theirs = TORCH[optimizer]
    chosen = f"optimizer={optimizer.partition(' ')[0]}"
    agrees(trainer(name, chosen, "lr=0.01", "lambda=0.01", *words, "precision=fp64"), theirs, 1e-12)


def test_a_learning_rate_by_parameter_is_a_group_of_torch_where_some_get_no_gradient():
    scales = 'optimizer.lr_scales=[["*.bias",3],["stem*",0.5]]'
    ours = trainer("Dropped", "optimizer=adamw", "lr=0.01", "lambda=0.1", scales, "precision=fp64")
    assert {0.5, 3.0} == {*ours.lr_factors.values()}
    names = list(network.trained(ours.model))

    def groups(params):
        one = [{"params": [p], "lr": 0.01 * ours.lr_factors.get(n, 1)} for n, p in zip(names, params, strict=True)]
        return torch.optim.AdamW(one, weight_decay=0.1)

    agrees(ours, groups, 1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "nadam", "muon"])
def test_a_run_whose_steps_leave_parameters_out_resumes_to_the_same_bits(optimizer):
    words = (f"optimizer={optimizer}", "lr=0.01", "lambda=0.01", "epochs=3", "optimizer.clip_norm=0.5")
    whole = list(trainer("Dropped", *words).train())
    for after in whole[:-1]:
        rest = list(trainer("Dropped", *words).train(after.state))
        assert rest[-1].state.tensors.keys() == whole[-1].state.tensors.keys()
        assert all(torch.equal(w, rest[-1].state.tensors[n]) for n, w in whole[-1].state.tensors.items())
        assert [e.metrics for e in rest] == [e.metrics for e in whole[after.number :]]
        assert [e.layers for e in rest] == [e.layers for e in whole[after.number :]]


@pytest.mark.parametrize(
    "decay",
    [
        "decay=cpr decay.kappa=init decay.kappa_value=0.5",
        "decay=chain decay.terms=[{decay:l2},{decay:cpr,kappa:init,kappa_value:0.5}]",
    ],
    ids=["alone", "in a chain"],
)
def test_the_memory_of_a_rule_stands_still_with_its_parameter(decay):
    ours = trainer("Dropped", "optimizer=sgd", "lr=0.05", "lambda=0.1", *decay.split())
    now, _ = unflatten(ours.initial().tensors)
    grads = {n: torch.ones_like(w) for n, w in now.params.items() if not n.startswith("block.")}
    after = ours.step.update(now, grads, ours.knobs(1))
    memory = "1." if "chain" in decay else ""
    assert f"{memory}block.conv1.weight.m" in after.decay
    for key, m in after.decay.items():
        holder = key.removeprefix(memory).rpartition(".")[0]
        assert torch.equal(m, now.decay[key]) == (holder not in grads or key.endswith(".kappa")), key


def test_of_a_chain_the_memory_is_that_of_the_exact_name():
    """3.0.weight may be a parameter, or what rule 3 keeps of 0.weight."""
    parts = [Decay(L2Init(), "decoupled", {"0.weight": 1.0, "1.0.weight": 1.0}) for _ in range(2)]
    rule = Chain(tuple(parts), (1.0, 1.0))
    names = [rule.holder(key) for key in rule.init({n: torch.ones(2) for n in ("0.weight", "1.0.weight")})]
    assert names == ["0.weight", "1.0.weight"] * 2


@pytest.mark.parametrize("name", ["Standardised", "MaxNorm"])
def test_a_step_is_measured_from_where_the_forward_pass_left_the_weights(name):
    """Without momentum the last step is −lr·(g + λw), of w as it was then; and decay's share of it λ‖w‖/‖g + λw‖."""
    ours = trainer(name, *SGD, "optimizer.momentum=0", "precision=fp64")
    (epoch,) = ours.train()
    moved = []

    class Watching(torch.optim.SGD):
        def step(self):
            moved[:] = [(p.detach().clone(), p.grad.clone()) for group in self.param_groups for p in group["params"]]
            super().step()

    _, model = loop(ours, lambda params: Watching(params, lr=0.05, weight_decay=0.01))
    rows = {row["parameter"]: row for row in epoch.layers}
    for (parameter, _), (w, g) in zip(model.named_parameters(), moved, strict=True):
        size = (g + 0.01 * w).norm().item()
        assert rows[parameter]["last_update_norm"] == pytest.approx(0.05 * size, rel=1e-8), parameter
        assert rows[parameter]["last_update_ratio"] == pytest.approx(0.05 * size / w.norm().item(), rel=1e-8)
        assert rows[parameter]["last_decay_share"] == pytest.approx(0.01 * w.norm().item() / size, rel=1e-6)


def test_what_a_module_draws_in_evaluation_is_the_same_in_every_diagnostic():
    ours = trainer("Noisy", *SGD, "diagnostics=[oui,hessian]")
    (epoch,) = ours.train()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    training, buffers = unflatten(epoch.state.tensors)
    rows = [{"parameter": name} for name in training.params]
    first, ends = ours.inspector.beside(rows, training.params, buffers), ours.inspector.end(training.params, buffers)
    drawn = random.random(), np.random.random(), torch.rand(()).item()
    assert not ours.inspector.failures
    assert first == ours.inspector.beside(rows, training.params, buffers)
    assert ends == ours.inspector.end(training.params, buffers)
    assert [row["oui"] for row in epoch.layers] == [row["oui"] for row in first[0]]
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert (random.random(), np.random.random(), torch.rand(()).item()) == drawn


def test_a_frozen_layer_keeps_its_activations_to_itself():
    """An OUI stands with the layer before the ReLU, not with the last one that learns."""
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 6).requires_grad_(False), torch.nn.ReLU()
    )
    marks = [name for name, kind in kinds(model, by_layer=True).items() if kind.scope != "all"]
    x = torch.randn(8, 4)
    found = diagnostics.patterns(model, marks, lambda: model(x))
    assert found["0.weight"] == diagnostics.indicator(model[:2](x) > 0).item()
    ours = trainer("Frozen")
    assert "stem.weight" in ours.inspector.weights


def test_what_only_another_machine_can_do_is_a_note_where_the_run_trains_elsewhere():
    who = f"{HERE}OnGpu: a training step fails: NotImplementedError: no kernel for the CPU"
    with pytest.raises(ConfigError, match=re.escape(who)):
        trainer("OnGpu")
    looked_at = ready(runs.run(f"{HERE}OnGpu", base=BASE), elsewhere=True)
    assert looked_at.found.notes == (
        "a training step fails: NotImplementedError: no kernel for the CPU, on the CPU of this machine; where it "
        "trains it is tried again",
    )


def test_after_a_reload_of_what_it_imports_a_module_is_tried_anew(tmp_path, monkeypatch):
    """Twice: the second reload may be given the memory of what the first let go of."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    layers, net = tmp_path / "reloaded_layers.py", tmp_path / "reloaded_net.py"
    net.write_text(
        "import reloaded_layers\nfrom tests.training.networks import Base\n"
        "class Net(Base):\n    def forward(self, x):\n        return reloaded_layers.scaled(super().forward(x))\n"
    )
    layers.write_text("def scaled(x):\n    return x\n")
    words = "model._target_=reloaded_net.Net"
    runs.trainer(words, base=BASE)
    for text in ("x, x", "x[:, :9]"):
        layers.write_text(f"def scaled(x):\n    return {text}\n")
        importlib.reload(sys.modules["reloaded_layers"])
        with pytest.raises(ConfigError, match="its output"):
            runs.trainer(words, base=BASE)


def test_a_prediction_draws_the_same_every_time():
    words = (f"{HERE}Blurred", "data=regression", "epochs=1", "threads=1", "device=cpu", "schedule=constant")
    ours = runs.trainer(*words, base=("lambda=0",))
    random.seed(5)
    first = ours.predictions(ours.initial())
    assert first == ours.predictions(ours.initial())
    drawn = random.random()
    random.seed(5)
    assert first
    assert random.random() == drawn


@pytest.mark.parametrize("name", ["ExtraState", "NotSaved", "NumpyNoise", "FourierFilter", "ViewBehindConv", "Drawn"])
def test_resumed_to_the_same_bits(name):
    whole = list(trainer(name, *SGD, "epochs=2").train())
    (rest,) = trainer(name, *SGD, "epochs=2").train(whole[0].state)
    assert all(torch.equal(w, rest.state.tensors[n]) for n, w in whole[-1].state.tensors.items())
    assert rest.metrics == whole[-1].metrics


@pytest.mark.parametrize(("clip", "gradient"), [("data", "g"), ("all", "g + λw")])
def test_what_is_clipped(clip, gradient):
    """torch clips g and then adds λw, so that only optimizer.clip=data is its weight_decay."""
    words = ("optimizer=sgd", "optimizer.momentum=0", "lr=0.05", "lambda=0.5", "precision=fp64")
    ours = trainer("Base", *words, "optimizer.clip_norm=0.1", f"optimizer.clip={clip}")
    if clip == "data":
        agrees(ours, lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.5), 1e-12, clip=0.1)
        return
    with seeded(stream_seed(0, "init")):
        model = networks.Base().double()
    (epoch,) = ours.train()
    for x, y in ours.train_batches.epoch(0, 1):
        grads = torch.autograd.grad(F.cross_entropy(model(x), y), [*model.parameters()])
        full = [g + 0.5 * p.detach() for g, p in zip(grads, model.parameters(), strict=True)]
        size = torch.cat([g.flatten() for g in full]).norm()
        with torch.no_grad():
            for p, g in zip(model.parameters(), full, strict=True):
                p -= 0.05 * g * min(1.0, 0.1 / (size + 1e-6))
    for name, p in model.named_parameters():
        torch.testing.assert_close(epoch.state.tensors[f"params/{name}"], p.detach(), rtol=1e-12, atol=1e-12)


def test_smoothed_labels_train_as_in_a_loop_in_torch_and_are_not_validated_with():
    ours = trainer("Base", *SGD, "label_smoothing=0.2", "precision=fp64")
    agrees(ours, sgd, 1e-12, loss_of=partial(F.cross_entropy, label_smoothing=0.2))
    (epoch,) = ours.train()
    _, model = loop(ours, sgd, loss_of=partial(F.cross_entropy, label_smoothing=0.2))
    for row, split in zip(epoch.metrics[1:], ("val", "test"), strict=True):
        x, y = next(ours.evaluator.batches(split, row["examples"]).sequential())
        assert row["data_loss"] == pytest.approx(F.cross_entropy(model.eval()(x), y).item(), rel=1e-12)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_images_train_as_in_a_loop_in_torch(kind):
    ours = trainer("Base", *SGD, f"augment={kind}", "label_smoothing=0.1", "precision=fp64")
    agrees(ours, sgd, 1e-12, loss_of=partial(F.cross_entropy, label_smoothing=0.1))


@pytest.mark.parametrize("name", ["Dropped", "Tied", "Paired", "Frozen", "MaxNorm"])
def test_the_average_is_of_what_learns_in_every_step_with_a_gradient_or_without(name):
    ours = trainer(name, *SGD, "ema=0.8", "precision=fp64")
    (epoch,) = ours.train()
    seen = []

    class Watching(torch.optim.SGD):
        def step(self):
            super().step()
            seen.append([network.real(p.detach()).clone() for of in self.param_groups for p in of["params"]])

    _, model = loop(ours, lambda params: Watching(params, lr=0.05, momentum=0.9, weight_decay=0.01))
    mean = seen[0]
    for weights in seen[1:]:
        mean = [0.8 * e + 0.2 * w for e, w in zip(mean, weights, strict=True)]
    learns = {n: e for (n, p), e in zip(model.named_parameters(), mean, strict=True) if p.requires_grad}
    averages = {n.removeprefix("average/"): e for n, e in epoch.state.tensors.items() if n.startswith("average/")}
    assert averages.keys() == {*learns, *network.statistics(ours.model)}
    for n, e in learns.items():
        torch.testing.assert_close(averages[n], e, rtol=1e-12, atol=1e-13, msg=n)


REFUSED = {
    "Pair": "its output is a tuple; it must be a tensor of shape (4, 10) for 4 examples, a logit for each class",
    "Sized +model.size=9": "its output has shape (4, 9); it must be a tensor of shape (4, 10) for 4 examples, a logit",
    "Sized +model.size=1000": "its output has shape (4, 1000); it must be a tensor of shape (4, 10)",
    "Halt": "a training step fails: RuntimeError: mat1 and mat2",
    "EvalHalt": "evaluation fails: AssertionError: only for training",
    "AllFrozen": "all its 482 parameters are frozen: nothing to train",
    "Empty": "it has no parameters: nothing to train",
    "Labels": "its output is of type torch.int64; it must be of real numbers",
    "Infinite": "its output is not finite before any training",
    "Kink": "the gradient of stem.weight is not finite before any training",
    "Detached": "its output depends on no parameter that learns",
    "Unfreezes +model.first=1": "block.conv1.weight learns now and did not when training began: its forward pass sets "
    "requires_grad; freeze a part while the model is built, and go on from its weights in another run (init_from=…)",
    "Hidden": "a step depends on what an earlier one left behind in no parameter or buffer (running); "
    "a resumed run would go on without it, so make it a tensor and register it with register_buffer",
    "Unseeded": "built twice with one seed, head.weight differs; no seed reaches it: draw from torch, random or numpy",
    "UnseededNoise": "two steps with one seed differ in output; no seed reaches it",
    "UnsavedState": "its state cannot be saved: TypeError: Object of type set is not JSON serializable",
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_train_is_refused_with_a_sentence(words):
    with pytest.raises(ConfigError) as refusal:
        trainer(*words.split())
    assert str(refusal.value).startswith(f"{HERE}{words.split()[0]}: {REFUSED[words]}")
    assert "\n" not in str(refusal.value)


def test_what_unfreezes_in_a_later_step_ends_there_with_a_sentence():
    steps = []
    with pytest.raises(ConfigError, match=r"^model=Unfreezes: block\.conv1\.weight learns now and did not when"):
        list(trainer("Unfreezes", "+model.first=4", *SGD).train(tick=steps.append))
    assert steps == [1, 2, 3]


NOTES = {
    "FrozenInTrain": ["block.conv1.weight and 5 more are frozen (requires_grad=False): kept as built, without decay"],
    "Frozen": ["stem.weight and 7 more are frozen (requires_grad=False): kept as built, without decay"],
    "Unused": ["spare.weight and 1 more are without gradient: a step leaves such a parameter alone, without decay"],
    "Watched": ["calls is changed by the forward pass and no buffer: a resumed run begins with it as built"],
    "Tied": [], "Memorised": [], "Rotary": [], "ExtraState": [],
}  # fmt: skip


@pytest.mark.parametrize("name", NOTES)
def test_what_a_user_should_know_is_said(name):
    assert [*trainer(name).found.notes] == NOTES[name]


TOGETHER = ["Flat", "ResNet", "Frozen", "FrozenWithoutReturn", "WeightNorm", "NumpyInit", "Causal", "Listed",
            "sequential"]  # fmt: skip


@pytest.mark.parametrize("name", TOGETHER)
def test_runs_that_train_together_are_those_that_train_alone(name):
    words = (*SGD, "precision=fp64", "epochs=2")
    alone = [list(trainer(name, *words, f"seed={seed}").train()) for seed in (0, 1)]
    both = list(fused.FusedTrainer([trainer(name, *words, f"seed={seed}") for seed in (0, 1)]).train())
    for place, epoch in both:
        other = alone[place][epoch.number - 1]
        assert epoch.state.tensors.keys() == other.state.tensors.keys()
        for key, w in other.state.tensors.items():
            torch.testing.assert_close(epoch.state.tensors[key], w, rtol=1e-9, atol=1e-9, msg=key)
    assert len(both) == 4


APART = {
    "Checkpointed": "called with other parameters, its",
    "Reentrant": "it cannot be called with other parameters (RuntimeError: When use_reentrant=True",
    "dense_net": "called with other parameters, its",
    "Unused": "spare.weight gets no gradient",
    "Halved": "head.weight has a hook",
    "Accumulated": "head.weight has a hook",
    "BackwardHook": "lifted over runs, its stem.weight is another",
    "GradientReversal": "its step cannot be lifted over runs",
    "Centred": "called with other parameters, its centre is another",
    "Standardised": "its forward pass changes stem.weight",
    "InPlace": "its forward pass changes the images",
    "scripted": "it cannot be called with other parameters (RuntimeError: The stateless API",
    "Projected": "what its seed draws is not all in parameters and buffers",
    "Scaled": "what its seed draws is not all in parameters and buffers",
    "Shared": "block is again too",
    "ExtraState": "it has extra state",
    "FourierFilter": "filter is complex",
    "Turned": "turns is complex",
    "NumpyNoise": "it draws random numbers, which belong to one run",
    "Dropped": "it draws random numbers, which belong to one run",
    "Drawn": "it draws random numbers, which belong to one run",
    "Embedded": "the gradient of words.weight is sparse",
    "MaxNorm": "it limits the norm of its weights (max_norm)",
}


@pytest.mark.parametrize("name", APART)
def test_what_cannot_be_lifted_trains_alone_and_as_if_it_had_not_been_tried(name):
    tried = trainer(name, *SGD)
    assert str(fused.fusable(tried)).startswith(APART[name])
    (epoch,), (other,) = tried.train(), trainer(name, *SGD).train()
    assert all(torch.equal(w, epoch.state.tensors[n]) for n, w in other.state.tensors.items())


LAYOUT = {"ResNet": True, "shuffle_net": True, "vit": True, "Flat": False, "ViewBehindConv": False, "Paired": False,
          "Video": False, "MapDropout": False}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUT)
def test_images_are_laid_out_channels_last_where_the_network_takes_them(name):
    ours = trainer(name)
    assert ours.channels_last == LAYOUT[name]
    x, _ = next(ours.train_batches.epoch(0, 1))
    assert x.is_contiguous(memory_format=torch.channels_last if LAYOUT[name] else torch.contiguous_format)


def test_what_a_module_draws_from_numpy_and_random_leaves_the_programs_generators_alone():
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    list(trainer("NumpyNoise", "lambda=0").train())
    list(trainer("NumpyInit", "lambda=0").train())
    assert (random.random(), np.random.random()) == expected


def test_a_hessian_is_not_taken_of_what_is_no_function_of_its_tensors():
    with pytest.raises(ConfigError, match=r"^diagnostics=\[hessian\]: not of this model: head.weight has a hook$"):
        trainer("Halved", "diagnostics=[hessian]")
    assert trainer("Base", "diagnostics=[hessian]").step.no_function is None


def test_a_hessian_is_the_same_whatever_train_and_eval_give_back():
    ends = []
    for name in ("FrozenInTrain", "FrozenWithoutReturn"):
        ours = trainer(name, *SGD, "diagnostics=[hessian]")
        training, buffers = unflatten(ours.initial().tensors)
        ends.append(ours.inspector.end(training.params, buffers))
        assert not ours.inspector.failures
    assert ends[0] == ends[1] != {}


def test_a_trainer_is_not_changed_by_training():
    """Though the module is trained in place: what it begins with, and what λ can do, stay those of the start."""
    ours = trainer("Centred", *SGD)
    expected = ours.initial().tensors
    (first,), budget = ours.train(), ours.at(0.02).budget
    assert all(torch.equal(w, ours.initial().tensors[name]) for name, w in expected.items())
    (second,) = ours.train()
    assert all(torch.equal(w, second.state.tensors[name]) for name, w in first.state.tensors.items())
    assert budget == trainer("Centred", *SGD, "lambda=0.02").budget


def test_the_readme_says_of_each_kind_of_module_how_it_trains():
    text = (Path(__file__).parents[2] / "wdrun" / "training" / "README.md").read_text(encoding="utf-8")
    table = text.partition("| what the module does | alone | together |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    told = [part.strip() for _, _, cell in rows if cell.startswith("no: ") for part in cell[4:].split(", ")]
    for reason in APART.values():
        if "lifted" not in reason:  # that is of vmap, which the first row names
            assert any(all(word in reason for word in part.split("…")) for part in told), reason
    for part in told:
        assert any(all(word in reason for word in part.split("…")) for reason in APART.values()), part
    refused = [part.strip() for _, cell, _ in rows if cell.startswith("refused: ") for part in cell[9:].split(", ")]
    for part in refused:
        assert any(part in reason for reason in REFUSED.values()), part
    assert len(rows) == 20
