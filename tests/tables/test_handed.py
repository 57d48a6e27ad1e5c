"""Tables handed on without run folders: the same runs, cell for cell; what is broken in them is named and left out"""

import csv
import io
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from tests import made_up
from wdrun.errors import ConfigError
from wdrun.tables import aggregate, handed
from wdrun.tables.columns import TABLES
from wdrun.tables.read import load

RESULTS = Path(__file__).parent.parent / "results"
FRAMES = ("runs", *TABLES)


def alone(folder, to, name="runs.csv", tables=tuple(TABLES)):
    """The tables at the root of a folder, without its run folders."""
    to.mkdir(parents=True)
    shutil.copy(folder / "runs.csv", to / name)
    for table in tables:
        shutil.copy(folder / f"{table}.csv", to / f"{table}.csv")
    return to


def edited(path, change):
    """Change the rows of a table, each a list of cells."""
    header, *rows = csv.reader(io.StringIO(path.read_text(), newline=""))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *change(rows)])
    path.write_text(text.getvalue())


def same(one, other, tables=FRAMES):
    for name in tables:
        found = [getattr(results, name) for results in (one, other)]
        if name == "runs":
            found = [frame.drop(columns="dir") for frame in found]
        pd.testing.assert_frame_equal(*found)


@pytest.fixture
def sweep(tmp_path):
    """Two decays with knobs of their own, a diverged and a failed run, and the tables at the root."""
    root = made_up.sweep(tmp_path / "r", {0: [1.0, 1.1], 0.1: [0.9, 0.8]})
    made_up.run(root, 0.3, 1.5, decay="huber", **{"optimizer.momentum": ""})
    made_up.run(root, 1.0, status="diverged", cause="nan", epochs_done=0)
    made_up.run(root, 2.0, status="failed", cause="E")
    aggregate.write(root, pytest.fail)
    return root


@pytest.mark.parametrize("version", ["first", "second"])
def test_the_tables_of_every_version_are_what_its_run_folders_are(version, tmp_path):
    found = load([alone(RESULTS / version, tmp_path / version)])
    same(load([RESULTS / version]), found)
    assert found.problems == ()
    names = [Path(folder).name for folder in found.runs["dir"]]
    assert names == [Path(folder).name for folder in load([RESULTS / version]).runs["dir"]]


def test_a_folder_and_a_file_of_any_name_are_what_the_run_folders_are(sweep, tmp_path):
    folders = load([sweep])
    same(folders, load([alone(sweep, tmp_path / "theirs")]))
    file = alone(sweep, tmp_path / "mail", "decay.csv") / "decay.csv"
    same(folders, load([file]))
    assert load([file]).folders == (file,)
    assert load([sweep / "runs.csv"]).runs["dir"].tolist() == folders.runs["dir"].tolist()  # run folders count alone


def test_what_is_not_beside_the_table_is_said(sweep, tmp_path):
    folder = alone(sweep, tmp_path / "theirs", tables=("metrics", "timing"))
    found = load([folder])
    same(load([sweep]), found, ("runs", "metrics", "timing"))
    assert (len(found.layers), found.problems) == (0, ())
    assert found.lacking == (
        f"{folder / 'runs.csv'}: without layers.csv, histograms.csv and weights; what is drawn from them is left out",
    )
    assert load([folder], tables=()).lacking == load([sweep]).lacking == ()


def test_tables_beside_run_folders_and_other_tables_are_one_set_of_runs(sweep, tmp_path):
    theirs = alone(sweep, tmp_path / "theirs")
    others = made_up.sweep(tmp_path / "others", {5: [1.0]}, id="bcdfghjk")
    assert len(load([sweep, theirs]).runs) == 7  # each run once
    both = load([others, theirs])
    assert (len(both.runs), both.problems) == (8, ())
    assert both.folders == (others, theirs)


def test_the_plan_beside_tables_waits_for_what_they_lack(tmp_path):
    folder = alone(RESULTS / "second", tmp_path / "second")
    shutil.copy(RESULTS / "second" / "plan.csv", folder)
    assert not any(run.waits for run in load([folder]).plan)
    edited(folder / "runs.csv", lambda rows: [row for row in rows if row[0] != "rhvfxgdf"])
    found = load([folder])
    assert [run.name[-8:] for run in found.plan if run.waits] == (
        ["rhvfxgdf"] if any(run.name.endswith("rhvfxgdf") for run in found.plan) else []
    )


def numbered(number, **cells):
    """A change of one row: the cells by their place in runs.csv."""

    def change(rows):
        for place, text in cells.items():
            rows[number][int(place.removeprefix("c"))] = text
        return rows

    return change


@pytest.mark.parametrize(
    ("table", "change", "runs", "why"),
    [
        ("metrics", lambda rows: rows[:-1], 6, "row 6: metrics.csv has not one row of each epoch and split"),
        (
            "metrics",
            lambda rows: [["x" * 8, *row[1:]] for row in rows[:1]] + rows,
            7,
            "metrics.csv: rows of 1 run that",
        ),
        ("layers", lambda rows: rows[1:], 6, "row 2: layers.csv has fewer rows than the 2 epochs of run.csv"),
        ("runs", lambda rows: [rows[0], *rows], 7, None),
        ("runs", lambda rows: [[*rows[0][:4], "many", *rows[0][5:]], *rows[1:]], 6, "row 2: could not convert string"),
        (
            "runs",
            lambda rows: [[*rows[0][:-1], "0"], *rows[1:]],
            6,
            "row 2: runs.csv has schema '0', this wdrun reads 1",
        ),
    ],
)
def test_what_is_broken_is_named_and_left_out(sweep, tmp_path, table, change, runs, why):
    folder = alone(sweep, tmp_path / "theirs")
    edited(folder / f"{table}.csv", change)
    found = load([folder])
    assert len(found.runs) == runs
    assert set(found.metrics["id"]) <= set(found.runs["id"])
    if why is None:
        assert found.problems == ()
    else:
        assert why in found.problems[0]
        assert found.problems[0].startswith(f"left out {folder}/")


def test_losses_that_differ_and_a_run_of_two_results_are_left_out(sweep, tmp_path):
    folder = alone(sweep, tmp_path / "theirs")
    at = (folder / "runs.csv").read_text().split("\n")[0].split(",").index("val_loss")
    edited(folder / "runs.csv", numbered(0, **{f"c{at}": "0.5"}))
    assert "metrics.csv ends with a val loss of 1.0, run.csv has 0.5" in load([folder]).problems[0]
    edited(folder / "runs.csv", lambda rows: [*rows, [*rows[0][:at], "1.0", *rows[0][at + 1 :]]])
    (problem,) = load([folder], tables=()).problems
    runs = folder / "runs.csv"
    assert problem == f"left out {runs} row 9: {runs} row 2 holds the same run with another val_loss (0.5 and 1.0)"


@pytest.mark.parametrize("cut", ["\n", '"', None])
def test_a_table_that_is_not_whole_is_left_out(sweep, tmp_path, cut):
    """Cut off, torn within a row, of other columns: runs.csv itself, and one beside it."""
    folder = alone(sweep, tmp_path / "theirs")
    for name in ("metrics", "runs"):
        path = folder / f"{name}.csv"
        text = path.read_text()
        path.write_text(text[:-1] if cut == "\n" else f'{text}"a\n' if cut else text.replace("lambda", "lamda"))
        if name == "metrics":
            found = load([folder])
            assert (len(found.runs), len(found.metrics)) == (7, 0)
            assert found.problems[0].startswith(f"left out {path}: ")
        else:
            with pytest.raises(ConfigError, match=f"left out {path}: "):
                load([folder])


def test_a_stray_file_and_a_folder_of_answers_are_skipped_with_a_line(sweep, tmp_path):
    (tmp_path / "notes.txt").write_bytes(b"\xff\x00 no table")
    (tmp_path / "a+b").mkdir()
    (tmp_path / "a+b" / "selection.csv").write_text("metric\n")
    found = load([tmp_path / "a+b", tmp_path / "notes.txt", sweep])
    assert (len(found.runs), found.folders) == (7, (sweep,))
    assert found.problems == (
        f"{tmp_path / 'a+b'}: no results of wdrun there (no run.csv, no runs.csv)",
        f"left out {tmp_path / 'notes.txt'}: notes.txt is not a table of wdrun's (no column id)",
    )


def test_a_table_that_a_spreadsheet_saved_as_utf8_is_the_same(sweep, tmp_path):
    one, two = alone(sweep, tmp_path / "one"), alone(sweep, tmp_path / "two")
    for path in two.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    found = [load([folder]) for folder in (one, two)]
    for name in FRAMES:
        frames = [getattr(of, name).drop(columns="dir", errors="ignore") for of in found]
        pd.testing.assert_frame_equal(*frames, check_exact=True)
    assert found[1].problems == ()


def test_what_is_no_table_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(handed, "whole", lambda path: pytest.fail("read"))
    (tmp_path / "weights.bin").write_bytes(b"0" * 300_000)
    with pytest.raises(ConfigError, match="is not a table"):
        load([tmp_path / "weights.bin"])


def test_five_thousand_runs_are_read_in_seconds(sweep, tmp_path):
    folder = alone(sweep, tmp_path / "theirs", tables=())
    edited(
        folder / "runs.csv",
        lambda rows: [
            [f"{n:08}".translate(str.maketrans("0123456789", "ghjklmnpqr")), *rows[0][1:]] for n in range(5000)
        ],
    )
    began = time.process_time()
    assert len(load([folder]).runs) == 5000
    assert time.process_time() - began < 5
