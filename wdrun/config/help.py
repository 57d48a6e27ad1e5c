"""The texts of `wdrun --help`, examples and the options as conf/ describes them, and of a command's own --help.

Imports nothing heavy.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from wdrun.config.commands import COMMANDS, FILTERS
from wdrun.config.options import GROUPS, conf_dir, option_names
from wdrun.errors import Exit
from wdrun.terminal.screen import columns

EXAMPLES = """\
wdrun trains a CIFAR-10 model with weight decay and says what the decay did.

  wdrun decay=l2 lambda=1e-4                         one run
  wdrun model=mlp optimizer=adam lr=1e-3 decay=l1 lambda=1e-5 epochs=5
  wdrun optimizer=adamw decay=l2 lambda=1e-2 schedule=cosine
  wdrun -m decay=none,l2,l1 lambda=1e-4,1e-3 seed=0,1   a sweep over the grid
  wdrun -m lambda=0,'log_range(1e-6,1e-1,6)' seed=0,1,2   λ evenly in the logarithm, and 0
  wdrun -m lambda+lr=1e-4:0.1,1e-3:0.05              keys that vary together
  wdrun -m folds=5 lambda=0,1e-3                     cross-validation: every fold in turn
  wdrun tune decay=l2 time=40m                       which λ, and does it matter? it chooses the runs itself
  wdrun tune experiment=lr_lambda                    what an experiment asks, settled in fewer runs than its sweep has
  wdrun transfer outputs/default batch_size=512      which λ to take there, from what was best here
  wdrun status outputs/default                       what is finished, running, interrupted, failed
  wdrun select outputs/decay_curve                   which λ: tables, intervals, warnings; writes selection.csv
  wdrun best outputs/decay_curve                     the command line that reproduces that choice
  wdrun report outputs/decay_curve                   one HTML page with figures and what the numbers say
  wdrun evaluate outputs/decay_curve evaluate=calibration   measure finished runs later, without training
  wdrun bench                                        how fast this machine trains, against a plain loop
  wdrun data=synthetic epochs=3                      without network, in seconds
  wdrun data=folder data.root=photos model=mlp       your own images, in photos/train/<class>/*.png
  wdrun budget=0.5 optimizer=adamw                   choose λ by what it can do: total decay 0.5
  wdrun experiment=decay_curve                       an experiment of the articles, with its sweep
  wdrun data                                         fetch and verify CIFAR-10 now
  wdrun explain decay=l1 lambda=1e-4                 what that decay would do, without training
  wdrun verify decay=l2                              hold decays to their laws; alone: the whole catalogue
  wdrun @words.txt seed=1                            the words of a file, quoted as in a shell; those typed count
  wdrun --config outputs/default/RUN seed=5          the run of that folder, or of its config.yaml, but for seed
  wdrun --cfg job decay=l2                           show the whole config, train nothing

Results go to outputs/<name>/ as CSV. Where stdout is no terminal, or with --json, it gets one JSON line a run.
The same command again resumes or skips.

What a command takes: wdrun select --help, or wdrun help select.
Flags: -m/--multirun  --cfg job  --config FILE (a run's config.yaml)  --config-dir DIR (your own options)
       --json (result lines on a terminal too)  --version  --help
       --shell-completion install=bash  --info  --hydra-help (Hydra's own)
"""
WIDEST = 116  # columns of a line of help
USUAL = (Exit.DONE, Exit.CONFIG, Exit.STORAGE)
FLAGS = {
    "multirun": "-m/--multirun",
    "config": "--config FILE (a run's config.yaml)",
    "config_dir": "--config-dir DIR (your own options)",
    "json": "--json (JSON lines, whatever stdout is)",
    "watch": "--watch (keep the page current while runs train there)",
}
INTERRUPTED = "129/130/143 interrupted (the same command goes on)"


def whole_help(config_dir: str | None = None) -> str:
    """Examples, groups with their options (the user's own in `config_dir` too), top-level keys with their comments."""
    places = [*([Path(config_dir)] if config_dir else []), conf_dir()]
    codes = ", ".join([*(f"{code.value} {code.meaning}" for code in Exit), INTERRUPTED])
    lines = [
        EXAMPLES
        + textwrap.fill(f"Exit codes: {codes}", width=min(columns() or WIDEST, WIDEST), subsequent_indent=" " * 12)
        + "\n"
    ]
    for group in (*GROUPS, "experiment"):
        lines.append(f"{group}=")
        named = [[place / group / f"{name}.yaml" for place in places] for name in option_names(group, config_dir)]
        files = [next(path for path in paths if path.is_file()) for paths in named]
        lines += [f"  {path.stem:<14} {summary(path.read_text(encoding='utf-8'))}" for path in files]
    lines += ["", "keys of every run (and those of a group's option as group.key)"]
    for key, default, comment in keys_of((conf_dir() / "config.yaml").read_text(encoding="utf-8")):
        lines.append(f"  {f'{key}={default}':<28} {comment}")
    return "\n".join(lines)


def help_of(name: str) -> str:
    """The text of `wdrun NAME --help`."""
    command = COMMANDS[name]
    lines = [f"wdrun {name} {command.words}", "", *_filled(f"{command.does[0].upper()}{command.does[1:]}.")]
    rows = [(f"{s.key}={s.default}", f"{s.meaning}; must be {s.accepts.words}") for s in command.settings]
    rows += FILTERS if command.filters else ()
    lines += [""] * bool(rows)
    for typed, meaning in rows:
        lines += _filled(meaning, f"  {typed:<20} ")
    flags = [FLAGS[flag] for flag in command.flags]
    codes = sorted({*USUAL, *command.ends})
    lines += ["", *_filled(f"{command.gives[0].upper()}{command.gives[1:]}."), ""]
    lines += _filled(", ".join([*flags, "-h/--help"]), "Flags: ")
    return "\n".join(
        [
            *lines,
            *_filled(
                ", ".join(f"{code.value} {command.ends.get(code, code.meaning)}" for code in codes), "Exit codes: "
            ),
        ]
    )


def _filled(text: str, first: str = "") -> list[str]:
    """The text in lines of a terminal's width, those after the first one indented below it."""
    width = min(columns() or WIDEST, WIDEST)
    indent = min(len(first), width // 2)
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=" " * indent)


def summary(yaml: str) -> str:
    """The description in a config file's first line, after Hydra's @package line where there is one."""
    lines = (line.removeprefix("#").strip() for line in yaml.splitlines())
    return next((line for line in lines if not line.startswith("@package")), "")


def keys_of(text: str) -> list[tuple[str, str, str]]:
    """Key, default and comment of each key of a config file, the keys of a mapping as `section.key`.

    A comment goes on in the indented comment lines below it; the defaults list is no key.
    """
    import yaml

    lines = text.splitlines()

    def keys(node: yaml.MappingNode, section: str = "") -> Iterator[tuple[str, str, str]]:
        for name, value in node.value:
            key = f"{section}{name.value}"
            if isinstance(value, yaml.MappingNode) and not value.flow_style:
                yield from keys(value, f"{key}.")
            elif key != "defaults":
                row = value.end_mark.line if value.end_mark.column else name.end_mark.line  # a block ends on a new line
                rest = lines[row][value.end_mark.column :] if value.end_mark.column else lines[row]
                below = takewhile(lambda line: re.match(r" +#", line), lines[row + 1 :])
                comments = [part.partition("#")[2].strip() for part in (rest, *below)]
                parts = value.value if isinstance(value, yaml.SequenceNode) and not value.flow_style else [value]
                written = [" ".join(text[part.start_mark.index : part.end_mark.index].split()) for part in parts]
                default = written[0] if parts == [value] else f"[{', '.join(written)}]"
                yield key, default, " ".join(comments).strip()

    root = yaml.compose(text, yaml.SafeLoader)
    return list(keys(root)) if isinstance(root, yaml.MappingNode) else []
