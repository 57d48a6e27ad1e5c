"""Arrays by name: x_train, y_train, x_test, y_test in one .npz, or each in a .npy of a folder.

Nothing pickled is read, and no array larger than its file says it is.
"""

from collections.abc import Callable

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from wdrun.data.canonical import BadSource
from wdrun.data.reading.found import Found, Part, images_of, labels_of
from wdrun.data.reading.tree import Tree, shown
from wdrun.wording import first_line

PAIRS = (("x_{}", "y_{}"), ("X_{}", "y_{}"), ("{}_x", "{}_y"), ("{}_images", "{}_labels"), ("{}_data", "{}_labels"))
PARTS = {"train": "train", "val": "val", "valid": "val", "test": "test"}
HEADER_LIMIT = 10_000  # bytes


def claims(tree: Tree) -> bool:
    """Whether there is an .npy: an .npz is a zip of such."""
    return any(name.endswith(".npy") for name in tree.files())


def read(tree: Tree) -> Found:
    """The pairs of images and labels, each under one of the known names."""
    stems = {name.removesuffix(".npy"): name for name in tree.files() if name.endswith(".npy")}
    parts: dict[str, Part] = {}
    for part, key in PARTS.items():
        for pair in PAIRS:
            x, y = (name.format(part) for name in pair)
            if x not in stems:
                continue
            if y not in stems:
                raise BadSource(f"holds {tree.where}{x} without {y}; it holds {shown(stems, 8)}")
            if key in parts:
                raise BadSource(f"holds {tree.where}{x} and another pair of arrays for {key}: must be one")
            images = images_of(x, _array(tree, stems[x]))
            parts[key] = images, labels_of(y, _array(tree, stems[y]), len(images))
    if "train" not in parts:
        known = ", ".join(f"{x.format('train')} and {y.format('train')}" for x, y in PAIRS)
        raise BadSource(f"holds the arrays {shown(stems, 8)}; must be named {known}, and likewise test and val")
    return Found(parts, (), "arrays")


def _array(tree: Tree, name: str) -> NDArray[np.generic]:
    """One array, after its header was found to say the size that the file has."""
    with tree.open(name) as file:
        try:
            version = npy.read_magic(file)
            length = int.from_bytes(file.read(2 if version == (1, 0) else 4), "little")
            if length > HEADER_LIMIT:  # numpy would make room for it first
                raise ValueError(f"a header of {length} bytes")
            file.seek(npy.MAGIC_LEN)
            readers: dict[tuple[int, int], Callable[..., tuple[tuple[int, ...], bool, np.dtype[np.generic]]]] = {
                (1, 0): npy.read_array_header_1_0,
                (2, 0): npy.read_array_header_2_0,
            }
            shape, _, dtype = readers[version](file)
        except Exception as error:  # numpy parses a damaged header as Python and raises what Python raises
            raise BadSource(f"holds a damaged {tree.where}{name} ({first_line(error)})") from error
        if dtype.hasobject:
            raise BadSource(f"holds {tree.where}{name} of pickled objects, which are not read: save numbers")
        told, there = int(np.prod(shape, dtype=object)) * dtype.itemsize, tree.size(name) - file.tell()
        if told != there or any(edge < 0 for edge in shape):
            raise BadSource(f"holds a damaged {tree.where}{name}: {there} bytes where its header says {told}")
        file.seek(0)
        array: NDArray[np.generic] = npy.read_array(file, allow_pickle=False)
        return array
