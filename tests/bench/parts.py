"""Where the time of a training step goes, and what the always-on diagnostics cost: python tests/bench/parts.py [n].

First table: the default CNN on real CIFAR-10, 60 steps under torch's profiler, in its own precision; FLOP counted by
torch, the peak is the fastest matrix product found in the same process. Then, for CNN and MLP, the time of n epochs as
`wdrun` trains them over the same less what the diagnostics took inside them.
"""

import os
import statistics
import sys
import time
from collections import defaultdict

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the wdrun command sets it

import torch
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from wdrun import devices
from wdrun.bench import WORK, rows
from wdrun.config import experiments
from wdrun.sweep.one_run import ready
from wdrun.training.diagnostics.inspector import Inspector

STEPS = 60
KERNELS = {
    "convolutions, forward": ("aten::mkldnn_convolution",),
    "convolutions, backward": ("aten::convolution_backward",),
    "max-pool, forward": ("aten::max_pool2d_with_indices",),
    "max-pool, backward": ("aten::max_pool2d_with_indices_backward",),
    "linear layers": ("aten::addmm", "aten::mm"),
    "batch making": ("batch",),
    "update": ("update",),
}
FLOPS = {
    "convolutions, forward": ("convolution",),
    "convolutions, backward": ("convolution_backward",),
    "linear layers": ("addmm", "mm"),
}


def trainer(words):
    made = ready(experiments.jobs(words, False)[0].run)
    devices.apply(made.machine)
    return made


def kernels():
    ready = trainer([*WORK["cnn"], "epochs=1"])
    step, (now, buffers) = ready.step, rows._start(ready)
    batches = ready.train_batches.epoch(0, 1)

    def one(t):
        nonlocal now
        with record_function("batch"):
            x, y = next(batches)
        grads, _, _ = step.gradients(now.params, buffers, x, y)
        with record_function("update"):
            now = step.update(now, grads, ready.knobs(t))

    for t in range(1, 21):
        one(t)
    with FlopCounterMode(display=False) as counter:
        one(21)
    flops = {str(op).split(".")[1]: count for op, count in counter.get_flop_counts()["Global"].items()}
    began = time.perf_counter()
    for t in range(22, 22 + STEPS):
        one(t)
    plain = (time.perf_counter() - began) / STEPS
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for t in range(100, 100 + STEPS):
            one(t)
    calls = defaultdict(list)
    for event in profiler.events():
        calls[event.name].append(event.cpu_time_total)
    # Of every call of a step its median: what the profiler notes makes single calls wait for fresh memory.
    took = {
        name: sum(statistics.median(each[k :: len(each) // STEPS]) for k in range(len(each) // STEPS))
        for name, each in calls.items()
    }
    peak = rows.peak(ready.machine)
    print(f"cnn, {ready.machine.precision}, {ready.machine.threads} threads: a step takes {1e3 * plain:.2f} ms")
    done = sum(flops.values())
    print(
        f"matrix peak {peak / 1e9:.0f} GFLOP/s; the step's {done / 1e9:.2f} GFLOP would take {1e3 * done / peak:.2f} ms"
    )
    print("\n| part | ms a step | GFLOP/s | share of the peak |\n|---|---|---|---|")
    for part, names in KERNELS.items():
        us = sum(took.get(name, 0) for name in names)
        done = sum(flops.get(name, 0) for name in FLOPS.get(part, ()))
        rate = f"{done / us / 1e3:.0f} | {done / us * 1e6 / peak:.0%}" if done else "|"
        print(f"| {part} | {us / 1e3:.2f} | {rate} |")


def diagnostics(words, epochs):
    ready, spent, epoch = trainer([*words, f"epochs={epochs}"]), [], Inspector.epoch

    def timed(*given):
        began = time.perf_counter()
        found = epoch(*given)
        spent.append(time.perf_counter() - began)
        return found

    Inspector.epoch = timed
    trained = [done.timing[0]["train_seconds"] for done in ready.train()]
    Inspector.epoch = epoch
    shares = [whole / (whole - part) for whole, part in zip(trained, spent, strict=True)][1:]
    low, middle, high = min(shares), statistics.median(shares), max(shares)
    print(f"{' '.join(words)}: an epoch with diagnostics takes {middle:.4f} ({low:.4f} to {high:.4f}) of one without")


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    kernels()
    print()
    diagnostics([*WORK["mlp"]], n + 1)
    diagnostics([*WORK["cnn"], "data.train_size=10000"], n + 1)


if __name__ == "__main__":
    main()
