"""Real questions, answered: python tests/bench/answers.py lr_lambda|decay_comparison|cnn [words…].

`wdrun tune` in a folder of its own, as it is typed, on real CIFAR-10 from the cache: wall time with the start of the
command, runs, verdicts decided, and their sentences, as the README has them. decay_comparison: then also its grid of
108 runs. Further words are added to both lines. The machine should have nothing else to do.
"""

import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

QUESTIONS = {
    "lr_lambda": [["tune", "experiment=lr_lambda"]],
    "decay_comparison": [["tune", "experiment=decay_comparison"], ["-m", "experiment=decay_comparison"]],
    "cnn": [["tune", "decay=l2", "time=40m"]],
}
DECIDED = ("better", "worse", "equivalent")


def answered(words):
    """Seconds, runs, and of a question its rows of verdict.csv and what was said of them."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        line = [sys.executable, "-m", "wdrun", *words]
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True)
        took = time.perf_counter() - started
        if done.returncode not in (0, 3):  # 3: some cells of a grid diverge
            sys.exit(f"{' '.join(words)} exits {done.returncode}:\n{done.stderr[-2000:]}")
        (table,) = Path(folder).glob("outputs/*/runs.csv")
        with table.open(newline="") as file:
            runs = sum(1 for _ in csv.DictReader(file))
    asked = [row["question"] for row in map(json.loads, done.stdout.splitlines()) if "question" in row]
    return took, runs, asked, sentences(done.stderr)


def sentences(said):
    """What was said at the end, after the counts of runs: a line a question, how sure they are, what is left."""
    lines = said.splitlines()
    counts = [place for place, line in enumerate(lines) if line.startswith("tune ")]
    return lines[counts[-1] + 1 :] if counts else []


def main():
    name, *words = sys.argv[1:]
    print("| command | wall time | runs | decided |\n|---|---|---|---|")
    told = []
    for line in QUESTIONS[name]:
        took, runs, asked, said = answered([*line, *words])
        decided = f"{sum(row['verdict'] in DECIDED for row in asked)} of {len(asked)}" if asked else ""
        print(f"| `wdrun {' '.join([*line, *words])}` | {took:.0f} s | {runs} | {decided} |", flush=True)
        told += said
    print("", *(f"- {line}" for line in told), sep="\n")


if __name__ == "__main__":
    main()
