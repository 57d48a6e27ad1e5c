"""`wdrun transfer DIR key=value …`: λ for a changed setting, from the best λ of a finished sweep or tuned question."""

from __future__ import annotations

from wdrun.training import network
from wdrun.training.trainer import Trainer
from wdrun.tuning.transfer import Facts


def facts(trainer: Trainer) -> Facts:
    """What the rule of transfer needs of the trainer's run."""
    shapes = {name: tuple(w.shape) for name, w in network.trained(trainer.model).items()}
    images = len(trainer.dataset.splits["train"])
    return Facts(trainer.run, images, shapes, trainer.at(1.0).budget.total)
