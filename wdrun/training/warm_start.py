"""A model that begins with given weights in the place of its own initial ones; what does not fit is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import Tensor, nn

from wdrun.errors import ConfigError
from wdrun.training import network
from wdrun.wording import listed, named

COUNT = ".num_batches_tracked"  # of a batch norm: files of before torch 0.4 and some converters leave it out


def begin(model: nn.Module, weights: Mapping[str, Tensor], skip: Sequence[str], source: str) -> None:
    """Put the weights into the model, by name.

    Those that a glob of `skip` matches stay as the model was built, and as they are in the file. ConfigError, which
    begins with `source`, unless the names and shapes of all others are the model's. A tensor that the model has by two
    names may have one of them; buffers that no state dict has, and extra state, may be left out, and extra state has
    no shape.
    """
    own, saved = network.trained(model) | network.kept(model), network.saved(model)
    first = {name: name for name in own} | saved
    names = dict.fromkeys((*saved, *weights))
    for pattern in skip:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"init_skip={pattern}: matches no tensor; the model has {listed([*saved], 8)}")
    taken = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in skip)]
    there = {first[name] for name in weights if name in first}
    found = {first[n]: network.real(weights[n]) for n in taken if n in weights and n in first}
    tensors = {*saved.values()} | {name for name, _ in model.named_buffers()}
    wrong = {
        "lacks": [n for n in taken if n not in weights and first[n] not in there and not n.endswith(COUNT)],
        "has besides": [n for n in taken if n not in first],
        "has otherwise": [
            f"{n} ({_shape(found[n])}, here {_shape(own[n])})"
            for n in found
            if n in tensors and own[n].shape != found[n].shape
        ],
    }
    if said := [f"it {what} {listed(odd, 4)}" for what, odd in wrong.items() if odd]:
        raise ConfigError(
            f"{source}: is not of this model: {'; '.join(said)}; init_skip=[GLOB,…] leaves tensors out, as a head's"
        )
    params = {name: found.pop(name) for name in network.trained(model) if name in found}
    try:
        network.write(model, params, found)
    except Exception as error:  # of the user's set_extra_state
        raise ConfigError(f"{source}: its extra state does not fit: {named(error)}") from error


def _shape(w: Tensor) -> str:
    return "×".join(map(str, w.shape)) or "one number"
