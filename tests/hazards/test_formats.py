"""Hostile and damaged versions of each format of data: refused in a line or the same data, run nothing, stay small."""

import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.data import stand_in as cifar
from tests.data.stand_in import stand_in  # noqa: F401 - a fixture every test here has: the stand-in is CIFAR-10
from wdrun.data import cache, source
from wdrun.data.canonical import BadSource
from wdrun.data.reading import archive, found, matlab, pictures, tree


class Touching:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def why(path):
    """Why the stand-in cannot be read, in a line; None where it is read, and is the same."""
    try:
        tables = source.read(path)
    except BadSource as error:
        said = str(error)
    else:
        sound = all(np.array_equal(tables[name], table) for name, table in cifar.made().items())
        return None if sound else "other bytes, which their digests tell"
    assert said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("layout", [name for name in cifar.LAYOUTS if name not in ("python batches", "npm package")])
def test_flipped_bits_and_cuts_are_refused_or_the_same_data(layout, tmp_path):
    cache.open_or_build(cache.base_folder() / "cifar10", lambda scratch: cifar.made())
    members = cifar.LAYOUTS[layout](cifar.made())
    whole = cifar.write_zip(tmp_path / "whole.zip", members).read_bytes()
    name = max(members, key=lambda n: (n.startswith("train"), len(members[n])))
    for seed in range(25):
        draw = random.Random(seed)
        content = bytearray(members[name])
        at = draw.randrange(min(len(content), 400)) if seed % 2 else draw.randrange(len(content))
        content[at] ^= 1 << draw.randrange(8)
        root = cifar.write_folder(tmp_path / f"{seed}", {**members, name: bytes(content)})
        why(root)
        (root / name).write_bytes(members[name][: draw.randrange(len(members[name]))])
        assert why(root) is not None
        packed = bytearray(whole)
        packed[draw.randrange(len(packed))] ^= 1 << draw.randrange(8)
        (tmp_path / "flipped").write_bytes(packed)
        why(tmp_path / "flipped")
        (tmp_path / "flipped").write_bytes(whole[: draw.randrange(1, len(whole) - 30)])
        assert why(tmp_path / "flipped") is not None


def test_nothing_pickled_is_run(tmp_path):
    trace = tmp_path / "trace"
    objects = np.array([Touching(trace)], dtype=object)
    np.savez(tmp_path / "a.npz", x_train=objects, y_train=objects)
    assert "x_train.npy of pickled objects, which are not read" in why(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Touching(trace)))
    assert "is a pickle, which could run code and is not read" in why(tmp_path / "b.npz")
    root = cifar.write_folder(tmp_path / "c", {"x_train.npy": pickle.dumps(Touching(trace)), "y_train.npy": b""})
    assert "holds a damaged x_train.npy" in why(root)
    assert not trace.exists()


def header(shape, kind="|u1", pad=0):
    """The beginning of an .npy."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode() + b" " * pad + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        header((2**40, 32, 32, 3)),
        header((2**62, 2**62)),
        header((-1, 32, 32, 3)) + bytes(3072),
        header((1, 32, 32, 3), "|O"),
        header("__import__('os').system('touch trace')"),
        header((1, 32, 32, 3), "|V3072"),
        header((1, 8, 8, 3)) + bytes(191),
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f",
        header("(" * 2000),
    ],
)
def test_an_array_is_no_larger_than_its_file(content, tmp_path):
    root = cifar.write_folder(tmp_path / "a", {"x_train.npy": content, "y_train.npy": content})
    tracemalloc.start()
    try:
        assert "x_train" in why(root)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def zipped(path, entries, way=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", way) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def test_a_zip_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "ARCHIVE_LIMIT", 2**20)
    big = bytes(2**26)
    roots = [
        zipped(tmp_path / "a.zip", {"train/cat/1.png": big, "test/cat/1.png": b""}),
        zipped(tmp_path / "b.npz", {"x_train.npy": header((2**14, 64, 64)) + big, "y_train.npy": b""}),
        zipped(tmp_path / "c.zip", {f"{k}.png": bytes(2**16) for k in range(100)}),
    ]
    tracemalloc.start()
    try:
        for root in roots:
            assert "as a decompression bomb does" in why(root)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_size_that_lies_ends_the_reading(tmp_path):
    path = zipped(tmp_path / "a.npz", {"x_train.npy": bytes(2**24), "y_train.npy": b"x"})
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 2**24), struct.pack("<I", 2**10)))
    tracemalloc.start()
    try:
        assert "holds a damaged x_train.npy" in why(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("way", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_ways_to_pack_that_have_no_bound_are_not_read(way, tmp_path):
    path = zipped(tmp_path / "a.zip", {"x_train.npy": bytes(2**24)}, way)
    assert f"holds x_train.npy compressed by a method that is not read ({way})" in why(path)


def test_what_may_have_no_end_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert why(path) == "is neither a file nor a folder"
    folder = cifar.write_folder(tmp_path / "a", cifar.binary_members(cifar.made()))
    os.mkfifo(folder / "a.npz")
    assert why(folder) is None


def test_a_zip_in_a_zip_in_a_zip_is_not_followed(tmp_path):
    content = b""
    for _ in range(6):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as zips:
            zips.writestr("a.npz", content)
        content = file.getvalue()
    (tmp_path / "a.npz").write_bytes(content)
    assert "is not recognised: it holds a.npz" in why(tmp_path / "a.npz")


def test_names_in_a_zip_lead_nowhere(tmp_path):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    (tmp_path / "outside").write_text("secret")
    link = zipfile.ZipInfo("train/cat/1.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(place / "x.zip", "w") as file:
        file.writestr(link, "../../../outside")
        for k, (name, content) in enumerate(cifar.binary_members(cifar.made()).items()):
            file.writestr(("../../", "/", "..\\..\\", "./", "a/../", "//")[0 if k % 2 else 1] + name, content)
    before = sorted(tmp_path.rglob("*"))
    assert why(place / "x.zip") is None
    assert sorted(tmp_path.rglob("*")) == before
    twice = {"data_batch_1.bin": b"", "./data_batch_1.bin": b""}
    assert "holds data_batch_1.bin twice" in why(zipped(tmp_path / "y.zip", twice))


def test_a_link_in_a_zip_is_not_a_picture(tmp_path):
    link = zipfile.ZipInfo("train/cat/1.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    assert why(tmp_path / "x.zip") == "is not recognised: it holds nothing"


def test_an_encrypted_zip_is_said(tmp_path):
    path = zipped(tmp_path / "x.zip", {"train/cat/1.png": b"x"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted (train/cat/1.png): unpack it, then give the folder" in why(path)


def test_pictures_larger_than_memory_are_refused_before_they_are_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "PIXEL_LIMIT", 1000)
    root = cifar.write_folder(tmp_path / "a", cifar.folder_members(cifar.made()))
    assert "of 32×32 pixels, more than 1000 in all" in why(root)
    monkeypatch.undo()


def test_a_set_larger_than_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(found, "TABLE_LIMIT", 100 * 3072 - 1)
    root = cifar.write_folder(tmp_path / "a", cifar.folder_members(cifar.made()))
    assert "has 100 images of 32×32 RGB, 0 GiB: must be at most 0 GiB in memory" in why(root)
    monkeypatch.undo()


def mat_element(kind, content):
    return struct.pack("<II", kind, len(content)) + content


MAT = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def test_matlab_files_that_are_hostile(monkeypatch):
    from scipy.io import savemat

    def refused(content):
        with pytest.raises(BadSource, match=r"data_batch_1\.mat") as caught:
            matlab.bytes_of(content, "data_batch_1.mat", ("data", "labels"))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    monkeypatch.setattr(matlab, "FILE_LIMIT", 2**20)
    bomb = MAT + mat_element(15, zlib.compress(bytes(2**26)))
    tracemalloc.start()
    try:
        assert "which unpacks to more than 1048576 bytes" in refused(bomb)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    cells = io.BytesIO()
    savemat(cells, {"data": np.array([[1], "x"], dtype=object), "labels": np.uint8([1])})
    assert "without data of uint8" in refused(cells.getvalue())
    structs = io.BytesIO()
    savemat(structs, {"data": {"a": 1}, "labels": np.uint8([1])})
    assert "without data of uint8" in refused(structs.getvalue())
    for content in (
        MAT,
        MAT + b"\xff" * 64,
        MAT + mat_element(15, b"no zlib"),
        MAT + mat_element(14, b"x" * 7),
        MAT[:100],
    ):
        refused(content)


def test_parquet_that_is_hostile(tmp_path, monkeypatch):
    import pyarrow as pa
    import pyarrow.parquet as pq

    def refused(**columns):
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file, compression="gzip")
        return why(cifar.write_folder(tmp_path / "hub", {"train-0.parquet": file.getvalue()}))

    picture = cifar.png(np.zeros((32, 32, 3), np.uint8))
    assert "none of them img or image" in refused(x=[b"a"], label=[1])
    assert "none of them label or labels or fine_label" in refused(img=[b"a"], y=[1])
    assert "without the bytes of the picture in row 1" in refused(img=[picture, None], label=[1, 2])
    assert "without the bytes of the picture in row 0" in refused(img=["../../etc/passwd"], label=[1])
    assert "without the bytes of the picture in row 0" in refused(
        img=[{"bytes": None, "path": "/etc/passwd"}], label=[1]
    )
    assert "holds label of type object" in refused(img=[picture, picture], label=[1, None])
    assert "damaged train-0.parquet (row 0)" in refused(img=[b"x" * 99], label=[1])
    assert "without a row" in refused(img=pa.array([], pa.binary()), label=pa.array([], pa.int64()))
    monkeypatch.setattr(archive, "ARCHIVE_LIMIT", 2**12)
    assert "as a decompression bomb does" in refused(img=[random.Random(0).randbytes(2**9) * 2**9] * 4, label=[1] * 4)


def test_a_labels_file_larger_than_any_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tree, "FILE_LIMIT", 500)
    root = cifar.write_folder(tmp_path / "a", cifar.kaggle_members(cifar.made()))
    assert "trainLabels.csv of " in why(root)
