"""A disk that is full, over its quota, failing or read-only at any durable call: a line, exit 5, nothing lost.

Each case fails one call (`at`) or all from there on, then runs the same command on a sound disk: its bytes are those
of a run that met no fault, and whatever was announced in between was there.
"""

import builtins
import errno
import fcntl
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
from functools import partial

import pytest
import torch

from tests import runs
from tests.data import stand_in as cifar
from tests.data.stand_in import stand_in  # noqa: F401 - a fixture every test here has: the stand-in is CIFAR-10
from tests.hazards.durable import Disk, child
from tests.runs import SMALLEST, changed
from wdrun import cli, storage
from wdrun.cli.run import train
from wdrun.data import cache, canonical
from wdrun.errors import StorageError
from wdrun.report import earlier
from wdrun.selection.command import select_command
from wdrun.sweep import recording
from wdrun.sweep.execute import execute
from wdrun.tables import answers

WORDS = changed(SMALLEST, "lambda=1e-2")
jobs = partial(runs.asked, base=WORDS)  # the jobs, and what is asked of the sweep
SWEEP = ("lambda=1e-2,1e-1", "fuse=false", "parallel=1")
FAULTS = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "short")
TIMING = ("timing.csv", ".lock")  # what no two runs have in common


class Faulty(Disk):
    """Fails call number `at`, or with `lasting` every one from there on, instead of dying there."""

    def __init__(self, root, at=None, fault="EIO", lasting=False):
        super().__init__(root, at)
        self.fault, self.lasting = fault, lasting

    def _call(self, kind, path, do, half=lambda: None):
        if not os.path.abspath(os.fspath(path)).startswith(self.root + os.sep):
            return do()
        self.calls.append((kind, os.path.basename(path)))
        number = len(self.calls)
        if self.at is None or number < self.at or (number > self.at and not self.lasting):
            return do()
        if self.lasting and self.fault != "EROFS" and kind in ("unlink", "fsync", "fsync folder", "replace"):
            return do()  # a full disk still lets go
        if self.fault == "short":
            half()
        code = errno.ENOSPC if self.fault == "short" else getattr(errno, self.fault)
        named = () if kind in ("write", "fsync", "fsync folder") else (os.fspath(path),)
        raise OSError(code, os.strerror(code), *named)

    def __enter__(self):
        self.before = builtins.open, io.open
        return self.install()

    def __exit__(self, *error):
        for name, function in self.true.items():
            setattr(os, name, function)
        builtins.open, io.open = self.before


def command(parsed, monkeypatch, capsys):
    """The command line on these jobs: exit code, the lines on stdout, stderr."""
    monkeypatch.setattr(cli, "dispatch", lambda *_: train(*parsed))
    with pytest.raises(SystemExit) as stop:
        cli.main([])
    out, err = capsys.readouterr()
    return stop.value.code, [json.loads(line) for line in out.splitlines()], err


def tree(folder):
    """Every file below it that two runs have in common."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in TIMING)
    return {str(p.relative_to(folder)): p.read_bytes().replace(str(folder).encode(), b"") for p in files}


def assert_one_message(code, err, fault, root, why):
    assert code == 5, (why, err)
    assert "Traceback" not in err, why
    (line,) = [line for line in err.splitlines() if line.startswith("wdrun: ")]
    reason = os.strerror(errno.ENOSPC if fault == "short" else getattr(errno, fault))
    assert reason in line, (why, line)
    assert str(root) in line, (why, line)
    assert "GiB free" in line, (why, line)


def assert_said_is_there(said, why):
    from safetensors.torch import load_file

    for result in said:
        if result["status"] == "done":
            with open(os.path.join(result["dir"], "run.csv")) as file:
                assert ",done," in file.read(), why
            assert load_file(os.path.join(result["dir"], "last.safetensors")), why


def broken_then_sound(parsed, root, expected, disk, monkeypatch, capsys, why):
    """The exit code of the command on the faulty disk, after all was asserted that holds of it."""
    with disk:
        code, said, err = command(parsed, monkeypatch, capsys)
    assert_said_is_there(said, why)
    if code:
        assert_one_message(code, err, disk.fault, root, why)
    else:  # such as a temporary file that could not be deleted twice
        assert said, why
    code, said, err = command(parsed, monkeypatch, capsys)
    assert code == 0, (why, err)
    assert tree(root) == expected, why
    return disk


@pytest.fixture(scope="module", autouse=True)
def slowly():
    """Nothing is left out for having been quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "FOLLOW_SECONDS", 0.0)
        yield


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The files of a run that met no fault, and its durable calls."""
    folder = tmp_path_factory.mktemp("one")
    with Faulty(folder) as disk:
        execute(*jobs(folder / "runs"))
    return tree(folder / "runs"), disk.calls


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The same of a sweep of two runs."""
    folder = tmp_path_factory.mktemp("many")
    with Faulty(folder) as disk:
        execute(*jobs(folder / "runs", *SWEEP))
    return tree(folder / "runs"), disk.calls


def try_run(case, place, whole, words, monkeypatch, capsys):
    at, fault, lasting = case
    expected, _ = whole
    root = place / "runs"
    why = f"at={at} fault={fault} lasting={lasting}"
    disk = Faulty(place, at, fault, lasting)
    broken_then_sound(jobs(root, *words), root, expected, disk, monkeypatch, capsys, why)
    shutil.rmtree(root)


@pytest.mark.parametrize("quarter", range(4))
def test_a_fault_at_any_durable_call_of_a_run(quarter, one, tmp_path, monkeypatch, capsys):
    calls = one[1]
    assert len(calls) > 100
    assert {kind for kind, _ in calls} == {
        "mkdir", "open", "write", "fsync", "replace", "fsync folder", "link", "unlink",
    }  # fmt: skip
    for at in range(1 + quarter, len(calls) + 1, 4):  # each call with one of the faults, in turn
        try_run((at, FAULTS[at % 5], at // 4 % 2 == 0), tmp_path, one, (), monkeypatch, capsys)


@pytest.mark.parametrize("seed", range(3))
def test_a_fault_at_any_durable_call_of_a_sweep(seed, many, tmp_path, monkeypatch, capsys):
    draw = random.Random(seed)
    tables = [i for i, (_, name) in enumerate(many[1], 1) if any(t in name for t in ("plan", "runs.csv"))]
    for at in (*draw.sample(tables, 6), *draw.sample(range(1, len(many[1]) + 1), 6)):
        case = (at, draw.choice(FAULTS), draw.random() < 0.5)
        try_run(case, tmp_path, many, SWEEP, monkeypatch, capsys)


class Lacking(Faulty):
    """A file system without some calls: fsync of folders or of any file, and locks where `locks` is an error's name."""

    def __init__(self, root, kinds, fault, locks=None):
        super().__init__(root, 1, fault, lasting=True)
        self.kinds, self.locks, self.lock = kinds, locks, fcntl.flock

    def _call(self, kind, path, do, half=lambda: None):
        return super()._call(kind, path, do, half) if kind in self.kinds else do()

    def _flock(self, lock, how):
        raise OSError(getattr(errno, self.locks), os.strerror(getattr(errno, self.locks)))

    def __enter__(self):
        if self.locks:
            fcntl.flock = self._flock
        return super().__enter__()

    def __exit__(self, *error):
        fcntl.flock = self.lock
        super().__exit__(*error)


@pytest.mark.parametrize(("kinds", "fault"), [
    (("fsync folder",), "EINVAL"), (("fsync folder",), "EACCES"), (("fsync folder", "fsync"), "ENOTSUP"),
    (("fsync folder", "fsync"), "EINVAL"), (("link",), "EPERM"), (("link",), "EOPNOTSUPP"),
])  # fmt: skip
@pytest.mark.parametrize("words", [(), SWEEP])
def test_a_file_system_that_lacks_a_call_at_every_place_is_good_enough(
    kinds, fault, words, one, many, tmp_path, monkeypatch, capsys
):
    root = tmp_path / "runs"
    with Lacking(tmp_path, kinds, fault) as disk:
        code, said, err = command(jobs(root, *words), monkeypatch, capsys)
        assert (code, [line["status"] for line in said]) == (0, ["done"] * len(said)), err
        assert len(disk.calls) >= 10 or kinds == ("link",)
        assert select_command([str(root / "default")], {"config_dir": None}) == 0
    for name in ("selection.csv", "leaderboard.csv"):
        (root / "default" / name).unlink()
    assert tree(root) == (many if words else one)[0]


@pytest.mark.parametrize("code", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
@pytest.mark.parametrize("words", [(), SWEEP])
def test_a_file_system_without_locks_is_used_after_one_sentence(code, words, one, many, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(storage, "unlocked", set())
    root = tmp_path / "runs"
    with Lacking(tmp_path, (), "EIO", locks=code):
        ended, _, err = command(jobs(root, *words), monkeypatch, capsys)
    assert ended == 0, err
    assert err.count("this file system has no locks") == 1
    assert tree(root) == (many if words else one)[0]


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("lasting", [False, True])
def test_every_fault_at_every_durable_call(fault, lasting, one, many, tmp_path, monkeypatch, capsys):
    for at in range(1, len(one[1]) + 1):
        try_run((at, fault, lasting), tmp_path, one, (), monkeypatch, capsys)
    for at in range(1, len(many[1]) + 1, 7):
        try_run((at, fault, lasting), tmp_path, many, SWEEP, monkeypatch, capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch cannot train in a forked process beside CUDA")
def test_files_limited_in_size_by_the_system(one, tmp_path, monkeypatch, capsys):
    expected, _ = one
    sizes = sorted({len(content) for content in expected.values()})
    largest = 8 * sizes[-1]  # a checkpoint has more than the weights
    limits = [0, 1, 50, sizes[1] - 1, sizes[2], sizes[len(sizes) // 2], *(largest * k // 8 for k in (1, 2, 4, 8))]
    codes = []
    for number, limit in enumerate(limits):
        root, log = tmp_path / f"runs{number}", tmp_path / f"log{number}"
        parsed = jobs(root)

        def task(parsed=parsed, limit=limit):
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            true, streams = (sys.stdout, sys.stderr), (io.StringIO(), io.StringIO())
            sys.stdout, sys.stderr = streams
            monkeypatch.setattr(cli, "dispatch", lambda *_: train(*parsed))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                cli.main([])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
                sys.stdout, sys.stderr = true
                print(json.dumps([stream.getvalue() for stream in streams]))

        code = child(task, log)
        out, err = json.loads(log.read_text().splitlines()[-1])
        codes.append(code)
        if code:
            assert_one_message(code, err, "EFBIG", root, f"limit={limit}")
            assert not list(root.rglob("*.tmp")), limit
        assert_said_is_there([json.loads(line) for line in out.splitlines()], f"limit={limit}")
        code, _, err = command(parsed, monkeypatch, capsys)
        assert code == 0, err
        assert tree(root) == expected, limit
    assert len(limits) == 10
    assert codes[:4] == [5] * 4
    assert codes[-1] == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_select_writes(fault, many, tmp_path, monkeypatch, capsys):
    execute(*jobs(tmp_path / "runs", "lambda=1e-2,1e-1"))
    folder = tmp_path / "runs" / "default"
    capsys.readouterr()
    for at in range(1, 11):
        with Faulty(tmp_path, at, fault) as disk, pytest.raises(SystemExit) as stop:
            cli.main(["select", str(folder)])
        out, err = capsys.readouterr()
        assert len(disk.calls) >= at
        if fault == "EROFS":  # a place that nobody asked for: the answer is printed all the same
            assert (stop.value.code, "lambda_min" in out) == (0, True), at
            assert f"nothing is written: {folder} may only be read; out=FOLDER writes elsewhere" in err, at
            continue
        assert out == "", at
        assert "tables" not in err, at
        assert_one_message(stop.value.code, err, fault, folder, at)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_a_report_is_written(fault, tmp_path):
    page = tmp_path / "page" / "report.html"
    for at in range(1, 7):
        with Faulty(tmp_path, at, fault), pytest.raises(StorageError, match=r"page/report.html: .* GiB free"):
            answers.write({page: b"new" * 9999}, earlier.is_ours, asked=True, remedy="out=PATH")
        if at < 6:  # the last is the folder's own fsync, after the page was replaced
            assert not (tmp_path / "page" / "report.html").exists()
        shutil.rmtree(tmp_path / "page", ignore_errors=True)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_while_the_data_cache_is_built(fault, tmp_path):
    folder = tmp_path / "data" / "cifar10"
    with Faulty(tmp_path) as disk:
        cache.open_or_build(folder, lambda scratch: cifar.made())
    assert len(disk.calls) > 15
    for at in range(1, len(disk.calls) + 1):
        shutil.rmtree(folder.parent)
        with Faulty(tmp_path, at, fault):
            try:
                cache.open_or_build(folder, lambda scratch: cifar.made())
                line = f"{folder} MiB free"  # such as a scratch folder that could not be deleted
            except StorageError as error:
                line = str(error)
        assert "MiB free" in line, at
        assert str(folder) in line, at
        left = {p.name for p in folder.parent.iterdir()} if folder.parent.exists() else set()
        assert {name for name in left if "building" not in name} <= {"cifar10", "cifar10.lock"}, at
        tables = cache.open_or_build(folder, lambda scratch: cifar.made())
        assert canonical.mismatch(tables) is None
        assert not [p for p in folder.parent.iterdir() if "building" in p.name], at


def test_a_full_stdout_is_a_line_and_not_a_traceback(tmp_path, shell):

    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "wdrun", "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 5
    assert done.stderr == "wdrun: /dev/stdout: No space left on device; what was to be printed is lost\n"
