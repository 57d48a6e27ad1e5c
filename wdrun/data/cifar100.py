"""CIFAR-100 from the cache, a path the user names or the official archive; each file of it verified by its MD5."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np

from wdrun.data import cache, download
from wdrun.data.canonical import BadSource
from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, root_of
from wdrun.data.parts import Parts, pooled
from wdrun.data.reading.archive import tar_tree, zip_tree
from wdrun.data.reading.kinds import HEAD, kind_of
from wdrun.data.reading.pickles import restricted_loads
from wdrun.data.reading.tree import OnDisk, Tree
from wdrun.errors import ConfigError, StorageError

OPTIONS = ("root", "label_noise")
ARCHIVE, FOLDER = "cifar-100-python.tar.gz", "cifar-100-python"
SHAPE = (-1, 3, 32, 32)  # of the pickled rows
LARGEST = 256 * 2**20  # bytes; its largest file has 155 MB


def official_md5() -> dict[str, str]:
    """The MD5 of the official files, as torchvision states them."""
    from torchvision.datasets import CIFAR100  # imported only here and for a download: it takes a second

    return {**dict(CIFAR100.train_list + CIFAR100.test_list), CIFAR100.meta["filename"]: CIFAR100.meta["md5"]}


def official_archive() -> tuple[str, str]:
    """Address and MD5 of the official archive, as torchvision states them."""
    from torchvision.datasets import CIFAR100

    return str(CIFAR100.url), str(CIFAR100.tgz_md5)


def pool(spec: Spec) -> Pool:
    """The 50,000 + 10,000 images with their hundred fine labels; errors as of CIFAR-10's."""
    root = root_of(spec, "a path, or null for the cache and the download")
    if root is None:
        return pooled(_parts(_cached()), spec, "data=cifar100")
    try:
        return pooled(_parts(root), spec, f"data.root={root}")
    except BadSource as error:
        ways = f"give {ARCHIVE} or its folder, or take data=arrays, which reads other files as a set of your own"
        raise ConfigError(f"data.root={root} {error}; {ways}") from error


def origin(spec: Spec) -> str:
    """Where the images came from."""
    return f"MD5 verified, in {root_of(spec) or cache.base_folder() / 'cifar100'}"


def _cached() -> Path:
    """The archive in the cache, downloaded where it is not there; StorageError says why it cannot be had."""
    file = cache.base_folder() / "cifar100" / ARCHIVE
    if file.is_file():
        return file
    scratch = file.with_name(f"{ARCHIVE}.downloading-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with cache.alone(file):
            if not file.is_file():
                os.replace(download.archive(*official_archive(), scratch, "CIFAR-100"), file)
    except BadSource as error:
        raise StorageError(
            f"CIFAR-100 is not in the cache {file.parent} and could not be downloaded ({error}): "
            f"give data.root=PATH of {ARCHIVE}, or put that there, or use data=cifar10"
        ) from error
    except OSError as error:
        remedy = "free space, or set WDRUN_DATA to a writable folder"
        raise StorageError(f"cannot write the data cache {file.parent}: {error.strerror or error}; {remedy}") from error
    finally:
        scratch.unlink(missing_ok=True)
    return file


@lru_cache(maxsize=1)
def _parts(path: Path) -> Parts:
    """The images and fine labels, unpickled each only after its file's MD5 is the official one; else BadSource."""
    expected = official_md5()
    try:
        members = _members(path, frozenset(expected))
    except OSError as error:
        raise BadSource(f"cannot be read: {error.strerror or error}") from error
    for name in expected:
        if name not in members:
            raise BadSource(f"lacks {name}, which CIFAR-100 has")
        if hashlib.md5(members[name], usedforsecurity=False).hexdigest() != expected[name]:
            raise BadSource(f"is not official: {name} is damaged or altered (its MD5 differs) and was not unpickled")
    parts = {}
    for part in ("train", "test"):
        batch = restricted_loads(members[part])
        images = np.asarray(batch[b"data"], dtype=np.uint8).reshape(SHAPE).transpose(0, 2, 3, 1)
        parts[part] = np.ascontiguousarray(images), np.asarray(batch[b"fine_labels"], dtype=np.int64)
    names = restricted_loads(members["meta"])[b"fine_label_names"]
    return Parts(parts, tuple(name.decode() for name in names), "the official archive")


def _members(path: Path, wanted: frozenset[str]) -> dict[str, bytes]:
    """The wanted files of the archive or folder, or of either in a folder."""
    if not path.exists():
        raise BadSource("does not exist")
    archive = path / ARCHIVE if path.is_dir() else path
    tree = OnDisk(path) if path.is_dir() and not archive.is_file() else _unpacked(archive, wanted)
    tree = tree.inside(FOLDER) if FOLDER in tree.folders() else tree
    found = {}
    for name in wanted & set(tree.files()):
        with tree.open(name) as file:
            found[name] = file.read(LARGEST)
    return found


def _unpacked(path: Path, wanted: frozenset[str]) -> Tree:
    """The wanted files of an archive, in memory."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        kind = kind_of(head)
        if not head.strip() or kind.refusal:
            raise BadSource(kind.refusal or "is empty")
        file.seek(0)
        if kind.name == "zip":
            return zip_tree(BytesIO(file.read()))
        return tar_tree(file, lambda inner: inner.rpartition("/")[2] in wanted, wanted)
