"""verdict.csv, looks.csv, decisions.csv: typed as written, whole or not there, never over a file of the user's."""

import math
import os

import pytest

from tests import made_up, tuned_folder
from wdrun import storage
from wdrun.errors import ConfigError, StorageError
from wdrun.tables import ownership, verdicts
from wdrun.tables.read import load
from wdrun.tables.status import report

VERDICT = {
    "facet": "decay=l2", "against": "λ = 0", "verdict": "better", "lambda": 1e-3, "lr": 0.1 + 0.2,
    "setting": "lambda=0.001 lr=0.3", "against_setting": "lambda=0 lr=0.1", "difference": -0.039, "low": -0.057,
    "high": -1 / 3, "pairs": 4, "runs": 19, "cause": "", "more": math.nan, "objective": "val_loss", "margin": 0.02,
    "confidence": 0.95,
}  # fmt: skip
LOOK = {"facet": "decay=l2", "against": "λ = 0", "pairs": 1, "difference": -0.04, "verdict": ""}


def decision(run, **changes):
    row = {"phase": "search", "facet": "decay=l2", "setting": "lambda=0.001", "seed": 0, "id": run, "known": "nothing"}
    return row | {"reason": "what promises most"} | changes


def test_what_is_written_is_read_in_its_types(tmp_path):
    verdicts.write(tmp_path, [VERDICT], [LOOK])
    verdicts.append(tmp_path, decision("aaaaaaaa"))
    found = verdicts.read(tmp_path)
    (row,) = found.verdicts.to_dict("records")
    assert math.isnan(row.pop("more"))
    assert row == {key: value for key, value in VERDICT.items() if key != "more"}
    (look,) = found.looks.to_dict("records")
    assert (look["pairs"], look["difference"], look["verdict"]) == (1, -0.04, "")
    assert math.isnan(look["low"])
    assert found.decisions.to_dict("records") == [{"step": 1} | decision("aaaaaaaa")]
    kinds = {str: "str", int: "int64", float: "float64"}
    for name, frame in (("verdict", found.verdicts), ("looks", found.looks), ("decisions", found.decisions)):
        assert [str(kind) for kind in frame.dtypes] == [kinds[column.kind] for column in verdicts.RECORDS[name]]


def test_tables_without_a_row_have_their_types_too(tmp_path):
    verdicts.write(tmp_path, [], [])
    found = verdicts.read(tmp_path)
    assert found.verdicts.empty
    assert found.decisions.empty
    assert str(found.verdicts["pairs"].dtype) == "int64"


def test_rows_take_the_place_of_those_before_and_the_same_rows_give_the_same_bytes(tmp_path):
    verdicts.write(tmp_path, [VERDICT, VERDICT], [LOOK])
    verdicts.write(tmp_path, [VERDICT], [LOOK])
    first = (tmp_path / "verdict.csv").read_bytes()
    verdicts.write(tmp_path, [VERDICT], [LOOK])
    assert (tmp_path / "verdict.csv").read_bytes() == first
    assert first.count(b"\n") == 2
    assert first.isascii() is False  # λ as it is, not escaped


def test_a_run_is_decided_on_once(tmp_path):
    verdicts.append(tmp_path, decision("aaaaaaaa"), decision("bbbbbbbb", reason="a reason\nof two lines"))
    verdicts.append(tmp_path, decision("aaaaaaaa", phase="finish"), decision("cccccccc"))
    lines = (tmp_path / "decisions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "step,phase,facet,setting,seed,id,known,reason"
    assert [line.split(",")[0] + line.split(",")[5] for line in lines[1:]] == ["1aaaaaaaa", "2bbbbbbbb", "3cccccccc"]
    assert lines[2].endswith("a reason of two lines")
    assert lines[1].split(",")[1] == "search"


@pytest.mark.parametrize("cut", [1, 7, 30, 60])
def test_a_torn_last_line_is_no_row_and_is_mended_by_the_next(tmp_path, cut):
    verdicts.write(tmp_path, [VERDICT], [LOOK])
    verdicts.append(tmp_path, decision("aaaaaaaa"), decision("bbbbbbbb", known='half "of, it'))
    path = tmp_path / "decisions.csv"
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(verdicts.read(tmp_path).decisions["id"]) == ["aaaaaaaa"]
    verdicts.append(tmp_path, decision("cccccccc"))
    assert list(verdicts.read(tmp_path).decisions["id"]) == ["aaaaaaaa", "cccccccc"]
    assert list(verdicts.read(tmp_path).decisions["step"]) == [1, 2]


def test_a_row_that_says_nothing_of_a_whole_number_is_left_out(tmp_path):
    verdicts.write(tmp_path, [VERDICT, VERDICT | {"pairs": "four"}], [])
    assert len(verdicts.read(tmp_path).verdicts) == 1


@pytest.mark.parametrize("name", ["verdict", "looks", "decisions"])
def test_a_file_of_the_users_stays(tmp_path, name):
    path = tmp_path / f"{name}.csv"
    path.write_text("mine,yours\n1,2\n")
    with pytest.raises(ConfigError, match=rf"{name}.csv: is not a table that wdrun wrote.*take another name="):
        verdicts.check(tmp_path)
    with pytest.raises(StorageError, match=rf"{name}.csv: was not written by wdrun"):
        verdicts.append(tmp_path, decision("aaaaaaaa")) if name == "decisions" else verdicts.write(tmp_path, [], [])
    assert path.read_text() == "mine,yours\n1,2\n"
    if name == "verdict":
        assert verdicts.read(tmp_path) is None
    ownership.check([tmp_path])  # which no other training replaces


def test_a_folder_that_was_not_tuned_has_none(tmp_path):
    assert verdicts.read(tmp_path) is None
    verdicts.check(tmp_path / "nowhere")


def test_the_runs_are_read_as_without_these_tables(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0: [1.0, 1.1], 0.1: [0.9, 0.8]})
    before, said = load([root]).runs, report(root)
    verdicts.write(root, [VERDICT], [LOOK])
    verdicts.append(root, decision("aaaaaaaa"))
    assert load([root]).runs.equals(before)
    assert load([root]).problems == ()
    assert report(root) == said


def test_what_a_killed_process_left_of_them_is_cleared(tmp_path):
    for name in ("verdict", "looks", "decisions", "carried"):
        assert storage.TEMPORARY.fullmatch(f".{name}.csv.{os.getpid()}.tmp")


def test_decisions_are_those_of_the_runs_there(tmp_path):
    made = tuned_folder.tuned(tmp_path / "r")
    found = verdicts.read(made.root)
    assert list(found.decisions["step"]) == list(range(1, len(made.seen) + 1))
    assert set(found.decisions["id"]) == set(load([made.root]).runs["id"])
