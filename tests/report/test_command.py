"""`wdrun report`: page and figures as files, the same bytes again, errors in one line."""

import contextlib
import io
import os
import subprocess
import sys

import pytest

from tests import made_up
from tests.report.pages import CLEAR, NO_FLAGS, Reader
from wdrun.errors import ConfigError, StorageError
from wdrun.report import command


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """A sweep with a hostile name, a torn run and one of another schema; its report."""
    root = tmp_path_factory.mktemp("command") / "<i>results' $x$"
    made_up.sweep(root, CLEAR)
    made_up.sweep(root, {0.01: [0.9, 0.92]}, decay="<script>alert('1')</script>")
    torn = made_up.run(root, 0.1, seed=8)
    (torn / "metrics.csv").write_bytes((torn / "metrics.csv").read_bytes()[:-7])
    old = made_up.run(root, 0.1, seed=9)
    (old / "run.csv").write_bytes((old / "run.csv").read_bytes().removesuffix(b"1\n") + b"0\n")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert command([str(root), "formats=svg"], NO_FLAGS) == 0
    return root, out.getvalue(), err.getvalue()


def test_stdout_is_the_path_and_stderr_the_text(reported):
    root, out, err = reported
    assert out == f"{root / 'report.html'}\n"
    assert "14 runs of mlp on synthetic" in err
    assert "warning: left out" in err


def test_the_page_holds_every_figure_and_each_is_a_file(reported):
    root, _, _ = reported
    read = Reader((root / "report.html").read_text(encoding="utf-8"))
    names = sorted(path.name for path in (root / "figures").iterdir())
    assert names == sorted(f"{name.removeprefix('figure-')}.svg" for name in read.ids if name.startswith("figure-"))
    assert len(names) == len(read.images) > 2
    assert "metrics.csv is cut off" in read.text
    assert "schema '0'" in read.text
    assert "<script>alert('1')</script>" in read.text


def test_the_same_input_gives_the_same_bytes_in_another_process(reported, tmp_path):
    root, _, _ = reported
    target = tmp_path / "again" / "page.html"
    words = [sys.executable, "-W", "error", "-m", "wdrun", "report", str(root), f"out={target}", "formats=svg"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert (done.returncode, done.stdout) == (0, f"{target}\n"), done.stderr
    assert target.read_bytes() == (root / "report.html").read_bytes()
    for path in (root / "figures").iterdir():
        assert (target.parent / "figures" / path.name).read_bytes() == path.read_bytes()


def test_a_large_drawing_goes_into_the_page_as_png(tmp_path, monkeypatch):
    root = made_up.sweep(tmp_path / "r", {0: [1.0], 0.1: [0.9]})
    monkeypatch.setattr(sys.modules["wdrun.report.command"], "LARGEST_SVG", 30_000)
    command([str(root), f"out={tmp_path / 'p.html'}", "formats=svg"], NO_FLAGS)
    read = Reader((tmp_path / "p.html").read_text(encoding="utf-8"))
    kinds = {image["src"].partition(";")[0] for image in read.images}
    assert "data:image/png" in kinds
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "wdrun report: name a folder of results"),
        (["nowhere"], "nowhere: no such folder or file"),
        (["empty"], "empty: no results of wdrun there (no run.csv, no runs.csv)"),
        (["other"], "run.csv is not a table of wdrun's (no column id)"),
        (["r", "format=svg"], "format: unknown setting of wdrun report; did you mean formats?"),
        (["r", "formats=gif"], "formats=gif: must be one or more of svg, png, pdf"),
        (["r", "formats="], "formats=: must be one or more of svg, png, pdf"),
        (["r", "metric=test_loss"], "metric=test_loss: must be val_loss or val_accuracy: λ is not chosen on test data"),
        (["r", "margin=-1"], "margin=-1: must be a number > 0"),
        (["r", "margin=nan"], "margin=nan: must be a number > 0"),
        (["r", "margin=wide"], "margin=wide: must be a number > 0"),
        (["r", "out=empty"], "out=empty: is a folder; give the file, such as out=empty/report.html"),
    ],
)
def test_bad_words_are_one_line_and_write_nothing(here, words, message):
    made_up.run(here / "r", 0.1)
    (here / "empty").mkdir()
    (here / "other" / "x").mkdir(parents=True)
    (here / "other" / "x" / "run.csv").write_text("a,b\n1,2\n")
    before = sorted(here.rglob("*"))
    with pytest.raises(ConfigError) as caught:
        command(words, NO_FLAGS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(here.rglob("*")) == before


def test_a_page_that_cannot_be_written_is_one_line(here):
    made_up.run(here / "r", 0.1)
    (here / "file").write_text("")
    with pytest.raises(StorageError, match="try out=PATH"):
        command(["r", "out=file/report.html", "formats=svg"], NO_FLAGS)


def test_failed_runs_alone_make_a_page(here):
    folder = made_up.run(here / "r", 0.1, status="failed", cause="RuntimeError: boom")
    for name in ("metrics", "layers", "histograms", "timing"):
        (folder / f"{name}.csv").unlink()
    assert command(["r", "formats=svg"], NO_FLAGS) == 0
    read = Reader((here / "r" / "report.html").read_text(encoding="utf-8"))
    assert "RuntimeError: boom" in read.text
    assert "Nothing won" in read.text
