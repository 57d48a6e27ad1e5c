"""Device, precision, threads and allocator: what was asked for, or one line that says what is missing."""

import os
import platform

import pytest
import torch

from wdrun import cores, devices
from wdrun.devices import Machine
from wdrun.errors import ConfigError

CPU = torch.device("cpu")


@pytest.fixture
def without_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def two_gpus(monkeypatch):
    """What torch says where two CUDA devices are."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)


@pytest.mark.parametrize("native", [True, False])
def test_an_older_torch_is_asked_about_bf16_in_its_own_way(native, monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert devices.has_native_bf16(torch.device("cpu")) == native


def test_the_machine_is_what_was_asked_for():
    assert devices.resolve("cpu", "fp32", 1) == devices.Machine(torch.device("cpu"), "fp32", 1)
    native = devices.has_native_bf16(torch.device("cpu"))
    assert devices.resolve("cpu", "auto", "auto").precision == ("bf16" if native else "fp32")
    assert devices.resolve("cpu", "bf16", 2).precision == "bf16"


@pytest.mark.parametrize(
    ("precision", "parameters", "inputs"),
    [
        ("fp32", torch.float32, torch.float32),
        ("tf32", torch.float32, torch.float32),
        ("bf16", torch.float32, torch.bfloat16),
        ("fp64", torch.float64, torch.float64),
    ],
)
def test_precision_decides_the_types(precision, parameters, inputs):
    machine = Machine(CPU, precision, 1)
    assert (machine.dtype, machine.input_dtype) == (parameters, inputs)
    with machine.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if precision == "bf16" else torch.float32)


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there(device, without_cuda):
    with pytest.raises(ConfigError, match=rf"^device={device}: this machine has no usable CUDA device; use device=cpu"):
        devices.resolve(device, "fp32", 1)


def test_auto_is_cuda_where_there_is_some(two_gpus):
    assert devices.resolve("auto", "auto", 1) == Machine(torch.device("cuda"), "fp32", 1)
    assert devices.resolve("cuda:1", "tf32", 1) == Machine(torch.device("cuda", 1), "tf32", 1)
    with pytest.raises(ConfigError, match=r"^device=cuda:2: 2 CUDA devices are there, counted from 0$"):
        devices.resolve("cuda:2", "fp32", 1)


def test_auto_is_the_cpu_elsewhere(without_cuda):
    assert devices.resolve("auto", "fp64", 3) == Machine(CPU, "fp64", 3)
    with pytest.raises(ConfigError, match=r"^precision=tf32: only CUDA devices have it; on a CPU use fp32 or bf16$"):
        devices.resolve("auto", "tf32", 1)


def test_a_device_torch_does_not_know():
    with pytest.raises(ConfigError, match=r"^device=abacus: not a device torch knows; use auto, cpu or cuda"):
        devices.resolve("abacus", "fp32", 1)


@pytest.mark.parametrize(("told", "count"), [("", 6), ("2", 2), ("6", 6), ("99", 6), ("0", 6), ("-1", 6), ("many", 6)])
def test_automatic_threads_are_those_this_process_may_use(told, count, monkeypatch):
    monkeypatch.setattr(cores, "_here", cores.Placement())
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert devices.resolve("cpu", "fp32", "auto").threads == count
    assert devices.resolve("cpu", "fp32", 9).threads == 9  # what is typed is not second-guessed


@pytest.fixture
def as_before(monkeypatch):
    """The process's own settings, put back."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "allow_tf32", cudnn.allow_tf32)
    monkeypatch.setattr(cudnn, "benchmark", cudnn.benchmark)
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


@pytest.mark.parametrize(("precision", "matmul"), [("tf32", "high"), ("fp32", "highest"), ("bf16", "highest")])
def test_the_process_is_set_up_for_the_machine(precision, matmul, as_before):
    devices.apply(Machine(CPU, precision, 2))
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (2, matmul)
    assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")


@pytest.mark.parametrize(
    ("device", "allocator", "kept"),
    [("cpu", None, True), ("cpu", "system", False), ("cpu", "", True), ("cuda", None, False)],
)
def test_the_allocator_keeps_memory_on_a_cpu_unless_told_not_to(device, allocator, kept, monkeypatch, as_before):
    called = []
    monkeypatch.setattr(devices, "keep_memory", lambda: called.append(1))
    if allocator is None:
        monkeypatch.delenv("WDRUN_ALLOCATOR", raising=False)
    else:
        monkeypatch.setenv("WDRUN_ALLOCATOR", allocator)
    devices.apply(Machine(torch.device(device), "fp32", 1))
    assert called == [1] * kept


def test_another_c_library_is_left_alone(monkeypatch):
    assert devices.keep_memory() == (platform.libc_ver()[0] == "glibc")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert devices.keep_memory() is False


def test_a_machine_is_described_by_what_ran():
    assert devices.describe(Machine(CPU, "bf16", 4)) == {
        "device_name": f"cpu {platform.machine()}",
        "precision_used": "bf16",
        "threads_used": 4,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "python_version": platform.python_version(),
        "torch_version": torch.__version__,
    }
