"""Does the best λ travel? Transfers of λ against a dense curve at each target: python tests/bench/transfers.py ACTION.

Each setting (tests/bench/settings.py) has a dense curve: every quarter of a decade of λ with D in LOW … HIGH, λ = 0,
and some seeds, all of them trained as one computation.

list: the settings with their λ, the transfers, and how long they take.
run [sources|targets] FOLDER [words …] [--quick] [--seconds=250]: trains what FOLDER/curves.csv does not have yet, each
    setting's rows written as soon as it is done; no setting is begun that would end after so many seconds. All
    settings, or only the sources of transfers, or only the others; words such as data.root=PATH hold for each. Real
    CIFAR-10, a GPU where there is one; --quick is a self-test.
predict FOLDER: FOLDER/predictions.csv, the λ of each transfer by each rule, from the curve of its source alone.
told FOLDER: what the predictions cost at their targets, and the power law (tests/bench/carried.py).
"""

import argparse
import csv
import gc
import math
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import pandas as pd
import torch

from tests.bench.carried import Curve, predicted, told
from tests.bench.settings import SETTINGS, SOURCES, TRANSFERS, lambdas, seconds, transfers, unit
from wdrun import data, devices
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.training.fused import forward, measure
from wdrun.training.fused.stack import Stack
from wdrun.training.trainer import Trainer

KEPT = Path(__file__).parents[2] / "outputs/examples/transfers"  # of the run that tests/bench/README.md tells of
COLUMNS = ("setting", "lr", "lambda", "total_decay", "seed", "val_loss", "val_accuracy", "seconds")
QUICK = ["data=synthetic", "data.train_examples=1200", "data.val_size=200", "data.test_examples=100"]


def smaller(setting):
    """A setting with as many of everything but images and epochs, for a self-test on a CPU."""
    return setting.but(batch=setting.batch // 16, epochs=1, images=setting.images // 50)


class Late(Exception):
    """The time is over."""


def curve(setting, device, quick, more, until):
    """The rows of a setting's λ × seeds, trained as one computation; `more` words hold for each. Late at `until`."""
    started = time.perf_counter()
    words = [*smaller(setting).words, *QUICK] if quick else setting.words
    run = parse(compose([*words, *more])).run
    machine = devices.resolve(device, "auto", "auto")
    devices.apply(machine)
    tried = lambdas(setting)[::4] if quick else lambdas(setting)
    source, seeds = data.load(run.data, 0), range(2 if quick else setting.seeds)
    by_seed = [Trainer(replace(run, seed=seed), source, machine) for seed in seeds]
    made = [trainer.at(lam) for trainer in by_seed for lam in tried]

    def tick(step):
        if time.perf_counter() > until:
            raise Late

    ends = [(row["data_loss"], row["accuracy"]) for row in ended(made, tick)]
    each = f"{(time.perf_counter() - started) / len(made):.4f}"
    knobs = [(setting.name, run.lr, t.run.lam, t.run.lam * unit(setting), t.run.seed) for t in made]
    return [(*knob, *(math.nan if v is None else v for v in end), each) for knob, end in zip(knobs, ends, strict=True)]


def ended(made, tick=lambda step: None):
    """The val row where each of these trainers' runs ends, as FusedTrainer has it; evaluated there alone."""
    way = forward.ways(made[0].model)[0] if made[0].machine.device.type == "cuda" else "vmap"
    stack = Stack(made, [t.standing(None).state for t in made], way)
    epochs = made[0].run.epochs
    for number in range(1, epochs + 1):
        stack.epoch(number, tick)
    return measure.evaluated(stack.lift, "val", epochs, stack.training.params, stack.buffers)


def run(folder, which, more, quick, limit):
    """Train what is missing within `limit` seconds: the sources, whose predictions are then written, and the others."""
    started, failed = time.perf_counter(), []
    folder.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    limit = math.inf if quick else limit
    if device == "cpu" and not quick:
        print("no CUDA device here: this takes hours; --quick is a self-test", flush=True)
    print(f"torch {torch.__version__}, {devices.describe(devices.resolve(device, 'auto', 'auto'))}", flush=True)
    if which != "targets":
        failed += train(folder, SOURCES, device, quick, more, started, limit)
        try:
            predict(folder)
        except Exception as error:  # it can be made again from the same table
            failed.append(f"predict: {type(error).__name__}: {error}")
    if which != "sources":
        failed += train(folder, [s for s in SETTINGS if s not in SOURCES], device, quick, more, started, limit)
    if failed:
        raise SystemExit("\n".join([f"{len(failed)} settings failed", *failed]))


def train(folder, settings, device, quick, more, started, limit):
    """Train those of the settings that FOLDER/curves.csv does not have; what failed, in words."""
    path, failed = folder / "curves.csv", []
    if not path.is_file():
        path.write_text(",".join(COLUMNS) + "\n")
    known = {*pd.read_csv(path).setting}
    for setting in settings:
        spent, expected = time.perf_counter() - started, seconds(setting)
        if setting.name in known:
            continue
        if spent + expected > limit:
            print(f"{setting.name}: left out, at {spent:.0f} of {limit:.0f} s", flush=True)
            continue
        try:
            rows = curve(setting, device, quick, more, started + limit + 10)
        except Exception as error:  # a setting that fails must not cost the others
            failed.append(f"{setting.name}: {type(error).__name__}: {error}")
            print(failed[-1], flush=True)
            continue
        finally:
            gc.collect()  # before the next setting takes its memory
        with path.open("a", newline="") as lines:
            csv.writer(lines).writerows(rows)
        now = time.perf_counter() - started
        took = f"{now - spent:.1f} s ({expected:.1f} expected), {now:.0f} s in all"
        print(f"{setting.name}: {len(rows)} runs, best {min(row[5] for row in rows):.4f}, {took}", flush=True)
    return failed


def read(folder):
    """The curve of each setting in FOLDER/curves.csv."""
    table, named = pd.read_csv(folder / "curves.csv"), {setting.name: setting for setting in SETTINGS}
    grids = {
        name: rows.pivot(index="lambda", columns="seed", values="val_loss") for name, rows in table.groupby("setting")
    }
    return {
        name: Curve(grid.index.to_numpy(float), grid.to_numpy(float), unit(named[name])) for name, grid in grids.items()
    }


def predict(folder):
    """Write predictions.csv, of the sources that have a curve."""
    units, lines = {setting.name: unit(setting) for setting in SETTINGS}, []
    for number, (transfer, totals) in enumerate(zip(transfers(), predicted(transfers(), read(folder)), strict=True), 1):
        lines += [
            (number, transfer.source, transfer.target, rule, total, total / units[transfer.target])
            for rule, total in totals.items()
        ]
    columns = ["transfer", "source", "target", "rule", "total_decay", "lambda"]
    pd.DataFrame(lines, columns=columns).to_csv(folder / "predictions.csv", index=False)
    print(f"{folder / 'predictions.csv'}: {len(lines)} predictions of {len({line[0] for line in lines})} transfers")


def tell(folder):
    """Print what the predictions of predictions.csv cost, and the power law."""
    curves, made = read(folder), pd.read_csv(folder / "predictions.csv")
    rows = [made[made.transfer == number] for number in range(1, len(TRANSFERS) + 1)]
    totals = [dict(zip(of.rule, of.total_decay, strict=True)) for of in rows]
    print(*told(transfers(), curves, totals), sep="\n")


def show():
    print(f"{len(SETTINGS)} settings, {len(SOURCES)} of them sources:")
    for setting in SETTINGS:
        grid, scale = lambdas(setting), unit(setting)
        spans = f"0 and {grid[1]:.3g} to {grid[-1]:.3g} (D {grid[1] * scale:.2g} to {grid[-1] * scale:.2g})"
        print(f"{setting.name}: {len(grid)} λ, {spans} × {setting.seeds} seeds, {seconds(setting):.1f} s")
    print(f"\n{len(TRANSFERS)} transfers:")
    for number, (source, target) in enumerate(TRANSFERS, start=1):
        print(f"{number}. {source.name} → {target.name}")
    print(f"\nabout {sum(map(seconds, SETTINGS)):.0f} s on an H200")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["list", "run", "predict", "told"])
    parser.add_argument("words", nargs="*", help="of run: sources or targets, then the folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=250)
    asked = parser.parse_args()
    if asked.action == "list":
        return show()
    more = [word for word in asked.words if "=" in word]
    *which, folder = [word for word in asked.words if word not in more] or [""]
    most = 1 if asked.action == "run" else 0
    if not folder or len(which) > most or {*which} - {"sources", "targets"} or (more and not most):
        parser.error("must be an action and a folder; run takes sources or targets before it, and words of a run")
    if asked.action == "run":
        return run(Path(folder), *(which or [""]), more, asked.quick, asked.seconds)
    return (predict if asked.action == "predict" else tell)(Path(folder))


if __name__ == "__main__":
    main()
