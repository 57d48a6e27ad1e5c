"""Milliseconds a job from words to a checked, planned run, against hydra.compose alone: tests/bench/compose.py [n].

A sweep of 1,000 jobs, decay × λ × lr × seed. The clock of wdrun holds all that happens before the first job trains,
apart from data and trainers: the grid, composing, checking, id, structure and directory. Hydra's holds compose alone,
of every 50th job; a whole sweep would take it minutes. The two take turns.
"""

import statistics
import sys
import time

import hydra

from wdrun.config import compose, experiments
from wdrun.config.options import conf_dir

WORDS = ["data=synthetic", "model=mlp", "model.hidden=[8]", "epochs=1", "decay=none,l2,l1,elastic_net"]
WORDS += ["lambda=log_range(1e-6,1e-1,10)", "lr=0.01,0.02,0.05,0.1,0.2", "seed=range(0,5)"]


def ours():
    compose._bases.cache_clear()  # as a command begins
    began = time.perf_counter()
    jobs = experiments.jobs(WORDS, multirun=True)
    planned = {(job.directory, job.run.structure) for job in jobs}
    assert (len(jobs), len(planned)) == (1000, 775)  # decay=none is the same run for every λ
    return 1e3 * (time.perf_counter() - began) / len(jobs)


def theirs():
    lines = experiments.lines(WORDS, multirun=True)[::50]
    began = time.perf_counter()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        for line in lines:
            hydra.compose("config", line)
    return 1e3 * (time.perf_counter() - began) / len(lines)


def main():
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    ours(), theirs()
    samples = [(ours(), theirs()) for _ in range(n)]
    mine, plain = zip(*samples, strict=True)
    ratios = [b / a for a, b in samples]
    for name, values, unit in (("wdrun", mine, "ms a job"), ("hydra", plain, "ms a job"), ("ratio", ratios, "×")):
        print(f"{name}: {statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f}) {unit}, n = {n}")


if __name__ == "__main__":
    main()
