"""plan.csv: what a sweep means to train, folder by folder, and what of it is not there yet."""

from dataclasses import replace

import pytest

from wdrun.config import experiments
from wdrun.tables import plan

TINY = ["data=synthetic", "model=linear", "threads=1", "epochs=3"]


def jobs(folder, *words):
    return experiments.jobs([*TINY, f"output_dir={folder}", *words], True)


def test_a_plan_has_the_runs_in_the_order_of_their_folders(tmp_path):
    some = jobs(tmp_path, "seed=1,0")
    plan.write(some)
    header, *lines = (tmp_path / "default" / plan.NAME).read_text().splitlines()
    assert header == "dir,epochs,overrides"
    expected = sorted(f"{job.directory.name},3,{' '.join(job.overrides)}" for job in some)
    assert lines == expected


def test_each_folder_has_its_own_plan(tmp_path):
    some = jobs(tmp_path, "name=a,b")
    plan.write(some)
    for job in some:
        assert plan.waiting(job.directory.parent) == [(job.directory.name, "3")]


def test_a_run_with_a_row_waits_no_more(tmp_path):
    first, second = sorted(jobs(tmp_path, "seed=0,1"), key=lambda job: job.directory)
    plan.write([first, second])
    first.directory.mkdir()
    assert [name for name, _ in plan.waiting(tmp_path / "default")] == [first.directory.name, second.directory.name]
    (first.directory / "run.csv").touch()
    assert [name for name, _ in plan.waiting(tmp_path / "default")] == [second.directory.name]


def test_without_a_plan_none_waits_and_a_broken_one_is_said(tmp_path):
    assert plan.waiting(tmp_path) == []
    (tmp_path / plan.NAME).write_text("x,y\n1,2\n")
    with pytest.raises(ValueError, match=r"^is not a plan of wdrun's$"):
        plan.waiting(tmp_path)
    (tmp_path / plan.NAME).write_text("dir,epochs,overrides\na,3")
    with pytest.raises(ValueError, match=r"^plan\.csv is cut off$"):
        plan.waiting(tmp_path)


@pytest.mark.parametrize("word", ["a=[8,16]", "a=[8, 16]", "a='x y'", 'a="x', "a=it's", "a=\\b", "a="])
def test_what_was_typed_is_read_back(tmp_path, word):
    (job,) = jobs(tmp_path)
    plan.write([replace(job, overrides=(word, "b=1"))])
    assert plan.read(tmp_path / "default")[0].overrides == (word, "b=1")
