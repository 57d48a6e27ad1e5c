"""A run begins with the tensors of a file to the last bit, or the file is refused in one line."""

import json
import os
import pickle
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch

import wdrun as package
from tests.runs import MLP, TINY, changed
from tests.runs import trainer as trainer_of
from wdrun.errors import ConfigError
from wdrun.sweep.weights_file import begun_with
from wdrun.tables.read import load
from wdrun.training.trainer import Trainer

knobs = Trainer.knobs

WORDS = changed(TINY, *MLP, "model.norm=batch")


def trainer(*words):
    return trainer_of(*changed(WORDS, *words))


@pytest.fixture
def state(here):
    """Weights of another seed, as float64 numbers that float32 does not have, in both kinds of file."""
    model = trainer("seed=7").model
    found = {name: w.double() + 1e-12 if w.is_floating_point() else w + 3 for name, w in model.state_dict().items()}
    safetensors.torch.save_file(found, here / "w.safetensors")
    torch.save(found, here / "w.pt")
    torch.save({"epoch": 3, "model": found}, here / "inside.pt")
    return found


def initial(trainer):
    tensors = trainer.initial().tensors
    return {n.partition("/")[2]: w for n, w in tensors.items() if n.startswith(("params/", "buffers/"))}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "inside.pt"])
@pytest.mark.parametrize("precision", ["fp64", "fp32"])
def test_a_run_begins_with_the_files_weights(state, name, precision):
    found = initial(trainer(f"init_from={name}", f"precision={precision}"))
    dtype = {"fp64": torch.float64, "fp32": torch.float32}[precision]
    assert found.keys() == state.keys()
    for key, w in found.items():
        assert torch.equal(w, state[key].to(dtype) if w.is_floating_point() else state[key]), key


def test_what_is_skipped_is_what_the_seed_draws(state):
    found, drawn = initial(trainer("init_from=w.pt", "init_skip=[fc2.*]")), initial(trainer())
    for key, w in found.items():
        assert torch.equal(w, drawn[key] if key.startswith("fc2.") else state[key].to(w.dtype)), key


def test_a_decay_towards_the_start_is_one_towards_the_files_weights(state):
    begun = trainer("init_from=w.pt", "decay=l2_init", "lambda=1")
    params = dict(begun.model.named_parameters())
    assert begun.rule.penalty(params, begun.decay_start, 1.0, 1.0).item() == 0


@pytest.mark.parametrize(
    "name", ["NotSaved", "ExtraState", "FourierFilter", "Tied", "Shared", "Frozen", "WeightNorm", "Momentum"]
)
@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_run_begins_with_another_runs_weights_and_with_its_state_dict(here, name, precision):
    words = changed(TINY, f"model._target_=tests.training.networks.{name}", f"precision={precision}", "epochs=1")
    first = package.run(*words, "name=first", quiet=True)
    torch.save(first.state_dict(), here / "s.pt")
    last = safetensors.torch.load_file(first.directory / "last.safetensors")
    begun, plain = (initial(trainer_of(*words, "seed=1", f"init_from={p}")) for p in (first.directory, "s.pt"))
    assert begun.keys() == last.keys()
    for key, w in last.items():
        assert torch.equal(begun[key], w), key
        if name != "NotSaved" or key != "centre":
            assert torch.equal(plain[key], w), key


@pytest.mark.parametrize("bad", [{"_extra_state": {"total": 1}}, {"_extra_state": torch.ones(1)}])
def test_extra_state_that_the_model_does_not_take_is_told(here, bad):
    words = changed(TINY, "model._target_=tests.training.networks.ExtraState")
    torch.save(trainer_of(*words).model.state_dict() | bad, here / "s.pt")
    with pytest.raises(ConfigError, match=r"^init_from=s\.pt: its extra state does not fit: [A-Z]"):
        trainer_of(*words, "init_from=s.pt")


def test_each_run_of_a_sweep_begins_so_however_it_trains(state, wdrun, capsys):
    words = changed(WORDS, "model.norm=none", "model.hidden=[4]", "precision=fp64", "epochs=1")
    assert wdrun(*words, "name=first", capture=capsys)[0] == 0
    (first,) = load([Path("outputs/first")]).runs["dir"]
    scores = []
    for number, more in enumerate([["fuse=false"], ["fuse=true"], ["fuse=false", "parallel=2"]]):
        line = ["-m", *changed(words, *more), "seed=1,2", f"name=s{number}", f"init_from={first}"]
        code, _, err = wdrun(*line, capture=capsys)
        assert (code, "Traceback" in err) == (0, False), err
        scores.append(load([Path(f"outputs/s{number}")]).runs["val_loss"].tolist())
    assert scores[0] == pytest.approx(scores[1], abs=1e-12)
    assert scores[0] == scores[2]


def test_a_finished_run_says_what_it_began_with_and_is_measured_later(state, wdrun, capsys, here):
    words = changed(WORDS, "epochs=1")
    code, _, err = wdrun(*words, "init_from=w.pt", capture=capsys)
    run = load([Path("outputs/default")]).runs.iloc[0]
    said = f"start    the weights of w.pt (init_digest={run['init_digest']}); optimizer and schedule begin anew\n"
    assert (code, said in err) == (0, True)
    assert (run["init_from"], len(run["init_digest"])) == ("w.pt", 12)
    (here / "w.pt").rename(here / "moved.pt")
    assert "already done" in wdrun(*words, "init_from=moved.pt", capture=capsys)[2]
    assert wdrun("best", "outputs/default", capture=capsys)[1].endswith(
        f"init_from=w.pt init_digest={run['init_digest']}\n"
    )


def test_a_run_from_other_weights_is_no_run_without_decay_to_compare_with(state, wdrun, capsys):
    words = changed(WORDS, "epochs=1")
    assert wdrun(*words, "lambda=0", "init_from=w.pt", capture=capsys)[0] == 0
    _, _, err = wdrun(*words, "lambda=0.1", capture=capsys)
    assert "what it bought: compare with" in err
    _, _, err = wdrun(*words, "lambda=0.1", "init_from=w.safetensors", capture=capsys)
    assert "what it bought: compare with" in err
    _, _, err = wdrun(*words, "lambda=0.1", "init_from=w.pt", capture=capsys)
    assert "what it bought: compare with" not in err


@pytest.mark.parametrize(("words", "message"), [
    ([], "init_from=w.pt: is not of this model: it lacks norm1.bias; it has besides extra; it has otherwise fc1.weight "
         "(8×3071, here 8×3072); init_skip=[GLOB,…] leaves tensors out, as a head's"),
    (["init_skip=[fc1.weight,extra,nothing*]"], "init_skip=nothing*: matches no tensor; the model has fc1.weight, "
     "fc1.bias, norm1.weight, norm1.bias, norm1.running_mean, norm1.running_var, norm1.num_batches_tracked "
     "and 2 more"),
])  # fmt: skip
def test_what_does_not_fit_is_named(state, here, words, message):
    bad = {name: w for name, w in state.items() if name not in ("norm1.bias", "norm1.num_batches_tracked")}
    torch.save(bad | {"fc1.weight": bad["fc1.weight"][:, 1:], "extra": torch.zeros(1)}, here / "w.pt")
    with pytest.raises(ConfigError) as caught:
        trainer("init_from=w.pt", *words)
    assert str(caught.value) == message


def test_the_rest_fits_where_what_does_not_is_skipped(state, here):
    bad = {name: w for name, w in state.items() if name != "norm1.num_batches_tracked"}
    torch.save(bad | {"fc1.weight": bad["fc1.weight"][:, 1:], "extra": torch.zeros(1)}, here / "w.pt")
    found = initial(trainer("init_from=w.pt", "init_skip=[fc1.weight,extra]"))
    assert torch.equal(found["fc2.weight"], state["fc2.weight"].float())


class Evil:
    def __reduce__(self):
        return open, ("ran", "w")


@pytest.mark.parametrize(("content", "why"), [
    (b"", "must be .safetensors, or tensors and names alone as torch.save wrote them"),
    (b"<html>", "must be .safetensors, or tensors and names alone as torch.save wrote them"),
    (pickle.dumps(Evil()), "must be .safetensors, or tensors and names alone as torch.save wrote them"),
    ([1, 2], "must hold a state dict, names of tensors and nothing else"),
    ({}, "must hold a state dict, names of tensors and nothing else"),
    ({"lr": 0.1}, "must hold a state dict, names of tensors and nothing else"),
    (Evil(), "must be .safetensors, or tensors and names alone as torch.save wrote them"),
])  # fmt: skip
def test_another_file_is_refused_and_runs_nothing(here, content, why):
    if isinstance(content, bytes):
        (here / "x.pt").write_bytes(content)
    else:
        torch.save(content, here / "x.pt")
    with pytest.raises(ConfigError) as caught:
        trainer("init_from=x.pt")
    assert str(caught.value) == f"init_from=x.pt: {why}"
    assert not (here / "ran").exists()


def test_a_file_that_changed_under_the_run_is_told(state, here):
    begun = trainer("init_from=w.pt").run
    torch.save({name: w + 1 for name, w in state.items()}, here / "w.pt")
    with pytest.raises(
        ConfigError, match=r"^init_from=w\.pt: has other content than the run begins with: init_digest="
    ):
        begun_with(begun)
    (here / "w.pt").unlink()
    with pytest.raises(ConfigError, match=r"^init_from=w\.pt: cannot be read \(No such file or directory\)$"):
        begun_with(begun)


def test_a_file_that_changed_since_the_same_command_is_told(state, wdrun, capsys, here):
    command = [*WORDS, "init_from=w.safetensors"]
    code, out, err = wdrun(*command, "--json", capture=capsys)
    assert (code, "another run" in err) == (0, False)
    was = load([Path("outputs/default")]).runs["init_digest"].item()
    first = json.loads(out)["id"]
    safetensors.torch.save_file({name: w + 1 for name, w in state.items()}, here / "w.safetensors")
    code, out, err = wdrun(*command, capture=capsys)
    said = f"w.safetensors had other content, or was another file, when run {first} began with it (init_digest={was})\n"
    assert (code, said in err, json.loads(out)["id"] == first) == (0, True, False), err
    assert "another run" not in wdrun(*command, "seed=1", capture=capsys)[2]  # no run of that seed is there


def test_in_a_sweep_a_changed_file_is_told_once_and_counted(state, wdrun, capsys, here):
    sweep = ["-m", *WORDS, "init_from=w.safetensors"]
    assert "another run" not in wdrun(*sweep, "seed=0,1", capture=capsys)[2]
    safetensors.torch.save_file({name: w + 1 for name, w in state.items()}, here / "w.safetensors")
    code, _, err = wdrun(*sweep, "seed=0,1,2", capture=capsys)
    assert (code, err.count("another run: w.safetensors had other content")) == (0, 1)
    assert "\nstart    2 runs begin with other content of init_from than runs that are there\n" in err


def test_a_changed_file_is_told_where_the_other_run_was_interrupted(state, wdrun, capsys, here, monkeypatch):
    command = [*WORDS, "init_from=w.safetensors"]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "knobs", lambda trainer, t: os.kill(os.getpid(), signal.SIGTERM) or knobs(trainer, t))
        assert wdrun(*command, capture=capsys)[0] == 143
    safetensors.torch.save_file({name: w + 1 for name, w in state.items()}, here / "w.safetensors")
    assert "start    another run: w.safetensors had other content" in wdrun(*command, capture=capsys)[2]


@pytest.mark.parametrize(("words", "code"), [(["decay=l2", "lambda=0.1"], 0), (["decay=l2_init", "lambda=0.1"], 1)])
def test_a_run_is_measured_without_the_file_that_it_began_with(state, wdrun, capsys, here, words, code):
    """Unless its penalty is the distance from there."""
    assert wdrun(*changed(WORDS, "epochs=1", "init_from=w.pt", *words), capture=capsys)[0] == 0
    (here / "w.pt").unlink()
    ended, out, err = wdrun("evaluate", "outputs/default", "evaluate=calibration", capture=capsys)
    assert (ended, "init_from=w.pt: cannot be read" in err) == (code, code == 1)
    metrics = load([Path("outputs/default")]).metrics.set_index("split")["objective"]
    found = {row["split"]: row["objective"] for row in map(json.loads, out.splitlines())}
    assert {split: metrics[split] for split in ("val", "test")}.items() <= found.items() or code == 1
