"""The durable calls: whole old or whole new, folders held by one, errors that say where and what to try."""

import errno
import os
import re
import threading

import pytest

from wdrun import storage
from wdrun.errors import BusyError, StorageError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.csv"
    for content in (b"", b"first", b"second\n"):
        storage.write_atomically(path, content)
        assert path.read_bytes() == content
        assert names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_says_where(tmp_path, monkeypatch, call):
    path = tmp_path / "a.csv"
    storage.write_atomically(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(StorageError) as caught:
        storage.write_atomically(path, b"new", remedy="data.dir=PATH")
    line = rf"{re.escape(str(path))}: No space left on device; \d+\.\d GiB free there; try data\.dir=PATH"
    assert re.fullmatch(line, str(caught.value))
    assert (path.read_bytes(), names(tmp_path)) == (b"old", ["a.csv"])


def test_the_space_is_that_of_the_nearest_folder_that_is_there(tmp_path):
    error = storage.storage_error(tmp_path / "a" / "b", PermissionError(errno.EACCES, "Permission denied"))
    assert re.fullmatch(r".*/a/b: Permission denied; \d+\.\d GiB free there; try output_dir=PATH", str(error))


def test_folders_are_made_with_those_above_and_synced_from_the_top(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(storage, "sync", synced.append)
    storage.make(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path, tmp_path / "a"]
    storage.make(tmp_path / "a" / "b")  # there already: whoever made it may not have come to syncing it
    assert synced[2:] == [tmp_path / "a"]


def test_a_folder_is_held_by_one_and_free_again(tmp_path):
    place = tmp_path / "run"
    assert not storage.held(place)
    with storage.hold(place):
        assert storage.held(place)
        with pytest.raises(BusyError, match=f"{place}: another process is training this run"), storage.hold(place):
            pass
    assert not storage.held(place)


def test_one_who_waits_gets_the_folder_after_the_other(tmp_path):
    order = []

    def second():
        with storage.hold(tmp_path, wait=True):
            order.append("second")

    with storage.hold(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_what_a_killed_process_was_writing_goes_when_the_folder_is_held(tmp_path):
    (tmp_path / ".hydra").mkdir()
    for name in (".run.csv.17.tmp", ".hydra/.overrides.yaml.17.tmp", "run.csv", "own.tmp"):
        (tmp_path / name).touch()
    with storage.hold(tmp_path):
        assert names(tmp_path) == [".hydra", ".lock", "own.tmp", "run.csv"]
        assert names(tmp_path / ".hydra") == []


def test_a_place_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"/file/run: Not a directory; .* try output_dir=PATH"),
        storage.hold(tmp_path / "file" / "run"),
    ):
        pass
