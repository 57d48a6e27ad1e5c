"""Mixed batches beside torchvision's MixUp and CutMix, which are given the same share and box."""

import pytest
import torch
from torchvision.transforms import v2

from tests import runs
from wdrun.data import Batches, Split
from wdrun.data.mixing import Mixing, mixed, mixing
from wdrun.errors import ConfigError
from wdrun.training.state import unflatten

MEAN, STD = (0.49, 0.48, 0.44), (0.24, 0.25, 0.26)
SMALL = ("data=synthetic", "data.train_examples=48", "data.test_examples=20", "data.val_size=16", "batch_size=8")
SMALL = (*SMALL, "threads=1", "device=cpu", "epochs=2", "lr=0.02", "model=mlp", "model.hidden=[4]")


@pytest.fixture(scope="module")
def split() -> Split:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(256, (60, 12, 9, 3), generator=draws, dtype=torch.uint8)
    return Split(images, torch.randint(5, (60,), generator=draws), torch.arange(1, 60, 2))


def batches(split: Split, channels_last: bool = True, **augment: object) -> Batches:
    return Batches(
        split, batch_size=6, mean=MEAN, std=STD, device="cpu", dtype=torch.float32, augment={"name": "x", **augment},
        channels_last=channels_last, classes=5,
    )  # fmt: skip


def torchvisions(kind, x, y, share, box, classes):
    """The batch as torchvision mixes it, all that is drawn given."""
    if kind == "mixup":
        transform, params = v2.MixUp(num_classes=classes), {"lam": share}
    else:
        (lines, columns), transform = box, v2.CutMix(num_classes=classes)
        params = {"box": (columns.start, lines.start, columns.stop, lines.stop), "lam_adjusted": share}
    transform.make_params = lambda _: {"labels": y, "batch_size": len(y), **params}
    return transform(x, y)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_mixed_epoch_is_torchvisions_bit_for_bit(split, kind, channels_last):
    words = {"pad": 2, "flip": True}
    plain = batches(split, channels_last, **words)
    made = batches(split, channels_last, **words, mix=kind, alpha=0.7, prob=1.0)
    drawn = [*Mixing(kind, 0.7, 1.0).draws(5, (12, 9), 3, 2)]
    assert len({str(each) for each in drawn}) > 3
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for (x, y), (found, shares), (share, box) in zip(plain.epoch(3, 2), made.epoch(3, 2), drawn, strict=True):
        expected, targets = torchvisions(kind, x, y, share, box, 5)
        assert torch.equal(found, expected)
        assert torch.equal(shares, targets)
        assert found.is_contiguous(memory_format=layout)


def test_a_cutmix_draws_the_box_of_torchvision_from_its_share_and_middle(monkeypatch):
    """For every middle there is and shares from 0 to 1: torchvision's own code, given the same draws."""
    transform, size = v2.CutMix(num_classes=5), (4, 7)
    for share in (0.0, 0.3, 0.6, 0.9, 0.999, 1.0):
        for line in range(4):
            for column in range(7):
                monkeypatch.setattr(
                    torch, "_sample_dirichlet", lambda a, g, s=share: torch.tensor([[s, 1 - s]]).double()
                )
                given = iter([line, column])
                monkeypatch.setattr(torch, "randint", lambda *a, g=given, **k: torch.tensor([next(g)]))
                ((found, (lines, columns)),) = Mixing("cutmix", 1.0, 1.0).draws(1, size, 0, 1)
                theirs = iter([column, line])
                monkeypatch.setattr(torch, "randint", lambda *a, g=theirs, **k: torch.tensor([next(g)]))
                monkeypatch.setattr(transform, "_dist", torch.distributions.Beta(1.0, 1.0))
                monkeypatch.setattr(torch.distributions.Beta, "sample", lambda *_, s=share: torch.tensor(s).double())
                made = transform.make_params([torch.zeros(2, 1, *size)])
                assert (columns.start, lines.start, columns.stop, lines.stop) == tuple(map(int, made["box"]))
                assert found == made["lam_adjusted"]


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(alpha):
    """Mean 1/2 and variance 1/(4(2α + 1)) of 20,000, each within 4 standard errors."""
    shares = torch.tensor([share for share, _ in Mixing("mixup", alpha, 1.0).draws(20_000, (1, 1), 0, 1)])
    assert 0 <= shares.min() <= shares.max() <= 1
    variance = 1 / (4 * (2 * alpha + 1))
    assert shares.mean().item() == pytest.approx(0.5, abs=4 * (variance / 20_000) ** 0.5)
    spread = ((shares - 0.5) ** 2).var().item() ** 0.5
    assert ((shares - 0.5) ** 2).mean().item() == pytest.approx(variance, abs=4 * spread / 20_000**0.5)
    assert all(0 <= share <= 1 for share, _ in Mixing("mixup", 1e-4, 1.0).draws(2000, (1, 1), 0, 1))


def test_prob_is_the_share_of_the_batches_that_are_mixed_and_the_others_are_as_they_are(split):
    off = [*batches(split, pad=2, flip=True).epoch(0, 1)]
    never = [*batches(split, pad=2, flip=True, mix="mixup", prob=0.0).epoch(0, 1)]
    for (x, y), (same, shares) in zip(off, never, strict=True):
        assert torch.equal(x, same)
        assert torch.equal(shares, torch.nn.functional.one_hot(y, 5).float())
    some = [share < 1 for share, _ in Mixing("mixup", 1.0, 0.25).draws(4000, (1, 1), 0, 1)]
    assert sum(some) == pytest.approx(1000, abs=4 * (4000 * 0.25 * 0.75) ** 0.5)


def test_an_epochs_mixtures_are_a_function_of_seed_and_epoch():
    def drawn(seed, epoch):
        return [*Mixing("cutmix", 1.0, 0.5).draws(20, (12, 9), seed, epoch)]

    assert drawn(0, 1) == drawn(0, 1)
    assert len({str(drawn(*key)) for key in ((0, 1), (0, 2), (1, 1))}) == 3


def test_what_is_drawn_of_images_is_what_was_drawn_without_mixing(split):
    """An epoch that is mixed shows the images of one that is not: order, flips and crops have streams of their own."""
    plain, made = (batches(split, pad=2, flip=True, **more) for more in ({}, {"mix": "cutmix", "prob": 0.5}))
    drawn = [*made.mixing.draws(5, (12, 9), 0, 1)]
    for (x, y), found, (share, box) in zip(plain.epoch(0, 1), made.epoch(0, 1), drawn, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mixed(x, y, 5, share, box), found, strict=True))


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ({"mix": "cutmixx"}, "augment.mix=cutmixx: must be one of mixup, cutmix, or null; did you mean cutmix?"),
        ({"mix": "mixup", "alpha": 0}, "augment.alpha=0: must be a number > 0"),
        ({"mix": "mixup", "prob": 1.5}, "augment.prob=1.5: must be a number from 0 to 1"),
    ],
)
def test_a_bad_mixing_is_one_line(split, augment, words):
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        batches(split, **augment)
    assert mixing({"mix": None, "alpha": 0.1}) is None


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_the_train_row_is_of_the_mixed_images_and_the_class_of_the_larger_share_is_right(kind):
    ours = runs.trainer(f"augment={kind}", "augment.alpha=0.5", "precision=fp64", "lambda=0", base=(*SMALL, "lr=1e-9"))
    epoch = next(iter(ours.train()))
    model = ours.model.eval()
    losses, right, n = [], 0, 0
    for x, shares in ours.train_batches.epoch(0, 1):
        logs = model(x).log_softmax(-1)
        losses.append(-(shares * logs).sum(-1).mean().item())
        right += (logs.argmax(-1) == shares.argmax(-1)).sum().item()
        n += len(x)
    train, val = epoch.metrics[:2]
    assert train["data_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-6)
    assert (train["accuracy"], train["examples"]) == (right / n, n)
    x, y = next(ours.evaluator.batches("val", 16).sequential())
    assert val["data_loss"] == pytest.approx(torch.nn.functional.cross_entropy(model(x), y).item(), rel=1e-6)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_resumed_to_the_same_bits_with_smoothed_labels_and_label_noise(kind):
    words = (f"augment={kind}", "label_smoothing=0.1", "augment.prob=0.5", "data.label_noise=0.3")
    whole = [*runs.trainer(*words, base=SMALL).train()]
    (rest,) = runs.trainer(*words, base=SMALL).train(whole[0].state)
    assert all(torch.equal(w, rest.state.tensors[n]) for n, w in whole[-1].state.tensors.items())
    assert rest.metrics == whole[-1].metrics


def test_a_regression_cannot_be_mixed():
    words = ("data=regression", "augment=mixup", "model=linear", "batch_size=20", "device=cpu", "threads=1")
    with pytest.raises(ConfigError, match=r"augment\.mix=mixup: must be null for a regression, whose targets"):
        runs.trainer(*words, base=())


def test_the_hessian_is_of_the_loss_that_is_trained_on():
    """Behind a hidden layer it depends on the labels; of a mixture it is measured on images as they are."""
    words = ("diagnostics=[hessian]", "precision=fp64", "augment=cutmix")
    tops = []
    for smoothing in (0, 0.5):
        ours = runs.trainer(*words, f"label_smoothing={smoothing}", base=SMALL)
        x, y = ours.sample(8)
        logits = ours.model(x)
        expected = torch.nn.functional.cross_entropy(logits, y, label_smoothing=smoothing)
        assert torch.equal(ours.step.data_loss(logits, y), expected)
        params, buffers = unflatten(ours.initial().tensors)
        tops.append(ours.inspector.end(params.params, buffers)["hessian_top"])
    assert abs(tops[0] - tops[1]) > 1e-3 * abs(tops[0])
