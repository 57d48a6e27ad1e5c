"""`wdrun tune … from=DIR`: where the search of each facet starts, by the rule of transfer from the best of DIR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from wdrun.config.run import Job, Run
from wdrun.errors import ConfigError, StorageError
from wdrun.sweep.one_run import ready
from wdrun.sweep.transfer import facts, placed_as
from wdrun.tables import carried
from wdrun.tables.carried import Carried
from wdrun.tables.read import load
from wdrun.tuning import transfer
from wdrun.tuning.asking import Asked
from wdrun.tuning.equation import ranged
from wdrun.tuning.finished import Best, bests
from wdrun.tuning.prior import Prior
from wdrun.tuning.question import Facet, Question
from wdrun.tuning.space import Space
from wdrun.tuning.transfer import Facts, Prediction
from wdrun.wording import listed, rough, short


class Origin(NamedTuple):
    """The folder that λ is carried from: its bests, and a line for each thing in it that cannot be read."""

    path: Path
    bests: Sequence[Best]
    problems: Sequence[str]


def starts(asked: Asked, question: Question, here: Sequence[Facts]) -> tuple[Question, list[Carried], list[str]]:
    """The question with its searches started from DIR, the rows that are to be kept of it, and the lines to say.

    `here` are the facts of each facet's first run. What was carried before stays, as the same line must ask for the
    same runs; so do rows of other facets. ConfigError where nothing is known of DIR, and nothing was carried from it
    before.
    """
    ids = [job.run.id for job in asked.jobs]
    table = carried.read(asked.root)
    kept, others = ([row for row in table if (row.id in ids) is own] for own in (True, False))
    if asked.source is None:
        path = asked.root / carried.NAME
        return question, [], [f"{path}: is not looked at without from={row.source}" for row in kept[:1]]
    source, lines = str(asked.source), []
    before = {row.id: row for row in kept if row.source == source}
    try:
        found = _origin(asked, question)
        lines += [f"from={source}: {problem}" for problem in found.problems]
        now = _rows(found, question, asked.jobs, here)
    except (ConfigError, StorageError) as error:
        if not before.keys() >= {*ids}:
            raise ConfigError(f"from={source}: {error}") from error
        lines.append(f"from={source}: {error}; λ starts where it was carried to before")
        now = [before[name] for name in ids]
    rows = [before.get(row.id, row) for row in now]
    if other := next((row.source for row in kept if row.source != source), ""):
        lines.append(f"from={source}: counts from now on; so far λ was carried from {other}")
    changed = [row.facet for row, new in zip(rows, now, strict=True) if not row.same(new)]
    if changed:
        lines.append(
            f"from={source}: says something else of {listed(changed, 8)} now; λ starts where it was carried to before, "
            "so that the same line asks for the same runs; another name=… starts anew"
        )
    lines += [f"{row.facet}: {row.why}" for row in rows if row.why]
    facets = [_started(facet, row) for facet, row in zip(question.facets, rows, strict=True)]
    return replace(question, facets=tuple(_alike(replace(question, facets=tuple(facets))))), [*others, *rows], lines


def _origin(asked: Asked, question: Question) -> Origin:
    assert asked.source
    if not asked.source.exists():
        raise ConfigError("no such folder")
    if asked.source.resolve() == asked.root.resolve():
        raise ConfigError("is the folder of this question itself; its runs choose in any case")
    found, config_dir = load([asked.source], tables=()), asked.jobs[0].config_dir
    own = bests(found, metric=question.objective, margin=question.margin, config_dir=config_dir)
    return Origin(asked.source, own, found.problems)


def _rows(source: Origin, question: Question, jobs: Sequence[Job], here: Sequence[Facts]) -> list[Carried]:
    found = []
    for facet, job, facts_here in zip(question.facets, jobs, here, strict=True):
        row = Carried(facet.name, job.run.id, str(source.path))
        if facet.decays:
            try:
                row = _row(row, source, facet.space, facts_here)
            except ConfigError as error:
                row = row._replace(why=f"searched as without from={source.path}: {error}")
        found.append(row)
    return found


def _row(row: Carried, source: Origin, space: Space, here: Facts) -> Carried:
    """What the source says of a facet; ConfigError, in one sentence, where that is nothing."""
    best, lr, bare = _nearest(source, space, here.run)
    lam = space.axes[0]
    start = {axis.key: axis.start for axis in space.axes} | ({} if math.isnan(lr) else {"lr": lr})
    setting, usual = tuple(start.values()), tuple(axis.start for axis in space.axes)
    factor = space.middle(usual) / space.middle(setting)  # λ with a D, at the usual lr, over the λ with it at this one
    if not math.isnan(lr):
        pull = here.per_lambda and here.per_lambda * (1.0 if math.isnan(factor) else factor)
        here = replace(here, run=replace(here.run, lr=lr), per_lambda=pull)
    assert best.run
    found = transfer.predict(best, facts(ready(placed_as(best.run, here.run))), here)
    if not lam.low <= found.lam <= lam.high:
        ends = f"interval({short(lam.low)},{short(lam.high)})"
        raise ConfigError(f"λ = {rough(found.lam)} is expected, which is outside {ends}")
    if not space.acts((found.lam, *setting[1:])):
        raise ConfigError(f"λ = {rough(found.lam)} is expected, which cannot act here")
    return row._replace(lam=found.lam, low=found.low, high=found.high, lr=lr, bare=bare, why=_said(found, lr, source))


def _nearest(source: Origin, space: Space, here: Run) -> tuple[Best, float, float]:
    """The best of the facet there that differs least, with the lr to start from; ConfigError where no rule holds."""
    whys: list[str] = []
    known: list[tuple[int, int, tuple[Best, float, float]]] = []
    rate = next((axis for axis in space.axes if axis.key == "lr"), None)
    for best in source.bests:
        if best.run is None:
            whys.append(f"{best.facet}: {best.refused}")
            continue
        lr, bare = (min(max(x, rate.low), rate.high) if rate else math.nan for x in (best.lr, best.bare))
        try:
            changed = transfer.changes(best.run, here if math.isnan(lr) else replace(here, lr=lr))
        except ConfigError as error:
            whys.append(str(error))
            continue
        known.append((len(changed), len(known), (best, lr, bare)))
    if not known:
        raise ConfigError("; ".join(dict.fromkeys(whys)))
    return min(known)[-1]


def _said(found: Prediction, lr: float, source: Origin) -> str:
    rate = "" if math.isnan(lr) else f" and lr at {short(lr)}"
    there = found.best
    return (
        f"λ starts at {rough(found.lam)} ({ranged(found.low, found.high)}){rate}, carried from {source.path}: there "
        f"λ = {rough(there.lam)} is best at lr = {short(found.there.run.lr)}, which is D = {rough(found.total_there)}; "
        f"expected here is D = {rough(found.total)}"
    )


def _started(facet: Facet, row: Carried) -> Facet:
    """The facet whose search starts from where the row says."""
    if math.isnan(row.lam):
        return facet
    space = facet.space
    start = {"lambda": float(f"{row.lam:.2g}")} | ({} if math.isnan(row.lr) else {"lr": row.lr})
    axes = tuple(
        replace(axis, start=min(max(start.get(axis.key, axis.start), axis.low), axis.high)) for axis in space.axes
    )
    below = math.log10(row.lam / row.low) if row.low else math.inf
    prior = Prior(below, math.log10(row.high / row.lam), not math.isnan(row.lr), row.bare)
    zero = min(space.zero, math.log10(row.lam) - 1)
    return replace(facet, space=replace(space, axes=axes, zero=zero, prior=prior))


def _alike(question: Question) -> list[Facet]:
    """The facets, those that share their λ = 0 with one lr to start it from: that of the first that has a prior."""
    first: dict[int, Prior] = {}
    for place, facet in enumerate(question.facets):
        if facet.space.prior and facet.space.prior.rates:
            first.setdefault(question.home(place), facet.space.prior)
    found = []
    for place, facet in enumerate(question.facets):
        space, shared = facet.space, first.get(question.home(place))
        if shared and space.prior and space.prior.rates:
            facet = replace(facet, space=replace(space, prior=replace(space.prior, bare=shared.bare)))
        elif shared and not space.decays and any(axis.key == "lr" for axis in space.axes):
            facet = replace(facet, space=replace(space, prior=Prior(math.inf, math.inf, True, shared.bare)))
        found.append(facet)
    return found
