"""The layers that models are put together of, by the name they get: none where their option is off."""

from torch import nn

NORMS = ("none", "batch", "group", "layer")


def norm_layer(name: str, kind: str, features: int, *, spatial: bool) -> dict[str, nn.Module]:
    if kind == "none":
        return {}
    if kind == "batch":
        return {name: nn.BatchNorm2d(features) if spatial else nn.BatchNorm1d(features)}
    # One group over all channels is layer norm for a convolution; 8 groups where they divide the channels.
    groups = 8 if kind == "group" and features % 8 == 0 else 1
    return {name: nn.GroupNorm(groups, features)}


def dropout_layer(name: str, rate: float) -> dict[str, nn.Module]:
    return {name: nn.Dropout(rate)} if rate else {}
