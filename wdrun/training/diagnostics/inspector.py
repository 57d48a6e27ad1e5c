"""Which measurements a run takes, and when: `diagnostics=[…]`. Shapes: B batch, C H W image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from wdrun import models
from wdrun.decay import Knobs
from wdrun.streams import generator
from wdrun.tensors import Tensors
from wdrun.training.diagnostics.curvature import Told, curvature, nobody, plan, sampled
from wdrun.training.diagnostics.histograms import histogram
from wdrun.training.diagnostics.layers import layers, stable_rank
from wdrun.training.diagnostics.patterns import patterns
from wdrun.training.step import Step, Training
from wdrun.wording import named

T = TypeVar("T")
Rows = list[dict[str, Any]]
PATTERN_EXAMPLES, CURVATURE_EXAMPLES = 64, 256


@dataclass(frozen=True)
class Inspector:
    """Measures the weights of a run. `sample(n)` gives n training examples x (n, C, H, W), y (n,), always the same.

    What cannot be measured is left empty: it costs no run. `failures` has a sentence for each kind of it.
    """

    step: Step
    names: Sequence[str]
    seed: int
    sample: Callable[[int], tuple[Tensor, Tensor]]
    weights: Sequence[str]  # the names of the parameters that are weights of layers: no biases, no norms
    evaluating: Callable[[], AbstractContextManager[None]] = nullcontext  # the generators, for what the model draws
    own: bool = False  # whether the model is of a user's class
    failures: list[str] = field(default_factory=list)

    def attempt(self, what: str, work: Callable[[], T], otherwise: T) -> T:
        """What `work` gives; where it fails `otherwise`, and a sentence in `failures`."""
        try:
            return work()
        except Exception as error:  # whatever a user's model or the memory of the machine does
            sentence = f"{what} could not be measured and is left empty: {named(error)}"
            if sentence not in self.failures:
                self.failures.append(sentence)
            return otherwise

    @property
    def at_the_end(self) -> list[str]:
        """Those of the names that are measured once, after the training."""
        return [name for name in self.names if name == "hessian"]

    def epoch(
        self, before: Training, after: Training, grads: Tensors, buffers: Tensors, knobs: Knobs
    ) -> tuple[Rows, Rows]:
        """Rows of layers.csv and of histograms.csv after an epoch whose last step was `before` → `after`."""
        return self.beside(layers(self.step, before, after, grads, knobs), after.params, buffers)

    def beside(self, rows: Rows, params: Tensors, buffers: Tensors) -> tuple[Rows, Rows]:
        """These rows of layers.csv with what else is measured of the weights, and the rows of histograms.csv."""
        if "oui" in self.names:
            nothing: dict[str, float] = {}
            found = self.attempt("oui", lambda: self._patterns(params, buffers), nothing)
            rows = [row | {"oui": found.get(row["parameter"])} for row in rows]
        if "rank" in self.names:
            pairs = {name for name, p in self.step.model.named_parameters() if p.is_complex()}
            matrices = {n: torch.view_as_complex(w) if n in pairs else w for n, w in params.items()}
            ranks = {n: self.attempt("rank", partial(stable_rank, w), None) for n, w in matrices.items()}
            rows = [row | {"stable_rank": ranks[row["parameter"]]} for row in rows]
        if "histograms" not in self.names:
            return rows, []
        bins = {n: self.attempt("histograms", partial(histogram, w), [{"count": w.numel()}]) for n, w in params.items()}
        return rows, [{"parameter": name, **bin} for name, of in bins.items() for bin in of]

    def _patterns(self, params: Tensors, buffers: Tensors) -> dict[str, float]:
        x, _ = self.sample(PATTERN_EXAMPLES)
        self.step.model.eval()
        with self.evaluating():
            return patterns(self.step.model, self.weights, lambda: self.step.outputs(params, buffers, x))

    def end(self, params: Tensors, buffers: Tensors, told: Told = nobody) -> dict[str, float]:
        """Columns of the run's row: curvature of the data loss on a sample, in evaluation mode, never in bf16.

        `told` hears of every product with the Hessian, and may raise to leave.
        """
        if "hessian" not in self.names:
            return {}
        return self.attempt("hessian", lambda: self._curvature(params, buffers, told), {})

    def _curvature(self, params: Tensors, buffers: Tensors, told: Told) -> dict[str, float]:
        x, y = self.sample(CURVATURE_EXAMPLES)
        x, model = x.to(self.step.machine.dtype), self.step.model
        model.eval()
        draws = generator(self.seed, "hessian")

        def loss(w: Tensors, x: Tensor, y: Tensor) -> Tensor:
            with self.evaluating():  # the same draws every time: one function of the weights
                return self.step.data_loss(models.forward(model, w, buffers, x), y)

        with sdpa_kernel(SDPBackend.MATH):  # the attention that has second derivatives
            found = plan(loss, params, x, y, self.own)
            if found.at_once == len(x):
                return curvature(lambda w: loss(w, x, y), params, draws, told=told)
            few, labels = x[: found.examples], y[: found.examples]
            return sampled(loss, params, few, labels, draws, found.at_once, told=told)
