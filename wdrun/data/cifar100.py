"""CIFAR-100 from the cache, a path the user names or the official archive; each file of it verified by its MD5."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from wdrun.data import cache, download, reading
from wdrun.data.canonical import BadSource
from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, root_of
from wdrun.data.parts import pooled
from wdrun.data.reading.cifar100 import ARCHIVE, KNOWN, LAYOUT
from wdrun.data.reading.found import Found
from wdrun.errors import ConfigError, StorageError

OPTIONS = ("root", "label_noise")


def official_archive() -> tuple[str, str]:
    """Address and MD5 of the official archive, as torchvision states them."""
    from torchvision.datasets import CIFAR100

    return str(CIFAR100.url), str(CIFAR100.tgz_md5)


def pool(spec: Spec) -> Pool:
    """The 50,000 + 10,000 images with their hundred fine labels; errors as of CIFAR-10's."""
    root = root_of(spec, "a path, or null for the cache and the download")
    file = root or _cached()
    try:
        return pooled(_found(file), spec, f"data.root={root}" if root else "data=cifar100")
    except BadSource as error:
        if root is None:
            raise StorageError(f"the cache {file} {error}; remove it, and it is downloaded again") from error
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
def _found(path: Path) -> Found:
    """The images and fine labels of the official files; BadSource where what is there is anything else."""
    found = reading.read(path, KNOWN)
    if found.layout != LAYOUT:
        raise BadSource(f"holds {found.layout}, not {LAYOUT}")
    return found
