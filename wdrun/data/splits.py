"""Stratified rows of train and validation: a function of (labels, options), never of the run's seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wdrun.accepts import Accepts, check, whole
from wdrun.data.options import Spec, integer, share
from wdrun.streams import stream_seed

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Partition:
    """Rising rows of the pool, without an example in both."""

    train: Rows
    val: Rows


def partition(labels: Rows, spec: Spec, fold: int = 0, own_val: int = 0) -> Partition:
    """Split the pool of `labels` into train and validation as `spec` asks.

    folds = 1: validation is the last `own_val` of the pool, else `val_size` of it. folds = k > 1: validation is the
    fold-th of k parts.
    Then `train_size` keeps a stratified part of train. A class gets its proportional share, rounded up or down.
    ConfigError for an option that the pool is too small for.
    """
    folds, seed = integer(spec, "folds", 1, 1), integer(spec, "split_seed", 0, 0)
    check("fold", fold, Accepts(f"a whole number ≥ 0 and below data.folds={folds}", whole(0, folds - 1).fits))
    queues = _class_queues(labels, seed)
    if folds == 1 and own_val:
        val = np.arange(len(labels) - own_val, len(labels))
    elif folds == 1:
        part = share(spec, "val_size", len(labels), len(labels) - 1, "training examples")
        chosen = Accepts("a count or a fraction; λ is chosen on validation data", lambda v: v is not None)
        val = _take(queues, check("data.val_size", part, chosen))
    else:
        smallest = min((len(queue) for queue in queues), default=0)
        words = f"at most {smallest}, the size of the smallest class"
        check("data.folds", folds, Accepts(words, lambda n: n <= smallest))
        dealt = np.concatenate(queues)  # class after class, dealt like cards: fold sizes differ by at most one
        val = dealt[np.arange(len(dealt)) % folds == fold]
    train = np.setdiff1d(np.arange(len(labels)), val)
    part = share(spec, "train_size", len(train), len(train), "examples left for training")
    if part is not None:
        kept = np.isin(np.arange(len(labels)), train)
        train = _take([queue[kept[queue]] for queue in queues], part)
    return Partition(np.sort(train), np.sort(val))


def stratified(labels: Rows, count: int, seed: int, stream: str) -> Rows:
    """`count` rows, of each class its proportional share, rounded up or down."""
    return _take(_class_queues(labels, seed, stream), count)


def _class_queues(labels: Rows, seed: int, stream: str = "split") -> list[Rows]:
    """The rows of each class in random order, from raw generator words: numpy keeps those stable."""
    words = np.random.PCG64(stream_seed(seed, stream)).random_raw(len(labels))
    shuffled = np.argsort(words, kind="stable")
    return [shuffled[labels[shuffled] == c] for c in np.unique(labels)]


def _take(queues: list[Rows], count: int) -> Rows:
    """The first rows of every class queue, `count` in all, shared out by largest remainder."""
    sizes = np.array([len(queue) for queue in queues], dtype=np.int64)
    share_floor, remainder = np.divmod(sizes * count, sizes.sum())
    extra = np.argsort(-remainder, kind="stable")[: count - share_floor.sum()]
    share_floor[extra] += 1
    return np.concatenate([queue[:k] for queue, k in zip(queues, share_floor, strict=True)])
