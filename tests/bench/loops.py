"""A run as other tools train it, for tests/bench/questions.py: python tests/bench/loops.py lightning|hydra [words…].

Both are the MLP of `experiment=lr_lambda` with torch.optim.SGD, its weight_decay and a cosine per step, fp32, and
validate after each epoch. images=files has PIL images and torchvision's transforms for each image and epoch, as the
data set classes of torchvision serve them; images=memory normalised floats in a TensorDataset. All have a DataLoader
in the main process. The data are read by wdrun's cache, once a process, and no tool tests, records or keeps weights.

hydra: a plain loop in the task of an application under Hydra's basic launcher: all jobs in one process, with
    Hydra's own overrides, -m lr=1e-3,1e-2 lambda=0,1e-2 seed=range(0,2) (of its config: lr, lambda, seed, words).
lightning: a LightningModule and a Trainer for each line of stdin, such as {"lr": 0.01, "lambda": 0, "seed": 1}.

stdout has {"ready": true} before a run and its setting with "val_loss" after it, a line each. With turns=true a run of
hydra waits for a line of stdin as well.
"""

import json
import logging
import math
import os
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

from wdrun import data
from wdrun.bench.plain import Images, Loop
from wdrun.config import experiments

ROOT = Path(__file__).resolve().parents[2]
QUESTION = ("experiment=lr_lambda", "optimizer=sgd", "decay.coupling=coupled")
EVALUATED = 500  # images a batch
JOBS = 55  # of a multirun, which composes all before the first; the cells of the grid


@cache
def run_of(words):
    return experiments.jobs(["sweep=[]", *QUESTION, "precision=fp32", *words], False)[0].run


def prepared(setting, images, words=()):
    """The plain loop's model and batches of a setting, with those of validation and the schedule of its optimizer."""
    run = replace(run_of(tuple(words)), seed=setting["seed"])
    torch.manual_seed(run.seed)
    loop, found = Loop(run), data.load(run.data, run.fold)
    transform, split = loop.loader.dataset.dataset.transform, found.splits["val"]
    validation = Subset(Images(split, transform), split.rows.tolist())
    if images == "memory":
        loop.loader = DataLoader(
            TensorDataset(*held(found, "train")), batch_size=run.batch_size, shuffle=True, drop_last=True
        )
        validation = TensorDataset(*held(found, "val"))
    loop.validation = DataLoader(validation, batch_size=EVALUATED)
    loop.optimizer = torch.optim.SGD(
        loop.model.parameters(), lr=setting["lr"], momentum=0.9, weight_decay=setting["lambda"]
    )
    steps = run.epochs * len(loop.loader)
    loop.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(loop.optimizer, steps)
    loop.epochs = run.epochs
    return loop


def held(found, name):
    """Normalised images (n, C, H, W) and labels of a split."""
    split = found.splits[name]
    x = split.inputs[split.rows].permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(of).view(-1, 1, 1) for of in (found.mean, found.std))
    return (x - mean) / std, split.targets[split.rows]


def plain(loop):
    """Validation loss where the loop ends."""
    for _ in range(loop.epochs):
        loop.model.train()
        for x, y in loop.loader:
            loop.optimizer.zero_grad()
            F.cross_entropy(loop.model(x), y).backward()
            loop.optimizer.step()
            loop.schedule.step()
        loop.model.eval()
        total = 0.0
        with torch.no_grad():
            for x, y in loop.validation:
                total += F.cross_entropy(loop.model(x), y, reduction="sum").item()
    return total / len(loop.validation.dataset)


def lightning(loop):
    """The same by a Trainer, without what it shows and writes unless told not to."""
    import lightning as L

    class Model(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model = loop.model

        def training_step(self, batch, index):
            x, y = batch
            return F.cross_entropy(self.model(x), y)

        def validation_step(self, batch, index):
            x, y = batch
            self.log("val_loss", F.cross_entropy(self.model(x), y))

        def configure_optimizers(self):
            return [loop.optimizer], [{"scheduler": loop.schedule, "interval": "step"}]

    trainer = L.Trainer(
        max_epochs=loop.epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Model(), loop.loader, loop.validation)
    return trainer.callback_metrics["val_loss"].item()


def told(setting, val_loss):
    """One line of stdout; of a run that diverged its loss is Infinity."""
    print(json.dumps({**setting, "val_loss": val_loss if math.isfinite(val_loss) else math.inf}), flush=True)


def ready():
    print(json.dumps({"ready": True}), flush=True)


def serve(images="files", words="[]"):
    import lightning as L  # loads before the first line
    import optuna

    assert L.Trainer
    assert optuna.create_study
    warnings.simplefilter("ignore")  # on the number of workers
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    ready()
    for line in sys.stdin:
        setting = json.loads(line)
        told(setting, lightning(prepared(setting, images, json.loads(words))))
        ready()


def application():
    import hydra
    from hydra.core.config_store import ConfigStore

    keys = {"lr": 0.01, "lambda": 0.0, "seed": 0}
    ConfigStore.instance().store("loop", {**keys, "images": "files", "words": [], "turns": False})

    @hydra.main(version_base="1.3", config_path=None, config_name="loop")
    def task(config):
        ready()
        if config.turns and not sys.stdin.readline():
            sys.exit("no more turns")
        setting = {key: config[key] for key in keys}
        told(setting, plain(prepared(setting, config.images, config.words)))

    task()


# ---- on the side of tests/bench/questions.py


class Child:
    """A process of this file: `start` are its seconds to the end of a first run, `took` those of each call's."""

    def __init__(self, tool, images, words, folder):
        shown = json.dumps([*words])
        typed = {
            "lightning": [f"images={images}", f"words={shown}"],
            "hydra": [
                "-m",
                f"images={images}",
                f"words={shown}",
                "turns=true",
                "lr=0.01",
                "lambda=0.03",
                f"seed=range(0,{JOBS})",
            ],
        }[tool]
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, __file__, tool, *typed], cwd=folder, env=environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.next("ready")
        self.took = []
        self()
        self.start = time.perf_counter() - began
        self.took.clear()

    def next(self, key):
        """The next line that has the key; a tool says other things too."""
        for line in self.process.stdout:
            if line.startswith("{") and key in (found := json.loads(line)):
                return found[key]
        sys.exit(f"a process of tests/bench/loops.py ended early; `{' '.join(self.process.args[1:])}` says why")

    def __call__(self, lam=0.03, lr=0.01, seed=0):
        """The validation loss; with all that comes before the next run can begin."""
        started = time.perf_counter()
        self.process.stdin.write(json.dumps({"lambda": lam, "lr": lr, "seed": seed}) + "\n")
        self.process.stdin.flush()
        found = self.next("val_loss")
        self.next("ready")
        self.took.append(time.perf_counter() - started)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def launched(words, images, folder):
    """Scores by Hydra's multirun: a command for the product of λ and lr, or one for each cell."""

    def score(cells, seeds):
        lams, rates = (list(dict.fromkeys(column)) for column in zip(*(cell.setting for cell in cells), strict=True))
        whole = len(lams) * len(rates) == len(cells)
        found = {}
        for some, of in [(lams, rates)] if whole else [([cell.setting[0]], [cell.setting[1]]) for cell in cells]:
            axes = {"lambda": some, "lr": of, "seed": seeds}
            typed = [f"{key}={','.join(map(str, values))}" for key, values in axes.items()]
            line = [sys.executable, __file__, "hydra", "-m", f"images={images}", *typed]
            done = subprocess.run(
                [*line, f"words={json.dumps([*words])}"], cwd=folder, env=environment(), text=True,
                stdout=subprocess.PIPE, check=True,
            )  # fmt: skip
            for run in (json.loads(text) for text in done.stdout.splitlines() if text.startswith('{"lr"')):
                found[run["lambda"], run["lr"], run["seed"]] = run["val_loss"]
        return np.array([[found[(*cell.setting, seed)] for cell in cells] for seed in seeds])

    return score


if __name__ == "__main__":
    tool = sys.argv.pop(1)
    if tool == "hydra":
        application()
    else:
        serve(**dict(word.split("=", 1) for word in sys.argv[1:]))
