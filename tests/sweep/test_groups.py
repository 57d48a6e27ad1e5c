"""Sweeps whose alike runs train as one: the tables are those of the runs alone, whatever ends or stops some of them."""

import math
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tests.runs import MLP, TINY, asked, changed
from wdrun.errors import ConfigError
from wdrun.streams import stream_seed
from wdrun.sweep import checkpoint, groups
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import Trainers, ready
from wdrun.sweep.signals import Interrupted
from wdrun.tables.read import read_table

WORDS = changed(TINY, *MLP, "epochs=3", "precision=fp64", "device=cpu")
SWEEP = ["lambda=0,1e-2,1e-1", "lr=0.05,0.01", "seed=0,1", "optimizer.momentum=0.9,0.5"]
TABLES = ("runs", "metrics", "layers", "histograms")


def run(folder, *words):
    return execute(*asked(folder, *words, base=WORDS))


def tables(folder):
    return {name: read_table(folder / "default" / f"{name}.csv") for name in TABLES}


def assert_same(found, expected):
    """Equal but for the last digits of numbers: the lift reorders sums."""
    for name in TABLES:
        a, b = found[name], expected[name]
        assert list(a.columns) == list(b.columns)
        assert len(a) == len(b)
        for column in a.columns:
            if a[column].dtype.kind == "f":
                np.testing.assert_allclose(a[column], b[column], rtol=1e-7, atol=1e-9, err_msg=f"{name} {column}")
            else:
                pd.testing.assert_series_equal(a[column], b[column])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    run(folder, *SWEEP)
    return tables(folder)


def test_a_fused_sweep_has_the_tables_of_its_runs_alone(alone, tmp_path, monkeypatch):
    sizes = []
    train = groups._train
    monkeypatch.setattr(groups, "_train", lambda runs, stop: (sizes.append(len(runs)), train(runs, stop))[1])
    outcomes = run(tmp_path, *SWEEP, "fuse=true")
    assert sizes == [24]  # λ, lr, seed and the optimizer's numbers differ, the structure does not
    assert {o.status for o in outcomes} == {"done"}
    assert all((o.directory / "last.safetensors").is_file() for o in outcomes)
    assert not list(tmp_path.glob("default/*/checkpoint*"))
    assert_same(tables(tmp_path), alone)


def test_a_run_alone_may_be_a_group_of_one(alone, tmp_path):
    (outcome,) = run(tmp_path, "lambda=1e-2", "lr=0.05", "seed=1", "fuse=true")
    expected = alone["runs"].set_index("id").loc[outcome.job.run.id]
    assert outcome.row["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-9)


def test_a_diverging_run_ends_alone(tmp_path):
    words = ["lambda=0,1e-2", "lr=0.05,1e200", "seed=0"]
    serial = {o.job.run.id: (o.status, o.row["cause"]) for o in run(tmp_path / "alone", *words)}
    fused = {o.job.run.id: (o.status, o.row["cause"]) for o in run(tmp_path / "fused", *words, "fuse=true")}
    assert fused == serial
    assert sorted(status for status, _ in fused.values()) == ["diverged", "diverged", "done", "done"]


@pytest.mark.parametrize("saves", [0.0, math.inf])
def test_an_interrupted_group_goes_on_run_by_run(alone, tmp_path, monkeypatch, saves):
    monkeypatch.setattr(groups, "SAVE_SECONDS", saves)
    take, sent = groups.Record.take, []

    def take_and_stop(record, epoch, save=True):
        take(record, epoch, save)
        if epoch.number == 2 and not sent:
            sent.append(record)
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(groups.Record, "take", take_and_stop)
        with pytest.raises(Interrupted):
            run(tmp_path, *SWEEP, "fuse=true")
    assert set(tables(tmp_path)["runs"]["status"]) == {"interrupted"}
    saved = [checkpoint.load(path.parent)[0][1]["state"]["epoch"] for path in tmp_path.glob("default/*/run.csv")]
    assert saved == [2] * 24  # the epochs that no save had kept are saved on the way out
    run(tmp_path, *SWEEP, "fuse=true")
    assert_same(tables(tmp_path), alone)


def test_runs_that_stand_at_different_epochs_still_end_the_same(alone, tmp_path, monkeypatch):
    take = groups.Record.take

    def uneven(record, epoch, save=True):
        take(record, epoch, save=record.job.run.seed == 0)
        if epoch.number == 1 and record.job.run.seed == 1 and record.job.run.lam == 0.1:
            raise KeyboardInterrupt  # as a kill: nothing is saved on the way out

    with monkeypatch.context() as patch:
        patch.setattr(groups.Record, "take", uneven)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, *SWEEP, "fuse=true")
    run(tmp_path, *SWEEP, "fuse=true")
    assert_same(tables(tmp_path), alone)


def test_what_cannot_be_lifted_trains_alone_and_says_so(tmp_path, capsys):
    words = ["lambda=0,1e-2", "model.dropout=0.5", "seed=0"]
    fused = run(tmp_path / "fused", *words, "fuse=true")
    said = capsys.readouterr().err
    assert "2 runs train one after another: dropout" in said
    serial = run(tmp_path / "alone", *words)
    assert [o.row["val_loss"] for o in fused] == [o.row["val_loss"] for o in serial]


def test_a_lift_that_fails_falls_back(alone, tmp_path, monkeypatch, capsys):
    def broken(trainers, way=None):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(groups.fused, "FusedTrainer", broken)
    outcomes = run(tmp_path, *SWEEP, "fuse=true")
    assert {o.status for o in outcomes} == {"done"}
    assert "24 runs train one after another: RuntimeError: out of memory" in capsys.readouterr().err
    assert_same(tables(tmp_path), alone)


class Raising(nn.Linear):
    """A user's model that fails without a word, of more examples than a dry run has."""

    def __init__(self, input_shape, classes):
        super().__init__(math.prod(input_shape), classes)

    def forward(self, x):
        if len(x) > 4:
            raise RuntimeError("")
        return super().forward(x.flatten(1))


class Seeded(nn.Linear):
    """A user's model that cannot be made with seed=5."""

    def __init__(self, input_shape, classes):
        if torch.initial_seed() == stream_seed(5, "init"):
            raise ArithmeticError("not this seed")
        super().__init__(math.prod(input_shape), classes)

    def forward(self, x):
        return super().forward(x.flatten(1))


@pytest.mark.parametrize("seeds", ["0,5,2", "5,0,2"])
def test_a_run_that_cannot_be_built_is_a_failed_row_of_a_fused_sweep(seeds, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "own_net", sys.modules[__name__])
    checked = lambda self, run: ready(replace(run, seed=0))  # noqa: E731 - the look before anything trains
    monkeypatch.setattr(Trainers, "check", checked)
    words = ("model=mlp", "model._target_=own_net.Seeded", f"seed={seeds}", "fuse=true")
    outcomes = execute(*asked(tmp_path, *words))
    ended = {o.job.run.seed: (o.status, o.row["cause"]) for o in outcomes}
    why = "ConfigError: model._target_=own_net.Seeded: ArithmeticError: not this seed"
    assert ended == {0: ("done", ""), 5: ("failed", why), 2: ("done", "")}
    assert (next(o for o in outcomes if o.status == "failed").directory / "error.log").is_file()


def test_an_error_without_a_message_does_not_end_a_fused_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "own_net", sys.modules[__name__])
    words = ("model=mlp", "model._target_=own_net.Raising", "lambda=0,1e-2", "fuse=true")
    outcomes = execute(*asked(tmp_path, *words))
    assert [(o.status, o.row["cause"]) for o in outcomes] == [("failed", "RuntimeError")] * 2
    said = capsys.readouterr().err
    assert "2 runs train one after another: RuntimeError\n" in said


@pytest.mark.parametrize(
    ("message", "says"),
    [("", "RuntimeError"), ("\n\nthird\nfourth", "RuntimeError: third"), ("one\ntwo", "RuntimeError: one")],
)
def test_a_lift_that_fails_in_any_words_falls_back(message, says, tmp_path, monkeypatch, capsys):
    def broken(trainers, way=None):
        raise RuntimeError(message)

    monkeypatch.setattr(groups.fused, "FusedTrainer", broken)
    outcomes = run(tmp_path, "lambda=0,1e-2", "epochs=1", "fuse=true")
    assert [o.status for o in outcomes] == ["done", "done"]
    assert f"2 runs train one after another: {says}\n" in capsys.readouterr().err


def test_processes_and_fusing_exclude_each_other(tmp_path):
    with pytest.raises(ConfigError, match=r"parallel=2: runs that train as one computation do so in one process"):
        run(tmp_path, "lambda=0,1e-2", "fuse=true", "parallel=2")
    assert not (tmp_path / "default").exists()
