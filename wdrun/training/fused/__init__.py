"""Runs of equal structure trained as one stacked computation: the epochs they would have alone, on a GPU far sooner.

A run here is a row of every tensor: R runs hold a parameter of shape (…) as (R, …), and the step of a run is
lifted over that axis. λ, lr, seed, fold and the optimizer's numbers differ freely; `group_key` says what must agree.
"""

from wdrun.training.fused.forward import WAYS
from wdrun.training.fused.limits import bytes_per_run, chunk, family, fusable, group_key
from wdrun.training.fused.trainer import FusedTrainer

__all__ = ["WAYS", "FusedTrainer", "bytes_per_run", "chunk", "family", "fusable", "group_key"]
