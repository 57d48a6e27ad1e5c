"""The models: linear, mlp, cnn, resnet, or a user's own nn.Module. Shapes: B batch, C H W image, K classes."""

from wdrun.models.chain import Layers, flattens, forward, plain_layers, through, worth_bf16
from wdrun.models.construction import BUILT_IN, MODELS, build, factory, norms_itself
from wdrun.models.parts import NORMS

__all__ = [
    "BUILT_IN",
    "MODELS",
    "NORMS",
    "Layers",
    "build",
    "factory",
    "flattens",
    "forward",
    "norms_itself",
    "plain_layers",
    "through",
    "worth_bf16",
]
