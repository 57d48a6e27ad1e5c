"""resnet: its sizes on images of any shape, its whitening, its first function, and which weights a norm follows."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import runs
from tests.models.networks import IMAGE, build
from wdrun import decay, models
from wdrun.errors import ConfigError
from wdrun.models.blocks import FLOOR, VARIANCES, cosines

SMALL = ("model=resnet", "model.widths=[4,6]")


def convolutions(model):
    return {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}


def test_its_size_with_airbenchs_widths():
    """1,970,488 weights of convolutions and fc there, without a bias; 10 of these here; the stem learns nothing."""
    model = build("model=resnet", "model.widths=[64,256,256]")
    norms = 2 * 2 * (64 + 256 + 256)
    learnt = sum(p.numel() for p in model.parameters())
    stem = model.stem.filters.numel()
    assert (learnt - norms - 10 + stem, stem) == (1_970_488 - 24, 24 * 12)  # its stem has 24 biases
    assert sum(p.numel() for p in build("model=resnet").parameters()) == 1_160_970


@pytest.mark.parametrize(
    ("shape", "classes", "widths"),
    [(IMAGE, 10, "[4,6,8]"), ((1, 28, 28), 7, "[4,6]"), ((4, 9, 13), 3, "[2,2,2]"), ((3, 64, 96), 200, "[3]")],
)
@pytest.mark.parametrize("norm", models.NORMS)
def test_it_takes_images_of_any_size_and_gives_k_logits(shape, classes, widths, norm):
    words = (f"model.widths={widths}", f"model.norm={norm}", "model.residual=true", "model.activation=gelu")
    model = build("model=resnet", *words, shape=shape, classes=classes)
    assert model(torch.randn(3, *shape)).shape == (3, classes)


@pytest.mark.parametrize(
    ("shape", "words", "message"),
    [
        ((3, 8, 32), (), "model.widths=[64, 128, 256]: needs images of 9×9 or more, not 8×32; take [64, 128] or "
         "model=mlp"),
        ((1, 2, 2), ("model.widths=[5]",), "model.widths=[5]: needs images of 3×3 or more, not 2×2; take model=mlp"),
        (IMAGE, ("+model.channels=[8]",), "model.channels: unknown key; resnet takes widths, depth, residual, norm, "
         "activation"),
        ((12,), (), "model=resnet: needs images; these data are features, which model=linear and model=mlp take"),
    ],
)  # fmt: skip
def test_what_it_cannot_take_is_a_sentence(shape, words, message):
    with pytest.raises(ConfigError) as caught:
        build("model=resnet", *words, shape=shape)
    assert str(caught.value) == message


def test_the_whitening_is_a_scaled_rotation_of_each_patch():
    """Filter k and its negative read v_k·patch/√(variance + floor), v_k orthonormal: by hand for two of them."""
    filters = build(*SMALL).stem.filters
    torch.testing.assert_close(filters[:12], -filters[12:], rtol=0, atol=0)
    scale = (torch.tensor(VARIANCES).flatten() + FLOOR).sqrt()
    basis = filters[:12].flatten(1) * scale[:, None]
    torch.testing.assert_close(basis @ basis.T, torch.eye(12), atol=1e-6, rtol=0)
    torch.testing.assert_close(basis[0], torch.full((12,), 12**-0.5))  # the mean of the patch
    blue = torch.tensor([0.5, 0, -0.5]) * 2**-0.5 * 1.0
    torch.testing.assert_close(basis[4], blue.repeat_interleave(4), atol=1e-7, rtol=0)  # first against last channel


def test_it_whitens_patches_of_the_covariance_that_it_stands_for():
    """Gaussian patches whose covariance is diagonal in the cosines come out with variance v/(v + floor)."""
    whitening = build(*SMALL).stem
    variance = torch.tensor(VARIANCES).flatten()
    basis = torch.kron(cosines(3), torch.kron(cosines(2), cosines(2))).float()
    normal = torch.randn(20_000, 12, generator=torch.Generator().manual_seed(0))
    patches = (normal * variance.sqrt()) @ basis
    out = whitening(patches.reshape(-1, 3, 2, 2)).flatten(1)[:, :12]
    expected = torch.diag(variance / (variance + FLOOR))
    torch.testing.assert_close(out.T @ out / len(out), expected, atol=0.04, rtol=0)


def test_cosines_are_orthonormal_and_the_two_point_ones_are_sum_and_difference():
    for n in (1, 2, 3, 5):
        torch.testing.assert_close(cosines(n) @ cosines(n).T, torch.eye(n, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(cosines(2), torch.tensor([[1.0, 1], [1, -1]], dtype=torch.float64) / 2**0.5)


def test_the_function_is_stem_then_conv_pool_norm_activation():
    model = build("model=resnet", "model.widths=[5,7]", "model.depth=3", "model.residual=true").train()
    x = torch.randn(6, *IMAGE, generator=torch.Generator().manual_seed(0))
    params = dict(model.named_parameters())
    h = F.relu(F.conv2d(x, model.stem.filters))
    for block in ("block1", "block2"):
        for i in (1, 2, 3):
            y = F.conv2d(h, params[f"{block}.conv{i}.weight"], padding=1)
            y = F.max_pool2d(y, 2) if i == 1 else y
            y = (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
            h = F.relu(y) if i == 1 else h + F.relu(y)
    torch.testing.assert_close(model(x), h.amax((2, 3)) @ model.fc.weight.T + model.fc.bias, atol=1e-4, rtol=1e-4)


def test_without_residuals_a_convolution_begins_as_the_identity():
    plain, added = build(*SMALL), build(*SMALL, "model.residual=true")
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(plain.block1.conv2(x), x)
    wider = plain.block2.conv1.weight
    assert torch.equal(wider[:4], nn.init.dirac_(torch.empty(4, 4, 3, 3)))
    assert wider[4:].std() > 0.05
    assert added.block1.conv2.weight.std() > 0.05


@pytest.mark.parametrize("words", [(), ("model.residual=true",), ("model.depth=3", "model.activation=gelu")])
@pytest.mark.parametrize("norm", ["batch", "group", "layer"])
def test_a_normalisation_follows_every_convolution_and_nothing_else(words, norm):
    model = build(*SMALL, f"model.norm={norm}", *words)
    found = decay.normed(build(*SMALL, f"model.norm={norm}", *words), torch.zeros(2, *IMAGE))
    assert found == convolutions(model)


@pytest.mark.parametrize("words", [(), ("model.residual=true",)])
def test_the_loss_does_not_feel_the_length_of_a_convolution(words):
    model = build(*SMALL, *words).train().double()
    x, y = torch.randn(8, *IMAGE).double(), torch.arange(8)
    before = F.cross_entropy(model(x), y)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in convolutions(model):
                p.mul_(3)
    torch.testing.assert_close(F.cross_entropy(model(x), y), before, rtol=1e-4, atol=0)  # up to eps


TINY = runs.changed(runs.TINY, *SMALL, "schedule=constant")


def test_adamc_corrects_its_convolutions_alone_unasked():
    trainer = runs.trainer(*TINY, "decay=adamc", base=())
    assert set(trainer.rule.scope()) - trainer.rule.steady == convolutions(trainer.model)
    assert not runs.trainer(*TINY, "decay=adamc", "decay.corrected=all", base=()).rule.steady


def test_a_sweep_over_lr_and_lambda_has_the_figure_of_their_product(wdrun, here, capsys):
    code, _, err = wdrun("-m", *TINY, "lr=0.05,0.1", "lambda=0.01,0.1", capture=capsys)
    assert code == 0, err
    assert wdrun("report", "outputs/default", "formats=svg", capture=capsys)[0] == 0
    assert (here / "outputs/default/figures/lr-times-lambda.svg").is_file()


def test_a_question_about_it_ends_and_has_a_report(wdrun, here, capsys):
    words = ("decay=l2", "lambda=interval(0.01,1)", "lr=interval(0.01,0.1)", "runs=6")
    code, _, err = wdrun("tune", *TINY, *words, capture=capsys)
    assert code == 0, err
    assert wdrun("report", "outputs/default", "formats=svg", capture=capsys)[0] == 0
    assert "verdict" in (here / "outputs/default/report.html").read_text(encoding="utf-8").lower()
