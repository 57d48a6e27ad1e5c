"""From a data config to a Dataset: the pool of its name (cached per process), then splits (cheap)."""

import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from weakref import ref

import torch
from torch import Tensor

from wdrun.accepts import check, check_known, one_of
from wdrun.data import cifar10, cifar100, own, parts, regression, synthetic, torchvision_sets
from wdrun.data.dataset import Dataset, Pool, Split
from wdrun.data.label_noise import with_noise
from wdrun.data.options import Spec, integer, real
from wdrun.data.splits import partition

SPLITTING = ("val_size", "train_size", "folds", "split_seed")
POOLS: dict[str, Callable[[Spec], Pool]] = {
    "arrays": own.pool,
    "cifar10": cifar10.pool,
    "cifar100": cifar100.pool,
    "folder": own.pool,
    "regression": regression.pool,
    "synthetic": synthetic.pool,
    "torchvision": torchvision_sets.pool,
}
OPTIONS = {
    "arrays": own.OPTIONS,
    "cifar10": cifar10.OPTIONS,
    "cifar100": cifar100.OPTIONS,
    "folder": own.OPTIONS,
    "regression": regression.OPTIONS,
    "synthetic": synthetic.OPTIONS,
    "torchvision": torchvision_sets.OPTIONS,
}
GENERATED = ("regression", "synthetic")


def load(spec: Spec, fold: int = 0) -> Dataset:
    """The data set of `spec`, a config's `data`, with train and val of `fold`, and the complete test split.

    ConfigError for an option that does not fit; StorageError where CIFAR-10 cannot be had.
    """
    name = _name(spec)
    pool = POOLS[name](spec)
    rows = _rows(ref(pool), fold, **{key: spec[key] for key in SPLITTING if key in spec})
    splits = {
        "train": Split(pool.train_images, _train_labels(name, pool, rows["train"], spec), rows["train"]),
        "val": Split(pool.train_images, pool.train_labels, rows["val"]),
        "test": Split(pool.test_images, pool.test_labels, rows["test"]),
    }
    *size, channels = pool.train_images.shape[1:]
    shape = (channels, *size)
    return Dataset(name, splits, pool.classes, pool.mean, pool.std, _digest(name, pool, spec), shape, pool.names)


def digest(spec: Spec) -> str:
    """The SHA-256 (hex) of the data of `spec`, as `load` gives it; errors as of `load`."""
    return _known_digest(json.dumps(spec, sort_keys=True))


@lru_cache(maxsize=4096)
def _known_digest(text: str) -> str:
    """That of a spec as JSON; remembered, as there are more sets in a sweep than pools in memory."""
    spec = json.loads(text)
    name = _name(spec)
    return _digest(name, POOLS[name](spec), spec)


def _noise(name: str, spec: Spec) -> float:
    """The share of label noise to put in; a generated set has its own in the pool."""
    return 0.0 if name in GENERATED else real(spec, "label_noise", 0.0, 0, 1)


def _digest(name: str, pool: Pool, spec: Spec) -> str:
    """The pool's digest, or one of it and its label noise: not of the labels, so all folds have the same."""
    if (share := _noise(name, spec)) == 0:
        return pool.digest
    noise = f"{pool.digest} label_noise={share!r} split_seed={integer(spec, 'split_seed', 0, 0)}"
    return hashlib.sha256(noise.encode()).hexdigest()


def _train_labels(name: str, pool: Pool, rows: Tensor, spec: Spec) -> Tensor:
    """The labels to train on."""
    if (share := _noise(name, spec)) == 0:
        return pool.train_labels
    return with_noise(pool.train_labels, rows.numpy(), share, integer(spec, "split_seed", 0, 0), pool.classes)


@lru_cache(maxsize=64, typed=True)
def _rows(of: ref[Pool], fold: int, **options: object) -> dict[str, Tensor]:
    """The rows of each split; remembered, as the runs of a sweep share them. A regression is one stratum.

    The pool itself, which is large, is not kept by that.
    """
    pool = of()
    assert pool is not None
    labels = pool.train_labels
    strata = torch.zeros(len(labels), dtype=torch.int64) if labels.is_floating_point() else labels
    found = partition(strata.numpy(), options, fold, pool.own_val)
    parts = {"train": found.train, "val": found.val}
    rows = {name: torch.from_numpy(part) for name, part in parts.items()}
    return rows | {"test": torch.arange(len(pool.test_labels))}


def fetch(spec: Spec) -> str:
    """Make sure the data of `spec` are there and verified; one line for people. Errors as of `load`."""
    name = _name(spec)
    if name == "cifar10":
        return cifar10.fetch(spec)
    if name == "torchvision":
        torchvision_sets.download(spec)
    pool = POOLS[name](spec)
    if name in GENERATED:
        kind = "points" if pool.train_images.is_floating_point() else "images"
        counts = f"{len(pool.train_images)} training and {len(pool.test_images)} test {kind}"
        return f"{name}: {counts}, generated on the spot, nothing to fetch; SHA-256 {pool.digest}"
    origin = {"cifar100": cifar100.origin, "torchvision": torchvision_sets.origin}.get(name, own.origin)
    return f"{name}: {parts.counts(pool)}, {origin(spec)}; {parts.moments(pool)}; SHA-256 {pool.digest}"


def _name(spec: Spec) -> str:
    """The checked name, after checking that the other keys are options of that data set, or arguments of its class."""
    name: str = check("data.name", spec.get("name"), one_of(*POOLS))
    if name != "torchvision":
        check_known("data", spec, ("name", *OPTIONS[name], *SPLITTING), name)
    return name
