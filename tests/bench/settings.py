"""The settings and the 36 transfers of tests/bench/transfers.py, written down before they are run.

A setting is a model, an optimizer, a coupling and what changes: batch, lr, epochs, images, width.
"""

import math
from dataclasses import dataclass, replace
from functools import cache

from tests.bench.carried import Transfer
from wdrun import conventions, models, optim, schedules
from wdrun.config.compose import compose
from wdrun.config.parse import parse

LOW, HIGH = 0.1, 40.0  # of D: the best is well inside of it where decay matters
SHAPE, CLASSES = (3, 32, 32), 10
MODELS = {
    "mlp": {1: "model.hidden=[64]", 4: "model.hidden=[256]"},
    "cnn": {1: "model.channels=[16,16] model.width=32", 4: "model.channels=[64,64] model.width=128"},
}
DECAYS = {"coupled": "l2", "decoupled": "decoupled", "independent": "independent"}


@dataclass(frozen=True)
class Setting:
    model: str
    optimizer: str
    coupling: str
    lr: float
    batch: int
    epochs: int
    images: int = 5000
    width: int = 1

    @property
    def name(self):
        parts = (self.model, self.optimizer, self.coupling, f"lr{self.lr:g}", f"b{self.batch}", f"e{self.epochs}")
        return "-".join((*parts, f"n{self.images}", f"w{self.width}"))

    @property
    def words(self):
        size = "null" if self.images == 45_000 else self.images
        return [
            f"model={self.model}", *MODELS[self.model][self.width].split(), f"optimizer={self.optimizer}",
            f"decay={DECAYS[self.coupling]}", f"lr={self.lr!r}", f"batch_size={self.batch}", f"epochs={self.epochs}",
            f"data.train_size={size}", "data.val_size=5000", "augment=none", "schedule=cosine",
        ]  # fmt: skip

    @property
    def seeds(self):
        return 4 if self.model == "mlp" else 3

    @property
    def work(self):
        """Images that a run is trained on."""
        return self.images // self.batch * self.batch * self.epochs

    def but(self, **changes):
        return replace(self, **changes)


@cache
def run_of(setting):
    return parse(compose(setting.words)).run


def unit(setting):
    """D at λ = 1: what λ is multiplied with."""
    run = run_of(setting)
    steps = setting.images // setting.batch * setting.epochs
    schedule = schedules.build(run.schedule, epochs=run.epochs, steps=steps)
    each = ((1.0, run.lr * schedule(k / steps), schedule(k / steps)) for k in range(steps))
    gain = optim.build(run.optimizer).gain()
    return conventions.budget(setting.coupling, each, epochs=run.epochs, gain=gain, rate=1.0).total


def lambdas(setting):
    """λ = 0 and the quarters of a decade with D in LOW … HIGH."""
    first, last = (4 * math.log10(total / unit(setting)) for total in (LOW, HIGH))
    return [0.0, *(10 ** (k / 4) for k in range(math.ceil(first), math.floor(last) + 1))]


@cache
def parameters(model, width):
    """The number of weights and biases."""
    run = parse(compose([f"model={model}", *MODELS[model][width].split()])).run
    return sum(w.numel() for w in models.build(run.model, SHAPE, CLASSES, 0).parameters())


MLP = Setting("mlp", "sgd", "coupled", 0.01, 128, 20)
MLP_ADAMW = Setting("mlp", "adamw", "decoupled", 1e-3, 128, 20)
CNN = Setting("cnn", "sgd", "coupled", 0.01, 64, 16)
CNN_ADAMW = Setting("cnn", "adamw", "decoupled", 1e-3, 64, 16)


def of_mlp(base, lr_rule, first, other):
    """Source and target of an MLP's transfers; `lr_rule` is the lr's factor for a batch 8 times as large."""
    small, faster = base.but(batch=64), base.lr * lr_rule
    return [
        (small, base.but(batch=512)),
        (small, base.but(batch=512, lr=faster)),
        (base, base.but(epochs=80)),
        (base, base.but(images=45_000)),
        (base, base.but(width=4)),
        (base, base.but(coupling=first)),
        (base.but(coupling=first), base),
        *([(base, base.but(coupling=other))] if other else []),
        (base, base.but(images=45_000, epochs=10)),
        (small, base.but(images=45_000, batch=512, lr=faster)),
        (small, base.but(images=45_000, batch=512, lr=faster, epochs=80)),
        (base.but(epochs=10), base.but(images=45_000)),
    ]


def of_cnn(base, lr_rule, other, images):
    return [
        (base, base.but(batch=512, lr=base.lr * lr_rule)),
        (base, base.but(coupling=other)),
        (base.but(coupling=other), base),
        (base, base.but(width=4)),
        (base, base.but(epochs=64)),
        (base, base.but(images=images)),
    ]


# Under SGD lr grows with the batch (Goyal et al. 2017), under AdamW with its root (Malladi et al. 2022).
TRANSFERS = [
    *of_mlp(MLP, 8, "decoupled", "independent"),
    *of_mlp(MLP_ADAMW, 8**0.5, "independent", None),
    *of_cnn(CNN, 8, "decoupled", 45_000),
    (CNN.but(epochs=8), CNN.but(images=45_000)),
    *of_cnn(CNN_ADAMW, 8**0.5, "independent", 20_000),
]


def seconds(setting):
    """An estimate for an H200, from how long each took there once."""
    runs, steps = len(lambdas(setting)) * setting.seeds, setting.work / setting.batch
    if setting.model == "mlp":
        return 0.5 + steps * (0.7 + 8e-6 * runs * setting.batch * (1 + 0.2 * setting.width)) / 1e3
    return 1 + steps * max(1.5, 2.2e-3 * runs * setting.batch * (1 if setting.width == 4 else 0.35)) / 1e3


# The cheap ones first: where the time ends, what is left out is what costs most.
SOURCES = sorted({source for source, _ in TRANSFERS}, key=lambda s: (seconds(s), s.name))
SETTINGS = [*SOURCES, *sorted({t for _, t in TRANSFERS} - {*SOURCES}, key=lambda s: (seconds(s), s.name))]


def transfers():
    """The transfers as the rules see them."""
    return [
        Transfer(one.name, other.name, changed(one, other), ratios(one, other), cost(one) / cost(other))
        for one, other in TRANSFERS
    ]


def changed(one, other):
    """What differs, in words."""
    names = [name for name in vars(one) if getattr(one, name) != getattr(other, name)]
    return ", ".join(names)


def ratios(one, other):
    found = {name: getattr(other, name) / getattr(one, name) for name in ("images", "epochs", "batch", "lr")}
    sizes = [parameters(setting.model, setting.width) for setting in (one, other)]
    return found | {"parameters": sizes[1] / sizes[0], "unit": unit(other) / unit(one)}


def cost(setting):
    """Images that all runs of a dense curve are trained on."""
    return setting.work * len(lambdas(setting)) * setting.seeds
