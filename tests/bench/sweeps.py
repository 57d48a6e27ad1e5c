"""Seconds of 32 MLP runs three ways, interleaved: python tests/bench/sweeps.py [n] [N] [words… | long].

As 32 `wdrun` commands (8 of them timed, times 4), as one sweep, and as one sweep with parallel=N; every process starts
in an empty folder and its imports, loading and workers are in its time. 32 runs on real CIFAR-10 (5,000 training
images, 5 epochs) unless words say otherwise; n rounds after one to warm up. `long`: as many runs on all its images,
without augmentation, and no single commands, so that starting the workers weighs little.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from wdrun.config import experiments

WORK = ["model=mlp", "data.train_size=5000", "epochs=5", "batch_size=128", "seed=range(0,8)", "lambda=0,1e-4,1e-3,1e-2"]
LONG = ["model=mlp", "augment=none", "epochs=3", "batch_size=128", "seed=range(0,8)", "lambda=0,1e-4,1e-3,1e-2"]
EACH = 4  # every so manieth run is timed as a command of its own


def seconds(*commands):
    """Of these commands one after another, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for words in commands:
            subprocess.run([sys.executable, "-m", "wdrun", *words], cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - started


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    words = sys.argv[3:]
    given = {word.partition("=")[0] for word in words}
    alone = words != ["long"]
    work = [*(word for word in WORK if word.partition("=")[0] not in given), *words] if alone else LONG
    runs = experiments.lines(work, True)
    some = runs[::EACH]
    ways = {f"{len(runs)} commands": lambda: seconds(*some) * len(runs) / len(some)} if alone else {}
    ways |= {
        "parallel=1": lambda: seconds(["-m", *work]),
        f"parallel={many}": lambda: seconds(["-m", *work, f"parallel={many}"]),
    }
    rounds = []
    for i in range(n + 1):
        rounds += [{name: way() for name, way in ways.items()}] if i else []
        if not i:
            seconds(some[0], ["-m", *work])
        print(rounds[-1:], file=sys.stderr, flush=True)
    print(f"{len(os.sched_getaffinity(0))} CPUs, {len(runs)} runs, n = {n}")
    for name in ways:
        took = statistics.median(r[name] for r in rounds)
        ratios = [r[name] / r[f"parallel={many}"] for r in rounds]
        against = [r[name] / r["parallel=1"] for r in rounds]
        print(f"{name}: {took:.1f} s, {shown(against)} of parallel=1, {shown(ratios)} of parallel={many}")


def shown(ratios):
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
