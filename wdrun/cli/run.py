"""Words that are settings: the run or sweep that they say is trained, explained or shown, its data fetched."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from wdrun import cores
from wdrun.terminal import results
from wdrun.terminal.screen import folded

if TYPE_CHECKING:
    from wdrun.config.run import Job, SweepOptions


def train_command(overrides: Sequence[str], flags: dict[str, Any]) -> int:
    from wdrun.config import axes

    if engine := axes.engine_words(overrides):
        from wdrun.sweep import launch

        return launch.command([word for word in overrides if word not in engine], engine, flags)
    from wdrun.config import experiments, targets

    lines = experiments.lines(overrides, flags["multirun"], flags["config_dir"])
    jobs, options = experiments.sweep(lines, flags["config_dir"])
    targets.announce(jobs)
    return train(jobs, options, json=flags["json"])


def train(jobs: Sequence[Job], options: SweepOptions, *, json: bool = False) -> int:
    """Take the jobs to their ends, a result on stdout each unless that is a terminal and not `json`; the exit code."""
    from wdrun.sweep import template

    with template.begun(template.suits(jobs, options)):
        cores.load({job.run.threads for job in jobs})  # torch starts here, after every value is known to be sound
        from wdrun.sweep import outcome
        from wdrun.sweep.execute import execute
        from wdrun.sweep.signals import Interrupted

        try:
            tell = partial(outcome.print_result, always=json)
            with results.alone():
                outcomes = execute(jobs, options, tell)
        except Interrupted as interrupted:
            return interrupted.exit_code
        return outcome.exit_code(outcomes)


def data_command(overrides: Sequence[str], flags: dict[str, Any]) -> int:
    from wdrun.config import targets
    from wdrun.config.compose import compose
    from wdrun.config.parse import parse

    job = parse(compose(overrides, flags["config_dir"]))
    targets.announce([job], ("data",))
    from wdrun import data

    print("\n".join(folded(data.fetch(job.run.data))))
    return 0


def explain_command(overrides: Sequence[str], flags: dict[str, Any]) -> int:
    """What a run would do, without training; a line between the runs of a sweep."""
    from wdrun.config import experiments, targets

    jobs = experiments.jobs(overrides, flags["multirun"], flags["config_dir"])
    targets.announce(jobs)
    from wdrun.api.explanation import explained

    with results.alone():
        for number, text in enumerate(explained(jobs)):
            parts = [part for line in text.split("\n") for part in folded(line)]
            print("\n".join([""] * bool(number) + parts), file=results.stream())
    return 0


def show_config(overrides: Sequence[str], flags: dict[str, Any]) -> int:
    from omegaconf import OmegaConf

    from wdrun.config import experiments
    from wdrun.config.compose import opened
    from wdrun.config.parse import parse

    documents = []
    lines = experiments.lines(overrides, flags["multirun"], flags["config_dir"])
    with opened(flags["config_dir"]) as composed:
        for line in lines:
            parse(shown := composed(line))
            documents.append(OmegaConf.to_yaml(shown, resolve=flags["resolve"]))
    sys.stdout.write("---\n".join(documents))
    return 0
