"""What each key of a config accepts. Most of data, augment, optimizer and schedule is checked where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wdrun.accepts import (
    PLAIN,
    Accepts,
    boolean,
    check,
    is_number,
    list_of,
    number,
    one_of,
    or_auto,
    or_null,
    text,
    whole,
)
from wdrun.errors import ConfigError
from wdrun.wording import shown

DIAGNOSTICS = ("histograms", "oui", "hessian", "rank")
COUPLINGS = ("auto", "coupled", "decoupled", "independent", "cautious", "proximal", "projected")


# In conf/ the second of a pair takes the first one's value unless it is set: two names for one key.
SAME = {"decay.lambda": "lambda", "optimizer.lr": "lr"}
STRENGTH = ("lambda", "budget", "tau")  # each says how strong the decay is: one of them replaces another


def _is_scales(value: Any) -> bool:
    pairs = isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value)
    return pairs and all(isinstance(pattern, str) and is_number(c) and c >= 0 for pattern, c in value)


_positive = number(above=0)
_share = number(0, 1)
_processes = or_auto(whole(1, 1024))
_coupling = one_of(*COUPLINGS[1:])
_any = Accepts("", lambda v: True)
_override = Accepts("", lambda v: isinstance(v, str) and "=" in v)
_counts = list_of(whole(1), "a list of one or more whole numbers ≥ 1, such as [64,64]", least=1)
_strengths = list_of(number(0), "a list of numbers ≥ 0, such as [0.1,0.2]; [] is off")
_label = text("1 to 80 letters, digits, '.', '_' or '-', not starting with '.'", r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
_class = "a dotted name such as my.module.Net"

KEYS: dict[str, Accepts] = {
    "lambda": number(0),
    "lr": _positive,
    "seed": whole(0),
    "fold": whole(0),
    "epochs": whole(1, 1_000_000),
    "batch_size": whole(1),
    "label_smoothing": number(0, below=1),
    "init_from": or_null(text("a path")),
    "init_digest": or_null(text("twelve letters, as found for a file", r"[b-df-hj-np-tv-xz]{12}")),
    "init_skip": or_null(list_of(text("a glob"), "a list of globs of tensors, such as [fc2.*]")),
    "early_stopping.patience": or_null(whole(1)),
    "device": text("auto, cpu, cuda or cuda:N", r"auto|cpu|cuda(:\d{1,3})?"),
    "precision": one_of("auto", "fp32", "bf16", "tf32", "fp64"),
    "threads": _processes,
    "budget": or_null(_positive),
    "tau": or_null(_positive),
    "sweep": list_of(_override, "a list of overrides, such as ['lambda=0,1e-3','seed=0,1']"),
    "ask": list_of(_override, "a list of overrides, such as ['decay=l2,l1','optimizer=sgd,adam']"),
    "as_written": boolean(),
    "article.overrides": list_of(_override, "a list of overrides"),
    "article.refuse": or_null(text("a sentence")),
    "parallel": _processes,
    "fuse": or_auto(boolean()),
    "fail_fast": boolean(),
    "objective": one_of("val_loss", "val_accuracy"),
    "logger": or_null(one_of("tensorboard", "wandb", "mlflow")),
    "on_change": one_of("error", "retrain", "keep"),
    "keep_state": boolean(),
    "name": _label,
    "output_dir": text("a path"),
    "allow_diverged": boolean(),
    "diagnostics": list_of(one_of(*DIAGNOSTICS), f"a list of {', '.join(DIAGNOSTICS)}"),
    "evaluate.calibration": boolean(),
    "evaluate.gaussian_noise": _strengths,
    "evaluate.blur": _strengths,
    "evaluate.brightness": _strengths,
    "evaluate.contrast": _strengths,
    "evaluate.fgsm": _strengths,
    "evaluate.pgd": _strengths,
    "evaluate.pgd_steps": whole(1),
    "evaluate.pgd_step_size": _positive,
    "evaluate.attack_examples": or_null(whole(1)),
    "require.val_accuracy": or_null(_share),
    "require.test_accuracy": or_null(_share),
    "data.folds": whole(1),
    "augment.name": _label,
    "optimizer.name": _label,
    "optimizer.clip": one_of("all", "data"),
    "optimizer.clip_norm": or_null(_positive),
    "optimizer.clip_value": or_null(_positive),
    "optimizer.prefers": _coupling,
    "decay.name": _label,
    "decay._target_": text(_class, r"[^\W\d]\w*(\.[^\W\d]\w*)+"),
    "decay.coupling": one_of(*COUPLINGS),
    "decay.prefers": or_null(_coupling),
    "decay.reduction": one_of("sum", "mean"),
    "decay.couplings": or_null(list_of(_coupling, "a list of couplings", least=1)),
    "decay.exclude_1d": boolean(),
    "decay.normalized": boolean(),
    "decay.scope": one_of("auto", "all", "weights", "conv", "fc"),
    "decay.corrected": one_of("auto", "all", "normed"),
    "decay.terms": list_of(_any, "a list of one or more terms, such as [{decay:l2},{decay:l1,weight:0.1}]", least=1),
    "decay.weight": number(0),
    "decay.scales": Accepts("a list of [glob, coefficient ≥ 0], such as [[conv*,1],[fc*,0.1]]", _is_scales),
    "decay.l1_ratio": _share,
    "model.name": _label,
    "model._target_": or_null(text(_class)),
    "model.hidden": _counts,
    "model.channels": _counts,
    "model.width": whole(1),
    "model.dropout": number(0, below=1),
    "model.norm": one_of("none", "batch", "group", "layer"),
}


def flatten(node: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The values of a config with their dotted keys; a key of KEYS, and decay.schedule, is one value."""
    flat: list[tuple[str, Any]] = []
    for name, value in node.items():
        key = f"{prefix}{name}"
        nested = isinstance(value, Mapping) and key not in KEYS and key != "decay.schedule"
        flat += flatten(value, f"{key}.") if nested else [(key, value)]
    return flat


def spelled(key: str, value: Any) -> Any:
    """The value in the case that its key has it in, as fp32 for FP32; None where `none` is typed for null.

    What the key accepts as it is, or does not accept in any case, is returned as it came.
    """
    accepts = KEYS.get(key)
    if not isinstance(value, str | list) or accepts is None or accepts.fits(value):
        return value
    lower = [v.casefold() if isinstance(v, str) else v for v in value] if isinstance(value, list) else value.casefold()
    return next((v for v in (lower, *[None] * (lower == "none")) if accepts.fits(v)), value)


def in_section(section: str) -> list[str]:
    """The keys of a mapping such as early_stopping, without its name."""
    return [key.removeprefix(f"{section}.") for key in KEYS if key.startswith(f"{section}.")]


# Text that may look like a number, and is then taken as it is typed.
TEXT = {key for key, accepts in KEYS.items() if accepts is _label} | {
    "output_dir",
    "data.root",
    "init_from",
    "article.refuse",
}


def check_key(key: str, value: Any, kind: str | None = None) -> None:
    """ConfigError unless the value is plain, and what its key accepts, or the key `kind` that it is one of."""
    if key in TEXT and isinstance(value, int | float):  # from a file: a word typed is text
        raise ConfigError(f"{key}={shown(value)}: must be text; in a file write it in quotes, '{shown(value)}'")
    check(key, value, KEYS.get(kind or key, PLAIN))
    check(key, value, PLAIN)
