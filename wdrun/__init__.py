"""Weight-decay experiments on CIFAR-10: `wdrun decay=l2 lambda=1e-4`, or `wdrun.run("decay=l2")` from Python."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from wdrun.errors import BusyError, ConfigError, StorageError, WdrunError

if TYPE_CHECKING:
    from wdrun.api import figures
    from wdrun.api.answers import best, load, report, select
    from wdrun.api.explanation import explain
    from wdrun.api.measurement import evaluate
    from wdrun.api.runs import Result, Sweep, run, sweep
    from wdrun.api.tuning import transfer, tune

try:
    __version__ = version("wdrun")
except PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "BusyError", "ConfigError", "Result", "StorageError", "Sweep", "WdrunError", "__version__",
    "best", "evaluate", "explain", "figures", "load", "report", "run", "select", "sweep",
    "transfer", "tune",
]  # fmt: skip

# What is imported when it is first asked for: torch and pandas take seconds.
LATER = {
    "Result": "wdrun.api.runs:Result",
    "Sweep": "wdrun.api.runs:Sweep",
    "run": "wdrun.api.runs:run",
    "sweep": "wdrun.api.runs:sweep",
    "explain": "wdrun.api.explanation:explain",
    "evaluate": "wdrun.api.measurement:evaluate",
    "load": "wdrun.api.answers:load",
    "select": "wdrun.api.answers:select",
    "best": "wdrun.api.answers:best",
    "report": "wdrun.api.answers:report",
    "figures": "wdrun.api.figures:figures",
    "transfer": "wdrun.api.tuning:transfer",
    "tune": "wdrun.api.tuning:tune",
}


def __getattr__(name: str) -> Any:
    if name not in LATER:
        raise AttributeError(f"module 'wdrun' has no attribute {name!r}")
    module, _, attribute = LATER[name].partition(":")
    found = importlib.import_module(module)
    return found if module.endswith(f".{attribute}") else getattr(found, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Face(ModuleType):
    """The package's face: `wdrun.sweep` is the function, also where the package wdrun.sweep has been imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in LATER:  # importing a package inside of this one would set it here
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        """By name, as modules are sent to the workers of joblib and the like."""
        return importlib.import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Face
