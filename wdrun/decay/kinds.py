"""What each parameter of a module is: a convolution, a bias, a norm's weight, a class token. Scopes go by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import ParametrizationList

from wdrun.errors import ConfigError
from wdrun.wording import named


class Kind(NamedTuple):
    """What a parameter is, in words, and the narrowest scope that holds it: conv, fc, weights; "all" where no other."""

    what: str
    scope: str


Kinds = Mapping[str, Kind]  # by parameter name


@dataclass(frozen=True)
class Layers:
    """What a decay may ask of the module that holds the parameters: their kinds, and which a normalisation follows.

    `normed()` gives the names of these, at the cost of a forward pass. `selective`: `corrected: auto` asks for them.
    """

    kinds: Kinds
    normed: Callable[[], frozenset[str]]
    selective: bool


NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
MATRICES = (nn.Linear, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)
TABLES = (nn.Embedding, nn.EmbeddingBag)
# Names by which the modules of others are known: class names of norms, attributes that hold positions or tokens.
NORM = re.compile(r"norm(ali[sz]ation)?(_?\d+d)?$", re.IGNORECASE)
POSITION = re.compile(r"(^|_)(rel)?pos(ition(al)?s?)?(_?(emb|enc|bias|table)\w*|_[hwdt])?$|^wpe$")
TOKEN = re.compile(r"(^|_)tokens?$")
BIAS = re.compile(r"(^|_)bias(_|$)")

CONVOLUTION, MATRIX, OTHER = Kind("convolution", "conv"), Kind("fully connected", "fc"), Kind("weight", "weights")


def by_shape(params: Mapping[str, Tensor]) -> dict[str, Kind]:
    """The kinds of tensors without a module: of two dimensions a matrix, of more a convolution."""
    return {
        n: Kind("vector", "all") if w.ndim < 2 else CONVOLUTION if w.ndim > 2 else MATRIX for n, w in params.items()
    }


def kinds(model: nn.Module, by_layer: bool = False) -> dict[str, Kind]:
    """The kind of every parameter of a module, by the layer that holds it, by its name, and by its shape.

    Outside of convolutions and linear layers a tensor with one dimension longer than 1 is a vector, whatever its shape:
    a gain (C, 1, 1), a token (1, 1, D). What `no_weight_decay()` of the module or of a part of it names is left out, as
    timm does it; so is a parameter with the attribute `_no_weight_decay`. An nn.Embedding is a weight, as in timm,
    unless its name says that it holds positions. `by_layer`: whether it is frozen or left out is not asked.
    """
    first = {id(p): name for name, p in model.named_parameters()}
    spared = _spared(model)
    found: dict[str, Kind] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        for own, p in module.named_parameters(prefix, recurse=False, remove_duplicate=False):
            kind = _kind(model, module, own, p)
            if by_layer:
                found.setdefault(first[id(p)], kind)
            elif spared(own) or getattr(p, "_no_weight_decay", False):
                found[first[id(p)]] = Kind("named by no_weight_decay", "all")  # under whichever name of a tied one
            else:
                found.setdefault(first[id(p)], kind if p.requires_grad else Kind("frozen", "all"))
    return {name: found[name] for name in first.values()}


def is_norm(module: nn.Module, model: nn.Module) -> bool:
    """Whether a part of a model is a normalisation: one of torch's, derived from one, or named like one.

    The name counts of neither the whole model nor what has layers inside, as PreNorm(dim, fn).
    """
    if isinstance(module, NORMS):
        return True
    named_like_one = module is not model and NORM.search(type(module).__name__)
    return bool(named_like_one) and not any(map(is_layer, module.modules()))


def is_layer(module: nn.Module) -> bool:
    """Whether it multiplies by a matrix, or is a table."""
    return makes_product(module) or isinstance(module, TABLES)


def makes_product(module: nn.Module) -> bool:
    """Whether it is a convolution or another layer of torch's that multiplies by a matrix."""
    return isinstance(module, (*MATRICES, _ConvNd))


def _kind(model: nn.Module, module: nn.Module, name: str, p: Tensor) -> Kind:
    path, _, own = name.rpartition(".")
    gain = own.endswith("_g")
    if isinstance(module, ParametrizationList):  # torch.nn.utils.parametrizations: original0, … of one weight
        gain = own == "original0" and "_WeightNorm" in {type(part).__name__ for part in module}
        path, _, own = path.rpartition(".parametrizations.")
        module = model.get_submodule(path)
    while path and isinstance(module, nn.ParameterList | nn.ParameterDict):  # a part of whatever holds it
        path, _, holder = path.rpartition(".")
        own = holder if isinstance(module, nn.ParameterList) else own
        module = model.get_submodule(path)
    if is_norm(module, model):
        return Kind("bias of a norm" if own == "bias" else "weight of a norm", "all")
    holder = path.rpartition(".")[2] if isinstance(module, TABLES) else own
    if not makes_product(module) and POSITION.search(holder):
        return Kind("position embedding", "all")
    if not is_layer(module) and TOKEN.search(own):  # embed_tokens is a table of words
        return Kind("token", "all")
    if BIAS.search(own):
        return Kind("bias", "all")
    if p.ndim < 2:
        return Kind("vector" if p.ndim else "scalar", "all")
    if makes_product(module):
        if gain:
            return Kind("gain of a weight norm", "all")
        return CONVOLUTION if isinstance(module, _ConvNd) else MATRIX
    if isinstance(module, TABLES):
        return Kind("embedding", "weights")
    if p.numel() == max(p.shape):
        return Kind("vector", "all")
    if p.ndim > 3 or (p.ndim == 3 and "conv" in type(module).__name__.lower()):
        return CONVOLUTION if p.shape[0] > 1 else OTHER
    return MATRIX if p.ndim == 2 else OTHER


def _spared(model: nn.Module) -> Callable[[str], bool]:
    """Whether a parameter is one that the module, or a part of it, takes out of decay by name.

    `no_weight_decay()` gives names, relative to the module that has it, of parameters or of parts that hold them;
    `no_weight_decay_keywords()` parts of names. ConfigError where they give anything else.
    """
    patterns, keywords = [], []
    for prefix, module in model.named_modules():
        within = f"{prefix}." if prefix else ""
        for word in _names(module, "no_weight_decay"):
            patterns += [within + word, f"{within}{word}.*"]
        keywords += [(within, word) for word in _names(module, "no_weight_decay_keywords")]

    def spared(name: str) -> bool:
        named = any(fnmatchcase(name, pattern) for pattern in patterns)
        return named or any(name.startswith(within) and word in name[len(within) :] for within, word in keywords)

    return spared


def _names(module: nn.Module, attribute: str) -> list[str]:
    given = getattr(module, attribute, ())
    if not callable(given) and not isinstance(given, str | Collection):  # such as True: of something else
        return []
    try:
        given = given() if callable(given) else given
        names = [given] if isinstance(given, str) else [*given]
    except Exception as error:  # whatever the user's code raises
        raise ConfigError(f"model: {attribute} of {type(module).__name__} raised {named(error)}") from error
    if not all(isinstance(name, str) for name in names):
        raise ConfigError(f"model: {attribute} of {type(module).__name__} must give names of parameters")
    return names
