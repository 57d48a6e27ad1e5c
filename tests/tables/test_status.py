"""`wdrun status`: each state is told as it is, also of killed, broken and foreign folders; nothing is disturbed."""

import os

import pytest

from tests import runs
from wdrun import storage
from wdrun.errors import BusyError
from wdrun.storage import hold
from wdrun.sweep.execute import execute
from wdrun.tables import plan, status
from wdrun.tables.columns import run_row
from wdrun.tables.write import render
from wdrun.wording import age


@pytest.fixture
def root(tmp_path):
    """A sweep of five runs with the second failed, the third waiting and the last two killed while they trained."""
    jobs = runs.jobs(tmp_path, "seed=range(0,5)")
    plan.write(jobs)
    for job, state in zip(jobs, ("done", "failed", None, "running", "running"), strict=True):
        if state:
            job.directory.mkdir(parents=True)
            cause = "ValueError: broken" if state == "failed" else ""
            row = run_row(job.run, {"status": state, "cause": cause, "epochs_done": 1})
            (job.directory / "run.csv").write_bytes(render(list(row), [row]))
    return tmp_path / "default"


def folder(root, seed):
    return next(path for path in root.iterdir() if f"-s{seed}-" in path.name)


def told(root, now=None):
    """Each run's status and the end of its line."""
    heading, _, *lines = status.report(root, now)
    return heading, {line.split("-s")[2][0]: line.split(None, 1)[1] for line in lines}


def test_every_state_is_told(root):
    os.utime(folder(root, 3) / "run.csv", (1000, 1000))
    with hold(folder(root, 4)):
        heading, lines = told(root, now=1000 + 3 * 3600)
    assert heading == f"{root}: 5 runs: 1 done, 1 running, 1 interrupted, 1 failed, 1 waiting"
    assert "0" not in lines
    assert lines["1"].split(None, 2)[:2] == ["failed", "1/2"]
    assert lines["1"].endswith(f"ValueError: broken; log {folder(root, 1) / 'error.log'}")
    assert lines["2"] == "waiting      0/2"
    assert lines["3"].split() == ["interrupted", "1/2", "3", "h", "ago", "killed"]
    assert lines["4"].split()[:2] == ["running", "1/2"]


def test_asking_leaves_the_lock_alone(root):
    directory = folder(root, 4)
    assert not storage.held(folder(root, 0))  # never held, no lock file
    assert not (folder(root, 0) / storage.LOCK).exists()
    with hold(directory):
        assert storage.held(directory)
        with pytest.raises(BusyError), hold(directory):
            pass
    assert not storage.held(directory)


def test_a_run_starts_while_someone_asks(root, monkeypatch):
    """The lock that `held` shares for a moment is not taken for another run's."""
    import fcntl

    directory = folder(root, 4)
    asking = os.open(directory / "run.csv", os.O_RDONLY)
    with hold(directory):
        pass
    os.close(asking)
    asking = os.open(directory / storage.LOCK, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    true, calls = fcntl.flock, []

    def flock(lock, how):
        calls.append(how)
        if len(calls) == 3:
            os.close(asking)
        true(lock, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with hold(directory):
        assert storage.held(directory)
    exclusive, shared = fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_SH | fcntl.LOCK_NB
    assert calls == [exclusive, shared, exclusive, shared]


def test_broken_folders_are_named(root):
    (folder(root, 0) / "run.csv").write_bytes(b"id,model\nx")
    (root / "foreign").mkdir()
    (root / "foreign" / "run.csv").write_bytes(b"a,b\n1,2\n")
    (root / "plan.csv").write_bytes(b"x,y\n1,2\n")
    lines = status.report(root)
    assert lines[0] == f"{root}: 3 runs: 2 interrupted, 1 failed"
    assert [line.split(": ", 2)[2] for line in lines if "cannot be read" in line] == [
        "run.csv is not a table of wdrun's (no column id)",
        "run.csv is cut off",
        "is not a plan of wdrun's",
    ]


def test_thousands_of_waiting_runs_are_a_number(root):
    rows = [{"dir": f"r-s{i}", "epochs": 7, "overrides": ""} for i in range(1234)]
    (root / "plan.csv").write_bytes(render(["dir", "epochs", "overrides"], rows))
    lines = status.report(root)
    assert lines[0].endswith("1234 waiting")
    assert sum("  0/7" in line for line in lines) == status.NAMED
    assert lines[-1] == f"  and {1234 - status.NAMED} more waiting"


def test_a_finished_sweep_is_one_line(tmp_path):
    execute(runs.jobs(tmp_path, "seed=0,1"))
    assert status.report(tmp_path / "default") == [f"{tmp_path / 'default'}: 2 runs: 2 done"]


def test_the_command(root, wdrun, capsys):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    code, out, err = wdrun("status", str(root.parent), capture=capsys)  # a folder of folders
    assert (code, err) == (0, "")
    assert out == "\n".join(status.report(root)) + "\n"
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    (root.parent / "empty").mkdir()
    code, out, err = wdrun("status", str(root.parent / "empty"), str(folder(root, 1)), capture=capsys)
    assert code == 0
    assert out.startswith(f"{root.parent / 'empty'}: no runs of wdrun there (no run.csv)\n\n{folder(root, 1)}: 1 run:")
    code, out, err = wdrun("status", "nowhere", capture=capsys)
    assert (code, out, err) == (2, "", "wdrun: nowhere: no such folder\n")


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (86400 * 2.5, "2 d")]
)
def test_age(seconds, words):
    assert age(seconds) == f"{words} ago"
