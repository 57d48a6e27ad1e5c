"""Runs tables made by hand, what is chosen from them, and the same choice by loops over plain rows."""

import math
from itertools import combinations
from pathlib import Path

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st

from wdrun.config import experiments
from wdrun.selection import select
from wdrun.tables.columns import RUN, run_row
from wdrun.tables.write import render

SMALL = ("data=synthetic", "data.train_examples=200", "model=mlp", "model.hidden=[4]", "epochs=4", "threads=1")
QUIET = settings(max_examples=15, deadline=None, derandomize=True)


def row(lam, seed, loss, **changes):
    """A run's row as `read.load` gives it, with the knobs that a test varies."""
    base = {"id": "", "model": "mlp", "decay": "l2", "coupling": "coupled", "lambda": float(lam), "optimizer": "sgd"}
    base |= {"lr": 0.1, "seed": seed, "fold": 0, "epochs": 3, "decay.coupling": "auto", "diagnostics": "[]"}
    base |= {c.name: "" if c.kind is str else math.nan for c in RUN}
    scores = {"val_loss": loss, "val_accuracy": -loss, "train_loss": loss / 2, "train_accuracy": 0.5}
    base |= {"status": "done", "test_loss": loss + 1, "test_accuracy": 0.25, "total_decay": 100.0 * lam, "dir": "."}
    full = base | scores | changes
    return full | {"id": "-".join(str(full[k]) for k in ("decay", "optimizer", "lambda", "lr", "seed", "fold"))}


def curve(losses, **changes):
    """Runs of {λ: losses of seeds 0, 1, …}; None where that seed did not run."""
    return [row(lam, s, x, **changes) for lam, xs in losses.items() for s, x in enumerate(xs) if x is not None]


def chosen(rows, **options):
    return select(pd.DataFrame(rows), **options)


def said(selection):
    """Each finding's sentence and what it would have one run."""
    return [f"{found.facet}: {found.whole}" for found in selection.findings]


def only(selection):
    (_, choice), *rest = selection.choices.iterrows()
    assert not rest
    return choice


def fullest(held):
    """The largest full table of {cell: its replicates}, by trying all sets of cells: (cells, replicates)."""
    counts = sorted(len(replicates) for replicates in held.values() if replicates)
    if not counts:
        return [], []
    enough = (counts[len(counts) // 2] + counts[(len(counts) - 1) // 2]) / 2
    found = []
    for size in range(1, len(held) + 1):
        for cells in combinations(held, size):
            shared = sorted(set.intersection(*(held[cell] for cell in cells)))
            if shared:
                first = [-replicate for replicate in shared]
                found.append((size * min(len(shared), enough), size, len(shared), first, cells, shared))
    *_, cells, shared = max(found)
    return cells, shared


def brute(rows, metric="val_loss"):
    """(lambda_min, lambda_1se) of one facet, its lr isolated, by loops over plain rows; larger λ on ties."""
    better = min if metric == "val_loss" else max
    held, scores = {}, {}
    for r in rows:
        cell, done = (r["lambda"], r["lr"]), r["status"] == "done" and math.isfinite(r[metric])
        held.setdefault(cell, set()).update({r["seed"]} if done else ())
        scores[*cell, r["seed"]] = r[metric]
    for r in rows:
        if r["status"] == "diverged":
            held.pop((r["lambda"], r["lr"]), None)
    cells, shared = fullest(held)
    points = {}
    for lam, lr in cells:
        values = [scores[lam, lr, seed] for seed in shared]
        mean = sum(values) / len(values)
        if lam not in points or (mean != points[lam][0] and better(mean, points[lam][0]) == mean):
            points[lam] = mean, values
    if not points:
        return None, None
    best = better(mean for mean, _ in points.values())
    lam_min = max(lam for lam, (mean, _) in points.items() if mean == best)
    values = points[lam_min][1]
    if len(values) < 2:
        return lam_min, None
    variance = sum((v - best) ** 2 for v in values) / (len(values) - 1)
    se = math.sqrt(variance / len(values))
    return lam_min, max(lam for lam, (mean, _) in points.items() if abs(mean - best) <= se)


cells_of_losses = st.dictionaries(
    st.tuples(st.sampled_from([0.0, 1e-3, 1e-2, 1e-1, 1.0]), st.sampled_from([0.1, 0.2])),
    st.lists(st.sampled_from([1.0, 1.25, 1.5, 2.0, "diverged", "failed", None]), min_size=1, max_size=3),
    min_size=1,
)


def table(cells, **changes):
    rows = []
    for (lam, lr), outcomes in cells.items():
        for seed, x in enumerate(outcomes):
            if isinstance(x, str):
                rows.append(row(lam, seed, math.nan, lr=lr, status=x, **changes))
            elif x is not None:
                rows.append(row(lam, seed, x, lr=lr, **changes))
    return rows


def write(root, *words, typed=None, **summary):
    """A run's folder as training leaves it, but for what select does not read; with the words `typed` recorded."""
    (job,) = experiments.jobs(words, False)
    folder = root / job.run.slug
    folder.mkdir(parents=True)
    cells = run_row(job.run, {"status": "done"} | summary)
    (folder / "run.csv").write_bytes(render(list(cells), [cells]))
    import yaml

    (folder / "config.yaml").write_text(yaml.safe_dump(job.run.nested, sort_keys=False), encoding="utf-8")
    if typed is not None:
        (folder / ".hydra").mkdir()
        (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(list(typed)), encoding="utf-8")
    return job.run


def grid(folder, cells, *words):
    """The folder with two seeds of SMALL at each λ of {λ: loss, or {lr: loss}}; a loss of inf is one that diverged."""
    for lam, of in cells.items():
        for lr, loss in (of if isinstance(of, dict) else {0.02: of}).items():
            for seed in (0, 1):
                line = (*SMALL, *words, f"lambda={lam}", f"lr={lr}", f"seed={seed}")
                score = {"status": "done", "val_loss": loss, "val_accuracy": 1 - loss / 3}
                write(Path(folder), *line, **(score if math.isfinite(loss) else {"status": "diverged"}))
    return Path(folder)
