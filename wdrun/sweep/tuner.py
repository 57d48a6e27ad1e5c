"""The runs of a question, planned as they end: the source of a growing sweep, and the tables that tell of it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from wdrun.config import experiments
from wdrun.config.run import Job
from wdrun.storage import held
from wdrun.sweep.clock import Clock
from wdrun.sweep.outcome import FINAL, Outcome
from wdrun.sweep.source import Source
from wdrun.tables import verdicts
from wdrun.tables.columns import typed_row
from wdrun.terminal import screen
from wdrun.terminal.characters import shown
from wdrun.terminal.progress import say
from wdrun.tuning import rows, sentences
from wdrun.tuning.asking import Asked
from wdrun.tuning.plan import Plan, Verdict, plan
from wdrun.tuning.question import Budget, Next, Seen
from wdrun.tuning.standing import Run

ENDED = (*FINAL, "failed")  # statuses by which a run has a score, if only the worst
GAP = "  "
HEADERS = ("question", "difference", "interval", "pairs", "waits for")  # of the board
KEY = re.compile(r"[\w.+]+=(?=\S)")  # `optimizer=` of optimizer=sgd, not the one of λ = 0
NAMED = 16  # columns that a question's name has at least on the board


class Begun(NamedTuple):
    """A run that was given to train: what it is, when (nan: another process held it), how many train as one with it."""

    next: Next
    moment: float
    width: int


class Tuner(Source):
    """Plans the next runs of `asked.question` from those `seen`, and writes the verdicts as they stand after each.

    `side_by_side` runs train at once, or `width` as one computation.
    """

    def __init__(
        self, asked: Asked, seen: Iterable[Seen], clock: Clock, *, side_by_side: int = 1, width: int = 1
    ) -> None:
        self.asked, self.question, self.kinds, self.clock = asked, asked.question, asked.jobs, clock
        most = asked.budget.runs
        self.most = None if most is None else max(0, most - asked.others)  # runs of the question that there may be
        self.side_by_side, self.width = side_by_side, width
        self.seen = {(run.cell, run.seed): run for run in seen}
        self.training: dict[tuple[Path, str], Begun] = {}
        self.busy: list[Seen] = []  # runs that this command cannot train, so that it does without their settings
        self.look(1)
        self.told = {verdict.pair for verdict in self.plan.verdicts if _settled(verdict)}

    def look(self, count: int) -> None:
        """Plan anew: up to `count` runs, those that fit into the time."""
        left = self.clock.left
        seconds = None if left is None else max(0.0, left)
        waits = () if seconds is None else self._waits()
        budget = Budget(self.most, seconds, self.side_by_side, self.clock.a_run, waits)
        found = plan([*self.seen.values(), *self.busy], self.question, budget, count, self._begun)
        fitting = tuple(self._fitting(found.next))
        over = found.next and not fitting and not self.training
        verdicts = tuple(map(self._of_runs, found.verdicts))
        ended = "time" if over else found.ended if verdicts == found.verdicts else ""
        self.plan: Plan = replace(found, next=fitting, verdicts=verdicts, ended=ended)
        self.left = found.forecast

    def _waits(self) -> tuple[float, ...]:
        """Seconds until what trains here is expected to end, once for those that train as one."""
        here = [begun for begun in self.training.values() if not math.isnan(begun.moment)]
        apart = {(b.width, b.moment if b.width > 1 else number): b for number, b in enumerate(here)}.values()
        lasts = (self.clock.expected(b.next.cell.facet) * b.width - (self.clock.now() - b.moment) for b in apart)
        return tuple(max(0.0, seconds) for seconds in lasts)

    def _of_runs(self, verdict: Verdict) -> Verdict:
        """The verdict, not dropped for busy runs alone: nobody knows that those settings cannot be trained."""
        if not (self.busy and verdict.dropped):
            return verdict
        pair, setting = verdict.pair, self.question.setting
        facets = [pair.one] if pair.other is None else [pair.one, pair.other]
        lost = [run.cell for run in self.seen.values() if run.score == math.inf]
        known = any(setting(facet, cell) is not None for facet in facets for cell in lost)
        return verdict if known else replace(verdict, dropped="")

    @property
    def _begun(self) -> set[Run]:
        """The runs in training."""
        return {(begun.next.cell, begun.next.seed) for begun in self.training.values()}

    def more(self, count: int) -> list[Job]:
        """See `Source`."""
        self.look(min(count, max(self.side_by_side, self.width)))
        chosen = self.plan.next
        jobs = self._jobs(chosen)
        self.record()
        verdicts.append(self.asked.root, *map(self._decision, chosen, jobs))
        moment = self.clock.now()
        width = len(jobs) if self.width > 1 else 1
        for new, job in zip(chosen, jobs, strict=True):
            self.training[job.key] = Begun(new, math.nan if held(job.directory) else moment, width)
        self.left -= len(jobs)
        return jobs

    def _fitting(self, asked: Sequence[Next]) -> Iterator[Next]:
        """Those of the runs that would end in time; a facet's runs may take longer than the mean that `plan` knows."""
        before = 0.0
        for new in asked:
            if self.clock.fits(new.cell.facet, before):
                before += self.clock.expected(new.cell.facet) * (self.width > 1)
                yield new

    def _jobs(self, chosen: Sequence[Next]) -> list[Job]:
        if not chosen:
            return []
        lines = [self.question.words(new.cell, new.seed) for new in chosen]
        jobs, _ = experiments.sweep(lines, self.kinds[0].config_dir)
        # A run that diverges is an answer of the search, no failure of the command.
        return [replace(job, options=replace(job.options, allow_diverged=True)) for job in jobs]

    def _decision(self, new: Next, job: Job) -> dict[str, object]:
        """A row of decisions.csv."""
        cell = new.cell
        own = {"facet": self.question.facets[cell.facet].name, "setting": self.question.named(cell)}
        return {"phase": new.phase, **own, "seed": new.seed, "id": job.run.id, "known": new.known, "reason": new.reason}

    def end(self, outcome: Outcome) -> None:
        """Take note of how a run ended."""
        begun = self.training.pop(outcome.job.key, None)
        if begun is None:
            return
        cell, seed, *_ = begun.next
        if outcome.status not in ENDED:
            self.busy.append(Seen(cell, seed, math.inf))
            say(f"left out {self.question.named(cell)} with seed={seed}, until the command is typed again: it is busy")
            return
        row = typed_row(outcome.row)
        value = row.get(self.question.objective) if outcome.status == "done" else None
        score = math.inf if value is None or not math.isfinite(value) else self.question.sign * value
        self.seen[cell, seed] = Seen(cell, seed, score)
        took = (self.clock.now() - begun.moment) / begun.width
        if outcome.status == "done" and not outcome.skipped and begun.next.phase != "finish" and math.isfinite(took):
            self.clock.learn(cell.facet, took)

    def record(self) -> None:
        """Write verdict.csv and looks.csv as things stand, and say what has been decided since, unless it is over."""
        table = rows.verdict_rows(self.question, self.plan, list(self.seen.values()))
        verdicts.write(self.asked.root, table, rows.look_rows(self.question, self.plan))
        for verdict in self.plan.verdicts:
            if _settled(verdict) and verdict.pair not in self.told and not self.plan.ended:
                self.told.add(verdict.pair)
                say(sentences.verdict(self.question, verdict))

    def ahead(self) -> float:
        """See `Source`: until all is decided, or as many as may be."""
        bounds = [self.left]
        if self.most is not None:
            bounds.append(self.most - len(self._begun | self.seen.keys()))
        if self.clock.left is not None:
            bounds.append(self.clock.left / self.clock.a_run * self.side_by_side - len(self.training))
        return max(0.0, min(bounds))

    def lines(self, wide: int) -> list[str]:
        """See `Source`: a row an open question."""
        table = sentences.board(self.question, self.plan)
        return _fitted([HEADERS, *table], wide) if table else []


def _settled(verdict: Verdict) -> bool:
    return bool(verdict.answer.verdict or verdict.dropped)


def _widths(texts: Sequence[Sequence[str]]) -> list[int]:
    return [max(screen.cells(row[place]) for row in texts) for place in range(len(texts[0]))]


def _fitted(table: Sequence[Sequence[str]], wide: int) -> list[str]:
    """The rows in columns, no wider: the keys in a question's name go first, then the last columns; then it is cut."""
    texts = [[shown(text) for text in row] for row in table]
    widths = _widths(texts)
    if sum(widths) + len(GAP) * (len(widths) - 1) > wide:
        texts = [[KEY.sub("", name), *row] for name, *row in texts]
        widths = _widths(texts)
    while len(widths) > 1 and sum(widths[1:]) + len(GAP) * (len(widths) - 1) + min(NAMED, widths[0]) > wide:
        widths.pop()
    widths[0] = min(widths[0], wide - sum(widths[1:]) - len(GAP) * (len(widths) - 1))
    found = []
    for row in texts:
        parts = [screen.cut(text, width) for text, width in zip(row, widths, strict=False)]
        padded = (part + " " * (width - screen.cells(part)) for part, width in zip(parts, widths, strict=True))
        found.append(GAP.join(padded).rstrip())
    return found
