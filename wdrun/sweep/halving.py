"""Successive halving: many settings for few epochs, the best 1/K of them for K times as many, up to `epochs`.

n settings, E epochs, R = ⌊log_K min(n, E)⌋ cuts: rung i = 0 … R trains ⌊n/K^i⌋ settings for ⌊E/K^(R−i)⌋ epochs, so that
each rung costs about as much as the others (Jamieson & Talwalkar 2016, algorithm 1). A rung's run is a whole run with
its own schedule, so every row of the tables is that of a finished run; what is left out is resuming one in the next.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wdrun.config.axes import key_of
from wdrun.config.run import Job, SweepOptions, digest
from wdrun.errors import ConfigError
from wdrun.storage import hold, write_atomically
from wdrun.sweep import on_change
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import with_lambda
from wdrun.sweep.outcome import Outcome
from wdrun.sweep.preparation import check, distinct
from wdrun.tables import ownership
from wdrun.tables.columns import typed_row
from wdrun.tables.write import render
from wdrun.terminal.progress import say
from wdrun.wording import counted

COLUMNS = ("rung", "epochs", "setting", "overrides", "replicates", "score", "kept", "epochs_spent")
REPLICATE = ("seed", "fold", "epochs")  # knobs in which the runs of one setting differ


@dataclass(frozen=True)
class Setting:
    """The jobs that differ in seed and fold only: its replicates.

    `id` is the digest of the rest, `overrides` what was typed for it and not for all settings.
    """

    id: str
    jobs: tuple[Job, ...]
    overrides: str


def in_rungs(
    jobs: Sequence[Job], options: SweepOptions, on_end: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """Train the jobs rung by rung, each as `execute` would, K being `options.halving`; the outcomes of all rungs.

    ConfigError, before anything trains, where the jobs differ in epochs or one is not sound with those of its rung.
    """
    if options.halving is None:
        raise ValueError("halving=null: nothing to halve by; execute trains all jobs whole")
    settings = group(distinct([with_lambda(job) for job in jobs]))
    if len(settings) == 1:
        return execute(jobs, options, on_end)
    if len(lengths := sorted({job.run.epochs for job in jobs})) > 1:
        raise ConfigError(
            f"halving={options.halving}: needs one epochs= for all runs, which its last rung has; here they have "
            f"{', '.join(map(str, lengths))}"
        )
    plan = rungs(len(settings), lengths[0], options.halving)
    told: set[str] = set()
    whole: list[Job] = []
    for _, epochs in plan:
        shorter = [shortened(job, epochs) for setting in settings for job in setting.jobs]
        _check(shorter, epochs, told)
        whole += shorter
    ownership.check({job.directory.parent for job in whole})
    on_change.decide(distinct(whole))
    outcomes: list[Outcome] = []
    rows: list[dict[str, Any]] = []
    going = settings
    for rung, (_, epochs) in enumerate(plan, start=1):
        runs = {setting.id: [shortened(job, epochs) for job in setting.jobs] for setting in going}
        jobs = [job for members in runs.values() for job in members]
        what = f"{counted(len(going), 'setting')}, {counted(len(jobs), 'run')} of {counted(epochs, 'epoch')}"
        say(f"\nrung {rung} of {len(plan)}: {what}")
        # A rung of one run is a part of the sweep, so it too is waited for where another process trains it.
        ended = execute(jobs, options, on_end, more=rung < len(plan), part=len(jobs) == 1, told=told)
        outcomes += ended
        if missing := sum(o.status in ("waiting", "busy") for o in ended):
            say(f"halving  stops here: {counted(missing, 'run')} of this rung did not end; the same command goes on")
            return outcomes
        found = {o.job.key: typed_row(o.row) | {"status": o.status} for o in ended}
        scores = {name: score([found[job.key] for job in members], options.objective) for name, members in runs.items()}
        ranked = ranking(going, scores, options.objective)
        stay = plan[rung][0] if rung < len(plan) else 1
        going = [setting for setting in ranked[:stay] if scores[setting.id] is not None]
        rows += _rows(rung, epochs, ranked, scores, len(going), rows[-1]["epochs_spent"] if rows else 0)
        for root in sorted({job.directory.parent for job in jobs}):
            with hold(root, wait=True):
                write_atomically(root / "halving.csv", render(COLUMNS, rows))
        if not going:
            say(f"halving  stops here: no setting of this rung has a {options.objective}")
            return outcomes
    spent, full = rows[-1]["epochs_spent"], lengths[0] * sum(len(setting.jobs) for setting in settings)
    say(f"halving  {counted(spent, 'epoch')} trained; the full grid takes {full}, so this is {spent / full:.0%} of it")
    say(f"halving  the one left: {going[0].overrides} ({options.objective} {scores[going[0].id]:.4f})")
    return outcomes


def rungs(settings: int, epochs: int, factor: int) -> list[tuple[int, int]]:
    """Settings and epochs of each rung; every rung has more epochs than the one before, the last has all."""
    cuts = 0
    while factor ** (cuts + 1) <= min(settings, epochs):
        cuts += 1
    return [(settings // factor**i, epochs // factor ** (cuts - i)) for i in range(cuts + 1)]


def group(jobs: Sequence[Job]) -> list[Setting]:
    """The jobs as settings, in the order of their first jobs."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        knobs = {key: value for key, value in job.run.knobs.items() if key not in REPLICATE}
        asked = job.options.budget, job.options.tau  # λ follows from these, in each rung anew
        if asked != (None, None):
            knobs.pop("lambda")
        found.setdefault(digest(knobs | {"asked": list(asked)}), []).append(job)
    common = set.intersection(*(set(job.overrides) for job in jobs))
    return [Setting(name, tuple(members), _own(members[0], common)) for name, members in found.items()]


def _own(job: Job, common: set[str]) -> str:
    return shlex.join(word for word in job.overrides if word not in common and key_of(word) not in REPLICATE)


def shortened(job: Job, epochs: int) -> Job:
    """The job with other `epochs`, as if they had been typed, and the λ that its budget or tau then asks for."""
    if epochs != job.run.epochs:
        words = tuple(word for word in job.overrides if key_of(word) != "epochs")
        job = replace(job, run=replace(job.run, epochs=epochs), overrides=(*words, f"epochs={epochs}"), folder="")
    return with_lambda(job)


def score(rows: Sequence[Mapping[str, Any]], objective: str) -> float | None:
    """Mean of the objective over a setting's replicates; None unless each of them is done and has one."""
    values = [row.get(objective) if row.get("status") == "done" else None for row in rows]
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return math.fsum(numbers) / len(numbers) if len(numbers) == len(values) else None


def ranking(settings: Sequence[Setting], scores: Mapping[str, float | None], objective: str) -> list[Setting]:
    """Best first; those without a score last; ties by id, which no order of jobs or endings changes."""
    sign = -1.0 if objective == "val_accuracy" else 1.0

    def key(setting: Setting) -> tuple[bool, float, str]:
        value = scores[setting.id]
        return value is None, 0.0 if value is None else sign * value, setting.id

    return sorted(settings, key=key)


def _check(jobs: Sequence[Job], epochs: int, told: set[str]) -> None:
    try:
        for _ in check(jobs, told=told):
            pass
    except ConfigError as error:
        raise ConfigError(f"halving has a rung of {counted(epochs, 'epoch')}, and there: {error}") from error


def _rows(
    rung: int, epochs: int, ranked: Sequence[Setting], scores: Mapping[str, float | None], kept: int, spent: int
) -> Iterator[dict[str, Any]]:
    """A rung's rows of halving.csv, best setting first; `epochs_spent` counts on from `spent`."""
    for place, setting in enumerate(ranked):
        spent += epochs * len(setting.jobs)
        yield {
            "rung": rung,
            "epochs": epochs,
            "setting": setting.id,
            "overrides": setting.overrides,
            "replicates": len(setting.jobs),
            "score": scores[setting.id],
            "kept": place < kept,
            "epochs_spent": spent,
        }
