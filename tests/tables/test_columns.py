"""The tables: round trips bit for bit, whole files, aggregation in a fixed order, columns as documented."""

import csv
import io
import math

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.tables import aggregate, columns
from wdrun.tables.columns import METRICS, SCHEMA, TABLES, typed_row
from wdrun.tables.read import read_run, read_table
from wdrun.tables.write import cell, render, write_tables

RUN = parse(compose(["data=synthetic", "lambda=1e-4", "lr=0.1"])).run


def metrics(epoch, **values):
    row = {"epoch": epoch, "split": "val", "data_loss": 0.1 + 0.2, "accuracy": 1 / 3, "examples": 7}
    return row | {"penalty": 1e-300, "objective": 0.3} | values


def write(folder, run=RUN, rows=(), **summary):
    folder.mkdir(parents=True)
    tables = {name: [] for name in TABLES} | {"metrics": list(rows)}
    write_tables(folder, run, tables, {"status": "done", **summary})


def test_floats_come_back_bit_for_bit(tmp_path):
    write(tmp_path / "r", rows=[metrics(1), metrics(2, data_loss=5e-324)])
    table = read_table(tmp_path / "r" / "metrics.csv")
    assert list(table.columns) == [c.name for c in METRICS]
    assert table["data_loss"].tolist() == [0.1 + 0.2, 5e-324]
    assert table["accuracy"].tolist() == [1 / 3, 1 / 3]
    assert table["lambda"].tolist() == [1e-4, 1e-4]
    assert table["id"].tolist() == [RUN.id] * 2


@given(st.lists(st.tuples(st.floats(), st.text(st.characters(codec="utf-8", exclude_characters="\0")))))
def test_any_number_and_any_text_survive_a_file(rows):
    columns = ["number", "text"]
    content = render(columns, [dict(zip(columns, row, strict=True)) for row in rows]).decode()
    back = list(csv.reader(io.StringIO(content, newline="")))[1:]
    assert len(back) == len(rows)
    for (number, text), (digits, word) in zip(rows, back, strict=True):
        assert word == text.replace("\r\n", "\n").replace("\r", "\n")
        assert digits == "" if math.isnan(number) else float(digits) == number


def test_the_runs_row_has_every_knob_once(tmp_path):
    write(tmp_path / "r", val_accuracy=0.5)
    row = read_run(tmp_path / "r")
    for key, value in RUN.knobs.items():
        assert row[key] == cell(value)
    assert row["status"] == "done"
    assert row["val_accuracy"] == "0.5"
    assert row["schema"] == str(SCHEMA)


def test_aggregated_tables_are_the_runs_in_folder_order(tmp_path):
    for name, overrides in (("b", ["decay=l1"]), ("a", ["optimizer=adam"])):
        run = parse(compose(["data=synthetic", *overrides])).run
        write(tmp_path / name, run, [metrics(1), metrics(2)], status="running")
    assert aggregate.write(tmp_path) == 2
    runs = read_table(tmp_path / "runs.csv")
    assert runs["optimizer"].tolist() == ["adam", "sgd"]
    assert list(runs.columns)[-len(columns.RUN) :] == [c.name for c in columns.RUN]
    assert math.isnan(runs["optimizer.beta1"][1])  # a knob only the other run has
    assert read_table(tmp_path / "metrics.csv")["epoch"].tolist() == [1, 2, 1, 2]
    before = (tmp_path / "runs.csv").read_bytes()
    aggregate.write(tmp_path)
    assert (tmp_path / "runs.csv").read_bytes() == before


def test_a_folder_without_a_run_is_left_out(tmp_path):
    write(tmp_path / "a", rows=[metrics(1)], status="running")
    (tmp_path / "notes").mkdir()
    assert aggregate.write(tmp_path) == 1


def test_typed_reads_numbers_and_leaves_empty_cells_none():
    assert typed_row({"lambda": "1e-4", "seed": "3", "cause": "", "best_epoch": None, "decay": "l2"}) == {
        "lambda": 1e-4, "seed": 3, "cause": None, "best_epoch": None, "decay": "l2",
    }  # fmt: skip


def test_pandas_reads_the_tables_without_our_help(tmp_path):
    write(tmp_path / "a", rows=[metrics(1), metrics(2)])
    assert len(pd.read_csv(tmp_path / "a" / "metrics.csv")) == 2
