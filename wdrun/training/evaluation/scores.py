"""How good the predictions of a data set are. Shapes: N examples, B batch, K classes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from wdrun.training.step import accuracy, data_loss, hits

BINS = 15  # of the calibration error (Guo et al. 2017)


def score(batches: Iterable[tuple[Tensor, Tensor]], calibration: bool) -> dict[str, float | None]:
    """Mean data loss (the negative log-likelihood), accuracy, and if asked the calibration, of logits and labels.

    Each example counts once, whatever the batches; batches are (outputs (B, K), targets (B,)) with at least one.
    """
    return means(*summed(batches, lambda outputs, y: sums(outputs, y, calibration)))


def summed(
    batches: Iterable[tuple[Tensor, Tensor]], sums: Callable[[Tensor, Tensor], dict[str, Tensor]]
) -> tuple[dict[str, Tensor], int]:
    """The sums of every batch (outputs, targets (B,)) added up, and the number of examples."""
    total: dict[str, Tensor] = {}
    examples = 0
    for outputs, y in batches:
        found = sums(outputs, y)
        total = {name: total[name] + value for name, value in found.items()} if total else found
        examples += len(y)
    return total, examples


def sums(outputs: Tensor, y: Tensor, calibration: bool) -> dict[str, Tensor]:
    """Sums over a batch of what the scores need; pure, so that `torch.func.vmap` lifts it over runs."""
    found = {"data_loss": data_loss(outputs, y).double() * len(y), "accuracy": hits(outputs, y).double()}
    return found | calibrate(outputs, y) if calibration else found


def means(total: dict[str, Tensor], examples: int) -> dict[str, float | None]:
    """The scores of a metrics row from the sums over all examples."""
    row: dict[str, float | None] = {n: v.item() / examples for n, v in total.items() if not n.startswith("bin_")}
    row["accuracy"] = accuracy(total["accuracy"].item(), examples)
    if "bin_hits" in total:
        row["ece"] = (total["bin_confidence"] - total["bin_hits"]).abs().sum().item() / examples
    return row | {"examples": examples}


def calibrate(outputs: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Sums over a batch of what calibration needs, in float64.

    brier: Σ_k (p_k − 1[k = y])², from 0 to 2 (Brier 1950); margin: z_y − max_{k≠y} z_k of the logits z; and, for each
    of BINS equal bins of the top probability, its sum and the right answers: ECE = Σ_bins |their difference|/N.
    """
    z = outputs.double()
    p = z.softmax(-1)
    truth = F.one_hot(y, z.shape[-1])
    confidence, chosen = p.max(-1)
    # Bin m holds ((m−1)/15, m/15]; the top probability is never 0.
    bins = (confidence * BINS).ceil().long().clamp(1, BINS) - 1
    zeros = z.new_zeros(BINS)
    return {
        "brier": (p - truth).square().sum(),
        "margin": (z.gather(-1, y[:, None])[:, 0] - z.masked_fill(truth.bool(), -torch.inf).amax(-1)).sum(),
        "bin_confidence": zeros.index_add(0, bins, confidence),
        "bin_hits": zeros.index_add(0, bins, (chosen == y).double()),
    }
