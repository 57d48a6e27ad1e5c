# %% [markdown]
# # Does this network want weight decay, and how much?
#
# A sweep over λ with three seeds, the choice on validation, the figure, a page for a colleague, and the trained
# network. On generated images, so it takes seconds; leave `data` and the sizes out for CIFAR-10. Each `# %%` is a cell
# of a notebook; as a script it prints what it finds.

# %% The question: an MLP on few images, so that it can overfit
from typing import Any

import torch

import wdrun

setting: dict[str, Any] = {
    "data": "synthetic",
    "data__train_examples": 400,
    "data__test_examples": 200,
    "model": "mlp",
    "model__hidden": [32],
    "augment": "none",
    "epochs": 5,
    "batch_size": 32,
    "lr": 0.05,
    "threads": 1,
    "name": "which_decay",
}
print(wdrun.explain("decay=l2", lam=0.03, quiet=True, **setting))

# %% The sweep: a list is an axis; the same cell again reads back what is finished
sweep = wdrun.sweep("decay=l2", lam=[0, 0.03, 0.3, 3], seed=range(3), quiet=True, **setting)
print(sweep)
print(sweep.runs.groupby("lambda")["val_loss"].agg(["mean", "std", "count"]))

# %% The choice, on validation, and what the runs cannot tell
selection = wdrun.select(sweep, quiet=True)
print(selection)
for finding in selection.findings:
    print("-", finding.whole)

# %% The figures: matplotlib's, so they can be changed and saved
figure = wdrun.figures.decay_curve(selection)
figure.savefig(sweep.folder / "curve.pdf")
wdrun.figures.learning_curves(sweep.metrics).savefig(sweep.folder / "learning.png", dpi=150)

# %% A page that opens offline, for a colleague
page = wdrun.report(sweep, quiet=True)
print(page.name, page.stat().st_size > 0)

# %% The choice again with a fresh seed, and its network
result = wdrun.run(*wdrun.best(sweep, quiet=True), seed=3, name="confirmed", quiet=True)
print(result.status, result.run["test_accuracy"].item() >= 0)
model = result.module("best")
with torch.no_grad():
    print(model(torch.zeros(1, 3, 32, 32)).shape)
