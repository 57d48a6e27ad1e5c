"""Before anything is written: equal runs once, wrong ones refused, and no run built twice."""

import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from wdrun import cores, devices
from wdrun.config import experiments
from wdrun.errors import ConfigError
from wdrun.sweep import preparation, workers
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import Trainers, ready, with_lambda
from wdrun.sweep.preparation import check, distinct, ways, why_equal
from wdrun.tables.columns import TABLES
from wdrun.training.trainer import Trainer

TINY = ["data=synthetic", "data.train_examples=96", "data.test_examples=20", "model=linear", "epochs=1"]
TINY += ["batch_size=32", "threads=1", "precision=fp32", "device=cpu"]


def asked(folder, *words):
    return experiments.sweep(experiments.lines([*TINY, f"output_dir={folder}", *words], True))


@pytest.fixture
def built(monkeypatch):
    """The runs whose trainers were built, and how many of these were alive at each."""
    runs, alive = [], []
    true, references = Trainer.__post_init__, []

    def build(trainer):
        true(trainer)
        runs.append(trainer.run)
        gc.collect()  # a trainer refers to itself
        alive.append(sum(1 for ref in references if ref() is not None) + 1)
        references.append(weakref.ref(trainer))

    monkeypatch.setattr(Trainer, "__post_init__", build)
    return runs, alive


@pytest.mark.parametrize("words", [
    (), ("budget=0.5",), ("tau=3",), ("fuse=true",), ("fuse=true", "budget=0.5"), ("parallel=2",), ("lr=1e30",),
], ids=" ".join)  # fmt: skip
def test_a_run_is_built_once(built, tmp_path, words):
    (outcome,) = execute(*asked(tmp_path, *words))
    assert outcome.status == ("diverged" if words == ("lr=1e30",) else "done")
    assert len(built[0]) == 1


@pytest.mark.parametrize(("words", "number"), [
    (("lambda=0,1", "seed=0,1"), 4),  # one structure: that of its first run
    (("lambda=0,1", "seed=0,1", "fuse=true"), 4),
    (("decay=l2,l1", "seed=0,1"), 5),  # the second structure is built to check it, and again to train
    (("decay=l2,l1", "seed=0,1", "fuse=true"), 5),
    (("lr=0.1,0.2", "budget=0.5"), 3),
])  # fmt: skip
def test_of_a_sweep_the_first_run_is_built_once(built, tmp_path, words, number):
    runs, alive = built
    outcomes = execute(*asked(tmp_path, *words))
    assert {o.status for o in outcomes} == {"done"}
    assert len(runs) == number
    if "fuse=true" not in words:
        assert max(alive) <= 2  # the one that is kept and the one that is looked at
    runs.clear()
    execute(*asked(tmp_path, *words))
    assert len(runs) < number  # what is finished is checked, and not trained


def test_the_trainer_that_is_kept_is_given_once_and_to_its_own_run(tmp_path):
    first, second = (job.run for job in asked(tmp_path, "seed=0,1")[0])
    trainers = Trainers()
    looked = trainers.check(first)
    assert trainers.check(first) is looked
    assert trainers.check(second) is not trainers.check(second)
    assert trainers.take(first) is looked
    assert trainers.take(first) is not looked
    trainers.check(first)
    assert trainers.take(second).run is second
    assert trainers.take(first) is not looked


def test_no_trainer_is_kept_while_worker_processes_train(built, tmp_path, monkeypatch):
    runs, _ = built
    left = []

    def side_by_side(*arguments):
        gc.collect()
        left.extend(o for o in gc.get_objects() if type(o) is Trainer and any(o.run is run for run in runs))
        yield from ()

    monkeypatch.setattr(workers, "side_by_side", side_by_side)
    execute(*asked(tmp_path, "seed=0,1", "parallel=2"))
    assert len(runs) == 1
    assert not left


def test_a_trainer_at_another_lambda_trains_as_one_built_for_it(tmp_path):
    here, there = (job.run for job in asked(tmp_path, "lambda=0.5,0.25", "decay=l1")[0])
    trainer = ready(here)
    (moved,), (epoch,), (own,) = trainer.at(0.25).train(), ready(there).train(), trainer.train()
    assert trainer.run is here
    assert (moved.metrics, moved.layers, moved.summary) == (epoch.metrics, epoch.layers, epoch.summary)
    assert own.metrics != moved.metrics


def test_a_run_by_its_budget_has_the_bytes_of_the_run_with_that_lambda(tmp_path):
    (by_budget,) = execute(*asked(tmp_path / "budget", "budget=0.5"))
    (by_lambda,) = execute(*asked(tmp_path / "lambda", f"lambda={by_budget.job.run.lam}"))
    assert by_budget.directory.name == by_lambda.directory.name
    for name in ("run", *(table for table in TABLES if table != "timing")):
        assert (by_budget.directory / f"{name}.csv").read_bytes() == (by_lambda.directory / f"{name}.csv").read_bytes()


def test_equal_runs_are_the_first_of_them(tmp_path):
    jobs, _ = asked(tmp_path, "decay=none,l2", "lambda=0.5,0.25")
    assert distinct(jobs) == [jobs[0], jobs[2], jobs[3]]
    assert with_lambda(jobs[2]) is jobs[2]


def test_each_structure_and_fold_is_checked_by_its_first_run(tmp_path):
    jobs, _ = asked(tmp_path, "data.folds=2", "fold=0,1", "decay=l1,l2", "lambda=0.5,0.25")
    seen = []
    list(check(jobs, seen.append))
    assert [(run.fold, run.decay["name"], run.lam) for run in seen] == [
        (0, "l1", 0.5), (0, "l2", 0.5), (1, "l1", 0.5), (1, "l2", 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize("network", ["Frozen", "Lines"])  # with convolutions, and without
@pytest.mark.parametrize(("threads", "processes"), [("auto", 4), (1, 4), (2, 2), (3, 1), (8, 1)])
def test_auto_is_as_many_processes_as_their_threads_leave(network, threads, processes, tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "automatic", lambda: 4)
    words = ("seed=0,1,2,3", "parallel=auto", "fuse=false")
    jobs, options = asked(tmp_path, f"model._target_=tests.training.networks.{network}", *words)
    ready_at = [replace(job, run=replace(job.run, threads=threads)) for job in jobs]
    assert ways(ready_at, options) == (processes, False)
    assert ways(ready_at[:3], options) == (min(processes, 3), False)


def test_runs_on_a_gpu_have_one_process(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "automatic", lambda: 4)
    jobs, options = asked(tmp_path, "seed=0,1,2,3", "parallel=auto", "fuse=false")
    on_gpu = SimpleNamespace(run=jobs[0].run, machine=devices.Machine(torch.device("cuda"), "fp32", 4))
    monkeypatch.setattr(preparation, "check", lambda *given: [on_gpu])
    assert ways(jobs, options) == (1, False)


def test_what_is_wrong_with_the_last_structure_is_known_before_anything_exists(tmp_path):
    words = [word for word in TINY if not word.startswith("batch_size=")]
    jobs = experiments.jobs([*words, f"output_dir={tmp_path}", "batch_size=32,4096"], True)
    with pytest.raises(ConfigError, match="batch_size=4096: the training split has only"):
        execute(jobs)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "reasons"),
    [
        ("lambda=0,1e-3 seed=0,1", []),
        ("decay=none,l2 lambda=0,1e-3", ["decay=none is the same run for every λ"]),
        ("decay=none,l2 tau=3,5", ["decay=none is the same run for every tau"]),
        ("lambda=1e-3,0.001", ["a value is given twice"]),
        ("decay=l2,L2", ["a value is given twice"]),
        ("lr=1,1.0", ["lr=1 and lr=1.0 are the same run"]),
        ("parallel=1,2 seed=0,1", ["parallel changes no run"]),
        ("require.val_accuracy=0.1,0.2", ["require.val_accuracy changes no run"]),
        ("decay=none,l2 lambda=0,1 fail_fast=true,false",
         ["fail_fast changes no run", "decay=none is the same run for every λ"]),
        ("name=a,b", []),
        ("optimizer=sgd,adam optimizer.momentum=0,0.9", []),
    ],
)  # fmt: skip
def test_why_jobs_are_one_run(tmp_path, words, reasons):
    jobs = [with_lambda(job) for job in asked(tmp_path, *words.split())[0]]
    assert why_equal(jobs) == reasons
    assert bool(reasons) == (len(distinct(jobs)) < len(jobs))
