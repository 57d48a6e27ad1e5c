"""A run: everything that determines its numbers, its id and its structure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import Any

from wdrun.wording import short

Group = Mapping[str, Any]  # a config group as plain JSON values

SCALARS = ("lambda", "lr", "seed", "fold")  # knobs that are arguments of a training step; all else is structure


@dataclass(frozen=True, eq=False)
class Run:
    """One training run. `lam` is `lambda` wherever a user sees it; groups are those of conf/, defaults filled in."""

    lam: float
    lr: float
    seed: int
    fold: int
    epochs: int
    batch_size: int
    data: Group
    augment: Group
    model: Group
    optimizer: Group
    decay: Group
    schedule: Group
    early_stopping: Group
    evaluate: Group
    diagnostics: Sequence[str]
    device: str
    precision: str
    threads: int | str

    @property
    def nested(self) -> dict[str, Any]:
        """All knobs as a user sees them, groups nested; the caller's own copy."""
        return {"lambda" if key == "lam" else key: value for key, value in asdict(self).items()}

    @property
    def knobs(self) -> dict[str, Any]:
        """All knobs as one flat mapping, `group.key` -> value, in a fixed order."""
        flat: dict[str, Any] = {}
        for field in fields(self):  # without asdict's copies, each name once: a sweep has thousands of runs
            key, value = "lambda" if field.name == "lam" else field.name, getattr(self, field.name)
            flat |= {intern(f"{key}.{k}"): v for k, v in value.items()} if isinstance(value, dict) else {key: value}
        return flat

    @cached_property
    def id(self) -> str:
        """First 8 hex digits of the SHA-256 of the knobs: equal runs, equal ids, on every machine."""
        return _digest(self.knobs)

    @property
    def structural(self) -> dict[str, Any]:
        """The knobs without λ, lr, seed and fold: where they are equal, so is the training step."""
        return {key: value for key, value in self.knobs.items() if key not in SCALARS}

    @cached_property
    def structure(self) -> str:
        """Digest of the structural knobs; what builds one run of a structure builds all of them."""
        return _digest(self.structural)

    @property
    def coupling(self) -> str:
        """Where the decay enters the step: its own choice, else its preference, else the optimizer's."""
        chosen: str = self.decay["coupling"]
        return chosen if chosen != "auto" else self.decay["prefers"] or self.optimizer["prefers"]

    @property
    def slug(self) -> str:
        """Readable directory name ending in the id, for instance cnn-l2-lambda5e-4-sgd-lr0.05-s0-1f2e3d4c."""
        model = self.model["name"]
        words = f"{model}-{self.decay['name']}-lambda{short(self.lam)}-{self.optimizer['name']}-lr{short(self.lr)}"
        fold = f"-f{self.fold}" if self.data.get("folds", 1) > 1 else ""
        return f"{re.sub(r'[^A-Za-z0-9._-]', '_', words)[:80]}-s{self.seed}{fold}-{self.id}"


@dataclass(frozen=True)
class Options:
    """What a user asks of a run besides its numbers: where it goes and when the command should fail."""

    output_dir: str
    name: str
    require: Group
    allow_diverged: bool
    budget: float | None = None  # choose λ so that the total decay is this
    tau: float | None = None  # choose λ so that the timescale is this many epochs
    logger: str | None = None  # writes the run's metrics in another tool's format too


@dataclass(frozen=True)
class SweepOptions:
    """What a user asks of all runs of a command together: how they train, and by what they are compared."""

    parallel: int | str = 1  # processes that train side by side, or auto
    fuse: bool | str = "auto"  # train alike runs as one computation
    fail_fast: bool = False  # end with the first run that failed or diverged
    halving: int | None = None  # keep one setting in this many, rung by rung
    objective: str = "val_loss"  # or val_accuracy


@dataclass(frozen=True)
class Job:
    """One line of work: a run, what is asked of it, the overrides it was typed with, the user's folder of options."""

    run: Run
    options: Options
    overrides: tuple[str, ...] = ()
    config_dir: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What is typed after `wdrun` to have this job again."""
        return (*self.overrides, *([f"--config-dir={self.config_dir}"] if self.config_dir else []))

    @property
    def directory(self) -> Path:
        """Where its tables go, absolute."""
        return Path(self.options.output_dir).absolute() / self.options.name / self.run.slug


def _digest(knobs: Mapping[str, Any]) -> str:
    text = json.dumps(knobs, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
