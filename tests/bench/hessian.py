"""Seconds and peak memory of diagnostics=[hessian]: python tests/bench/hessian.py [words…].

One short run of a ResNet-20 with batch norms (He et al. 2016, shortcuts without weights), or of the module that
model._target_=… names, on noise of CIFAR-10's size; then its Hessian, which alone is timed. The memory is the largest
resident size of the process, before the Hessian and after it.
"""

import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the wdrun command sets it
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch.nn.functional as F
from torch import nn

from tests.bench.gpu import noise, parsed
from wdrun import devices
from wdrun.training.measurement import closing
from wdrun.training.trainer import Trainer

WORDS = ("model._target_=tests.bench.hessian.ResNet20", "diagnostics=[hessian]", "epochs=1", "precision=fp32")
EXAMPLES = 2000


class Block(nn.Module):
    def __init__(self, inputs, width):
        super().__init__()
        self.stride, self.more = 1 if inputs == width else 2, width - inputs
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 3, self.stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x):
        around = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return F.relu(around + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet20(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
        self.blocks = nn.Sequential(*map(Block, widths, widths[1:]))
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.blocks(F.relu(self.bn(self.conv(x)))).mean((2, 3)))


def measured(*words, examples=EXAMPLES):
    """Seconds, megabytes before and after, and what was found, of the run of these words."""
    run = parsed(*WORDS, *words)
    machine = devices.resolve(run.device, run.precision, run.threads)
    devices.apply(machine)
    trainer = Trainer(run, noise(examples), machine)
    (epoch,) = trainer.train()
    before, began = peak(), time.perf_counter()
    found = closing(trainer, epoch.state).summary
    seconds = time.perf_counter() - began
    assert not trainer.inspector.failures, trainer.inspector.failures
    return seconds, before, peak(), found


def peak():
    """The largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main():
    seconds, before, after, found = measured(*sys.argv[1:])
    told = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
    print(f"{seconds:.1f} s, {after:.0f} MB at the most, {before:.0f} before it: {told}")


if __name__ == "__main__":
    main()
