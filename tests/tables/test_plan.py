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


def names(root):
    return [run.name for run in plan.read(root)]


def ended(job):
    job.directory.mkdir(parents=True, exist_ok=True)
    (job.directory / "run.csv").touch()


def test_what_waits_of_an_earlier_sweep_goes_on_waiting(tmp_path):
    """The larger sweep was interrupted: a smaller one, of runs of its own and of others, does not make it forgotten."""
    large, small = jobs(tmp_path, "seed=0,1,2,3"), jobs(tmp_path, "seed=0,7")
    plan.write(large)
    ended(large[0])
    plan.write(small)
    root = tmp_path / "default"
    assert names(root) == sorted({job.directory.name for job in (*large, *small)})
    assert {name for name, _ in plan.waiting(root)} == {job.directory.name for job in (*large[1:], small[1])}
    typed = {run.name: run.overrides for run in plan.read(root)}
    assert typed[large[0].directory.name] == small[0].overrides  # the later words count where both have a run
    assert typed[large[2].directory.name] == large[2].overrides


def test_a_plan_of_which_nothing_waits_is_replaced(tmp_path):
    first, second, third = (jobs(tmp_path, words) for words in ("seed=0,1", "seed=1,2", "seed=8,9"))
    plan.write(first)
    ended(first[0])
    plan.write(second)  # the one that waits is among its own
    assert names(tmp_path / "default") == sorted(job.directory.name for job in second)
    ended(second[0])
    ended(second[1])
    plan.write(third)
    assert names(tmp_path / "default") == sorted(job.directory.name for job in third)


def test_a_plan_with_its_words_is_the_same_however_often_it_is_taken_over(tmp_path):
    (job,) = jobs(tmp_path)
    odd = replace(job, overrides=("a='x y'", "a=it's", "a=", "a=[8, 16]"))
    plan.write([odd])
    for seed in (1, 2, 3):
        plan.write(jobs(tmp_path, f"seed={seed}"))
    (found,) = [run for run in plan.read(tmp_path / "default") if run.name == job.directory.name]
    assert found.overrides == odd.overrides


def test_a_broken_plan_is_replaced_and_a_plan_given_up_is_gone(tmp_path):
    first, second = jobs(tmp_path, "seed=0,1"), jobs(tmp_path, "seed=2,3")
    plan.write(first)
    path = tmp_path / "default" / plan.NAME
    path.write_bytes(path.read_bytes()[:-1])
    plan.write(second)
    assert names(tmp_path / "default") == sorted(job.directory.name for job in second)
    path.unlink()
    assert plan.waiting(tmp_path / "default") == []
