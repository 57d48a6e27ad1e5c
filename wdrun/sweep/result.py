"""What came of a run, in words: its scores, what its λ did to the weights, and what decay bought."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from wdrun.config.axes import key_of
from wdrun.config.run import Job, Run
from wdrun.explain import DECAYING
from wdrun.tables.columns import typed_row
from wdrun.tables.siblings import without_decay
from wdrun.wording import clock, command_line, counted, short

Row = Mapping[str, Any]


def describe(job: Job, summary: Row, seconds: float, average: Sequence[Row], predictions: Sequence[Row]) -> list[str]:
    """The lines printed at the end of a run; `summary` is its row of run.csv, `seconds` those of this command.

    `average` are the rows of evaluation.csv of its averaged weights, `predictions` those of a regression.
    """
    first, *more = outcome(job.run, summary, seconds)
    lines = [first, *averaged(average), *more, *predicted(predictions)]
    if job.run.lam and summary["status"] == "done":
        twin = without_decay(job.directory.parent, job.run, summary["data_digest"])
        lines.append(bought(summary, typed_row(twin) if twin else None, job.words))
    return [*lines, f"tables   {job.directory}"]


def outcome(run: Run, summary: Row, seconds: float) -> list[str]:
    """What the run gave, and what its λ did to the weights."""
    if summary["status"] == "diverged":
        advice = f"lower lr (it was {short(run.lr)})" + (f" or lambda (it was {short(run.lam)})" if run.lam else "")
        return [f"diverged: {summary['cause']}; {advice}"]
    lines = [f"{scores(summary)}; {counted(summary['epochs_done'], 'epoch')}, {clock(seconds)} here"]
    start, end, total = summary["norm_start"], summary["norm_end"], summary["total_decay"]
    if run.lam and start:
        change = f"λ did    the norm of the decayed weights went {start:.3g} → {end:.3g}"
        lines.append(change + (f" (decay alone: {start * math.exp(-total):.3g})" if total is not None else ""))
    return lines


def scores(summary: Row) -> str:
    """The line that begins a finished run's result."""
    kind = _score(summary)
    val, test, train = (summary[f"{split}_{kind}"] for split in ("val", "test", "train"))
    gap = f"{100 * (train - val):+.1f} points" if kind == "accuracy" else f"{train - val:+.4g}"
    what = "" if kind == "accuracy" else "loss: "
    return f"result   {what}val {val:.4f}, test {test:.4f}, train {train:.4f} (running), train − val {gap}"


def averaged(rows: Sequence[Row]) -> list[str]:
    """The line on what the average of the weights is worth, by its rows of evaluation.csv; none where it has none."""
    if not rows:
        return []
    kind = "data_loss" if rows[0]["accuracy"] is None else "accuracy"
    parts = [f"{row['split']} {row[kind]:.4f}" for row in rows]
    return [f"average  {'loss: ' * (kind == 'data_loss')}{', '.join(parts)}: of the averaged weights, ema.safetensors"]


def predicted(rows: Sequence[Row]) -> list[str]:
    """A regression's predictions as a small table: of the run, of the exact minimum, and the target."""
    if not rows:
        return []
    lines = [f"predict  {'x':>8} {'prediction':>12} {'closed form':>12} {'target':>12}"]
    for row in rows:
        exact = "none" if row["closed_form"] is None else f"{row['closed_form']:.6f}"
        lines.append(f"         {row['x']:>8.4g} {row['prediction']:>12.6f} {exact:>12} {row['target']:>12.6f}")
    return lines


def bought(summary: Row, twin: Row | None, words: Sequence[str]) -> str:
    """What decay changed against the same run without it, or the command that would tell; `words` made the run."""
    if twin is None:
        flags = [word for word in words if word.startswith("--")]
        kept = [word for word in words if word not in flags and key_of(word).partition(".")[0] not in DECAYING]
        return f"         what it bought: compare with `{command_line([*kept, 'decay=none', *flags])}`"
    kind = _score(summary, twin)
    changes = {split: summary[f"{split}_{kind}"] - twin[f"{split}_{kind}"] for split in ("val", "test")}
    gains = [
        f"{split} {100 * change:+.2f} points" if kind == "accuracy" else f"{split} loss {change:+.4g}"
        for split, change in changes.items()
    ]
    norm = "" if twin["norm_end"] is None else f", norm {summary['norm_end']:.3g} against {twin['norm_end']:.3g}"
    return (
        f"         against the same run without decay: {', '.join(gains)}{norm}; one pair, so seed noise is not known"
    )


def _score(*rows: Row) -> str:
    """What runs are judged by: accuracy, or the loss where one has none, as every regression."""
    return "loss" if None in [row[f"{split}_accuracy"] for row in rows for split in ("val", "test")] else "accuracy"
