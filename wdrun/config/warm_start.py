"""The weights that a run begins with: the file that `init_from` names, known by its content wherever it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wdrun.contents import of_file
from wdrun.errors import ConfigError

LAST = "last.safetensors"  # of a run's folder


def file_of(place: str) -> Path:
    """The file of weights: itself, or of a run's folder those at its end."""
    path = Path(place).expanduser()
    return path / LAST if path.is_dir() else path


def knobs(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs of a run that say what it begins with; the digest is that of the file unless it is typed.

    ConfigError where there is no such file, or what goes with one is typed without it.
    """
    place, digest, skip = (plain[key] for key in ("init_from", "init_digest", "init_skip"))
    if place is None:
        for key, value in (("init_digest", digest), ("init_skip", skip)):
            if value is not None:
                raise ConfigError(f"{key}: init_from is not given; it says of which file")
        return dict.fromkeys(("init_from", "init_digest", "init_skip"))
    return {"init_from": place, "init_digest": digest or _digest(place), "init_skip": skip or None}


def _digest(place: str) -> str:
    path = file_of(place)
    try:
        return of_file(path)
    except RuntimeError:
        reason = "there is no home folder"
    except OSError as error:
        reason = str(error.strerror)
    what = f"its {LAST}: {reason}" if path.name == LAST and Path(place) != path else reason
    raise ConfigError(f"init_from={place}: must be a file of weights (.safetensors, .pt) or a run's folder; {what}")
