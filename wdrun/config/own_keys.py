"""The keys that only some options of a group have: an axis of one varies where the chosen option has it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from wdrun.config.axes import keys
from wdrun.config.compose import opened
from wdrun.config.keys import flatten
from wdrun.config.options import GROUPS, option_names
from wdrun.errors import ConfigError
from wdrun.wording import listed, nearest


def chosen(line: Sequence[str], group: str) -> str | None:
    """The option of a group that a line of plain words chooses last; None where it leaves the choice to conf/."""
    words = (word.partition("=") for word in line)
    return next((value for key, _, value in reversed([*words]) if key == group), None)


def where_they_are(
    lines: list[list[str]], words: Sequence[str], config_dir: str | None, say: Callable[[str], None]
) -> list[list[str]]:
    """The lines without what their options cannot take, equal ones once; `say` is told of each key that is left out.

    ConfigError where none of the options that the lines choose has the key.
    """
    for group in GROUPS:
        plain = [word for word in words if word[:1] not in ("+", "~")]
        typed = {key: None for word in plain for key in keys(word) if key.startswith(f"{group}.")}
        options = list(dict.fromkeys(option for line in lines if (option := chosen(line, group)))) if typed else []
        if len(options) < 2:
            continue
        having = options_having(group, options, [*typed], config_dir)
        for key, have in having.items():
            lacking = [option for option in options if option not in have]
            if lacking and have:
                lines = _without(lines, key, group, lacking)
                say(f"{key}: only for {group}={','.join(have)}; {listed(lacking)} {_has(lacking)} no such key")
            elif lacking:
                raise ConfigError(_nowhere(key, group, lacking, config_dir))
    return lines


def without_an_experiments(
    lines: list[list[str]], config_dir: str | None, say: Callable[[str], None]
) -> list[list[str]]:
    """The lines, with a word `~group.key` for each key that their experiment sets and the option typed has not.

    `say` is told of each once. A key that is typed is left to be refused.
    """
    found: list[list[str]] = []
    said: set[str] = set()
    unknown: dict[tuple[str, ...], dict[str, str]] = {}
    for line in lines:
        choices = tuple(word for word in line if word.partition("=")[0] in (*GROUPS, "experiment"))
        if choices not in unknown:
            unknown[choices] = _unknown(choices, config_dir) if chosen(choices, "experiment") else {}
        typed = {key.lstrip("~") for word in line for key in keys(word)}
        left_out = {key: option for key, option in unknown[choices].items() if key not in typed}
        said |= {
            f"{key}: left out; the experiment sets it, {option} has no such key" for key, option in left_out.items()
        }
        found.append([*line, *(f"~{key}" for key in left_out)])
    for sentence in sorted(said):
        say(sentence)
    return found


def _unknown(choices: Sequence[str], config_dir: str | None) -> dict[str, str]:
    """The keys of the config that these choices of options make which the option chosen has not -> `group=option`."""
    with opened(config_dir) as composed:
        config = composed(choices)
    found: dict[str, str] = {}
    for group in GROUPS:
        if (option := chosen(choices, group)) is not None:
            own = _options(group, [option], config_dir)[option]
            found |= {f"{group}.{key}": f"{group}={option}" for key in config[group] if key not in own}
    return found


def options_having(
    group: str, options: Collection[str], typed: Sequence[str], config_dir: str | None
) -> dict[str, list[str]]:
    """Key -> those of the options that have it."""
    nodes = _options(group, options, config_dir)
    return {key: [option for option, node in nodes.items() if _in(node, key.split(".")[1:])] for key in typed}


def _options(group: str, options: Collection[str], config_dir: str | None) -> dict[str, Any]:
    from omegaconf import OmegaConf

    with opened(config_dir) as composed:
        return {option: OmegaConf.to_container(composed([f"{group}={option}"])[group]) for option in options}


def _in(node: Any, path: Sequence[str]) -> bool:
    try:
        for part in path:
            node = node[int(part) if isinstance(node, list) else part]
    except (KeyError, IndexError, ValueError, TypeError):
        return False
    return True


def _without(lines: list[list[str]], key: str, group: str, lacking: Collection[str]) -> list[list[str]]:
    """The lines without the words of a key where the option lacks it; those that become equal once."""
    kept: dict[tuple[str, ...], None] = {}
    found = []
    for line in lines:
        if chosen(line, group) in lacking:
            line = [word for word in line if word.partition("=")[0] != key]
            if tuple(line) in kept:
                continue
            kept[tuple(line)] = None
        found.append(line)
    return found


def _nowhere(key: str, group: str, lacking: Sequence[str], config_dir: str | None) -> str:
    """The refusal of a key that none of the chosen options has."""
    nobody = f"{key}: unknown key; {group}={','.join(lacking)} {_has(lacking)} no such key"
    if others := options_having(group, option_names(group, config_dir), [key], config_dir)[key]:
        return f"{nobody}; {listed(others)} {_has(others)} it"
    known = [k for node in _options(group, lacking, config_dir).values() for k, _ in flatten({group: node})]
    near = nearest(key, known)
    return f"{key}: unknown key{near}" if near else nobody


def _has(options: Sequence[str]) -> str:
    return "has" if len(options) == 1 else "have"
