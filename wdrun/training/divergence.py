"""Where a run left the finite numbers, in words; None where it did not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def in_losses(losses: Tensor, t: int, epoch: int) -> str | None:
    """The first of the data losses (S,), those of the steps from t on, that is not finite."""
    finite = torch.isfinite(losses)
    if finite.all():
        return None
    first = int((~finite).int().argmax())
    return f"data loss is {losses[first].item()} at step {t + first} (epoch {epoch})"


def in_tensors(finite: Mapping[str, bool], t: int, epoch: int) -> str | None:
    """The first of the run's tensors, named, that is not all finite after step t."""
    name = next((name for name, fine in finite.items() if not fine), None)
    return None if name is None else f"{name} is not finite after step {t} (epoch {epoch})"


def in_validation(row: Mapping[str, Any], epoch: int) -> str | None:
    """The data loss of the epoch's validation row, if it is not finite."""
    loss = row["data_loss"]
    return None if math.isfinite(loss) else f"validation loss is {loss} (epoch {epoch})"
