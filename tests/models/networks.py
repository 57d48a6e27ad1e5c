"""A model built of the words of a command line, for images of CIFAR-10's shape."""

from wdrun import models
from wdrun.config.compose import compose
from wdrun.config.parse import parse

IMAGE = (3, 32, 32)


def build(*words, seed=0, shape=IMAGE, classes=10):
    spec = parse(compose(["data=synthetic", *words])).run.model
    return models.build(spec, shape, classes, seed)
