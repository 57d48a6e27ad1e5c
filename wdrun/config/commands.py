"""What each command takes and gives, defined once: defaults, refusals, its --help, completion and the README tables.

    COMMANDS["select"].values({"metric": "val_los", …})      metric=val_los: must be …; did you mean val_loss?

A setting is typed as text after the command; one that is not typed and has no default is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wdrun.accepts import Accepts, boolean, check, number, whole
from wdrun.config.keys import COUPLINGS, DIAGNOSTICS
from wdrun.config.options import option_names
from wdrun.errors import Exit


class Setting(NamedTuple):
    """A setting: its key, its default as it would be typed, what it accepts, what it does, and how its text is read."""

    key: str
    default: str
    accepts: Accepts
    meaning: str
    read: Callable[[str], Any] = str

    def value(self, text: str) -> Any:
        """What the text says; ConfigError where it is not accepted."""
        if text == self.default == "":
            return None
        found = self.read(text)
        check(self.key, text, self.accepts._replace(fits=lambda _: self.accepts.fits(found)))
        return found


class Command(NamedTuple):
    """A command: the words after its name, what it does, its settings, what it gives, the endings it can have."""

    words: str
    does: str
    gives: str
    settings: tuple[Setting, ...] = ()
    filters: bool = False  # whether the runs it reads can be picked by their knobs
    flags: tuple[str, ...] = ("config_dir",)
    ends: Mapping[Exit, str] = {}  # where the meaning of a code is another than usual

    @property
    def takes_knobs(self) -> bool:
        """Whether the words of a run may be typed after it."""
        return "key=value" in self.words

    @property
    def defaults(self) -> dict[str, str]:
        """The text of each setting that is not typed."""
        return {setting.key: setting.default for setting in self.settings}

    def values(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """The value of every setting; ConfigError for the first that is not accepted."""
        return {setting.key: setting.value(texts[setting.key]) for setting in self.settings}


def _choice(*options: str, why: str = "") -> Accepts:
    *others, last = options
    return Accepts(f"{', '.join(others)} or {last}{why}", lambda value: value in options, options)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _whole(text: str) -> Any:
    return int(text) if text.isdecimal() else text


def _list(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",")))


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _seconds(text: str) -> Any:
    """1h30m, 20m, 90s or 90 in seconds; the text where it is none of these."""
    parts = re.fullmatch(r"(?:([\d.]+)h)?(?:([\d.]+)m)?(?:([\d.]+)s?)?", text, re.ASCII)
    if parts is None:
        return text
    hours, minutes, seconds = (_number(part or "0") for part in parts.groups())
    numbers = all(isinstance(part, float) for part in (hours, minutes, seconds))
    return 3600 * hours + 60 * minutes + seconds if numbers else text


def _truth(text: str) -> Any:
    return {"true": True, "false": False}.get(text.casefold(), text)


MARGINS = {"val_loss": 0.02, "val_accuracy": 0.005}  # nats, share of right answers
FORMATS = ("svg", "png", "pdf")
METRIC = Setting(
    "metric", "val_loss", _choice("val_loss", "val_accuracy", why=": λ is not chosen on test data"),
    "the score that decides",
)  # fmt: skip
NUISANCE = Setting(
    "nuisance", "lr", Accepts("knobs of the runs, commas between them; nothing: none", lambda value: True),
    "knobs that are tuned away: at each λ their best value is taken", _names,
)  # fmt: skip
MARGIN = Setting(
    "margin", "", number(above=0)._replace(words="a number > 0, the difference of the metric that does not matter"),
    "the difference that matters, for “equivalent”; unless given 0.02 nats, or 0.005 of accuracy", _number,
)  # fmt: skip
ALLOWED = (
    Setting(
        "time", "", number(above=0)._replace(words="a time > 0, such as 90s, 20m, 1h30m or a number of seconds"),
        "how long this command may take; no run starts that does not fit", _seconds,
    ),
    Setting("runs", "", whole(1), "how many runs there may be in all, those of the folder among them", _whole),
)  # fmt: skip
FROM = Setting(
    "from", "", Accepts("a folder of runs", bool),
    "a finished sweep or question: each search starts from its best λ and lr, carried over, and takes fewer runs",
)  # fmt: skip
DECIDED = Setting("require.decided", "false", boolean(), "true: exit code 6 where a question is left undecided", _truth)
RULE = Setting(
    "rule", "min", _choice("min", "1se"), "which λ: that of the best mean, or the strongest within one standard error"
)
SCALE_LR = Setting(
    "scale_lr", "false", boolean(),
    "true: lr goes with the batch, in proportion under sgd, as its root under adam, nadam and rmsprop", _truth,
)  # fmt: skip
CONFIDENCE = Setting(
    "confidence",
    "0.95",
    number(above=0.5, below=1),
    "the level of every interval; those in figures are at 0.95",
    _number,
)
PLACE = "unless given the folder of the results, or one beside several of them named a+b after them"
OUT = Setting("out", "", Accepts("a folder", lambda value: True), f"where the tables go; {PLACE}")
PAGE = Setting("out", "", Accepts("a file", lambda value: True), f"where the page goes; {PLACE}, as report.html")
MEDIA = Setting(
    "formats", "svg,png",
    Accepts(
        f"one or more of {', '.join(FORMATS)}, such as formats=svg,pdf", lambda value: set(value) <= {*FORMATS}, FORMATS
    ),
    "the files of each figure", _list,
)  # fmt: skip
ROUNDS = Setting("rounds", "5", whole(1), "pairs of wdrun and the plain loop that are timed", _whole)
LAWFUL = tuple(
    Setting(key, "", Accepts(f"one or more of {of}, commas between them", bool, options), f"only these {key}s", _names)
    for key, of, options in (
        ("decay", "decay= in wdrun --help", ()),
        ("coupling", ", ".join(COUPLINGS[1:]), tuple(COUPLINGS[1:])),
        ("optimizer", "optimizer= in wdrun --help", ()),
    )
)
WEIGHTS = Setting(
    "weights", "", _choice("last", "best", "ema", why=": at the end, of the best validation score, or averaged"),
    "which weights are measured; unless given those that the run itself measures a split with",
)  # fmt: skip
MEASURES = tuple(
    Setting(key, "", Accepts(of, lambda value: True, options), meaning)
    for key, of, options, meaning in (
        ("evaluate", "one of evaluate= in wdrun --help", tuple(option_names("evaluate")),
         "the scores; single ones by evaluate.KEY=, as in evaluate.blur=[1,2]"),
        ("diagnostics", f"a list of {', '.join(DIAGNOSTICS)}", (), "what else of the weights"),
        ("device", "auto, cpu or cuda[:N]", ("auto", "cpu", "cuda"), "where; unless given as the run has it"),
        ("precision", "auto, fp32, bf16, tf32 or fp64", ("auto", "fp32", "bf16", "tf32", "fp64"), "the same"),
        ("threads", "auto or a count", (), "the same"),
        ("data.root", "a path", (), "where the run's data are here"),
    )
)  # fmt: skip

COMMANDS = {
    "data": Command(
        "[key=value …]",
        "fetch and verify CIFAR-10 now, or whatever data= names",
        "stdout says what was found and where it is kept",
        flags=("config", "config_dir"),
    ),
    "explain": Command(
        "[key=value …]",
        "say what a run's decay would do, without training",
        "stdout has the block that a run begins with, its scope, and a λ range worth sweeping; with -m of every run",
        flags=("multirun", "config", "config_dir"),
    ),
    "verify": Command(
        "[decay=NAME] [coupling=NAME] [optimizer=NAME]",
        "hold decays to their laws, your own with --config-dir; without a word the whole catalogue, which is minutes",
        "stdout has a line a pair: the laws that hold, those that are broken, those that do not apply",
        LAWFUL,
        ends={Exit.FAILED: "a law is broken"},
    ),
    "status": Command(
        "DIR…",
        "say how many runs are finished, and which are running, interrupted, failed or waiting",
        "stdout has a table a folder, with --json an object a line; run.csv files are read, nothing is written",
        filters=True,
        flags=("config_dir", "json"),
        ends={Exit.FAILED: "with --json: a run failed", Exit.UNFINISHED: "with --json: runs are not finished"},
    ),
    "evaluate": Command(
        "DIR… [evaluate=NAME] [diagnostics=[…]]",
        "measure finished runs later, without training, as they would have measured themselves",
        "stdout has a row a split, corruption and attack; evaluation.csv and the tables beside it are written into "
        "each run's folder and, of all runs, into the folder above",
        (*MEASURES, WEIGHTS),
        filters=True,
        flags=("config_dir", "json"),
        ends={Exit.FAILED: "not one run could be measured"},
    ),
    "select": Command(
        "DIR…",
        "choose λ on validation, with intervals, warnings and the runs that would settle them",
        "stdout has tables and sentences; selection.csv and leaderboard.csv are written beside the results",
        (METRIC, MARGIN, NUISANCE, CONFIDENCE, OUT),
        filters=True,
    ),
    "best": Command(
        "DIR…",
        "print the command line that reproduces the choice",
        "stdout has that one line, stderr why it is that one",
        (RULE, METRIC, MARGIN, NUISANCE, CONFIDENCE),
        filters=True,
    ),
    "report": Command(
        "DIR…",
        "write one offline HTML page and its figures",
        "stdout has the path of the page, stderr its sentences; figures/ is written beside it",
        (PAGE, MEDIA, METRIC, MARGIN, NUISANCE, CONFIDENCE),
        filters=True,
        flags=("config_dir", "watch"),
    ),
    "tune": Command(
        "[key=value …] | DIR",
        "find the best λ and tell what it gains: keys of several values are compared, λ and lr tuned unless given",
        "stdout has the verdicts and, where it is piped, a JSON line a run and one a verdict; verdict.csv, looks.csv "
        "and decisions.csv are written beside the runs",
        (*ALLOWED, MARGIN, FROM, DECIDED),
        flags=("config_dir", "json"),
        ends={Exit.REQUIREMENT: "require.decided=true, and a question is undecided"},
    ),
    "transfer": Command(
        "DIR… key=value …",
        "say which λ to take where these keys have another value, from the best λ of a finished sweep or question",
        "stdout has the λ with its interval, the equation with its numbers and the line to run, of each facet that the "
        "words name; with --json an object a line; nothing is trained",
        (METRIC, MARGIN, NUISANCE, SCALE_LR),
        flags=("config_dir", "json"),
    ),
    "bench": Command(
        "[key=value …]",
        "time this machine against a plain PyTorch loop: four standard rows, or one for the run that is typed",
        "stdout has a Markdown table, stderr what is being timed; nothing is kept",
        (ROUNDS,),
        flags=("config", "config_dir"),
    ),
}
FILTERS = (
    ("DIR", "a folder of runs, or tables alone: a folder with runs.csv, or a file with its columns"),
    ("KNOB=A,B", "only the runs with one of these values, as in lambda=0,0.01, seed=range(0,3) or lr=interval(0.01,1)"),
    ("KNOB!=A,B", "only the runs with none of them, as in 'lambda!=0.1'"),
)
SPELLED = {  # flag -> how it is typed
    "multirun": ("-m", "--multirun"),
    "config": ("--config",),
    "config_dir": ("--config-dir", "-cd"),
    "json": ("--json",),
    "watch": ("--watch",),
}
