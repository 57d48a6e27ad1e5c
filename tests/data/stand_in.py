"""A tiny stand-in for CIFAR-10: its images, its archive in every format, and the fixture that lets it be CIFAR-10.

A test module imports the fixture `stand_in` for all of its tests.
"""

import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from scipy.io import savemat

from wdrun.data import canonical, cifar10
from wdrun.data.canonical import Tables
from wdrun.data.reading import official

EACH = 20  # images of each of the six batches
PACKED = True  # whether what may be compressed is, as it takes most of the time of the real one
SPEC: dict[str, object] = {"name": "cifar10", "root": None, "val_size": 10, "train_size": None, "folds": 1}


def made() -> Tables:
    """A tiny CIFAR-10: 100 + 20 random images, two of each class in every batch."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (6 * EACH, 32, 32, 3), dtype=np.uint8)
    labels = np.concatenate([draws.permutation(np.arange(EACH) % 10) for _ in range(6)]).astype(np.uint8)
    cut = 5 * EACH
    return {
        "train_images": images[:cut],
        "train_labels": labels[:cut],
        "test_images": images[cut:],
        "test_labels": labels[cut:],
    }


def batches(tables: Tables) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The six batches: name, images, labels."""
    images = np.concatenate([tables["train_images"], tables["test_images"]]).reshape(6, EACH, 32, 32, 3)
    labels = np.concatenate([tables["train_labels"], tables["test_labels"]]).reshape(6, EACH)
    return list(zip(official.BATCHES, images, labels, strict=True))


def planes(images: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


def python_members(tables: Tables) -> dict[str, bytes]:
    return {
        name: pickle.dumps({b"data": planes(images), b"labels": labels.tolist()}, protocol=4)
        for name, images, labels in batches(tables)
    }


def binary_members(tables: Tables) -> dict[str, bytes]:
    return {
        f"{name}.bin": np.concatenate([labels[:, None], planes(images)], axis=1).tobytes()
        for name, images, labels in batches(tables)
    }


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def npm_members(tables: Tables) -> dict[str, bytes]:
    members = {f"{name}.png": png(images.reshape(EACH, 1024, 3)) for name, images, _ in batches(tables)}
    for part in ("train", "test"):
        members[f"{part}_lables.json"] = json.dumps(tables[f"{part}_labels"].tolist()).encode()
    return members


def matlab_members(tables: Tables) -> dict[str, bytes]:
    members = {}
    for name, images, labels in batches(tables):
        file = io.BytesIO()
        arrays = {"batch_label": name, "data": planes(images), "labels": labels[:, None]}
        savemat(file, arrays, do_compression=PACKED)
        members[f"{name}.mat"] = file.getvalue()
    return members


def folder_members(tables: Tables, suffix: str = "png") -> dict[str, bytes]:
    """train/cat/7.png: numbered in order, in folders of the official names of the classes."""
    return {
        f"{part}/{canonical.CLASS_NAMES[label]}/{k}.{suffix}": png(image)
        for part in ("train", "test")
        for k, (image, label) in enumerate(zip(tables[f"{part}_images"], tables[f"{part}_labels"], strict=True))
    }


def kaggle_members(tables: Tables) -> dict[str, bytes]:
    names = [canonical.CLASS_NAMES[label] for label in tables["train_labels"]]
    rows = "".join(f"{k},{name}\n" for k, name in enumerate(names, 1))
    pictures = {f"train/{k}.png": png(image) for k, image in enumerate(tables["train_images"], 1)}
    return pictures | {"trainLabels.csv": f"id,label\n{rows}".encode()}


def parquet(images: Iterable[np.ndarray], labels: np.ndarray) -> bytes:
    """A file as the hub has it: pictures as PNG, the names of the classes in the metadata of the schema."""
    pictures = pa.array([{"bytes": png(image), "path": None} for image in images])
    features = {"info": {"features": {"label": {"names": list(canonical.CLASS_NAMES)}}}}
    table = pa.table({"img": pictures, "label": pa.array(labels.astype(np.int64))})
    file = io.BytesIO()
    pyarrow.parquet.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}), file)
    return file.getvalue()


def parquet_members(tables: Tables) -> dict[str, bytes]:
    """Batches 4, 3, 2, 5, 1, as the hub's are."""
    *train, (_, images, labels) = batches(tables)
    turned = [train[k - 1] for k in (4, 3, 2, 5, 1)]
    shuffled = parquet(np.concatenate([x for _, x, _ in turned]), np.concatenate([y for _, _, y in turned]))
    return {"train-00000-of-00001.parquet": shuffled, "test-00000-of-00001.parquet": parquet(images, labels)}


def arrays(tables: Tables) -> dict[str, np.ndarray]:
    """As Keras gives them: labels (N, 1)."""
    pairs = {"x": "images", "y": "labels"}
    return {f"{k}_{part}": tables[f"{part}_{v}"] for part in ("train", "test") for k, v in pairs.items()} | {
        f"y_{part}": tables[f"{part}_labels"][:, None] for part in ("train", "test")
    }


def npy_members(tables: Tables) -> dict[str, bytes]:
    members = {}
    for name, array in arrays(tables).items():
        file = io.BytesIO()
        np.save(file, array)
        members[f"{name}.npy"] = file.getvalue()
    return members


def npz_members(tables: Tables) -> dict[str, bytes]:
    file = io.BytesIO()
    (np.savez_compressed if PACKED else np.savez)(file, allow_pickle=False, **arrays(tables))
    return {"cifar10.npz": file.getvalue()}


FORMATS: dict[str, tuple[str, Callable[[Tables], dict[str, bytes]]]] = {
    "python": ("cifar-10-batches-py", python_members),
    "binary": ("cifar-10-batches-bin", binary_members),
    "npm": ("package", npm_members),
}
LAYOUTS: dict[str, Callable[[Tables], dict[str, bytes]]] = {  # the words of a layout -> its files by path
    "python batches": python_members,
    "binary batches": binary_members,
    "MATLAB batches": matlab_members,
    "npm package": npm_members,
    "image folders": folder_members,
    "Kaggle's train/ with trainLabels.csv": kaggle_members,
    "Hugging Face parquet": parquet_members,
    ".npz": npz_members,
    ".npy": npy_members,
}


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def archive_of(path: Path, form: str, change: dict[str, bytes | None] | None = None) -> Path:
    """An archive of the stand-in, with members replaced, or left out where the change is None."""
    folder, members_of = FORMATS[form]
    members: dict[str, bytes | None] = {**members_of(made()), **(change or {})}
    return write_archive(path, {f"{folder}/{name}": body for name, body in members.items() if body is not None})


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if PACKED else zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_folder(path: Path, members: dict[str, bytes]) -> Path:
    for name, content in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


@pytest.fixture(autouse=True)
def stand_in(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the stand-in be CIFAR-10, in an empty cache, with no source but what a test gives."""
    if request.node.get_closest_marker("cifar10"):
        return
    tables = made()
    monkeypatch.setattr(canonical, "SHA256", {name: canonical.sha256(tables[name]) for name in canonical.SHA256})
    digests = {name: (canonical.sha256(x), canonical.sha256(y)) for name, x, y in batches(tables)[:-1]}
    monkeypatch.setattr(canonical, "BATCHES", digests)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in python_members(tables).items()}
    monkeypatch.setattr(official, "official_md5", lambda: md5)
    monkeypatch.setattr(cifar10, "SOURCES", ())
    monkeypatch.setenv("WDRUN_DATA", str(tmp_path / "cache"))
    cifar10._pool.cache_clear()
