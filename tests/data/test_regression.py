"""The regression set: a function of its options, on its line; what has no accuracy stays empty everywhere."""

import json
import re
from functools import partial

import pytest
import torch

from tests import runs
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.data import fetch, load
from wdrun.data.regression import _pool, pool
from wdrun.errors import ConfigError
from wdrun.sweep.one_run import ready
from wdrun.tables.read import read_table

LINE = ["data=regression", "augment=none", "model=linear", "epochs=2", "batch_size=20", "lr=0.05"]
LINE += ["precision=fp64", "threads=1"]
trainer = partial(runs.trainer, base=LINE)


def test_points_are_on_the_line_but_for_the_noise():
    """With noise 0.1 the residuals of 100,000 points have that deviation within 1 %, 4 standard errors."""
    made = pool({"train_examples": 100_000})
    x, y = made.train_images, made.train_labels
    assert x.shape == y.shape == (100_000, 1)
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.mean().item() == pytest.approx(0.5, abs=0.004)
    assert (y - 2 * x - 1).std().item() == pytest.approx(0.1, rel=0.01)
    exact = pool({"noise": 0.0, "slope": -3.0, "intercept": 0.5})
    torch.testing.assert_close(exact.train_labels, 0.5 - 3 * exact.train_images, rtol=0, atol=1e-15)


def test_the_same_options_give_the_same_bytes_and_another_seed_others():
    first = pool({})
    _pool.cache_clear()
    assert pool({}).digest == first.digest
    assert pool({"seed": 1}).digest != first.digest
    assert pool({"test_x": [0.5]}).digest != first.digest


def test_splits_are_the_articles_hundred_points_and_its_five_places():
    data = load(parse(compose(["data=regression"])).run.data)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 100, "val": 25, "test": 5}
    assert not set(data.splits["train"].rows.tolist()) & set(data.splits["val"].rows.tolist())
    assert data.splits["test"].inputs[:, 0].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    torch.testing.assert_close(data.splits["test"].targets, 1 + 2 * data.splits["test"].inputs, rtol=0, atol=1e-15)
    assert (data.input_shape, data.classes) == ((1,), 1)


def test_folds_divide_the_points():
    spec = {"name": "regression", "folds": 5}
    parts = [load(spec, fold).splits for fold in range(5)]
    assert sorted(row for part in parts for row in part["val"].rows.tolist()) == list(range(125))
    assert all(len(part["train"]) == 100 for part in parts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": -1}, "data.noise=-1: must be a number from 0"),
        ({"train_examples": 1}, "data.train_examples=1: must be a whole number from 2"),
        ({"test_x": []}, "data.test_x=.*must be a list of numbers"),
        ({"test_x": [0.1, "x"]}, "data.test_x=.*must be a list of numbers"),
        ({"test_x": 0.1}, "data.test_x=0.1: must be a list of numbers"),
        ({"label_noise": 0.1}, "data.label_noise: unknown key; did you mean data.noise\\?"),
    ],
)
def test_a_bad_option_is_one_line(options, words):
    with pytest.raises(ConfigError, match=words):
        load({"name": "regression", **options})


def test_fetch_says_that_there_is_nothing_to_fetch():
    assert fetch({"name": "regression"}).startswith("regression: 125 training and 5 test points, generated")


def test_what_needs_images_or_classes_says_so():
    for words, message in (
        (("model=cnn",), "model=cnn: needs images"),
        (("evaluate=robustness",), "evaluate=robustness: corruptions and attacks need images"),
        (("evaluate=calibration",), "evaluate=calibration: calibration needs classes"),
    ):
        with pytest.raises(ConfigError, match=message):
            trainer(*words)


@pytest.mark.parametrize(
    "words", [(), ("model=mlp", "model.hidden=[8]", "precision=bf16"), ("precision=fp32",)], ids=str
)
def test_an_epoch_has_losses_and_no_accuracy(words):
    *_, last = trainer(*words).train()
    assert [row["split"] for row in last.metrics] == ["train", "val", "test"]
    assert all(row["accuracy"] is None and 0 < row["data_loss"] < 100 for row in last.metrics)
    assert last.summary["best_val_accuracy"] is None


@pytest.mark.parametrize("patience", [None, 1])
def test_the_loss_is_the_mean_squared_error_and_the_tested_weights_predict(patience):
    ready = trainer("lr=1.2", "optimizer.momentum=0", "epochs=4", f"early_stopping.patience={json.dumps(patience)}")
    *_, last = ready.train()
    rows = ready.predictions(last.state)
    errors = [(row["prediction"] - row["target"]) ** 2 for row in rows]
    assert last.metrics[-1]["data_loss"] == pytest.approx(sum(errors) / 5, rel=1e-12)


@pytest.mark.parametrize("reduction", ["sum", "mean"])  # the same, of one weight
def test_the_closed_form_is_the_minimum_of_the_objective(reduction):
    """Against the gradient of mean squared error + ½λw² at it, which is zero; λ in units of the first layer's scale."""
    words = ("decay=l2", "lambda=0.3", "decay.scales=[[fc1.weight,0.5]]", f"decay.reduction={reduction}")
    ready = trainer(*words)
    points = ready.predictions(ready.initial())
    w = (points[-1]["closed_form"] - points[0]["closed_form"]) / 0.4
    b = points[0]["closed_form"] - 0.1 * w
    split = ready.dataset.splits["train"]
    x, y = split.inputs[split.rows], split.targets[split.rows]
    off = w * x + b - y
    assert (2 * (off * x).mean() + 0.5 * 0.3 * w).item() == pytest.approx(0, abs=1e-12)
    assert off.mean().item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    "words",
    [
        ("model=mlp",),
        ("decay=l1",),
        ("decay.coupling=decoupled",),
        ("decay.exclude_1d=false",),
    ],
    ids=str,
)
def test_without_a_formula_there_is_no_closed_form(words):
    ready = trainer("lambda=0.1", *words)
    assert {row["closed_form"] for row in ready.predictions(ready.initial())} == {None}


def test_on_the_command_line_accuracy_is_empty_and_predictions_are_a_table(wdrun, here, capsys):
    words = [*LINE, "epochs=3", "output_dir=r"]
    first, *_ = [wdrun("lambda=0", *words, capture=capsys)]
    code, out, err = wdrun("lambda=0.01", *words, capture=capsys)
    assert (first[0], code) == (0, 0), err
    out = first[1] + out
    assert not re.search(r"\bnan\b", out + err)
    results = [json.loads(line) for line in out.splitlines()]
    assert [r["test_accuracy"] for r in results] == [None, None]
    assert "result   loss: val " in err
    assert "against the same run without decay: val loss " in err
    for result in results:
        table = read_table(here / result["dir"] / "predictions.csv")
        assert table["x"].tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
        assert table["lambda"].unique().tolist() == [result["lambda"]]
        assert ((table["prediction"] - table["target"]) ** 2).mean() == pytest.approx(result["test_loss"], rel=1e-9)
    code, out, _ = wdrun(*words, "lambda=0.01", capture=capsys)  # read back
    assert (code, json.loads(out)["val_accuracy"]) == (0, None)
    code, _, err = wdrun(*words, "lambda=0.01", "require.test_accuracy=0.1", capture=capsys)
    assert code == 6
    assert "a regression has none" in err


def test_classification_has_no_predictions():
    made = ready(parse(compose(["data=synthetic", "data.train_examples=100", "threads=1"])).run)
    assert made.predictions(made.initial()) == []


def test_labels_of_a_regression_cannot_be_smoothed():
    with pytest.raises(ConfigError, match=r"label_smoothing=0\.1: must be 0 for a regression, whose targets are no"):
        trainer("label_smoothing=0.1")
