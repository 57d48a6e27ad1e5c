"""A report takes the place of an earlier one of wdrun's, figures and all, and of nothing else"""

from pathlib import Path

import pytest

from tests import made_up
from tests.report.pages import CLEAR, NO_FLAGS
from wdrun.errors import StorageError
from wdrun.report import command, earlier
from wdrun.report.figures import style

MINE = b"<svg>mine</svg>"


@pytest.fixture
def results(here):
    return made_up.sweep(here / "r", CLEAR)


def figures(folder):
    return sorted(path.name for path in (folder / "figures").iterdir())


def as_before_marks(folder):
    """The figures as a version wrote them that left no mark in them."""
    for path in (folder / "figures").iterdir():
        path.write_bytes(path.read_bytes().replace(earlier.MARKS[path.suffix[1:]], b""))


def test_every_format_carries_the_mark(results):
    command(["r", "formats=svg,png,pdf"], NO_FLAGS)
    found = list((results / "figures").iterdir())
    assert {path.suffix for path in found} == {".svg", ".png", ".pdf"}
    for path in found:
        assert earlier.MARKS[path.suffix[1:]] in path.read_bytes()
        assert earlier.is_ours(path)
    assert b"Matplotlib v" not in b"".join(path.read_bytes() for path in found)  # no version, so the same bytes in all
    assert style.METADATA.keys() == earlier.MARKS.keys()


def test_figures_that_the_new_page_has_not_are_gone_and_foreign_ones_stay(results):
    command(["r", "formats=svg,png"], NO_FLAGS)
    before = figures(results)
    for name in ("photo.png", "decay-curve.pdf"):
        (results / "figures" / name).write_bytes(MINE)
    command(["r", "formats=svg"], NO_FLAGS)
    assert figures(results) == sorted(
        [*(name for name in before if name.endswith(".svg")), "photo.png", "decay-curve.pdf"]
    )
    assert (results / "figures" / "decay-curve.pdf").read_bytes() == MINE


def test_a_report_of_a_version_without_marks_is_replaced(results):
    command(["r"], NO_FLAGS)
    before = figures(results)
    as_before_marks(results)
    assert not any(earlier.MARKS["svg"] in path.read_bytes() for path in (results / "figures").glob("*.svg"))
    command(["r", "formats=svg"], NO_FLAGS)
    assert figures(results) == [name for name in before if name.endswith(".svg")]
    assert all(earlier.MARKS["svg"] in path.read_bytes() for path in (results / "figures").iterdir())


@pytest.mark.parametrize("name", ["report.html", "figures/decay-curve.svg"])
def test_a_file_of_the_users_own_is_named_and_nothing_is_written(results, name):
    path = results / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(MINE)
    before = sorted(results.rglob("*"))
    with pytest.raises(StorageError, match=f"^r/{name}: was not written by wdrun, so it stays as it is; try out=PATH$"):
        command(["r"], NO_FLAGS)
    assert path.read_bytes() == MINE
    assert sorted(results.rglob("*")) == before
    assert command(["r", "out=there/page.html"], NO_FLAGS) == 0
    assert Path("there/figures/decay-curve.svg").is_file()


def test_two_pages_share_a_folder_of_figures(results, here):
    """The second replaces what the first drew, as it always did; each page holds its own inside."""
    made_up.sweep(here / "s", {0: [1.0], 0.1: [0.9]})
    command(["r", "out=both/r.html"], NO_FLAGS)
    as_before_marks(here / "both")
    assert command(["s", "out=both/s.html"], NO_FLAGS) == 0
    assert {"r.html", "s.html", "figures"} == {path.name for path in (here / "both").iterdir()}


def test_a_page_that_only_looks_like_ours_is_not(here):
    Path("page.html").write_text("<!doctype html><title>my wdrun report: x</title>")
    Path("figures").mkdir()
    Path("figures/decay-curve.svg").write_bytes(MINE)
    assert not earlier.is_ours(Path("page.html"))
    assert not earlier.is_ours(Path("figures/decay-curve.svg"))
    assert not earlier.is_ours(Path("figures/gone.svg"))
    assert earlier.figures_of(Path("page.html")) == set()


def test_a_report_of_tables_alone_says_what_is_not_drawn(results, here, capsys):
    from wdrun.tables import aggregate

    aggregate.write(results, pytest.fail)
    (here / "theirs").mkdir()
    for name in ("runs", "metrics"):
        (here / "theirs" / f"{name}.csv").write_bytes((results / f"{name}.csv").read_bytes())
    assert command(["theirs", "formats=svg"], NO_FLAGS) == 0
    out, err = capsys.readouterr()
    assert out == "theirs/report.html\n"
    lacking = "theirs/runs.csv: without layers.csv, histograms.csv, timing.csv and weights"
    assert f"warning: {lacking}; what is drawn from them is left out\n" in err
    page = (here / "theirs" / "report.html").read_text()
    assert lacking in page
    assert "train them in another folder" in page
    assert "decay-curve.svg" in figures(here / "theirs")
