"""What a reader gives: images and labels of each part, and the checks that every layout shares."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wdrun.data.canonical import BadSource
from wdrun.data.reading.tree import shown
from wdrun.wording import counted

Images = NDArray[np.uint8]  # (N, H, W, C)
Labels = NDArray[np.int64]  # (N,)
Part = tuple[Images, Labels]

TABLE_LIMIT = 16 * 2**30  # bytes of pixels: a set is held in memory whole


@dataclass(frozen=True, eq=False)
class Found:
    """A data set as it was read, in the order of its source."""

    parts: Mapping[str, Part]  # "train" always; "val" and "test" where the source has them
    classes: tuple[str, ...]  # names in the order of the labels; () where the source has none
    layout: str  # in words


def whole_numbers(name: str, array: NDArray[np.generic], most: int, wanted: str) -> NDArray[np.int64]:
    """The array as integers; BadSource unless it holds whole numbers from 0 to `most`."""
    if array.dtype.kind not in "buif":
        raise BadSource(f"holds {name} of type {array.dtype}, which must be {wanted}")
    if array.dtype.kind == "f" and array.size and not (array == np.floor(array)).all():  # nan is unequal to itself
        low, high = float(array.min()), float(array.max())
        raise BadSource(f"holds {name} as {array.dtype} from {low:.4g} to {high:.4g}, which must be {wanted}")
    if array.size and not (array.min() >= 0 and array.max() <= most):
        raise BadSource(f"holds {name} from {array.min():.6g} to {array.max():.6g}, which must be {wanted}")
    return array.astype(np.int64)


def images_of(name: str, array: NDArray[np.generic]) -> Images:
    """An array of images as (N, H, W, C) uint8; grey (N, H, W) gets its channel, (N, C, H, W) is turned."""
    if array.ndim not in (3, 4):
        flat = "; reshape its rows to images" if array.ndim == 2 else ""
        raise BadSource(
            f"holds {name} of shape {array.shape}, which must be (N, H, W), (N, H, W, C) or (N, C, H, W){flat}"
        )
    if 0 in array.shape:
        raise BadSource(f"holds {name} of shape {array.shape}, without an image")
    if array.dtype != np.uint8:
        wanted = "uint8 from 0 to 255"
        if array.dtype.kind == "f" and array.min() >= 0 and array.max() <= 1:
            wanted += f", saved as ({name} * 255).round().astype('uint8')"
            raise BadSource(f"holds {name} as {array.dtype} from 0 to 1, which must be {wanted}")
        array = whole_numbers(name, array, 255, wanted).astype(np.uint8)
    if array.ndim == 3:
        array = array[..., None]
    first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
    if first == last:
        why = "could be either way round" if first else "has no axis of 1 or 3 channels"
        raise BadSource(f"holds {name} of shape {array.shape}, which {why}: must be (N, H, W, C), C being 1 or 3")
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1) if first else array)


def labels_of(name: str, array: NDArray[np.generic], count: int) -> Labels:
    """Labels of `count` images as (N,) int64, from (N,) or (N, 1) whole numbers."""
    if array.ndim == 2 and array.shape[1] > 1:
        raise BadSource(f"holds {name} of shape {array.shape}, as one-hot rows are: save {name}.argmax(1)")
    if array.shape not in ((count,), (count, 1)):
        raise BadSource(f"holds {name} of shape {array.shape}, which must be ({count},) as there are {count} images")
    return whole_numbers(name, array.reshape(-1), 99_999, "whole numbers from 0, a class each")


def checked(found: Found) -> Found:
    """What a reader found, where its parts fit together; BadSource names the first that does not."""
    if "train" not in found.parts:
        raise BadSource(f"has no train part, only {shown(found.parts)}")
    for part, (_, labels) in found.parts.items():
        if not len(labels):
            raise BadSource(f"holds no images in its {part} part")
    shapes = {part: images.shape[1:] for part, (images, _) in found.parts.items()}
    for part, shape in shapes.items():
        if shape != shapes["train"]:
            sizes = f"{size_of(shape)} in {part} and {size_of(shapes['train'])} in train"
            raise BadSource(f"has images of {sizes}, which must be alike")
    top = max(int(labels.max()) for _, labels in found.parts.values())
    if found.classes and top >= len(found.classes):
        raise BadSource(f"has a label {top}, but names {len(found.classes)} classes, counted from 0")
    return found


def size_of(shape: tuple[int, ...]) -> str:
    """Width, height and colours of an image of that shape (H, W, C): `640×480 RGB`."""
    height, width, channels = shape
    colours = {1: "grey", 3: "RGB"}.get(channels) or counted(channels, "channel")
    return f"{width}×{height} {colours}"


def check_table(count: int, shape: tuple[int, ...]) -> None:
    """BadSource where so many images are too large to be held."""
    size = count * int(np.prod(shape, dtype=np.int64))
    if size > TABLE_LIMIT:
        raise BadSource(
            f"has {count} images of {size_of(shape)}, {size / 2**30:.0f} GiB: must be at most "
            f"{TABLE_LIMIT / 2**30:.0f} GiB in memory; make them smaller"
        )
