"""Networks of blocks, in which a normalisation follows every convolution, so that the loss does not feel ‖w‖ there."""

from collections import OrderedDict
from math import cos, pi, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wdrun.accepts import boolean, check, list_of, one_of, whole
from wdrun.errors import ConfigError
from wdrun.models.parts import norm_layer, too_small

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU}
# What its own keys accept; a user's own module may have keys of these names, so they are checked here.
ACCEPTS = {
    "widths": list_of(whole(1), "a list of one or more whole numbers ≥ 1, such as [64,64]", least=1),
    "depth": whole(1),
    "residual": boolean(),
    "activation": one_of(*ACTIVATIONS),
}
# Variance of natural images along the cosines of a 2×2 patch (rows: over the channels, columns: over its pixels), of
# CIFAR-10 standardised by channel. There the covariance is diagonal but for correlations of at most 0.26.
VARIANCES = ((10.06, 0.328, 0.393, 0.055), (0.822, 0.0143, 0.0166, 0.0016), (0.187, 0.0045, 0.005, 0.00063))
FLOOR = 5e-4  # added to each, so that a direction without variance is not all noise


def resnet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    widths: tuple[int, ...],
    depth: int,
    residual: bool,
    norm: str,
    activation: str,
) -> nn.Module:
    """A whitened stem, blocks of 3×3 convolutions each halving the image, the maximum over what is left, logits.

    After airbench (Jordan 2024), whose first layer is fixed and whose convolutions begin as identities. Least image
    edge: 2 for the stem, of which each block leaves half; 9 pixels for three blocks.
    """
    if len(input_shape) != 3:
        raise ConfigError("model=resnet: needs images; these data are features, which model=linear and model=mlp take")
    given = {"widths": list(widths) if isinstance(widths, tuple) else widths, "depth": depth, "residual": residual}
    for key, value in (given | {"activation": activation}).items():
        check(f"model.{key}", value, ACCEPTS[key])
    channels, height, across = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=Whitening(channels), act=ACTIVATIONS[activation]())
    channels, height, across = 8 * channels, height - 1, across - 1
    for i, width in enumerate(widths, start=1):
        layers[f"block{i}"] = Block(channels, width, depth, residual=residual, norm=norm, activation=activation)
        channels, height, across = width, height // 2, across // 2
    if height < 1 or across < 1:
        edges = [2**blocks + 1 for blocks in range(1, len(widths) + 1)]
        raise ConfigError(too_small("model.widths", widths, edges, input_shape))
    layers["pool"] = nn.MaxPool2d((height, across))
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(channels, classes)
    return nn.Sequential(layers)


class Whitening(nn.Module):
    """±(2×2 patch of C channels in its cosine basis)/√variance: (B, C, H, W) -> (B, 8C, H−1, W−1). Nothing is learnt.

    The cosines stand for the eigenvectors that the covariance of natural images has, so no data are needed; of four
    channels or more the later ones have the third's variance.
    """

    filters: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        over_channels, over_pixels = cosines(channels), torch.kron(cosines(2), cosines(2))
        rows = [VARIANCES[min(c, 2)] for c in range(channels)]
        scale = (torch.tensor(rows, dtype=torch.float64) + FLOOR).rsqrt().flatten()
        basis = torch.kron(over_channels, over_pixels) * scale[:, None]
        filters = torch.cat([basis, -basis]).reshape(8 * channels, channels, 2, 2)
        self.register_buffer("filters", filters.to(torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.filters)


def cosines(n: int) -> Tensor:
    """The orthonormal discrete cosine transform (DCT-II) of n values, a basis vector a row, float64 (n, n)."""
    rows = [[cos((2 * j + 1) * k * pi / (2 * n)) * sqrt((2 if k else 1) / n) for j in range(n)] for k in range(n)]
    return torch.tensor(rows, dtype=torch.float64)


class Block(nn.Module):
    """`depth` times conv 3×3 → norm → activation, the first conv max-pooled by 2; (B, C, H, W) -> (B, width, H/2, W/2).

    `residual` adds to each but the first what went into it, after its activation. Without, a convolution begins as the
    identity of the channels it is given (Dirac), and what it has more of as usual.
    """

    def __init__(self, channels: int, width: int, depth: int, *, residual: bool, norm: str, activation: str) -> None:
        super().__init__()
        self.depth, self.residual, self.normed = depth, residual, norm != "none"
        for i in range(1, depth + 1):
            conv = nn.Conv2d(channels, width, 3, padding=1, bias=norm == "none")
            if not residual:
                nn.init.dirac_(conv.weight.detach()[:channels])
            self.add_module(f"conv{i}", conv)
            for name, layer in norm_layer(f"norm{i}", norm, width, spatial=True).items():
                self.add_module(name, layer)
            channels = width
        self.pool, self.act = nn.MaxPool2d(2), ACTIVATIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        for i in range(1, self.depth + 1):
            y = self.get_submodule(f"conv{i}")(x)
            y = self.pool(y) if i == 1 else y
            y = self.act(self.get_submodule(f"norm{i}")(y) if self.normed else y)
            x = x + y if self.residual and i > 1 else y
        return x
