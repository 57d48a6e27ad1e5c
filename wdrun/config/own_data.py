"""A user's own data set: the file or folder that `data.root` names, known by its content wherever it lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wdrun.contents import of_path, unreadable
from wdrun.errors import ConfigError


def knobs(data: Mapping[str, Any], output_dir: str) -> dict[str, Any]:
    """The knobs of `data`; its `digest`, in the options that have one, is that of its root unless it is typed.

    ConfigError where there is nothing at the root, where it holds the folder of the results, and for a class elsewhere
    than in data=torchvision. What that is yet to download has no digest.
    """
    if data.get("_target_") and data.get("name") != "torchvision":
        raise ConfigError("data._target_: a class is for data=torchvision; write data=torchvision data._target_=…")
    place = data.get("root")
    if "digest" not in data or data["digest"] is not None or not isinstance(place, str):
        return dict(data)
    try:
        root = Path(place).expanduser()
        if Path(output_dir).resolve().is_relative_to(root.resolve()):
            why = f"must not hold the folder of the results, output_dir={output_dir}, which every run changes"
            raise ConfigError(f"data.root={place}: {why}; give the folder of the images, or another output_dir")
        return {**data, "digest": of_path(root)}
    except RuntimeError:
        reason = "there is no home folder"
    except OSError as error:
        if data.get("_target_") and not root.exists():
            return dict(data)
        reason = unreadable(error, root)
    raise ConfigError(f"data.root={place}: must be a file or a folder of images that can be read; {reason}")
