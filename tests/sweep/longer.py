"""Runs of a few epochs and longer ones that may go on from their ends, and what to hold these against."""

import csv
import os
import signal
import sys
from itertools import takewhile

from tests.runs import TINY, changed
from wdrun.config import experiments
from wdrun.sweep.execute import execute
from wdrun.training.trainer import Trainer

LAYERS = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.fc = nn.Linear(3072, 8)
        self.drop = nn.Dropout(0.3)
        self.norm = nn.BatchNorm1d(8)
        self.out = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.out(self.drop(torch.relu(self.norm(self.fc(x.flatten(1))))))
"""
SAME = ("run.csv", "metrics.csv", "layers.csv", "histograms.csv", "last.safetensors", "best.safetensors")
CONSTANT = "schedule=constant"


def begin_in(tmp_path, monkeypatch):
    """Make it the current folder, with a network in it; words of a run of two epochs that one of more may follow."""
    (tmp_path / "longer_net.py").write_text(LAYERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "longer_net", raising=False)
    return changed(TINY, CONSTANT, "epochs=2")


def swept(words, *more):
    """The folders of a sweep, whose runs all end."""
    outcomes = execute(*experiments.sweep(experiments.lines(changed(words, *more), multirun=True)))
    assert {outcome.status for outcome in outcomes} == {"done"}
    return [outcome.directory for outcome in outcomes]


def trained(words, *more):
    """The folder of one run."""
    (directory,) = swept(words, *more)
    return directory


def taken_over(directory, other):
    """How many first epochs of a run are those of another, to the seconds that they took."""
    tables = []
    for place in (directory, other):
        with (place / "timing.csv").open(newline="") as file:
            tables.append([row["train_seconds"] for row in csv.DictReader(file)])
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(*tables, strict=False)))


def assert_same(directory, whole):
    for name in SAME:
        assert (directory / name).read_bytes() == (whole / name).read_bytes(), name


def stops_in(monkeypatch, number):
    """Let the process be told to stop in the first step of this epoch."""
    epoch = Trainer._epoch

    def stopping(trainer, n, *arguments):
        if n == number:
            os.kill(os.getpid(), signal.SIGTERM)
        return epoch(trainer, n, *arguments)

    monkeypatch.setattr(Trainer, "_epoch", stopping)
