"""The baseline: what a tutorial writes. A torchvision-style dataset of PIL images, per-image transforms, a DataLoader
in the main process, eager fp32, torch.optim.SGD with weight_decay.

Run as a process of its own by `wdrun bench`: a sample for each line on stdin, images a second on stdout.
"""

from __future__ import annotations

import json
import sys
import time

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision import transforms
from torchvision.transforms import v2

from wdrun import data, models
from wdrun.config import experiments
from wdrun.config.run import Run
from wdrun.data.dataset import Split
from wdrun.terminal import results


class Images(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's data sets serve them: one PIL image at a time through its transforms."""

    def __init__(self, split: Split, transform: transforms.Compose) -> None:
        self.images, self.targets, self.transform = split.inputs.numpy(), split.targets.tolist(), transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index].squeeze())), self.targets[index]


class Loop:
    """The model, the loader and the optimizer, built once."""

    def __init__(self, run: Run) -> None:
        dataset = data.load(run.data, run.fold)
        size, pad = dataset.input_shape[1:], run.augment.get("pad")
        mode = "reflect" if run.augment.get("pad_mode") == "reflect" else "constant"
        crop = [transforms.RandomCrop(size, padding=pad, padding_mode=mode)] if pad else []
        flip = [transforms.RandomHorizontalFlip()] if run.augment.get("flip") else []
        steps = transforms.Compose(
            [*crop, *flip, transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)]
        )
        split = dataset.splits["train"]
        images = Subset(Images(split, steps), split.rows.tolist())
        self.device = "cuda" if torch.cuda.is_available() and run.device != "cpu" else "cpu"
        self.loader = DataLoader(images, batch_size=run.batch_size, shuffle=True, drop_last=True)
        self.model = models.build(run.model, dataset.input_shape, dataset.classes, run.seed).to(self.device)
        kinds = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
        mix = kinds.get(run.augment.get("mix") or "")
        self.mix = mix(alpha=run.augment["alpha"], num_classes=dataset.classes) if mix else None
        self.smoothing = run.label_smoothing
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def images_per_second(self, seconds: float) -> float:
        """Train for about so many seconds."""
        done, started = 0, time.perf_counter()
        for x, y in self.loader:
            self.optimizer.zero_grad()
            x, y = self.mix(x, y) if self.mix else (x, y)
            outputs = self.model(x.to(self.device))
            loss = F.cross_entropy(outputs, y.to(self.device), label_smoothing=self.smoothing)
            loss.backward()
            self.optimizer.step()
            done += len(y)
            if time.perf_counter() - started > seconds:
                break
        loss.item()
        return done / (time.perf_counter() - started)


def main() -> None:
    words, config_dir, seconds = json.loads(sys.argv[1])
    job = experiments.jobs([*words, "epochs=1"], False, config_dir)[0]
    if isinstance(job.run.threads, int):
        torch.set_num_threads(job.run.threads)
    with results.alone():
        loop = Loop(job.run)
        for _ in sys.stdin:
            print(loop.images_per_second(seconds), file=results.stream(), flush=True)


if __name__ == "__main__":
    main()
