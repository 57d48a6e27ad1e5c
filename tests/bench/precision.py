"""bf16 against fp32 by where runs end, over paired seeds: python tests/bench/precision.py [n] [words…].

n seeds in both precisions, as one sweep of `wdrun` in a folder of its own; a pair has the same initial weights, batches
and augmentation. Prints the mean difference bf16 − fp32 of each score with its 95 % t-interval, and how much single
seeds differ. Without words: the CNN, flip and crop, 10,000 training images of CIFAR-10, 5 epochs.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from scipy import stats

WORK = ["model=cnn", "augment=flip_crop", "data.train_size=10000", "epochs=5"]
SCORES = ["val_accuracy", "val_loss", "test_accuracy", "test_loss"]


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    words = sys.argv[2:] or WORK
    with tempfile.TemporaryDirectory() as folder:
        line = ["-m", "name=precision", "precision=fp32,bf16", f"seed=range(0,{n})", *words]
        subprocess.run([sys.executable, "-m", "wdrun", *line], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        runs = pd.read_csv(Path(folder, "outputs/precision/runs.csv"))
    print(f"{' '.join(words)}: n = {n} seeds, {runs.status.value_counts().to_dict()}")
    for score in SCORES:
        table = runs.pivot(index="seed", columns="precision_used", values=score)
        gap = table["bf16"] - table["fp32"]
        low, high = stats.t.interval(0.95, n - 1, loc=gap.mean(), scale=stats.sem(gap))
        print(
            f"{score}: fp32 {table['fp32'].mean():.4f} (sd over seeds {table['fp32'].std():.4f}), "
            f"bf16 − fp32 {gap.mean():+.4f}, 95 % [{low:+.4f}, {high:+.4f}]"
        )


if __name__ == "__main__":
    main()
