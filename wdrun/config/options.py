"""What conf/ offers: the groups, and the options of each as files of its folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from wdrun.errors import ConfigError

GROUPS = ("data", "augment", "model", "optimizer", "schedule", "decay", "evaluate")
OPTION = "[!_.]*.yaml"  # neither a part that options share nor what an editor hides beside a file


@cache
def conf_dir() -> Path:
    """The shipped conf/: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def check_own(config_dir: str | None) -> None:
    """ConfigError where the folder of the user's own options is none."""
    if config_dir is not None and not Path(config_dir).is_dir():
        raise ConfigError(f"--config-dir={config_dir}: no such folder")


def option_names(group: str, config_dir: str | None = None) -> list[str]:
    """The options of a config group, a user's own included."""
    own = _names(Path(config_dir) / group) if config_dir else frozenset()
    return sorted(_shipped(group) | own)


@cache
def _shipped(group: str) -> frozenset[str]:
    return _names(conf_dir() / group)


@cache
def shipped_with(group: str, key: str) -> frozenset[str]:
    """The shipped options of a config group whose files have this key."""
    return frozenset(
        path.stem for path in (conf_dir() / group).glob(OPTION) if f"\n{key}:" in path.read_text(encoding="utf-8")
    )


def _names(folder: Path) -> frozenset[str]:
    return frozenset(path.stem for path in folder.glob(OPTION))
