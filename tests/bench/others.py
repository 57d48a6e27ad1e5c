"""Images a second of the MLP 3072-64-64-10 in other tools, interleaved with wdrun: python tests/bench/others.py [n].

Needs `pip install lightning scikit-learn`. Batch 128, SGD with momentum, no augmentation, real CIFAR-10, each tool in a
process of its own that trains about 1.5 s a sample. Lightning is given the data set of the plain loop; scikit-learn the
normalised images as one array in memory, which is what it takes.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import warnings

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the wdrun command sets it

from wdrun.bench import WORK, rows
from wdrun.bench.plain import Loop
from wdrun.config import experiments
from wdrun.sweep.one_run import ready

SECONDS = 1.5


def lightning(run):
    import lightning as L
    import torch

    class Model(L.LightningModule):
        def __init__(self, loop):
            super().__init__()
            self.model, self.optimizer = loop.model, loop.optimizer

        def training_step(self, batch, index):
            x, y = batch
            return torch.nn.functional.cross_entropy(self.model(x), y)

        def configure_optimizers(self):
            return self.optimizer

    loop = Loop(run)

    def sample(batches):
        trainer = L.Trainer(
            max_epochs=1, limit_train_batches=batches, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Model(loop), loop.loader)

    return sample


def sklearn(run):
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    from wdrun import data

    split = data.load(run.data, run.fold).splits["train"]
    images = split.inputs[split.rows].flatten(1).numpy().astype(np.float32) / 255
    images -= images.mean(axis=0)
    labels = split.targets[split.rows].numpy()

    def sample(batches):
        # one pass a call, as partial_fit does it; max_iter=1 of fit is the same pass with a warning
        model = MLPClassifier((64, 64), solver="sgd", batch_size=128, learning_rate_init=0.01, momentum=0.9, max_iter=1)
        count = batches * 128
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(images[:count], labels[:count])

    return sample


def child(name):
    run = experiments.jobs([*WORK["mlp"], "precision=fp32", "epochs=1"], False)[0].run
    warnings.simplefilter("ignore")
    sample = {"lightning": lightning, "sklearn": sklearn}[name](run)
    batches = 20
    while True:  # as many batches as fill a sample
        started = time.perf_counter()
        sample(batches)
        took = time.perf_counter() - started
        if took > SECONDS / 2 or batches >= 350:
            break
        batches = min(350, 2 * batches)
    for _ in sys.stdin:
        started = time.perf_counter()
        sample(batches)
        print(json.dumps(batches * 128 / (time.perf_counter() - started)), flush=True)


def main():
    if len(sys.argv) > 2:
        return child(sys.argv[2])
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    trainer = ready(experiments.jobs([*WORK["mlp"], "epochs=1"], False)[0].run)
    rows.devices.apply(trainer.machine)
    steps = rows._steps(trainer)
    children = {
        name: subprocess.Popen(
            [sys.executable, __file__, "child", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )
        for name in ("lightning", "sklearn")
    }  # fmt: skip
    samples = {name: rows.Sampler(process) for name, process in children.items()}
    rounds = []
    for i in range(n + 1):
        time.sleep(0.5)  # the threads of another tool's BLAS wait busily for a while
        ours = rows.images_per_second(trainer, steps)
        rounds += [{name: (ours, sample()) for name, sample in samples.items()}][: bool(i)]
    for name, process in children.items():
        process.kill()
        pairs = [r[name] for r in rounds]
        ratios = [a / b for a, b in pairs]
        a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"mlp {trainer.machine.precision}, n = {n}: wdrun {a:,.0f}, {name} {b:,.0f} images/s, ratio {spread}")


if __name__ == "__main__":
    main()
