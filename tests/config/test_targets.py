"""The user's code that a config imports is said aloud, once, and found in the current folder."""

import sys

import pytest

from wdrun.config import experiments
from wdrun.config.targets import announce


@pytest.fixture
def announced(here, monkeypatch, capsys):
    """Announce a sweep's code where only another folder is searched: what is said, and where is searched then."""

    def call(*words, times=1):
        jobs = experiments.jobs(["data=synthetic", *words], multirun=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", ["elsewhere"])
            for _ in range(times):
                announce(jobs)
            return capsys.readouterr().err, sys.path

    return call


def test_our_own_code_is_nothing_to_announce(announced):
    assert announced("decay=none,l2,l1") == ("", ["elsewhere"])


def test_each_target_is_announced_once_and_the_folder_is_searched_first(announced, here):
    said, searched = announced("model._target_=mine.Net", "decay._target_=mine.Own", "seed=0,1", "lambda=1,2")
    assert said == "imports mine.Own (as decay)\nimports mine.Net (as model)\n"
    assert searched == [str(here), "elsewhere"]


def test_the_folder_is_added_once(announced, here):
    assert announced("model._target_=mine.Net", times=2)[1] == [str(here), "elsewhere"]
