"""Every layout that people have, from the same bytes, in folders, zips and tars; what is refused, in a line."""

import hashlib
import io
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data import stand_in as forms
from tests.data.stand_in import (
    LAYOUTS,
    SPEC,
    batches,
    binary_members,
    folder_members,
    kaggle_members,
    made,
    npz_members,
    parquet,
    parquet_members,
    png,
    stand_in,  # noqa: F401 - a fixture every test here has: the stand-in is CIFAR-10
    write_archive,
    write_folder,
    write_zip,
)
from wdrun.data import cache, canonical, fetch, load, reading, source
from wdrun.data.canonical import BadSource, Tables
from wdrun.data.reading import official
from wdrun.errors import ConfigError

JUNK = {
    "__MACOSX/train/._1.png": b"x", "._1.png": b"x", ".DS_Store": b"x", "train/.ipynb_checkpoints/1.png": b"x",
    "train/cat/._3.png": b"x", "train/.DS_Store": b"x", ".hidden/data_batch_1": b"x",
}  # fmt: skip


def assert_same(tables: Mapping[str, np.ndarray]) -> None:
    for name, table in made().items():
        assert tables[name].dtype == np.uint8
        assert np.array_equal(tables[name], table), name


@pytest.fixture
def cached() -> None:
    """The stand-in in the cache: Kaggle's test images have no labels, so its test part is from there."""
    cache.open_or_build(cache.base_folder() / "cifar10", lambda scratch: made())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_in_each_container(layout: str, cached: None, tmp_path: Path) -> None:
    members = LAYOUTS[layout](made())
    nested = {f"cifar-10/{name}": content for name, content in members.items()}
    roots = (
        write_folder(tmp_path / "plain", members),
        write_folder(tmp_path / "outer", nested),
        write_folder(tmp_path / "junk", members | JUNK),
        write_zip(tmp_path / "given", members),  # told by its bytes, not by a name
        write_zip(tmp_path / "nested.zip", nested | JUNK),
        write_archive(tmp_path / "given_archive", members),
        write_archive(tmp_path / "nested.tar.gz", nested | JUNK),
        write_zip(write_folder(tmp_path / "holds", {"readme.txt": b"x"}) / "a.zip", nested).parent,
        write_archive(write_folder(tmp_path / "holds too", {"readme.txt": b"x"}) / "a.tgz", nested).parent,
    )
    for root in roots:
        assert_same(source.read(root))
        assert canonical.mismatch(source.read(root)) is None
    found = reading.read(roots[0])
    assert found.layout == (layout if layout[0] != "." else "arrays")
    named = layout in ("image folders", "Kaggle's train/ with trainLabels.csv", "Hugging Face parquet")
    assert found.classes == (canonical.CLASS_NAMES if named else ())
    assert {labels.dtype for _, labels in found.parts.values()} == {np.dtype(np.int64)}


def test_the_command_reads_each_layout(cached: None, tmp_path: Path) -> None:
    for k, members in enumerate(LAYOUTS.values()):
        assert "SHA-256 verified" in fetch(SPEC | {"root": str(write_folder(tmp_path / str(k), members(made())))})


def test_a_lone_npz_and_a_lone_parquet(cached: None, tmp_path: Path) -> None:
    (content,) = npz_members(made()).values()
    write_folder(tmp_path, {"mine.NPZ": content, **parquet_members(made())})
    assert_same(source.read(tmp_path / "mine.NPZ"))
    assert_same(source.read(tmp_path / "train-00000-of-00001.parquet"))  # the test part is from the cache
    with pytest.raises(BadSource, match="has no train part, only test: give the folder"):
        source.read(tmp_path / "test-00000-of-00001.parquet")


def test_the_caches_of_keras(tmp_path: Path) -> None:
    members = LAYOUTS["python batches"](made())
    inner = {f"cifar-10-batches-py/{name}": content for name, content in members.items()}
    other = {"mnist.npz": b"PK\x03\x04"}
    old = write_folder(tmp_path / "old", inner | other)
    write_archive(old / "cifar-10-batches-py.tar.gz", inner)
    between = write_folder(tmp_path / "between", {f"cifar-10-batches-py/{k}": v for k, v in inner.items()} | other)
    write_archive(between / "cifar-10-batches-py_archive", inner)
    now = write_folder(tmp_path / "now", {f"cifar-10-batches-py-target/{k}": v for k, v in inner.items()} | other)
    write_archive(now / "cifar-10-batches-py-target_archive", inner)
    for root in (old, between, now, now / "cifar-10-batches-py-target", now / "cifar-10-batches-py-target_archive"):
        assert_same(source.read(root))


def test_a_hub_cache_of_links(tmp_path: Path) -> None:
    blobs = write_folder(tmp_path / "blobs", parquet_members(made()))
    (tmp_path / "snapshot" / "plain_text").mkdir(parents=True)
    for file in blobs.iterdir():
        (tmp_path / "snapshot" / "plain_text" / file.name).symlink_to(file)
    assert_same(source.read(tmp_path / "snapshot"))


def test_class_folders_without_a_train_folder(cached: None, tmp_path: Path) -> None:
    members = {k.removeprefix("train/"): v for k, v in folder_members(made()).items() if k.startswith("train/")}
    for root in (
        write_folder(tmp_path / "photos", members),
        write_folder(tmp_path / "holds" / "photos", members).parent,
    ):
        found = reading.read(root)
        assert (set(found.parts), found.classes) == ({"train"}, canonical.CLASS_NAMES)
        assert_same(source.read(root))
    write_folder(tmp_path / "photos", {"notes/readme.txt": b"x", "train/none.txt": b"x"})
    told = "holds pictures in airplane/, automobile/, bird/ and 7 more, but not as they are read: must be two or more <"
    assert told in refused(tmp_path / "photos")  # there is a train/, so the others are no classes


def test_kaggles_train_folder_twice(cached: None, tmp_path: Path) -> None:
    members = {k.replace("train/", "train/train/"): v for k, v in kaggle_members(made()).items()}
    assert_same(source.read(write_folder(tmp_path / "kaggle", members)))


def test_parts_of_parquet_in_folders_and_shards(tmp_path: Path) -> None:
    *train, (_, images, labels) = batches(made())
    members = {f"train/{k:04}.parquet": parquet(x, y) for k, (_, x, y) in enumerate(train)}
    assert_same(source.read(write_folder(tmp_path / "a", {**members, "test/0000.parquet": parquet(images, labels)})))


# A set of one's own: any classes, any size, and a validation part


def picture(image: np.ndarray, form: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, form)
    return file.getvalue()


def test_own_folders(tmp_path: Path) -> None:
    draws = np.random.default_rng(1)
    images = draws.integers(0, 256, (4, 6, 9, 3), dtype=np.uint8)
    names = ("train/ant/1.PNG", "train/bee/2.png", "Valid/bee/10.png", "Valid/ant/9.png")
    files = {name: png(image) for name, image in zip(names, images, strict=True)}
    found = reading.read(write_folder(tmp_path / "own", files | {"train/.ipynb_checkpoints/x.png": b""}))
    assert found.classes == ("ant", "bee")
    assert set(found.parts) == {"train", "val"}
    assert np.array_equal(found.parts["train"][0], images[:2])
    assert np.array_equal(found.parts["val"][0], images[[3, 2]])  # 9 before 10, over all classes
    assert found.parts["val"][1].tolist() == [0, 1]
    (tmp_path / "own" / "train" / "cat").mkdir()
    assert reading.read(tmp_path / "own").layout == "image folders, without the empty cat"
    grey = {f"train/{c}/{k}.jpg": picture(images[k, ..., 0], "JPEG") for k, c in enumerate("ab")}
    assert reading.read(write_folder(tmp_path / "grey", grey)).parts["train"][0].shape == (2, 6, 9, 1)


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x,
        lambda x: x.transpose(0, 3, 1, 2),
        lambda x: x.astype(np.float32),
        lambda x: np.asfortranarray(x),
        lambda x: x.astype(">i4"),
    ],
)
def test_own_arrays_in_any_way_that_keeps_the_bytes(turn: object, tmp_path: Path) -> None:
    x = np.random.default_rng(2).integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
    y = np.arange(7) % 4
    np.savez(tmp_path / "a.npz", x_train=turn(x), y_train=y.astype(float), x_valid=x[:2], y_valid=y[:2, None])  # type: ignore[operator]
    found = reading.read(tmp_path / "a.npz")
    assert np.array_equal(found.parts["train"][0], x)
    assert found.parts["train"][0].flags.c_contiguous
    assert found.parts["train"][1].tolist() == y.tolist()
    assert found.parts["val"][1].tolist() == [0, 1]


X = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
Y = np.array([0, 1])
BAD_ARRAYS = {
    "floats": (
        {"x_train": X / 255},
        r"x_train as float64 from 0 to 1, .* uint8 from 0 to 255, saved as \(x_train \* 2",
    ),
    "broken": ({"x_train": X - 0.5}, r"x_train as float64 from -0.5 to 118.5, which must be uint8 from 0 to 255"),
    "nan": ({"x_train": np.where(X == 7, np.nan, X)}, "x_train as float64"),
    "large": ({"x_train": X.astype(int) * 9}, r"x_train from 0 to 1071, which must be uint8"),
    "flat": ({"x_train": X.reshape(2, -1)}, r"shape \(2, 60\), which must be .*; reshape its rows to images"),
    "either": ({"x_train": np.zeros((2, 3, 8, 3), np.uint8)}, "could be either way round"),
    "neither": ({"x_train": np.zeros((2, 8, 8, 4), np.uint8)}, "has no axis of 1 or 3 channels"),
    "one-hot": ({"y_train": np.eye(2)}, r"as one-hot rows are: save y_train.argmax\(1\)"),
    "short": ({"y_train": Y[:1]}, r"y_train of shape \(1,\), which must be \(2,\) as there are 2 images"),
    "negative": ({"y_train": Y - 1}, "y_train from -1 to 0, which must be whole numbers from 0, a class each"),
    "halves": ({"y_train": Y / 2}, "y_train as float64 from 0 to 0.5, which must be whole numbers"),
    "text": ({"y_train": np.array(["a", "b"])}, "y_train of type <U1, which must be whole numbers"),
    "objects": ({"y_train": np.array([1, None])}, "y_train.npy of pickled objects, which are not read"),
    "sizes": (
        {"x_test": X[:, :, :4], "y_test": Y},
        "images of 4×4 RGB in test and 5×4 RGB in train, which must be alike",
    ),
    "no labels": ({"x_test": X}, "x_test without y_test; it holds x_test, x_train, y_train"),
    "empty": ({"x_train": X[:0]}, "without an image"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_arrays_that_are_refused(kind: str, tmp_path: Path) -> None:
    change, words = BAD_ARRAYS[kind]
    np.savez(tmp_path / "a.npz", **({"x_train": X, "y_train": Y} | change))  # type: ignore[arg-type]
    with pytest.raises(BadSource, match=words) as caught:
        reading.read(tmp_path / "a.npz")
    assert "\n" not in str(caught.value)


def test_arrays_of_other_names_are_listed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X, Y)
    with pytest.raises(
        BadSource, match="holds the arrays arr_0, arr_1; must be named x_train and y_train, X_train and"
    ):
        reading.read(tmp_path / "a.npz")


# Messages: the file and the reason


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(SPEC | {"root": str(path)})
    text = str(caught.value)
    assert text.startswith(f"data.root={path} ")
    assert "\n" not in text
    unknown = "recognised: it holds" in text
    assert text.endswith(f"; readable are {reading.READABLE}") == unknown  # the list of layouts, where it helps
    assert ("; without data.root CIFAR-10 is fetched" in text) != unknown
    return text


HEADS = {
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive, which is not read: unpack it",
    b"\x89HDF\r\n\x1a\n": "is an HDF5 file, which is not read: save its arrays as .npz",
    b"MATLAB 7.3 MAT-file, Platform": "is a MATLAB 7.3 file, which is HDF5 and not read: save it with -v7",
    b"MATLAB 5.0 MAT-file, Platform": "is one MATLAB file: give the folder of the six batches",
    b"\n <!DOCTYPE html><p>404": "is an HTML page, not data",
    b"version https://git-lfs.github.com/spec/v1\n": "is a Git LFS pointer, not the data: run `git lfs pull`",
    b"\x93NUMPY\x01": "is one array: give a folder of x_train.npy",
    b"\x89PNG\r\n": "is one picture: give the folder",
    b"\xfd7zXZ\x00": "is compressed with xz, which is not read",
    b"\x80\x04\x95": "is a pickle, which could run code and is not read",
    b"PAR1": "holds a damaged given.npz",
    b"PK\x03\x04": "is a truncated or damaged zip archive",
    b" \n": "is empty",
}


@pytest.mark.parametrize("head", HEADS)
def test_a_file_of_another_kind_is_called_by_its_name(head: bytes, tmp_path: Path) -> None:
    path = tmp_path / "given.npz"  # whatever it is called
    path.write_bytes(head + b" " * 100)
    assert HEADS[head] in refused(path)


def flipped(content: bytes) -> bytes:
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


def without(members: dict[str, bytes], name: str) -> dict[str, bytes]:
    return {key: content for key, content in members.items() if key != name}


def test_each_kind_of_damage_is_named(cached: None, tmp_path: Path) -> None:
    folders, kaggle, binary = folder_members(made()), kaggle_members(made()), binary_members(made())
    cat = next(name for name in folders if name.startswith("train/cat/"))
    some = next(name for name in folders if name.startswith("test/dog/"))
    bit = LAYOUTS["MATLAB batches"](made())
    other = made()
    other["train_images"][45, 3, 3, 0] ^= 1
    other["train_labels"][89] = (other["train_labels"][89] + 1) % 10
    dogs = [name for name in folders if name.startswith("test/dog/")]
    cases = {
        f"holds a damaged {cat} (": folders | {cat: b"\x89PNG no"},
        f"holds a damaged {cat} (it is empty)": folders | {cat: b""},
        f"holds a damaged {cat} (is a Git LFS pointer": folders | {cat: b"version https://git-lfs.github.com/spec/v1"},
        f"holds {some} of 31×32 RGB, but ": folders | {some: png(np.zeros((32, 31, 3), np.uint8))},
        f"holds {some} of 32×32 grey, but ": folders | {some: png(np.zeros((32, 32), np.uint8))},
        f"holds {cat} of mode RGBA, which must be RGB": folders | {cat: png(np.zeros((32, 32, 4), np.uint8))},
        "holds train/dog/ but no pictures in test/dog/": {k: v for k, v in folders.items() if k not in dogs},
        "holds both val/ and valid/": folders | {"val/cat/1.png": b"", "valid/cat/1.png": b""},
        "holds no class folders with pictures in test/: must hold some, or not be there": {
            "test/1.png" if k == some else k: v for k, v in folders.items() if k == some or k.startswith("train/")
        },
        "holds pictures in cat/, but not as they are read: must be two or more <class>/, or train/": {"cat/1.png": b""},
        "holds pictures in test/, train/, but not as they are read": {"train/1.png": b"", "test/1.png": b""},
        "has a val part (image folders), which CIFAR-10 has not": folders
        | {k.replace("test", "val"): v for k, v in folders.items() if k.startswith("test")},
        "has 9 classes (image folders), where CIFAR-10 has 10": {k: v for k, v in folders.items() if "/dog/" not in k},
        "in data_batch_3, data_batch_5 (": folder_members(other),
        "the SHA-256 of train_images differs, in data_batch_2 (": binary
        | {"data_batch_2.bin": flipped(binary["data_batch_2.bin"])},
        "holds a damaged data_batch_2.mat (": bit | {"data_batch_2.mat": flipped(bit["data_batch_2.mat"])},
        "holds data_batch_2.mat, which is a MATLAB 7.3 file": bit | {"data_batch_2.mat": b"MATLAB 7.3 MAT-file"},
        "lacks data_batch_2.mat": without(bit, "data_batch_2.mat"),
        "99 pictures in train/ and 100 labels: 7.png named there, but not in train/": without(kaggle, "train/7.png"),
        "101 pictures in train/ and 100 labels: 777.png without a row": kaggle | {"train/777.png": png(X[0])},
        "holds trainLabels.csv without the header id,label": kaggle | {"trainLabels.csv": b"1,cat\n"},
        "holds trainLabels.csv with the row '1'": kaggle | {"trainLabels.csv": b"id,label\n1\n"},
        "holds trainLabels.csv with a number twice": kaggle | {"trainLabels.csv": b"id,label\n1,cat\n1,dog\n"},
        "lacks the pictures train/1.png …: unpack train.7z there": {
            "trainLabels.csv": b"id,label\n", "train.7z": b"7z\xbc\xaf\x27\x1c",
        },
        "holds nothing recognised: train.7z is a 7z archive": {"train.7z": b"7z\xbc\xaf\x27\x1c"},
        "holds a.npz, b.npz, each a data set of its own: name one of them": {
            "a.npz": b"PK\x03\x04", "b.npz": b"PK\x03\x04",
        },
        "holds nothing recognised: it holds nothing": {".DS_Store": b""},
        "holds a.zip, which is a truncated or damaged zip": {"a.zip": b"PK\x03\x04"},
    }  # fmt: skip
    for k, (words, members) in enumerate(cases.items()):
        assert words in refused(write_folder(tmp_path / str(k), members)), words


def test_a_turned_parquet_with_a_damaged_row_is_refused(tmp_path: Path) -> None:
    members = parquet_members(made())
    shuffled = parquet(np.zeros((3, 32, 32, 3), np.uint8), np.array([0, 1, 12]))
    root = write_folder(tmp_path / "a", members | {"train-00000-of-00001.parquet": shuffled})
    assert "has a label 12, but names 10 classes, counted from 0" in refused(root)
    shuffled = parquet(np.zeros((10, 32, 32, 3), np.uint8), np.arange(10))
    root = write_folder(tmp_path / "b", members | {"train-00000-of-00001.parquet": shuffled})
    assert "the SHA-256 of train_images, train_labels differs (10 + 20 images)" in refused(root)


def test_parquet_without_its_library_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_folder(tmp_path / "hub", parquet_members(made()))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert "is parquet, which needs the extra: pip install 'wdrun[parquet]'" in refused(root)


def test_kaggle_without_a_cache_says_where_the_test_images_come_from(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "kaggle", kaggle_members(made()))
    assert "has no labelled test part (Kaggle's train/ with trainLabels.csv)" in refused(root)
    assert "run `wdrun data` where there is a network" in refused(root)


def test_the_rows_of_the_table_are_unlike() -> None:
    for key in ("words", "holds", "name"):
        texts = [getattr(layout, key) for layout in reading.LAYOUTS]
        assert len(set(texts)) == len(texts)
    assert all(layout.words in reading.READABLE for layout in reading.LAYOUTS)


# The real one


@pytest.mark.cifar10
def test_the_real_thing_in_every_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch({"name": "cifar10", "root": None})
    cached = cache.open_tables(cache.base_folder() / "cifar10")
    assert cached is not None
    tables: Tables = {name: np.array(table) for name, table in cached.items()}
    known: dict[bytes, bytes] = {}

    def png_once(pixels: np.ndarray) -> bytes:
        """Three layouts hold the same pictures; hardly packed, as that takes most of the time."""
        key = hashlib.sha256(pixels).digest()
        if key not in known:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "PNG", compress_level=1)
            known[key] = file.getvalue()
        return known[key]

    monkeypatch.setattr(forms, "EACH", 10_000)
    monkeypatch.setattr(forms, "PACKED", False)
    monkeypatch.setattr(forms, "png", png_once)
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in LAYOUTS["python batches"](tables).items()}
    monkeypatch.setattr(official, "official_md5", lambda: md5)  # the same arrays, pickled by another python
    for layout, members in LAYOUTS.items():
        write = write_zip if layout.startswith("Kaggle") else write_folder  # of 50,000 files, one is sooner there
        root = write(tmp_path / layout.replace(" ", "_").replace("/", "_"), members(tables))
        read = source.read(root)
        assert all(np.array_equal(read[name], tables[name]) for name in tables), layout
        assert canonical.mismatch(read) is None, layout
        shutil.rmtree(root) if root.is_dir() else root.unlink()
