"""What the tables hold: each column's name, type and meaning. One kind of row a table, keys first, factors repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from wdrun.config.run import Run

SCHEMA = 1  # raised when a column changes its meaning

Row = Mapping[str, Any]


class Column(NamedTuple):
    """A column: its name, type and what it holds (with its unit)."""

    name: str
    kind: type
    meaning: str


FACTORS = (
    Column("id", str, "run id: eight letters, a digest of all knobs"),
    Column("model", str, "model option"),
    Column("decay", str, "decay option"),
    Column("coupling", str, "where the decay enters the step"),
    Column("lambda", float, "λ before its schedule"),
    Column("optimizer", str, "optimizer option"),
    Column("lr", float, "peak learning rate"),
    Column("seed", int, "seed of weights, order and augmentation"),
    Column("fold", int, "cross-validation fold"),
)

METRICS = (
    *FACTORS,
    Column("epoch", int, "epochs trained, from 1"),
    Column("split", str, "train (running mean over the epoch), val or test (whole split)"),
    Column("corruption", str, "what was done to the images (a key of evaluate=); empty: nothing"),
    Column("severity", int, "its strength as a rank, from 1; 0: clean"),
    Column("strength", float, "its strength as configured: σ, a factor, or ε in 1/255; empty: clean"),
    Column(
        "data_loss",
        float,
        "mean cross-entropy in nats (the NLL), without the penalty; train: the loss trained on, with label_smoothing",
    ),
    Column(
        "accuracy",
        float,
        "share of right answers, 0 to 1; train: of a mixture of images the larger share's class is right",
    ),
    Column("ece", float, "expected calibration error, 15 bins, 0 to 1 (evaluate=calibration, full)"),
    Column("brier", float, "Σ_k (p_k − 1[k = label])², mean, 0 to 2 (evaluate=calibration, full)"),
    Column("margin", float, "label's logit minus the largest other, mean (evaluate=calibration, full)"),
    Column(
        "penalty",
        float,
        "λΣcΩ(w) of the weights after the epoch, at the λ that its schedule ends with; empty: the decay is written by "
        "its gradient alone",
    ),
    Column("objective", float, "data_loss + penalty; empty where that is"),
    Column("examples", int, "examples in the mean"),
)

LAYERS = (
    *FACTORS,
    Column("epoch", int, "epochs trained, from 1"),
    Column("parameter", str, "parameter tensor"),
    Column("numel", int, "its number of elements"),
    Column("l1_norm", float, "Σ|w| after the epoch"),
    Column("l2_norm", float, "√Σw² after the epoch"),
    Column("sparsity", float, "share of elements exactly zero, 0 to 1"),
    Column("near_zero", float, "share of elements with |w| ≤ 0.001·rms(w), 0 to 1"),
    Column("dead_filters", float, "share of output rows (filters, neurons) all zero, 0 to 1; empty for vectors"),
    Column("last_grad_norm", float, "‖gradient of the data loss‖ at the epoch's last step, as are the others in last_"),
    Column("last_update_norm", float, "‖w⁺ − w‖ of that step"),
    Column("last_update_ratio", float, "‖w⁺ − w‖/‖w‖ of that step: small where the schedule has taken lr down"),
    Column("last_decay_share", float, "‖w⁺ − w⁺ with λ = 0‖/‖w⁺ − w‖ of that step"),
    Column("last_rotation", float, "angle between w and w⁺ of that step, degrees"),
    Column(
        "last_rotation_equilibrium",
        float,
        "where the rotation of a scale-invariant w settles at that step's lr; empty: no formula",
    ),
    Column("last_effective_lr", float, "η/‖w‖² with that step's η"),
    Column("oui", float, "OUI of the activations behind w, 0 to 1; its authors aim at 0.6 to 0.8 (diagnostics=[oui])"),
    Column(
        "stable_rank",
        float,
        "‖W‖_F²/σ₁² of w as (outputs, everything else), from 1 to its rank; empty for vectors (diagnostics=[rank])",
    ),
)

HISTOGRAMS = (
    *FACTORS,
    Column("epoch", int, "epochs trained, from 1"),
    Column("parameter", str, "parameter tensor"),
    Column("bin", int, "bin k around 0.002·k, −250 to 250, the outermost open (diagnostics=[histograms])"),
    Column("left", float, "its lower edge"),
    Column("right", float, "its upper edge"),
    Column("count", int, "weights in it after the epoch; bins without any are left out"),
)

# The last columns of tables that those of former versions have not: they are read as empty.
ADDED = {"layers": ("stable_rank",), "evaluation_layers": ("stable_rank",)}
# The names that columns had in tables of former versions, which are read as these.
FORMER = {name.removeprefix("last_"): name for name in (c.name for c in LAYERS) if name.startswith("last_")}

TIMING = (
    *FACTORS,
    Column("epoch", int, "epochs trained, from 1"),
    Column("train_seconds", float, "seconds of training steps"),
    Column("evaluate_seconds", float, "seconds of evaluation"),
    Column("images_per_second", float, "training images a second"),
    Column("peak_memory_mib", float, "peak memory so far, MiB (process on a CPU, allocator on a GPU)"),
)

# A run's row also has one column for each knob of its config (`optimizer.momentum`, …), between id and status.
RUN = (
    Column("status", str, "running, done, diverged, failed or interrupted"),
    Column("cause", str, "why it diverged or failed; empty otherwise"),
    Column("epochs_done", int, "epochs finished"),
    Column("train_loss", float, "running data loss of the last epoch"),
    Column("train_accuracy", float, "running accuracy of the last epoch, 0 to 1"),
    Column("val_loss", float, "validation data loss after the last epoch"),
    Column("val_accuracy", float, "validation accuracy after the last epoch, 0 to 1"),
    Column("best_epoch", int, "epoch of the best validation score"),
    Column("best_val_accuracy", float, "its validation accuracy, 0 to 1"),
    Column("test_loss", float, "test data loss, once at the end"),
    Column("test_accuracy", float, "test accuracy, once at the end, 0 to 1"),
    Column(
        "hessian_trace",
        float,
        "trace of the data loss's Hessian, 256 training examples, fewer of a costly model (diagnostics=[hessian])",
    ),
    Column("hessian_trace_error", float, "standard error of that estimate"),
    Column("hessian_top", float, "its largest eigenvalue"),
    Column("total_decay", float, "D = Σ η_t λ_t (with momentum's factor when coupled); empty where undefined"),
    Column("timescale", float, "τ in epochs; empty where undefined"),
    Column("norm_start", float, "√Σw² over the decayed tensors before training"),
    Column("norm_end", float, "the same after the last epoch"),
    Column("parameters", int, "number of trained parameters"),
    Column("data_digest", str, "SHA-256 of the data used"),
    Column("device_name", str, "what it ran on"),
    Column("precision_used", str, "fp32, bf16, tf32 or fp64"),
    Column("threads_used", int, "CPU threads"),
    Column("instruction_set", str, "CPU instruction set torch used"),
    Column("python_version", str, "Python"),
    Column("torch_version", str, "torch"),
    Column("wdrun_version", str, "wdrun"),
    Column(
        "commit",
        str,
        "git commit of the wdrun that ran, -dirty if changed since, `a then b` of a run resumed; empty: no checkout",
    ),
    Column("schema", int, "version of these tables"),
)

# After those of RUN, in the row of a run that has such code.
CODE = Column("code", str, "digest of the run's own code (model._target_, …), `a then b` of a run resumed with other")

# Of a regression, once at the end and by run; predictions.csv
PREDICTIONS = (
    *FACTORS,
    Column("x", float, "test point: its first feature"),
    Column("target", float, "its target"),
    Column("prediction", float, "what the run's weights make of it"),
    Column("closed_form", float, "what the exact minimum of the objective makes of it; empty: no formula"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "metrics": METRICS,
    "layers": LAYERS,
    "histograms": HISTOGRAMS,
    "timing": TIMING,
}

# Of a finished run measured later, by `wdrun evaluate`, and of its averaged weights at its end: rows are those of these
# weights and words.
MEASURED = (
    Column("weights", str, "the weights that were measured: last, best (on validation) or ema (averaged)"),
    Column("words", str, "what was measured: evaluate= and diagnostics= as they are typed"),
)


def _from(table: tuple[Column, ...], first: str, last: str) -> tuple[Column, ...]:
    names = [column.name for column in table]
    return table[names.index(first) : names.index(last) + 1]


EVALUATIONS: dict[str, tuple[Column, ...]] = {
    "evaluation": (
        *(*FACTORS, *MEASURED),
        Column("epoch", int, "epochs the run trained, whatever its weights"),
        Column("split", str, "train, val or test, each the whole split in evaluation mode"),
        *_from(METRICS, "corruption", "examples"),
        *_from(RUN, "hessian_trace", "hessian_top"),  # beside the row of the train split, which they are of
        Column("weights_digest", str, "SHA-256 of the file of these weights"),
        *_from(RUN, "data_digest", "schema"),
    ),
    "evaluation_layers": (
        *(*FACTORS, *MEASURED),
        *_from(LAYERS, "epoch", "dead_filters"),
        *_from(LAYERS, "oui", "stable_rank"),
    ),
    "evaluation_histograms": (*FACTORS, *MEASURED, *_from(HISTOGRAMS, "epoch", "count")),
}


def factors(run: Run) -> dict[str, Any]:
    """The leading columns of every row of a run."""
    return {
        "id": run.id,
        "model": run.model["name"],
        "decay": run.decay["name"],
        "coupling": run.coupling,
        "lambda": run.lam,
        "optimizer": run.optimizer["name"],
        "lr": run.lr,
        "seed": run.seed,
        "fold": run.fold,
    }


def run_row(run: Run, summary: Row) -> dict[str, Any]:
    """The run's own row: factors, every knob, and what came of it."""
    row = factors(run)
    row |= {k: v for k, v in run.knobs.items() if k not in row}
    row |= {column.name: summary.get(column.name, "") for column in RUN} | {"schema": SCHEMA}
    return row | ({CODE.name: summary[CODE.name]} if summary.get(CODE.name) else {})


def typed_row(row: Row) -> dict[str, Any]:
    """The known columns of a row read as text, in their types; None for an empty cell, ValueError for no number."""
    kinds = {c.name: c.kind for c in (*FACTORS, *RUN)}
    return {key: kinds[key](value) if value not in ("", None) else None for key, value in row.items() if key in kinds}
