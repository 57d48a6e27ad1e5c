"""Runs that a test can afford, and one way to each of a job, a sweep's jobs, a run and its trainer.

A word given to these functions takes the place of the base's word for that key, so a test says only what it varies:
`jobs(folder, "model=cnn", "seed=0,1")` is TINY with another model and two seeds.
"""

from wdrun.config import axes, experiments
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.sweep.one_run import ready
from wdrun.training.measurement import closing

# Two epochs of seven batches: what a test takes unless its numbers need more.
TINY = (
    *("data=synthetic", "data.train_examples=200", "data.test_examples=50", "batch_size=32", "epochs=2"),
    *("model=linear", "threads=1", "precision=fp32"),
)
# What the hazards train thousands of times, in forked processes and so beside no CUDA.
SMALLEST = (
    *("data=synthetic", "data.train_examples=64", "data.test_examples=20", "batch_size=16", "epochs=2"),
    *("model=mlp", "model.hidden=[1]", "threads=1", "precision=fp32", "device=cpu"),
)
# Enough of a run for its loss to fall; the model is the test's choice.
LEARNING = (
    *("data=synthetic", "data.train_examples=400", "data.test_examples=100", "epochs=3"),
    *("precision=fp32", "threads=1", "lr=0.02", "lambda=1e-2"),
)
MLP = ("model=mlp", "model.hidden=[8]")
CNN = ("model=cnn", "model.channels=[4,4]", "model.width=8")


def changed(base, *words):
    """The words of the base whose keys `words` leave alone, then `words`; a later word takes an earlier one's place."""
    kept = []
    for word in (*base, *words):
        set_here = set(axes.keys(word))
        kept = [*(other for other in kept if set_here.isdisjoint(axes.keys(other))), word]
    return kept


def job(*words, base=TINY):
    line = changed(base, *words)
    return parse(compose(line), line)


def asked(folder, *words, base=TINY):
    """The jobs of a sweep into the folder, and what is asked of the sweep as a whole."""
    return experiments.sweep(experiments.lines(changed(base, f"output_dir={folder}", *words), multirun=True))


def jobs(folder, *words, base=TINY):
    """The jobs of a sweep into the folder."""
    return asked(folder, *words, base=base)[0]


def run(*words, base=TINY):
    return job(*words, base=base).run


def trainer(*words, base=TINY):
    return ready(run(*words, base=base))


def trained(made, state=None):
    """The epochs of a trainer, the last one with what the run measures once, after it."""
    epochs = list(made.train(state))
    if epochs[-1].status == "done":
        measured_once(made, epochs[-1])
    return epochs


def measured_once(made, epoch):
    found = closing(made, epoch.state)
    epoch.metrics += found.metrics
    epoch.summary |= found.summary
