"""The durable calls: whole old or whole new, folders held by one, errors that say where and what to try."""

import errno
import fcntl
import os
import re
import stat
import subprocess
import sys
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


def gone():
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_a_killed_process_was_writing_goes_when_the_folder_is_held(tmp_path):
    (tmp_path / ".hydra").mkdir()
    pid = gone()
    for name in (f".run.csv.{pid}.tmp", f".hydra/.overrides.yaml.{pid}.tmp", "run.csv", "own.tmp"):
        (tmp_path / name).touch()
    with storage.hold(tmp_path):
        assert names(tmp_path) == [".hydra", ".lock", "own.tmp", "run.csv"]
        assert names(tmp_path / ".hydra") == []


def test_temporary_files_of_others_and_of_those_who_write_now_stay(tmp_path):
    pid = gone()
    own = [".notes.tmp", ".cache/.db.tmp", f".notes.{pid}.tmp", f".cache/.runs.csv.{pid}.tmp", ".run.csv.x.tmp",
           f".run.csv.{os.getppid()}.tmp", f".own.csv.{pid}.tmp", ".run.csv.tmp"]  # fmt: skip
    (tmp_path / ".cache").mkdir()
    for name in own:
        (tmp_path / name).write_text("mine")
    with storage.hold(tmp_path):
        assert all((tmp_path / name).read_text() == "mine" for name in own)


def test_whatever_is_written_into_a_held_folder_is_known_when_it_is_left_half(tmp_path, monkeypatch):
    """The names of all temporary files of sweeps that write every kind of file are those that `hold` cleans."""
    from tests.runs import SMALLEST, asked
    from wdrun.sweep import one_run
    from wdrun.sweep.execute import execute

    true, temporary = os.replace, set()

    def replace(source, target):
        temporary.add(os.path.basename(source))
        true(source, target)

    monkeypatch.setattr(os, "replace", replace)
    execute(*asked(tmp_path, "lambda=0.01,0.1", "diagnostics=[histograms]", base=SMALLEST))
    regression = ("data=regression", "model=linear", "augment=none", "threads=1", "device=cpu", "epochs=2")
    execute(*asked(tmp_path, base=regression))
    monkeypatch.setattr(one_run, "train", lambda *arguments: 1 / 0)
    execute(*asked(tmp_path, "seed=5", base=SMALLEST))
    assert {name[1:].rsplit(".", 2)[0] for name in temporary} >= {"runs.csv", "predictions.csv", "error.log"}
    assert [name for name in sorted(temporary) if not storage.TEMPORARY.fullmatch(name)] == []


def test_what_wdrun_wrote_is_discarded_and_the_row_and_what_is_the_users_stay(tmp_path):
    ours = ["metrics.csv", "evaluation_layers.csv", "config.yaml", "code.json", "checkpoint"]
    ours += ["checkpoint.previous", "kept.checkpoint", "last.safetensors", "error.log"]
    own = ["run.csv", ".lock", "notes.csv", "last.safetensors.old", "run.csv.txt", "my.yaml"]
    for name in [*ours, *own]:
        (tmp_path / name).write_text("x")
    storage.discard(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(own)


# A group's folder


@pytest.fixture
def umask():
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_every_file_and_folder_has_the_rights_that_the_umask_leaves(tmp_path, umask):
    with storage.hold(tmp_path / "a" / "b"):
        storage.write_atomically(tmp_path / "a" / "b" / "run.csv", b"")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert modes == {"b": 0o775, ".lock": 0o664, "run.csv": 0o664}


def test_a_lock_that_another_made_for_himself_alone_is_enough(tmp_path, monkeypatch):
    (tmp_path / storage.LOCK).touch()
    true = os.open

    def refusing(path, flags, *rest):
        if str(path).endswith(storage.LOCK) and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return true(path, flags, *rest)

    monkeypatch.setattr(os, "open", refusing)
    with storage.hold(tmp_path), pytest.raises(BusyError), storage.hold(tmp_path):
        pass
    (tmp_path / storage.LOCK).unlink()
    with pytest.raises(StorageError, match="Permission denied"), storage.hold(tmp_path):
        pass


# File systems that lack a call


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOTSUP", "ENOSYS"])
@pytest.mark.parametrize("wait", [False, True])
def test_without_locks_a_folder_is_taken_and_that_is_said_once(tmp_path, monkeypatch, capsys, code, wait):
    def flock(lock, how):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(fcntl, "flock", flock)
    monkeypatch.setattr(storage, "unlocked", set())
    for name in ("a", "b"):
        with storage.hold(tmp_path / name, wait=wait):
            assert storage.held(tmp_path / name)  # it cannot tell, so what run.csv says is believed
    (line,) = capsys.readouterr().err.splitlines()
    why = f"this file system has no locks ({os.strerror(getattr(errno, code))})"
    assert line == (
        f"warning: {tmp_path / 'a'}: {why}, so two processes there would not see each other; "
        "let one command at a time write there"
    )


def test_a_lock_that_fails_is_one_line(tmp_path, monkeypatch):
    def flock(lock, how):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StorageError, match=r"/\.lock: Input/output error; "), storage.hold(tmp_path):
        pass


def failing(kind, code):
    """An fsync that fails so for folders, or for files."""
    true = os.fsync

    def fsync(number):
        if stat.S_ISDIR(os.fstat(number).st_mode) == (kind == "folder"):
            raise OSError(code, os.strerror(code))
        true(number)

    return fsync


@pytest.mark.parametrize(("kind", "code", "goes_on"), [
    ("folder", errno.EINVAL, True), ("folder", errno.ENOTSUP, True), ("folder", errno.EACCES, True),
    ("folder", errno.ENOSYS, True), ("folder", errno.EIO, False), ("folder", errno.ENOSPC, False),
    ("file", errno.EINVAL, True), ("file", errno.ENOSYS, True), ("file", errno.EIO, False),
    ("file", errno.ENOSPC, False), ("file", errno.EDQUOT, False),
])  # fmt: skip
def test_a_sync_that_is_not_there_is_no_failure_and_one_that_fails_is(tmp_path, monkeypatch, kind, code, goes_on):
    monkeypatch.setattr(os, "fsync", failing(kind, code))
    path = tmp_path / "a.csv"
    if goes_on:
        storage.write_atomically(path, b"new")
        assert path.read_bytes() == b"new"
    else:
        with pytest.raises(StorageError, match=re.escape(os.strerror(code))):
            storage.write_atomically(path, b"new")


def test_a_folder_that_one_may_write_and_not_read_is_written(tmp_path, monkeypatch):
    true = os.open

    def refusing(path, flags, *rest):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return true(path, flags, *rest)

    monkeypatch.setattr(os, "open", refusing)
    storage.make(tmp_path / "a")
    storage.write_atomically(tmp_path / "a" / "b.csv", b"new")
    assert (tmp_path / "a" / "b.csv").read_bytes() == b"new"


def test_a_place_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match=r"/file/run: Not a directory; .* try output_dir=PATH"),
        storage.hold(tmp_path / "file" / "run"),
    ):
        pass
