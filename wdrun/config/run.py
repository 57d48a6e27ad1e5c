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

from wdrun.contents import letters
from wdrun.wording import short

Group = Mapping[str, Any]  # a config group as plain JSON values

SCALARS = ("lambda", "lr", "seed", "fold")  # knobs that are arguments of a training step; all else is structure
# Knobs that are not part of what a run is: where its data and its first weights lie (the bytes count), what else a
# decay could do.
OUTSIDE = ("data.root", "decay.couplings", "init_from")
# Ids are frozen. A knob added since is named here with the value at which a run is what it was without the knob, and
# enters the digest only where it differs from it; one inside a value by its path, as in `decay.terms.new`.
LATER: dict[str, Any] = {f"decay.{term}corrected": "auto" for term in ("", "terms.", "terms.terms.")}
LATER |= {"optimizer.clip": "all", "optimizer.lr_scales": [], "optimizer.amsgrad": False, "optimizer.dampening": 0.0}
LATER |= {"init_from": None, "init_digest": None, "init_skip": None, "ema": None}
LATER |= {"label_smoothing": 0.0, "augment.pad_mode": "zeros"}
# Of these, the ones that are not written where they have that value: tables and config.yaml stay as they were, and so
# an empty cell of them, or none, says that value.
UNWRITTEN = {key: value for key, value in LATER.items() if not key.startswith("decay.")}


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
    label_smoothing: float = 0.0
    init_from: str | None = None
    init_digest: str | None = None
    init_skip: Sequence[str] | None = None
    ema: float | None = None

    @property
    def nested(self) -> dict[str, Any]:
        """All knobs as a user sees them, groups nested; the caller's own copy."""
        nested = {"lambda" if key == "lam" else key: value for key, value in asdict(self).items()}
        for path, usual in UNWRITTEN.items():
            group, dot, key = path.rpartition(".")
            if (node := nested[group] if dot else nested).get(key) == usual:
                node.pop(key, None)
        return nested

    @property
    def knobs(self) -> dict[str, Any]:
        """All knobs as one flat mapping, `group.key` -> value, in a fixed order."""
        flat: dict[str, Any] = {}
        for field in fields(self):  # without asdict's copies, each name once: a sweep has thousands of runs
            key, value = "lambda" if field.name == "lam" else field.name, getattr(self, field.name)
            flat |= {intern(f"{key}.{k}"): v for k, v in value.items()} if isinstance(value, dict) else {key: value}
        return written(flat)

    @cached_property
    def id(self) -> str:
        """Eight letters that the knobs determine: equal runs, equal ids, on every machine and in every version."""
        return digest(self.knobs)

    @property
    def structural(self) -> dict[str, Any]:
        """The knobs of the training step, in canonical form: all of the run's but λ, lr, seed and fold."""
        return {key: canonical(v) for key, v in self.knobs.items() if key not in SCALARS and key not in OUTSIDE}

    @cached_property
    def structure(self) -> str:
        """Digest of the structural knobs; what builds one run of a structure builds all of them."""
        return digest(self.structural)

    @property
    def coupling(self) -> str:
        """Where the decay enters the step: its own choice, else its preference, else the optimizer's."""
        chosen: str = self.decay["coupling"]
        return chosen if chosen != "auto" else self.decay["prefers"] or self.optimizer["prefers"]

    @property
    def slug(self) -> str:
        """Readable directory name ending in the id, for instance cnn-l2-lambda5e-4-sgd-lr0.05-s0-kqzvbtmd."""
        options = (self.model["name"], self.decay["name"], self.optimizer["name"])
        return folder_name(*options, self.lam, self.lr, self.seed, self.fold, self.data.get("folds", 1), self.id)


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
    on_change: str = "error"  # or retrain, keep: where the run's own code is other than that which trained it
    keep_state: bool = False  # after the run, so that one of more epochs may go on from its end


@dataclass(frozen=True)
class SweepOptions:
    """What a user asks of all runs of a command together: how they train, and by what they are compared."""

    parallel: int | str = 1  # processes that train side by side, or auto
    fuse: bool | str = "auto"  # train alike runs as one computation
    fail_fast: bool = False  # end with the first run that failed or diverged
    objective: str = "val_loss"  # or val_accuracy


@dataclass(frozen=True)
class Job:
    """One line of work: a run, what is asked of it, the overrides it was typed with, the user's folder of options."""

    run: Run
    options: Options
    overrides: tuple[str, ...] = ()
    folder: str = ""  # the name of its folder where a version with other ids made it
    config_dir: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """What is typed after `wdrun` to have this job again."""
        kept = (word for word in self.overrides if not word.startswith("on_change="))  # of that command alone
        return (*kept, *([f"--config-dir={self.config_dir}"] if self.config_dir else []))

    @property
    def root(self) -> Path:
        """The folder of its folder, absolute."""
        return Path(self.options.output_dir).absolute() / self.options.name

    @property
    def directory(self) -> Path:
        """Where its tables go, absolute."""
        return self.root / (self.folder or self.run.slug)

    @property
    def key(self) -> tuple[Path, str]:
        """Equal for the same run with the same place for its results."""
        return self.root, self.run.id


def folder_name(
    model: str, decay: str, optimizer: str, lam: float, lr: float, seed: int, fold: int, folds: int, run_id: str
) -> str:
    """The name of a run's folder, from what its row has; see `Run.slug`."""
    words = f"{model}-{decay}-lambda{short(lam)}-{optimizer}-lr{short(lr)}"
    part = f"-f{fold}" if folds > 1 else ""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', words)[:80]}-s{seed}{part}-{run_id}"


def canonical(value: Any) -> Any:
    """The value as it is compared: 0, 0.0 and -0.0 are one number, as are 1 and 1.0, in lists and mappings too.

    The whole number stands for both; true stays apart from 1.
    """
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if isinstance(value, list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    return value


def written(knobs: Mapping[str, Any]) -> dict[str, Any]:
    """These flat knobs without the ones of UNWRITTEN that are as they always were: the form in which runs compare."""
    return {key: value for key, value in knobs.items() if key not in UNWRITTEN or value != UNWRITTEN[key]}


def digest(knobs: Mapping[str, Any]) -> str:
    """Eight letters of the SHA-256 of the knobs, canonical, as JSON, without OUTSIDE and what LATER leaves out."""
    known = {key: canonical(value) for key, value in knobs.items() if key not in OUTSIDE}
    return letters(hashlib.sha256(_json(_lasting(known)).encode()).digest(), 8)


def _lasting(node: Any, path: str = "") -> Any:
    """The node without the knobs of LATER that have the value named there."""
    if isinstance(node, list):
        return [_lasting(item, path) for item in node]
    if not isinstance(node, dict):
        return node
    names = {key: f"{path}.{key}" if path else key for key in node}
    old = {key for key, name in names.items() if name in LATER and _json(canonical(LATER[name])) == _json(node[key])}
    return {key: _lasting(item, names[key]) for key, item in node.items() if key not in old}


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
