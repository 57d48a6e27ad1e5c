"""The figures and tables of outputs/examples/, as the README shows them: python tests/bench/examples.py [FOLDER].

Asks the question and runs the experiment on real CIFAR-10 (about ten minutes on two cores) in FOLDER, or takes what is
finished there, and keeps of each its figure and tables.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "outputs" / "examples"
QUESTION = [
    "tune", "decay=l2,l1", "model=mlp", "model.hidden=[64]", "augment=none", "data.train_size=5000", "threads=1",
    "name=which_decay",
]  # fmt: skip
SHOWN = {
    "which_decay": (QUESTION, "searched-curve", ("verdict.csv", "looks.csv", "decisions.csv")),
    "lr_lambda": (["experiment=lr_lambda", "parallel=2"], "lr-lambda", ()),
}


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).absolute()
    for name, (words, figure, tables) in SHOWN.items():
        results = folder / "outputs" / name
        trained = subprocess.run(["wdrun", *words], cwd=folder, stdout=subprocess.DEVNULL)
        if trained.returncode not in (0, 3):  # 3: some cells of the lr × λ plane diverge, as they should
            sys.exit(trained.returncode)
        for command in ("select", "report"):
            subprocess.run(["wdrun", command, results], cwd=folder, check=True)
        kept = EXAMPLES / name
        kept.mkdir(parents=True, exist_ok=True)
        for table in ("runs.csv", "selection.csv", "leaderboard.csv", *tables):
            shutil.copy(results / table, kept)
        for kind in ("png", "svg"):
            shutil.copy(results / "figures" / f"{figure}.{kind}", kept)


if __name__ == "__main__":
    main()
