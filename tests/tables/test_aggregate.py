"""The tables at a folder's root: its runs' own, one under another; broken folders named; fresh, and seldom written."""

import csv
import os
import shutil

import pytest

from tests import made_up
from wdrun.errors import StorageError
from wdrun.storage import hold
from wdrun.tables import aggregate
from wdrun.tables.columns import RUN, TABLES
from wdrun.tables.write import csv_text


def rows(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def root(tmp_path):
    return made_up.sweep(tmp_path / "root", {0.0: [1.0, 2.0], 0.1: [0.5]})


def test_the_tables_are_those_of_the_runs_in_folder_order(root):
    assert aggregate.write(root) == 3
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    for name in TABLES:
        header, *lines = rows(root / f"{name}.csv")
        assert header == [column.name for column in TABLES[name]]
        assert lines == [line for folder in folders for line in rows(folder / f"{name}.csv")[1:]]
    header, *lines = rows(root / "runs.csv")
    assert header == rows(folders[0] / "run.csv")[0]
    assert lines == [rows(folder / "run.csv")[1] for folder in folders]


def test_knobs_of_some_runs_only_are_columns_of_all(root):
    path = made_up.run(root, 0.2) / "run.csv"
    header, cells = rows(path)
    path.write_bytes(csv_text([[*header, "model.depth"], [*cells, "5"]]))
    aggregate.write(root)
    header, *lines = rows(root / "runs.csv")
    assert header[-len(RUN) :] == [column.name for column in RUN]
    assert [line[header.index("model.depth")] for line in lines] == ["", "", "", "5"]


@pytest.mark.parametrize(("name", "content", "why"), [
    ("run.csv", "a,b\n1,2\n", "run.csv is not a table of wdrun's (no column id)"),
    ("metrics.csv", "id\nx\n", "metrics.csv has other columns than this wdrun writes"),
    ("timing.csv", None, "No such file"),
])  # fmt: skip
def test_a_broken_folder_is_left_out_and_named(root, name, content, why):
    broken = sorted(root.iterdir())[1]
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_text(content)
    told = []
    assert aggregate.write(root, told.append) == 2
    (line,) = told
    assert line.startswith(f"left out {broken}: ")
    assert why in line
    assert len(rows(root / "runs.csv")) == 3


def test_rows_of_another_run_are_found(root):
    first, second, _ = sorted(root.iterdir())
    (first / "layers.csv").write_bytes((second / "layers.csv").read_bytes())
    told = []
    aggregate.write(root, told.append)
    assert told == [f"left out {first}: layers.csv holds rows of another run than llllllll"]


def test_a_run_that_failed_before_it_wrote_anything_has_its_row(root):
    failed = made_up.run(root, 0.3, status="failed", cause="E")
    for name in TABLES:
        (failed / f"{name}.csv").unlink()
    assert aggregate.write(root) == 4


def test_a_sweep_writes_its_tables_as_often_as_is_cheap(tmp_path, monkeypatch):
    now, written = [0.0], []

    def write(root, tell):
        written.append((now[0], root))
        now[0] += 1.0  # a second for each folder

    monkeypatch.setattr(aggregate.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(aggregate, "write", write)
    fresh = aggregate.Fresh([tmp_path / "a", tmp_path / "b"])
    for moment in (29.9, 30.0, 131.0, 132.1):
        now[0] = moment
        fresh.refresh()
    assert [moment for moment, root in written if root.name == "a"] == [30.0, 132.1]  # 32 s, and 50 times 2 s later
    assert len(written) == 4


# Runs that come and go by hand


def versions(root):
    found = [(root / f"{name}.csv").stat() for name in ("runs", *TABLES)]
    return [(file.st_ino, file.st_ctime_ns) for file in found]


def ids(root):
    return [row[0] for row in rows(root / "runs.csv")[1:]]


def refreshed(root):
    """Whether a refresh wrote the tables, which are then those of a whole aggregation."""
    before = versions(root)
    aggregate.refresh([root], pytest.fail)
    return versions(root) != before


def test_tables_of_the_runs_that_are_there_are_left_alone(root):
    aggregate.write(root)
    assert not refreshed(root)
    (root / "notes").mkdir()
    (root / "selection.csv").touch()
    assert not refreshed(root)


def test_a_run_that_is_removed_vanishes_and_one_put_there_appears(root, tmp_path):
    aggregate.write(root)
    first = sorted(path for path in root.iterdir() if path.is_dir())[0]
    elsewhere = tmp_path / "elsewhere"
    whole = ids(root)
    first.rename(elsewhere)
    assert refreshed(root)
    assert ids(root) == whole[1:]
    assert all(whole[0] not in {row[0] for row in rows(root / f"{name}.csv")} for name in TABLES)
    assert not refreshed(root)
    elsewhere.rename(first)  # its files are as old as they were, its name is new here
    assert refreshed(root)
    assert ids(root) == whole
    shutil.rmtree(first)
    assert refreshed(root)
    shutil.copytree(sorted(path for path in root.iterdir() if path.is_dir())[0], first)
    assert refreshed(root)


@pytest.mark.parametrize("old", [False, True])
def test_a_row_that_is_replaced_is_seen_whatever_time_it_bears(root, old):
    aggregate.write(root)
    path = sorted(root.glob("*/run.csv"))[0]
    text = path.read_bytes()
    path.unlink()
    path.write_bytes(text.replace(b",done,", b",diverged,", 1))
    if old:
        os.utime(path, (0, 0))
    assert refreshed(root)
    assert not refreshed(root)


def test_a_renamed_folder_and_a_broken_one_are_written_once(root):
    first, second, _ = sorted(path for path in root.iterdir() if path.is_dir())
    first.rename(root / "best-of-all")
    (second / "timing.csv").unlink()
    aggregate.write(root)
    assert len(ids(root)) == 2
    assert not refreshed(root)


def test_missing_tables_are_written(root):
    aggregate.refresh([root], pytest.fail)
    assert len(ids(root)) == 3
    (root / "layers.csv").unlink()
    aggregate.refresh([root], pytest.fail)
    assert len(rows(root / "layers.csv")) > 3


def test_nothing_is_written_where_it_must_not(root, monkeypatch):
    aggregate.write(root)
    first = sorted(path for path in root.iterdir() if path.is_dir())[0]
    with hold(first):  # it trains: whoever trains it writes the tables
        (first / "run.csv").touch()
        assert not refreshed(root)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, how: False)
        assert not refreshed(root)
    (root / "metrics.csv").write_text("mine,\n")
    assert not refreshed(root)


def test_a_refresh_that_fails_is_told_and_stops_nothing(root, monkeypatch):
    def write(root):
        raise StorageError("disk full")

    monkeypatch.setattr(aggregate, "write", write)
    told = []
    aggregate.refresh([root], told.append)
    assert told == ["warning: disk full"]


def test_a_run_folder_alone_has_no_tables_to_refresh(root):
    (run, *_) = [path for path in root.iterdir() if path.is_dir()]
    before = sorted(run.iterdir())
    aggregate.refresh([run], pytest.fail)
    assert sorted(run.iterdir()) == before


def test_who_only_reads_does_not_take_the_row_of_a_broken_run_from_the_tables(tmp_path):
    first, _ = (made_up.run(tmp_path, lam) for lam in (0.1, 0.2))
    aggregate.write(tmp_path)
    before = (tmp_path / "runs.csv").read_bytes()
    (first / "run.csv").write_text("broken\n")
    aggregate.refresh([tmp_path], pytest.fail)
    assert (tmp_path / "runs.csv").read_bytes() == before
