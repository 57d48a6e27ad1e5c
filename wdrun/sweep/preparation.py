"""Jobs before anything is written: equal runs once, each structure seen to be buildable, how all are to train."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path

from wdrun import cores
from wdrun.config.axes import key_of
from wdrun.config.keys import STRENGTH
from wdrun.config.run import Job, Options, Run, SweepOptions
from wdrun.errors import ConfigError
from wdrun.sweep import loggers
from wdrun.sweep.one_run import ready
from wdrun.sweep.outcome import FINAL
from wdrun.tables.identity import FORMER, identity_of
from wdrun.tables.sound import run_of, whole
from wdrun.terminal.progress import say
from wdrun.training.trainer import Trainer


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, of equal runs the first, with all that any of them requires of the run.

    Those that a version with other ids began are in the folders it gave them.
    """
    found: dict[tuple[Path, str], Job] = {}
    for job in jobs:
        if (first := found.setdefault(job.key, job)).options != job.options:
            both, more = first.options, job.options
            least = {key: max(filter(None, (a, more.require[key])), default=a) for key, a in both.require.items()}
            allowed = both.allow_diverged and more.allow_diverged
            kept = both.keep_state or more.keep_state
            asked = replace(both, require=least, allow_diverged=allowed, keep_state=kept)
            found[job.key] = replace(first, options=asked)
    former: dict[Path, dict[str, str]] = {}
    for root in {job.root for job in found.values()}:
        former[root] = _former(root, [job for job in found.values() if job.root == root])
    return [replace(job, folder=former[job.root].get(job.run.id, "")) for job in found.values()]


def _former(root: Path, jobs: Sequence[Job]) -> dict[str, str]:
    """Of the jobs' runs that have a folder with a former id, its name by their id; of several the one furthest on.

    The readable part of a name is the same as ever, so only folders that share it with a job are looked into.
    """
    slugs = {job.run.slug[: -len(job.run.id)]: job for job in jobs} if root.is_dir() else {}
    names = sorted(path.name for path in root.iterdir() if FORMER.fullmatch(path.name[-8:])) if slugs else []
    found: dict[str, list[str]] = {}
    for name in names:
        if name[:-8] in slugs and (root / name / "run.csv").is_file():
            try:
                found.setdefault(identity_of(root / name), []).append(name)
            except (OSError, ValueError) as error:
                say(f"{root / name}: not known of which run it is, so it is left alone: {error}")
    chosen = {}
    for job in jobs:
        if job.run.id in found:
            best = max([job.run.slug, *found[job.run.id]], key=lambda name: _progress(root / name))
            chosen[job.run.id] = best if best != job.run.slug else ""
    return chosen


def _progress(directory: Path) -> tuple[bool, bool, int]:
    """How far a folder's run is: one that ended before all others, then by epochs; none is there before any is."""
    try:
        row = run_of(*whole(directory / "run.csv"))
    except (OSError, ValueError):
        return False, (directory / "run.csv").is_file(), 0
    return row["status"] in FINAL, True, int(row["epochs_done"] or 0)


def why_equal(jobs: Sequence[Job]) -> list[str]:
    """Why some of the jobs are the run of an earlier one, each reason once."""
    first: dict[Path, Job] = {}
    pairs = [(first.setdefault(job.directory, job), job) for job in jobs]
    return list(dict.fromkeys(reason for one, other in pairs if one is not other for reason in _reasons(one, other)))


def _reasons(one: Job, other: Job) -> list[str]:
    """Why two jobs are one run: of each key that is typed otherwise, why that changes nothing."""
    a, b = ({key_of(word): word for word in job.overrides} for job in (one, other))
    asked = {field.name for options in (Options, SweepOptions) for field in fields(options)} - {*STRENGTH}
    found = []
    for key in sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key)):
        if key in STRENGTH and one.run.decay["name"] == "none":
            found.append(f"decay=none is the same run for every {'λ' if key == 'lambda' else key}")
        elif key.partition(".")[0] in asked:
            found.append(f"{key} changes no run")
        else:
            found.append(f"{a.get(key, f'no {key}')} and {b.get(key, f'no {key}')} are the same run")
    return found or ["a value is given twice"]


def check(jobs: Sequence[Job], build: Callable[[Run], Trainer] = ready) -> Iterator[Trainer]:
    """The trainer of the first run of each structure, fold and data.root: what is wrong is known before all else.

    What a user should know of the models is said, each thing once.
    """
    for name in {job.options.logger for job in jobs}:
        loggers.check(name)
    first: dict[tuple[object, ...], Run] = {}
    for job in jobs:
        first.setdefault((job.run.structure, job.run.fold, str(job.run.data.get("root"))), job.run)
    told: set[str] = set()
    for run in first.values():
        trainer = build(run)
        own = len(jobs) > 1 and run.model.get("_target_")  # of one run its own block says it
        notes = trainer.found.notes if own and trainer.found else ()
        for note in notes:
            if note not in told:
                say(f"note: model={run.model['name']}: {note}")
        told.update(notes)
        yield trainer


def ways(
    jobs: Sequence[Job],
    options: SweepOptions,
    build: Callable[[Run], Trainer] = ready,
    *,
    growing: bool = False,
) -> tuple[int, bool]:
    """Check the jobs; how many processes are to train them, and whether alike runs train as one computation.

    Unless it is `growing`, more than these that is, a sweep has no more processes than jobs.

    The threads are divided into as many parts. Both follow from the whole sweep, not from what is left of it: a run
    resumed has the threads it began with.
    """
    on_gpu, threads = False, set()
    for trainer in check(jobs, build):
        on_gpu |= trainer.machine.device.type != "cpu"
        threads.add(trainer.run.threads)
    fuse = options.fuse is True or (options.fuse == "auto" and on_gpu)
    if fuse and options.parallel not in (1, "auto"):
        raise ConfigError(
            f"parallel={options.parallel}: runs that train as one computation do so in one process; "
            "use parallel=1, or fuse=false"
        )
    if fuse:
        return 1, True
    asked = 1 if on_gpu and options.parallel == "auto" else cores.processes(options.parallel, threads)
    processes = asked if growing else min(asked, len(jobs))
    if processes > 1 and on_gpu:
        raise ConfigError(
            f"parallel={options.parallel}: processes that share a GPU take turns on it; use parallel=1, or device=cpu"
        )
    return processes, False
