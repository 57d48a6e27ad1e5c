"""What averaged weights score on test stands beside the plain score, in the sentences and in the table of choices."""

import pytest

from tests import made_up
from tests.report.pages import Reader
from wdrun.report import page, text
from wdrun.selection import select
from wdrun.tables import evaluations
from wdrun.tables.read import load


def measured(folder, accuracy, **cells):
    """Give the run rows of evaluation.csv: of its averaged weights on val and test, and of its last ones."""
    row = {"id": made_up.id_of(folder), "weights": "ema", "words": "evaluate=accuracy", "epoch": 2, "severity": 0}
    row |= {"split": "test", "data_loss": 1.0, "accuracy": accuracy} | cells
    others = [row | {"split": "val", "accuracy": 0.1}, row | {"weights": "last", "accuracy": 0.2}]
    evaluations.add(folder, {"evaluation": evaluations.texts("evaluation", [*others, row])})


def said(root):
    """Sentences and page of what lies at root."""
    found = evaluations.beside(load([root]))
    selection = select(found.runs)
    shown = Reader(page.render(found, selection, [], ["svg"]).decode()).text.replace("\xa0", " ")
    return "\n".join(text.whole(found, selection)), shown


@pytest.fixture
def sweep(tmp_path):
    """Two seeds at λ = 0, and two at 0.1, which is chosen."""
    return [made_up.run(tmp_path / "r", lam, 1 - lam, seed=seed) for lam in (0, 0.1) for seed in (0, 1)]


def test_the_mean_is_over_the_runs_of_the_chosen_setting(sweep):
    for folder, accuracy in zip(sweep, (0.9, 0.9, 0.6, 0.64), strict=True):
        measured(folder, accuracy)
    sentences, shown = said(sweep[0].parent)
    assert "Its test accuracy, which chose nothing, is 50.0 %, of the averaged weights 62.0 %." in sentences
    assert "… of averaged weights" in shown
    assert "62.0 %" in shown


def test_of_two_measurements_the_last_counts_and_shifted_images_do_not(sweep):
    for folder in sweep:
        measured(folder, 0.7)
        measured(folder, 0.8, words="evaluate=full")
        measured(folder, 0.3, words="evaluate=robustness", corruption="blur", severity=1)
    assert "of the averaged weights 80.0 %." in said(sweep[0].parent)[0]


@pytest.mark.parametrize("kept", [0, 3])
def test_where_a_run_of_it_kept_none_nothing_is_said(sweep, kept):
    for folder in sweep[:kept]:
        measured(folder, 0.6)
    sentences, shown = said(sweep[0].parent)
    assert "Its test accuracy, which chose nothing, is 50.0 %." in sentences
    assert "averaged" not in sentences + shown


def test_a_regression_has_the_loss(tmp_path):
    none = dict.fromkeys(("val_accuracy", "test_accuracy", "train_accuracy"), "")
    measured(made_up.run(tmp_path / "r", 0.1, 2.0, **none), "", data_loss=1.5)
    assert "Its test loss, which chose nothing, is 2.0000, of the averaged weights 1.5000." in said(tmp_path / "r")[0]
