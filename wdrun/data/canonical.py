"""What CIFAR-10 is, byte for byte: SHA-256 of pixels and labels, whatever the source was."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

Tables = dict[str, NDArray[np.uint8]]


class BadSource(Exception):
    """Why a source cannot give CIFAR-10: the end of a sentence."""


# of the uint8 bytes: images in (N, 32, 32, 3) order, labels one byte each, in the order of the official files
SHA256 = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
CLASSES = 10
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
    differs = f"the SHA-256 of {', '.join(wrong)} differs ({counts})"
    return f"is not CIFAR-10 bit for bit and in the official order: {differs}"


def sha256(array: NDArray[np.uint8]) -> str:
    """The SHA-256 (hex) of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def digest(digests: dict[str, str]) -> str:
    """One SHA-256 (hex) over named digests."""
    lines = "".join(f"{name} {value}\n" for name, value in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()
