"""More epochs than a finished run had: from its end, with the bytes of one go; or from the first epoch, and why."""

import io
import os
import re
import shutil
import sys

import pytest

from tests.runs import changed
from tests.sweep.longer import LAYERS, assert_same, begin_in, swept, taken_over, trained
from wdrun import devices
from wdrun.config import experiments
from wdrun.storage import TEMPORARY
from wdrun.sweep import checkpoint, recording
from wdrun.sweep.checkpoint import KEPT
from wdrun.sweep.execute import execute
from wdrun.tables.read import read_run


@pytest.fixture
def words(tmp_path, monkeypatch):
    return begin_in(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "more",
    [
        ["optimizer=adam", "decay=random_mask", "lambda=0.1", "model._target_=longer_net.Net", "diagnostics=[hessian]"],
        ["decay=cpr", "lambda=0.1", "early_stopping.patience=3", "diagnostics=[histograms]", "evaluate.blur=[1]"],
        ["ema=0.9", "optimizer.dampening=0.5", "model._target_=longer_net.Net"],
        ["schedule.warmup=1", "lambda=0.1", "decay=l2_init"],  # twice as many epochs: half of each progress, exactly
    ],
)
def test_a_longer_run_goes_on_to_the_bytes_of_one_go(words, more, capsys):
    words = [*words, *more]
    whole = trained(words, "epochs=4", "output_dir=whole")
    short = trained(words, "keep_state=true")
    before = {path.name: path.read_bytes() for path in short.iterdir() if path.is_file()}
    capsys.readouterr()
    long = trained(words, "epochs=4", "output_dir=outputs")
    err = capsys.readouterr().err
    assert f"going on from the end of run {short.name[-8:]}, which had 2 epochs\n" in err
    assert ("epoch 3/4" in err, "epoch 2/4" in err) == (True, False)
    assert long.name == whole.name  # its id is that of four epochs
    assert_same(long, whole)
    for name in ("ema.safetensors", "evaluation.csv") if "ema=0.9" in more else ():
        assert (long / name).read_bytes() == (whole / name).read_bytes()
    assert taken_over(long, short) == 2
    assert before == {path.name: path.read_bytes() for path in short.iterdir() if path.is_file()}
    assert not (long / KEPT).exists()


def test_of_several_the_longest_serves_also_in_a_sweep(words, capsys):
    one, two = (trained(words, f"epochs={epochs}", "keep_state=true") for epochs in (1, 2))
    assert taken_over(two, one) == 1
    capsys.readouterr()
    three = trained(words, "epochs=3", "keep_state=true")
    assert f"from the end of run {two.name[-8:]}, which had 2 epochs" in capsys.readouterr().err
    four, five = swept(words, "epochs=4,5", "keep_state=true")
    assert (taken_over(three, two), taken_over(four, three), taken_over(five, four)) == (2, 3, 4)
    said = capsys.readouterr().err
    assert f"\n{four.name}: going on from the end of run {three.name[-8:]}, which had 3 epochs\n" in f"\n{said}"
    assert said.count("going on from") == 1
    assert "\nepochs   2 runs go on from the end of a shorter run\n" in said
    assert_same(five, trained(words, "epochs=5", "output_dir=whole"))


@pytest.mark.parametrize("more", [["parallel=2"], ["fuse=true", "precision=fp64"]])
def test_every_way_to_train_goes_on_from_its_own_ends(words, more, capsys):
    words = [*words, *more, "seed=0,1"]
    short = swept(words, "keep_state=true")
    capsys.readouterr()
    long = swept(words, "epochs=4")
    said = capsys.readouterr().err
    assert said.count("going on from the end of run") == 1
    assert "\nepochs   2 runs go on from the end of a shorter run\n" in said
    assert [taken_over(*both) for both in zip(long, short, strict=True)] == [2, 2]
    for directory, whole in zip(long, swept(words, "epochs=4", "output_dir=whole"), strict=True):
        assert_same(directory, whole)


def test_part_of_a_larger_sweep_goes_on(words, capsys):
    """As in the worker of a launcher."""
    short = swept(words, "seed=0,1", "keep_state=true")
    jobs, options = experiments.sweep(experiments.lines(changed(words, "seed=0,1", "epochs=4"), multirun=True))
    long = [outcome.directory for outcome in execute(jobs, options, part=True)]
    assert [taken_over(*both) for both in zip(long, short, strict=True)] == [2, 2]


LASTING = ["early_stopping.patience=1", "lr=1e-9"]  # its second epoch is no better than the first


@pytest.mark.parametrize(
    ("more", "longer", "why"),
    [
        (["keep_state=false"], [], "did not keep its optimizer's state (keep_state=true does)"),
        (["schedule=cosine"], [], "had another lr in step 2 (schedule=cosine follows the number of epochs)"),
        (["decay.normalized=true", "lambda=0.1"], [], "had another λ in step 1 (its schedule follows the number of"),
        (LASTING, [], "was over by early_stopping.patience=1"),
        ([], ["fuse=true"], "trained alone, here it trains fused (fuse=false goes on from it)"),
        (["fuse=true"], ["fuse=false"], "trained fused, here it trains alone (fuse=true goes on from it)"),
    ],
)
def test_where_it_cannot_the_reason_is_said(words, more, longer, why, capsys):
    words = changed([*words, "keep_state=true"], *more)
    short = trained(words)
    capsys.readouterr()
    long = trained(words, "epochs=3", *longer)
    err = capsys.readouterr().err
    assert f"epochs   another run, from the first epoch: run {short.name[-8:]}, which had 2 epochs: {why}" in err
    assert taken_over(long, short) == 0


def test_a_warm_up_that_is_rounded_otherwise_is_said_as_that(words, capsys):
    words = [*words, "schedule.warmup=1"]
    short = trained(words, "epochs=3", "keep_state=true")
    assert taken_over(trained(words, "epochs=5"), short) == 0
    why = r"had another last bit of lr in step [2-8] \(schedule\.warmup is a share of all epochs\)"
    assert re.search(f"which had 3 epochs: {why}\n", capsys.readouterr().err)


def test_the_end_of_another_machine_is_no_part_of_it(words, monkeypatch, capsys):
    short, describe = trained(words, "keep_state=true"), devices.describe
    was = read_run(short)["instruction_set"]
    monkeypatch.setattr(devices, "describe", lambda machine: describe(machine) | {"instruction_set": "OTHER"})
    assert taken_over(trained(words, "epochs=3"), short) == 0
    said = f"which had 2 epochs: started with instruction_set={was}, here it is OTHER\n"
    assert said in capsys.readouterr().err


def test_a_run_of_other_threads_is_no_shorter_one(words, capsys):
    trained(words, "threads=1", "keep_state=true")
    trained(words, "threads=2", "epochs=3")
    assert "another run" not in capsys.readouterr().err


def test_in_a_sweep_the_reason_is_said_once_and_the_others_are_counted(words, capsys):
    words = changed(words, "schedule=cosine", "seed=0,1,2")
    swept(words)
    assert "another run" not in capsys.readouterr().err
    swept(words, "epochs=3")
    said = capsys.readouterr().err
    assert said.count("another run, from the first epoch: run ") == 1
    assert "\nepochs   3 runs begin with the first epoch, although shorter ones are there\n" in said


def test_the_end_of_other_code_is_no_part_of_it(words, tmp_path, monkeypatch, capsys):
    words = [*words, "keep_state=true", "model._target_=longer_net.Net"]
    trained(words)
    capsys.readouterr()
    monkeypatch.delitem(sys.modules, "longer_net")
    (tmp_path / "longer_net.py").write_text(LAYERS.replace("0.3", "0.25"))
    trained(words, "epochs=3")
    err = capsys.readouterr().err
    assert "which had 2 epochs: longer_net.py has changed\n" in err
    assert "epoch 1/3" in err


def values(change):
    """A kept end with other values."""

    def changed(content):
        tensors, values = checkpoint.decode(content)
        change(tensors, values)
        return checkpoint.encode(tensors, values)

    return changed


OTHER = {
    "damaged": (
        lambda content: content[:-1],
        r"its kept\.checkpoint is damaged \(its SHA-256 does not match: cut short or altered\)",
    ),
    "another run's": (values(lambda t, v: v.update(id="zzzzzzzz")), "holds the checkpoint of run zzzzzzzz"),
    "another epoch's": (values(lambda t, v: v["state"].update(epoch=1)), r"its kept\.checkpoint is of epoch 1"),
    "other data": (
        values(lambda t, v: v["made_with"].update(data_digest="0" * 64)),
        "started with data of SHA-256 0{64}, the same command gives [0-9a-f]{64} here",
    ),
    "other layers": (
        values(lambda t, v: t.update({"params/fc.weight": t["params/fc.weight"][:-1]})),
        r"begun with other layers \(fc\.weight has shape \(7, 3072\), in the model \(8, 3072\)\)",
    ),
    "no optimizer": (
        values(lambda t, v: [t.pop(name) for name in list(t) if name.startswith("optimizer/")]),
        r"its checkpoint lacks optimizer/\S+, so another version of wdrun wrote it",
    ),
    "two codes": (
        values(lambda t, v: v["made_with"].update(code=f"bbbbbbbb then {v['made_with']['code']}")),
        "was trained by more than one code \\(bbbbbbbb then [a-z]{8}\\)",
    ),
    "no code": (values(lambda t, v: v["made_with"].update(code="")), "its code was not noted"),
    "an earlier version's": (
        values(lambda t, v: [v.pop(name) for name in ("ways", "made_with")]),
        "trained as an earlier version did, here it trains alone",
    ),
    "two ways": (values(lambda t, v: v["ways"].append("fused")), "trained alone and fused, here it trains alone"),
}


@pytest.mark.parametrize("kind", OTHER)
def test_an_end_that_is_no_part_of_the_run_is_left_alone_and_said(words, kind, capsys):
    change, why = OTHER[kind]
    words = [*words, "model._target_=longer_net.Net"]
    short = trained(words, "keep_state=true")
    content = change((short / KEPT).read_bytes())
    (short / KEPT).write_bytes(content)
    capsys.readouterr()
    assert taken_over(trained(words, "epochs=3"), short) == 0
    said = capsys.readouterr().err
    assert re.search(f"from the first epoch: run {short.name[-8:]}, which had 2 epochs: {why}\n", said), said
    assert (short / KEPT).read_bytes() == content


def test_an_end_that_cannot_be_read_is_said(words, capsys):
    short = trained(words, "keep_state=true")
    (short / KEPT).unlink()
    (short / KEPT).mkdir()
    capsys.readouterr()
    trained(words, "epochs=3")
    assert f"which had 2 epochs: its {KEPT} cannot be read (Is a directory)\n" in capsys.readouterr().err


def test_of_an_end_that_is_gone_the_next_shorter_serves(words, capsys):
    one, two = (trained(words, f"epochs={epochs}", "keep_state=true") for epochs in (1, 2))
    (two / KEPT).unlink()
    assert taken_over(trained(words, "epochs=3"), one) == 1


def test_a_state_that_is_asked_for_too_late_is_said(words, capsys):
    first = trained(words)
    assert "without keep_state" not in capsys.readouterr().err
    assert trained(words, "keep_state=true") == first
    late = (
        f"warning: {first}: trained without keep_state=true, so the state of its end is gone; remove the folder to "
        "train it again and keep it"
    )
    assert f"already done: {first}\n{late}\n" in capsys.readouterr().err
    swept(words, "seed=0,1", "keep_state=true")
    assert f"{late}\n" in capsys.readouterr().err
    swept(words, "seed=0,1,2")
    swept(words, "seed=0,1,2", "keep_state=true")
    said = capsys.readouterr().err
    assert f"{late.replace(': trained', ' (and 1 more): trained')}\n" in said
    shutil.rmtree(first)
    trained(words, "keep_state=true")
    trained(words, "keep_state=true")
    assert "without keep_state" not in capsys.readouterr().err


class Killed(BaseException):
    """The process is gone: nothing handles this."""


def test_a_run_killed_before_its_state_has_its_name_keeps_it(words, monkeypatch, capsys):
    def dies(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "remove", dies)
        with pytest.raises(Killed):
            trained(words, "keep_state=true")
    short = trained(words, "keep_state=true")  # it is done
    assert "without keep_state" not in capsys.readouterr().err
    assert not (short / checkpoint.NAME).exists()
    assert taken_over(trained(words, "epochs=3"), short) == 2


def test_the_state_is_not_written_twice(words, monkeypatch):
    written, write = [], checkpoint.write_atomically
    monkeypatch.setattr(
        checkpoint, "write_atomically", lambda path, content: written.append(path) or write(path, content)
    )
    short = trained(words, "keep_state=true")
    assert [path.name for path in written] == [checkpoint.NAME] * 2  # one an epoch
    assert {path.name for path in short.iterdir()} >= {KEPT}
    assert {path.name for path in short.iterdir()}.isdisjoint({checkpoint.NAME, checkpoint.PREVIOUS})


BROKEN = {
    "a number": lambda path: path.write_text(path.read_text().replace(",2,", ",2.0,")),
    "no columns": lambda path: path.write_text("id,status\nx,done\n"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\n"),
    "unreadable": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("fuse", ["fuse=false", "fuse=true"])
def test_a_broken_neighbour_stops_no_run(words, kind, fuse, capsys):
    short = trained(words, "keep_state=true", "lambda=0")
    BROKEN[kind](short / "run.csv")
    assert len(swept(words, "lambda=0,0.1", "epochs=3", fuse)) == 2
    trained(words, "lambda=0.2", "epochs=3", fuse)  # which is compared with λ = 0 at its end
    assert "another run" not in capsys.readouterr().err


def test_a_run_of_a_sweep_looks_into_no_other(words, monkeypatch):
    """Else the time of a sweep grows as the square of its runs."""
    opened, true = [], io.open

    def noted(file, *arguments, **options):
        opened.append(os.fspath(file) if not isinstance(file, int) else "")
        return true(file, *arguments, **options)

    train = recording.Record.__init__

    def within(record, job, *arguments):
        before = len(opened)
        train(record, job, *arguments)
        others = [path for path in opened[before:] if path.endswith("run.csv") and job.directory.name not in path]
        assert others == []

    monkeypatch.setattr(io, "open", noted)
    monkeypatch.setattr(recording.Record, "__init__", within)
    swept(words, "lambda=0,0.1,0.2,0.3", "keep_state=true")
    assert any(path.endswith("run.csv") for path in opened)


def test_a_run_trained_again_keeps_no_end_of_before(words, tmp_path, capsys):
    words = [*words, "model._target_=longer_net.Net"]
    short = trained(words, "keep_state=true")
    (tmp_path / "longer_net.py").write_text(LAYERS.replace("0.3", "0.25"))
    sys.modules.pop("longer_net")
    assert trained(words, "on_change=retrain") == short
    assert not (short / "kept.checkpoint").exists()
    assert TEMPORARY.fullmatch(".kept.checkpoint.123.tmp")
