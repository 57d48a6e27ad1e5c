"""The user's code that a config imports is said aloud, once, and found in the current folder."""

import sys

from wdrun.config import experiments
from wdrun.config.targets import announce


def announced(monkeypatch, *words):
    monkeypatch.setattr(sys, "path", ["elsewhere"])
    announce(experiments.jobs(["data=synthetic", *words], multirun=True))
    return sys.path


def test_our_own_code_is_nothing_to_announce(here, monkeypatch, capsys):
    assert announced(monkeypatch, "decay=none,l2,l1") == ["elsewhere"]
    assert capsys.readouterr().err == ""


def test_each_target_is_announced_once_and_the_folder_is_searched_first(here, monkeypatch, capsys):
    words = ("model._target_=mine.Net", "decay._target_=mine.Own", "seed=0,1", "lambda=1,2")
    assert announced(monkeypatch, *words) == [str(here), "elsewhere"]
    assert capsys.readouterr().err == "imports mine.Own (as decay)\nimports mine.Net (as model)\n"
    monkeypatch.setattr(sys, "path", [str(here)])
    announce(experiments.jobs(["data=synthetic", "model._target_=mine.Net"], multirun=False))
    assert sys.path == [str(here)]
