"""What a parameter is, and so whether it decays: by its layer, its name and its shape, in networks of public styles."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from tests.decay.networks import ConvNeXt, ResNet, Swin, ViT
from wdrun import models
from wdrun.decay import chosen_scope, coefficients, kinds
from wdrun.errors import ConfigError


def scoped(model, scope="weights"):
    """The names in a scope."""
    params = {n: p.detach() for n, p in model.named_parameters()}
    return set(coefficients(params, [], True, scope, kinds(model)))


def what(model):
    return {name: kind.what for name, kind in kinds(model).items()}


@pytest.mark.parametrize(
    ("model", "weights", "conv"),
    [
        (ResNet, {"stem.weight", "block.conv1.weight", "block.conv2.weight", "fc.weight"}, 3),
        (ConvNeXt, {"stem.weight", "dw.weight", "up.weight", "down.weight", "head.weight"}, 2),
        (
            ViT,
            {f"{n}.weight" for n in ("patch", "q", "k", "v", "proj", "head", "kinds_embedding")} | {"mixing"},
            1,
        ),
        (Swin, {"attn.meta.2.weight", "attn.qkv.weight", "head.weight"}, 0),
    ],
)
def test_the_weights_of_layers_decay_and_nothing_else(model, weights, conv):
    model = model()
    assert scoped(model) == weights
    parts = {name for name, kind in kinds(model).items() if kind.scope == "conv"}
    assert len(parts) == conv
    if conv:
        assert scoped(model, "conv") == parts
    else:
        with pytest.raises(ConfigError, match=r"decay\.scope=conv: no parameter is of that kind"):
            scoped(model, "conv")
    assert scoped(model, "all") == dict(model.named_parameters()).keys()


def test_each_kind_is_named():
    found = what(ViT())
    assert found["cls_token"] == found["register_tokens"] == "token"
    assert found["pos_embed"] == found["position_embeddings.weight"] == "position embedding"
    assert (found["kinds_embedding.weight"], found["mixing"]) == ("embedding", "weight")
    assert (found["q_norm.weight"], found["norm.bias"]) == ("weight of a norm", "bias of a norm")
    found = what(ConvNeXt())
    assert found["over_image.weight"] == found["norm.weight"] == "weight of a norm"
    assert (found["layer_scale"], found["stem.bias"]) == ("vector", "bias")
    spared = {"absolute", "attn.relative_position_bias_table", "attn.meta.0.weight", "attn.meta.0.bias"}
    named = {name for name, of in what(Swin()).items() if of == "named by no_weight_decay"}
    assert named == spared | {"attn.state_log"}


@pytest.mark.parametrize("norm", models.NORMS)
@pytest.mark.parametrize("name", ["linear", "mlp", "cnn"])
def test_of_the_shipped_models_it_is_what_shapes_say(name, norm):
    arguments = {"hidden": [8, 8]} if name == "mlp" else {"channels": [4, 4], "width": 8} if name == "cnn" else {}
    arguments |= {"dropout": 0.0, "norm": norm} if arguments else {}
    model = models.build({"name": name, **arguments}, (3, 32, 32), 10, 0)
    params = dict(model.named_parameters())
    for scope in ("auto", "all", "fc", *["conv"] * (name == "cnn")):
        assert coefficients(params, [], True, scope, kinds(model)) == coefficients(params, [], True, scope)


class NormedLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 4))


class FilterResponseNorm2d(nn.BatchNorm2d):
    pass


class Conv1dCausal(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 5))


class NetWithoutNorm(nn.Module):
    """A model, and no norm, though its name ends so."""

    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4, 1, 1))
        self.mix = nn.Parameter(torch.randn(4, 8))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 8))
        self.head = nn.Linear(8, 2)


class MLPNoNorm(nn.Module):
    """A model without layers, its weights bare: no norm either."""

    def __init__(self):
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(12, 4)), nn.Parameter(torch.zeros(4))


class ScaleNorm(nn.Module):
    """A norm, with a part that has no parameters."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4, 8))
        self.act = nn.ReLU()


class FilmNorm(ScaleNorm):
    """A norm that has another inside, its gains in a list and in a mapping, and one of them parametrized."""

    def __init__(self):
        super().__init__()
        self.inner = nn.LayerNorm(8)
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(4, 8))])
        self.more = nn.ParameterDict({"gain": nn.Parameter(torch.ones(4, 8))})
        parametrize.register_parametrization(self, "scale", nn.Softplus())


class PreNorm(ScaleNorm):
    """No norm: it has one, and a layer behind it."""

    def __init__(self):
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(8), nn.Linear(8, 2)


class Prompts(nn.Module):
    """Tokens and kernels in lists."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.ParameterList([nn.Parameter(torch.randn(1, 2, 8))])
        self.kernels = nn.ParameterDict(
            {"first": nn.Parameter(torch.randn(4, 8)), "pos_embed": nn.Parameter(torch.randn(4, 8))}
        )


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (
            NetWithoutNorm(),
            {"gamma": "vector", "mix": "fully connected", "cls_token": "token"}
            | {"head.weight": "fully connected", "head.bias": "bias"},
        ),
        (MLPNoNorm(), {"w1": "fully connected", "b1": "vector"}),
        (nn.ModuleDict({"a": ScaleNorm()}), {"a.scale": "weight of a norm"}),
        (
            nn.ModuleDict({"a": FilmNorm()}),
            dict.fromkeys(
                ("a.parametrizations.scale.original", "a.inner.weight", "a.gains.0", "a.more.gain"), "weight of a norm"
            )
            | {"a.inner.bias": "bias of a norm"},
        ),
        (
            nn.ModuleDict({"a": PreNorm()}),
            {"a.scale": "fully connected", "a.norm.weight": "weight of a norm", "a.norm.bias": "bias of a norm"}
            | {"a.layer.weight": "fully connected", "a.layer.bias": "bias"},
        ),
        (
            Prompts(),
            {"tokens.0": "token", "kernels.first": "fully connected", "kernels.pos_embed": "position embedding"},
        ),
        (NormedLinear(), {"weight": "fully connected"}),  # normalised, not a norm
        (FilterResponseNorm2d(3), {"weight": "weight of a norm", "bias": "bias of a norm"}),
        (Conv1dCausal(), {"kernel": "convolution"}),
        (nn.Linear(5, 1), {"weight": "fully connected", "bias": "bias"}),  # a matrix of one row is no vector
        (nn.Conv2d(1, 4, 1), {"weight": "convolution", "bias": "bias"}),
        (nn.PReLU(4), {"weight": "vector"}),
        (nn.Bilinear(2, 3, 4), {"weight": "fully connected", "bias": "bias"}),
        (
            parametrizations.weight_norm(nn.Conv2d(2, 4, 3)),
            {
                "bias": "bias",
                "parametrizations.weight.original0": "gain of a weight norm",
                "parametrizations.weight.original1": "convolution",
            },
        ),
        (
            parametrizations.spectral_norm(nn.Linear(3, 4)),
            {"bias": "bias", "parametrizations.weight.original": "fully connected"},
        ),
        (
            nn.LSTM(2, 3),
            {"weight_ih_l0": "fully connected", "weight_hh_l0": "fully connected", "bias_ih_l0": "bias"}
            | {"bias_hh_l0": "bias"},
        ),
        (
            nn.MultiheadAttention(4, 2, add_bias_kv=True),
            {"in_proj_weight": "fully connected", "out_proj.weight": "fully connected"}
            | dict.fromkeys(("in_proj_bias", "out_proj.bias", "bias_k", "bias_v"), "bias"),
        ),
    ],
    ids=lambda of: type(of).__name__ if isinstance(of, nn.Module) else "",
)
def test_a_modules_parameters(module, expected):
    assert what(module) == expected


@pytest.mark.parametrize(
    ("name", "is_position"),
    [
        *((n, True) for n in ("pos_embed", "pos_embedding", "position_embedding", "positional_encoding", "rel_pos_h")),
        *((n, True) for n in ("absolute_pos_embed", "relative_position_bias_table", "relpos", "wpe", "pos_emb")),
        *((n, False) for n in ("position_mlp", "pos_weight", "composed", "deposit", "posterior")),
    ],
)
def test_positions_are_known_by_their_names(name, is_position):
    module = nn.Module()
    module.register_parameter(name, nn.Parameter(torch.randn(4, 4)))
    assert what(module) == {name: "position embedding" if is_position else "fully connected"}


def test_a_layer_with_such_a_name_is_a_layer():
    """A convolution that encodes positions has weights as any other."""
    assert what(nn.ModuleDict({"pos_embed": nn.Conv2d(4, 4, 3), "cls_token": nn.Linear(4, 4)})) == {
        "pos_embed.weight": "convolution", "pos_embed.bias": "bias",
        "cls_token.weight": "fully connected", "cls_token.bias": "bias",
    }  # fmt: skip


def test_a_table_of_words_is_a_weight_whatever_it_is_called():
    found = what(nn.ModuleDict({name: nn.Embedding(4, 4) for name in ("embed_tokens", "wte", "tokens", "wpe")}))
    assert found == dict.fromkeys(("embed_tokens.weight", "wte.weight", "tokens.weight"), "embedding") | {
        "wpe.weight": "position embedding"
    }


def test_by_layer_what_is_frozen_or_left_out_is_what_it_would_be():
    model = nn.Sequential(nn.Conv2d(3, 4, 3).requires_grad_(False), nn.Linear(4, 4))
    model[1].no_weight_decay = lambda: {"weight"}
    assert [kind.what for kind in kinds(model, by_layer=True).values()] == [
        "convolution", "bias", "fully connected", "bias",
    ]  # fmt: skip


def test_a_no_weight_decay_of_another_meaning_is_left_alone():
    model = nn.Linear(2, 2)
    model.no_weight_decay, model.no_weight_decay_keywords = True, None
    assert what(model) == {"weight": "fully connected", "bias": "bias"}


def test_a_tied_weight_is_one_and_a_frozen_one_none():
    model = nn.Sequential(nn.Embedding(4, 8), nn.Linear(8, 4, bias=False), nn.Linear(4, 4, bias=False))
    model[1].weight = nn.Parameter(model[0].weight.detach().T.contiguous().T)
    model[0].weight = model[1].weight
    model[2].weight.requires_grad_(False)
    assert what(model) == {"0.weight": "embedding", "2.weight": "frozen"}
    model[1].no_weight_decay = lambda: {"weight"}  # under its other name
    assert what(model)["0.weight"] == "named by no_weight_decay"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda self: 1 / 0, r"^model: no_weight_decay of Mine raised ZeroDivisionError: division by zero$"),
        (lambda self: [1], r"^model: no_weight_decay of Mine must give names of parameters$"),
    ],
)
def test_a_no_weight_decay_that_fails_is_a_sentence(given, message):
    model = type("Mine", (nn.Linear,), {"no_weight_decay": given})(2, 2)
    with pytest.raises(ConfigError, match=message):
        kinds(model)


def test_auto_is_weights_or_all():
    assert [chosen_scope("auto", True), chosen_scope("auto", False), chosen_scope("fc", False)] == [
        "weights", "all", "fc",
    ]  # fmt: skip
