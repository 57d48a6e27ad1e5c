"""The one command that settles what is open: named where `wdrun tune` can go on with the runs, and nowhere else."""

import shutil
from pathlib import Path

import pytest

from tests import made_up
from wdrun.selection import select, settling
from wdrun.tables import verdicts
from wdrun.tables.read import load


def chosen(*folders):
    return select(load([Path(folder) for folder in folders], tables=()).runs)


@pytest.fixture
def few(here):
    """Two seeds at each of two λ: too few to tell."""
    for seed in (0, 1):
        for lam in (0.0, 0.1):
            made_up.run(Path("few"), lam, 1.0 + lam * (seed - 0.4), seed=seed)
    return Path("few")


def test_what_is_open_is_settled_by_tuning_the_folder(few):
    assert settling.words(chosen(few)) == ("tune", "few")
    assert settling.words(chosen(few), "mine") == ("tune", "few", "--config-dir=mine")


def test_two_folders_are_not_gone_on_with(few):
    made_up.run(Path("more"), 0.2, seed=7, id="zzzzzzzz")
    assert settling.words(chosen(few, "more")) == ()


def test_folds_and_tables_alone_are_not_gone_on_with(few):
    selection = chosen(few)
    for folder in list(few.iterdir()):
        shutil.rmtree(folder)
    assert settling.words(selection) == ()
    for fold in (0, 1):
        for lam in (0.0, 0.1):
            made_up.run(Path("folds"), lam, 1 + lam, fold=fold)
    assert settling.words(chosen("folds")) == ()


ROW = {"facet": "decay=l2", "against": "λ = 0", "verdict": "undecided", "pairs": 0, "runs": 3, "objective": "val_loss"}
ROW |= {"margin": 0.02, "setting": "lambda=0.001 lr=0.02", "against_setting": "lambda=0 lr=0.02", "cause": ""}


@pytest.mark.parametrize(
    ("changes", "sentence", "words"),
    [
        ({"verdict": "better"}, "", ()),
        ({"verdict": "dropped"}, "", ()),
        ({}, settling.GOES_ON, ("tune", "few")),
        ({"margin": 0.01}, settling.GOES_ON, ("tune", "few", "margin=0.01")),
        (
            {"objective": "val_accuracy", "margin": 0.005},
            settling.GOES_ON, ("tune", "few", "objective=val_accuracy"),
        ),
        ({"setting": "lambda=0.001 optimizer.momentum=0.5"}, settling.REPEAT, ()),
        ({"setting": ""}, settling.REPEAT, ()),  # a decay without runs cannot be found in the folder
        ({"cause": "lambda=0.001 is at the upper end of its interval(1e-5,0.001)"}, settling.REPEAT, ()),
        ({"facet": "optimizer=adam lambda=0.001", "against": "optimizer=adam decay=none"}, settling.REPEAT, ()),
        ({"facet": "decay=l2 lr=0.01", "against": "decay=l2 lr=0.1"}, settling.REPEAT, ()),
    ],
)  # fmt: skip
def test_what_tune_left_undecided_is_gone_on_with_as_it_was_asked(changes, sentence, words):
    records = verdicts.Records(
        *(verdicts.frame(name, [ROW | changes] * (name == "verdict")) for name in verdicts.RECORDS)
    )
    assert settling.of_tuned(records, Path("few")) == (sentence, words)
    own = ("--config-dir=mine",) if words else ()
    assert settling.of_tuned(records, Path("few"), "mine") == (sentence, (*words, *own))


@pytest.mark.parametrize(
    ("tried", "sentence"),
    [
        (["lambda=0 lr=0.01", "lambda=0 lr=0.032", "lambda=0.001 lr=0.01"], settling.GOES_ON),
        (["lambda=0 lr=0.01", "lambda=0.001 lr=0.032", "lambda=0.0056 lr=0.01"], settling.GOES_ON),
        (["lambda=0 lr=0.01", "lambda=0.001 lr=0.032"], settling.REPEAT),  # in the folder as if lr were given
        (["lambda=0", "lambda=0.001"], settling.GOES_ON),  # lr is given
    ],
)
def test_a_folder_in_which_lr_does_not_vary_does_not_tell_that_it_is_tuned(tried, sentence):
    decided = [{"step": n, "facet": "decay=l2", "setting": setting, "seed": 0} for n, setting in enumerate(tried)]
    rows = {"verdict": [ROW], "decisions": decided}
    records = verdicts.Records(*(verdicts.frame(name, rows.get(name, [])) for name in verdicts.RECORDS))
    assert settling.of_tuned(records, Path("few"))[0] == sentence
