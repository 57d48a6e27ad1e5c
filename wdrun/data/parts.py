"""Images and labels by part, train and perhaps val and test, checked and made into a pool: mean, spread, test split."""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from wdrun.accepts import Accepts, check
from wdrun.data.canonical import BadSource
from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, integer, share
from wdrun.data.reading.found import Found, Images, checked, size_of
from wdrun.data.splits import Rows, stratified
from wdrun.errors import ConfigError
from wdrun.wording import counted

TEST = ("test_size",)
CHUNK = 1000  # images counted at once


def pooled(found: Found, spec: Spec, source: str) -> Pool:
    """The pool of a source, which a refusal begins with: a test part is kept aside where it has none.

    ConfigError for one class, parts that do not fit together, and labels that are not 0 … K − 1.
    """
    if "test" in found.parts:
        return _pooled(found, None, 0, source)
    return _pooled(found, spec.get("test_size"), integer(spec, "split_seed", 0, 0), source)


def counts(pool: Pool) -> str:
    """What was found, `40 training, 8 validation and 12 test images of 20×24 grey in 3 classes (0 cat, …)`."""
    numbers = [(len(pool.train_labels) - pool.own_val, "training"), (pool.own_val, "validation")]
    *first, last = [f"{n} {what}" for n, what in (*numbers, (len(pool.test_labels), "test")) if n]
    return f"{', '.join(first)} and {last} images of {size_of(tuple(pool.train_images.shape[1:]))} in {_classes(pool)}"


def moments(pool: Pool) -> str:
    """Mean and spread by channel, as they are normalised by."""
    both = ((name, " ".join(f"{v:g}" for v in values)) for name, values in (("mean", pool.mean), ("std", pool.std)))
    return ", ".join(f"{name} {values}" for name, values in both)


def _classes(pool: Pool) -> str:
    names = [f"{label} {name}" for label, name in enumerate(pool.names)]
    shown = names if len(names) <= 12 else [*names[:5], "…", names[-1]]
    return f"{pool.classes} classes" + (f" ({', '.join(shown)})" if names else f" (0 … {pool.classes - 1})")


@lru_cache(maxsize=2)
def _pooled(found: Found, test_size: object, split_seed: int, source: str) -> Pool:
    classes = _checked(found, source)
    train, labels = found.parts["train"]
    if "test" in found.parts:
        test, test_labels = found.parts["test"]
    else:
        kept = _held_out(labels, test_size, split_seed)
        test, test_labels, train, labels = train[kept], labels[kept], train[~kept], labels[~kept]
        if multiprocessing.parent_process() is None:
            say = f"{source} has no test part: {len(test)} of its {len(kept)} images are kept aside as one"
            print(f"wdrun: {say} (data.test_size={test_size}, the same for every run)", file=sys.stderr)
    mean, std = _moments(train)
    val, val_labels = found.parts.get("val", (train[:0], labels[:0]))
    own_val = len(val)
    if own_val:
        train, labels = np.concatenate([train, val]), np.concatenate([labels, val_labels])
    x, y, z, v = (_tensor(table) for table in (train, labels, test, test_labels))
    digest = hashlib.sha256("\n".join(found.classes).encode(errors="surrogateescape"))
    for table in (x, y, z, v):
        digest.update(f"\n{tuple(table.shape)}\n".encode())
        digest.update(table.numpy().data)
    return Pool(x, y, z, v, classes, mean, std, digest.hexdigest(), found.classes, own_val)


def _tensor(table: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.require(table, requirements=["C", "W"]))


def _held_out(labels: Rows, size: object, seed: int) -> NDArray[np.bool_]:
    """Which examples are kept aside as the test part: stratified, by the seed alone."""
    count = share({"test_size": size}, "test_size", len(labels), len(labels) - 2, "images")
    asked = Accepts("a count or a fraction of the images, as the data have no test part", lambda v: v is not None)
    rows = stratified(labels, check("data.test_size", count, asked), seed, "test")
    return np.isin(np.arange(len(labels)), rows)


def _checked(found: Found, source: str) -> int:
    """The number of classes, after seeing that all parts are of them and of one size."""
    try:
        checked(found)
    except BadSource as error:
        raise ConfigError(f"{source} {error}") from error
    _, labels = found.parts["train"]
    classes, there = len(found.classes) or int(labels.max()) + 1, np.unique(labels)
    if labels.min() < 0 or (len(there) < classes and not found.classes):
        has = f"{counted(len(there), 'class', 'classes')} with labels {there[0]} … {there[-1]}"
        raise ConfigError(f"{source}: labels must be 0 … K − 1, each of them on an image; it has {has}: renumber them")
    for part, (_, own) in found.parts.items():
        if len(strange := np.setdiff1d(own, range(classes) if found.classes else there)):
            one = _name(found, int(strange[0]))
            raise ConfigError(f"{source}: has the class {one} in {part} that is not in train; both must have it")
    if len(there) < 2:
        one = _name(found, int(there[0]))
        raise ConfigError(f"{source}: has the one class {one} in train; must have two or more to tell apart")
    return classes


def _name(found: Found, label: int) -> str:
    """A class as its source calls it, else its label."""
    return found.classes[label] if 0 <= label < len(found.classes) else str(label)


def _moments(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixel / 255 by channel, to four decimals: sums of whole numbers, so exact."""
    values = np.arange(256, dtype=np.float64) / 255
    seen = np.zeros((images.shape[-1], 256), dtype=np.int64)
    for chunk in (images[at : at + CHUNK] for at in range(0, len(images), CHUNK)):
        for channel, count in enumerate(seen):
            count += np.bincount(chunk[..., channel].ravel(), minlength=256)
    shares = seen / seen.sum(axis=1, keepdims=True)
    mean = [float(part @ values) for part in shares]
    spread = [float(np.sqrt(part @ (values - m) ** 2)) for part, m in zip(shares, mean, strict=True)]
    return tuple(round(m, 4) for m in mean), tuple(max(round(s, 4), 1e-3) for s in spread)
