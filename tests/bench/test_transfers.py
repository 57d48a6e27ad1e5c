"""The bench of transfers: its settings and totals, its runs against the serial trainer, its rules on made-up curves."""

import sys

import numpy as np
import pytest

from tests.bench import carried, settings, transfers
from wdrun import data, devices
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.training.trainer import Trainer

SMALL = [
    "data=synthetic",
    "data.train_examples=400",
    "data.train_size=100",
    "data.val_size=50",
    "data.test_examples=20",
]


def trainer(setting, *words):
    run = parse(compose([*setting.words, *SMALL, "threads=1", "device=cpu", "precision=fp32", *words])).run
    return Trainer(run, data.load(run.data, 0), devices.resolve("cpu", "fp32", 1))


def test_the_transfers_are_written_down():
    assert len(set(settings.TRANSFERS)) == len(settings.TRANSFERS) >= 24
    assert len({setting.name for setting in settings.SETTINGS}) == len(settings.SETTINGS)
    assert {s for pair in settings.TRANSFERS for s in pair} == {*settings.SETTINGS}
    assert sum(map(settings.seconds, settings.SETTINGS)) < 250


@pytest.mark.parametrize("coupling", ["coupled", "decoupled", "independent"])
def test_the_total_decay_of_a_setting_is_that_of_its_runs(coupling):
    setting = settings.MLP.but(coupling=coupling, batch=16, epochs=2, images=100)
    assert settings.unit(setting) == pytest.approx(trainer(setting, "lambda=1").budget.total, rel=1e-12)
    tried = settings.lambdas(setting)
    assert settings.LOW <= tried[1] * settings.unit(setting) <= tried[-1] * settings.unit(setting) <= settings.HIGH


@pytest.mark.parametrize("setting", [settings.MLP, settings.CNN_ADAMW], ids=lambda s: s.model)
def test_a_curve_ends_where_its_runs_end_alone(setting):
    small = setting.but(batch=16, epochs=2, images=100)
    made = [trainer(small, f"lambda={lam}", f"seed={seed}") for lam in (0, 0.1) for seed in (0, 1)]
    for one, row in zip(made, transfers.ended(made), strict=True):
        *_, last = one.train()
        assert row["data_loss"] == pytest.approx(last.metrics[1]["data_loss"], rel=1e-5)
        assert row["accuracy"] == last.metrics[1]["accuracy"]


LAW = {"images": 0.3, "epochs": 0.8, "batch": -0.1, "lr": 0.2, "parameters": -0.25}


def made_up(setting, bend=0.5, shift=0.0):
    """Losses that are a parabola in log10 D about a best D that follows LAW, the same for each seed but for its own luck."""
    parts = {**vars(setting), "parameters": settings.parameters(setting.model, setting.width)}
    best = 3.0 * 10**shift * np.prod([(parts[name] / vars(settings.MLP).get(name, 2e5)) ** b for name, b in LAW.items()])
    lams = np.array([0.0, *(10 ** np.arange(-24, 13, 1) ** 1 for _ in ())] + list(10 ** (np.arange(-24, 13) / 4)))
    with np.errstate(divide="ignore"):
        off = np.log10(lams * settings.unit(setting) / best)
    mean = np.where(lams > 0, 1.5 + bend * np.minimum(off**2, 1e3), 9.0)
    return carried.Curve(lams, mean[:, None] + np.array([-0.01, 0.0, 0.01]), settings.unit(setting)), best
