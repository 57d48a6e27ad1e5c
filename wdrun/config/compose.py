"""Words of a job -> its composed config; what Hydra explains at length is one line here.

Hydra composes in tens of milliseconds, most of them spent on the files of conf/, and the jobs of a sweep differ mostly
in plain values. So each choice of options is composed once while conf/ stays as it is, and the other words of a job are
applied to a copy of it by the function that Hydra itself applies them with; where that fails, Hydra composes the whole
line and says why.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from wdrun.accepts import Accepts, check, unknown
from wdrun.config import names
from wdrun.config.apart import apart
from wdrun.config.axes import is_axis, key_of, override, written_out
from wdrun.config.keys import KEYS, flatten
from wdrun.config.literals import quoted
from wdrun.config.options import GROUPS, check_own, conf_dir, option_names
from wdrun.config.typed import spell
from wdrun.errors import ConfigError
from wdrun.wording import first_line, nearest, shown

OWN = " (or your own, with --config-dir=DIR)"  # after the options that there are


def compose(words: Sequence[str], config_dir: str | None = None) -> Any:
    """The config of these overrides (no sweep among them); `config_dir` adds a user's own options."""
    with opened(config_dir) as composed:
        return composed(words)


@contextmanager
def opened(config_dir: str | None = None) -> Iterator[Callable[[Sequence[str]], Any]]:
    """A function from the words of a job to its config, for many jobs: each choice of options is composed once.

    Another Hydra may be running, and other threads may compose: they take turns.
    """
    from hydra import initialize_config_dir

    check_own(config_dir)
    with apart(), initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        yield _Composer(config_dir)


class _Composer:
    def __init__(self, config_dir: str | None) -> None:
        self.config_dir = config_dir
        self._spelled: dict[str, str] = {}  # words that passed the check -> these in conf/'s letter case
        self._choosing: dict[str, bool] = {}  # the latter -> whether they choose an option
        self._bases = {} if config_dir else _bases(tuple(_files(conf_dir())))

    def __call__(self, words: Sequence[str]) -> Any:
        for word in words:
            if word not in self._spelled:
                right = spell(word, self.config_dir)
                _check(right, self.config_dir)
                self._spelled[word], self._choosing[right] = right, self._chooses(right)
        words = [self._spelled[word] for word in words]
        try:
            return self._quickly(words)
        except ConfigError:
            raise
        except Exception:  # whatever it is, Hydra's own way decides whether it is an error, and which
            return self._whole(words)

    def _quickly(self, words: Sequence[str]) -> Any:
        from hydra._internal.config_loader_impl import ConfigLoaderImpl
        from hydra.errors import ConfigCompositionException

        config = self._base(tuple(word for word in words if self._choosing[word]))
        values = [override(word) for word in words if not self._choosing[word]]
        try:
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
        except ConfigCompositionException as error:  # what Hydra would say of the whole line, without composing it
            raise ConfigError(self._refusal(error, words)) from error
        return config

    def _base(self, choices: tuple[str, ...]) -> Any:
        """A config of its own for whoever asks, of these choices of options."""
        if choices not in self._bases:
            self._bases[choices] = pickle.dumps(self._hydra(choices))
        return pickle.loads(self._bases[choices])  # our own bytes; a fifth of deepcopy's time

    def _chooses(self, word: str) -> bool:
        """Whether a word names an option of a group, and so decides which files are composed."""
        parsed = override(word)
        folders = [conf_dir(), *([Path(self.config_dir)] if self.config_dir else [])]
        return not isinstance(parsed.value(), dict) and any((f / parsed.key_or_group).is_dir() for f in folders)

    def _hydra(self, words: Sequence[str]) -> Any:
        from hydra import compose as hydra_compose

        extra = []
        if self.config_dir is not None:
            extra = [f"hydra.searchpath=[{quoted(f'file://{Path(self.config_dir).absolute()}')}]"]
        return hydra_compose("config", [*extra, *map(written_out, words)])

    def _whole(self, words: Sequence[str]) -> Any:
        """The config as Hydra composes it, or ConfigError."""
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        try:
            return self._hydra(words)
        except YAMLError as error:
            raise ConfigError(f"--config-dir={self.config_dir}: not YAML: {' '.join(str(error).split())}") from error
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise ConfigError(self._refusal(error, words)) from error

    def _refusal(self, error: Exception, words: Sequence[str]) -> str:
        known = flatten(dict(self._base(tuple(word for word in words if key_of(word) in GROUPS))))
        return _one_line(error, words, [key for key, _ in known], self.config_dir)


@lru_cache(maxsize=1)
def _bases(files: tuple[tuple[str, int, int], ...]) -> dict[tuple[str, ...], bytes]:
    """Choices of options -> their config, pickled: one dict for as long as these are the files of conf/."""
    return {}


def _files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """The path, time of change and size of every file below a folder, but for links to nothing, as editors make them.

    The time is that of the inode, which no copy and no `touch` brings back.
    """
    for place, _, names_here in os.walk(folder):
        for name in names_here:
            with suppress(FileNotFoundError):
                found = os.stat(path := os.path.join(place, name))
                yield path, found.st_ctime_ns, found.st_size


def _check(word: str, config_dir: str | None) -> None:
    """Refuse what Hydra would take without an effect, or refuse at length."""
    if is_axis(word):
        raise ConfigError(f"{word}: several values make a sweep; add -m")
    parsed = override(word)
    key: str = parsed.key_or_group
    names.check([word], config_dir)
    if re.match(r"hydra\b", key):
        raise ConfigError(f"{word}: wdrun does not use it; see output_dir, name and --config-dir in wdrun --help")
    if parsed.package is not None:
        raise ConfigError(f"{word}: '@' has no use here; write {key}=…")
    if key not in (*GROUPS, "experiment"):
        return
    options = option_names(key, config_dir)
    accepted = f"one of {', '.join(options)}" if options else f"a file of {key}/ in --config-dir"
    if parsed.is_delete() or parsed.is_add() or parsed.is_force_add():
        raise ConfigError(f"{word}: write {key}=… with {accepted}")
    value = parsed.value()
    if value not in options and (right := names.option_advice(key, shown(value))):
        raise ConfigError(f"{key}={shown(value)}: must be {accepted}; write {key}={right}")
    elsewhere = OWN if config_dir is None and key in GROUPS and isinstance(value, str) else ""
    check(key, value, Accepts(accepted + elsewhere, lambda value: value in options, tuple(options)))


def _one_line(error: Exception, words: Sequence[str], known: Sequence[str], config_dir: str | None) -> str:
    """What Hydra found wrong, `known` being the keys of the chosen options."""
    first = first_line(error)
    where = match.group(1) if (match := re.match(r"In '(.+?)': ", first)) and match.group(1) != "config" else ""
    where = f"{where}.yaml: " if where else ""
    if match := re.search(r"Could not find '([^']+)'", first):
        group, _, option = match.group(1).rpartition("/")
        options = option_names(group, config_dir)
        return f"{where}{group}={option}: must be one of {', '.join(options)}{nearest(option, options)}"
    if match := re.search(r"Could not append to config\. An item is already at '([^']+)'", first):
        return f"+{match.group(1)}: is a key already; write it without '+'"
    if match := re.search(r"Could not (?:override|delete from config\.) '([^']+)'", first):
        key = match.group(1)
        if key in known:  # Hydra cannot delete a null
            return f"~{key}: cannot be left out; set it instead"
        if key == "data._target_":
            return f"{where}{key}: a class is for data=torchvision; write data=torchvision {key}=…"
        group, _, leaf = key.rpartition(".")
        siblings = [k.removeprefix(f"{group}.") for k in known if group and k.startswith(f"{group}.")]
        if not siblings:
            names.refuse(key)
            near = nearest(key, [*known, *GROUPS, "experiment"])
            return f"{where}{key}: unknown key{near or '; `wdrun --cfg job` shows every key'}"
        return where + unknown(group, leaf, siblings, group)
    if match := re.search(r"Error merging override ([^=]+)=(.*)", first):
        key, value = match.groups()
        return f"{key}={value}: must be {KEYS[key].words if key in KEYS else 'a value of the same kind'}"
    return f"{' '.join(words)}: {first}"
