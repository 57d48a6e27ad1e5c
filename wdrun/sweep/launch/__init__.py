"""Sweeps through Hydra's launchers and sweepers: `hydra/launcher=ray`, `hydra/sweeper=optuna`, and wdrun's own.

hydra_plugins/wdrun_launcher.py is what Hydra finds; `task` is what it may call for one composed config.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wdrun.config import experiments, typed
from wdrun.config.literals import quoted
from wdrun.errors import ConfigError, WdrunError
from wdrun.sweep.launch.engine import composed, fixed
from wdrun.sweep.launch.jobs import Task, rises, task
from wdrun.sweep.signals import Interrupted
from wdrun.tables import aggregate, ownership
from wdrun.terminal.progress import say
from wdrun.wording import first_line

__all__ = ["command", "task"]

QUIET = ("hydra.output_subdir=null", "hydra.job.chdir=false", "hydra/job_logging=none", "hydra/hydra_logging=none")


def command(overrides: Sequence[str], engine: Sequence[str], flags: dict[str, Any]) -> int:
    """Sweep with the launcher and sweeper that the engine's words name, ours where they name none; the exit code."""
    words = list(engine)
    for group in ("hydra/launcher", "hydra/sweeper"):
        if not any(word.startswith(f"{group}=") for word in words):
            words.append(f"{group}=wdrun")
    own = "hydra/sweeper=wdrun" in words
    typed.check(overrides)
    same = experiments.lines(overrides, True, flags["config_dir"], lambda note: None)[0] if own else fixed(overrides)
    (first,), options = experiments.sweep([same], flags["config_dir"])
    if options.halving is not None:
        raise ConfigError(f"halving={options.halving}: compares all runs of a sweep; leave {engine[0]} away")
    root = Path(first.options.output_dir).absolute() / first.options.name
    ownership.check([root])
    folder = root / ".hydra-sweep" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    words += [*QUIET, f"hydra.sweep.dir={quoted(str(folder))}"]
    if flags["config_dir"] is not None:
        place = "file://" + str(Path(flags["config_dir"]).absolute())
        words.append(f"hydra.searchpath=[{quoted(place)}]")
    if "hydra/sweeper=optuna" in words and not any(word.startswith("hydra.sweeper.direction=") for word in words):
        words.append(f"hydra.sweeper.direction={'maximize' if rises(options) else 'minimize'}")
    keep = Task(folder / "ended", json=flags["json"])
    try:
        with _interruptible(), composed(words) as (config, context):
            from hydra.core.plugins import Plugins

            plugins = Plugins.instance()
            sweeper = plugins.instantiate_sweeper(hydra_context=context, task_function=keep, config=config)
            sweeper.sweep(list(overrides))
    except Interrupted as interrupted:
        return interrupted.exit_code
    except WdrunError:
        raise
    except Exception as error:  # of a plugin
        raise WdrunError(f"{' '.join(engine)}: {first_line(error)}") from error
    finally:
        if not own and root.is_dir():  # a foreign sweeper with a foreign launcher writes no tables
            aggregate.write(root, say)
    best = folder / "optimization_results.yaml"
    if best.is_file():
        say("\n".join(["", *best.read_text(encoding="utf-8").splitlines()]))
    return keep.code


@contextmanager
def _interruptible() -> Iterator[None]:
    """Where engines wait, SIGINT and SIGTERM end the waiting: KeyboardInterrupt inside, Interrupted outside."""
    received: list[int] = []

    def handle(signum: int, frame: object) -> None:
        received.append(signum)
        raise KeyboardInterrupt

    before: dict[int, Callable[..., Any] | int | None] = {}
    for signum in (signal.SIGINT, signal.SIGTERM):
        before[signum] = signal.signal(signum, handle)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(received[0] if received else signal.SIGINT) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
