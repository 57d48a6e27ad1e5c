"""CIFAR-100: its official files, in an archive or a folder, unpickled only after each one's MD5 is the official one."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest

from tests.data.own_sets import images
from tests.data.stand_in import planes
from wdrun.data import cifar100, download, fetch, load
from wdrun.data.canonical import BadSource
from wdrun.data.reading import cifar100 as reading
from wdrun.errors import ConfigError, StorageError

SPEC = {"name": "cifar100", "root": None, "label_noise": 0.0, "val_size": 50, "split_seed": 0}
NAMES = [f"thing{k}" for k in range(100)]


@pytest.fixture
def files(here, monkeypatch):
    """A tiny stand-in's files, and that they are the official ones."""
    found = {"meta": pickle.dumps({"fine_label_names": [name.encode() for name in NAMES]}, protocol=4)}
    for seed, (part, count) in enumerate({"train": 300, "test": 100}.items()):
        pixels, labels = images(100, count, (32, 32, 3), seed)
        found[part] = pickle.dumps({"data": planes(pixels), "fine_labels": labels.tolist()}, protocol=4)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in found.items()}
    monkeypatch.setattr(reading, "official_md5", lambda: md5)
    monkeypatch.setenv("WDRUN_DATA", str(here / "cache"))
    cifar100._found.cache_clear()
    return found


def packed(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"cifar-100-python/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def unpacked(folder, files):
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_it_is_read_from_each_place(here, files):
    (here / "held").mkdir()
    archive = packed(here / "held" / "cifar-100-python.tar.gz", files)
    roots = [packed(here / "any-name.bin", files), unpacked(here / "cifar-100-python", files), here, archive.parent]
    digests = set()
    for root in roots:
        dataset = load(SPEC | {"root": str(root)})
        digests.add(dataset.digest)
        assert (dataset.classes, dataset.names, dataset.input_shape) == (100, tuple(NAMES), (3, 32, 32))
        assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 250, "val": 50, "test": 100}
        pixels, labels = images(100, 100, (32, 32, 3), 1)
        assert (dataset.splits["test"].inputs.numpy() == pixels).all()
        assert (dataset.splits["test"].targets.numpy() == labels).all()
    assert len(digests) == 1


def test_it_is_downloaded_once_into_the_cache(here, files, monkeypatch):
    content = packed(here / "official.tar.gz", files).read_bytes()
    fetched = []

    def archive(address, md5, target, what):
        fetched.append((address, md5))
        target.write_bytes(content)
        return target

    monkeypatch.setattr(download, "archive", archive)
    line = fetch(SPEC)
    assert "cifar100: 300 training and 100 test images of 32×32 RGB in 100 classes (0 thing0, " in line
    assert f"MD5 verified, in {here / 'cache' / 'cifar100'}" in line
    load(SPEC)
    assert fetched == [cifar100.official_archive()]
    assert sorted(path.name for path in (here / "cache" / "cifar100").glob("*.tar.gz*")) == [
        "cifar-100-python.tar.gz",
        "cifar-100-python.tar.gz.lock",
    ]


def test_without_a_network_it_says_what_to_do(here, files, monkeypatch):
    def refused(*_):
        raise BadSource("no network")

    monkeypatch.setattr(download, "archive", refused)
    with pytest.raises(StorageError, match=r"could not be downloaded \(no network\): give data.root=PATH of cifar-100"):
        load(SPEC)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": b"x"}, "is not official: train is damaged or altered"),
        ({"meta": None}, "lacks meta in cifar-100-python/, which CIFAR-100 has"),
    ],
)
def test_a_bad_file_is_named(here, files, change, message):
    held = {name: content for name, content in (files | change).items() if content is not None}
    with pytest.raises(ConfigError, match=f"{message}.*; give cifar-100-python.tar.gz or its folder, or take data=arr"):
        load(SPEC | {"root": str(packed(here / "a.tar.gz", held))})


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"<html></html>", "HTML"), (b"x" * 600, "tar"), (b"PAR1", "a damaged a.tar.gz")],
)
def test_what_is_no_archive_is_said(here, files, content, message):
    (here / "a.tar.gz").write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(SPEC | {"root": str(here / "a.tar.gz")})


def test_another_set_is_named(here, files):
    np.savez(here / "a.npz", x_train=np.zeros((2, 8, 8), np.uint8), y_train=[0, 1])
    with pytest.raises(ConfigError, match=r"a\.npz holds arrays, not CIFAR-100's files; give .* or take data=arrays"):
        load(SPEC | {"root": str(here / "a.npz")})


def test_a_damaged_cache_is_said(here, files):
    folder = here / "cache" / "cifar100"
    folder.mkdir(parents=True)
    packed(folder / "cifar-100-python.tar.gz", files | {"train": b"x"})
    with pytest.raises(
        StorageError, match=r"the cache .*python.tar.gz is not official: train .*; remove it, and it is"
    ):
        load(SPEC)


def test_label_noise_is_kept_within_its_classes(here, files):
    root = str(packed(here / "a.tar.gz", files))
    clean, noisy = (load(SPEC | {"root": root, "label_noise": share}) for share in (0.0, 0.5))
    rows = clean.splits["train"].rows
    differ = clean.splits["train"].targets[rows] != noisy.splits["train"].targets[rows]
    assert int(differ.sum()) == 125
    assert int(noisy.splits["train"].targets.max()) <= 99
    assert np.isin(noisy.splits["train"].targets.numpy(), range(100)).all()
