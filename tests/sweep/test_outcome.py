"""Outcomes: the line on stdout, and the exit code by what is worst."""

import itertools
import json
from dataclasses import replace

import pytest

from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.errors import BusyError, ConfigError, Exit, StorageError, WdrunError
from wdrun.sweep.outcome import RESULT, Outcome, exit_code, print_result
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
    assert exit_code([Outcome(job, "done", {"val_accuracy": reached})]) == code
    number = "(a regression has none)" if reached is None else f"{reached:.4f}"
    line = f"require: val_accuracy {number} is below {least:g} in {job.directory.name}\n"
    assert capsys.readouterr().err == (line if code else "")


def test_codes_are_one_table():
    assert {code.name: code.value for code in Exit} == {
        "DONE": 0, "FAILED": 1, "CONFIG": 2, "DIVERGED": 3, "BUSY": 4, "STORAGE": 5, "REQUIREMENT": 6,
    }  # fmt: skip
    errors = (WdrunError, ConfigError, BusyError, StorageError)
    assert [error.exit_code for error in errors] == [Exit.FAILED, Exit.CONFIG, Exit.BUSY, Exit.STORAGE]
