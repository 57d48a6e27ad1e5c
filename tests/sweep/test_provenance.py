"""Which wdrun trained a run: the commit of a checkout, whether it was changed, and all that trained a part of it."""

import subprocess

import pytest

from wdrun.sweep.provenance import COLUMNS, commit_of, describe, joined


@pytest.fixture
def checkout(tmp_path):
    """A git checkout of one commit, which ignores outputs/."""
    for name, text in (
        ("wdrun/a.py", "1\n"),
        ("conf/a.yaml", "a: 1\n"),
        ("README.md", "x\n"),
        (".gitignore", "outputs/\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "a")
    return tmp_path


def git(folder, *words):
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def found(checkout):
    return commit_of.__wrapped__(checkout)


def test_a_clean_checkout_is_its_commit(checkout):
    (checkout / "outputs").mkdir()
    (checkout / "outputs" / "run.csv").write_text("ignored")
    (checkout / "notes.txt").write_text("not of the program")
    assert found(checkout) == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize(("name", "text"), [
    ("wdrun/a.py", "2\n"), ("conf/a.yaml", None), ("README.md", "y\n"), ("wdrun/new.py", ""), ("conf/decay/b.yaml", ""),
])  # fmt: skip
@pytest.mark.parametrize("staged", [False, True])
def test_an_uncommitted_change_is_told(checkout, name, text, staged):
    if text is None:
        (checkout / name).unlink()
    else:
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(text)
    if staged:
        git(checkout, "add", "-A")
    assert found(checkout) == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_no_checkout_no_git_and_no_commit_are_empty(checkout, tmp_path_factory, monkeypatch):
    assert found(tmp_path_factory.mktemp("installed")) == ""
    (empty := tmp_path_factory.mktemp("begun")).joinpath("a").write_text("")
    git(empty, "init", "-q")
    assert found(empty) == ""
    monkeypatch.setenv("PATH", "")
    assert found(checkout) == ""


@pytest.mark.parametrize(("was", "now", "both"), [
    ("a", "a", "a"), ("a", "b", "a then b"), ("a then b", "b", "a then b"), ("a then b", "a", "a then b then a"),
    ("a", "a-dirty", "a then a-dirty"), ("", "", ""), ("", "b", "unknown then b"), ("a", "", "a then unknown"),
    ("a then unknown", "", "a then unknown"),
])  # fmt: skip
def test_what_trained_a_part_is_told_in_order(was, now, both):
    assert joined(was, now) == both


def test_it_describes_this_wdrun():
    assert describe().keys() < {*COLUMNS}
