"""Label noise of a training split: round(share·n) of its n labels become another class, all others equally likely.

Every example of the pool has its place in one order and its one wrong class, by the seed alone; noisy are the first
of the split in that order. So a larger share adds to a smaller one, and folds hardly differ where they overlap.
"""

import numpy as np
import torch
from torch import Tensor

from wdrun.data.splits import Rows
from wdrun.streams import stream_seed


def with_noise(labels: Tensor, rows: Rows, share: float, seed: int, classes: int) -> Tensor:
    """The int64 (N,) labels with the share in [0, 1] of those at `rows` replaced; the same tensor for none."""
    count = round(share * len(rows))
    if count == 0:
        return labels
    # raw generator words: numpy keeps those stable
    order, step = np.random.PCG64(stream_seed(seed, "label_noise")).random_raw((2, len(labels)))
    chosen = torch.from_numpy(rows[np.argsort(order[rows], kind="stable")[:count]])
    shift = torch.from_numpy((1 + step % (classes - 1)).astype(np.int64))
    noisy = labels.clone()
    noisy[chosen] = (labels[chosen] + shift[chosen]) % classes
    return noisy
