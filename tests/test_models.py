"""Models: the articles' shapes and sizes, norms, dropout, seeds, a user's own module."""

import importlib
import random
import sys
import types

import pytest
import torch
from torch import nn

from wdrun import models
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.errors import ConfigError

IMAGE = (3, 32, 32)


def build(*words, seed=0):
    spec = parse(compose(["data=synthetic", *words])).run.model
    return models.build(spec, IMAGE, 10, seed)


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("model=cnn",), 313_546),
        (("model=mlp",), 3072 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10),
        (("model=mlp", "model.hidden=[64]"), 3072 * 64 + 64 + 64 * 10 + 10),
        (("model=linear",), 30_730),
        (("model=cnn", "model.norm=batch"), 313_546 + 2 * (64 + 64 + 128)),
    ],
)
def test_sizes(words, parameters):
    model = build(*words)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.eval()(torch.zeros(2, *IMAGE)).shape == (2, 10)


def test_the_cnn_is_article_004s_with_relu_before_or_after_pooling():
    model, x = build("model=cnn"), torch.randn(4, *IMAGE, generator=torch.Generator().manual_seed(0))
    f = nn.functional
    h = f.max_pool2d(f.relu(model.conv1(x)), 2)
    h = f.max_pool2d(f.relu(model.conv2(h)), 2)
    assert h.shape == (4, 64, 5, 5)
    h = model.fc2(f.relu(model.fc1(h.flatten(1))))
    torch.testing.assert_close(model(x), h)


@pytest.mark.parametrize("norm", models.NORMS)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_norms_normalise(name, norm):
    model = build(f"model={name}", f"model.norm={norm}", "model.dropout=0.5").train()
    x = torch.randn(32, *IMAGE, generator=torch.Generator().manual_seed(0))
    seen = {}
    for part, module in model.named_children():
        module.register_forward_hook(lambda m, i, out, part=part: seen.update({part: out}))
    model(x)
    layers = [part for part in seen if part.startswith("norm")]
    assert len(layers) == (0 if norm == "none" else {"mlp": 2, "cnn": 3}[name])
    for part in layers:
        over = {"batch": [0, *range(2, seen[part].ndim)]}.get(norm, list(range(1, seen[part].ndim)))
        torch.testing.assert_close(
            seen[part].mean(over), torch.zeros(()).expand_as(seen[part].mean(over)), atol=1e-5, rtol=0
        )
    assert sum(isinstance(m, nn.Dropout) for m in model.modules()) == {"mlp": 2, "cnn": 1}[name]


def test_initial_weights_depend_on_the_seed_alone():
    torch.manual_seed(5)
    first = build("model=cnn")
    state = torch.get_rng_state()
    again, other = build("model=cnn"), build("model=cnn", seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.conv1.weight, again.conv1.weight)
    assert not torch.equal(first.conv1.weight, other.conv1.weight)


def test_what_a_module_draws_while_it_is_imported_depends_on_nothing_unless_it_was_imported_before(
    tmp_path, monkeypatch
):
    """By wdrun it is the same in every process; whoever imported it before keeps what was drawn then."""
    (tmp_path / "drawing_net.py").write_text(
        "import random, torch\nDRAWN = random.random(), torch.rand(()).item()\nclass Net(torch.nn.Module):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def drawn(seed, first=lambda: None):
        monkeypatch.delitem(sys.modules, "drawing_net", raising=False)
        random.seed(seed), torch.manual_seed(seed)
        first()
        models.factory("drawing_net.Net")
        return sys.modules["drawing_net"].DRAWN

    def imported():
        importlib.import_module("drawing_net")

    assert drawn(1) == drawn(2)
    assert len({drawn(1), drawn(1, imported), drawn(2, imported)}) == 3
    monkeypatch.delitem(sys.modules, "drawing_net")


class Net(nn.Module):
    def __init__(self, depth, classes, width):
        super().__init__()
        self.body = nn.Linear(3072, depth * width)
        self.head = nn.Linear(depth * width, classes)

    def forward(self, x):
        return self.head(self.body(x.flatten(1)))


@pytest.fixture
def mine(monkeypatch):
    module = types.ModuleType("my_models")
    module.Net, module.five = Net, lambda: 5
    monkeypatch.setitem(sys.modules, "my_models", module)


def test_a_users_module_gets_its_arguments(mine):
    model = build("model._target_=my_models.Net", "+model.depth=2", "model.width=7")
    assert model.body.out_features == 14
    assert model.head.out_features == 10


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("model._target_=my_models.Nest",), "model._target_=my_models.Nest: cannot be imported"),
        (("model._target_=Net",), "model._target_=Net: cannot be imported"),
        (("model._target_=my_models.Net",), "model._target_=my_models.Net: .*missing.*'depth'"),
        (("model._target_=my_models.Net", "+model.deep=1"), "unexpected keyword argument 'deep'"),
        (("model._target_=my_models.five",), "gave a int, not a torch.nn.Module"),
        (
            ("model=cnn", "model.channels=[8,8,8,8]"),
            "needs images of 76×76 or more, not 32×32; take .8, 8. or model=mlp",
        ),
    ],
)
def test_what_does_not_fit_is_a_sentence(mine, words, message):
    with pytest.raises(ConfigError, match=message):
        build(*words)


@pytest.mark.parametrize(
    "words", [("model=cnn",), ("model=mlp",), ("model=linear",), ("model=mlp", "model.norm=layer")]
)
def test_forward_is_functional_call_bit_for_bit(words):
    model = build(*words)
    params = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    x = torch.randn(4, *IMAGE)
    direct = models.forward(model, params, {}, x)
    assert torch.equal(direct, torch.func.functional_call(model, (params, {}), (x,)))
    seen = []
    handle = model[-1].register_forward_hook(lambda *given: seen.append(1))
    assert torch.equal(models.forward(model, params, {}, x), direct)
    handle.remove()
    assert seen == [1]
