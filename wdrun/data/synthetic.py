"""A seeded, learnable ten-class set of 32×32 RGB images, made in under half a second without a network.

An image is its class's texture (one of a few a class, shifted by up to `shift` pixels), mixed with a texture
that says nothing, then contrast, colour cast, a grey occluding square and pixel noise, each drawn per image. A
share of the training labels is replaced, so a model that fits the training set exactly has learnt the noise:
decay has a job here.
"""

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from wdrun.data.dataset import Pool
from wdrun.data.options import Spec, integer, real
from wdrun.streams import generator

COUNTS = ("train_examples", "test_examples")
OPTIONS = (*COUNTS, "label_noise", "noise", "distractor", "shift", "occlusion", "seed")
CLASSES, EDGE, CHANNELS = 10, 32, 3
TEXTURES = 2  # of each class
WAVES = 6  # plane waves in a texture
CHUNK = 500  # images made at once: stays in the processor's cache


def pool(spec: Spec) -> Pool:
    """The generated examples: a function of the options alone, cached per process."""
    return _pool(
        integer(spec, "train_examples", 4000, 2 * CLASSES, 1_000_000),
        integer(spec, "test_examples", 1000, CLASSES, 1_000_000),
        real(spec, "label_noise", 0.1, 0, 1),
        real(spec, "noise", 0.2, 0, 10),
        real(spec, "distractor", 1.0, 0, 10),
        integer(spec, "shift", 4, 0, EDGE),
        integer(spec, "occlusion", 10, 0, EDGE),
        integer(spec, "seed", 0, 0),
    )


@lru_cache(maxsize=4)
def _pool(
    train: int,
    test: int,
    label_noise: float,
    noise: float,
    distractor: float,
    shift: int,
    occlusion: int,
    seed: int,
) -> Pool:
    textures = _textures(CLASSES * TEXTURES, generator(seed, "synthetic/textures"))
    blanks = _textures(64, generator(seed, "synthetic/distractors"))
    tables: dict[str, Tensor] = {}
    for part, count in (("train", train), ("test", test)):
        draws = generator(seed, f"synthetic/{part}")
        labels = torch.arange(count) % CLASSES  # balanced to within one example
        labels = labels[torch.randperm(count, generator=draws)]
        tables[f"{part}_images"] = torch.cat(
            [_images(c, textures, blanks, noise, distractor, shift, occlusion, draws) for c in labels.split(CHUNK)]
        )
        tables[f"{part}_labels"] = labels
    draws = generator(seed, "synthetic/labels")
    tables["train_labels"] = _with_label_noise(tables["train_labels"], label_noise, draws)
    digest = hashlib.sha256()
    for table in tables.values():
        digest.update(table.numpy().data)
    sample = tables["train_images"].view(-1, CHANNELS).double() / 255
    mean, std = ([round(v, 4) for v in moment.tolist()] for moment in (sample.mean(0), sample.std(0)))
    return Pool(
        **tables,
        classes=CLASSES,
        mean=tuple(mean),
        std=tuple(max(v, 1e-3) for v in std),
        digest=digest.hexdigest(),
        names=(),
        own_val=0,
    )


def _textures(count: int, draws: torch.Generator) -> Tensor:
    """Return (count, 2·edge, 2·edge, C) sums of low plane waves of period `edge` and unit variance."""
    axis = torch.arange(2 * EDGE) * (2 * torch.pi / EDGE)
    fy, fx = torch.randint(-3, 4, (2, count, WAVES, 1, 1), generator=draws)
    phase = torch.rand(count, WAVES, 1, 1, generator=draws) * 2 * torch.pi
    wave = torch.cos(fy * axis[:, None] + fx * axis + phase)
    colour = torch.randn(count, WAVES, CHANNELS, generator=draws)
    texture = torch.einsum("twyx,twc->tyxc", wave, colour)
    return texture / texture.std(dim=(1, 2, 3), keepdim=True)


def _windows(textures: Tensor, which: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Return (B, H, W, C) windows of the textures at the given corners, wrapping round."""
    count, tall, wide, channels = textures.shape
    starts = textures.view(-1).as_strided((count * tall * wide - EDGE + 1, EDGE * channels), (channels, 1))
    lines = ((which * tall + top)[:, None] + torch.arange(EDGE)) * wide + left[:, None]
    return starts.index_select(0, lines.view(-1)).view(-1, EDGE, EDGE, channels)


def _images(
    labels: Tensor, textures: Tensor, blanks: Tensor, noise: float, distractor: float, shift: int, occlusion: int,
    draws: torch.Generator,
) -> Tensor:  # fmt: skip
    """Uint8 (B, H, W, C) images of the classes `labels`."""
    n = len(labels)
    which = labels * TEXTURES + torch.randint(TEXTURES, (n,), generator=draws)
    top, left = torch.randint(-shift, shift + 1, (2, n), generator=draws) % EDGE
    x = _windows(textures, which, top, left)
    top, left = torch.randint(EDGE, (2, n), generator=draws)
    other = _windows(blanks, torch.randint(len(blanks), (n,), generator=draws), top, left)
    uniform = torch.rand(5, n, 1, 1, 1, generator=draws)
    x.addcmul_(other, uniform[0] * (2 * distractor))
    x.mul_(0.08 + 0.12 * uniform[1])  # contrast
    x.add_(0.5 + 0.1 * torch.randn(n, 1, 1, CHANNELS, generator=draws))  # colour cast
    x.add_(torch.randn(x.shape, generator=draws), alpha=noise)
    if occlusion:
        corner = (uniform[2:4] * (EDGE - occlusion + 1)).long()
        line = torch.arange(EDGE)
        rows, columns = line.view(1, EDGE, 1, 1), line.view(1, 1, EDGE, 1)
        hidden = (rows - corner[0] >= 0) & (rows - corner[0] < occlusion) & (columns - corner[1] >= 0)
        x.masked_fill_(hidden & (columns - corner[1] < occlusion) & (uniform[4] < 0.5), 0.5)
    return x.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def _with_label_noise(labels: Tensor, share: float, draws: torch.Generator) -> Tensor:
    """The labels with a share of them replaced by another class, each of the nine equally likely."""
    count = round(share * len(labels))
    chosen = torch.randperm(len(labels), generator=draws)[:count]
    noisy = labels.clone()
    noisy[chosen] = (labels[chosen] + torch.randint(1, CLASSES, (count,), generator=draws)) % CLASSES
    return noisy
