"""What an augmentation does to each image: flipped, padded and cropped, cut; drawn for a whole epoch at once.

Every draw is a function of (seed, epoch), that of an alternating flip of (seed, image).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from wdrun.accepts import boolean, check, check_known, one_of, or_word
from wdrun.data.options import integer
from wdrun.streams import generator

ALTERNATE = "alternate"  # flips each image in every other epoch; which of the two is drawn once for each image
PAD_MODES = ("zeros", "reflect")


class Augmentation(NamedTuple):
    """An augmentation, checked; a key that is absent is off."""

    pad: int = 0
    flip: bool | str = False
    reflect: bool = False  # the border is the image's mirror image without its edge, as numpy's and torchvision's
    cut: int = 0  # side of the square

    @property
    def moves(self) -> bool:
        """Whether it changes images at all."""
        return bool(self.pad or self.flip or self.cut)

    def draws(self, rows: Tensor, pool: int, size: tuple[int, int], seed: int, epoch: int) -> tuple[Tensor, ...]:
        """Flip (0 or 1), first line and column of the crop, and the cut's middle (y, x) of the images at these rows.

        `pool`: the images of which the rows are some; `size`: their height and width.
        """
        draws, n = generator(seed, "augment", epoch), len(rows)
        if self.flip == ALTERNATE:
            flips = (torch.randint(2, (pool,), generator=generator(seed, "flip"))[rows] + epoch) % 2
        else:
            flips = torch.randint(2, (n,), generator=draws) if self.flip else torch.zeros(n, dtype=torch.int64)
        top, left = torch.randint(2 * self.pad + 1, (2, n), generator=draws)
        return flips, top, left, *(torch.randint(edge, (n,), generator=draws) for edge in size)


def augmentation(spec: Mapping[str, object], size: tuple[int, int] | None) -> Augmentation:
    """The augmentation of an option's keys, for images of this height and width, None for no images. ConfigError."""
    check_known("augment", spec, ("name", "pad", "flip", "pad_mode", "size"), "augment")
    edge = size[0] if size else None
    reflect = check("augment.pad_mode", spec.get("pad_mode", "zeros"), one_of(*PAD_MODES)) == "reflect"
    most = min(size) - 1 if size and reflect else edge
    pad = integer(spec, "pad", 0, 0, most, group="augment")
    flip: bool | str = check("augment.flip", spec.get("flip", False), or_word(ALTERNATE, boolean()))
    return Augmentation(pad, flip, reflect, integer(spec, "size", 0, 0, edge, group="augment"))


def mirror(at: Tensor, edge: int) -> Tensor:
    """The place in an image of this edge that a reflecting border shows at `at`, from 1 − edge to 2·edge − 2."""
    return (edge - 1) - ((edge - 1) - at.abs()).abs()
