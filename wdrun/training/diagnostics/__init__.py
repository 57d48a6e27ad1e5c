"""What training did to the weights: per-layer measurements, histograms, activation patterns, curvature.

`layers` is taken every epoch; the others when `diagnostics=[…]` names them. All only read: training has the same bits.
"""

from wdrun.training.diagnostics.curvature import curvature, sampled
from wdrun.training.diagnostics.histograms import histogram
from wdrun.training.diagnostics.inspector import Inspector
from wdrun.training.diagnostics.layers import equilibrium, layers, measure, norms, rotation, stable_rank
from wdrun.training.diagnostics.patterns import indicator, patterns

__all__ = [
    "Inspector",
    "curvature",
    "equilibrium",
    "histogram",
    "indicator",
    "layers",
    "measure",
    "norms",
    "patterns",
    "rotation",
    "sampled",
    "stable_rank",
]
