"""What people would use instead, on the same question: python tests/bench/questions.py l2|lr_lambda [word…] [words…].

l2: is l2 worth it for the MLP of `experiment=lr_lambda` (SGD, 5,000 images, 10 epochs), at which λ and lr?
lr_lambda: the same of its four settings, and which of each two is better: ten verdicts.
All have the same model, data, epochs, a margin of 0.02 nats, and 5 % for any false verdict of a question:

wdrun tune: as typed, `rounds` times.
wdrun -m, select: the shipped grid of 5 lr × 11 λ with 2, 3, 5 … seeds, until select tells all that it can be asked.
Optuna, Lightning: a TPE study a setting and one for λ = 0; then what they choose on fresh seeds, in paired t-tests.
Hydra, plain loop: that grid with one seed, in one process of the basic launcher; then the same tests.

The procedures of the last two are in tests/bench/procedures.py, their runs in tests/bench/loops.py, with PIL images or
the images in memory. SAMPLES runs of each are timed between the rounds of `wdrun tune`. The rest is counted: the two
are followed `draws` times over scores drawn from the surface and noise of the kept tables of `lr_lambda`, which are
wdrun's own runs of this model. Their seconds are those to the end of a first run and those of another, times the other
runs, each with each; so are those of select on lr_lambda, followed once. A regret is how far a chosen cell lies above
the best of the reference (the worst of four): the kept tables, or a denser sweep of two seeds, reference=DIR, that has
λ = 0 and the same λ at each lr; between its cells it is interpolated.

whole: l2 in earnest, no run counted: each tool trains all of its runs, once. quick: a try of a minute, of little work.
Needs `pip install --no-deps --target FOLDER lightning lightning-utilities torchmetrics optuna greenlet`, and FOLDER in
PYTHONPATH. The machine should have nothing else to do. Other words are for all runs, such as threads=1.
"""

import csv
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tests.bench import answers, halved, surfaces
from tests.bench.loops import QUESTION, Child, environment, launched
from tests.bench.procedures import answered, drawn, gridded, studied
from tests.bench.surfaces import KEPT, LINES, MARGIN

SEEDS = (2, 3, 5, 8, 12, 20)
SAMPLES = 6  # after a first one, which counts as start
FEW = 24  # runs of a sweep whose seconds a run are measured
TOOLS = {"lightning": "Optuna, Lightning", "hydra": "Hydra, plain loop"}
GRID = (
    f"optimizer+lr={','.join(f'sgd:{lr:g}' for lr in halved.RATES['sgd'])}",
    "decay.coupling=coupled",
    f"lambda={','.join(f'{lam:g}' for lam in halved.LAMBDAS)}",
)
SELECT = "wdrun -m, select"
PROCEDURES = {"lightning": studied, "hydra": gridded}
ROUNDS = {"l2": 5, "lr_lambda": 2}
QUICK = ("data=synthetic", "data.train_examples=1500", "data.val_size=300", "data.train_size=320", "epochs=1")
IMAGES = ("files", "memory")


class Tool(NamedTuple):
    """What it took: all seconds, and of each answer the runs, the settings (λ, lr), and the verdicts, "" where open."""

    name: str
    seconds: list
    answers: list

    def row(self, best, known):
        runs, settings, told = zip(*self.answers, strict=True)
        verdict, times = Counter(map(in_words, told)).most_common(1)[0]
        share = f" ({times} of {len(told)})" if len(told) > 1 else ""
        factor = statistics.median(self.seconds) / best
        off = spread([regret(known, chosen) for chosen in settings], ".4f")
        return (
            f"| {self.name} | {spread(runs, ',.0f')} | {spread(self.seconds, ',.0f')} | {factor:.1f} | {off} "
            f"| {verdict}{share} |"
        )


def in_words(told):
    return (told[0] or "undecided") if len(told) == 1 else f"{sum(map(bool, told))} of {len(told)} told"


def regret(known, settings):
    """Nats that the settings lie above the best of their surfaces, of the worst."""
    return max(known[k].score(lr, lam) - known[k].best for k, (lam, lr) in settings.items())


def spread(values, form):
    """Median, and range where there is one."""
    middle, low, high = (format(of(values), form) for of in (statistics.median, min, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def trained(tool, images, words, folder, world):
    """A whole procedure in earnest."""
    began = time.perf_counter()
    if tool == "hydra":
        done = answered(world, gridded, launched(words, images, folder), 0)
        return Tool(TOOLS[tool], [time.perf_counter() - began], [done])
    with Child(tool, images, words, folder) as child:

        def score(cells, seeds):
            return np.array([[child(*cell.setting, seed) for cell in cells] for seed in seeds])

        done = answered(world, studied, score, 0)
    return Tool(TOOLS[tool], [time.perf_counter() - began], [done])


# ---- wdrun


def tuned(words):
    """Seconds, and the answer of a question in earnest."""
    took, runs, asked, _ = answers.answered(["tune", *words])
    told = [row["verdict"] if row["verdict"] in answers.DECIDED else "" for row in asked]
    gains = [row for row in asked if row["against"] == "λ = 0"]
    return took, (runs, {k: (float(row["lambda"]), float(row["lr"])) for k, row in enumerate(gains)}, told)


def typed(words, folder):
    """Seconds of a command."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "wdrun", *words], cwd=folder, env=environment(), capture_output=True)
    if done.returncode not in (0, 3):  # 3: some cells of a grid diverge
        sys.exit(f"wdrun {' '.join(words)} exits {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return time.perf_counter() - began


def told_by(folder):
    """What select tells of the runs of a folder: verdicts ("" where open) and the settings (λ, lr) in LINES' order."""
    one = pd.read_csv(folder / "selection.csv")
    low, high = one["difference_low"], one["difference_high"]
    signs = np.select([high < 0, low > 0, np.maximum(-low, high) < MARGIN], ["better", "worse", "equivalent"], "")
    verdicts, places = [*map(str, signs)], [0]
    if len(one) > 1:
        ranked = pd.read_csv(folder / "leaderboard.csv")["verdict"]
        verdicts += [verdict if verdict in answers.DECIDED else "" for verdict in ranked if verdict != "best"]
        places = [list(LINES).index(line) for line in zip(one["optimizer"], one["decay.coupling"], strict=True)]
    return verdicts, dict(zip(places, zip(one["lambda_min"], one["lr_min"], strict=True), strict=True))


def swept(words):
    """Grid and select in earnest, with more seeds until all is told: seconds, and the answer."""
    took = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for seeds in SEEDS:
            took += typed(["-m", QUESTION[0], *GRID, *words, f"seed=range(0,{seeds})"], folder)
            took += typed(["select", "outputs/lr_lambda"], folder)
            verdicts, settings = told_by(Path(folder, "outputs/lr_lambda"))
            if all(verdicts):
                break
        with Path(folder, "outputs/lr_lambda/runs.csv").open(newline="") as file:
            runs = sum(1 for _ in csv.DictReader(file))
    return took, (runs, settings, verdicts)


def counted(world, seed):
    """As `swept` of the four settings, but of scores that are drawn: the answer."""
    kept = pd.read_csv(KEPT, dtype=str, keep_default_na=False).query("seed == '0'")
    of = zip(kept["optimizer"], kept["coupling"], kept["lambda"], kept["lr"], strict=True)
    cells = [world.question.cell(list(LINES).index(tuple(kind)), (float(lam), float(lr))) for *kind, lam, lr in of]
    done = kept["status"] == "done"
    score = drawn(world, seed)
    for seeds in SEEDS:
        scores = score(cells, range(seeds))
        table = pd.concat([kept.assign(seed=k, val_loss=np.where(done, y, "")) for k, y in enumerate(scores)])
        table["id"] = [f"{k:08x}" for k in range(len(table))]
        with tempfile.TemporaryDirectory() as folder:
            table.to_csv(Path(folder, "runs.csv"), index=False)
            typed(["select", "."], folder)
            verdicts, settings = told_by(Path(folder))
        if all(verdicts):
            break
    return len(table), settings, verdicts


def of_a_sweep(words):
    """Seconds of a sweep of one run, and of each further one."""
    line = ["-m", "sweep=[]", *QUESTION, *words, "lambda=0.03"]
    with tempfile.TemporaryDirectory() as folder:
        typed([*line, "name=warm", "seed=range(0,1)"], folder)  # what is read from disk once
        one = typed([*line, "name=one", "seed=range(0,1)"], folder)
        return one, (typed([*line, "name=few", f"seed=range(0,{FEW})"], folder) - one) / (FEW - 1)


def measured(name, asked, words, rounds):
    """The answers of `wdrun tune`, and [start, seconds a run …] of the others, in turn."""
    times, found = {}, []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as opened:
        keys = product(TOOLS, IMAGES)
        children = {key: opened.enter_context(Child(*key, words, folder)) for key in keys}
        for number in range(rounds):
            found.append(tuned(asked))
            print(f"wdrun tune: {found[-1]}", file=sys.stderr, flush=True)
            for _ in range(number, SAMPLES, rounds):
                for child in children.values():
                    child()
            if name == "lr_lambda":
                times.setdefault("sweep", []).append(of_a_sweep(words))
    times |= {key: [(child.start, each) for each in child.took] for key, child in children.items()}
    return Tool("wdrun tune", *map(list, zip(*found, strict=True))), times


def tools(name, asked, words, rounds, draws):
    """The tools of a question but for those that are wholly trained."""
    world = surfaces.world([surfaces.kept(*line) for line in LINES][: 1 if name == "l2" else None])
    ours, times = measured(name, asked, words, rounds)
    if name == "l2":
        took, answer = swept(words)
        found = [ours, Tool(SELECT, [took], [answer])]
    else:
        answer = counted(world, 0)
        found = [ours, Tool(SELECT, [one + (answer[0] - 1) * each for one, each in times["sweep"]], [answer])]
    for tool, images in product(TOOLS, IMAGES):
        of = [answered(world, PROCEDURES[tool], drawn(world, draw), draw) for draw in range(draws)]
        took = [start + (runs - 1) * each for start, each in times[tool, images] for runs, *_ in of]
        found.append(Tool(f"{TOOLS[tool]}, images={images}", took, of))
    return found, times


def main():
    name, *words = sys.argv[1:]
    given = dict(word.split("=", 1) for word in words if word.partition("=")[0] in ("rounds", "draws", "reference"))
    quick, whole = "quick" in words, "whole" in words
    words = [word for word in words if word.partition("=")[0] not in (*given, "quick", "whole")] + [*QUICK] * quick
    asked = [*(QUESTION if name == "l2" else QUESTION[:1]), *words]
    table = Path(given["reference"], "runs.csv") if "reference" in given else KEPT
    known = [surfaces.kept(*line, table) for line in list(LINES)[: 1 if name == "l2" else None]]
    if whole and name != "l2":
        sys.exit("whole is of l2: the loops of tests/bench/loops.py have no other setting")
    if whole:
        world = surfaces.world(known)
        with tempfile.TemporaryDirectory() as folder:
            found = [
                Tool(of, [took], [answer])
                for of, (took, answer) in (("wdrun tune", tuned(asked)), (SELECT, swept(words)))
            ]
            found += [trained(tool, IMAGES[0], words, folder, world) for tool in TOOLS]
        times = {}
    else:
        rounds = int(given.get("rounds", 1 if quick else ROUNDS[name]))
        found, times = tools(name, asked, words, rounds, int(given.get("draws", 3 if quick else 20)))
    print("| tool | runs | seconds | times wdrun tune | regret | verdict |", "|---" * 6 + "|", sep="\n")
    for tool in found:
        print(tool.row(statistics.median(found[0].seconds), known))
    for key, pairs in times.items():
        start, each = zip(*pairs, strict=True)
        title = "a sweep" if key == "sweep" else ", images=".join(key)
        first = f"to the end of a first run {spread(start, '.1f')} s"
        print(f"- {title}: {first}, another {spread(each, '.2f')} s (n = {len(each)})")


if __name__ == "__main__":
    main()
