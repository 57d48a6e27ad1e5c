"""Many runs cost many times one run and no more: nothing is kept open or alive, nothing grows with the square."""

import gc
import random
import weakref
from dataclasses import fields, replace
from pathlib import Path

import pytest

from tests.bench import scale
from wdrun.config import experiments
from wdrun.config.run import Run
from wdrun.selection import select
from wdrun.sweep import groups, one_run
from wdrun.sweep.execute import execute
from wdrun.sweep.one_run import Trainers, ready
from wdrun.tables import aggregate, status
from wdrun.tables.read import load
from wdrun.terminal.board import Board

MANY = 60


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of 60 real runs: what it cost, the trainers it built, its folder."""
    folder, built = tmp_path_factory.mktemp("many"), []
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(scale, "grid", lambda count: [*scale.TINY, f"seed=range(0,{count})"])
        true = ready

        def noted(*given):
            trainer = true(*given)
            built.append(weakref.ref(trainer))
            return trainer

        monkeypatch.setattr(one_run, "ready", noted)
        cost = scale.trained(MANY, folder)
    return cost, built, folder / "default"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="reads /proc")
def test_a_run_leaves_nothing_open(swept):
    _, _, files, threads = zip(*swept[0]["samples"], strict=True)
    assert len(files) == MANY
    assert max(files) == files[0]
    assert max(threads[1:]) == threads[1]


def test_a_run_leaves_no_trainer_behind(swept):
    _, built, _ = swept
    gc.collect()
    assert len(built) >= MANY
    assert sum(reference() is not None for reference in built) <= 1


def test_a_run_leaves_ten_small_files(swept):
    cost, _, folder = swept
    assert {len([p for p in run.rglob("*") if p.is_file()]) for run in folder.iterdir() if run.is_dir()} == {10}
    assert cost["kib_a_run"] < 150


@pytest.fixture(scope="module")
def copied(swept, tmp_path_factory):
    """A folder of 300 runs with ids of their own."""
    root = tmp_path_factory.mktemp("copied") / "outputs"
    scale.copied(swept[2], root, 300)
    return root


def test_each_reader_opens_each_file_once(copied, monkeypatch):
    opened, read = [], Path.read_bytes

    def noted(path):
        opened.append(path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    for reader, tables in (
        (lambda: aggregate.write(copied), 5), (lambda: load([copied]), 5), (lambda: status.report(copied), 1),
        (lambda: load([copied], tables=()), 1),
    ):  # fmt: skip
        opened.clear()
        reader()
        ours = [path for path in opened if path.suffix == ".csv"]
        assert len(ours) == len(set(ours)) == 300 * tables


def test_hundreds_of_runs_are_all_there(copied):
    found = load([copied])
    assert (len(found.runs), found.problems) == (300, ())
    assert sorted(found.runs["seed"]) == list(range(300))
    selection = select(found.runs)
    assert selection.choices["runs"].tolist() == [300]
    assert status.report(copied) == [f"{copied}: 300 runs: 300 done"]


# Planning


def jobs(count, *words):
    return experiments.jobs([*scale.TINY, f"seed=range(0,{count})", *words], multirun=True)


def test_a_thousand_jobs_share_one_family_found_once_each(monkeypatch, tmp_path):
    many = [replace(job, options=replace(job.options, output_dir=str(tmp_path))) for job in jobs(1000)]
    asked, family = [], groups.fused.family
    monkeypatch.setattr(groups.fused, "family", lambda run: asked.append(run) or family(run))
    monkeypatch.setattr(groups.fused, "fusable", lambda first: None)
    monkeypatch.setattr(groups.fused, "chunk", lambda n, first: min(n, 64))
    handed = []
    monkeypatch.setattr(groups, "_fused", lambda some, watches, stop, trainers, before: handed.append(list(some)) or ())
    monkeypatch.setattr(groups, "settle", lambda job, stop, watch, prepare, before: None)
    every = iter([range(1000)])
    endings = groups.in_groups(lambda _: next(every, []), many, [None] * 1000, None, lambda: False, Trainers())
    numbers = [number for number, _ in endings]
    assert numbers == list(range(1000)) == [number for group in handed for number in group]
    assert [len(group) for group in handed] == [64] * 15 + [40]
    assert len(asked) == 1000


def test_names_of_many_jobs_are_distinct_and_take_little(monkeypatch):
    many = jobs(1000)
    assert len({job.directory for job in many}) == 1000
    assert len({job.run.structure for job in many}) == 1
    held = {field.name for field in fields(Run)} | {"id", "structure"}  # its knobs once, and no copy of them
    assert {name for job in many for name in vars(job.run)} == held


# The board


@pytest.mark.parametrize("seed", range(20))
def test_the_time_left_is_that_of_all_runs(seed):
    """What is kept as a running sum equals the formula over all runs; replay by the seed."""
    draw, clock = random.Random(seed), [0.0]
    board = Board(30, "val_loss", now=lambda: clock[0])
    board.console = None
    views = [board.view(f"run{i}", draw.randint(1, 9)) for i in range(30)]
    over, spent = set(), 0.0
    for _ in range(200):
        clock[0] += 1
        view = draw.choice(views)
        if view.slug in over:
            continue
        if view.began is None and draw.random() < 0.7:
            view.begin("", 10 * view.epochs, 10, 10 * draw.randint(0, view.epochs - 1))
        elif view.began is None or draw.random() < 0.3:
            over.add(view.slug)
            spent += view.epochs * (1 - view.first)
            row = {"status": "failed", "cause": "x"}
            board.ended(view.slug, row, log=Path("log"), skipped=True)
        else:
            view.tick(draw.randint(round(10 * view.epochs * view.share) or 1, 10 * view.epochs))
        left = [v for v in views if v.slug not in over]
        assert board.untouched == sum(v.epochs for v in left if v.began is None)
        assert set(board.training) == {v.slug for v in left if v.began is not None}
        assert board.spent == pytest.approx(spent)


# Any order, any number of processes

MIXED = ("lambda=0,1e-2", "decay=l1,l2", "optimizer=sgd,adam")
FILES = ("run.csv", "metrics.csv", "layers.csv", "last.safetensors", "best.safetensors")


def bits(folder, *words, order=0):
    """Every file of every run of a sweep whose jobs were shuffled."""
    lines = experiments.lines([*scale.TINY, *MIXED, f"output_dir={folder}", *words], multirun=True)
    random.Random(order).shuffle(lines)
    outcomes = execute(*experiments.sweep(lines))
    assert {o.status for o in outcomes} == {"done"}
    whole = {name: (folder / "default" / name).read_bytes() for name in ("runs.csv", "metrics.csv", "layers.csv")}
    return whole | {(o.directory.name, name): (o.directory / name).read_bytes() for o in outcomes for name in FILES}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return bits(tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
def test_any_order_gives_the_same_bits(reference, tmp_path, order):
    assert bits(tmp_path, order=order) == reference


def test_any_part_of_a_sweep_gives_the_same_bits(reference, tmp_path):
    """Each run as the only one of its process's sweep, the last ones first."""
    given = experiments.jobs([*scale.TINY, *MIXED, f"output_dir={tmp_path}"], multirun=True)
    for job in given[::-1]:
        execute([job])
    for (run, name), content in ((key, value) for key, value in reference.items() if isinstance(key, tuple)):
        assert (tmp_path / "default" / run / name).read_bytes() == content, (run, name)
    assert (tmp_path / "default" / "runs.csv").read_bytes() == reference["runs.csv"]


@pytest.mark.long
@pytest.mark.parametrize("processes", [2, 3, 5])
def test_any_number_of_processes_gives_the_same_bits(reference, tmp_path, processes):
    assert bits(tmp_path, f"parallel={processes}", order=processes) == reference


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="reads /proc")
def test_a_thousand_runs_take_no_more_memory_than_their_rows(tmp_path):
    samples = scale.trained(1000, tmp_path)["samples"]
    _, memory, files, threads = zip(*samples, strict=True)
    assert memory[999] - memory[199] < 40  # MiB: the tables of 1,000 runs, and a row a run
    assert (files[999], threads[999]) == (files[199], threads[199])
