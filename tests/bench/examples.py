"""The figures and tables of outputs/examples/, as the README shows them: python tests/bench/examples.py [FOLDER].

Runs the two experiments on real CIFAR-10 (about ten minutes on two cores) in FOLDER, or takes what is finished there,
and keeps of each its figure, runs.csv, selection.csv and leaderboard.csv.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "outputs" / "examples"
SHOWN = {"decay_curve": "decay-curve", "lr_lambda": "lr-lambda"}


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()).absolute()
    for name, figure in SHOWN.items():
        results = folder / "outputs" / name
        command = ["wdrun", f"experiment={name}", "parallel=2"]
        trained = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL)
        if trained.returncode not in (0, 3):  # 3: some cells of the lr × λ plane diverge, as they should
            sys.exit(trained.returncode)
        for command in ("select", "report"):
            subprocess.run(["wdrun", command, results], cwd=folder, check=True)
        kept = EXAMPLES / name
        kept.mkdir(parents=True, exist_ok=True)
        for table in ("runs.csv", "selection.csv", "leaderboard.csv", f"figures/{figure}.png", f"figures/{figure}.svg"):
            shutil.copy(results / table, kept)


if __name__ == "__main__":
    main()
