"""`wdrun tune key=value …`: from a question to its verdicts. Plans runs, trains them, and says what they tell.

It keeps nothing of its own: what is asked next follows from the tables of the folder, so the same line goes on where
a killed one was. verdict.csv, looks.csv and decisions.csv are written as it goes, and plan nothing; carried.csv, of a
question with from=, says where its searches started.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from wdrun import devices
from wdrun.config import targets
from wdrun.config.axes import engine_words, key_of
from wdrun.errors import Exit
from wdrun.storage import planning
from wdrun.sweep import announcement, launch, on_change
from wdrun.sweep.carried import starts
from wdrun.sweep.clock import Clock, seconds_of
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import ready, shared_out
from wdrun.sweep.outcome import Outcome, print_result, tell_missed, worst
from wdrun.sweep.preparation import ways
from wdrun.sweep.signals import Interrupted
from wdrun.sweep.strength import with_strength
from wdrun.sweep.transfer import facts
from wdrun.sweep.tuner import Tuner
from wdrun.tables import carried, ownership, verdicts
from wdrun.tables.carried import Carried
from wdrun.tables.read import load
from wdrun.tables.verdicts import Records
from wdrun.terminal import results, screen
from wdrun.terminal.progress import say
from wdrun.terminal.tables import Column, laid_out
from wdrun.training import fused
from wdrun.training.trainer import Trainer
from wdrun.tuning import asking, sentences
from wdrun.tuning.asking import Asked
from wdrun.tuning.observed import cells, observed
from wdrun.tuning.plan import Plan
from wdrun.tuning.question import Seen
from wdrun.tuning.transfer import Facts
from wdrun.wording import difference, interval

WIDEST = 32  # runs that are planned at once where they train as one: with more, each knows less of the others
Tell = Callable[[Outcome], None]
COLUMNS = [
    Column("question", wraps=True), Column("verdict"), Column("difference", right=True),
    Column("interval", right=True, drop=2), Column("pairs", right=True, drop=1), Column("at", wraps=True),
]  # fmt: skip


@dataclass(frozen=True)
class Tuned:
    """How a question ended: its last plan, the tables that its folder has of it, and the command's exit code."""

    plan: Plan
    records: Records
    code: int


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """Tune; stdout gets a JSON line a run and one a verdict, on a terminal without --json a table of the verdicts."""
    try:
        with results.alone():
            found = tune(words, flags["config_dir"], partial(print_result, always=flags["json"]), flags["began"])
    except Interrupted as interrupted:
        return interrupted.exit_code
    table = found.records.verdicts.to_dict("records")
    if sys.stdout.isatty() and not flags["json"]:
        print("\n".join(laid_out(COLUMNS, [_row(row) for row in table], screen.columns(), rule=True)))
    else:
        for row in table:
            known = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in row.items()}
            print(json.dumps({"question": known}, allow_nan=False), flush=True)
    return found.code


def _row(row: Mapping[Any, Any]) -> list[str]:
    """A row of verdict.csv for a person."""
    metric = row["objective"]
    ends = interval(row["low"], row["high"], metric, signed=True)
    question = f"{row['facet']} against {row['against']}"
    return [question, row["verdict"], difference(row["difference"], metric), ends, str(row["pairs"]), row["setting"]]


def tune(
    words: Sequence[str],
    config_dir: str | None = None,
    tell: Tell = lambda outcome: None,
    began: float | None = None,
) -> Tuned:
    """Train what the question of these words asks for, until it is settled or its budget is spent.

    `tell` hears of each run as it ends; `began`: when the time allowed did, by the monotonic clock. ConfigError, before
    anything is created, for what cannot be asked, or where not one run fits.
    """
    clock = Clock(began)
    engine = engine_words(words)
    asked = _asked([word for word in words if word not in engine], config_dir)
    clock.seconds = asked.seconds
    workers = launch.workers(engine) if engine else None
    ownership.check([asked.root])
    verdicts.check(asked.root)
    tuner, rows = _tuner(asked, workers, clock)
    announcement.check_budget(tuner, next((word for word in reversed(words) if key_of(word) == "time"), ""))
    for line in announcement.lines(tuner):
        say(line)

    def end(outcome: Outcome) -> None:
        tuner.end(outcome)
        tell(outcome)

    with planning(asked.root):
        try:
            if rows:
                carried.write(asked.root, rows)
            if workers is None:
                outcomes = execute((), asked.options, end, source=tuner)
            else:
                config_dir, fail_fast = asked.jobs[0].config_dir, asked.options.fail_fast
                outcomes = launch.grow(tuner, end, engine, asked.root, config_dir, fail_fast=fail_fast)
                tell_missed(outcomes)
        finally:
            tuner.look(1)
            tuner.record()
    for line in sentences.ended(tuner.question, tuner.plan, tuner.clock.a_run, tuner.side_by_side):
        say(line)
    codes = [outcome.code for outcome in outcomes]
    records = verdicts.read(asked.root)
    assert records is not None  # written above
    undecided = bool((records.verdicts["verdict"] == "undecided").any())
    codes += [Exit.REQUIREMENT] * (asked.require_decided and undecided)
    return Tuned(tuner.plan, records, worst(codes))


def _asked(words: Sequence[str], config_dir: str | None) -> Asked:
    """The question of the words; of a first word that is a folder, what its runs leave open."""
    if words and "=" not in words[0] and not words[0].startswith("~"):
        return asking.of_folder(Path(words[0]), words[1:], config_dir)
    return asking.asked(words, config_dir)


def _tuner(asked: Asked, workers: int | None, clock: Clock) -> tuple[Tuner, list[Carried]]:
    """The tuner of what was asked: with what decay can do, what was trained before, and how long runs take here.

    And the rows of carried.csv.
    """
    targets.announce(asked.jobs)
    processes, fuse = ways(asked.jobs, asked.options, growing=True) if workers is None else (workers, False)
    share = processes if workers is None else 1
    seen, others = _seen(asked, share)
    guesses, widths = [], []
    known: list[Facts] = []

    def looked_at() -> Iterator[Trainer]:
        """Each facet's trainer once: what is to be known of it is known when the next is asked for."""
        for facet, job in enumerate(asked.jobs):
            trainer = ready(job.run)
            yield trainer
            known.extend([facts(trainer)] if asked.source else [])
            guesses.append(_guess(seen, facet, trainer, share))
            widths.append(fused.chunk(WIDEST, trainer) if fuse and not fused.fusable(trainer) else 1)

    question, lines = with_strength(asked.question, looked_at(), asked.jobs[0].config_dir)
    question, rows, more = starts(asked, question, known)
    clock.guesses = guesses
    asked = replace(asked, question=question, notes=(*asked.notes, *lines, *more), others=others)
    return Tuner(asked, seen, clock, side_by_side=processes, width=min(widths)), rows


def _seen(asked: Asked, share: int) -> tuple[list[Seen], int]:
    """The runs of the question that the folder has, and how many others there are that have not failed.

    With the seconds of those that took as many threads: a run's that trains here on a `share`-th of the machine's.
    """
    if not ownership.has_runs(asked.root):
        return [], 0
    found = load([asked.root], tables=("timing",))
    for problem in found.problems:
        say(f"warning: {problem}")
    run = asked.jobs[0].run
    threads = shared_out(devices.resolve(run.device, run.precision, run.threads), run, share).threads
    own = any(targets.own_classes(job.run) for job in asked.jobs)
    places = cells(found.runs, asked.question, asked.jobs) if own else {}
    jobs = {row: asked.jobs[cell.facet] for row, cell in places.items()}
    runs = found.runs.drop(index=found.runs.index[on_change.outdated(found.runs, jobs)])
    alike = runs.loc[runs["threads_used"] == threads, "id"]
    timing = found.timing[found.timing["id"].isin(alike)]
    seen = observed(runs, asked.question, asked.jobs, timing)
    return seen, int((runs["status"] != "failed").sum()) - len(seen)


def _guess(seen: Sequence[Seen], facet: int, trainer: Trainer, share: int) -> float:
    """Seconds that a run of the facet is expected to take: as those did that there are, else by some of its steps."""
    took = [run.seconds for run in seen if run.cell.facet == facet and run.seconds > 0 and math.isfinite(run.score)]
    return sum(took) / len(took) if took else seconds_of(trainer, share)
