"""What models are put together of: layers by the name they get, none where their option is off; a common refusal."""

from collections.abc import Sequence

from torch import nn

NORMS = ("none", "batch", "group", "layer")


def norm_layer(name: str, kind: str, features: int, *, spatial: bool) -> dict[str, nn.Module]:
    """The normalisation (of NORMS) of so many features, or channels of images where `spatial`."""
    if kind == "none":
        return {}
    if kind == "batch":
        return {name: nn.BatchNorm2d(features) if spatial else nn.BatchNorm1d(features)}
    # One group over all channels is layer norm for a convolution; 8 groups where they divide the channels.
    groups = 8 if kind == "group" and features % 8 == 0 else 1
    return {name: nn.GroupNorm(groups, features)}


def dropout_layer(name: str, rate: float) -> dict[str, nn.Module]:
    """The dropout of this share of what it is given."""
    return {name: nn.Dropout(rate)} if rate else {}


def too_small(key: str, widths: Sequence[int], edges: Sequence[int], input_shape: Sequence[int]) -> str:
    """The refusal of images (C, H, W) of which the layers of `key` leave no pixel; the first n need edges[n − 1]."""
    fit = sum(edge <= min(input_shape[1:]) for edge in edges)
    fewer = f"{list(widths[:fit])} or " if fit else ""
    return (
        f"{key}={list(widths)}: needs images of {edges[-1]}×{edges[-1]} or more, not "
        f"{input_shape[1]}×{input_shape[2]}; take {fewer}model=mlp"
    )
