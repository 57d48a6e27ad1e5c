"""CIFAR-10 out of whatever holds it, put into the official order; `canonical.mismatch` decides whether it is."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wdrun.data import cache, canonical, reading
from wdrun.data.canonical import BadSource, OtherImages, Tables
from wdrun.data.reading.found import Found, Images, Labels
from wdrun.data.reading.official import FORMS, KNOWN

NAMED = [form.layout for form in FORMS]  # layouts whose files say which batch they are: another order is damage


def read(path: Path) -> Tables:
    """The four tables held by an archive or a folder, in the order of the official files."""
    found = reading.read(path, KNOWN)
    if "val" in found.parts:
        raise OtherImages(f"has a val part ({found.layout}), which CIFAR-10 has not")
    images, labels = found.parts["train"]
    train = images, _official_labels(labels, found)
    if found.layout not in NAMED:
        train = _official_order(*train)
    return _tables(train, found)


def _tables(train: tuple[Images, NDArray[np.uint8]], found: Found) -> Tables:
    """Those of the train part and the test part, which is of the cache where the source has none."""
    tables = {"train_images": train[0], "train_labels": train[1]}
    if "test" in found.parts:
        images, labels = found.parts["test"]
        return tables | {"test_images": images, "test_labels": _official_labels(labels, found)}
    try:
        cached = cache.open_tables(cache.base_folder() / "cifar10")
    except cache.Damaged:
        cached = None
    if cached is None:
        raise BadSource(
            f"has no labelled test part ({found.layout}), which is taken from the cache once CIFAR-10 is there: "
            "run `wdrun data` where there is a network"
        )
    return tables | {name: cached[name] for name in ("test_images", "test_labels")}


def _official_labels(labels: Labels, found: Found) -> NDArray[np.uint8]:
    """The labels as the official list of classes counts them, by the names of the classes where it has those."""
    count = len(found.classes) or int(labels.max()) + 1
    if count > canonical.CLASSES or (found.classes and count < canonical.CLASSES):
        raise OtherImages(f"has {count} classes ({found.layout}), where CIFAR-10 has {canonical.CLASSES}")
    if set(found.classes) == set(canonical.CLASS_NAMES):
        labels = np.array([canonical.CLASS_NAMES.index(name) for name in found.classes])[labels]
    return labels.astype(np.uint8)


def _official_order(images: Images, labels: NDArray[np.uint8]) -> tuple[Images, NDArray[np.uint8]]:
    """The training tables with their batches in order, where all are there; else as they are, to be refused."""
    blocks = canonical.parts_of(images)
    found = [canonical.sha256(block) for block in blocks]
    wanted = [pixels for pixels, _ in canonical.BATCHES.values()]
    if found == wanted or sorted(found) != sorted(wanted):
        return images, labels
    order = [found.index(digest) for digest in wanted]
    parts = canonical.parts_of(labels)
    return np.concatenate([blocks[k] for k in order]), np.concatenate([parts[k] for k in order])
