"""A step of a user's own module, interleaved: the pure step, wdrun's eager step, a plain loop in torch.

python tests/bench/own_module.py [n]. An MLP and a small convolutional network with batch norms, batch 64, fp32, SGD
with momentum and coupled l2, one fixed batch; a sample is some steps one after another. Milliseconds a step, median
(range), and how many times as long as the plain loop's, each pair for itself.
"""

import os
import statistics
import sys
import time
from copy import deepcopy
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the wdrun command sets it
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from wdrun import devices
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.sweep.one_run import ready
from wdrun.training.step import Step, Training

WORDS = ["data=synthetic", "augment=none", "batch_size=64", "precision=fp32", "schedule=constant", "lambda=1e-3"]


class Layers(nn.Module):
    """3072-64-64-10."""

    def __init__(self):
        super().__init__()
        parts = nn.Linear(3072, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
        self.net = nn.Sequential(nn.Flatten(), *parts)

    def forward(self, x):
        return self.net(x)


class Normed(nn.Module):
    """Four convolutions of 32 channels, each with a batch norm."""

    def __init__(self):
        super().__init__()
        parts = []
        for inputs in (3, 32, 32, 32):
            parts += [nn.Conv2d(inputs, 32, 3, 2 if inputs > 3 else 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        self.net = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x):
        return self.net(x)


def samplers(name, steps):
    """For each way a function that trains some steps: milliseconds of one; all begin with the same loss."""
    eager, pure = (ready(parse(compose([*WORDS, f"model._target_=tests.bench.own_module.{name}"])).run) for _ in "12")
    assert type(eager.step) is not Step
    pure.step = Step(pure.model, pure.rule, pure.optimizer, None, None, pure.machine)
    devices.apply(eager.machine)
    x, y = next(eager.train_batches.epoch(0, 1))
    model = deepcopy(eager.model).train()
    optimizer = torch.optim.SGD(
        [
            {"params": [p for n, p in model.named_parameters() if n in eager.rule.scope()], "weight_decay": 1e-3},
            {"params": [p for n, p in model.named_parameters() if n not in eager.rule.scope()]},
        ],
        lr=eager.run.lr,
        momentum=0.9,
    )

    def plain(t):
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def ours(trainer):
        params, buffers = ({n: w.clone() for n, w in of.items()} for of in trainer._start)
        now = Training(params, trainer.optimizer.init(params), trainer.rule.init(params))
        trainer.model.train()

        def one(t):
            nonlocal now
            now, _, loss, _ = trainer.step(now, buffers, x, y, trainer.knobs(t))
            return float(loss)

        return one

    ways = {"pure": ours(pure), "eager": ours(eager), "plain": plain}
    first = {way: one(1) for way, one in ways.items()}
    assert max(first.values()) - min(first.values()) < 1e-5, first

    def sample(one):
        began = time.perf_counter()
        for t in range(2, steps + 2):
            one(t)
        return 1e3 * (time.perf_counter() - began) / steps

    return {way: lambda one=one: sample(one) for way, one in ways.items()}


def shown(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for name, steps in (("Layers", 100), ("Normed", 10)):
        ways = samplers(name, steps)
        times = {way: [] for way in ways}
        for _ in range(n):
            for way, sample in ways.items():
                times[way].append(sample())
        for way, of in times.items():
            ratios = [a / b for a, b in zip(of, times["plain"], strict=True)]
            print(f"{name}, {way}: {shown(of)} ms a step, {shown(ratios)} of the plain loop's", flush=True)


if __name__ == "__main__":
    main()
