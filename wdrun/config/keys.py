"""What the keys of a config accept: in words, and as checks of single values."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from wdrun.errors import ConfigError
from wdrun.wording import nearest, shown

DIAGNOSTICS = ("histograms", "oui", "hessian")
COUPLINGS = ("auto", "coupled", "decoupled", "independent", "cautious", "proximal", "projected")


class Rule(NamedTuple):
    """What a key accepts: in words, as a check, and its words where these are all."""

    accepted: str
    check: Callable[[Any], bool]
    words: tuple[str, ...] = ()


def _number(accepted: str, check: Callable[[float], bool]) -> Rule:
    return Rule(accepted, lambda v: _is_number(v) and check(v))


def _whole(low: int, high: int | None = None) -> Rule:
    accepted = f"a whole number ≥ {low}" if high is None else f"a whole number from {low} to {high}"
    return Rule(accepted, lambda v: is_whole(v) and low <= v <= (high or v))


def _one_of(*words: str) -> Rule:
    return Rule(f"one of {', '.join(words)}", lambda v: isinstance(v, str) and v in words, words)


def _text(accepted: str, pattern: str) -> Rule:
    return Rule(accepted, lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None)


def _or(rule: Rule, other: str | None) -> Rule:
    return Rule(f"{rule.accepted}, or {shown(other)}", lambda v: v == other or rule.check(v), rule.words)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(is_whole(n) and n >= 1 for n in value)


def _is_couplings(value: Any) -> bool:
    return value is None or (isinstance(value, list) and value != [] and all(c in COUPLINGS[1:] for c in value))


def _is_terms(value: Any) -> bool:
    return isinstance(value, list) and value != []


def _is_scales(value: Any) -> bool:
    pairs = isinstance(value, list) and all(isinstance(p, list) and len(p) == 2 for p in value)
    return pairs and all(isinstance(glob, str) and _is_number(c) and c >= 0 for glob, c in value)


def _are_diagnostics(value: Any) -> bool:
    return isinstance(value, list) and all(v in DIAGNOSTICS for v in value)


def _are_numbers(value: Any, low: float) -> bool:
    return isinstance(value, list) and all(_is_number(v) and v >= low for v in value)


def _are_overrides(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) and "=" in v for v in value)


_boolean = Rule("true or false", lambda v: isinstance(v, bool))
_positive = _number("a number > 0", lambda v: v > 0)
_share = _number("a number from 0 to 1", lambda v: 0 <= v <= 1)
_counts = Rule("a list of one or more whole numbers ≥ 1, such as [64,64]", _is_counts)
_label = _text("1 to 80 letters, digits, '.', '_' or '-', not starting with '.'", r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,79}")
_class = _text("a dotted name such as my.module.Net", r"[^\W\d]\w*(\.[^\W\d]\w*)+")

# Options of optimizer, schedule, data and augment are checked where they are read.
_strengths = Rule("a list of numbers ≥ 0, such as [0.1,0.2]; [] is off", lambda v: _are_numbers(v, 0))

RULES: dict[str, Rule] = {
    "lambda": _number("a number ≥ 0", lambda v: v >= 0),
    "lr": _positive,
    "seed": _whole(0),
    "fold": _whole(0),
    "epochs": _whole(1, 1_000_000),
    "batch_size": _whole(1),
    "early_stopping.patience": _or(_whole(1), None),
    "device": _text("auto, cpu, cuda or cuda:N", r"auto|cpu|cuda(:\d{1,3})?"),
    "precision": _one_of("auto", "fp32", "bf16", "tf32", "fp64"),
    "threads": _or(_whole(1, 1024), "auto"),
    "budget": _or(_positive, None),
    "tau": _or(_positive, None),
    "sweep": Rule("a list of overrides, such as ['lambda=0,1e-3','seed=0,1']", _are_overrides),
    "as_written": _boolean,
    "article.overrides": Rule("a list of overrides", _are_overrides),
    "article.refuse": _or(_text("a sentence", r".+"), None),
    "parallel": _or(_whole(1, 1024), "auto"),
    "fuse": _or(_boolean, "auto"),
    "fail_fast": _boolean,
    "halving": _or(_whole(2), None),
    "objective": _one_of("val_loss", "val_accuracy"),
    "logger": _or(_one_of("tensorboard", "wandb", "mlflow"), None),
    "name": _label,
    "output_dir": _text("a path", r".+"),
    "allow_diverged": _boolean,
    "diagnostics": Rule(f"a list of {', '.join(DIAGNOSTICS)}", _are_diagnostics, DIAGNOSTICS),
    "evaluate.calibration": _boolean,
    "evaluate.gaussian_noise": _strengths,
    "evaluate.blur": _strengths,
    "evaluate.brightness": _strengths,
    "evaluate.contrast": _strengths,
    "evaluate.fgsm": _strengths,
    "evaluate.pgd": _strengths,
    "evaluate.pgd_steps": _whole(1),
    "evaluate.pgd_step_size": _positive,
    "evaluate.attack_examples": _or(_whole(1), None),
    "require.val_accuracy": _or(_share, None),
    "require.test_accuracy": _or(_share, None),
    "data.folds": _whole(1),
    "augment.name": _label,
    "optimizer.name": _label,
    "optimizer.clip_norm": _or(_positive, None),
    "optimizer.clip_value": _or(_positive, None),
    "optimizer.prefers": _one_of(*COUPLINGS[1:]),
    "decay.name": _label,
    "decay._target_": _class,
    "decay.coupling": _one_of(*COUPLINGS),
    "decay.prefers": _or(_one_of(*COUPLINGS[1:]), None),
    "decay.reduction": _one_of("sum", "mean"),
    "decay.couplings": Rule("a list of couplings, or null", _is_couplings),
    "decay.exclude_1d": _boolean,
    "decay.normalized": _boolean,
    "decay.scope": _one_of("auto", "all", "weights", "conv", "fc"),
    "decay.terms": Rule("a list of one or more terms, such as [{decay:l2},{decay:l1,weight:0.1}]", _is_terms),
    "decay.weight": _number("a number ≥ 0", lambda v: v >= 0),
    "decay.scales": Rule("a list of [glob, coefficient ≥ 0], such as [[conv*,1],[fc*,0.1]]", _is_scales),
    "decay.l1_ratio": _share,
    "model.name": _label,
    "model._target_": _or(_text("a dotted name such as my.module.Net", r".+"), None),
    "model.hidden": _counts,
    "model.channels": _counts,
    "model.width": _whole(1),
    "model.dropout": _number("a number in [0, 1)", lambda v: 0 <= v < 1),
    "model.norm": _one_of("none", "batch", "group", "layer"),
}


def check(key: str, value: Any, rule: Rule | None) -> None:
    """ConfigError unless the value is plain and what the rule of its key, if there is one, accepts."""
    if rule and not rule.check(value):
        odd = next((v for v in value if v not in rule.words), value) if isinstance(value, list) else value
        raise ConfigError(f"{key}={shown(value)}: must be {rule.accepted}{nearest(shown(odd), rule.words)}")
    if not is_plain(value):
        raise ConfigError(f"{key}={shown(value)}: must be a finite number, text, true, false, null or a list of these")


def is_plain(value: Any) -> bool:
    """Whether a value may be in a config at all: it can be written as JSON and shown on one line."""
    if isinstance(value, list):
        return all(is_plain(v) for v in value)
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_plain(v) for k, v in value.items())
    if isinstance(value, str):
        return value.isprintable()
    return (
        value is None or isinstance(value, bool) or is_whole(value) or (isinstance(value, float) and _is_number(value))
    )
