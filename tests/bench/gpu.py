"""All that a CUDA machine is asked at once: python tests/bench/gpu.py [--quick] [PART …].

About seven minutes in all; where the variable OUT names a folder, it gets the figures as JSON.

1. equal: fused = serial, float64 to 1e-9 on every way, and the size of the difference in bf16.
2. step: milliseconds a step of R fused runs, by way, and of one run eager (the serial `Trainer`) and recorded (R = 1),
   interleaved; CNN and MLP. The ratio R × eager/fused is the gain over one run after another.
3. grid: 100 CNN runs (10 lr × 10 λ) × 10 epochs of CIFAR-10, one seed, whole: training, evaluation, rows.
4. single: one CNN run × 10 epochs, recorded.
5. tune: the question of experiment=lr_lambda on generated data, from Enter to the verdicts, fused and serial.
Real CIFAR-10 where the cache has it, else uint8 noise of the same size, which costs the same. --quick shrinks all of
it and also runs on a CPU, as a self-test.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import torch

from wdrun import data, devices
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.data import Dataset, Split
from wdrun.training import fused
from wdrun.training.fused.stack import Stack
from wdrun.training.state import unflatten
from wdrun.training.trainer import Trainer

CNN = ["model=cnn", "batch_size=64", "augment=flip_crop", "lr=0.02"]
MLP = ["model=mlp", "model.hidden=[64,64]", "batch_size=128", "augment=none", "lr=0.02"]
PARTS = ["equal", "step", "grid", "single", "tune"]
PEAK = {"cnn": 78e6}  # floating-point operations an image and training step


def parsed(*words):
    return parse(compose(list(words))).run


def noise(examples):
    """A data set with the shape of CIFAR-10, of `examples` images to train on."""
    draws = torch.Generator().manual_seed(0)
    total = examples + examples // 10 + examples // 5
    images = torch.randint(256, (total, 32, 32, 3), generator=draws, dtype=torch.uint8)
    labels = torch.randint(10, (total,), generator=draws)
    rows = torch.arange(total).split([examples, examples // 10, examples // 5])
    splits = {name: Split(images, labels, of) for name, of in zip(("train", "val", "test"), rows, strict=True)}
    return Dataset("noise", splits, 10, (0.5,) * 3, (0.29,) * 3, "0" * 64, (3, 32, 32))


def dataset(examples, quick):
    if not quick:
        try:
            return data.load(parsed("data=cifar10").data, 0)
        except Exception as error:  # no cache, no network: time is the same on noise
            print(f"CIFAR-10 is not here ({type(error).__name__}); uint8 noise of its size instead")
    return noise(examples)


def trainers(run, changes, source, device, precision):
    machine = devices.resolve(device, precision, "auto")
    devices.apply(machine)
    return [Trainer(replace(run, **change), source, machine) for change in changes]


def grid(n):
    """n × n settings: lr × λ, one seed."""
    return [{"lr": 0.005 * 1.5**i, "lam": 1e-5 * 3.0**j} for i in range(n) for j in range(n)]


def equal(device, quick):
    """Largest difference of weights after two epochs, fused and serial, by precision and way."""
    source, found = noise(256 if quick else 512), {}
    words = ["model=cnn", "model.channels=[8,8]", "model.width=16", "batch_size=32", "epochs=2", "augment=flip_crop"]
    changes = [{"lr": 0.02, "lam": 0.0}, {"lr": 0.01, "lam": 1e-2}, {"lr": 0.02, "lam": 1e-3, "seed": 1}]
    for precision in ("fp64", "bf16"):
        for optimizer in ("sgd", "adamw"):
            run = parsed(*words, f"optimizer={optimizer}", f"precision={precision}")
            made = trainers(run, changes, source, device, precision)
            alone = [list(t.train())[-1].state.tensors for t in made]
            for way in fused.forward.ways(made[0].model):
                ends = {i: e.state.tensors for i, e in fused.FusedTrainer(made, way).train() if e.status == "done"}
                off = max(
                    ((ends[i][n] - w).norm() / (w.norm() + 1e-12)).item()
                    for i, one in enumerate(alone) for n, w in one.items() if n.startswith("params/")
                )  # fmt: skip
                found[f"{precision} {optimizer} {way}"] = off
                print(f"equal   {precision} {optimizer:6} {way:9} {off:.1e}", flush=True)
                assert precision != "fp64" or off < 1e-9, "fused is not serial"
    return found


def sync():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class Steps:
    """Batches and steps of a stack without the end of an epoch; `time` gives milliseconds a step."""

    def __init__(self, made, way):
        self.stack = Stack(made, [t.initial() for t in made], way)
        self.stack.table.copy_(torch.tensor([self.stack._row(t) for t in range(1, len(self.stack.table) + 1)]))
        self.time(3)

    def time(self, steps):
        stack = self.stack
        stack.first.model.train()
        batches = [t.train_batches.epoch(t.run.seed, 1) for t in stack.sources.values()]
        stack.counter.zero_()
        sync()
        started = time.perf_counter()
        for _, batch in zip(range(steps), zip(*batches, strict=True), strict=False):
            stack.fill(batch)
            stack._moved()
        sync()
        return 1e3 * (time.perf_counter() - started) / steps


def eager(trainer, steps):
    """Milliseconds a step of the serial trainer."""
    trainer.model.train()
    now, buffers = unflatten(trainer.standing(None).state.tensors)
    sync()
    started = time.perf_counter()
    for t, (x, y) in zip(range(1, steps + 1), trainer.train_batches.epoch(0, 1), strict=False):
        now, *_ = trainer.step(now, buffers, x, y, trainer.knobs(t))
    sync()
    return 1e3 * (time.perf_counter() - started) / steps


def steps(device, quick, source):
    """Milliseconds a step, interleaved over ways; the first round is the warm-up."""
    found, rounds, count = {}, 2 if quick else 5, 3 if quick else 50
    for name, words in {"cnn": CNN, "mlp": MLP}.items():
        run = parsed(*words, "epochs=10")
        for runs in (2,) if quick else (1, 8, 64):
            changes = [{"lam": 1e-4 * r} for r in range(runs)]
            made = trainers(run, changes, source, device, "auto")
            kinds = {way: Steps(made, way) for way in fused.forward.ways(made[0].model)}
            if runs > 1:
                mixed = [change | {"seed": r % 4} for r, change in enumerate(changes)]
                kinds["4 seeds"] = Steps(trainers(run, mixed, source, device, "auto"), next(iter(kinds)))
            times = {kind: [] for kind in ("eager", *kinds)}
            for _ in range(rounds + 1):
                times["eager"].append(eager(made[0], count))
                for kind, one in kinds.items():
                    times[kind].append(one.time(count))
            middle = {kind: statistics.median(of[1:]) for kind, of in times.items()}
            found[f"{name} {runs}"] = {kind: {"ms": middle[kind], "all": times[kind]} for kind in times}
            for kind in kinds:
                gain = runs * middle["eager"] / middle[kind]
                rate = runs * run.batch_size / middle[kind] * 1e3
                print(
                    f"step    {name} R={runs:3} {kind:9} {middle[kind]:8.3f} ms, eager one {middle['eager']:.3f} ms, "
                    f"gain {gain:6.1f}×, {rate:,.0f} images/s, {rate * PEAK.get(name, 0) / 1e12:.0f} TFLOP/s",
                    flush=True,
                )
            del kinds, made
            if device == "cuda":
                torch.cuda.empty_cache()
    return found


def whole(name, changes, device, quick, source):
    """Seconds of whole runs, from trainers to the last row."""
    words = ["epochs=1"] if quick else ["epochs=10"]
    started = time.perf_counter()
    made = trainers(parsed(*CNN, *words), changes, source, device, "auto")
    built = time.perf_counter() - started
    size = fused.chunk(len(made), made[0])
    shares, ends = [0.0, 0.0], []
    started = time.perf_counter()
    for at in range(0, len(made), size):
        for _, epoch in fused.FusedTrainer(made[at : at + size]).train():
            shares = [s + epoch.timing[0][k] if epoch.timing else s
                      for s, k in zip(shares, ("train_seconds", "evaluate_seconds"), strict=True)]  # fmt: skip
            ends += [epoch] if epoch.status != "running" else []
    sync()
    seconds = time.perf_counter() - started
    best = max((e.summary["best_val_accuracy"] for e in ends if e.status == "done"), default=None)
    print(
        f"{name:7} {len(made)} runs in chunks of {size}: {seconds:.2f} s "
        f"(training {shares[0]:.2f}, evaluation {shares[1]:.2f}; building before it {built:.2f}); "
        f"{sum(e.status == 'diverged' for e in ends)} diverged, best val accuracy {best}",
        flush=True,
    )
    return {"seconds": seconds, "train": shares[0], "evaluate": shares[1], "build": built, "chunk": size, "best": best}


def tune(quick):
    """Seconds and runs of a question from the command line, fused and serial, and how many verdicts are alike."""
    found, told = {}, []
    words = ["experiment=lr_lambda", "data=synthetic", "data.train_examples=20000", "data.label_noise=0.3"]
    words += ["data.train_examples=1200", "data.train_size=null", "epochs=2", "runs=30"] if quick else []
    for fuse in ("true", "false"):
        with tempfile.TemporaryDirectory() as place:
            started = time.perf_counter()
            command = [sys.executable, "-m", "wdrun", "tune", *words, f"fuse={fuse}"]
            lines = subprocess.run(
                command, cwd=place, stdout=subprocess.PIPE, text=True, check=True
            ).stdout.splitlines()
            seconds = time.perf_counter() - started
        rows = [json.loads(line) for line in lines]
        told.append([row["question"]["verdict"] for row in rows if "question" in row])
        runs = sum("question" not in row for row in rows)
        found[f"fuse={fuse}"] = {"seconds": seconds, "runs": runs, "verdicts": told[-1]}
        decided = sum(verdict != "undecided" for verdict in told[-1])
        print(f"tune    fuse={fuse}: {seconds:.1f} s, {runs} runs, {decided} of {len(told[-1])} decided", flush=True)
    alike = sum(one == other for one, other in zip(*told, strict=True))
    print(f"tune    {alike} of {len(told[0])} verdicts alike", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all unless some are named")
    asked = parser.parse_args()
    quick, parts = asked.quick, asked.parts or PARTS
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not quick:
        raise SystemExit("no CUDA device here; --quick is a self-test of this script on a CPU")
    machine = devices.resolve(device, "auto", "auto")
    print(f"torch {torch.__version__}, {devices.describe(machine)['device_name']}, {machine.precision}", flush=True)
    found = {"machine": devices.describe(machine)}
    source = dataset(256 if quick else 45_000, quick) if {"step", "single", "grid"} & set(parts) else None
    for part in (part for part in PARTS if part in parts):
        if part == "equal":
            found[part] = equal(device, quick)
        elif part == "step":
            found[part] = steps(device, quick, source)
        elif part == "single":
            whole("warm-up", grid(2), device, True, source)
            found[part] = [whole("single", grid(1), device, quick, source) for _ in range(1 if quick else 3)]
        elif part == "grid":
            found[part] = whole("grid", grid(2 if quick else 10), device, quick, source)
        else:
            found[part] = tune(quick)
    if out := os.environ.get("OUT"):
        (Path(out) / f"gpu-{'-'.join(parts)}.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
