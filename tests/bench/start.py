"""Seconds from Enter to the first training step against `import torch`, interleaved: python tests/bench/start.py [n].

The command is `wdrun` with its defaults (CNN, CIFAR-10 from the cache) in an empty folder; its process ends as soon as
the first step was taken.
"""

import statistics
import subprocess
import sys
import tempfile
import time

IMPORT = "import torch"
START = """
import os, sys
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
sys.argv = ["wdrun", *sys.argv[1:]]
import builtins
find = builtins.__import__
from wdrun import cli
def stop():
    from wdrun.training.step import Step
    step = Step.__call__
    def first(*given):
        step(*given)
        os._exit(0)
    Step.__call__ = first
def watched(name, *rest):
    module = find(name, *rest)
    if "wdrun.sweep.one_run" in sys.modules and hasattr(sys.modules["wdrun.sweep.one_run"], "train"):
        builtins.__import__ = find
        stop()
    return module
builtins.__import__ = watched
cli.main()
"""


def seconds(code, *words):
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *words], cwd=folder, check=True, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    pairs = [(seconds(START), seconds(IMPORT)) for _ in range(n + 1)][1:]
    extra = [a - b for a, b in pairs]
    ours, torch = (statistics.median(column) for column in zip(*pairs, strict=True))
    low, middle, high = min(extra), statistics.median(extra), max(extra)
    print(f"first step {ours:.2f} s, torch {torch:.2f} s: {middle:+.2f} s ({low:+.2f} to {high:+.2f}), n = {n}")


if __name__ == "__main__":
    main()
