"""Peak memory of a run beyond that of `import torch`, interleaved: python tests/bench/memory.py [n].

Each of n rounds runs one epoch of the default CNN and of the MLP on real CIFAR-10, as `wdrun` commands in an empty
folder, and `import torch`; the system tells the largest resident size of each process. 184 MB is the data set as bytes.
"""

import os
import statistics
import subprocess
import sys
import tempfile

DATA_MB = 60_000 * 3072 / 1e6
WORK = {
    "cnn": ["-m", "wdrun", "epochs=1"],
    "mlp": ["-m", "wdrun", "model=mlp", "augment=none", "batch_size=128", "epochs=1"],
    "mlp, flip_crop": ["-m", "wdrun", "model=mlp", "batch_size=128", "epochs=1"],
}


def peak(words):
    """Largest resident size of a python process with these words, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, words
    return usage.ru_maxrss * 1024 / 1e6


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rounds = [
        {"torch": peak(["-c", "import torch"])} | {name: peak(words) for name, words in WORK.items()} for _ in range(n)
    ]
    for name in WORK:
        more = [r[name] - r["torch"] for r in rounds]
        low, middle, high = (f(more) / DATA_MB for f in (min, statistics.median, max))
        print(
            f"{name}: {statistics.median(r[name] for r in rounds):.0f} MB, torch "
            f"{statistics.median(r['torch'] for r in rounds):.0f} MB: {statistics.median(more):.0f} MB more = "
            f"{middle:.2f} ({low:.2f} to {high:.2f}) of the data set, n = {n}"
        )


if __name__ == "__main__":
    main()
