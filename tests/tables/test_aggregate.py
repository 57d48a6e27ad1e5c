"""The tables at a folder's root: its runs' own, one under another; broken folders named; fresh, and seldom written."""

import csv

import pytest

from tests import made_up
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
