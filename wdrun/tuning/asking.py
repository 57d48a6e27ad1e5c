"""What was typed after `wdrun tune`, or a folder of runs -> the question, and what may be spent on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wdrun.config import axes, experiments, names, own_keys, typed
from wdrun.config.axes import is_axis, key_of, keys, override
from wdrun.config.commands import COMMANDS, MARGINS
from wdrun.config.keys import SAME
from wdrun.config.options import GROUPS, option_names
from wdrun.config.run import Job, SweepOptions
from wdrun.errors import ConfigError
from wdrun.tables import carried
from wdrun.tuning import swept
from wdrun.tuning.facets import Interval, of_lines
from wdrun.tuning.question import Budget, Facet, Question
from wdrun.wording import counted

OF_ALL = ("objective", "parallel", "fuse", "fail_fast")  # what may be asked of the runs of a folder
MANY = 30  # comparisons beyond which it is said that a list is compared, and an interval searched
OWN = ("lambda", "lr", "seed", "fold", "folds", "data.folds")  # keys of an experiment's sweep that are not compared


@dataclass(frozen=True)
class Asked:
    """A question and how it may be answered.

    `jobs` are the first run of each facet, in their order, λ and the other tuned keys at their start. `seconds` are
    those that the command may take, None without a bound; `root` is the folder of the runs, which holds `others` that
    are none of the question's; `source` is the folder that λ is carried from; `notes` are to be said.
    """

    question: Question
    options: SweepOptions
    jobs: tuple[Job, ...]
    budget: Budget
    seconds: float | None
    require_decided: bool
    root: Path
    notes: tuple[str, ...] = ()
    others: int = 0
    source: Path | None = None


def asked(words: Sequence[str], config_dir: str | None = None) -> Asked:
    """The question of these words; ConfigError, in one line, for what cannot be asked."""
    settings, rest = _settings(words)
    names.check_settings(rest, "tune")
    names.check(rest, config_dir)
    typed.check(rest)
    rest = typed.one_name(rest)
    intervals = [_interval(word) for word in rest if _is_interval(word)]
    plain = [word for word in rest if not _is_interval(word)]
    _check_words(plain, intervals)
    notes: list[str] = []

    def compared(carried: Mapping[str, Any]) -> list[str]:
        """What an experiment compares, and that it sets no λ; what it bounds is among the intervals."""
        asks = _left(_compared(carried), rest, config_dir, notes.append)
        intervals.extend(_interval(word) for word in asks if _is_interval(word))
        compares = [word for word in asks if not _is_interval(word)]
        _check_words([*plain, *compares], intervals)
        return [*compares, *(f"{key}=null" for key in ("budget", "tau") if carried[key] is not None)]

    lines = experiments.lines(plain, True, config_dir, notes.append, compared)
    return _asked(of_lines(lines, intervals, config_dir), settings, config_dir, notes)


def of_folder(folder: Path, words: Sequence[str], config_dir: str | None = None) -> Asked:
    """The question that a finished sweep leaves: its facets as `select` finds them, λ tuned, and lr where it varies.

    `words` are settings of the command, not knobs: those are in the folder. Its runs are there to search with.
    """
    settings, rest = _settings(words)
    for word in rest:
        if key_of(word) not in OF_ALL:
            takes = ", ".join(f"{key}=" for key in (*settings, *OF_ALL))
            raise ConfigError(f"{word}: {folder} has the knobs of its runs; wdrun tune DIR takes {takes}")
    lines, config_dir = swept.lines(folder, config_dir)
    found = _asked(of_lines([[*line, *rest] for line in lines], [], config_dir), settings, config_dir, [])
    if found.root.resolve() != folder.resolve():
        raise ConfigError(f"{folder}: its runs were typed for {found.root}; give the folder that they lie in")
    kept = {row.id: row.source for row in carried.read(folder)}
    sources = {kept.get(job.run.id) for job in found.jobs}
    if found.source is None and len(sources) == 1 and (source := sources.pop()):
        return replace(found, source=Path(source))
    return found


def _settings(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The command's own settings, and the words that are a run's."""
    texts = dict(COMMANDS["tune"].defaults)
    own = {key_of(word): word.partition("=")[2] for word in words if key_of(word) in texts}
    return COMMANDS["tune"].values(texts | own), [word for word in words if key_of(word) not in texts]


def _asked(facets: Sequence[Facet], settings: Mapping[str, Any], config_dir: str | None, notes: list[str]) -> Asked:
    """The question that compares these facets."""
    starts = [tuple(axis.start for axis in facet.space.axes) for facet in facets]
    question = Question(tuple(facets), 1.0)
    lines = [question.words(question.cell(place, start), 0) for place, start in enumerate(starts)]
    jobs, options = experiments.sweep(lines, config_dir)
    margin = settings["margin"] or MARGINS[options.objective]
    question = Question(tuple(facets), margin, options.objective)
    if not question.pairs:
        raise ConfigError(
            f"{facets[0].name}: nothing to compare: there is no λ to tune and no key has several values; name a decay, "
            "such as decay=l2, or several values of a key"
        )
    if options.objective == "val_accuracy" and jobs[0].run.data["name"] == "regression":
        raise ConfigError("objective=val_accuracy: data=regression has no accuracy; take objective=val_loss")
    if len(question.pairs) > MANY:
        notes.append(
            f"{counted(len(question.pairs), 'comparison')} are asked for; key=interval(low,high) searches a key "
            "instead of comparing each of its values with all others"
        )
    side = options.parallel if isinstance(options.parallel, int) else 1
    budget = Budget(settings["runs"], settings["time"], side)
    decided = settings["require.decided"]
    source = Path(settings["from"]) if settings["from"] else None
    return Asked(
        question, options, tuple(jobs), budget, settings["time"], decided, jobs[0].root, tuple(notes), source=source
    )


def _is_interval(word: str) -> bool:
    return len(keys(word)) == 1 and "interval(" in word and bool(override(word).is_interval_sweep())


def _interval(word: str) -> Interval:
    value: Any = override(word).value()
    if not value.start < value.end:
        raise ConfigError(f"{word}: must be interval(low,high) with low < high")
    return Interval(word, key_of(word), float(value.start), float(value.end))


def _check_words(plain: Sequence[str], intervals: Sequence[Interval]) -> None:
    """ConfigError for a key that is the tuner's own, or is said twice."""
    given = {key: word for word in plain for key in keys(word)}
    for number, interval in enumerate(intervals):
        other = given.get(interval.key) or next((i.word for i in intervals[:number] if i.key == interval.key), None)
        if other:
            raise ConfigError(f"{interval.word}: {other} is given too; both set {interval.key}")
    for key, why in REFUSED.items():
        named = given.get(key) or next((interval.word for interval in intervals if interval.key == key), None)
        if named and not named.endswith(("=null", "=false")):
            raise ConfigError(f"{named}: {why}")
    for key in ("fold", "data.folds"):
        if key in given and (is_axis(given[key]) or given[key].startswith("folds=")):
            raise ConfigError(f"{given[key]}: must be one value in wdrun tune, which compares by seeds alone")


REFUSED = {
    "seed": "leave it out; the seeds of wdrun tune are its own, some to search with and others to tell the verdict",
    "budget": "leave it out; wdrun tune finds λ itself, or compares the one of lambda=…",
    "tau": "leave it out; wdrun tune finds λ itself, or compares the one of lambda=…",
    "as_written": "leave it out; the text of an article has its own λ",
}


def _left(asks: Sequence[str], given: Sequence[str], config_dir: str | None, say: Callable[[str], None]) -> list[str]:
    """What an experiment asks, but of no key that is typed, nor one that none of the options typed has."""
    found = []
    for word in experiments.not_typed(typed.one_name(asks), given):
        group, dot, _ = key_of(word).partition(".")
        chosen = next((other for other in reversed(given) if group in keys(other)), None)
        if dot and chosen and group in GROUPS and len(keys(word)) == 1:
            points = [part for point in axes.expand([chosen], config_dir) for part in point if key_of(part) == group]
            options = [typed.spell(point, config_dir).partition("=")[2] for point in points]
            known = {*options} <= {*option_names(group, config_dir)}
            if known and not own_keys.options_having(group, options, [key_of(word)], config_dir)[key_of(word)]:
                say(f"{key_of(word)}: left out; the experiment asks about it, {chosen} has no such key")
                continue
        found.append(word)
    return found


def _compared(carried: Mapping[str, Any]) -> list[str]:
    """What an experiment compares: its `ask:`, else the axes of its `sweep:` without λ, lr, seeds and folds."""
    if carried["ask"]:
        return list(carried["ask"])
    found = []
    for word in carried["sweep"]:
        points = axes.expand([word])
        left = [[part for part in point if SAME.get(key_of(part), key_of(part)) not in OWN] for point in points]
        if any(left):
            together = "+".join(map(key_of, left[0]))
            values = (":".join(part.partition("=")[2] for part in point) for point in left)
            found.append(f"{together}={','.join(dict.fromkeys(values))}")
    return found
