"""What was typed for runs: condensed into grids that hold exactly them, and changed into the lines of further runs."""

import itertools
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wdrun.config import experiments
from wdrun.selection import overrides
from wdrun.wording import command_line

VALUES = {"decay": ["l1", "l2"], "lambda": ["0", "0.0001", "1e-05"], "lr": ["0.1", "1.0"], "seed": ["0", "1", "2"]}
GRID = [tuple(f"{k}={v}" for k, v in zip(VALUES, row, strict=True)) for row in itertools.product(*VALUES.values())]


@given(st.lists(st.sampled_from(GRID), min_size=1))
@settings(max_examples=200, deadline=None)
def test_condensed_grids_hold_exactly_the_lines_they_came_from(lines):
    boxes = overrides.condensed(lines)
    made = [
        tuple(f"{k}={v}" for k, v in zip(b, row, strict=True)) for b in boxes for row in itertools.product(*b.values())
    ]
    assert sorted(made) == sorted(set(lines))


def test_a_whole_grid_is_one_line_that_wdrun_understands():
    (line,) = [command_line(overrides.words(box)) for box in overrides.condensed(GRID)]
    assert line == "wdrun -m decay=l1,l2 lambda=0,1e-5,0.0001 lr=0.1,1.0 seed=0,1,2"
    _, flag, *words = shlex.split(line)
    assert (flag, len(experiments.jobs([*words, "data=synthetic"], multirun=True))) == ("-m", len(GRID))


SEEDS = [{"lambda": lam, "lr": 0.1, "seed": seed, "fold": 0} for lam in (0.0, 1e-5) for seed in range(6)]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["lr=0.5", "model=mlp"], ["-m", "lr=0.1", "model=mlp", "lambda=0,1e-5", "seed=range(0,6)"]),
        (["++lr=0.5", "+model.depth=3"], ["-m", "+model.depth=3", "lambda=0,1e-5", "lr=0.1", "seed=range(0,6)"]),
        (["tau=3", "halving=2", "name=a"], ["-m", "name=a", "lambda=0,1e-5", "lr=0.1", "seed=range(0,6)"]),
        (["data.folds=5", "fold=3"], ["-m", "data.folds=5", "fold=0", "lambda=0,1e-5", "lr=0.1", "seed=range(0,6)"]),
        (["lambda=1", "lambda=2", "~x"], ["-m", "lambda=0,1e-5", "~x", "lr=0.1", "seed=range(0,6)"]),
    ],
    ids=lambda words: words[0],
)
def test_a_key_of_a_point_takes_the_place_of_what_was_typed(typed, found):
    (line,) = overrides.further(typed, SEEDS)
    assert list(line) == found


@pytest.mark.parametrize(
    ("seeds", "typed"),
    [
        ([3, 4, 5, 6, 7, 8], "range(3,9)"),
        ([0, 1, 2, 3, 4, 20241126], "0,1,2,3,4,20241126"),
        ([0, 1, 2, 3, 4, 2**63 - 1], "0,1,2,3,4,9223372036854775807"),
    ],
)
def test_many_seeds_in_a_line_whatever_their_size(seeds, typed):
    """No list of all numbers between them is made: of the last it would not fit into any memory."""
    assert overrides.further([], [{"lambda": 1.0, "seed": seeds}]) == (("-m", "lambda=1", f"seed={typed}"),)


def test_a_knob_that_a_run_has_not_is_not_typed():
    assert overrides.further(["optimizer.momentum=0.9"], [{"lambda": 1.0, "optimizer.momentum": ""}]) == (
        ("lambda=1",),
    )
    assert overrides.further([], [{"lambda": 1.0, "schedule.name": "cosine"}]) == (("lambda=1", "schedule=cosine"),)


def test_the_very_runs_again_are_run_to_their_ends():
    lines = [["lambda=1", mark + "halving=2", f"seed={seed}"] for seed, mark in enumerate(("", "+"))]
    assert overrides.again(lines) == (("-m", "lambda=1", "seed=0,1"),)


@pytest.mark.parametrize("word", ["halving=2", "+halving=2", "++halving=2"])
def test_a_key_of_former_versions_is_not_read_back(tmp_path, word):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / ".hydra" / "overrides.yaml").write_text(f"- lambda=1\n- {word}\n- seed=0\n")
    found = overrides.recorded(tmp_path / "run")
    assert found is not None
    assert [w for w in found if "halving" in w or w.startswith(("lambda", "seed"))] == ["lambda=1", "seed=0"]


def test_a_line_of_no_decay_says_no_strength_and_a_key_has_one_name():
    """`wdrun` refuses decay=none with a λ, and two names of one key; older folders have recorded both."""
    typed = [("decay=none", "lambda=0.1"), ("decay=none", "lambda=1"), ("decay.lambda=1", "optimizer.lr=2")]
    assert overrides.again(typed) == (("decay=none",), ("lambda=1", "lr=2"))
    (line,) = overrides.further(typed[2], [{"lambda": 0.5, "lr": 1.0}])
    assert sorted(line) == ["lambda=0.5", "lr=1"]
