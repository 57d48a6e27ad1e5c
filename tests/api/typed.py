"""How mypy sees a script that uses wdrun: a call with a wrong type is an error, which an unused `ignore` would show."""

from pathlib import Path
from typing import assert_type

import pandas as pd
from torch import nn

import wdrun
from wdrun.selection import Selection


def script() -> None:
    result = assert_type(wdrun.run("decay=l2", lam=1e-3, data__root=Path("my data")), wdrun.Result)
    assert_type(result.metrics, pd.DataFrame)
    assert_type(result.module("best"), nn.Module)
    sweep = assert_type(wdrun.sweep("decay=l2", lam=[0, 1e-3], seed=range(3)), wdrun.Sweep)
    selection = assert_type(wdrun.select(sweep, where={"lr": 0.1}), Selection)
    assert_type(wdrun.select("outputs/a", Path("outputs/b"), metric="val_accuracy"), Selection)
    assert_type(wdrun.load("outputs/a").metrics, pd.DataFrame)
    assert_type(wdrun.best(sweep, rule="1se"), list[str])
    assert_type(wdrun.report("outputs/a", out="page.html"), Path)
    assert_type(wdrun.explain("decay=l2"), str)
    wdrun.figures.decay_curve(selection).savefig("curve.pdf")
    try:
        wdrun.run(0.1)  # type: ignore[arg-type]
        wdrun.load(1)  # type: ignore[arg-type]
        result.modul()  # type: ignore[attr-defined]
    except wdrun.ConfigError as error:
        assert_type(error.exit_code, wdrun.errors.Exit)
