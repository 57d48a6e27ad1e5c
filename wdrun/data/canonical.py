"""What CIFAR-10 is, byte for byte: SHA-256 of pixels and labels, whatever the source was."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Tables = dict[str, NDArray[np.uint8]]


class BadSource(Exception):
    """Why a source cannot be read, or is not CIFAR-10: the end of a sentence."""


class OtherImages(BadSource):
    """That a source can be read, and holds other images than CIFAR-10's."""


class Unrecognised(BadSource):
    """That a source has none of the layouts that are read, so that a list of them helps."""


# of the uint8 bytes: images in (N, 32, 32, 3) order, labels one byte each, in the order of the official files
SHA256 = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
# of the images and of the labels of each batch, in the order of the training tables
BATCHES = {
    "data_batch_1": (
        "fc115a3de050d667b88cbd5b0b9612ebf996c54230fe7758f3a14bb5af9a1c27",
        "d829dbdf32167c9d7b3687cee66d92d80d46c441308b5aca0d11e8b69e27dac9",
    ),
    "data_batch_2": (
        "89e609b642f687bc796fa3bfa4211005582a0e8131d463d996d11ddb297d312e",
        "5d18f7371ed35ea9ade77952fe958b0660a45cd6c8b8a8970030f21612cfd7e3",
    ),
    "data_batch_3": (
        "93a365823e61729490a8801d80864ccd0ab1e8c98f19d71af65644d1c5f1486e",
        "32cf77b0ee2e790b1c4384d2d82e42dc1571b87e67f6da8f444b2725b2973f65",
    ),
    "data_batch_4": (
        "809eb95ecd057a36516318f5023ea619009dd70dd38193db9da43125a928e6fa",
        "d2815e3f8f656272864920fc0edde56b04ec9cf81bf397c0dd3069f4aea51aeb",
    ),
    "data_batch_5": (
        "d05b7d66d216d6df882cc760cdc0ff2f1f0437abf699ed16005c021ef0add9cb",
        "2ddf3ab27d5d04409c94ce7b56849c243129c10de1058ae0bfe14c77e934800c",
    ),
}
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CLASSES = len(CLASS_NAMES)
MEAN = (0.4914, 0.4822, 0.4465)  # over the 50,000 training images, of pixel / 255
STD = (0.2470, 0.2435, 0.2616)


def mismatch(tables: Tables) -> str | None:
    """What is wrong with the tables as the end of a sentence, or None where every digest is right."""
    for name in SHA256:
        shape = tables[name].shape
        if tables[name].dtype != np.uint8 or shape[1:] != ((32, 32, 3) if name.endswith("images") else ()):
            return f"has {name} of type {tables[name].dtype} and shape {shape}, which CIFAR-10 has not"
    with ThreadPoolExecutor(2) as pool:  # hashing leaves the interpreter free
        found = dict(zip(SHA256, pool.map(lambda name: sha256(tables[name]), SHA256), strict=True))
    wrong = [name for name in SHA256 if found[name] != SHA256[name]]
    if not wrong:
        return None
    counts = f"{len(tables['train_images'])} + {len(tables['test_images'])} images"
    differs = f"the SHA-256 of {', '.join(wrong)} differs{_where(tables, wrong)} ({counts})"
    return f"is not CIFAR-10 bit for bit and in the official order: {differs}"


def parts_of(table: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """A training table in five parts, as many as there are batches; [] where it has not five equal ones."""
    count = len(table) // len(BATCHES)
    return [] if count * len(BATCHES) != len(table) else [table[k * count :][:count] for k in range(len(BATCHES))]


def _where(tables: Tables, wrong: list[str]) -> str:
    """Which batches of the training tables differ; nothing where all do, as in another order."""
    odd = [
        name
        for column, table in enumerate(("train_images", "train_labels"))
        if table in wrong
        for (name, digests), part in zip(BATCHES.items(), parts_of(tables[table]), strict=False)
        if sha256(part) != digests[column]
    ]
    names = sorted(set(odd))
    return f", in {', '.join(names)}" if 0 < len(names) < len(BATCHES) else ""


def sha256(array: NDArray[np.uint8]) -> str:
    """The SHA-256 (hex) of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def digest(digests: dict[str, str]) -> str:
    """One SHA-256 (hex) over named digests."""
    lines = "".join(f"{name} {value}\n" for name, value in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
