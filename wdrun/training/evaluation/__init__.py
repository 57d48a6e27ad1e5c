"""What the weights are worth on a split: the `evaluate=` group. Shapes: B batch, C H W image, K classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from wdrun import models
from wdrun.config.run import Group
from wdrun.data import Batches, Dataset
from wdrun.errors import ConfigError
from wdrun.streams import generator, stream_seed
from wdrun.tensors import Tensors
from wdrun.training.evaluation.attacks import fgsm, pgd
from wdrun.training.evaluation.corruptions import CORRUPTIONS, corrupt
from wdrun.training.evaluation.scores import score
from wdrun.training.step import Step

ATTACKS = ("fgsm", "pgd")
BATCH = 200  # more is no faster on a CPU, and its activations would be what a run needs most memory for

Pairs = Iterator[tuple[Tensor, Tensor]]
Attempt = Callable[[str, Callable[[], dict[str, Any]], dict[str, Any]], dict[str, Any]]  # what, how, else


@dataclass(frozen=True)
class Evaluator:
    """Scores weights on the splits of a data set. Its randomness is a function of the run's seed, not of training's."""

    step: Step
    dataset: Dataset
    options: Group  # of conf/evaluate/*.yaml
    seed: int
    tick: Callable[[], None] = lambda: None  # called after every batch; it may raise to leave
    own: bool = False  # whether the model is of a user's class, which may write to its images

    def __post_init__(self) -> None:
        split, name = self.dataset.splits["test"], f"evaluate={self.options['name']}"
        shifts = any(self.options[k] for k in (*CORRUPTIONS, *ATTACKS))
        if shifts and split.inputs.dtype != torch.uint8:
            raise ConfigError(f"{name}: corruptions and attacks need images, which {self.dataset.name} is not")
        if self.options["calibration"] and split.targets.is_floating_point():
            raise ConfigError(f"{name}: calibration needs classes, and {self.dataset.name} is a regression")

    @property
    def strengths(self) -> list[tuple[str, float]]:
        """What `shifted` gives a row for: corruption or attack, and strength."""
        return [(name, float(strength)) for name in (*CORRUPTIONS, *ATTACKS) for strength in self.options[name]]

    def batches(self, split: str, size: int = BATCH, rows: Tensor | None = None) -> Batches:
        """A split (or these rows of its table) in row order, as it is."""
        part = self.dataset.splits[split]
        part = part if rows is None else replace(part, rows=rows)
        machine, data = self.step.machine, self.dataset
        return Batches(
            part, batch_size=size, mean=data.mean, std=data.std, device=machine.device, dtype=self.step.input_dtype,
            augment={"name": "none"},
        )  # fmt: skip

    def clean(self, split: str, params: Tensors, buffers: Tensors) -> dict[str, Any]:
        """Scores on a whole split, in evaluation mode."""
        self.step.model.eval()
        batches = self.batches(split)
        # A network that flattens its images does so little with them that their making is half of the time.
        keep = models.flattens(self.step.model) and not self.own
        given = batches.kept() if keep else batches.sequential()
        with torch.no_grad():
            pairs = ((self.step.outputs(params, buffers, x), y) for x, y in given)
            found = score(self.ticked(pairs), self.options["calibration"])
        return {"corruption": "", "severity": 0, **found}

    def shifted(
        self, split: str, params: Tensors, buffers: Tensors, attempt: Attempt = lambda what, work, otherwise: work()
    ) -> Iterator[dict[str, Any]]:
        """Scores on the split corrupted and attacked: corruption, severity 1, 2, …, and its strength as in the config.

        An attack sees the first `attack_examples` of the split (all when null), and the weights it attacks. Each row's
        scores are had by `attempt`, which may give others where that fails.
        """
        self.step.model.eval()
        few = self.options["attack_examples"]
        for name in (*CORRUPTIONS, *ATTACKS):
            for severity, strength in enumerate(self.options[name], start=1):
                attack = name in ATTACKS
                pixels = self._pixels(split, few if attack else None)
                shift = self._attacked if attack else self._corrupted
                pairs = shift(name, float(strength), pixels, params, buffers)
                scores = partial(score, self.ticked(pairs), self.options["calibration"])
                found = attempt(f"{name} {strength:g}", scores, dict.fromkeys(("data_loss", "accuracy", "examples")))
                yield {"corruption": name, "severity": severity, "strength": float(strength), **found}

    def ticked(self, pairs: Pairs) -> Pairs:
        """The pairs as they are, with a tick after the work on each."""
        for pair in pairs:
            yield pair
            self.tick()

    def _corrupted(self, name: str, strength: float, pixels: Pairs, params: Tensors, buffers: Tensors) -> Pairs:
        for number, (x, y) in enumerate(pixels):
            # The same noise at every severity: a curve over severities then shows the severity alone.
            seed = stream_seed(self.seed, f"corruption/{name}", number)
            with torch.no_grad():
                yield self._classify(corrupt(name, x, strength, seed), params, buffers), y

    def _attacked(self, name: str, strength: float, pixels: Pairs, params: Tensors, buffers: Tensors) -> Pairs:
        epsilon = strength / 255
        for number, (x, y) in enumerate(pixels):

            def classify(x: Tensor) -> Tensor:
                return self._classify(x, params, buffers)

            if name == "fgsm":
                moved = fgsm(classify, x, y, epsilon)
            else:
                draws = generator(self.seed, "pgd", number)
                step_size = self.options["pgd_step_size"] * epsilon
                moved = pgd(classify, x, y, epsilon, self.options["pgd_steps"], step_size, draws)
            with torch.no_grad():
                yield classify(moved), y

    def _classify(self, x: Tensor, params: Tensors, buffers: Tensors) -> Tensor:
        """Logits (B, K) of pixels in [0, 1]."""
        mean, std = (x.new_tensor(v).view(-1, 1, 1) for v in (self.dataset.mean, self.dataset.std))
        return self.step.outputs(params, buffers, ((x - mean) / std).to(self.step.input_dtype))

    def _pixels(self, split: str, most: int | None) -> Pairs:
        """Images (B, C, H, W) in [0, 1] and labels of the split's first `most` rows, in order."""
        part, machine = self.dataset.splits[split], self.step.machine
        for rows in part.rows[:most].split(BATCH):
            images = part.inputs[rows].to(machine.device).permute(0, 3, 1, 2)
            yield images.to(machine.dtype) / 255, part.targets[rows].to(machine.device)
