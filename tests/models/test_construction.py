"""How a model comes of its config: seeds, and a user's own module."""

import importlib
import random
import sys
import types

import pytest
import torch
from torch import nn

from tests.models.networks import build
from wdrun import models
from wdrun.errors import ConfigError


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


class Anything(nn.Module):
    def __init__(self, depth=1, activation=None, **others):
        super().__init__()
        self.given, self.head = {"depth": depth, "activation": activation, **others}, nn.Linear(1, 1)


def test_keys_that_resnet_has_too_are_free_in_a_module_of_ones_own(mine):
    sys.modules["my_models"].Anything = Anything
    words = ("+model.depth=0.5", "+model.activation=silu", "+model.residual=0.1")
    given = build("model._target_=my_models.Anything", *words).given
    assert (given["depth"], given["activation"], given["residual"]) == (0.5, "silu", 0.1)
    of_resnet = build("model=resnet", "model._target_=my_models.Anything", "model.depth=3").given
    assert of_resnet == {"depth": 3, "activation": "relu"}  # what its signature names


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
