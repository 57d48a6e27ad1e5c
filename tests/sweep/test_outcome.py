"""Outcomes: the line on stdout, and the exit code by what is worst."""

import itertools
import json
from dataclasses import replace

import pytest

from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.errors import BusyError, ConfigError, Exit, StorageError, WdrunError
from wdrun.sweep.outcome import RESULT, Outcome, exit_code, print_result, tell_missed
from wdrun.tables.columns import run_row

JOB = parse(compose(["data=synthetic", "lambda=0.25", "seed=3"]))


def asking(**options):
    return replace(JOB, options=replace(JOB.options, **options))


def test_the_line_is_typed_whether_the_row_is_new_or_read_back(capsys):
    row = run_row(JOB.run, {"status": "done", "val_accuracy": 0.5, "epochs_done": 2})
    text = {key: str(value) for key, value in row.items()}
    for given in (row, text):
        print_result(Outcome(JOB, "done", given))
    first, second = capsys.readouterr().out.splitlines()
    assert first == second
    line = json.loads(first)
    assert list(line) == [*RESULT, "dir"]
    assert (line["lambda"], line["seed"], line["val_accuracy"], line["cause"]) == (0.25, 3, 0.5, None)
    assert line["dir"] == str(JOB.directory)


def test_a_busy_outcome_has_its_cause():
    error = BusyError("a: in use")
    outcome = Outcome.busy(JOB, error)
    assert (outcome.status, outcome.row, outcome.error) == ("busy", {"status": "busy", "cause": "a: in use"}, error)


WORST_FIRST = [("failed", Exit.FAILED), ("busy", Exit.BUSY), ("diverged", Exit.DIVERGED), ("done", Exit.DONE)]


@pytest.mark.parametrize("statuses", list(itertools.permutations(dict(WORST_FIRST), 2)))
def test_the_exit_code_is_that_of_the_worst(statuses):
    expected = next(code for status, code in WORST_FIRST if status in statuses)
    assert exit_code([Outcome(JOB, status) for status in statuses]) == expected


def test_divergence_may_be_allowed_run_by_run():
    allowed = Outcome(asking(allow_diverged=True), "diverged")
    assert (exit_code([allowed]), allowed.bad) == (Exit.DONE, False)
    assert exit_code([allowed, Outcome(JOB, "diverged")]) == Exit.DIVERGED


@pytest.mark.parametrize(("reached", "least", "code"), [
    (0.5, 0.5, Exit.DONE), (0.4999, 0.5, Exit.REQUIREMENT), (None, 0.0, Exit.REQUIREMENT),
])  # fmt: skip
def test_a_threshold_is_reached_or_named(reached, least, code, capsys):
    job = asking(require={"val_accuracy": least, "test_accuracy": None})
    outcome = Outcome(job, "done", {"val_accuracy": reached})
    tell_missed([outcome])
    assert exit_code([outcome]) == code
    number = "(a regression has none)" if reached is None else f"{reached:.4f}"
    line = f"require: val_accuracy {number} is below {least:g} in {job.directory.name}\n"
    assert capsys.readouterr().err == (line if code else "")


BOTH = {"val_accuracy": 0.5, "test_accuracy": 0.25}


@pytest.mark.parametrize(("status", "code"), [
    ("failed", Exit.FAILED), ("busy", Exit.BUSY), ("diverged", Exit.REQUIREMENT), ("done", Exit.REQUIREMENT),
    ("interrupted", Exit.DONE), ("waiting", Exit.DONE),
])  # fmt: skip
def test_a_run_that_ended_without_a_score_missed_every_threshold(status, code, capsys):
    outcome = Outcome(asking(require=BOTH, allow_diverged=True), status, {"val_accuracy": None})
    tell_missed([outcome])
    assert (exit_code([outcome]), outcome.bad) == (code, status == "failed")
    why = {"failed": "it failed", "diverged": "it diverged", "done": "a regression has none"}.get(status)
    told = f"val_accuracy ({why}) is below 0.5 and test_accuracy ({why}) is below 0.25"
    assert capsys.readouterr().err == (f"require: {told} in {JOB.directory.name}\n" if why else "")


@pytest.mark.parametrize("statuses", list(itertools.permutations(["failed", "busy", "diverged", "done"], 2)))
def test_what_a_miss_is_beside_does_not_hide_it(statuses, capsys):
    rows = [
        Outcome(asking(require=BOTH), status, {"val_accuracy": "0.1", "test_accuracy": "nan"}) for status in statuses
    ]
    tell_missed(rows)
    order = ("failed", "busy", "diverged", "done")
    codes = dict(zip(order, (Exit.FAILED, Exit.BUSY, Exit.DIVERGED, Exit.REQUIREMENT), strict=True))
    assert exit_code(rows) == codes[min(statuses, key=order.index)]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len([status for status in statuses if status != "busy"])
    if "done" in statuses:
        assert any("val_accuracy 0.1000 is below 0.5 and test_accuracy nan is below 0.25" in line for line in lines)


def test_codes_are_one_table():
    assert {code.name: code.value for code in Exit} == {
        "DONE": 0, "FAILED": 1, "CONFIG": 2, "DIVERGED": 3, "BUSY": 4, "STORAGE": 5, "REQUIREMENT": 6,
        "UNFINISHED": 7,
    }  # fmt: skip
    errors = (WdrunError, ConfigError, BusyError, StorageError)
    assert [error.exit_code for error in errors] == [Exit.FAILED, Exit.CONFIG, Exit.BUSY, Exit.STORAGE]
