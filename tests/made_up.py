"""Result folders made up run by run: the tables a sweep writes, with the numbers a test wants to see again."""

import yaml

from wdrun.contents import LETTERS
from wdrun.tables.columns import FACTORS, RUN, SCHEMA, TABLES
from wdrun.tables.write import render

KNOBS = {
    "epochs": 2,
    "data.name": "synthetic",
    "data.train_size": 100,
    "decay.coupling": "auto",
    "optimizer.momentum": 0.9,
}
MADE_WITH = {
    "data_digest": "ab" * 32, "device_name": "cpu x86_64", "precision_used": "fp32", "threads_used": 1,
    "instruction_set": "AVX2", "python_version": "3.11.7", "torch_version": "2.10.0", "wdrun_version": "0.1.0",
    "commit": "c" * 40, "schema": SCHEMA, "parameters": 30,
}  # fmt: skip


def run(root, lam, val_loss=1.0, *, seed=0, lr=0.1, decay="l2", status="done", total=1.0, typed=True, **cells):
    """One run folder below root; further columns of run.csv by name."""
    number = len(list(root.glob("*"))) if root.exists() else 0
    row = {
        "id": "".join(LETTERS[8 + int(digit)] for digit in f"{number:08}"),
        "model": "mlp",
        "decay": decay,
        "coupling": "coupled",
        "lambda": lam,
        "optimizer": "sgd",
    }
    row |= {"lr": lr, "seed": seed, "fold": 0} | KNOBS | MADE_WITH | {"status": status, "cause": ""}
    if status == "done":
        row |= {"epochs_done": 2, "val_loss": val_loss, "val_accuracy": 1 - val_loss / 3, "test_accuracy": 0.5}
        row |= {
            "train_loss": val_loss / 2,
            "train_accuracy": 0.9,
            "test_loss": val_loss,
            "total_decay": total if lam else 0.0,
        }
    row |= cells
    factors, told = ([c.name for c in of] for of in (FACTORS, RUN))
    more = [name for name in cells if name not in (*factors, *KNOBS, *told)]
    order = [*factors, *KNOBS, *more, *told]
    folder = root / f"run-{number:04d}"
    (folder / ".hydra").mkdir(parents=True)
    (folder / "run.csv").write_bytes(render(order, [row]))
    for name, rows in tables(row).items():
        (folder / f"{name}.csv").write_bytes(render([c.name for c in TABLES[name]], rows))
    if typed:
        words = [f"decay={decay}", f"lambda={lam}", f"lr={lr}", f"seed={seed}", "model=mlp", "epochs=2"]
        (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(words))
        (folder / "config.yaml").write_text(f"# wdrun {' '.join(words)}\nlambda: {lam}\n")
    return folder


def tables(row):
    """The tables of a run that go with its row, two epochs of them where it is done."""
    leading = {c.name: row[c.name] for c in FACTORS}
    epochs = [leading | {"epoch": epoch} for epoch in (1, 2)] if row["status"] == "done" else []
    losses = {split: row[f"{split}_loss"] for split in ("train", "val", "test") if row.get(f"{split}_loss") is not None}
    split = {"corruption": "", "severity": 0, "accuracy": 0.5, "penalty": 0.0, "examples": 50}
    tensor = {"parameter": "fc1.weight", "numel": 20, "l1_norm": 9.0, "l2_norm": 2.0, "sparsity": 0.0, "near_zero": 0.0}
    return {
        "metrics": [
            e | split | {"split": s, "data_loss": loss, "objective": loss}
            for e in epochs
            for s, loss in losses.items()
            if s != "test" or e is epochs[-1]
        ],
        "layers": [e | tensor | {"last_rotation": 1.0} for e in epochs],
        "histograms": [],
        "timing": [e | {"train_seconds": 1.0, "evaluate_seconds": 0.1, "images_per_second": 90.0} for e in epochs],
    }


def sweep(root, cells, **common):
    """A run for each loss of {λ: losses by seed}."""
    for lam, losses in cells.items():
        for seed, loss in enumerate(losses):
            run(root, lam, loss, seed=seed, **common)
    return root


def id_of(folder):
    """The id of the run in a folder made up."""
    return (folder / "run.csv").read_text().splitlines()[1].partition(",")[0]
