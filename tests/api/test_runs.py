"""wdrun.run and wdrun.sweep: the tables of the command line as frames, the trained module, errors as exceptions."""

import os
import pickle
import sys
import threading

import pandas as pd
import pytest
import safetensors.torch
import torch

import wdrun
from tests.api import SMALL
from wdrun.errors import BusyError, ConfigError
from wdrun.storage import hold
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


def test_weights_that_there_are_none_of_are_refused(result):
    with pytest.raises(ConfigError, match="weights=first: must be last, best or ema"):
        result.module("first")


def test_the_package_offers_what_it_is_for():
    assert dir(wdrun) == sorted(wdrun.__all__)


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
    with pytest.raises(ConfigError, match=r"sweep=\['seed=0,1'\]: is a sweep of 2 runs; wdrun\.run trains one, wdrun"):
        wdrun.run("sweep=['seed=0,1']")
    with pytest.raises(
        ConfigError, match=r"seed=0,1: several values make a sweep; wdrun\.run trains one run, wdrun\.sw"
    ):
        wdrun.run("seed=0,1")
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


def test_a_script_may_go_elsewhere_afterwards(here):
    result = wdrun.run(*TINY, output_dir="mine, λ's=(own)")
    assert result.directory.parent == here / "mine, λ's=(own)" / "default"
    (here / "elsewhere").mkdir()
    os.chdir(here / "elsewhere")
    assert sum(w.numel() for w in result.module().parameters()) == 12342


def test_a_result_says_what_it_is_and_is_pickled(result):
    said = f"Result(done, val_accuracy={result.run['val_accuracy'][0]:.4g}, test_accuracy="
    assert repr(result).startswith(said)
    assert len(repr(result)) < 300
    page = result._repr_html_()
    assert (page.count("<table"), page.count("data:image/png;base64,")) == (1, 1)
    assert "<td>0.5</td>" in page
    again = pickle.loads(pickle.dumps(result))
    pd.testing.assert_frame_equal(again.metrics, result.metrics)
    assert again.definition.knobs == result.definition.knobs


def test_a_folder_in_use_is_an_error(result):
    words = {"lam": 0.5, "name": "held", "quiet": True}
    directory = result.directory.parent.parent / "held" / result.directory.name
    with hold(directory), pytest.raises(BusyError, match="another process is training this run"):
        wdrun.run(*TINY, **words)
    with hold(directory), pytest.raises(BusyError, match="another process is training this run"):
        wdrun.sweep(*TINY, **words)


# ------------------------------------------------------------------------------------------- sweeps


def test_a_sweep_is_that_of_the_command_line(here):
    sweep = wdrun.sweep("decay=l2", lam=[0, 0.1], seed=range(2), quiet=True, **SMALL)
    assert sweep.folder == here / "outputs" / "default"
    assert list(zip(sweep.runs["lambda"], sweep.runs["seed"], strict=True)) == [(0, 0), (0, 1), (0.1, 0), (0.1, 1)]
    assert [outcome.directory.name for outcome in sweep.outcomes] == [os.path.basename(d) for d in sweep.runs["dir"]]
    table = read_table(sweep.folder / "runs.csv")
    pd.testing.assert_frame_equal(
        sweep.runs.drop(columns="dir").sort_values("id", ignore_index=True), table.sort_values("id", ignore_index=True)
    )
    assert len((sweep.folder / "plan.csv").read_text().splitlines()) == 5
    for name in ("metrics", "layers", "histograms", "timing"):
        pd.testing.assert_frame_equal(getattr(sweep, name), read_table(sweep.folder / f"{name}.csv"), check_dtype=False)
    assert sweep.problems == ()
    alone = wdrun.run("decay=l2", lam=0.1, seed=1, name="alone", quiet=True, **SMALL)
    same = sweep.metrics[sweep.metrics["id"] == alone.definition.id].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone.metrics, same, check_dtype=False)


def test_a_sweep_again_trains_only_what_is_new(here, monkeypatch):
    wdrun.sweep("decay=l2", "seed=0,1", quiet=True, **SMALL)
    trained = []
    train = one_run.train
    monkeypatch.setattr(one_run, "train", lambda job, *more: (trained.append(job.run.seed), train(job, *more))[1])
    sweep = wdrun.sweep("decay=l2", "seed=1,2", quiet=True, **SMALL)
    assert trained == [2]
    assert list(sweep.runs["seed"]) == [1, 2]  # its own alone
    assert set(sweep.metrics["seed"]) == {1, 2}


def test_failed_and_diverged_runs_are_rows(here, monkeypatch):
    train = one_run.train

    def broken(job, *more):
        if job.run.seed == 1:
            raise ArithmeticError("out of numbers")
        return train(job, *more)

    monkeypatch.setattr(one_run, "train", broken)
    small = SMALL | {"epochs": 2}
    sweep = wdrun.sweep("decay=l2", "schedule=constant", lr=[0.1, 1e9], seed=[0, 1], quiet=True, **small)
    assert list(sweep.runs["status"]) == ["done", "failed", "diverged", "failed"]
    assert list(sweep.runs["cause"])[1] == "ArithmeticError: out of numbers"
    assert [type(outcome.error) for outcome in sweep.outcomes] == [type(None), ArithmeticError] * 2
    assert repr(sweep) == f"Sweep(4 runs: 1 done, 2 failed, 1 diverged; {sweep.folder})"
    page = sweep._repr_html_()
    assert (page.count("<table"), page.count("data:image/png;base64,")) == (1, 1)
    assert "ArithmeticError: out of numbers" in page
    assert list(pickle.loads(pickle.dumps(sweep)).runs["status"]) == list(sweep.runs["status"])


def test_one_run_is_a_sweep_too(here):
    one = wdrun.sweep("decay=l2", quiet=True, **SMALL)
    assert (len(one.runs), list(one.runs["status"])) == (1, ["done"])
    with pytest.raises(ConfigError, match="halving: unknown key; write wdrun tune decay=l2"):
        wdrun.sweep("decay=l2", lam=[0, 1e-3], halving=2, name="halved", quiet=True, **SMALL)
    assert len(wdrun.sweep(experiment="smoke", epochs=1, threads=1, quiet=True).runs) > 1


def test_the_names_are_functions_whatever_was_imported(here):
    import wdrun.report
    import wdrun.sweep.execute

    assert wdrun.sweep.__name__ == "sweep"
    assert wdrun.report.__name__ == "report"
    assert wdrun.explain.__name__ == "explain"
    assert pickle.loads(pickle.dumps(wdrun)) is wdrun  # as joblib's workers get what a function uses
    assert sys.modules["wdrun.sweep"].__name__ == "wdrun.sweep"
    assert {name for name in wdrun.__all__ if not hasattr(wdrun, name)} == set()
    assert set(wdrun.__all__) <= set(dir(wdrun))
    with pytest.raises(AttributeError, match="module 'wdrun' has no attribute 'sweeps'"):
        wdrun.sweeps  # noqa: B018


def test_what_is_explained_is_what_the_command_prints(here, capsys):
    from wdrun import cli

    with pytest.raises(SystemExit):
        cli.main(["explain", "-m", *TINY, "decay=l2", "lambda=0.1,0.2"])
    printed = capsys.readouterr().out
    assert wdrun.explain(*TINY, "decay=l2", lam=[0.1, 0.2]) + "\n" == printed
    assert printed.count("verdict") == 2
    assert not (here / "outputs").exists()


def test_a_run_in_a_thread_leaves_the_others_free(here):
    found = []
    thread = threading.Thread(target=lambda: found.append(wdrun.run(*TINY, quiet=True).status))
    thread.start()
    thread.join()
    assert found == ["done"]
