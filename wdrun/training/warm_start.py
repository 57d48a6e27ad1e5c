"""A model that begins with given weights in the place of its own initial ones; what does not fit is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from wdrun.errors import ConfigError
from wdrun.wording import listed

COUNT = ".num_batches_tracked"  # of a batch norm: files of before torch 0.4 and some converters leave it out


def begin(model: nn.Module, weights: Mapping[str, Tensor], skip: Sequence[str], named: str) -> None:
    """Put the weights into the model, by name.

    Those that a glob of `skip` matches stay as the model was built, and as they are in the file. ConfigError, which
    names the file `named`, unless the names and shapes of all others are the model's; a tensor that the model has by
    two names may have one of them.
    """
    own = {name: w for name, w in model.state_dict(keep_vars=True).items() if isinstance(w, Tensor)}
    names = dict.fromkeys((*own, *weights))
    for pattern in skip:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"init_skip={pattern}: matches no tensor; the model has {listed([*own], 8)}")
    taken = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in skip)]
    there = {id(own[name]) for name in weights if name in own}
    wrong = {
        "lacks": [n for n in taken if n not in weights and id(own[n]) not in there and not n.endswith(COUNT)],
        "has besides": [n for n in taken if n not in own],
        "has otherwise": [
            f"{n} ({_shape(weights[n])}, here {_shape(own[n])})"
            for n in taken
            if n in own and n in weights and own[n].shape != weights[n].shape
        ],
    }
    if said := [f"it {what} {listed(odd, 4)}" for what, odd in wrong.items() if odd]:
        raise ConfigError(
            f"{named}: is not of this model: {'; '.join(said)}; init_skip=[GLOB,…] leaves tensors out, as a head's"
        )
    with torch.no_grad():
        for name in taken:
            if name in weights:
                own[name].copy_(weights[name])


def _shape(w: Tensor) -> str:
    return "×".join(map(str, w.shape)) or "one number"
