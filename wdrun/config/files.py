"""Words from files: `@words.txt`, whose words stand where its name does, and a run's config.yaml as a whole command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wdrun.config import axes, experiments, own_keys
from wdrun.config.axes import key_of
from wdrun.config.compose import opened
from wdrun.config.literals import ABSENT, word
from wdrun.config.options import GROUPS, option_names
from wdrun.config.parse import parse
from wdrun.config.run import UNWRITTEN, written
from wdrun.config.typed import spell
from wdrun.errors import ConfigError
from wdrun.wording import nearest

Words = dict[str, Any]  # key (with ++ or ~ where it needs them) -> value
Missed = Callable[[Words], dict[str, Any]]

# What a comment is, a word with the quotes of a shell, and what is left of a quote that is not closed. A backslash at
# the end of a line joins it to the next one.
TOKEN = re.compile(
    r"""(?:\s|\\\n)*(?:\#[^\n]*|(?P<word>(?:[^\s'"\\]|'[^']*'|"(?:\\.|[^"\\])*"|\\.)+)|(?P<rest>\S.*))""", re.DOTALL
)


def spliced(words: Sequence[str], read: Mapping[str, list[str]], config_dir: str | None = None) -> list[str]:
    """The words with those read from each `@file` in its place; of one key what is typed counts, wherever it stands."""
    typed = [word for word in words if not word.startswith(("@", "-"))]
    parts = [beside(typed, read[word], config_dir) if word in read else [word] for word in words]
    return [word for part in parts for word in part]


def unquoted(words: Sequence[str]) -> list[str]:
    """The words, those with a shell's quotes around them as that would read them: `$(wdrun best DIR)` leaves them on.

    There a shell splits at blanks too, so words are joined up to the end of a quote; of several blanks one is left.
    """
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("'") or Path(word).exists():
            found.append(word)
            continue
        for end in range(len(rest) + 1):
            try:
                found += shlex.split(" ".join([word, *rest[:end]]))
            except ValueError:
                continue
            del rest[:end]
            break
        else:
            raise ConfigError(f"{word}: a quote is not closed")
    return found


def run_again(name: str, words: Sequence[str], config_dir: str | None = None) -> list[str]:
    """The words of the run whose config.yaml, or folder, is named, then those typed, which count where both are."""
    if given := [word for word in words if key_of(word) == "experiment"]:
        raise ConfigError(f"{given[-1]}: --config={name} gives every knob already; leave one of them out")
    return [*beside(words, words_of(name, config_dir), config_dir), *words]


def beside(words: Sequence[str], own: Sequence[str], config_dir: str | None = None) -> list[str]:
    """A file's own words beside those typed: without keys that are typed, and without what another option cannot take.

    The latter is said on stderr.
    """
    left = experiments.not_typed(own, words, "the file")
    for group in GROUPS:
        chosen = [word for word in words if key_of(word) == group and "=" in word][-1:]
        keyed = {word: key_of(word) for word in left if key_of(word).startswith(f"{group}.") and word[0] != "~"}
        if not (chosen and keyed):
            continue
        points = axes.expand(chosen, config_dir)
        options = sorted({spell(word, config_dir).partition("=")[2] for (word,) in points})
        having = own_keys.options_having(group, options, [*keyed.values()], config_dir)
        if gone := [word for word, key in keyed.items() if not having[key]]:
            experiments.note(f"{' '.join(gone)}: left out; {group}={','.join(options)} has no such key")
            left = [word for word in left if word not in gone]
    return left


def words_in(name: str) -> list[str]:
    """The words of a file named as `@words.txt`: one a line or several, quoted as in a shell, `#` begins a comment."""
    path = Path(name.removeprefix("@"))
    text = _text(path, name)
    found = []
    for token in TOKEN.finditer(text):
        if token["rest"]:
            line = text.count("\n", 0, token.start("rest")) + 1
            raise ConfigError(f"{name}: line {line}: a quote is not closed: {token['rest'].splitlines()[0]}")
        if token["word"]:
            found += shlex.split(token["word"].replace("\\\n", ""))
    if nested := next((word for word in found if word.startswith("@")), None):
        raise ConfigError(f"{name}: {nested}: a file of words names no other; give both in the command")
    return found


def words_of(name: str, config_dir: str | None = None) -> list[str]:
    """The words of the run whose config.yaml, or whose folder, this is: with them it is that run again, id and all."""
    path = Path(name) / "config.yaml" if Path(name).is_dir() else Path(name)
    shown = f"--config={path}"
    target = knobs(path, shown)
    top = {key.partition(".")[0] for key in target}
    with opened(config_dir) as composed:
        known = {key.partition(".")[0] for key in parse(composed([])).run.knobs}
        for key in sorted(top - known - UNWRITTEN.keys()):
            raise ConfigError(f"{shown}: {key} is no knob of a run{nearest(key, known)}; it takes a run's config.yaml")
        for key in sorted(known - top):
            raise ConfigError(f"{shown}: {key} is missing; the config.yaml of a run has every knob of it")
        missed = difference(target, composed)
        found = matching(target, missed, shown, config_dir)
        for key in [key for key in found if key.startswith("++")]:  # plain where the option has the key
            plain = {key.removeprefix("++") if k == key else k: v for k, v in found.items()}
            found = plain if fits(plain, missed) else found
    return [word(key, value) for key, value in found.items()]


def _text(path: Path, shown: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{shown}: is not UTF-8 text") from error


def knobs(path: Path, shown: str) -> dict[str, Any]:
    """The knobs of a run's config.yaml, flat as in `Run.knobs`; ConfigError, with `shown` first, for what is none."""
    import yaml

    text = _text(path, shown)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("has an alias, as no config of wdrun's has")  # it may be endless, or a billion words long
        nested = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{shown}: not YAML: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{shown}: {' '.join(str(error).split())}") from error
    if not isinstance(nested, dict):
        raise ConfigError(f"{shown}: holds no knobs")
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= {f"{key}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {str(key): value}
    return written(flat)


def difference(target: Mapping[str, Any], composed: Callable[[list[str]], Any], free: Sequence[str] = ()) -> Missed:
    """A function from words to what the target has otherwise than the run they give, by key; ABSENT: it lacks it."""

    def missed(found: Words) -> dict[str, Any]:
        given = parse(composed([word(key, value) for key, value in found.items()])).run.knobs
        keys = dict.fromkeys([*target, *(key for key in given if key not in free)])
        return {k: target.get(k, ABSENT) for k in keys if target.get(k, ABSENT) != given.get(k, ABSENT)}

    return missed


def matching(target: Mapping[str, Any], missed: Missed, shown: str, config_dir: str | None = None) -> Words:
    """Words that give the target's knobs: each group's option, then what is otherwise. ConfigError: no words do."""
    found = _options(target, missed, config_dir)
    found |= dict(_override(key, value) for key, value in missed(found).items())
    if differs := sorted(missed(found)):
        raise ConfigError(
            f"{shown}: no command of this wdrun gives the same {', '.join(differs)}; "
            "name the folder of your own options by --config-dir=DIR if the run had some"
        )
    return found


def fits(words: Words, missed: Missed) -> bool:
    """Whether these words give the target."""
    try:
        return not missed(words)
    except ConfigError:
        return False


def _options(target: Mapping[str, Any], missed: Missed, config_dir: str | None) -> Words:
    """The option of each group; where none has the run's name (a class of one's own), the one most like it."""
    found: Words = {}
    for group in sorted(GROUPS, key=lambda group: group != "decay"):
        named, options = target.get(f"{group}.name"), option_names(group, config_dir)
        if named not in options:
            named = min(options, key=lambda option: len(missed({group: option})))
        found[group] = named
        if group == "decay":
            found |= {key: target[key] for key in ("lambda", "lr") if key in target}
    return found


def _override(key: str, value: Any) -> tuple[str, Any]:
    """The word that sets a knob, whether or not the option has it."""
    if value is ABSENT:
        return f"~{key}", value
    if key == "decay.terms" and isinstance(value, list):  # in the form that it is typed in
        value = [{"decay": term["name"], **{k: v for k, v in term.items() if k != "name"}} for term in value]
    return f"++{key}", value
