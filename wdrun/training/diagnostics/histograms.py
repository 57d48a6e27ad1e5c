"""The rows of histograms.csv: weights counted in bins that are the same for every run, epoch and parameter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

WIDTH, LAST = 0.002, 250  # bin k covers (k ± ½)·WIDTH; the bins ±LAST also hold everything beyond


def histogram(w: Tensor) -> list[dict[str, Any]]:
    """#{w : round(w/0.002) = k} for every k from −250 to 250 with a weight in it; the outermost bins are open."""
    bins = (w.detach().double() / WIDTH).round().clamp(-LAST, LAST).long().flatten() + LAST
    counts = torch.bincount(bins, minlength=2 * LAST + 1).tolist()
    return [
        {"bin": i - LAST, "left": (i - LAST - 0.5) * WIDTH, "right": (i - LAST + 0.5) * WIDTH, "count": count}
        for i, count in enumerate(counts)
        if count
    ]
