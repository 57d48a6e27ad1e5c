"""Where and how a run computes: device, precision, threads, allocator. Nothing is swapped silently."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from wdrun import cores
from wdrun.errors import ConfigError
from wdrun.wording import counted


@dataclass(frozen=True)
class Machine:
    """What really runs; recorded with every run."""

    device: torch.device
    precision: str  # fp32 bf16 tf32 fp64
    threads: int

    @property
    def dtype(self) -> torch.dtype:
        """Type of the parameters; in bf16 they are fp32 masters and the matrix products are cast."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    @property
    def input_dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else self.dtype

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 matrix products and convolutions; nothing in the other precisions."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def at_work(self) -> AbstractContextManager[None]:
        """While a run trains: this thread on its core where each of torch's threads is bound to one."""
        return cores.bound(self.threads if self.device.type == "cpu" else 1)


def resolve(device: str, precision: str, threads: int | str) -> Machine:
    """The machine for these settings; ConfigError when something asked for is not there."""
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device={device}: this machine has no usable CUDA device; use device=cpu or device=auto")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        place = torch.device(chosen)
    except RuntimeError as error:
        raise ConfigError(f"device={device}: not a device torch knows; use auto, cpu or cuda[:index]") from error
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        there = counted(torch.cuda.device_count(), "CUDA device is", "CUDA devices are")
        raise ConfigError(f"device={device}: {there} there, counted from 0")
    if precision == "tf32" and place.type != "cuda":
        raise ConfigError("precision=tf32: only CUDA devices have it; on a CPU use fp32 or bf16")
    if precision == "auto":
        precision = "bf16" if has_native_bf16(place) else "fp32"
    return Machine(place, precision, threads if isinstance(threads, int) else cores.automatic())


def has_native_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bf16 itself; emulated bf16 would be slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    # torch 2.10 has no public question for it
    return any(getattr(torch.cpu, f"_is_{name}_supported", bool)() for name in ("avx512_bf16", "amx_tile"))


def apply(machine: Machine) -> None:
    """Set the process up: thread count, matmul precision, and an allocator that keeps its memory."""
    torch.set_num_threads(machine.threads)
    torch.set_float32_matmul_precision("high" if machine.precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = machine.precision == "tf32"
    torch.backends.cudnn.benchmark = True  # shapes do not change: the fastest of its kernels is found once
    if machine.device.type == "cpu" and os.environ.get("WDRUN_ALLOCATOR") != "system":
        keep_memory()


def keep_memory() -> bool:
    """Tell glibc to keep freed memory: page faults on big tensors otherwise cost up to a third of a step.

    Other C libraries are left alone; `WDRUN_ALLOCATOR=system` switches it off. Returns whether it applied.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # names of malloc.h
    settings = ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 64 * 2**20))
    return all(mallopt(option, value) == 1 for option, value in settings)


BITS = ("device_name", "precision_used", "threads_used", "instruction_set", "torch_version")  # what they depend on


def describe(machine: Machine) -> dict[str, str | int]:
    """Columns of run.csv that say what ran: device name, precision, threads, versions, instruction set."""
    name = torch.cuda.get_device_name(machine.device) if machine.device.type == "cuda" else platform.machine()
    return {
        "device_name": f"{machine.device.type} {name}",
        "precision_used": machine.precision,
        "threads_used": machine.threads,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
    }
