"""Batches of a split, gathered, augmented and normalised whole on the device.

Shapes: n examples of the split, B batch, C H W image; images are uint8 NHWC until the last step.
A random crop is a gather of H rows of W pixels out of the padded canvas, so it costs one pass of row copies;
images to be flipped are gathered last, so a flip is one operation on a slice. Nothing loops over images.
On an accelerator, where a batch's kernels are too small to pay for their launch, SPAN batches are made at a time.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache

import torch
from torch import Tensor

from wdrun.accepts import Accepts, check
from wdrun.data.augmentation import augmentation, mirror
from wdrun.data.dataset import Split
from wdrun.data.mixing import mixed, mixing
from wdrun.streams import generator

Moments = tuple[float, ...]  # a number a channel
SPAN = 16
KEPT = 64 * 2**20  # bytes of normalised images, of a split, that may stay in memory


@lru_cache(maxsize=8)
def _resident(table: Tensor, device: torch.device, planar: bool) -> Tensor:
    """The table on the device, as NCHW if planar: moved once per process, shared by splits and runs."""
    table = table.to(device)
    return (table.permute(0, 3, 1, 2) if planar else table).contiguous()


@lru_cache(maxsize=2)
def _normalised(
    inputs: Tensor,
    targets: Tensor,
    rows: Tensor,
    size: int,
    mean: Moments,
    std: Moments,
    device: str,
    dtype: torch.dtype,
) -> list[tuple[Tensor, Tensor]]:
    """The batches of a split in row order as NCHW: of val and test, which every epoch and run of a sweep looks at."""
    split = Split(inputs, targets, rows)
    made = Batches(split, batch_size=size, mean=mean, std=std, device=device, dtype=dtype, augment={"name": "none"})
    return [(x.contiguous(), y) for x, y in made.sequential()]


class Batches:
    """Iterates over one split: `epoch` shuffled and augmented, `sequential` in row order as it is."""

    def __init__(
        self,
        split: Split,
        *,
        batch_size: int,
        mean: Moments,
        std: Moments,
        device: torch.device | str,
        dtype: torch.dtype,
        augment: Mapping[str, object],
        channels_last: bool = True,
        classes: int = 0,
    ) -> None:
        self._kept_by = split.inputs, split.targets, split.rows, batch_size, mean, std, str(device), dtype
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.dtype = dtype
        self.channels_last = channels_last
        self.rows = split.rows
        self.targets = split.targets
        self.images = split.inputs.dtype == torch.uint8
        height, width = split.inputs.shape[1:3] if self.images else (0, 0)
        self.augment = augmentation(augment, (height, width) if self.images else None)
        self.pad, self.cut = self.augment.pad, self.augment.cut
        self.mixing, self.classes = mixing(augment), classes
        # Images that are only gathered are kept in the layout they are wanted in; crops and flips need whole pixels.
        self.planar = self.images and not channels_last and not self.augment.moves
        self.table = _resident(split.inputs, self.device, self.planar)
        if self.images:
            self.height, self.width, self.channels = split.inputs.shape[1:]
            middle = torch.tensor(mean, dtype=torch.float64)
            scale = 1 / torch.tensor(std, dtype=torch.float64)
            pixels = self.height * self.width
            # normalised = x·scale + shift, both repeated over a whole image so that the inner loop is long
            whole = torch.Tensor.repeat_interleave if self.planar else torch.Tensor.repeat
            self.scale = whole((scale / 255).float(), pixels).to(self.device)
            self.shift = whole((-middle * scale).float(), pixels).to(self.device)
            self.scratch = torch.empty(0, device=self.device)
            self.grey = (middle * 255).round().to(torch.uint8).to(self.device)

    def __len__(self) -> int:
        """The steps of an epoch: whole batches only."""
        return len(self.rows) // self.batch_size

    def epoch(self, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the shuffled, augmented batches of an epoch: the same for (seed, epoch) on every device.

        Of mixed images the targets are shares of the classes (B, K). ConfigError where the split has fewer examples
        than a batch.
        """
        batches = self._shuffled(seed, epoch)
        if self.mixing is None:
            yield from batches
            return
        draws = self.mixing.draws(len(self), (self.height, self.width), seed, epoch)
        for (x, y), (share, box) in zip(batches, draws, strict=True):
            yield mixed(x, y, self.classes, share, box)

    def _shuffled(self, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        steps, size = len(self), self.batch_size
        check("batch_size", size, Accepts(f"at most the {len(self.rows)} examples of the split", lambda n: steps > 0))
        order = torch.randperm(len(self.rows), generator=generator(seed, "order", epoch))[: steps * size]
        rows = self.rows[order]
        targets = self.targets[rows].to(self.device).split(size)
        if not (self.images and self.augment.moves):
            for index, y in zip(rows.to(self.device).split(size), targets, strict=True):
                yield self._finish(self.table.index_select(0, index)), y
            return
        if self.device.type == "cpu":
            for x, y in zip(self._augmented(rows, seed, epoch), targets, strict=True):
                yield self._finish(x), y
            return
        spans = (self._finish(x).split(size) for x in self._spans(rows, seed, epoch))
        yield from zip((x for span in spans for x in span), targets, strict=True)

    def kept(self) -> Iterator[tuple[Tensor, Tensor]]:
        """As `sequential`, laid out as NCHW; where they are few they stay in memory for whoever asks again."""
        few = self.images and len(self.rows) * self.scale.numel() * self.dtype.itemsize <= KEPT
        yield from _normalised(*self._kept_by) if few else self.sequential()

    def sequential(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every example once, in row order, without augmentation; the last batch may be smaller."""
        targets = self.targets[self.rows].to(self.device).split(self.batch_size)
        for index, y in zip(self.rows.to(self.device).split(self.batch_size), targets, strict=True):
            yield self._finish(self.table.index_select(0, index)), y

    def _augmented(self, rows: Tensor, seed: int, epoch: int) -> Iterator[Tensor]:
        """Yield uint8 (B, H, W, C) batches, flipped, cropped and cut as drawn for the whole epoch at once."""
        size, pad, h, w = self.batch_size, self.pad, self.height, self.width
        flips, top, left, cut_y, cut_x = self._draws(rows, seed, epoch)
        # within a batch, images to flip are gathered after the others; `place` says where each one then lies
        flips = flips.view(-1, size)
        gather = flips.argsort(dim=1, stable=True)
        place = gather.argsort(dim=1)
        rows = rows.view(-1, size).gather(1, gather).to(self.device)
        plain = (size - flips.sum(1)).tolist()
        wide, tall = w + 2 * pad, h + 2 * pad
        # first pixel of each crop in the canvas, and from there the first pixel of each of its rows
        corner = (place * tall + top.view(-1, size)) * wide + left.view(-1, size)
        corner = corner.to(self.device)
        lines = torch.arange(h, device=self.device) * wide
        canvas = torch.zeros(size, tall, wide, self.channels, dtype=torch.uint8, device=self.device)
        inside = canvas[:, pad : pad + h, pad : pad + w]
        # every run of W pixels of the canvas, as a row: they overlap, and are only read
        runs = tall * wide * size - w + 1
        windows = canvas.as_strided((runs, w * self.channels), (self.channels, 1))
        squares = self._squares(cut_y, cut_x).split(size) if self.cut else None
        images_at = torch.arange(0, size * h * w, h * w, device=self.device)[:, None]
        for step, k in enumerate(plain):
            images = self.table.index_select(0, rows[step])
            inside[:k] = images[:k]
            if k < size:
                inside[k:] = images[k:].flip(2)
            if self.augment.reflect:
                self._mirrored(canvas)
            starts = (corner[step, :, None] + lines).view(-1)
            x = windows.index_select(0, starts).view(size, h, w, self.channels)
            if squares is not None:
                x.view(-1, self.channels)[(squares[step] + images_at).view(-1)] = self.grey
            yield x

    def _draws(self, rows: Tensor, seed: int, epoch: int) -> tuple[Tensor, ...]:
        return self.augment.draws(rows, len(self.table), (self.height, self.width), seed, epoch)

    def _mirrored(self, canvas: Tensor) -> None:
        """Fill the border of a canvas with the mirror image of what lies inside of it."""
        pad, h, w = self.pad, self.height, self.width
        canvas[:, :, :pad] = canvas[:, :, pad + 1 : 2 * pad + 1].flip(2)
        canvas[:, :, pad + w :] = canvas[:, :, w - 1 : w + pad - 1].flip(2)
        canvas[:, :pad] = canvas[:, pad + 1 : 2 * pad + 1].flip(1)
        canvas[:, pad + h :] = canvas[:, h - 1 : h + pad - 1].flip(1)

    def _spans(self, rows: Tensor, seed: int, epoch: int) -> Iterator[Tensor]:
        """Yield the same images as `_augmented`, SPAN batches at a time: one gather of pixels by line and column."""
        draws = [rows, *self._draws(rows, seed, epoch)]
        lines, columns = (torch.arange(edge, device=self.device) for edge in (self.height, self.width))
        for part in zip(*(d.to(self.device).split(SPAN * self.batch_size) for d in draws), strict=True):
            index, flips, top, left, cut_y, cut_x = (p[:, None] for p in part)
            y, x = top + lines - self.pad, left + columns - self.pad  # (n, H), (n, W) in the image
            if self.augment.reflect:
                y, x = mirror(y, self.height), mirror(x, self.width)
            inside = ((y >= 0) & (y < self.height))[:, :, None] & ((x >= 0) & (x < self.width))[:, None]
            x = torch.where(flips > 0, self.width - 1 - x, x).clamp(0, self.width - 1)
            images = self.table[index[:, None], y.clamp(0, self.height - 1)[:, :, None], x[:, None]]
            images = images * inside[..., None]
            if self.cut:
                start_y, start_x = cut_y - self.cut // 2, cut_x - self.cut // 2
                down = (lines >= start_y) & (lines < start_y + self.cut)
                across = (columns >= start_x) & (columns < start_x + self.cut)
                images = torch.where((down[:, :, None] & across[:, None])[..., None], self.grey, images)
            yield images

    def _squares(self, y: Tensor, x: Tensor) -> Tensor:
        """The pixels (n, cut²), counted within the image, of squares about (y, x), clipped."""
        side = torch.arange(self.cut) - self.cut // 2
        # clamped, not dropped: what leaves the image falls on border pixels that are in the square already
        down = (y[:, None] + side).clamp(0, self.height - 1)
        across = (x[:, None] + side).clamp(0, self.width - 1)
        return (down[:, :, None] * self.width + across[:, None, :]).flatten(1).to(self.device)

    def _finish(self, x: Tensor) -> Tensor:
        """Uint8 (B, H, W, C), or (B, C, H, W) if planar, as normalised (B, C, H, W); features only in dtype."""
        if not self.images:
            return x.to(self.dtype)
        # float32 inside, so that a result in bf16 is rounded once; the buffer spares a page-faulting allocation
        self.scratch = self.scratch.resize_(len(x), self.scale.numel()).copy_(x.flatten(1))
        if self.dtype == torch.float32:
            flat = torch.addcmul(self.shift, self.scratch, self.scale)
        else:
            flat = torch.addcmul(self.shift, self.scratch, self.scale, out=self.scratch).to(self.dtype)
        if self.planar:
            return flat.view(-1, self.channels, self.height, self.width)
        nchw = flat.view(-1, self.height, self.width, self.channels).permute(0, 3, 1, 2)
        return nchw if self.channels_last else nchw.contiguous()
