"""What Hydra makes of the words about its own launcher and sweeper; every error in them is one line."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from wdrun.config.axes import key_of
from wdrun.config.options import conf_dir
from wdrun.errors import ConfigError
from wdrun.wording import first_line, nearest

if TYPE_CHECKING:
    from hydra.types import HydraContext

EXTRAS = {  # launcher or sweeper -> its extra, and the module that does the work
    "joblib": ("joblib", "joblib"),
    "submitit_local": ("submitit", "submitit"),
    "submitit_slurm": ("submitit", "submitit"),
    "ray": ("ray", "ray"),
    "optuna": ("optuna", "optuna"),
}


@contextmanager
def composed(words: Sequence[str]) -> Iterator[tuple[Any, HydraContext]]:
    """The config that these words of Hydra's own make, and what its plugins are set up with."""
    from hydra import compose, initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from hydra.types import HydraContext
    from omegaconf.errors import OmegaConfBaseException

    with initialize_config_dir(version_base="1.3", config_dir=str(conf_dir()), job_name="wdrun"):
        loader = GlobalHydra.instance().config_loader()
        named = [_preset(word, loader) for word in words]
        try:
            config = compose("config", named, return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            blamed = [word for word in words if key_of(word) in first_line(error)]
            raise ConfigError(f"{' '.join(blamed or words)}: {first_line(error)}") from error
    yield config, HydraContext(config_loader=loader, callbacks=Callbacks(config))


def _preset(word: str, loader: Any) -> str:
    """A word that names an engine, as our own settings of it where there are some; ConfigError when it is not there.

    Hydra refuses a file of the plugin's own name, so ours are called wdrun_joblib and the like, and extend it.
    """
    group, _, option = word.partition("=")
    if group not in ("hydra/launcher", "hydra/sweeper"):
        return word
    extra, module = EXTRAS.get(option, ("", ""))
    plugin = f"hydra_plugins.hydra_{extra}_{group.rpartition('/')[2]}"
    if extra and any(importlib.util.find_spec(name) is None for name in (plugin, module)):
        raise ConfigError(f"{word}: needs the extra: pip install 'wdrun[{extra}]'")
    known = set(loader.get_group_options(group))
    if option not in known:
        shown = sorted({name.removeprefix("wdrun_") for name in known})
        raise ConfigError(f"{word}: must be one of {', '.join(shown)}{nearest(option, shown)}")
    return f"{group}=wdrun_{option}" if f"wdrun_{option}" in known else word


def fixed(words: Sequence[str]) -> list[str]:
    """The words that are the same in every trial of a sweeper."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    same = []
    for word in words:
        try:
            parsed = OverridesParser.create().parse_override(word)
        except HydraException as error:
            raise ConfigError(f"{word!r}: not an override; write key=value, special characters in quotes") from error
        same += [] if parsed.is_sweep_override() else [word]
    return same
