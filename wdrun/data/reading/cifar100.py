"""CIFAR-100 as it is published: the pickles `train` and `test`, and `meta` with the names of its hundred classes."""

import numpy as np

from wdrun.data.canonical import BadSource
from wdrun.data.reading.found import Found
from wdrun.data.reading.official import planes_to_pixels
from wdrun.data.reading.pickles import verified_loads
from wdrun.data.reading.tree import Tree

LAYOUT = "CIFAR-100's files"
ARCHIVE = "cifar-100-python.tar.gz"
KNOWN = ("cifar-100-python", ARCHIVE, "cifar-100-python-target")  # what it is called where it lies beside other data
PARTS = ("train", "test")
NAMES = (*PARTS, "meta")
LARGEST = 256 * 2**20  # bytes; its largest file has 155 MB


def official_md5() -> dict[str, str]:
    """The MD5 of the official files, as torchvision states them."""
    from torchvision.datasets import CIFAR100  # imported only here and for a download: it takes a second

    return {**dict(CIFAR100.train_list + CIFAR100.test_list), CIFAR100.meta["filename"]: CIFAR100.meta["md5"]}


def claims(tree: Tree) -> bool:
    """Whether there are the files of both parts."""
    return set(PARTS) <= set(tree.files())


def read(tree: Tree) -> Found:
    """The images with their fine labels, unpickled only after the MD5 of all files are the official ones."""
    there = tree.files()
    for name in NAMES:
        if name not in there:
            raise BadSource(f"lacks {name}{f' in {tree.where}' if tree.where else ''}, which CIFAR-100 has")
    held = verified_loads({name: tree.read(name, LARGEST) for name in NAMES}, official_md5())
    parts = {}
    for part in PARTS:
        rows = np.asarray(held[part][b"data"], dtype=np.uint8)
        images = np.ascontiguousarray(planes_to_pixels(rows))
        parts[part] = images, np.asarray(held[part][b"fine_labels"], dtype=np.int64)
    return Found(parts, tuple(name.decode() for name in held["meta"][b"fine_label_names"]), LAYOUT)
