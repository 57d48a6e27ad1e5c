"""The articles' models, chains of layers. Shapes: B batch, C H W image, F features, K classes."""

from collections import OrderedDict
from math import prod

from torch import nn

from wdrun.errors import ConfigError
from wdrun.models.parts import dropout_layer, norm_layer, too_small


def linear(input_shape: tuple[int, ...], classes: int) -> nn.Module:
    """Multinomial logistic regression, or linear regression when K = 1: W·x + b, (B, C, H, W) or (B, F) -> (B, K)."""
    return mlp(input_shape, classes, hidden=(), dropout=0.0, norm="none")


def mlp(input_shape: tuple[int, ...], classes: int, *, hidden: tuple[int, ...], dropout: float, norm: str) -> nn.Module:
    """Fully connected ReLU network (articles 001-003): flatten, then fc → norm → relu → dropout a hidden layer."""
    widths = (prod(input_shape), *hidden)
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i in range(1, len(widths)):
        layers[f"fc{i}"] = nn.Linear(widths[i - 1], widths[i])
        layers |= norm_layer(f"norm{i}", norm, widths[i], spatial=False)
        layers[f"relu{i}"] = nn.ReLU()
        layers |= dropout_layer(f"dropout{i}", dropout)
    layers[f"fc{len(widths)}"] = nn.Linear(widths[-1], classes)
    return nn.Sequential(layers)


def cnn(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    channels: tuple[int, ...],
    width: int,
    dropout: float,
    norm: str,
) -> nn.Module:
    """Article 004's network: 5×5 convolutions, each max-pooled by 2, then two fully connected layers.

    With channels (64, 64), width 128 and 3×32×32 inputs the flattened size is 64·5·5 = 1600 (the article's
    64·28·28 cannot run) and there are 313,546 parameters. ReLU follows the pooling: the same function, since both
    are monotone, on a quarter of the elements.
    """
    if len(input_shape) != 3:
        raise ConfigError("model=cnn: needs images; these data are features, which model=linear and model=mlp take")
    depth, height, across = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, features in enumerate(channels, start=1):
        layers[f"conv{i}"] = nn.Conv2d(depth, features, kernel_size=5)
        layers |= norm_layer(f"norm{i}", norm, features, spatial=True)
        layers[f"pool{i}"] = nn.MaxPool2d(2)
        layers[f"relu{i}"] = nn.ReLU()
        depth, height, across = features, (height - 4) // 2, (across - 4) // 2
    if height < 1 or across < 1:
        edges = [1]
        for _ in channels:
            edges.append(2 * edges[-1] + 4)
        raise ConfigError(too_small("model.channels", channels, edges[1:], input_shape))
    last = len(channels) + 1
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(depth * height * across, width)
    layers |= norm_layer(f"norm{last}", norm, width, spatial=False)
    layers[f"relu{last}"] = nn.ReLU()
    layers |= dropout_layer("dropout", dropout)
    layers["fc2"] = nn.Linear(width, classes)
    return nn.Sequential(layers)
