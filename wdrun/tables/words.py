"""The words after a command that reads results: folders or tables, settings as key=value, and filters of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from wdrun.errors import ConfigError
from wdrun.wording import nearest


def folders_and_settings(
    command: str,
    words: Sequence[str],
    defaults: Mapping[str, str],
    filters: list[str] | None = None,
    *,
    files: bool = False,
) -> tuple[list[Path], dict[str, str]]:
    """The folders among the words, all there, and every setting as text, the default where it was not given.

    Words of other keys are added to `filters`, for `filters.kept`; ConfigError where the command takes none. What is
    there is a folder, whatever its name, or a file where the command takes `files`: tables of runs.
    """
    folders, settings = [], dict(defaults)
    for word in words:
        key, given, value = word.partition("=")
        if not given or Path(word).exists():
            folders.append(Path(word))
        elif key in defaults:
            settings[key] = value
        elif filters is not None and key.removesuffix("!"):
            filters.append(word)
        else:
            takes = f"; {command} takes {', '.join(f'{k}=' for k in defaults)}" if defaults else ""
            raise ConfigError(f"{key}: unknown setting of wdrun {command}{nearest(key, defaults) or takes}")
    if not folders:
        raise ConfigError(f"wdrun {command}: name a folder of results, such as outputs/default")
    for folder in folders:
        if not (folder.exists() if files else folder.is_dir()):
            raise ConfigError(f"{folder}: no such folder{' or file' if files else ''}")
    return folders, settings
