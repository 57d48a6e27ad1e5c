"""Which measurements a run takes, and when: `diagnostics=[…]`. Shapes: B batch, C H W image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from wdrun import models
from wdrun.decay import Knobs
from wdrun.streams import generator
from wdrun.tensors import Tensors
from wdrun.training.diagnostics.curvature import curvature
from wdrun.training.diagnostics.histograms import histogram
from wdrun.training.diagnostics.layers import layers
from wdrun.training.diagnostics.patterns import patterns
from wdrun.training.step import Step, Training, data_loss

Rows = list[dict[str, Any]]
PATTERN_EXAMPLES, CURVATURE_EXAMPLES = 64, 256


@dataclass(frozen=True)
class Inspector:
    """Measures the weights of a run. `sample(n)` gives n training examples x (n, C, H, W), y (n,), always the same."""

    step: Step
    names: Sequence[str]
    seed: int
    sample: Callable[[int], tuple[Tensor, Tensor]]

    def epoch(
        self, before: Training, after: Training, grads: Tensors, buffers: Tensors, knobs: Knobs
    ) -> tuple[Rows, Rows]:
        """Rows of layers.csv and of histograms.csv after an epoch whose last step was `before` → `after`."""
        return self.beside(layers(self.step, before, after, grads, knobs), after.params, buffers)

    def beside(self, rows: Rows, params: Tensors, buffers: Tensors) -> tuple[Rows, Rows]:
        """These rows of layers.csv with what else is measured of the weights, and the rows of histograms.csv."""
        if "oui" in self.names:
            x, _ = self.sample(PATTERN_EXAMPLES)
            self.step.model.eval()
            found = patterns(self.step.model, lambda: self.step.outputs(params, buffers, x))
            rows = [row | {"oui": found.get(row["parameter"])} for row in rows]
        if "histograms" not in self.names:
            return rows, []
        return rows, [{"parameter": name, **bin} for name, w in params.items() for bin in histogram(w)]

    def end(self, params: Tensors, buffers: Tensors) -> dict[str, float]:
        """Columns of the run's row: curvature of the data loss on a sample, in evaluation mode, never in bf16."""
        if "hessian" not in self.names:
            return {}
        x, y = self.sample(CURVATURE_EXAMPLES)
        x, model = x.to(self.step.machine.dtype), self.step.model.eval()
        draws = generator(self.seed, "hessian")
        return curvature(lambda w: data_loss(models.forward(model, w, buffers, x), y), params, draws)
