"""The images of a batch mixed with one another, and their labels: mixup (Zhang et al. 2018), cutmix (Yun et al. 2019).

Conventions of torchvision.transforms.v2: each image is mixed with the one before it in its batch, x', the first with
the last, all with one share s ~ Beta(α, α) of their own.

    mixup    x ← s·x + (1 − s)·x', and y alike
    cutmix   x gets a box of x': about a pixel drawn evenly, with sides √(1 − s) of the image's, clipped; then s is the
             share of the pixels outside of it, and y as above

Shapes: B batch, C H W image, K classes. Every draw is a function of (seed, epoch).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from wdrun.accepts import check, number, one_of, or_null
from wdrun.streams import generator

KEYS = ("mix", "alpha", "prob")
KINDS = ("mixup", "cutmix")

Box = tuple[slice, slice]  # its lines and columns


class Mixing(NamedTuple):
    """How batches are mixed: `kind` of KINDS, α, and the share of the batches that are."""

    kind: str
    alpha: float
    prob: float

    def draws(self, steps: int, size: tuple[int, int], seed: int, epoch: int) -> Iterator[tuple[float, Box | None]]:
        """The share s of each batch of an epoch, and of a cutmix its box, in images of this height and width."""
        draws = generator(seed, "mix", epoch)
        alphas = torch.full((steps, 2), self.alpha, dtype=torch.float64)
        drawn = torch._sample_dirichlet(alphas, draws)[:, 0]  # what torch's Beta draws, which takes no generator
        mixed = torch.rand(steps, generator=draws) < self.prob
        middles = torch.stack([torch.randint(edge, (steps,), generator=draws) for edge in size], dim=1)
        for share, middle in zip(drawn.where(mixed, 1.0).tolist(), middles.tolist(), strict=True):
            yield (share, None) if self.kind == "mixup" else _cut(share, middle, size)


def mixed(x: Tensor, y: Tensor, classes: int, share: float, box: Box | None) -> tuple[Tensor, Tensor]:
    """A batch x (B, C, H, W), y (B,) mixed: x in the same layout, and each example's shares of the classes (B, K)."""
    shares = F.one_hot(y, classes).to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    if share == 1:
        return x, shares
    return _blended(x, share) if box is None else _patched(x, box), _blended(shares, share)


def mixing(spec: Mapping[str, object]) -> Mixing | None:
    """The mixing that the keys of an augmentation ask for, checked; None where they ask for none. ConfigError."""
    kind = check("augment.mix", spec.get("mix"), or_null(one_of(*KINDS)))
    if kind is None:
        return None
    alpha = check("augment.alpha", spec.get("alpha", 1.0), number(above=0))
    return Mixing(kind, float(alpha), float(check("augment.prob", spec.get("prob", 1.0), number(0, 1))))


def _cut(share: float, middle: list[int], size: tuple[int, int]) -> tuple[float, Box]:
    """The share outside of the box, and the box."""
    half = 0.5 * math.sqrt(1 - share)
    lines, columns = (
        slice(max(0, at - int(half * edge)), min(edge, at + int(half * edge)))
        for at, edge in zip(middle, size, strict=True)
    )
    area = (lines.stop - lines.start) * (columns.stop - columns.start)
    return 1 - area / math.prod(size), (lines, columns)


def _before(x: Tensor) -> Tensor:
    """A batch with the one before it in the place of each example."""
    return torch.cat([x[-1:], x[:-1]])


def _blended(x: Tensor, share: float) -> Tensor:
    return _before(x).mul_(1 - share).add_(x.mul(share))


def _patched(x: Tensor, box: Box) -> Tensor:
    found = x.clone()
    found[..., box[0], box[1]] = _before(x[..., box[0], box[1]])
    return found
