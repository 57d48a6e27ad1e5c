"""Where answers go, and that nothing there is replaced which wdrun did not write"""

import errno
import os
from pathlib import Path

import pytest

from tests import made_up
from wdrun.errors import StorageError
from wdrun.tables import answers


@pytest.fixture
def folders(here):
    for name in ("out/a", "out/b", "other/a", "mail"):
        (here / name).mkdir(parents=True)
    for name in ("out/a/runs.csv", "mail/decay.csv", "mail/runs.csv"):
        (here / name).write_text("")
    return here


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (["out/a"], "out/a"),
        (["out/a", "out/a", "out/../out/a"], "out/a"),
        (["out/a/runs.csv"], "out/a"),
        (["mail/decay.csv"], "mail/decay"),
        (["mail/runs.csv"], "mail"),
        (["out/a", "out/b"], "out/a+b"),
        (["out/b", "out/a"], "out/b+a"),
        (["out/a", "other/a"], "out/a+other.a"),
        (["mail/decay.csv", "out/a"], "mail/decay+out.a"),
    ],
)
def test_the_folder_of_the_answers(folders, given, place):
    assert answers.place([Path(name) for name in given]) == Path(place)


def test_a_file_whose_folder_would_be_a_file(here):
    for name in ("b.csv", "b"):
        Path(name).write_text("x")
    assert [answers.place([Path(name)]) for name in ("b", "b.csv")] == [Path("b+"), Path("b.csv+")]


def test_the_current_folder_and_its_parent_have_names(folders, monkeypatch):
    monkeypatch.chdir("out/a")
    assert answers.place([Path()]) == Path()
    assert answers.place([Path(), Path("../b")]) == folders / "out" / "a+b"
    assert answers.place([Path("../b"), Path()]) == Path("../b+a")


def test_many_folders_have_a_name_that_a_disk_takes(here):
    some = [Path(f"folder-{n}") for n in range(100)]
    for folder in some:
        folder.mkdir()
    name = answers.place(some).name
    assert len(name) < 200
    assert name.startswith("folder-0+folder-1+")
    assert name != answers.place([*some[:-1], Path("another")]).name  # which differ beyond what a name can hold


def test_a_foreign_file_stays_and_none_is_written(here):
    Path("b").write_text("mine")
    with pytest.raises(StorageError, match=r"^b: was not written by wdrun, so it stays as it is; try out=FOLDER$"):
        answers.write({Path("a"): b"1", Path("b"): b"2"}, lambda path: False, asked=False, remedy="out=FOLDER")
    assert (Path("b").read_text(), Path("a").exists()) == ("mine", False)
    assert answers.write({Path("b"): b"2"}, lambda path: True, asked=False, remedy="out=FOLDER")
    assert Path("b").read_bytes() == b"2"


def failing(monkeypatch, number):
    """Let no file be opened for writing."""

    def no(self, *args, **kwargs):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "open", no)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_place_that_may_only_be_read_is_said_where_it_was_not_asked_for(here, monkeypatch, capsys, number):
    failing(monkeypatch, number)
    with pytest.raises(StorageError, match="try out=FOLDER"):
        answers.write({Path("r/a"): b"1"}, bool, asked=True, remedy="out=FOLDER")
    assert not answers.write({Path("r/a"): b"1"}, bool, asked=False, remedy="out=FOLDER")
    assert capsys.readouterr() == ("", "nothing is written: r may only be read; out=FOLDER writes elsewhere\n")


def test_a_full_disk_is_an_error_wherever_it_is(here, monkeypatch):
    failing(monkeypatch, errno.ENOSPC)
    with pytest.raises(StorageError, match="a: No space left on device"):
        answers.write({Path("a"): b"1"}, bool, asked=False, remedy="out=FOLDER")


@pytest.fixture
def read_only(here, monkeypatch):
    """A folder of results that may only be read; who may write everything is kept from it here."""
    made_up.sweep(here / "theirs", {0: [1.0, 1.1], 0.1: [0.9, 0.8]})
    real = os.open, Path.open

    def guarded(function):
        def open_(path, *args, **kwargs):
            writes = any(isinstance(a, str) and set(a) & set("wax+") for a in args)
            if writes and "theirs" in Path(path).parts:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return function(path, *args, **kwargs)

        return open_

    monkeypatch.setattr(Path, "open", guarded(real[1]))
    return here / "theirs"


@pytest.mark.parametrize("command", ["select", "report"])
def test_results_that_may_only_be_read_are_answered(read_only, wdrun, capfd, command):
    before = sorted(read_only.rglob("*"))
    code, out, err = wdrun(command, "theirs", capture=capfd)
    assert code == 0, err
    assert "decay=l2: the best mean" in err if command == "report" else "lambda_min" in out
    remedy = "out=FOLDER" if command == "select" else "out=PATH"
    assert err.count(f"nothing is written: theirs may only be read; {remedy} writes elsewhere\n") == 1
    assert sorted(read_only.rglob("*")) == before
    code, out, err = wdrun(command, "theirs", "out=theirs/x", capture=capfd)
    assert (code, out) == (5, ""), err
    place = "mine" if command == "select" else "mine/page.html"
    assert wdrun(command, "theirs", f"out={place}", capture=capfd)[0] == 0
    written = sorted(path.name for path in Path("mine").iterdir())
    assert written == (["leaderboard.csv", "selection.csv"] if command == "select" else ["figures", "page.html"])


def test_answers_on_several_folders_go_beside_them_and_are_remembered_there(here, wdrun, capfd):
    made_up.sweep(here / "out" / "a", {0: [1.0, 1.1, 1.05], 0.1: [0.9, 0.8, 0.7]}, id="ghjklmnp")
    for number, folder in enumerate(sorted((here / "out" / "a").iterdir())):
        rename(folder, "ghjklmnp"[:-1] + "bcdfgh"[number])
    made_up.sweep(here / "out" / "b", {0.2: [0.95, 0.96, 0.97]})
    assert wdrun("select", "out/a", capture=capfd)[0] == 0
    before = (here / "out" / "a" / "selection.csv").read_bytes()
    code, _, err = wdrun("select", "out/a", "out/b", capture=capfd)
    assert code == 0, err
    assert "tables   out/a+b/selection.csv and leaderboard.csv; `wdrun best out/a out/b`" in err
    assert (here / "out" / "a" / "selection.csv").read_bytes() == before
    assert not (here / "out" / "b" / "selection.csv").exists()
    (here / "out" / "stray.txt").write_text("x")
    again = [str(path) for path in sorted(Path("out").iterdir())]
    assert again == ["out/a", "out/a+b", "out/b", "out/stray.txt"]
    code, _, err = wdrun("select", *again, capture=capfd)
    assert code == 0, err
    assert "tables   out/a+b/selection.csv" in err
    assert "warning: out/a+b: no results of wdrun there" in err
    code, out, err = wdrun("report", "out/a", "out/b", "formats=svg", capture=capfd)
    assert (code, out) == (0, "out/a+b/report.html\n"), err
    assert not list(Path("out").glob("[ab]/report.html"))


def rename(folder, run_id):
    """Give a made-up run another id, in every table."""
    for path in folder.glob("*.csv"):
        path.write_text(path.read_text().replace("ghjklmnp", run_id))


@pytest.mark.parametrize("name", ["selection.csv", "leaderboard.csv"])
def test_a_table_of_the_users_own_is_not_replaced(here, wdrun, capfd, name):
    made_up.sweep(here / "r", {0: [1.0, 1.1], 0.1: [0.9, 0.8]})
    (here / "r" / name).write_text("rank,mine\n1,2\n")
    code, out, err = wdrun("select", "r", capture=capfd)
    assert (code, out) == (5, "")
    assert f"r/{name}: was not written by wdrun, so it stays as it is; try out=FOLDER" in err
    assert (here / "r" / name).read_text() == "rank,mine\n1,2\n"
    assert [path.name for path in (here / "r").glob("*.csv")] == [name]


def test_the_tables_of_an_earlier_version_are_replaced(here, wdrun, capfd):
    made_up.sweep(here / "r", {0: [1.0, 1.1], 0.1: [0.9, 0.8]})
    examples = Path(__file__).parents[2] / "outputs" / "examples" / "lr_lambda"
    for name in ("selection.csv", "leaderboard.csv"):
        (here / "r" / name).write_bytes((examples / name).read_bytes())
    assert wdrun("select", "r", capture=capfd)[0] == 0
    assert "looked" in (here / "r" / "selection.csv").read_text().partition("\n")[0]
