"""Fused runs against the same runs one after another: python tests/bench/fused.py [n] [runs].

Seconds of an epoch's training steps (not evaluation), interleaved, medians and range of n ratios, both after a warm-up
epoch. On a CPU fusing is no gain and `wdrun` does not use it; this says by how much. On a GPU see gpu.py.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

from wdrun import devices
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.sweep.one_run import ready
from wdrun.training import fused

WORK = {
    "mlp": ["model=mlp", "model.hidden=[64,64]", "batch_size=128", "data.train_examples=3200"],
    "cnn": ["model=cnn", "batch_size=64", "data.train_examples=800"],
}


def trainers_of(name, runs, *more):
    words = [*WORK[name], "data=synthetic", "data.val_size=100", "data.test_examples=100", "epochs=2", *more]
    base = [f"lambda={1e-4 * r}" for r in range(runs)]
    return [ready(parse(compose([*words, word])).run) for word in base]


def alone(trainers):
    """Seconds of training of the runs' second epoch, one run after another."""
    return sum(list(t.train())[1].timing[0]["train_seconds"] for t in trainers)


def together(trainers, way):
    """The same, fused: the shares of a group sum to its time."""
    epochs = [e for _, e in fused.FusedTrainer(trainers, way).train() if e.number == 2]
    return sum(e.timing[0]["train_seconds"] for e in epochs)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 8
    for name in WORK:
        for precision in ("fp32", "auto"):
            trainers = trainers_of(name, runs, f"precision={precision}")
            devices.apply(trainers[0].machine)
            ways = fused.forward.ways(trainers[0].model)
            ratios = {way: [] for way in ways}
            started = time.perf_counter()
            for _ in range(n):
                plain = alone(trainers)
                for way in ways:
                    ratios[way].append(plain / together(trainers, way))
            kind = trainers[0].machine.precision
            for way, found in ratios.items():
                print(
                    f"{name} {kind}, {runs} runs, {way}: {statistics.median(found):.2f}× serial "
                    f"({min(found):.2f} to {max(found):.2f}), n = {n}, {time.perf_counter() - started:.0f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
