"""`wdrun status`: each state is told as it is, also of killed, broken and foreign folders; nothing is disturbed."""

import json
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
    assert (code, out, err) == (2, "", "wdrun: nowhere: no such folder or file\n")


def objects(out):
    return [json.loads(line) for line in out.splitlines()]


def test_json_is_an_object_a_folder_and_the_code_says_whether_to_wait(root, wdrun, capsys):
    code, out, err = wdrun("status", str(root), "--json", capture=capsys)
    (found,) = objects(out)
    assert (code, err) == (7, "")
    assert {key: found[key] for key in ("folder", "runs", "counts")} == {
        "folder": str(root),
        "runs": 5,
        "counts": {"done": 1, "running": 0, "interrupted": 2, "failed": 1, "diverged": 0, "waiting": 1},
    }
    names = {seed: folder(root, seed).name for seed in (1, 3, 4)}
    log = folder(root, 1) / "error.log"
    assert [entry for entry in found["not_done"] if entry["status"] != "waiting"] == [
        {"name": names[seed], "status": "interrupted", "epochs_done": 1, "epochs": 2, "cause": "killed"}
        for seed in sorted((3, 4), key=names.get)
    ] + [
        {"name": names[1], "status": "failed", "epochs_done": 1, "epochs": 2, "cause": f"ValueError: broken; log {log}"}
    ]
    (waiting,) = [entry for entry in found["not_done"] if entry["status"] == "waiting"]
    assert (waiting["epochs_done"], waiting["epochs"], "-s2-" in waiting["name"]) == (0, 2, True)
    assert wdrun("status", str(root), capture=capsys)[0] == 0  # a person is told in words


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (("done", "done"), 0),
        (("done", "diverged"), 0),  # a divergence is a result: nothing is to be waited for
        (("done", "failed"), 1),
        (("failed", "interrupted"), 7),
        (("done", "running"), 7),
        (("done", None), 7),
    ],
)
def test_the_code_of_json(tmp_path, wdrun, capsys, states, code):
    jobs = runs.jobs(tmp_path, "seed=0,1")
    plan.write(jobs)
    for job, state in zip(jobs, states, strict=True):
        if state:
            job.directory.mkdir(parents=True)
            row = run_row(job.run, {"status": state, "epochs_done": 1})
            (job.directory / "run.csv").write_bytes(render(list(row), [row]))
    found, out, _ = wdrun("status", str(tmp_path / "default"), "--json", capture=capsys)
    assert found == code
    entries = objects(out)[0]["not_done"]
    assert sorted(entry["status"] for entry in entries) == sorted(
        {None: "waiting", "running": "interrupted"}.get(state, state)  # no process holds it
        for state in states
        if state != "done"
    )


def test_json_of_several_folders_ends_with_the_worst(root, wdrun, capsys, tmp_path):
    execute(runs.jobs(tmp_path / "other", "seed=0"))
    done = tmp_path / "other" / "default"
    code, out, _ = wdrun("status", "--json", str(done), str(root), capture=capsys)
    assert (code, [found["folder"] for found in objects(out)]) == (7, [str(done), str(root)])
    assert wdrun("status", "--json", str(done), capture=capsys)[0] == 0
    (tmp_path / "empty").mkdir()
    code, out, _ = wdrun("status", "--json", str(tmp_path / "empty"), capture=capsys)
    assert (code, objects(out)[0]["runs"]) == (2, 0)
    (folder(root, 0) / "run.csv").write_bytes(b"id,model\nx")
    assert objects(wdrun("status", "--json", str(root), capture=capsys)[1])[0]["unreadable"] == [
        f"cannot be read: {folder(root, 0)}: run.csv is cut off"
    ]


def test_filter_words_choose_the_runs_that_wait_too(root, wdrun, capsys):
    code, out, err = wdrun("status", str(root), "seed=1,2", capture=capsys)
    assert (code, err) == (0, "filters  2 of 5 runs are looked at\n")
    assert out.startswith(f"{root}: 2 runs: 1 failed, 1 waiting\n")
    code, out, _ = wdrun("status", str(root), "seed!=1,2,3,4", "--json", capture=capsys)
    assert (code, objects(out)[0]["counts"]["done"], objects(out)[0]["runs"]) == (0, 1, 1)
    assert wdrun("status", str(root), "status=failed", capture=capsys)[1].startswith(f"{root}: 1 run: 1 failed\n")
    code, out, err = wdrun("status", str(root), "seed=7", capture=capsys)
    assert (code, out) == (2, "")
    assert "seed=7: no run has seed=7; there are 0, 1, 2, 3 and 4" in err
    assert "did you mean seed?" in wdrun("status", str(root), "sed=7", capture=capsys)[2]


def test_a_knob_that_came_later_filters_runs_whose_rows_do_not_name_it(tmp_path, wdrun, capsys):
    plan.write(runs.jobs(tmp_path, "label_smoothing=0,0.1", "seed=0,1,2"))
    for word, count in (("label_smoothing=0", 3), ("label_smoothing!=0", 3), ("label_smoothing=0,0.1", 6)):
        out = wdrun("status", str(tmp_path / "default"), word, capture=capsys)[1]
        assert f"{count} waiting" in out.splitlines()[0]


def test_root_tables_alone_are_told(tmp_path, wdrun, capsys):
    """A colleague's runs.csv, or a folder from which the runs were moved away."""
    jobs = runs.jobs(tmp_path, "seed=range(0,4)")
    handed = tmp_path / "handed"
    handed.mkdir()
    rows = [run_row(job.run, {"status": state, "cause": "E: no" if state == "failed" else "", "epochs_done": 1})
            for job, state in zip(jobs, ("done", "failed", "running", "diverged"), strict=True)]  # fmt: skip
    (handed / "runs.csv").write_bytes(render(list(rows[0]), rows))
    heading, _, *lines = status.report(handed)
    assert heading == f"{handed}: 4 runs: 1 done, 1 interrupted, 1 failed, 1 diverged"
    assert [line.split() for line in lines] == [
        [jobs[2].run.id, "interrupted", "1/2", *["it", "was", "running", "when", "runs.csv", "was", "written"]],
        [jobs[1].run.id, "failed", "1/2", "E:", "no"],
        [jobs[3].run.id, "diverged", "1/2"],
    ]
    assert wdrun("status", str(handed), "seed=0", "--json", capture=capsys)[0] == 0
    told = status.report(handed)
    (handed / "runs.csv").rename(tmp_path / "mine.csv")
    assert wdrun("status", str(tmp_path / "mine.csv"), capture=capsys)[1].splitlines()[1:] == [
        line.replace("runs.csv", "mine.csv") for line in told[1:]
    ]
    (handed / "runs.csv").write_bytes(b"a,b\n1,2\n")
    assert status.report(handed)[-1].endswith(": runs.csv is not a table of wdrun's (no column id)")


@pytest.mark.parametrize("width", [120, 80, 60, 30])
def test_a_narrow_terminal_cuts_nothing(root, monkeypatch, width):
    wide = {word for line in status.report(root) for word in line.split()}
    monkeypatch.setattr("wdrun.terminal.screen.columns", lambda stream=None: width)
    lines = status.report(root)
    assert max(map(len, lines[1:])) <= width
    page = "".join("".join(lines).split())
    assert all(word in page for word in wide - {"written", "ago", "s", "0"})


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (86400 * 2.5, "2 d")]
)
def test_age(seconds, words):
    assert age(seconds) == f"{words} ago"
