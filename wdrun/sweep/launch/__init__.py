"""Sweeps through Hydra's launchers and sweepers: `hydra/launcher=ray`, `hydra/sweeper=optuna`, and wdrun's own.

hydra_plugins/wdrun_launcher.py is what Hydra finds; `task` is what it may call for one composed config.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wdrun.config import experiments, typed
from wdrun.config.literals import quoted
from wdrun.config.run import Job
from wdrun.errors import ConfigError, WdrunError
from wdrun.sweep.launch import groups
from wdrun.sweep.launch.engine import composed, fixed
from wdrun.sweep.launch.jobs import Task, rises, task
from wdrun.sweep.outcome import FAILED_FAST, Outcome
from wdrun.sweep.signals import Interrupted, handled
from wdrun.sweep.source import Source
from wdrun.tables import aggregate, ownership
from wdrun.terminal.progress import say
from wdrun.wording import first_line

__all__ = ["command", "task"]

QUIET = ("hydra.output_subdir=null", "hydra.job.chdir=false", "hydra/job_logging=none", "hydra/hydra_logging=none")


def command(overrides: Sequence[str], engine: Sequence[str], flags: dict[str, Any]) -> int:
    """Sweep with the launcher and sweeper that the engine's words name, ours where they name none; the exit code."""
    words = _whole(engine)
    own = "hydra/sweeper=wdrun" in words
    typed.check(overrides)
    same = experiments.lines(overrides, True, flags["config_dir"], lambda note: None)[0] if own else fixed(overrides)
    (first,), options = experiments.sweep([same], flags["config_dir"])
    root = Path(first.options.output_dir).absolute() / first.options.name
    ownership.check([root])
    folder = _logs(root)
    words += _placed(folder, flags["config_dir"])
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


def workers(engine: Sequence[str]) -> int | None:
    """How many workers the launcher of the engine's words has; None where that is wdrun's own, this process.

    ConfigError where it is not installed, and for a sweeper: a source plans its runs itself.
    """
    if sweeper := next((word for word in engine if re.match(r"[+~]*hydra[./]sweeper\b", word)), ""):
        raise ConfigError(f"{sweeper}: leave it out; wdrun tune plans its runs itself, hydra/launcher=… trains them")
    with composed([*_whole(engine), *QUIET]) as (config, _):
        return None if groups.is_own(config) else groups.workers(config)


def grow(
    source: Source,
    on_end: Callable[[Outcome], None],
    engine: Sequence[str],
    root: Path,
    config_dir: str | None,
    *,
    fail_fast: bool = False,
) -> list[Outcome]:
    """Train what the source gives, a run for each worker of the engine's launcher at a time; all outcomes.

    As with `execute`, `on_end` sees how each ended before the source is asked again, those too that ended before an
    interruption; with `fail_fast` it is not asked again once a run failed.
    """
    from wdrun.sweep.one_run import Rows, finished, rows_of
    from wdrun.sweep.preparation import distinct

    outcomes: list[Outcome] = []
    folder, batch = _logs(root), 0
    while True:
        batch += 1
        words = [*_whole(engine), *_placed(folder / str(batch), config_dir)]
        asked: Sequence[Job] = ()
        before: Rows = {}
        try:
            with _interruptible(), composed(words) as (config, context):
                asked = distinct(source.more(groups.workers(config)))
                before = rows_of(asked)
                if not asked:
                    return outcomes
                ended = groups.handed(asked, config, context, size=1, planned=False)
        except Interrupted:
            for job in asked:
                if (over := finished(job, before)) and over.status != "busy":
                    on_end(over)
            raise
        outcomes += ended
        for outcome in ended:
            if outcome.status != "interrupted":
                on_end(outcome)
        if any(outcome.status == "interrupted" for outcome in ended):
            raise Interrupted(signal.SIGTERM)
        if fail_fast and any(outcome.bad for outcome in ended):
            say(FAILED_FAST)
            return outcomes


def _whole(engine: Sequence[str]) -> list[str]:
    """The engine's words with wdrun's own launcher and sweeper where they name none."""
    groups = ("hydra/launcher", "hydra/sweeper")
    return [*engine, *(f"{g}=wdrun" for g in groups if not any(word.startswith(f"{g}=") for word in engine))]


def _placed(folder: Path, config_dir: str | None) -> list[str]:
    """The words that put Hydra's own files into the folder, and let it find the user's options."""
    words = [*QUIET, f"hydra.sweep.dir={quoted(str(folder))}"]
    if config_dir is not None:
        words.append(f"hydra.searchpath=[{quoted('file://' + str(Path(config_dir).absolute()))}]")
    return words


def _logs(root: Path) -> Path:
    """Where the files of this command's engine go."""
    return root / ".hydra-sweep" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Where engines wait, a signal ends the waiting: KeyboardInterrupt inside, Interrupted outside."""
    received: list[int] = []

    def handle(signum: int, frame: object) -> None:
        received.append(signum)
        raise KeyboardInterrupt

    try:
        with handled(handle):
            yield
    except KeyboardInterrupt:
        raise Interrupted(received[0] if received else signal.SIGINT) from None
