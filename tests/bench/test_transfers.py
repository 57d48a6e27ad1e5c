"""The bench of transfers: its settings and totals, its runs against the serial trainer, its rules on made-up curves."""

import pytest

from tests.bench import settings, transfers
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
