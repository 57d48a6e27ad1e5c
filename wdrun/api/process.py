"""A run inside a program that is not ours: it takes its turn, and leaves the process as it found it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from wdrun.api.silence import stderr, stdout
from wdrun.config.apart import Turn
from wdrun.errors import StorageError
from wdrun.sweep.signals import Interrupted

SET = ("WANDB_ERROR_REPORTING", "MLFLOW_DISABLE_TELEMETRY")  # of the environment, while runs train

_turn = Turn()


@contextmanager
def turn(*, quiet: bool = False) -> Iterator[None]:
    """One thread at a time, since torch's thread count and generator are the process's; both, its other settings, and
    those of the environment, are afterwards as before, and what the program set does not reach the run's numbers.

    What this thread prints is on stderr; `quiet`: what it says there is dropped. A signal that interrupted the runs is
    raised again after they were saved: Ctrl-C is KeyboardInterrupt, and a handler of the program's own is called.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise StorageError("the current folder is not there any more; go to one that is, with os.chdir(…)") from error
    try:
        with _turn, _settings(), stderr(quiet), stdout():
            yield
    except Interrupted as interrupted:
        signal.raise_signal(interrupted.signum)
        raise KeyboardInterrupt(str(interrupted)) from None  # where the program's handler came back


@contextmanager
def _settings() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    tf32, benchmark = cudnn.allow_tf32, cudnn.benchmark
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    environment = {name: os.environ.get(name) for name in SET}
    torch.set_default_dtype(torch.float32)
    if device.type != "cpu":
        torch.set_default_device("cpu")
    try:
        with (
            torch.random.fork_rng(devices=[]),
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast("cpu", enabled=False),
            torch.autocast("cuda", enabled=False) if torch.is_autocast_enabled("cuda") else torch.enable_grad(),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        cudnn.allow_tf32, cudnn.benchmark = tf32, benchmark
        torch.set_default_dtype(dtype)
        if device.type != "cpu":
            torch.set_default_device(device)
        for name, value in environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
