"""Images a second of wdrun's trainer and of the plain loop in a process of its own, turn about."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from wdrun import devices
from wdrun.config import experiments
from wdrun.devices import Machine
from wdrun.errors import ConfigError, WdrunError
from wdrun.sweep.one_run import ready
from wdrun.tensors import Tensors
from wdrun.training.state import unflatten
from wdrun.training.step import Training
from wdrun.training.trainer import Trainer
from wdrun.wording import counted

SECONDS = 1.5  # a sample trains for about so long
EDGES = (1024, 2048, 4096)  # of the square matrices the peak is looked for among


def measure(
    words: Sequence[str], rounds: int, config_dir: str | None = None
) -> tuple[str, list[tuple[float, float]], float, float]:
    """Title, `rounds` pairs of images a second (wdrun, plain), FLOP a training image, peak FLOP/s."""
    jobs = experiments.jobs([*words, "epochs=1"], False, config_dir)
    if len(jobs) != 1:
        raise ConfigError(f"{' '.join(words)}: is a sweep; wdrun bench times one run")
    trainer = ready(jobs[0].run)
    if not trainer.train_batches.images:
        raise ConfigError(f"data={trainer.dataset.name}: the plain loop is one over images")
    devices.apply(trainer.machine)
    run = trainer.run
    how = f"{trainer.machine.precision}, {counted(trainer.machine.threads, 'thread')}"
    title = f"{run.model['name']}, {run.augment['name']}, batch {run.batch_size}, {how}"
    steps = _steps(trainer)
    with _plain(words, config_dir) as plain:
        pairs = [(images_per_second(trainer, steps), plain()) for _ in range(rounds + 1)]
    return title, pairs[1:], flops_per_image(trainer), peak(trainer.machine)


def images_per_second(trainer: Trainer, steps: int) -> float:
    """Batches and steps as Trainer.train takes them, `steps` of the first epoch; neither evaluation nor tables."""
    now, buffers = _start(trainer)
    done, started = 0, time.perf_counter()
    with trainer.machine.at_work():
        while done < steps:
            for x, y in trainer.train_batches.epoch(trainer.run.seed, 1):
                done += 1
                now, _, loss, _ = trainer.step(now, buffers, x, y, trainer.knobs(done))
                if done == steps:
                    break
        loss.item()  # on a GPU the clock stops when the work is done
    return steps * trainer.run.batch_size / (time.perf_counter() - started)


def _start(trainer: Trainer) -> tuple[Training, Tensors]:
    trainer.model.train()
    return unflatten(trainer.initial().tensors)


def _steps(trainer: Trainer) -> int:
    """How many steps fill a sample, by trying."""
    few = 20
    images_per_second(trainer, few)
    return max(few, round(SECONDS * images_per_second(trainer, few) / trainer.run.batch_size))


def flops_per_image(trainer: Trainer) -> float:
    """FLOP of forward and backward pass an image, counted by torch (two a multiply-add; matrix work only)."""
    now, buffers = _start(trainer)
    x, y = next(trainer.train_batches.epoch(trainer.run.seed, 1))
    with FlopCounterMode(display=False) as counter:
        trainer.step.gradients(now.params, buffers, x, y)
    return counter.get_total_flops() / len(y)


def peak(machine: Machine) -> float:
    """FLOP/s of the fastest of a few square matrix products in the machine's precision, best of five each."""
    dtype = torch.bfloat16 if machine.precision == "bf16" else machine.dtype
    best = 0.0
    for edge in EDGES:
        a = torch.randn(edge, edge, device=machine.device, dtype=dtype)
        for _ in range(6):
            started = time.perf_counter()
            (a @ a)[0, 0].item()
            best = max(best, 2 * edge**3 / (time.perf_counter() - started))
    return best


@contextmanager
def _plain(words: Sequence[str], config_dir: str | None) -> Iterator[Sampler]:
    """The plain loop in its own process, so that nothing wdrun sets up for itself speeds it up."""
    child = subprocess.Popen(
        [sys.executable, "-m", "wdrun.bench.plain", json.dumps([list(words), config_dir, SECONDS])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        yield Sampler(child)
        child.kill()


class Sampler:
    """Ask the child for one sample: images a second."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.child = child

    def __call__(self) -> float:
        if self.child.stdin is None or self.child.stdout is None:
            raise WdrunError("the plain loop has no pipes")
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise WdrunError("the plain loop ended early; its own message stands above")
        return float(line)
