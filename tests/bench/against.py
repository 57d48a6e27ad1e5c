"""This checkout against another commit, turn about: `python tests/bench/against.py REV [rounds=5]`.

Training speed is the median images/s of the epochs after the first, from the timing.csv of a run; the rest is the wall
time of a whole command, from Enter to the prompt. Ratios are this checkout over REV, of each pair: above 1 is faster.
"""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "data=synthetic",
    "data.train_examples=200",
    "data.test_examples=50",
    "model=mlp",
    "epochs=1",
    "threads=1",
    "batch_size=32",
]
TRAINED = {
    "CNN, batch 64": ["data.train_size=6400", "data.val_size=500", "epochs=3"],
    "MLP 64-64, batch 128": [
        "data.val_size=500",
        "epochs=3",
        "model=mlp",
        "model.hidden=[64,64]",
        "augment=none",
        "batch_size=128",
    ],
}
TYPED = {
    "wdrun --help": ["--help"],
    "wdrun --cfg job": ["--cfg", "job"],
    "a tiny run": TINY,
    "a sweep of 8 tiny runs": ["-m", *TINY, "lambda=0,1e-2", "seed=0,1,2,3"],
    "wdrun select of these": ["select", "outputs/default"],
}


def typed(root, words, folder):
    """Type a command with the wdrun of `root`; its wall time in seconds."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), str(root / "wdrun" / "plugin")])}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "wdrun", *words], cwd=folder, env=environment, capture_output=True, check=True
    )
    return time.perf_counter() - began


def images_per_second(root, words):
    with tempfile.TemporaryDirectory() as folder:
        typed(root, words, folder)
        with next(Path(folder).glob("outputs/default/*/timing.csv")).open(newline="") as file:
            _, *rest = csv.DictReader(file)
    return statistics.median(float(row["images_per_second"]) for row in rest)


def seconds(root):
    """The wall time of each command of TYPED, one after another in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: typed(root, words, folder) for name, words in TYPED.items()}


def in_turn(rounds, measure, before):
    """Pairs (this checkout, REV), each of the two first in every other pair; a pair before them only warms up."""
    pairs = []
    for number in range(rounds + 1):
        found = {root: measure(root) for root in ((ROOT, before), (before, ROOT))[number % 2]}
        pairs.append((found[ROOT], found[before]))
    return pairs[1:]


def row(name, pairs, unit, faster):
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [faster(a, b) for a, b in pairs]
    spread = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
    print(f"| {name} | {ours:,.2f} {unit} | {theirs:,.2f} {unit} | {spread} | {len(pairs)} |", flush=True)


def main():
    revision, *more = sys.argv[1:]
    rounds = int(more[0].removeprefix("rounds=")) if more else 5
    with tempfile.TemporaryDirectory() as name:
        before = Path(name) / "before"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", before, revision], cwd=ROOT, check=True)
        try:
            print(f"| what | this checkout | {revision} | ratio | n |\n|---|---|---|---|---|")
            for work, words in TRAINED.items():
                pairs = [(images_per_second(ROOT, words), images_per_second(before, words)) for _ in range(rounds + 1)]
                row(work, pairs, "images/s", lambda ours, theirs: ours / theirs)
            found = in_turn(rounds, seconds, before)
            for command in TYPED:
                pairs = [(a[command], b[command]) for a, b in found]
                row(command, pairs, "s", lambda ours, theirs: theirs / ours)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", before], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
