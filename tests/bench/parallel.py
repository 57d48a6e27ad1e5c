"""Seconds of a sweep of MLP runs, parallel=N against 1, interleaved: python tests/bench/parallel.py [n] [N] [words…].

32 runs on real CIFAR-10 (5,000 training images, 5 epochs) unless words say otherwise, each sweep a `wdrun` process of
its own into an empty folder; the clock includes imports, loading and the start of the workers. One warm-up each.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

WORK = ["model=mlp", "data.train_size=5000", "epochs=5", "batch_size=128", "seed=range(0,8)", "lambda=0,1e-4,1e-3,1e-2"]


def seconds(parallel, words):
    """Of one whole sweep; words take the place of the work's own."""
    given = {word.partition("=")[0] for word in words}
    work = [word for word in WORK if word.partition("=")[0] not in given]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "wdrun", "-m", *work, *words, f"parallel={parallel}"]
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return time.perf_counter() - started


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    words = sys.argv[3:]
    pairs = []
    for i in range(n + 1):
        # alternately first, so that neither always meets the warmer machine
        order = (1, many) if i % 2 else (many, 1)
        took = {parallel: seconds(parallel, words) for parallel in order}
        pairs += [(took[1], took[many])] if i else []
        print(f"parallel=1 {took[1]:.1f} s, parallel={many} {took[many]:.1f} s", file=sys.stderr, flush=True)
    ratios = [a / b for a, b in pairs]
    one, several = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(
        f"{len(os.sched_getaffinity(0))} CPUs, n = {n}: parallel=1 {one:.1f} s, parallel={many} {several:.1f} s, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
