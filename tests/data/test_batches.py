"""Batches against a slow readable reference: exact on uint8, rounded once on the way to the dtype."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import functional

from wdrun.data import Batches, Split
from wdrun.errors import ConfigError
from wdrun.streams import generator

MEAN, STD = (0.49, 0.48, 0.44), (0.24, 0.25, 0.26)
AUGMENTS = {
    "none": {"name": "none"},
    "flip": {"name": "flip_crop", "pad": 0, "flip": True},
    "crop": {"name": "flip_crop", "pad": 4, "flip": False},
    "flip_crop": {"name": "flip_crop", "pad": 4, "flip": True},
    "cutout": {"name": "cutout", "pad": 2, "flip": True, "size": 7},
    "cutout_even": {"name": "cutout", "pad": 4, "flip": True, "size": 8},
    "alternate": {"name": "flip_crop", "pad": 0, "flip": "alternate"},
    "reflect": {"name": "flip_crop", "pad": 4, "flip": False, "pad_mode": "reflect"},
    "all_new": {"name": "cutout", "pad": 3, "flip": "alternate", "pad_mode": "reflect", "size": 5},
}


@pytest.fixture(scope="module")
def split() -> Split:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 32, 32, 3), generator=draws, dtype=torch.uint8)
    return Split(images, torch.randint(10, (60,), generator=draws), torch.arange(1, 60, 2))


def batches(split: Split, augment: str = "none", size: int = 8, **options: object) -> Batches:
    settings = {"mean": MEAN, "std": STD, "device": "cpu", "dtype": torch.float32} | options
    return Batches(split, batch_size=size, augment=AUGMENTS[augment], **settings)  # type: ignore[arg-type]


def reference(split: Split, augment: dict[str, object], size: int, seed: int, epoch: int) -> list[Tensor]:
    """The epoch's augmented images, one at a time, each uint8 (H, W, C)."""
    order = torch.randperm(len(split), generator=generator(seed, "order", epoch))[: len(split) // size * size]
    draws = generator(seed, "augment", epoch)
    n, pad, cut = len(order), int(augment.get("pad", 0)), int(augment.get("size", 0))  # type: ignore[call-overload]
    if augment.get("flip") == "alternate":
        drawn = torch.randint(2, (len(split.inputs),), generator=generator(seed, "flip"))[split.rows[order]]
        flips = drawn if epoch % 2 == 0 else 1 - drawn
    else:
        flips = torch.randint(2, (n,), generator=draws) if augment.get("flip") else torch.zeros(n)
    top, left = torch.randint(2 * pad + 1, (2, n), generator=draws)
    cut_y, cut_x = torch.randint(32, (n,), generator=draws), torch.randint(32, (n,), generator=draws)
    grey = (torch.tensor(MEAN) * 255).round().to(torch.uint8)
    images = []
    for k in range(n):
        image = split.inputs[split.rows[order[k]]]
        if flips[k]:
            image = image.flip(1)
        canvas = torch.zeros(32 + 2 * pad, 32 + 2 * pad, 3, dtype=torch.uint8)
        canvas[pad : pad + 32, pad : pad + 32] = image
        if augment.get("pad_mode") == "reflect":
            canvas = torch.from_numpy(np.pad(image.numpy(), ((pad, pad), (pad, pad), (0, 0)), mode="reflect"))
        image = canvas[top[k] : top[k] + 32, left[k] : left[k] + 32].clone()
        if cut:
            y, x = int(cut_y[k]) - cut // 2, int(cut_x[k]) - cut // 2
            image[max(y, 0) : y + cut, max(x, 0) : x + cut] = grey
        images.append(image)
    return images


def pixels(x: Tensor) -> Tensor:
    """Undo the normalisation of a float32 batch: uint8 (B, H, W, C)."""
    raw = (x.double() * torch.tensor(STD).double().view(3, 1, 1) + torch.tensor(MEAN).double().view(3, 1, 1)) * 255
    assert (raw - raw.round()).abs().max() < 1e-3
    return raw.round().to(torch.uint8).permute(0, 2, 3, 1)


@pytest.mark.parametrize("augment", AUGMENTS)
@pytest.mark.parametrize("size", [1, 8, 30])
def test_an_epoch_equals_the_reference_exactly(split: Split, augment: str, size: int) -> None:
    made = list(batches(split, augment, size).epoch(3, 5))
    images = torch.stack(reference(split, AUGMENTS[augment], size, 3, 5))
    order = torch.randperm(30, generator=generator(3, "order", 5))[: len(images)]
    assert torch.equal(torch.cat([pixels(x) for x, _ in made]), images)
    assert torch.equal(torch.cat([y for _, y in made]), split.targets[split.rows[order]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_normalised_to_within_one_rounding(split: Split, dtype: torch.dtype) -> None:
    x = next(batches(split, size=30, dtype=dtype).sequential())[0]
    shape = (3, 1, 1)
    mean, std = (torch.tensor(v, dtype=torch.float64).view(shape) for v in (MEAN, STD))
    exact = (split.inputs[split.rows].permute(0, 3, 1, 2).double() / 255 - mean) / std
    assert x.dtype == dtype
    bound = 2.0**-8 if dtype == torch.bfloat16 else 2.0**-21  # relative rounding, and float32's on the way
    assert ((x.double() - exact).abs() <= bound * exact.abs().clamp(min=1)).all()


def test_memory_format(split: Split) -> None:
    last = next(batches(split, "flip_crop").epoch(0, 0))[0]
    first = next(batches(split, "flip_crop", channels_last=False).epoch(0, 0))[0]
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert first.is_contiguous()
    assert torch.equal(last, first)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_an_epoch_is_a_function_of_seed_and_epoch(split: Split, augment: str) -> None:
    made = batches(split, augment)

    def epoch(seed: int, number: int) -> Tensor:
        return torch.cat([x for x, _ in made.epoch(seed, number)])

    first = epoch(0, 1)
    epoch(9, 9)  # nothing another epoch does may show
    assert torch.equal(first, epoch(0, 1))
    assert not torch.equal(first, epoch(0, 2))
    assert not torch.equal(first, epoch(1, 1))


def test_two_epochs_can_be_read_in_turns(split: Split) -> None:
    made = batches(split, "cutout")
    apart = [x for x, _ in made.epoch(0, 0)], [x for x, _ in made.epoch(0, 1)]
    turns = list(zip(made.epoch(0, 0), made.epoch(0, 1), strict=True))
    assert all(torch.equal(a, x) and torch.equal(b, z) for a, b, ((x, _), (z, _)) in zip(*apart, turns, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batches_given_out_earlier_are_not_overwritten(split: Split, dtype: torch.dtype) -> None:
    made = batches(split, "cutout", dtype=dtype)
    kept = list(made.epoch(0, 0))
    assert all(torch.equal(x, z.clone()) for (x, _), (z, _) in zip(kept, made.epoch(0, 0), strict=True))


def test_sequential_covers_every_row_once_in_order(split: Split) -> None:
    made = list(batches(split, "cutout", 8).sequential())
    assert [len(y) for _, y in made] == [8, 8, 8, 6]
    assert torch.equal(torch.cat([pixels(x) for x, _ in made]), split.inputs[split.rows])
    assert torch.equal(torch.cat([y for _, y in made]), split.targets[split.rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kept_batches_hold_the_same_numbers_for_all_who_ask(split: Split, dtype: torch.dtype, monkeypatch) -> None:
    asked = [batches(split, dtype=dtype) for _ in range(2)]
    first, second = ([*of.kept()] for of in asked)
    for (x, y), (kept, labels), (again, _) in zip(asked[0].sequential(), first, second, strict=True):
        assert torch.equal(kept, x)
        assert torch.equal(labels, y)
        assert kept.is_contiguous()
        assert again.data_ptr() == kept.data_ptr()
    monkeypatch.setattr("wdrun.data.batches.KEPT", 0)
    assert next(asked[0].kept())[0].data_ptr() != first[0][0].data_ptr()


def test_kept_batches_are_those_of_their_own_rows(split: Split) -> None:
    for rows in (split.rows, split.rows.flip(0)):
        (first, _), *_ = batches(replace(split, rows=rows)).kept()
        assert torch.equal(first, next(batches(replace(split, rows=rows)).sequential())[0])


def test_length_is_whole_batches(split: Split) -> None:
    assert len(batches(split, size=8)) == 3 == len(list(batches(split, size=8).epoch(0, 0)))
    with pytest.raises(ConfigError, match="batch_size=31: must be at most the 30 examples"):
        next(batches(split, size=31).epoch(0, 0))


def test_features_pass_as_they_are() -> None:
    features, targets = torch.randn(20, 5, dtype=torch.float64), torch.randn(20, 1)
    table = Split(features, targets, torch.arange(20))
    made = batches(table, "cutout", 7, mean=(), std=(), dtype=torch.float32)
    x = torch.cat([x for x, _ in made.sequential()])
    assert torch.equal(x, features.float())
    order = torch.randperm(20, generator=generator(2, "order", 0))[:14]
    assert torch.equal(torch.cat([y for _, y in made.epoch(2, 0)]), targets[order])
    assert torch.equal(torch.cat([x for x, _ in made.epoch(2, 0)]), features[order].float())


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ({"name": "x", "padd": 4}, "augment.padd: unknown key; did you mean augment.pad?"),
        ({"name": "x", "pad": -1}, "augment.pad=-1: must be a whole number from 0 to 32"),
        ({"name": "x", "size": 33}, "augment.size=33: must be a whole number from 0 to 32"),
        ({"name": "x", "flip": 1}, "augment.flip=1: must be true or false, or alternate"),
        ({"name": "x", "pad": 32, "pad_mode": "reflect"}, "augment.pad=32: must be a whole number from 0 to 31"),
        ({"name": "x", "pad_mode": "edge"}, "augment.pad_mode=edge: must be one of zeros, reflect"),
    ],
)
def test_a_bad_augmentation_is_one_line(split: Split, augment: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Batches(split, batch_size=4, mean=MEAN, std=STD, device="cpu", dtype=torch.float32, augment=augment)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_spans_of_batches_hold_the_same_pixels(split: Split, augment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way of accelerators, on a CPU: every batch of an epoch, also of a last span that is not full."""
    monkeypatch.setattr("wdrun.data.batches.SPAN", 2)
    one = batches(split, augment)
    order = torch.randperm(len(split), generator=generator(5, "order", 2))[: len(one) * 8]
    spans = [x.clone() for x in one._spans(split.rows[order], 5, 2)]
    assert [len(x) for x in spans] == [16, 8]
    expected = torch.stack(reference(split, AUGMENTS[augment], 8, 5, 2))
    assert torch.equal(torch.cat(spans), expected)


@pytest.mark.parametrize("augment", ["none", "flip_crop"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_planar_batches_hold_the_same_numbers_in_the_other_layout(split, augment, dtype):
    wide = batches(split, augment, dtype=dtype)
    planar = batches(split, augment, dtype=dtype, channels_last=False)
    assert planar.planar == (augment == "none")
    pairs = [
        *zip(wide.epoch(3, 1), planar.epoch(3, 1), strict=True),
        *zip(wide.sequential(), planar.sequential(), strict=True),
    ]
    for (x, y), (flat, labels) in pairs:
        assert flat.is_contiguous()
        assert torch.equal(x, flat)
        assert torch.equal(y, labels)


@pytest.mark.parametrize("size", [(9, 6), (6, 9), (2, 2)])
@pytest.mark.parametrize("flip", [False, True])
def test_a_reflecting_border_is_that_of_torchvision_whatever_the_edges(size, flip, monkeypatch):
    """Every crop there is of the widest border there can be, on both ways of a batch."""
    monkeypatch.setattr("wdrun.data.batches.SPAN", 3)
    height, width = size
    pad = min(size) - 1
    images = torch.randint(256, (1, height, width, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    corners = torch.cartesian_prod(torch.arange(2 * pad + 1), torch.arange(2 * pad + 1))
    n = len(corners)
    one = Batches(
        Split(images, torch.zeros(1, dtype=torch.int64), torch.zeros(n, dtype=torch.int64)), batch_size=1, mean=(0.5,),
        std=(0.5,), device="cpu", dtype=torch.float32, augment={"name": "x", "pad": pad, "pad_mode": "reflect"},
    )  # fmt: skip
    drawn = torch.full((n,), int(flip)), *corners.T, torch.zeros(n), torch.zeros(n)
    monkeypatch.setattr(type(one.augment), "draws", lambda *_: drawn)
    image = images[0, ..., 0].flip(1) if flip else images[0, ..., 0]
    padded = functional.pad(image[None], [pad] * 4, padding_mode="reflect")[0]
    expected = torch.stack([padded[y : y + height, x : x + width] for y, x in corners.tolist()])
    assert torch.equal(torch.cat([x.clone() for x in one._augmented(one.rows, 0, 1)])[..., 0], expected)
    assert torch.equal(torch.cat([x.clone() for x in one._spans(one.rows, 0, 1)])[..., 0], expected)


def test_an_alternating_flip_shows_each_image_the_other_way_round_in_the_next_epoch(split: Split) -> None:
    """Which way an image begins is drawn by its seed alone: in another fold, or beside fewer images, it is the same."""
    made = batches(split, "alternate", size=30)
    part = Batches(
        replace(split, rows=split.rows[5:15]), batch_size=10, mean=MEAN, std=STD, device="cpu", dtype=torch.float32,
        augment=AUGMENTS["alternate"],
    )  # fmt: skip

    def by_row(of: Batches, seed: int, epoch: int) -> dict[int, Tensor]:
        order = torch.randperm(len(of.rows), generator=generator(seed, "order", epoch))
        ((x, _),) = of.epoch(seed, epoch)
        return dict(zip(of.rows[order].tolist(), pixels(x), strict=True))

    first, second, third = (by_row(made, 0, epoch) for epoch in (1, 2, 3))
    assert all(torch.equal(second[row], image.flip(1)) for row, image in first.items())
    assert all(torch.equal(third[row], image) for row, image in first.items())
    assert all(torch.equal(image, second[row]) for row, image in by_row(part, 0, 2).items())
    as_it_is = {
        seed: [torch.equal(x, split.inputs[r]) for r, x in sorted(by_row(made, seed, 1).items())] for seed in (0, 1)
    }
    assert as_it_is[0] != as_it_is[1]
    assert 0 < sum(as_it_is[0]) < 30
