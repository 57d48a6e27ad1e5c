"""`wdrun transfer DIR key=value …`: λ for a changed setting, from the best λ of a finished sweep or tuned question."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wdrun.config import axes, experiments, files, names, targets, typed
from wdrun.config.axes import key_of, keys
from wdrun.config.commands import COMMANDS
from wdrun.config.run import Job, Run
from wdrun.errors import ConfigError, Exit
from wdrun.sweep.one_run import ready
from wdrun.tables.read import load
from wdrun.tables.words import folders_and_settings
from wdrun.terminal import results
from wdrun.terminal.progress import say
from wdrun.terminal.screen import bold, folded
from wdrun.training import network
from wdrun.training.trainer import Trainer
from wdrun.tuning import equation, transfer
from wdrun.tuning.finished import Best, bests
from wdrun.tuning.transfer import Facts, Prediction
from wdrun.wording import command_line, short, sort_key

REFUSED = {
    "lambda": "leave it out; wdrun transfer says which λ to take",
    "budget": "leave it out; wdrun transfer says which λ to take",
    "tau": "leave it out; wdrun transfer says which λ to take",
    "experiment": "leave it out; give the keys that are to change",
}


@dataclass(frozen=True)
class Answer:
    """What is known of a facet's λ in the changed setting: the words of the run to train, and the lines that say why.

    `refused` is why there is none, in one sentence; "" where there is.
    """

    facet: str
    refused: str
    found: Prediction | None = None
    words: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Print each answer on stdout; with --json an object a line."""
    with results.alone():
        found = answers(words, flags["config_dir"])
        for number, one in enumerate(found):
            if flags["json"]:
                print(json.dumps({"transfer": row(one)}, allow_nan=False), file=results.stream(), flush=True)
                continue
            head = f"{one.facet}: {equation.answer(one.found) if one.found else one.refused}"
            lines = [part for line in one.lines for part in folded(line)]
            print("\n".join([""] * bool(number) + [bold(head), *lines]), file=results.stream())
    return Exit.DONE


def row(one: Answer) -> dict[str, Any]:
    """An answer as plain values, None where there is none, or no bound."""
    found: dict[str, Any] = {"facet": one.facet, "refused": one.refused or None}
    if one.found is None:
        return found
    known, best = one.found, one.found.best
    numbers = {
        "lambda": float(f"{known.lam:.3g}"),
        "low": known.low,
        "high": known.high,
        "lr": known.here.run.lr,
        "D": known.total,
    }
    numbers |= {"lambda_there": best.lam, "low_there": best.low, "high_there": best.high}
    numbers |= {"lr_there": known.there.run.lr, "D_there": known.total_there}
    known_ends = {key: x for key, x in numbers.items() if x and math.isfinite(x)}
    changed = {key: [old, new] for key, old, new in known.changes}
    found |= dict.fromkeys(numbers) | known_ends
    return found | {"unproven": best.unproven or None, "changed": changed, "words": list(one.words)}


def answers(words: Sequence[str], config_dir: str | None = None) -> list[Answer]:
    """An answer for each facet that the words name and each setting that they change to.

    ConfigError where there is not one λ among them.
    """
    takes = COMMANDS["transfer"]
    given: list[str] = []
    folders, texts = folders_and_settings("transfer", words, takes.defaults, given, files=True)
    settings = takes.values(texts)
    if settings["scale_lr"]:
        if lr := next((word for word in given if "lr" in keys(word)), None):
            raise ConfigError(f"scale_lr=true: {lr} is given too; both set lr")
        if not any("batch_size" in keys(word) for word in given):
            raise ConfigError("scale_lr=true: lr goes with the batch, which stays as it is; give batch_size= too")
    names.check(given, config_dir)
    typed.check(given)
    given = typed.one_name(given)
    for word in given:
        for key in keys(word):
            if key in REFUSED:
                raise ConfigError(f"{word}: {REFUSED[key]}")
        if word.casefold() == "decay=none":
            raise ConfigError(f"{word}: has no λ; name a decay, or leave it out")
    read = load(folders, tables=())
    for problem in read.problems:
        say(f"warning: {problem}")
    asked = {"metric": settings["metric"] if "metric" in map(key_of, words) else None, "margin": settings["margin"]}
    known = bests(read, **asked, nuisance=settings["nuisance"], config_dir=config_dir)
    points = [[typed.spell(word, config_dir) for word in point] for point in axes.expand(given, config_dir)]
    found = [one for point in points for one in _answers(known, point, scale_lr=settings["scale_lr"])]
    if not any(one.found for one in found):
        why = list(dict.fromkeys(one.refused for one in found))
        raise ConfigError(why[0] if len(why) == 1 else "; ".join(f"{one.facet}: {one.refused}" for one in found))
    return found


def _answers(known: Sequence[Best], changed: Sequence[str], *, scale_lr: bool) -> Iterator[Answer]:
    """The answers for one setting: of the facets that have what a word says, of all where none has it."""
    for word in changed:
        key, _, value = word.partition("=")
        known = [best for best in known if _same(best.values.get(key), value)] or known
    for best in known:
        try:
            yield _answer(best, changed, scale_lr=scale_lr)
        except ConfigError as error:
            yield Answer(best.facet, str(error))


def _same(one: str | None, other: str) -> bool:
    """Whether two words say one value: 1e-2 and 0.01 do, and [8, 16] and [8,16]."""
    texts = [text.replace(" ", "") for text in (one or "", other)]
    numbers = [sort_key(text)[:2] for text in texts]
    return one is not None and (texts[0] == texts[1] or (numbers[0] == numbers[1] and not numbers[0][0]))


def _answer(best: Best, changed: Sequence[str], *, scale_lr: bool) -> Answer:
    """λ for the facet with these words; ConfigError where no rule holds, or the words give no run."""
    if best.run is None:
        raise ConfigError(best.refused)
    words = _with(changed, best)
    job = _job(words, best)
    told = ""
    if job.run.batch_size != best.run.batch_size and "lr" not in map(key_of, changed):
        words, told = _with_lr(words, best.run, job.run.batch_size, scale_lr=scale_lr)
        job = _job(words, best)
    transfer.changes(best.run, job.run)  # before any data is read
    targets.announce([job])
    trainer = ready(job.run)
    found = transfer.predict(best, facts(ready(placed_as(best.run, job.run))), facts(trainer))
    lam = float(f"{found.lam:.3g}")
    words = _set(words, "lambda", lam)
    words += [f"--config-dir={best.config_dir}"] * bool(best.config_dir)
    lines = [*equation.equation(found), *[told] * bool(told), *equation.doubts(trainer.at(lam).budget, lam)]
    return Answer(best.facet, "", found, tuple(words), (*lines, f"run      {command_line(words)}"))


def _with(changed: Sequence[str], best: Best) -> list[str]:
    """The words of the best run with those that change it; another decay that is named brings its own coupling."""
    kept = all(word in best.words for word in changed if key_of(word) == "decay")
    own = [word for word in best.words if kept or key_of(word) != "decay.coupling"]
    return [*files.beside(changed, own, best.config_dir), *changed]


def _job(words: Sequence[str], best: Best) -> Job:
    lines = experiments.lines(words, False, best.config_dir)
    return experiments.sweep(lines, best.config_dir)[0][0]


def _with_lr(words: list[str], there: Run, batch_size: int, *, scale_lr: bool) -> tuple[list[str], str]:
    """The words with lr for another batch where that is asked for, and the line that says what lr does, or could do."""
    try:
        lr, how = transfer.scaled_lr(there, batch_size)
    except ConfigError:
        if scale_lr:
            raise
        return words, ""
    lr = float(f"{lr:.3g}")
    if scale_lr:
        return _set(words, "lr", lr), f"lr       {short(there.lr)} → {short(lr)}: {how}"
    return words, f"lr       {short(there.lr)} as there; scale_lr=true takes {short(lr)}: {how}"


def _set(words: Sequence[str], key: str, value: float) -> list[str]:
    """The words with this value of a key that is among them."""
    return [f"{key}={short(value)}" if key_of(word) == key else word for word in words]


def placed_as(there: Run, here: Run) -> Run:
    """The run there on the machine of `here`, with its files where those of `here` lie: neither has a say in D."""
    root = {key: value for key, value in here.data.items() if key == "root"}
    machine: dict[str, Any] = {key: getattr(here, key) for key in ("device", "precision", "threads", "init_from")}
    return replace(there, data={**there.data, **root}, **machine)


def facts(trainer: Trainer) -> Facts:
    """What the rule of transfer needs of the trainer's run."""
    shapes = {name: tuple(w.shape) for name, w in network.trained(trainer.model).items()}
    images = len(trainer.dataset.splits["train"])
    gain = trainer.optimizer.gain() or 1.0
    return Facts(trainer.run, images, shapes, trainer.at(1.0).budget.total, gain)
