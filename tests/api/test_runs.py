"""wdrun.run: the tables of the command line as frames, the trained module, errors as exceptions."""

import pandas as pd
import pytest
import safetensors.torch
import torch

import wdrun
from wdrun.errors import ConfigError
from wdrun.sweep import one_run
from wdrun.sweep.one_run import ready
from wdrun.tables.read import read_table

TINY = ("data=synthetic", "data.train_examples=160", "data.test_examples=40", "model=mlp", "model.hidden=[4]")
TINY += ("epochs=2", "batch_size=32", "threads=1", "precision=fp32", "device=cpu")


@pytest.fixture
def result(here):
    return wdrun.run(*TINY, lam=0.5)


def test_a_result_is_the_tables_of_its_folder(result, here):
    assert result.status == "done"
    assert result.directory.parent == here / "outputs" / "default"
    for name in ("run", "metrics", "layers", "histograms", "timing"):
        pd.testing.assert_frame_equal(getattr(result, name), read_table(result.directory / f"{name}.csv"))
    assert result.run.iloc[0]["lambda"] == 0.5
    assert result.definition.id == result.run.iloc[0]["id"]
    assert (here / "outputs" / "default" / "runs.csv").is_file()


def test_the_module_has_the_weights_and_the_scores_of_the_run(result):
    for weights in ("last", "best"):
        module = result.module(weights)
        assert not module.training
        saved = safetensors.torch.load_file(result.directory / f"{weights}.safetensors")
        assert module.state_dict().keys() == saved.keys()
        assert all(torch.equal(w, saved[name]) for name, w in module.state_dict().items())
    trainer = ready(result.definition)
    module, right, examples = result.module("last"), 0, 0
    with torch.no_grad():
        for x, y in trainer.evaluator.batches("test").sequential():
            right, examples = right + (module(x).argmax(1) == y).sum().item(), examples + len(y)
    assert examples == 40
    assert right / examples == result.run.iloc[0]["test_accuracy"]


def test_a_finished_run_is_read_back(result, monkeypatch):
    monkeypatch.setattr(one_run, "train", lambda *given: pytest.fail("trained again"))
    again = wdrun.run(*TINY, "lambda=0.5")
    pd.testing.assert_frame_equal(again.metrics, result.metrics)


def test_keywords_are_overrides(here):
    words = dict(word.split("=") for word in TINY if not word.startswith("model.hidden"))
    given = wdrun.run(**words, lam=0.5, **{"model.hidden": [4]}, name="keywords")
    assert given.definition.id == wdrun.run(*TINY, "lambda=0.5").definition.id
    assert given.directory.parent.name == "keywords"


def test_a_sweep_is_refused_before_anything_exists(here):
    with pytest.raises(ConfigError, match=r"sweep=\['seed=0,1'\]: is a sweep of 2 runs; wdrun\.run trains one"):
        wdrun.run("sweep=['seed=0,1']")
    assert list(here.iterdir()) == []


def test_the_error_of_a_run_is_raised(here, monkeypatch):
    def broken(*given):
        raise ArithmeticError("out of numbers")

    monkeypatch.setattr(one_run, "train", broken)
    with pytest.raises(ArithmeticError, match="out of numbers"):
        wdrun.run(*TINY)


def test_a_diverged_run_is_a_result_without_weights(here):
    result = wdrun.run(*TINY, "lr=1e9", "schedule=constant")
    assert result.status == "diverged"
    with pytest.raises(FileNotFoundError):
        result.module()
