"""Files of weights that a run may begin with: read as tensors alone, whatever else is in them, or refused in a line."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from wdrun.config.run import Run
from wdrun.config.warm_start import file_of
from wdrun.contents import of_bytes
from wdrun.errors import ConfigError
from wdrun.training import network

INSIDE = ("state_dict", "model_state_dict", "model")  # where the checkpoints of others keep their weights


def begun_with(run: Run) -> dict[str, Tensor] | None:
    """The tensors of the run's `init_from`, None where it has none; ConfigError unless the file is the run's own."""
    if run.init_from is None:
        return None
    path, named = file_of(run.init_from), f"init_from={run.init_from}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{named}: cannot be read ({error.strerror})") from error
    if (digest := of_bytes(content)) != run.init_digest:
        raise ConfigError(f"{named}: has other content than the run begins with: init_digest={digest} of the file now")
    try:
        found: Any = safetensors.torch.load(content)
    except SafetensorError:
        try:
            found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)  # tensors, no code
        except Exception as error:  # whatever a damaged or another's file makes of it
            raise ConfigError(
                f"{named}: must be .safetensors, or tensors and names alone as torch.save wrote them"
            ) from error
    inner = next(
        (found[key] for key in INSIDE if isinstance(found, Mapping) and isinstance(found.get(key), Mapping)), found
    )
    try:
        tensors = {str(name): _tensor(str(name), w) for name, w in inner.items()}
    except (AttributeError, TypeError, ValueError):  # no mapping, or what is no tensor
        tensors = {}
    if not tensors:
        raise ConfigError(f"{named}: must hold a state dict, names of tensors and nothing else")
    return tensors


def _tensor(name: str, value: Any) -> Tensor:
    """A state dict's value; TypeError where it is neither a tensor nor extra state, which may be anything of JSON."""
    if not isinstance(value, Tensor) and not name.endswith(network.EXTRA):
        raise TypeError(name)
    return value if isinstance(value, Tensor) else network.packed(value)
