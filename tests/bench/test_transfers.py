"""The bench of transfers: its settings and totals, its runs against the serial trainer, its rules on made-up curves."""

import sys

import numpy as np
import pandas as pd
import pytest

from tests.bench import carried, settings, transfers
from wdrun import data, devices
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.training.trainer import Trainer
from wdrun.tuning.transfer import EXPONENTS, SCATTER

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
    totals = [lam * settings.unit(setting) for lam in tried]
    assert settings.LOW <= totals[1] < totals[-1] <= settings.HIGH
    assert totals[0] == 0


@pytest.mark.parametrize("setting", [settings.MLP, settings.CNN_ADAMW], ids=lambda s: s.model)
def test_a_curve_ends_where_its_runs_end_alone(setting):
    small = setting.but(batch=16, epochs=2, images=100)
    made = [trainer(small, f"lambda={lam}", f"seed={seed}") for lam in (0, 0.1) for seed in (0, 1)]
    for one, row in zip(made, transfers.ended(made), strict=True):
        *_, last = one.train()
        assert row["data_loss"] == pytest.approx(last.metrics[1]["data_loss"], rel=1e-5)
        assert row["accuracy"] == last.metrics[1]["accuracy"]


LAW = {"images": 0.3, "epochs": 0.8, "batch": -0.1, "lr": 0.2, "parameters": -0.25}


def best_of(setting):
    """The best D of a setting in a world that follows LAW; 1 for the first."""
    first, now = ({**vars(s), "parameters": settings.parameters(s.model, s.width)} for s in (settings.MLP, setting))
    return np.prod([(now[name] / first[name]) ** b for name, b in LAW.items()])


def write(folder):
    """A curves.csv whose losses are parabolas in log10 D; each seed has its own luck."""
    rows = []
    for setting in settings.SETTINGS:
        for lam in settings.lambdas(setting):
            total = lam * settings.unit(setting)
            loss = 1.5 + 0.5 * np.log10(max(total, 1e-3) / best_of(setting)) ** 2
            rows += [(setting.name, setting.lr, lam, total, k, loss + 0.01 * k, 0.4, 0.1) for k in range(3)]
    folder.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=transfers.COLUMNS).to_csv(folder / "curves.csv", index=False)


def said(capsys, monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["transfers.py", *map(str, words)])
    transfers.main()
    return capsys.readouterr().out


def test_rules_and_exponents_of_a_world_with_a_law(tmp_path, capsys, monkeypatch):
    """The law is found again, and where it holds the power law of other transfers costs nothing."""
    write(tmp_path)
    assert "108 predictions of 36 transfers" in said(capsys, monkeypatch, "predict", tmp_path)
    curves, made = transfers.read(tmp_path), settings.transfers()
    for setting in settings.SETTINGS:
        assert curves[setting.name].best == pytest.approx(best_of(setting), rel=1e-9)
        assert curves[setting.name].lowest == pytest.approx(1.51, abs=1e-6)
    law = carried.fitted(made, curves)
    assert law.exponents == pytest.approx(list(LAW.values()), abs=1e-9)
    assert max(*law.errors, law.spread) < 1e-9
    assert law.n == 36
    best = {setting.name: best_of(setting) for setting in settings.SETTINGS}
    for one in carried.outcomes(made, curves, carried.predicted(made, curves)):
        off = np.log10(one.total / best[one.transfer.target])
        assert one.off == pytest.approx(off, abs=1e-9)
        assert one.rule != carried.POWER or abs(off) < 1e-9
        grid = curves[one.transfer.target]
        if grid.lams[1] <= one.total / grid.unit <= grid.lams[-1]:
            assert one.regret == pytest.approx(0.5 * off**2, abs=1e-6)
        else:
            assert one.regret > carried.MARGIN
    lines = said(capsys, monkeypatch, "told", tmp_path).splitlines()
    assert any(line.startswith("| power law | 36 | 36 | 100% (90% to 100%) |") for line in lines)
    assert any(
        line.startswith("| all | 0.30 ± 0.00 | 0.80 ± 0.00 | -0.10 ± 0.00 | 0.20 ± 0.00 | -0.25") for line in lines
    )


def test_the_power_law_does_not_know_its_target():
    """Another curve at a target changes the predictions of all transfers but those to it."""
    grid = 10 ** (np.arange(-8, 9) / 4)

    def curve(best):
        return carried.Curve(grid, (np.log10(grid / best) ** 2)[:, None], 1.0)

    def change(**ratios):
        return dict.fromkeys((*carried.EXPONENTS, "unit"), 1.0) | ratios

    one = carried.Transfer("a", "b", "epochs", change(epochs=4.0))
    other = carried.Transfer("a", "c", "epochs", change(epochs=2.0))
    back = carried.Transfer("b", "c", "epochs", change(epochs=0.5))
    for law in (2.0, 3.0):
        curves = {"a": curve(1.0), "b": curve(law), "c": curve(2.0)}
        assert carried.by_power_law(one, [one, other, back], curves) == pytest.approx(4.0, rel=1e-6)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [([3.0, 2.0, 1.0, 2.0, 5.0], 20.0), ([0.5, 2.0, 1.0, 2.0, 3.0], None), ([5.0, 1.0, 2.0, 3.0, 4.0], None),
     ([5.0, 4.0, 3.0, 2.0, 1.0], None), ([5.0, 4.0, 1.0, 4.0, np.nan], 20.0)],
)  # fmt: skip
def test_a_curve_without_a_lowest_inside_has_no_best(losses, expected):
    found = carried.Curve(np.array([0.0, 1.0, 10.0, 100.0, 1000.0]), np.array(losses)[:, None], 2.0)
    assert found.best == (expected and pytest.approx(expected))
    assert found.open == (losses[-1] == min(losses))


def test_what_cannot_be_told_is_said_and_not_counted():
    """A source that λ = 0 suits best carries nothing; a target that still falls at its end tells no regret."""
    lams = np.array([0.0, *10 ** (np.arange(-4, 5) / 4)])
    losses = {"good": np.log10(np.maximum(lams, 1e-3)) ** 2, "none": lams, "open": -lams}
    curves = {name: carried.Curve(lams, of[:, None], 1.0) for name, of in losses.items()}
    same = dict.fromkeys((*carried.EXPONENTS, "unit"), 1.0)
    made = [carried.Transfer(a, b, "epochs", same) for a, b in (("none", "good"), ("good", "open"), ("good", "none"))]
    totals = carried.predicted(made, curves)
    assert totals[0] == {}
    assert {one.transfer.target for one in carried.outcomes(made, curves, totals)} == {"none"}
    lines = [*carried.told(made, curves, totals)]
    assert "1 has no prediction: λ = 0 or an end of the curve is the best of none" in lines
    assert "2 is not counted: the best lies beyond the curve of open" in lines


def test_the_interval_of_a_share_is_wilsons():
    """Of 8 in 10, and of all: as in Brown, Cai & DasGupta 2001, formula 4."""
    assert carried.wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert carried.wilson(36, 36) == pytest.approx((0.9036, 1.0), abs=1e-4)


def test_runs_are_kept_and_not_made_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(transfers, "SOURCES", settings.SOURCES[:1])
    monkeypatch.setattr(transfers, "SETTINGS", [settings.SOURCES[0], settings.SETTINGS[-1].but(images=5000)])
    out = said(capsys, monkeypatch, "run", "sources", tmp_path, "threads=1", "--quick")
    assert f"{settings.SOURCES[0].name}: 6 runs" in out
    kept = (tmp_path / "curves.csv").read_text()
    assert kept.splitlines()[0] == ",".join(transfers.COLUMNS)
    assert len(kept.splitlines()) == 7
    assert "6 runs" not in said(capsys, monkeypatch, "run", "sources", tmp_path, "--quick")
    assert (tmp_path / "curves.csv").read_text() == kept
    monkeypatch.setattr(transfers, "curve", lambda *of: 1 / 0)
    with pytest.raises(SystemExit, match="1 settings failed"):
        said(capsys, monkeypatch, "run", "targets", tmp_path, "--quick")
    assert "left out" in said(capsys, monkeypatch, "run", "targets", tmp_path, "--seconds=1")


def test_the_rule_of_wdrun_transfer_is_the_fit_of_the_kept_curves():
    curves, pairs = transfers.read(transfers.KEPT), transfers.transfers()
    values, errors, *_ = carried.fitted(pairs, curves)
    shipped = dict(zip(carried.EXPONENTS, zip(values.round(2), errors.round(2), strict=True), strict=True))
    assert shipped == EXPONENTS
    found = carried.outcomes(pairs, curves, carried.predicted(pairs, curves))
    off = [one.off for one in found if one.rule == carried.POWER and np.isfinite(one.off)]
    assert round(float(np.std(off, ddof=1)), 2) == SCATTER
