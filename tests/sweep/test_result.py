"""What came of a run, in words: each line from rows made up, and what it is compared with from rows on disk."""

import csv
from functools import partial

import pytest

from tests import runs
from wdrun.sweep import result
from wdrun.sweep.execute import execute

jobs = partial(runs.jobs, base=(*runs.TINY, "model=mlp", "model.hidden=[2]", "epochs=1"))
TWIN = {"val_accuracy": 0.5, "test_accuracy": 0.25, "val_loss": 1.5, "test_loss": 2.0, "norm_end": 4.0}
RUN = TWIN | {"val_accuracy": 0.625, "test_accuracy": 0.5, "val_loss": 1.25, "test_loss": 2.5, "norm_end": 3.0}
NO_ACCURACY = {"val_accuracy": None, "test_accuracy": None}


def test_what_decay_bought_is_told_in_points():
    assert result.bought(RUN, TWIN, ()) == (
        "         against the same run without decay: val +12.50 points, test +25.00 points, norm 3 against 4; one "
        "pair, so seed noise is not known"
    )


@pytest.mark.parametrize(
    ("run", "twin"),
    [
        (NO_ACCURACY, NO_ACCURACY),  # regressions
        ({}, {"val_accuracy": None}),  # cells that somebody emptied
        ({}, {"test_accuracy": None}),
    ],
)
def test_where_one_has_no_accuracy_losses_are_compared(run, twin):
    line = result.bought(RUN | run, TWIN | twin | {"norm_end": None}, ())
    assert line == (
        "         against the same run without decay: val loss -0.25, test loss +0.5; one pair, "
        "so seed noise is not known"
    )


def test_without_a_twin_the_command_of_it_is_told():
    words = ("decay=l1", "decay.scope=conv", "lambda=0.1", "lr=0.2", "--config-dir=mine")
    line = result.bought(RUN, None, words)
    assert line == "         what it bought: compare with `wdrun lr=0.2 decay=none --config-dir=mine`"


@pytest.mark.parametrize("column", ["val_accuracy", "test_accuracy"])
def test_a_twin_whose_accuracy_is_no_longer_in_its_row_fails_no_run(tmp_path, capsys, column):
    (zero,) = execute(jobs(tmp_path, "lambda=0"))
    path = zero.directory / "run.csv"
    header, row = csv.reader(path.read_text().splitlines())
    row[header.index(column)] = ""
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, row])
    (outcome,) = execute(jobs(tmp_path, "lambda=0.1"))
    assert outcome.status == "done"
    assert "against the same run without decay: val loss " in capsys.readouterr().err
