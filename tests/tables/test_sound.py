"""Whole tables and whole runs, and the few words that say what is broken. Damage byte by byte: hazards/test_damage."""

import csv

import pytest

from tests import made_up
from wdrun.tables.columns import RUN, TABLES
from wdrun.tables.sound import complete, left_out, run_of, whole


@pytest.mark.parametrize(("content", "found"), [
    (b"a,b\n1,2\n", (["a", "b"], [["1", "2"]])),
    (b'a\r\n"x\r\ny"\r\n', (["a"], [["x\ny"]])),
    (b"a\n", (["a"], [])),
    ("a\nλ\n".encode(), (["a"], [["λ"]])),
])  # fmt: skip
def test_a_whole_table(tmp_path, content, found):
    (tmp_path / "t.csv").write_bytes(content)
    assert whole(tmp_path / "t.csv") == found


@pytest.mark.parametrize(("content", "why"), [
    (b"", r"^t\.csv is cut off$"),
    (b"a\n1", r"^t\.csv is cut off$"),
    (b"a,b\n1\n", r"^t\.csv row 2 has 1 cell, its header 2$"),
    (b'a\n"x\n', r"^t\.csv is no CSV \("),
    (b"\xff\n", "utf-8"),
])  # fmt: skip
def test_a_broken_table(tmp_path, content, why):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=why):
        whole(tmp_path / "t.csv")


@pytest.fixture
def run(tmp_path):
    """Header and row of a sound run."""
    return whole(made_up.run(tmp_path, 0.1) / "run.csv")


def test_the_row_of_a_run(run):
    header, (cells,) = run
    assert run_of(header, [cells]) == dict(zip(header, cells, strict=True))


@pytest.mark.parametrize(("column", "cell", "why"), [
    ("schema", "0", r"^run\.csv has schema '0', this wdrun reads \d+$"),
    ("lambda", "x", "could not convert string to float: 'x'"),
])  # fmt: skip
def test_a_row_that_is_not_ours(run, column, cell, why):
    header, (cells,) = run
    cells[header.index(column)] = cell
    with pytest.raises(ValueError, match=why):
        run_of(header, [cells])


def test_other_tables_are_no_runs(run):
    header, lines = run
    with pytest.raises(ValueError, match=r"^run\.csv has 2 rows where one run has one$"):
        run_of(header, lines * 2)
    with pytest.raises(ValueError, match=rf"^run\.csv is not a table of wdrun's \(no column {RUN[0].name}\)$"):
        run_of([name for name in header if name != RUN[0].name], lines)


@pytest.fixture
def folder(tmp_path):
    """A run's row and tables as text."""
    place = made_up.run(tmp_path, 0.1)
    return run_of(*whole(place / "run.csv")), {name: whole(place / f"{name}.csv")[1] for name in TABLES}


def edited(rows, name, number, **cells):
    at = [column.name for column in TABLES[name]]
    for key, value in cells.items():
        rows[number][at.index(key)] = value


CASES = {
    "a row short": (lambda t: t["layers"].pop(), "layers.csv has fewer rows than the 2 epochs of run.csv"),
    "another epoch": (lambda t: edited(t["timing"], "timing", 1, epoch="3"), "timing.csv has other epochs than the 2"),
    "a split short": (lambda t: t["metrics"].pop(0), "metrics.csv has not one row of each epoch and split"),
    "another loss": (
        lambda t: edited(t["metrics"], "metrics", -2, data_loss="9.0"),
        "metrics.csv ends with a val loss",
    ),
    "a row more": (lambda t: t["layers"].append(t["layers"][-1]), "layers.csv has more rows of one epoch"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_table_that_lacks_something_of_its_run(folder, case):
    row, tables = folder
    complete(row, tables)
    edit, why = CASES[case]
    edit(tables)
    with pytest.raises(ValueError, match=why):
        complete(row, tables)
    complete(row | {"status": "running"}, tables)  # one that goes on is not held to its row


def test_a_folder_left_out_is_one_printable_line(tmp_path):
    line = left_out(tmp_path / "a\nb", ValueError("two\n  lines\x1b[31m"))
    assert line == f"left out {tmp_path}/a\\nb: two lines\\x1b[31m"
    assert next(csv.reader([line])) == [line]
