"""The generated parts of every README, made from the code: `python -m tests.documents` rewrites them.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; `PARTS` says what makes it. With the name of a file
that holds the output of `pytest --durations=20`, the list of the slowest tests is rewritten too.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from tests import test_imports as plan
from tests.peers.rows import LAM, ROWS
from wdrun import laws
from wdrun.config import commands, help
from wdrun.config.compose import compose
from wdrun.config.help import summary
from wdrun.config.options import GROUPS, conf_dir, option_names
from wdrun.config.parse import parse
from wdrun.data import reading
from wdrun.decay import COUPLINGS
from wdrun.explain import regularizer
from wdrun.selection.kinds import KINDS as FINDINGS
from wdrun.tables import carried
from wdrun.tables.columns import CODE, EVALUATIONS, FACTORS, PREDICTIONS, RUN, TABLES
from wdrun.tables.verdicts import RECORDS

ROOT = Path(__file__).resolve().parent.parent
CONF = conf_dir()
PLACES = ("wdrun", "conf", "tests", ".github")
FRONT = ROOT / "README.md"
DOCUMENTS = [FRONT, *sorted(path for place in PLACES for path in (ROOT / place).rglob("*.md"))]
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
BLOCKS = [(path, *block) for path, text in TEXTS.items() for block in FENCE.findall(text)]

DESCRIBED = (
    "api",
    "config",
    "data",
    "models",
    "report",
    "selection",
    "sweep",
    "tables",
    "training",
    "tuning",
)  # rooms whose README lists their files

KINDS = {str: "text", int: "whole number", float: "number"}
LAMBDA = "λ of this decay, unless `lambda=`, `budget=` or `tau=` says another"
# Numbers that every kind of finding can be said with, and those that only fit some kinds.
MADE_UP = {
    "runs": 12, "diverged": 2, "failed": 1, "missing": 2, "holes": 2, "repeated": 3, "cells": 12, "fewest": 4,
    "most": 8, "lambda": 0.1, "lambdas": [0.1, 1], "add": [1, 10], "acts": 5, "total_decay": 0.01, "strongest": 0.01,
    "at": 0.1, "looks": 3, "end": "largest", "knobs": ["lr"], "metric": "val_loss", "radius": False, "same": True,
    "epochs": 20, "shorter": 9, "n": 2, "pairs": 3, "seeds": 5, "needed": 40, "best": "decay=l2", "difference": 0.03,
    "low": -0.01, "high": 0.07, "confidence": 0.95, "margin": 0.02,
    "waiting": 13, "planned": 18, "lines": ["wdrun -m lambda=0.1,0.3 seed=0,1,2"], "shared": 4, "kept": 18,
    "words": "epochs=10", "data": ["data.train_examples=200", "data.train_examples=400"],
    "columns": ["torch_version", "commit"],
}  # fmt: skip
OF_KIND = {
    "nothing": {"knob": "lr", "add": [0.01]},
    "zero lost": {"knob": "lr", "add": [0.01]},
    "knob edge": {"knob": "lr", "add": [0.2, 0.5]},
    "lower edge": {"add": [0.01, 0.001]},
    "weaker": {"add": [0.01, 0.001]},
    "only zero": {"add": [1e-3, 1e-2, 0.1]},
    "weak grid": {"add": [5]},
    "missing": {"lambdas": [0.5], "n": [1]},
    "other question": {"knobs": ["epochs"], "runs": [6], "others": ["epochs=20"], "finished": ["epochs=20"]},
}
UNSAID = ("name", "_target_")  # an option's own name and class: no key to set, but for a model's _target_


class Key(NamedTuple):
    """A key of a config file: its path in there, its default as written, and its comment."""

    path: str
    default: str
    meaning: str


def table(header, rows):
    """A Markdown table."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    written = [f"| {' | '.join(row)} |" for row in [header, *escaped]]
    return "\n".join([written[0], "|---" * len(header) + "|", *written[1:]])


def code(text):
    return f"`{text}`"


# ---------------------------------------------------------------------------------------------------- conf/


def keys_of(path: Path) -> list[Key]:
    """The keys of a yaml file."""
    return [Key(*key) for key in help.keys_of(path.read_text(encoding="utf-8"))]


def top_level():
    return table(["key", "default", "meaning"], [(code(k), code(d), m) for k, d, m in keys_of(CONF / "config.yaml")])


def options():
    rows = [(code(f"{group}="), ", ".join(map(code, option_names(group)))) for group in GROUPS]
    return table(["group", "options"], rows)


def options_of(group):
    """The options of a group with the first line of each one's file."""
    texts = {name: (CONF / group / f"{name}.yaml").read_text(encoding="utf-8") for name in option_names(group)}
    return table(["option", "what it is"], [(code(f"{group}={name}"), summary(text)) for name, text in texts.items()])


def keys_of_group(group):
    """The keys of all options of a group; a key that many have with one default and meaning is one row."""
    files = sorted((CONF / group).glob("*.yaml"))
    options = [path for path in files if not path.stem.startswith("_")]
    shared = [] if len(options) == len(files) else keys_of(CONF / group / "_shared.yaml")
    usual = {key.path: key.meaning for key in shared} | {"lambda": LAMBDA}  # where an option only says its value
    rows: dict[Key, list[str]] = {key: [] for key in shared}
    for path in options:
        for key in keys_of(path):
            if key.path not in UNSAID or (group == "model" and key.path == "_target_"):
                rows.setdefault(key._replace(meaning=key.meaning or usual.get(key.path, "")), []).append(path.stem)
    order = list(dict.fromkeys(key.path for key in rows))
    written = []
    for key, having in sorted(rows.items(), key=lambda row: order.index(row[0].path)):
        which = "all" if key in shared or len(having) == len(options) else ", ".join(map(code, having))
        written.append((code(f"{group}.{key.path}"), code(key.default), key.meaning, which))
    return table(["key", "default", "meaning", "of the options"], written)


def engines():
    """The keys of the launchers and the sweeper that extras bring."""
    rows = []
    for path in sorted((CONF / "hydra").glob("*/wdrun_*.yaml")):
        group, name = path.parent.name, path.stem.removeprefix("wdrun_")
        for key in keys_of(path):
            row = code(f"hydra/{group}={name}"), code(f"hydra.{group}.{key.path}"), code(key.default)
            rows.append((*row, key.meaning or "the plugin's"))
    return table(["option", "key", "default", "meaning"], rows)


def experiments():
    """Each experiment: the first line of its file, how long it takes by its header, what as_written=true does."""
    rows = []
    for name in option_names("experiment"):
        text = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
        (cost,) = re.findall(rf"^#   wdrun experiment={name}  +(.*)$", text, re.MULTILINE)
        article = yaml.safe_load(text).get("article", {})
        written = "no article's own text"
        if "refuse" in article:
            written = f"refused: {article['refuse']}"
        elif "overrides" in article:
            written = " ".join(map(code, article["overrides"]))
        rows.append((code(name), summary(text), cost, written))
    return table(["experiment", "what it shows", "as shipped", "`as_written=true` sets"], rows)


# ---------------------------------------------------------------------------------------------------- wdrun/


def commands_table():
    """A command a line: what it does and what it gives."""
    rows = [(code(f"{name} {c.words}"), c.does, c.gives) for name, c in commands.COMMANDS.items()]
    return table(["command", "what it does", "what it gives"], rows)


def settings_of(name):
    """The settings of a command, and the words by which it picks runs."""
    command = commands.COMMANDS[name]
    rows = [
        (code(f"{s.key}="), code(s.default) if s.default else "", s.accepts.words, s.meaning) for s in command.settings
    ]
    rows += [(code(form), "", "", meaning) for form, meaning in commands.FILTERS] if command.filters else []
    return table([f"setting of {name}", "default", "must be", "meaning"], rows)


def couplings():
    return table(["coupling", "step"], [(code(name), coupling.formula) for name, coupling in COUPLINGS.items()])


def decays():
    """Each decay: the first line of its module (of its yaml, where it is a ready-made setting), and its couplings.

    The coupling that `auto` takes comes first.
    """
    able = defaultdict(dict)
    for case in laws.cases():
        able[case.decay][case.coupling] = None
    rows = []
    for name, couplings in able.items():
        run = parse(compose([f"decay={name}"])).run
        first = [run.coupling] if run.coupling in couplings else []
        words = "all" if len(couplings) == len(COUPLINGS) else ", ".join(dict.fromkeys([*first, *couplings]))
        own = run.decay["_target_"].split(".")[-2] == name
        text = (CONF / "decay" / f"{name}.yaml").read_text(encoding="utf-8")
        rows.append((code(name), regularizer(run) if own else summary(text), words))
    return table(["decay", "what it is", "couplings"], rows)


def columns(schema):
    return table(["column", "type", "meaning and unit"], [(code(c.name), KINDS[c.kind], c.meaning) for c in schema])


def schemas():
    """The tables with their columns beyond the factors."""
    own = {f"{name}.csv": schema[len(FACTORS) :] for name, schema in (TABLES | EVALUATIONS).items()}
    own["predictions.csv"] = PREDICTIONS[len(FACTORS) :]
    own |= {f"{name}.csv": schema for name, schema in RECORDS.items()} | {carried.NAME: carried.COLUMNS}
    return {"every table": FACTORS, **own, "run.csv and runs.csv": (*RUN, CODE)}


def findings():
    """Each kind of finding: whether it is a question, and what it says and would try, on made-up numbers."""
    rows = []
    for name, kind in FINDINGS.items():
        numbers = MADE_UP | OF_KIND.get(name, {})
        rows.append((name, "question" if kind.open else "caution", kind.says(numbers), kind.remedy(numbers)))
    return table(["finding", "is a", "says, for instance", "and what to run"], rows)


def floors() -> list[dict[str, list[str]]]:
    """The floors from top to bottom: room -> the slow libraries it may import."""
    found = [{room: libraries.split() for room, libraries in line} for line in plan.LINES]
    rooms = [{n: x for n, x in floor.items() if n not in ("__main__", "__init__", "wdrun")} for floor in found]
    return [floor for floor in rooms if floor]


def picture():
    """The house: a floor a line, the doors on top; imports go down only."""
    lines = [" │ ".join(floor) for floor in floors()]
    width = max(map(len, lines))
    rule = "─" * (width + 2)
    boxes = f"\n   ├{rule}┤\n".join(
        f"{number:2} │ {line.center(width)} │" for number, line in enumerate(lines, start=1)
    )
    return f"```text\n   ┌{rule}┐\n{boxes}\n   └{rule}┘\n```"


def rooms():
    """A room a line: what its docstring says, and the slow libraries it may import."""
    rows = []
    for number, floor in enumerate(floors(), start=1):
        for name, libraries in floor.items():
            rows.append((str(number), _link(name), _opening(_face(name)), ", ".join(libraries)))
    return table(["floor", "room", "what it is for", "libraries it may import"], rows)


def files_of(room):
    """A module a line: what its docstring says."""
    place = ROOT / "wdrun" / room
    modules = sorted(place.glob("*.py")) + sorted(place.glob("*/__init__.py"))
    names = {path: path.relative_to(place).as_posix().removesuffix("__init__.py") for path in modules}
    return table(["file", "what it is for"], [(code(name), _opening(path)) for path, name in names.items() if name])


def layouts():
    """The layouts of data that are read."""
    return table(["layout", "what is in it"], [(layout.name, layout.holds) for layout in reading.LAYOUTS])


def _face(room) -> Path:
    """The file whose docstring speaks for a room."""
    place = ROOT / "wdrun" / room
    if not place.is_dir():
        return place.with_suffix(".py")
    return place / "__init__.py" if (place / "__init__.py").exists() else next(place.rglob("*.py"))


def _link(room):
    place = ROOT / "wdrun" / room
    target = f"{room}/README.md" if (place / "README.md").exists() else f"{room}/" if place.is_dir() else f"{room}.py"
    return f"[`{room}`]({target})"


def _opening(path: Path) -> str:
    """The first paragraph of a module's docstring as one line."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split())


# ---------------------------------------------------------------------------------------------------- tests/


def map_of_tests():
    """A test file a line: what it holds."""
    rows = []
    for folder in [ROOT / "tests", *sorted(p for p in (ROOT / "tests").iterdir() if p.is_dir())]:
        for path in sorted(folder.glob("*.py")):
            if opening := _opening(path):
                where = path.relative_to(ROOT / "tests").as_posix()
                rows.append((f"[`{where}`]({where})", opening))
    return table(["file", "what it holds"], rows)


def peers():
    """A comparison with another package a line: the words that are its optimizer, and its keys."""
    rows = []
    for row in ROWS:
        keys = [f"{key}={'λ' if value is LAM else value}" for key, value in (row.group | row.keys).items()]
        rows.append((code(f"{row.optimizer} {row.decay}"), code(row.peer), code(", ".join(keys)), row.note))
    return table(["words", "what they are elsewhere", "with these keys", "compared"], rows)


def slowest(log: str) -> str:
    """The table of the slowest tests, from the output of `pytest --durations=20`."""
    found = re.findall(r"^([\d.]+)s (call|setup|teardown) +(tests/\S+)$", log, re.MULTILINE)
    rows = [(seconds, code(test.removeprefix("tests/"))) for seconds, part, test in found if part == "call"][:20]
    return table(["seconds", "test"], rows)


# ---------------------------------------------------------------------------------------------------- all


PARTS = {
    "keys": top_level,
    "options": options,
    **{f"options of {group}": lambda group=group: options_of(group) for group in GROUPS if group != "decay"},
    **{f"keys of {group}": lambda group=group: keys_of_group(group) for group in GROUPS},
    "engines": engines,
    "experiments": experiments,
    "commands": commands_table,
    **{
        f"settings of {name}": lambda name=name: settings_of(name)
        for name, c in commands.COMMANDS.items()
        if c.settings
    },
    "couplings": couplings,
    "decays": decays,
    **{f"columns of {name}": lambda name=name: columns(schemas()[name]) for name in schemas()},
    "findings": findings,
    "layouts": layouts,
    "picture": picture,
    **{f"files of {room}": lambda room=room: files_of(room) for room in DESCRIBED},
    "rooms": rooms,
    "peers": peers,
    "map of tests": map_of_tests,
}
PART = re.compile(r"(<!-- generated: (.*?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
SLOWEST = re.compile(r"(<!-- measured: slowest tests -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def spans(path: Path) -> list[str]:
    """The inline code of a document."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", TEXTS[path]))


def parts_of(text: str) -> Iterator[str]:
    """The names of the generated parts of a document."""
    return (match[2] for match in PART.finditer(text))


def rewritten(text: str) -> str:
    """The document with every generated part made anew."""
    return PART.sub(lambda match: f"{match[1]}{PARTS[match[2]]()}\n{match[4]}", text)


def main(words: list[str]) -> None:
    log = Path(words[0]).read_text(encoding="utf-8") if words else ""
    for path, old in TEXTS.items():
        new = rewritten(old)
        if log:
            new = SLOWEST.sub(lambda match: f"{match[1]}{slowest(log)}\n{match[3]}", new)
        if new != old:
            path.write_text(new, encoding="utf-8")
            print(f"rewritten: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
