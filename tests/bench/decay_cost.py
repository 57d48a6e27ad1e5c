"""Cost of a decay per training step against decay=none, interleaved: python tests/bench/decay_cost.py [n].

MLP 3072-64-64-10, batch 128, SGD with momentum, one fixed batch; each sample is 100 steps; the clock includes the
forward and backward pass, the decay and the update.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the wdrun command sets it

from wdrun import devices
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.sweep.one_run import ready
from wdrun.training.step import Training

STEPS = 100


def sampler(decay):
    """A function that trains 100 steps and returns their seconds."""
    words = ["data=synthetic", "model=mlp", "batch_size=128", "augment=none", f"decay={decay}"]
    trainer = ready(parse(compose(words)).run)
    devices.apply(trainer.machine)
    x, y = next(trainer.train_batches.epoch(0, 1))
    params = {n: p.detach() for n, p in trainer.model.named_parameters()}
    start = Training(params, trainer.optimizer.init(params), trainer.rule.init(params))

    def sample():
        now, began = start, time.perf_counter()
        for t in range(1, STEPS + 1):
            now, _, _, _ = trainer.step(now, {}, x, y, trainer.knobs(t))
        return time.perf_counter() - began

    return sample


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    none = sampler("none")
    for name in option_names("decay"):
        if name in ("none", "swd"):  # swd needs an optimizer with second moments
            continue
        try:
            decay = sampler(name)
        except Exception as error:
            print(f"{name}: {error}")
            continue
        decay(), none()
        ratios, micro = [], []
        for _ in range(n):
            a, b = decay(), none()
            ratios.append(a / b)
            micro.append(1e6 * b / STEPS)
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        base = statistics.median(micro)
        print(
            f"{name}: {middle:.2f} ({low:.2f} to {high:.2f}) of decay=none, whose step takes {base:.0f} µs", flush=True
        )


if __name__ == "__main__":
    main()
