"""Folders of several users, and folders that hold what is not wdrun's: nobody is locked out, nothing is replaced."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
import torch

from tests import made_up
from tests.hazards.durable import child
from tests.runs import SMALLEST, asked, jobs
from wdrun.errors import ConfigError
from wdrun.storage import LOCK
from wdrun.sweep import recording
from wdrun.sweep.execute import execute
from wdrun.tables import aggregate
from wdrun.tables.columns import TABLES

GROUP, USERS = 64999, (64001, 64002)


@pytest.fixture
def group_folder():
    """A folder of a group, as `chmod 2775` makes it, that any user can come to."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    os.chown(folder, -1, GROUP)
    folder.chmod(0o2775)
    yield folder
    shutil.rmtree(folder)


def as_user(user, task, log):
    """The exit code of the task in a process of a user of the group who leaves his files to the group."""

    def run():
        os.setgroups([])
        os.setgid(GROUP)
        os.setuid(user)
        os.umask(0o002)
        task()

    return child(run, log)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch cannot train in a forked process beside CUDA")
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs the rights to be two users")
@pytest.mark.parametrize("older", [False, True])
def test_two_users_of_a_group_train_in_one_folder(older, group_folder, tmp_path, capsys):
    """The first is killed in his first run; the second ends his sweep, and the first another one after it.

    `older`: with the rights that lock files had before, which left the second user none.
    """
    first, second = USERS
    # What a user may not be able to read from here, the libraries and their files, is read before.
    execute(jobs(tmp_path / "own", base=SMALLEST))

    def sweep(words, dying=False):
        asked_for = jobs(group_folder, words, base=SMALLEST)

        def task():
            if dying:
                recording.Record.take = lambda *arguments: os._exit(9)
            outcomes = execute(asked_for)
            assert [o.status for o in outcomes] == ["done"] * len(outcomes)

        return task

    log = tmp_path / "log"
    assert as_user(first, sweep("seed=0,1", dying=True), log) == 9, log.read_text()
    for lock in group_folder.rglob(LOCK) if older else ():
        lock.chmod(0o644)
    for number, (user, words) in enumerate([(second, "seed=0,1"), (first, "seed=0,1,2"), (second, "seed=3")]):
        log = tmp_path / f"log{number}"
        assert as_user(user, sweep(words), log) == 0, log.read_text()
    files = [path for path in group_folder.rglob("*") if not (older and path.name == LOCK)]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o777 for path in files} == {0o664, 0o775}
    assert {path.stat().st_uid for path in files} == set(USERS)
    assert (group_folder / "default" / "runs.csv").read_text().count("\n") == 5


FOREIGN = {
    "runs.csv": "name,km\nmonday,5\n",
    "metrics.csv": "date;value\n2026-01-01;3\n",
    "timing.csv": "just words",
    "plan.csv": "day,what\nmonday,rest\n",
}


def everything(folder):
    return {p: (p.read_bytes() if p.is_file() else None) for p in folder.rglob("*")}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("words", [("seed=0",), ("seed=0,1",)])
def test_nothing_is_trained_where_a_file_of_the_users_would_be_replaced(name, words, tmp_path):
    own = tmp_path / "mine"
    own.mkdir()
    (own / name).write_text(FOREIGN[name])
    (own / "notes.txt").write_text("mine")
    before = everything(tmp_path)
    parsed, options = asked(tmp_path, "name=mine", *words, base=SMALLEST)
    said = rf"^{own / name}: is not a table that wdrun wrote, .* would replace it; take another name=, or move it away$"
    with pytest.raises(ConfigError, match=said):
        execute(parsed, options)
    assert everything(tmp_path) == before


def test_a_folder_of_the_users_is_otherwise_a_place_like_any(tmp_path):
    own = tmp_path / "mine"
    (own / ".cache").mkdir(parents=True)
    for name in ("notes.txt", ".notes.tmp", ".cache/.db.tmp", "data.csv"):
        (own / name).write_text("mine")
    (own / "runs.csv").touch()  # nothing in it: nothing lost
    before = everything(own)
    execute(jobs(tmp_path, "name=mine", "seed=0,1", base=SMALLEST))
    after = everything(own)
    assert {path: after[path] for path in before if path.name != "runs.csv"} == {
        path: content for path, content in before.items() if path.name != "runs.csv"
    }
    assert (own / "runs.csv").read_text().count("\n") == 3


@pytest.mark.parametrize("kept", ["runs.csv", "layers.csv"])
def test_nothing_is_trained_into_tables_that_were_handed_on(kept, tmp_path):
    parsed = jobs(tmp_path / "outputs", "seed=0,1", base=SMALLEST)
    execute(parsed)
    root = parsed[0].root
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != kept:
            path.unlink()
    before = everything(tmp_path)
    said = rf"^{root}: has the tables of runs \({kept}\) without the runs, .* take another name=, or move them away$"
    for some in (parsed, parsed[:1]):
        with pytest.raises(ConfigError, match=said):
            execute(some)
    assert everything(tmp_path) == before
    aggregate.refresh([root], pytest.fail)
    assert everything(tmp_path) == before


def test_the_folder_of_a_sweep_that_was_killed_before_its_first_run_is_not_one_handed_on(tmp_path):
    parsed = jobs(tmp_path, "seed=0,1", base=SMALLEST)
    aggregate.write(parsed[0].root)  # tables without a row
    assert [o.status for o in execute(parsed)] == ["done", "done"]


@pytest.mark.parametrize("command", ["select", "report"])
def test_tables_follow_runs_that_are_removed_and_copied_in_by_hand(command, here, wdrun, capfd):
    """The folder's tables are those of its runs, as if they had been written just now, and else left alone."""
    root = made_up.sweep(here / "runs", {0.0: [1.0, 2.0], 0.1: [0.5, 0.6]})
    aggregate.write(root)
    files = [root / f"{name}.csv" for name in ("runs", *TABLES)]
    whole, kept = ([of(path) for path in files] for of in (Path.read_bytes, os.stat))
    assert whole[0].count(b"\n") == 5
    assert wdrun(command, "runs", capture=capfd)[0] == 0
    assert [path.stat().st_ino for path in files] == [file.st_ino for file in kept]
    first = sorted(path for path in root.iterdir() if (path / "run.csv").exists())[0]
    name = (first / "run.csv").read_bytes().splitlines()[1][:8]
    first.rename(here / "aside")
    assert wdrun(command, "runs", capture=capfd)[0] == 0
    fewer = [b"".join(line for line in text.splitlines(True) if not line.startswith(name)) for text in whole]
    assert [path.read_bytes() for path in files] == fewer != whole
    (here / "aside").rename(first)
    assert wdrun(command, "runs", capture=capfd)[0] == 0
    assert [path.read_bytes() for path in files] == whole
