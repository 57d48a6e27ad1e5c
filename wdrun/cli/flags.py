"""The flags among the words of a command line, which may stand anywhere; all else is a setting or a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wdrun.config.options import check_own
from wdrun.errors import ConfigError
from wdrun.wording import nearest

VALUED = {"-c": "cfg", "--cfg": "cfg", "--config": "config", "-cd": "config_dir", "--config-dir": "config_dir"}
SWITCHES = ("multirun", "json", "watch")  # flags without a value that some commands take
HYDRA_FLAGS = ("--hydra-help", "--shell-completion", "-sc", "--info", "-i")  # Hydra's own main answers these
FLAGS = ("-m", "--multirun", "--resolve", "--json", "--help", "--version", *VALUED, *HYDRA_FLAGS)


def split(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Split off the flags: -m/--multirun, -c/--cfg WHAT, -cd/--config-dir DIR, --config FILE, those without a value."""
    flags: dict[str, Any] = dict.fromkeys(("cfg", "config", "config_dir"))
    flags |= dict.fromkeys(("multirun", "resolve", "json", "watch"), False)
    rest: list[str] = []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, has_value, value = word.partition("=")
        if word in ("-m", "--multirun"):
            flags["multirun"] = True
        elif word in ("--resolve", "--json", "--watch"):
            flags[word[2:]] = True
        elif name in VALUED:
            if not has_value and not queue:
                raise ConfigError(f"{name}: needs a value")
            flags[VALUED[name]] = value if has_value else queue.pop(0)
        elif word.startswith("-"):
            from wdrun.config.names import flag_advice

            if advice := flag_advice(name, value if has_value else next(iter(queue), "")):
                raise ConfigError(f"{name}: a setting is a word without dashes; write {advice}")
            raise ConfigError(f"{word}: unknown flag{nearest(name, (*FLAGS, '--watch'))}; see wdrun --help")
        else:
            rest.append(word)
    if flags["cfg"] not in (None, "job"):
        raise ConfigError(f"--cfg={flags['cfg']}: must be job (the config of the run)")
    check_own(flags["config_dir"])
    return flags, rest
