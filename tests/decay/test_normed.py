"""Which layers a normalisation follows, held to what that means: their weights' length does not change the outputs."""

import copy
import math
import random
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import runs
from tests.decay.networks import ConvNeXt, ResNet, Swin, ViT
from wdrun.decay import normed
from wdrun.errors import ConfigError
from wdrun.explain import whole
from wdrun.training.diagnostics.layers import equilibrium


class Functions(nn.Module):
    """Layers and norms that are functions, a layer whose output is used twice, and one behind an activation."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.randn(12, 6)), nn.Linear(6, 6, bias=False)
        self.c, self.d = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.turned, self.head = nn.Parameter(torch.randn(6, 6)), nn.Linear(6, 3)

    def forward(self, x):
        x = F.layer_norm(x.flatten(1)[:, :12] @ self.a, (6,))
        y = self.b(x)
        x = y + F.group_norm(y, 2)
        x = F.rms_norm(torch.tanh(self.c(x)), (6,))
        x = F.layer_norm(F.dropout(self.d(x).relu(), 0.0).view(-1, 2, 3).permute(0, 2, 1), (2,), eps=1e-12).flatten(1)
        return self.head(x @ self.turned / self.turned.norm())


class ConvNorm(nn.Module):
    """A convolution and its norm, by a name that ends like a norm's."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)

    def forward(self, x):
        return self.bn(self.conv(x))


class AddNorm(nn.Module):
    """A residual sum and the norm of it."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(6)

    def forward(self, x, y):
        return self.norm(x + y)


class Named(nn.Module):
    """Modules named like norms: one with a layer of its own behind a layer, one of two inputs."""

    def __init__(self):
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 3, 1, bias=False), ConvNorm()
        self.fc, self.inner, self.add, self.head = nn.Linear(4, 6), nn.Linear(4, 6), AddNorm(), nn.Linear(6, 3)

    def forward(self, x):
        x = self.block(self.stem(x) + x).relu().mean((2, 3))
        return self.head(self.add(self.fc(x), y=self.inner(x)))


class OldWeightNorm(nn.Module):
    """Old-style weight norm, whose weight is no leaf and cannot be copied; draws while it is built and called."""

    def __init__(self):
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.conv = nn.utils.weight_norm(nn.Conv2d(3, 4, 3))
        self.bn, self.head, self.factor = nn.BatchNorm2d(4), nn.Linear(4, 10), 1 + random.random()

    def forward(self, x):
        return self.head(self.bn(self.conv(x)).mean((2, 3))) * (self.factor + 1e-3 * random.random())


class WithoutReturn(ResNet):
    """train() gives nothing back, and so eval() neither."""

    def train(self, mode=True):
        super().train(mode)


MODELS = {
    WithoutReturn: {"stem", "block.conv1", "block.conv2"},
    Named: {"block.conv"},
    ResNet: {"stem", "block.conv1", "block.conv2"},
    ConvNeXt: {"stem", "dw"},
    ViT: {"q", "k"},
    Swin: set(),
    Functions: {"a", "d"},
}


@pytest.mark.parametrize("kind", MODELS)
def test_a_layer_is_found_exactly_where_its_length_changes_nothing(kind):
    torch.manual_seed(0)
    model, x = kind().double(), torch.rand(3, 3, 32, 32, dtype=torch.float64)
    matrices = {name for name, p in model.named_parameters() if p.ndim > 1 and not name.endswith("bias")}
    found = normed(copy.deepcopy(model), x) & matrices
    assert found == {name if name == "a" else f"{name}.weight" for name in MODELS[kind]}
    with torch.no_grad():  # biases and ε are no part of what is scaled
        for name, p in model.named_parameters():
            p.mul_(name.rpartition(".")[2] != "bias")
        for module in model.modules():
            vars(module).update({"eps": 1e-12} if getattr(module, "eps", None) else {})
        outputs = model(x)
        for name in matrices:
            other = copy.deepcopy(model)
            other.get_parameter(name).mul_(4.0)
            moved = (other(x) - outputs).norm() / outputs.norm()
            free = name in found or name == "turned"  # which is divided by its own length, not followed by a norm
            assert (moved < 2e-4) if free else (moved > 1e-6), (name, moved)


def test_a_forward_pass_that_fails_is_a_sentence():
    with pytest.raises(ConfigError, match=r"^model: a forward pass of 2 examples failed: RuntimeError: .*shapes"):
        normed(nn.Linear(3, 4), torch.zeros(2, 5))


WORDS = ("decay=adamc", "lambda=0.1", "lr=0.1", "schedule=linear", "precision=fp64", "optimizer.momentum=0")
OWN = "model._target_=tests.decay.networks.ResNet"


def stepped(trainer, t):
    """The parameters before and after step t with gradients of zeros."""
    params = {n: p.detach() for n, p in trainer.model.named_parameters()}
    now = trainer.initial()
    from wdrun.training.state import unflatten

    training, _ = unflatten(now.tensors)
    return params, trainer.step.update(training, {n: torch.zeros_like(w) for n, w in params.items()}, trainer.knobs(t))


@pytest.mark.parametrize(
    ("words", "corrected"),
    [
        ((OWN,), {"stem.weight", "block.conv1.weight", "block.conv2.weight"}),
        ((OWN, "decay.corrected=all"), {"stem.weight", "block.conv1.weight", "block.conv2.weight", "fc.weight"}),
        (("model=cnn", *runs.CNN[1:], "model.norm=batch"), {f"{n}.weight" for n in ("conv1", "conv2", "fc1", "fc2")}),
        (
            ("model=cnn", *runs.CNN[1:], "model.norm=batch", "decay.corrected=normed"),
            {"conv1.weight", "conv2.weight", "fc1.weight"},
        ),
        (("model=cnn", *runs.CNN[1:], "decay.corrected=normed"), set()),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_adamc_corrects_the_layers_that_a_normalisation_follows(words, corrected):
    """w ← w(1 − η²λ/η₀) where one follows, w(1 − ηλ) elsewhere: of a model of one's own by itself, of ours if asked."""
    trainer = runs.trainer(*WORDS, *words)
    t = trainer.steps - 2
    lr = trainer.knobs(t).lr
    assert 0 < lr < 0.05
    before, after = stepped(trainer, t)
    for name in trainer.rule.scope():
        share = lr**2 * 0.1 / 0.1 if name in corrected else lr * 0.1
        torch.testing.assert_close(after.params[name], before[name] * (1 - share), rtol=0, atol=1e-15)
    assert set(trainer.rule.scope()) - trainer.rule.steady == corrected
    left = sum((p.square().sum() / 2 * 0.1 * (0.0 if n in corrected else 1.0)).item() for n, p in before.items()
               if n in trainer.rule.scope())  # fmt: skip
    found = trainer.rule.penalty(before, {}, 0.1, 1.0).item()  # at the end of the schedule only constant λ is left
    assert found == pytest.approx(left, rel=1e-12, abs=1e-15)


def test_a_normalized_lambda_is_divided_where_it_is_constant_too():
    """λ/√steps for the tensors without a norm: in the step, the penalty and the equilibrium."""
    trainer = runs.trainer(*WORDS, OWN, "decay.normalized=true")
    knobs, lam, name = trainer.knobs(trainer.steps - 2), 0.1 * trainer.steps**-0.5, "fc.weight"
    before, after = stepped(trainer, knobs.t)
    torch.testing.assert_close(after.params[name], before[name] * (1 - knobs.lr * lam), rtol=0, atol=1e-15)
    penalty = trainer.rule.penalty(before, {}, 0.1, 1.0).item()
    assert penalty == pytest.approx(lam * before[name].square().sum().item() / 2, rel=1e-12)
    settles = equilibrium(trainer.rule, trainer.optimizer, name, knobs)
    assert settles == pytest.approx(math.degrees(math.sqrt(2 * knobs.lr * lam)), rel=1e-12)


@pytest.mark.parametrize(
    "words", [("swd",), ("alpha_decay",), ("cpr", "decay.kappa_value=0.5", "lambda=10")], ids=lambda words: words[0]
)
def test_where_no_normalisation_follows_a_rule_of_its_own_has_a_constant_lambda_too(words):
    base = ("lambda=0.1", "lr=0.1", "precision=fp64", "model=mlp", "model.hidden=[4]", f"decay={words[0]}", *words[1:])
    apart, constant = runs.trainer(*base, "decay.schedule=linear", "+decay.corrected=normed"), runs.trainer(*base)
    ends = [list(trainer.train())[-1].state.tensors for trainer in (apart, constant)]
    assert all(torch.equal(w, ends[1][n]) for n, w in ends[0].items())


def test_a_look_at_the_norms_leaves_the_model_and_the_generators_as_they_are():
    """Also of one whose weights are no leaves, trained or not."""
    ours = runs.trainer(*WORDS, "model._target_=tests.decay.test_normed.OldWeightNorm")
    list(ours.train())
    before, drawn = {n: w.clone() for n, w in ours.model.state_dict().items()}, random.getstate()
    assert ours.layers.normed() == {"conv.bias"}
    assert random.getstate() == drawn
    assert all(torch.equal(w, before[n]) for n, w in ours.model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in ours.model.modules() if isinstance(module, nn.BatchNorm2d))
    assert all(p.requires_grad for p in ours.model.parameters())


def test_explain_says_which_layers_are_corrected():
    lines = whole(runs.trainer(*WORDS, OWN), ())
    fates = {line.split()[0]: line.split("  ")[-1] for line in lines if line.startswith("  ")}
    assert fates["stem.weight"] == "decayed: convolution, a normalisation follows"
    assert fates["fc.weight"] == "decayed: fully connected, no normalisation follows: λ constant"
    assert fates["bn.weight"] == "not decayed: weight of a norm"
    (budget,) = [line for line in lines if line.startswith("budget")]
    assert budget.endswith("; of the tensors with a constant λ, 1 of 4, it is more")


@pytest.mark.parametrize("more", [(), ("decay.normalized=true",)])
def test_where_no_normalisation_follows_adamc_is_decoupled_decay(more):
    words = (*WORDS, "model=mlp", "model.hidden=[4]", *more, "decay.corrected=normed")
    corrected, decoupled = runs.trainer(*words), runs.trainer(*words[1:-1], "decay=decoupled")
    assert corrected.budget == decoupled.budget
    ends = [list(trainer.train())[-1].state.tensors for trainer in (corrected, decoupled)]
    assert all(torch.equal(w, ends[1][n]) for n, w in ends[0].items())


def test_a_corrected_layer_has_its_own_equilibrium():
    words = (*WORDS, OWN, "epochs=2")
    trainer = runs.trainer(*words)
    rows = {row["parameter"]: row for row in next(trainer.train()).layers}
    knobs = trainer.knobs(trainer.steps_per_epoch)
    for name, m in (("stem.weight", knobs.lr / 0.1), ("fc.weight", 1.0)):
        expected = torch.rad2deg(torch.tensor(2 * knobs.lr * 0.1 * m, dtype=torch.float64).sqrt()).item()
        assert rows[name]["last_rotation_equilibrium"] == pytest.approx(expected, rel=1e-12)
