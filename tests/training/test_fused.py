"""Fused training: every run gets the epochs it gets alone, whatever trains beside it and however that goes."""

import dataclasses
import math
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests import runs
from wdrun import decay, optim
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.decay import COUPLINGS, Knobs
from wdrun.errors import ConfigError
from wdrun.laws.cases import ACTING, Case, noise, option, step_of, weights
from wdrun.sweep.one_run import ready
from wdrun.training import fused
from wdrun.training.fused import capture, forward, limits, stack
from wdrun.training.fused.lift import Lift
from wdrun.training.measurement import closing
from wdrun.training.state import flatten
from wdrun.training.step import Training

FAST = ("precision=fp64", "threads=1", "device=cpu")
POINTS = ("data=regression", "data.train_examples=40", "data.val_size=8", "batch_size=8", "epochs=2", "augment=none")
POINTS = (*FAST, *POINTS, "model=mlp", "model.hidden=[4]", "lr=0.02")
IMAGES = ("data=synthetic", "data.train_examples=48", "data.test_examples=20", "data.val_size=16", "batch_size=8")
IMAGES = (*FAST, *IMAGES, "epochs=2", "lr=0.02", "model=cnn", "model.channels=[3,4]", "model.width=6")
TOLERANCE = 1e-9
DECAYS, OPTIMIZERS = option_names("decay"), option_names("optimizer")
MUON = ("optimizer.ns_dtype=float64",)  # in bf16 its matrix products round differently side by side
# λ at which each decay acts on these small models; 0 for the others is part of every group.
LAMS = (0.0, 0.05, 0.5)


@cache
def base(*words):
    return parse(compose(list(words))).run


def trainers_of(words, *changes):
    """A trainer for each set of changes to the run."""
    made = []
    for change in changes:
        flat = {k: v for k, v in change.items() if "." not in k}
        run = replace(base(*words), **flat)
        for key, value in change.items():
            if "." in key:
                group, name = key.split(".")
                run = replace(run, **{group: {**getattr(run, group), name: value}})
        made.append(ready(run))
    return made


def fuse(trainers, states=None, way=None):
    """Epochs by run."""
    found = [[] for _ in trainers]
    for i, epoch in fused.FusedTrainer(trainers, way).train(states):
        found[i].append(epoch)
    return found


def assert_close(a, b, where):
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_close(a[key], b[key], f"{where} {key}")
    elif isinstance(a, list):
        assert len(a) == len(b), where
        for i, pair in enumerate(zip(a, b, strict=True)):
            assert_close(*pair, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda m: f"{where}: {m}")
    elif isinstance(a, float):
        assert math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE), (where, a, b)
    else:
        assert a == b, (where, a, b)


def assert_same_epochs(serial, found, unmoved=()):
    """`unmoved` parameters have a gradient of zero: their layer rows are shares of rounding, and not compared."""
    assert [e.number for e in serial] == [e.number for e in found]
    for a, b in zip(serial, found, strict=True):
        given = dataclasses.asdict(a), dataclasses.asdict(b)
        for one in given:
            one["layers"] = [row for row in one["layers"] if row["parameter"] not in unmoved]
        clocks = [one.pop("timing") for one in given]
        assert [list(row) for row in clocks[0]] == [list(row) for row in clocks[1]]
        assert_close(*given, f"epoch {a.number}")


def assert_fused_is_serial(words, *changes, way=None, unmoved=()):
    found = fuse(trainers_of(words, *changes), way=way)
    for trainer, epochs in zip(trainers_of(words, *changes), found, strict=True):
        if epochs[-1].status == "done":
            runs.measured_once(trainer, epochs[-1])
        assert_same_epochs(runs.trained(trainer), epochs, unmoved)
    return found


def mixed(lams=LAMS):
    """λ, lr and seed all differ; the first two share their batches."""
    return [
        {"lam": lam, "lr": lr, "seed": seed} for lam, lr, seed in zip(lams, (0.02, 0.005, 0.01), (0, 0, 1), strict=True)
    ]


def chosen(decay, optimizer):
    """These options as changes to a run, with which a decay acts on a small model at once."""
    of_decay = {**option("decay", decay), **ACTING.get(decay, {})}
    # One input and rows of one length leave the first layer nothing to move, and its shares 0/0.
    of_decay |= {"scales": [["fc1*", 0.0]]} if decay == "unit_norm" else {}
    of_optimizer = option("optimizer", optimizer) | ({"ns_dtype": "float64"} if optimizer == "muon" else {})
    return {"decay": of_decay, "optimizer": of_optimizer}


@pytest.mark.parametrize("number", range(len(DECAYS)), ids=DECAYS)
def test_every_decay_trains_as_alone(number):
    """Each with another optimizer; every pair is stepped in `test_every_pair_steps_as_alone`."""
    options = chosen(DECAYS[number], OPTIMIZERS[number % len(OPTIMIZERS)])
    found = assert_fused_is_serial(POINTS, *[options | change for change in mixed()])
    assert [epochs[-1].status for epochs in found] == ["done"] * 3


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def pairs():
    for name in DECAYS:
        for coupling in COUPLINGS:
            try:
                Case(name, coupling, "sgd").rule(weights())
            except ConfigError:
                continue
            yield name, coupling


@pytest.mark.parametrize(("name", "coupling"), list(pairs()))
def test_every_pair_steps_as_alone(name, coupling):
    """Two steps of the lifted update with every optimizer: λ, lr, weights differ; t and the schedules are tensors."""
    shape = lambda progress: 1 - 0.7 * progress  # noqa: E731
    lams, lrs = double(0.0, 0.3, 1.1), double(0.05, 0.01, 0.02)
    spec = {**chosen(name, "sgd")["decay"], "coupling": coupling, "scales": []}
    rule = decay.build(spec, weights(), lambda spec: shape)
    starts = [{n: w * (1 + 0.2 * r) for n, w in weights().items()} for r in range(3)]
    grads = [{n: noise(t, n, w) for n, w in weights().items()} for t in (1, 2)]
    for kind in OPTIMIZERS:
        by = optim.build(chosen(name, kind)["optimizer"])
        plain = step_of(rule, by)

        def begin(params, by=by):
            return Training(params, by.init(params), rule.init(params))

        def move(now, grads, lam, lr, t, scales, plain=plain):
            return plain.update(now, grads, Knobs(lam, lr, double(0.5)[0], scales, t))

        now = torch.func.vmap(begin)({n: torch.stack([s[n] for s in starts]) for n in starts[0]})
        for t in (1, 2):
            scales = tuple(double(m)[0] for m in rule.lam_scales(0.5 * (t - 1)))
            step = torch.func.vmap(move, in_dims=(0, None, 0, 0, None, None))
            now = step(now, grads[t - 1], lams, lrs, double(t)[0], scales)
        for r, start in enumerate(starts):
            alone = begin(start)
            for t in (1, 2):
                scales = rule.lam_scales(0.5 * (t - 1))
                alone = plain.update(alone, grads[t - 1], Knobs(lams[r].item(), lrs[r].item(), 0.5, scales, t))
            mine = Training(*torch.utils._pytree.tree_map(lambda w, r=r: w[r], tuple(now)))
            assert_close(alone._asdict(), mine._asdict(), f"{kind}, run {r}")


@pytest.mark.parametrize("way", ["vmap", "grouped"])
@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (("augment=flip_crop",), [{"lam": 0.0}, {"lam": 0.1, "lr": 0.05}]),
        (("augment=cutout", "data.folds=3", "evaluate=calibration"), [*mixed(), {"fold": 1}, {"fold": 2, "seed": 5}]),
        (("model.channels=[20,4]", "schedule=one_cycle", "decay.schedule=cosine"), mixed()),
        (
            ("optimizer.lr_scales=[['*.bias',3],[conv*,0.2],[fc1*,0]]", "decay=proximal", "optimizer.dampening=0.2"),
            mixed(),
        ),
        (("label_smoothing=0.2", "augment.flip=alternate", "augment.pad_mode=reflect"), mixed()),
        (("label_smoothing=0.2", "augment=mixup"), mixed()),
        (("augment=cutmix", "augment.prob=0.5", "data.folds=3"), [*mixed(), {"fold": 1}, {"fold": 2, "seed": 5}]),
    ],
    ids=["shared", "folds", "wide", "groups", "smoothed", "mixup", "cutmix"],
)
def test_every_way_of_a_cnn_trains_as_alone(words, changes, way):
    assert_fused_is_serial((*IMAGES, *words), *changes, way=way)


def test_an_average_is_kept_as_alone():
    """Of weights and of a batch norm's statistics; their scores on val and test, too."""
    words = (*IMAGES, "model.norm=batch", "ema=0.8")
    found = assert_fused_is_serial(words, *mixed(), unmoved=("conv1.bias", "conv2.bias", "fc1.bias"))
    for trainer, epochs in zip(trainers_of(words, *mixed()), found, strict=True):
        assert "average/norm1.running_var" in epochs[-1].state.tensors
        alone = closing(trainer, runs.trained(trainer)[-1].state).average
        assert [(row["weights"], row["split"]) for row in alone] == [("ema", "val"), ("ema", "test")]
        assert_close(alone, closing(trainer, epochs[-1].state).average, "ema")


@pytest.mark.parametrize("words", [("model=linear",), ("model=mlp", "model.hidden=[5,3]")], ids=lambda w: w[0])
@pytest.mark.parametrize("way", ["vmap", "grouped"])
def test_dense_models_train_as_alone(words, way):
    images = [word for word in IMAGES if not word.startswith("model")]
    assert_fused_is_serial((*images, *words), {"lam": 0.1}, {"lam": 0.0}, way=way)
    assert_fused_is_serial((*images, *words), *mixed(), way=way)


@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_norms_train_as_alone(norm):
    """Also the buffers of a batch norm, which each run has its own of, and behind which a bias does nothing."""
    unmoved = ("conv1.bias", "conv2.bias", "fc1.bias") if norm == "batch" else ()
    found = assert_fused_is_serial((*IMAGES, f"model.norm={norm}"), *mixed(), unmoved=unmoved)
    if norm == "batch":
        assert found[0][-1].state.tensors["buffers/norm1.num_batches_tracked"].item() == 8


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("optimizer=sgd",), {"optimizer.momentum": (0.9, 0.5, 0.2)}),
        (("optimizer=sgd", "optimizer.nesterov=true"), {"optimizer.momentum": (0.9, 0.5, 0.2)}),
        (("optimizer=sgd", "optimizer.dampening=0.1"), {"optimizer.dampening": (0.1, 0.5, 0.2)}),
        (("optimizer=adam", "optimizer.amsgrad=true"), {"optimizer.beta2": (0.999, 0.9, 0.5)}),
        (("optimizer=adam",), {"optimizer.beta1": (0.9, 0.8, 0.5), "optimizer.beta2": (0.999, 0.9, 0.99)}),
        (("optimizer=nadam",), {"optimizer.beta1": (0.9, 0.8, 0.5), "optimizer.momentum_decay": (4e-3, 1e-2, 1e-3)}),
        (("optimizer=rmsprop", "optimizer.centered=true"), {"optimizer.alpha": (0.9, 0.99, 0.5)}),
        (("optimizer=rmsprop", "optimizer.momentum=0.5"), {"optimizer.momentum": (0.5, 0.6, 0.7)}),
        (("optimizer=adadelta",), {"optimizer.rho": (0.9, 0.8, 0.7), "optimizer.eps": (1e-6, 1e-5, 1e-4)}),
        (("optimizer=adagrad",), {"optimizer.eps": (1e-6, 1e-5, 1e-4)}),
        (("optimizer=lion",), {"optimizer.beta1": (0.9, 0.8, 0.7), "optimizer.beta2": (0.9, 0.99, 0.7)}),
        (("optimizer=muon", *MUON), {"optimizer.momentum": (0.9, 0.8, 0.7), "optimizer.beta1": (0.9, 0.8, 0.5)}),
    ],
    ids=lambda of: of[0] if isinstance(of, tuple) else "",
)  # fmt: skip
@pytest.mark.parametrize("precision", ["fp64", "fp32"])
def test_the_optimizers_numbers_may_differ(words, numbers, precision):
    changes = [change | {k: v[r] for k, v in numbers.items()} for r, change in enumerate(mixed())]
    words = (*POINTS, *words, "lr=0.02", f"precision={precision}")
    if precision == "fp64":
        assert_fused_is_serial(words, *changes)
        return
    found = [epochs[-1].state.tensors for epochs in fuse(trainers_of(words, *changes))]
    for trainer, tensors in zip(trainers_of(words, *changes), found, strict=True):
        for n, w in list(trainer.train())[-1].state.tensors.items():
            assert tensors[n].dtype == w.dtype
            torch.testing.assert_close(tensors[n], w, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("way", ["vmap", "grouped"])
def test_in_lower_precision_it_is_close(precision, way):
    words = (*IMAGES, f"precision={precision}", "optimizer=adam", "epochs=1")
    found = fuse(trainers_of(words, *mixed()), way=way)
    for trainer, (epoch,) in zip(trainers_of(words, *mixed()), found, strict=True):
        (alone,) = trainer.train()
        for a, b in zip(alone.metrics, epoch.metrics, strict=True):
            assert a["data_loss"] == pytest.approx(b["data_loss"], rel=1e-5 if precision == "fp32" else 0.05)


def test_diagnostics_and_shifted_tests_are_those_of_the_run():
    dense = ("model=mlp", "model.hidden=[5]")
    words = (
        *[w for w in IMAGES if "model" not in w],
        *dense,
        "epochs=1",
        "evaluate=full",
        "evaluate.gaussian_noise=[0.1]",
        "evaluate.blur=[]",
    )
    words = (*words, "evaluate.pgd=[]", "evaluate.brightness=[]", "evaluate.contrast=[]")
    assert_fused_is_serial((*words, "diagnostics=[histograms,oui,hessian]"), *mixed()[1:])


def test_a_run_that_stops_early_leaves_and_the_others_go_on():
    words = (*IMAGES, "epochs=6", "early_stopping.patience=1", "schedule=constant")
    changes = [{"lr": lr, "seed": seed} for lr, seed in ((0.02, 0), (1e-9, 1), (0.05, 2), (1e-9, 3))]
    found = assert_fused_is_serial(words, *changes)
    lengths = [len(epochs) for epochs in found]
    assert lengths[1] == lengths[3] == 2 < max(lengths)


@pytest.mark.parametrize(
    ("lr", "size", "cause"),
    [
        (1e12, 8, "validation loss is nan"),
        (1e305, 8, "data loss is nan at step 2 "),
        (1e300, 32, "validation loss is nan"),
    ],
)
def test_a_run_that_diverges_ends_with_its_cause_and_does_not_touch_the_others(lr, size, cause):
    words = (*IMAGES, f"batch_size={size}", "epochs=3", "schedule=constant", "decay=spectral")
    found = assert_fused_is_serial(words, {"lr": 0.02}, {"lr": lr}, {"lr": 0.01, "seed": 1})
    assert found[1][-1].status == "diverged"
    assert found[1][-1].summary["cause"].startswith(cause)
    tame = fuse(trainers_of(words, {"lr": 0.02}, {"lr": 0.02}, {"lr": 0.01, "seed": 1}))
    for r in (0, 2):
        ours, theirs = found[r][0].state.tensors, tame[r][0].state.tensors
        assert all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_a_group_resumes_from_the_runs_own_states():
    whole = fuse(trainers_of(POINTS, *mixed()))
    states = [epochs[0].state for epochs in whole]
    kept = [type(s)({n: w.clone() for n, w in s.tensors.items()}, dict(s.values)) for s in states]
    for epochs, rest in zip(whole, fuse(trainers_of(POINTS, *mixed()), kept), strict=True):
        assert_same_epochs(epochs[1:], rest)
    for trainer, state, epochs in zip(trainers_of(POINTS, *mixed()), kept, whole, strict=True):
        assert_same_epochs(list(trainer.train(state)), epochs[1:])


def test_states_stay_as_they_were_while_training_goes_on():
    seen = []
    for _, epoch in fused.FusedTrainer(trainers_of(POINTS, *mixed())).train():
        seen.append((epoch.state, {n: w.clone() for n, w in epoch.state.tensors.items()}))
    assert all(torch.equal(state.tensors[n], w) for state, was in seen for n, w in was.items())


def test_every_step_ticks_once():
    steps = []
    trainers = trainers_of(POINTS, *mixed())
    list(fused.FusedTrainer(trainers).train(tick=steps.append))
    assert steps == list(range(1, trainers[0].steps + 1))


# What a recorded step must not do: each replay runs the kernels of the recording on the same memory, nothing else.


class Watch(TorchDispatchMode):
    """Notes operations that move a value between host and device."""

    found: list

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        if name in ("_local_scalar_dense", "lift_fresh", "nonzero", "item", "is_nonzero", "equal", "masked_select"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def loaded(words, changes=None, way="vmap"):
    """A stack that has its first batches and its table."""
    trainers = trainers_of(words, *(changes or mixed()))
    made = stack.Stack(trainers, [t.initial() for t in trainers], way)
    made.table.copy_(torch.stack([double(*made._row(t)) for t in range(1, len(made.table) + 1)]))
    batches = [next(iter(t.train_batches.epoch(t.run.seed, 1))) for t in made.sources.values()]
    made.fill(batches)
    return made


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_waits_for_nothing(optimizer):
    for name in DECAYS:
        options = chosen(name, optimizer)
        options["optimizer"]["clip_norm"] = 1.0
        made = loaded((*POINTS, "ema=0.9"), [options | change for change in mixed()])
        if stack.recordable(made.first.rule):
            with Watch() as watch:
                made.advance()
            assert watch.found == [], name


def test_only_decompositions_are_not_recorded():
    built = {name: trainers_of(POINTS, chosen(name, "sgd"))[0].rule for name in DECAYS}
    assert {name for name, rule in built.items() if not stack.recordable(rule)} == {
        "alpha_decay",
        "nuclear",
        "spectral",
    }
    (mean,) = trainers_of((*POINTS, "decay=spectral", "decay.reduction=mean"), {})
    (chain,) = trainers_of((*POINTS, "decay=chain", "decay.terms=[{decay:l2},{decay:spectral}]"), {})
    assert not stack.recordable(mean.rule)
    assert not stack.recordable(chain.rule)


def test_a_rule_that_is_not_recorded_gets_the_steps_number_from_the_host():
    """So that it may branch on it without waiting for the device; a recorded one reads it from the table."""
    for decay_, kind in (("l2", torch.Tensor), ("alpha_decay", int)):
        made = stack.Stack(trainers := trainers_of((*POINTS, f"decay={decay_}"), {}), [trainers[0].initial()], "vmap")
        seen = []
        made.knobs = lambda row, of=made.knobs, seen=seen: seen.append(of(row).t) or of(row)
        for number in (1, 2):
            made.epoch(number, lambda step: None)
        assert [int(t) for t in seen] == list(range(1, trainers[0].steps + 1))
        assert {type(t) for t in seen} == {kind}


needs_fake = pytest.mark.skipif(torch.version.cuda is None, reason="a torch without CUDA has no fake device either")


@needs_fake
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_update_keeps_to_its_device(optimizer):
    """Shapes and devices alone, on a CUDA device that is not there: a tensor left on the host would raise."""
    for name in DECAYS:
        made = loaded((*POINTS, "ema=0.9"), [chosen(name, optimizer) | change for change in mixed()])
        with FakeTensorMode(allow_non_fake_inputs=True):
            move(made)
            knobs = made.knobs(made.table[0])
            after = made.lift.update(made.training, made.training.params, knobs)
            after = made.first.step.averaged(after, made.buffers, knobs.t)
            assert {w.device.type for w in flatten(after, {}).values()} == {"cuda"}, name


@needs_fake
@pytest.mark.parametrize("way", ["vmap", "grouped"])
@pytest.mark.parametrize("shared", [True, False])
def test_outputs_keep_to_their_device(way, shared):
    made = loaded((*IMAGES, "model.channels=[20,4]"), way=way)
    with FakeTensorMode(allow_non_fake_inputs=True):
        move(made)
        x = made.x[0] if shared else made.x.index_select(0, made.source_of)
        outputs = made.lift.outputs(made.training.params, made.buffers, x, shared)
        assert (outputs.shape, outputs.device.type) == ((3, 8, 10), "cuda")


def move(made):
    """Every tensor of a stack, to a device that does not exist."""

    def over(w):
        return torch.empty_like(w, device="cuda")

    tree = torch.utils._pytree.tree_map
    made.training = Training(*tree(over, tuple(made.training)))
    for name in ("buffers", "table", "counter", "losses", "right", "x", "y", "source_of"):
        setattr(made, name, tree(over, getattr(made, name)))
    for name in ("lam", "lr", "numbers"):
        setattr(made.lift, name, tree(over, getattr(made.lift, name)))


def test_rehearsals_leave_no_trace():
    made = loaded((*IMAGES, "model.norm=batch", "optimizer=adam", "ema=0.9"))
    before = [w.clone() for w in made.written()]
    capture.rehearse(made.advance, made.written())
    assert all(torch.equal(w, was) for w, was in zip(made.written(), before, strict=True))
    made.advance()
    assert sum(not torch.equal(w, was) for w, was in zip(made.written(), before, strict=True)) > len(before) / 2


def test_training_by_replays_is_training(monkeypatch):
    """A stand-in for a graph: rehearsed first, and what a call returned is overwritten by the next."""
    plain = fuse(trainers_of(IMAGES, *mixed()))

    def recorded(function, kept, device):
        capture.rehearse(function, kept)
        held = []

        def replay():
            fresh = function()
            held.extend([] if held else [{n: w.clone() for n, w in fresh.items()}])
            for n, w in fresh.items():
                held[0][n].copy_(w)
            return held[0]

        return replay

    monkeypatch.setattr(stack, "captured", recorded)
    for a, b in zip(plain, fuse(trainers_of(IMAGES, *mixed())), strict=True):
        assert_same_epochs(a, b)


def test_the_fused_step_is_the_functional_step():
    """What is moved in place is what gradients and update give."""
    made = loaded((*IMAGES, "optimizer=adamw"))
    lift, now = made.lift, made.copy()[0]
    x, y = made.x.index_select(0, made.source_of), made.y.index_select(0, made.source_of)
    grads, loss, right = lift.gradients(now.params, {}, x, y, False)
    lift = Lift(made.lift.trainers, "vmap")
    after = lift.update(now, grads, made.first.knobs(1))
    returned = made.advance()
    assert_close(after._asdict(), made.training._asdict(), "state")
    assert_close(grads, returned, "gradients")
    assert torch.equal(made.losses[0], loss)
    assert torch.equal(made.right[0], right.double())
    assert made.counter.item() == 1


# What cannot be fused, and what is said.


class Functional(nn.Module):
    """A user's own model that vmap can lift."""

    def __init__(self, input_shape, classes):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(input_shape), classes))

    def forward(self, x):
        return self.body(torch.tanh(x * self.scale[:, None, None]))


class Branching(Functional):
    def forward(self, x):
        out = super().forward(x)
        return out if out.sum() > 0 else -out


class Random(Functional):
    def forward(self, x):
        return super().forward(x) + torch.rand(10, dtype=x.dtype)


class Raising(Functional):
    """Raises where it is lifted, and there alone."""

    message = ""

    def forward(self, x):
        if torch._C._functorch.is_batchedtensor(self.scale):
            raise RuntimeError(self.message)
        return super().forward(x)


class Counting(Functional):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


def user(name):
    images = [word for word in IMAGES if not word.startswith("model")]
    return (*images, "model=cnn", f"model._target_=tests.test_fused.{name}")


@pytest.fixture
def own(monkeypatch):
    """The classes of this file, importable by name wherever the tests are started."""
    import sys

    monkeypatch.setitem(sys.modules, "tests.test_fused", sys.modules[__name__])
    return user


def test_a_users_model_trains_as_alone(own):
    assert fused.fusable(trainers_of(own("Functional"), {})[0]) is None
    assert_fused_is_serial(own("Functional"), *mixed())


@pytest.mark.parametrize(
    ("name", "says"),
    [("Branching", "its step cannot be lifted"), ("Random", "it draws random numbers")],
)
def test_a_model_that_cannot_be_lifted_says_why(name, says, own):
    trainers = trainers_of(own(name), {}, {"lam": 0.1})
    reason = fused.fusable(trainers[0])
    assert says in reason
    assert "\n" not in reason
    with pytest.raises(ConfigError, match="one after another"):
        fused.FusedTrainer(trainers)


def test_a_model_whose_steps_hang_on_those_before_is_refused(own):
    with pytest.raises(ConfigError, match=r"left behind in no parameter or buffer \(calls\)"):
        trainers_of(own("Counting"), {})


@pytest.mark.parametrize(
    ("message", "says"),
    [("", "RuntimeError"), ("\n\nthird\nfourth", "RuntimeError: third"), ("one\ntwo", "RuntimeError: one")],
)
def test_a_model_that_raises_is_named_in_one_line(message, says, own, monkeypatch):
    monkeypatch.setattr(Raising, "message", message)
    assert fused.fusable(trainers_of(own("Raising"), {})[0]) == f"its step cannot be lifted over runs ({says})"


def test_dropout_belongs_to_one_run():
    (trainer,) = trainers_of((*POINTS, "model.dropout=0.5"), {})
    assert "dropout1 is a dropout" in fused.fusable(trainer)


def test_resnets_train_as_alone_with_their_running_statistics():
    words = tuple(w for w in IMAGES if not w.startswith("model"))
    words += ("model=resnet", "model.widths=[3,4]", "model.residual=true", "model.activation=gelu", "decay=adamc")
    found = assert_fused_is_serial(words, *mixed())
    means = [epochs[-1].state.tensors["buffers/block1.norm1.running_mean"] for epochs in found]
    assert len({tuple(mean.tolist()) for mean in means}) == 3


def test_asking_leaves_the_trainer_as_it_was():
    words = (*IMAGES, "model.norm=batch")
    asked, fresh = trainers_of(words, {}, {})
    assert fused.fusable(asked) is None
    fused.bytes_per_run(asked)
    for a, b in zip(asked.train(), fresh.train(), strict=True):
        assert all(torch.equal(w, b.state.tensors[n]) for n, w in a.state.tensors.items())


@pytest.mark.parametrize(
    "change", [{"batch_size": 4}, {"epochs": 3}, {"optimizer.momentum": 0.0}, {"decay.coupling": "proximal"}], ids=str
)
def test_runs_of_another_structure_do_not_mix(change):
    trainers = trainers_of(POINTS, {}, change)
    assert len({fused.group_key(t) for t in trainers}) == 2
    with pytest.raises(ConfigError, match="must agree in all but lambda, lr"):
        fused.FusedTrainer(trainers)


def test_runs_that_start_apart_do_not_mix():
    trainers = trainers_of(POINTS, {}, {"lam": 0.1})
    later = next(trainers[0].train()).state
    with pytest.raises(ConfigError, match=r"same epoch; these have done \[0, 1\]"):
        list(fused.FusedTrainer(trainers).train([later, None]))


def test_a_way_the_model_cannot_go_is_refused():
    with pytest.raises(ConfigError, match="way=sideways: this model can go grouped, vmap"):
        fused.FusedTrainer(trainers_of(POINTS, {}), "sideways")


def test_only_plain_stacks_go_by_hand():
    relu, same = nn.ReLU(), nn.Linear(4, 4)
    assert forward.ways(nn.Sequential(same, relu, nn.Linear(4, 4), relu)) == ("grouped", "vmap")
    assert forward.ways(nn.Sequential(same, same)) == ("vmap",)
    for odd in (
        nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, bias=False), nn.Linear(3, 3, bias=False), nn.Tanh(),
        nn.Flatten(2), nn.Sequential(same), nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
    ):  # fmt: skip
        assert forward.ways(nn.Sequential(odd)) == ("vmap",)
    hooked = nn.Sequential(nn.Linear(3, 3))
    hooked[0].register_forward_hook(lambda *of: None)
    assert forward.ways(hooked) == ("vmap",)


def test_a_chunk_fits_and_chunks_are_even(monkeypatch):
    (trainer,) = trainers_of(IMAGES, {})
    one = fused.bytes_per_run(trainer)
    weights_held = sum(8 * p.numel() for p in trainer.model.parameters())
    assert one > 8 * weights_held
    for room, most in ((3, 3), (10, 10), (0.5, 1)):
        monkeypatch.setattr("wdrun.training.fused.limits._free", lambda device, room=room: (room + 0.01) * one / 0.6)
        for n in (1, 2, 7, 30):
            size = fused.chunk(n, trainer)
            assert 1 <= size <= most
            assert math.ceil(n / size) == math.ceil(n / most)


def test_the_free_memory_is_what_caches_would_give_back_too(tmp_path, monkeypatch):
    """What Linux says is available, not what lies idle; elsewhere half of what there is."""
    told, cpu = tmp_path / "meminfo", torch.device("cpu")
    told.write_text("MemTotal:       8000000 kB\nMemFree:         100000 kB\nMemAvailable:    3000000 kB\n")
    assert limits._free(cpu, told) == 3_000_000 * 1024
    known = {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(limits.os, "sysconf", known.__getitem__)
    assert limits._free(cpu, tmp_path / "nowhere") == 1000 * 4096 // 2
    told.write_text("MemTotal:       8000000 kB\n")
    assert limits._free(cpu, told) == 1000 * 4096 // 2
