"""The user's own code belongs to the run: what counts as it, and what a command does once it has changed."""

import errno
import importlib
import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

import wdrun as package
from tests import runs
from tests.runs import TINY, changed
from wdrun.config import experiments
from wdrun.errors import BusyError, ConfigError, StorageError
from wdrun.storage import hold
from wdrun.sweep import on_change, own_code, recording
from wdrun.sweep.one_run import ready
from wdrun.sweep.recording import Record
from wdrun.tables.read import load, read_run
from wdrun.terminal.progress import Watch

NET = """
from torch import nn
from own_layers import WIDTH

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3072, WIDTH), nn.ReLU(), nn.Linear(WIDTH, classes))
    def forward(self, x):
        return self.body(x)
"""
WORDS = changed(TINY, "fuse=false", "model._target_=own_net.Net")
GONE = ("own_net", "own_layers", "own_pack", "own_decay")


@pytest.fixture
def write(here, monkeypatch):
    """Write a file into the current folder; this process then imports all of them anew, as a new one would."""
    monkeypatch.setattr(sys, "path", [str(here), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def forget():
        for name in [name for name in sys.modules if name.partition(".")[0] in GONE]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def call(**texts):
        for name, text in texts.items():
            path = here / f"{name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        forget()

    forget()
    yield call
    forget()


@pytest.fixture
def net(write):
    """A model whose width is in another file; edits that file."""
    write(own_net=NET, own_layers="WIDTH = 2\n")
    return lambda text="WIDTH = 3\n": write(own_layers=text)


def of(*words):
    return own_code.of(runs.run(*words))


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


# What counts


def test_our_own_models_and_decays_have_no_code_of_the_users(here):
    assert (of("decay=cpr").digest, of("decay=chain").modules) == ("", {})


def test_what_a_class_imports_counts_and_nothing_else_does(write):
    pack = {
        "__init__": "from own_layers import A\n",
        "net": "import math\nimport torch, numpy as np\nimport wdrun.decay\nfrom . import parts\n\n"
        "def late():\n    from .late import x\n",
        "parts": "from own_pack import net\n", "late": "x = 1\n", "other": "y = 1\n",
    }  # fmt: skip
    write(
        own_layers="A = 1\n", own_decay="import nothing_of_that_name\n", **{f"own_pack/{n}": t for n, t in pack.items()}
    )
    found = of("model._target_=own_pack.net.Net", "decay._target_=own_decay.Own").modules
    assert [*found] == ["own_decay", "own_layers", "own_pack", "own_pack.late", "own_pack.net", "own_pack.parts"]


def test_a_term_of_a_chain_counts(write):
    write(own_decay="x = 1\n")
    words = "decay.terms=[{decay:l2},{decay:chain,terms:[{decay:l1,_target_:own_decay.Own}]}]"
    assert [*of("decay=chain", words).modules] == ["own_decay"]


@pytest.mark.parametrize(("text", "same"), [
    ("x = 1  # one\n\n# more\ny = '''a\n\nb'''\n", True),
    ("\n\nx = 1\ny = '''a\n\nb'''", True),
    ("x = 1\r\ny = '''a\r\n\r\nb'''\r\n", True),
    ("x = 1\ny = '''a\nb'''\n", False),
    ("x = 1\ny = '''a\n\nb # c'''\n", False),
    ("if True:\n    x = 1\n", False),
    ("x = 1.0\ny = '''a\n\nb'''\n", False),
])  # fmt: skip
def test_comments_and_blank_lines_do_not_count(write, text, same):
    write(own_net="x = 1\ny = '''a\n\nb'''\n")
    before = of("model._target_=own_net.Net").digest
    write(own_net=text)
    assert (of("model._target_=own_net.Net").digest == before) is same


def test_what_is_no_python_counts_as_it_is(write, here):
    (here / "own_net.py").write_bytes(b"\xff = (")
    before = of("model._target_=own_net.Net").digest
    (here / "own_net.py").write_bytes(b"\xfe = (")
    assert len({before, of("model._target_=own_net.Net").digest, ""}) == 3


def test_the_code_is_the_same_in_another_folder(write, here, tmp_path_factory, monkeypatch):
    write(own_net=NET, own_layers="WIDTH = 2\n")
    before = of("model._target_=own_net.Net")
    other = tmp_path_factory.mktemp("other")
    for name in ("own_net", "own_layers"):
        (here / f"{name}.py").rename(other / f"{name}.py")
    monkeypatch.setattr(sys, "path", [str(other), *sys.path])
    monkeypatch.chdir(other)
    assert own_code.of(runs.run("model._target_=own_net.Net")) == before


def test_of_an_installed_class_the_version_counts(here):
    found = of("model._target_=torchvision.models.resnet18")
    assert found.modules == {"torchvision": metadata.version("torchvision")}


# What a command does


def test_the_same_code_is_skipped_and_noted(net, wdrun, capsys):
    assert wdrun(*WORDS, capture=capsys)[0] == 0
    (row,) = load([Path("outputs/default")]).runs.to_dict("records")
    directory = Path(row["dir"]).absolute()
    assert row["code"] == own_code.of(runs.run(*WORDS)).digest
    assert [*json.loads((directory / "code.json").read_text())] == ["own_layers", "own_net"]
    before = files(directory)
    net("WIDTH = 2  # two\n")
    code, out, err = wdrun(*WORDS, capture=capsys)
    assert (code, json.loads(out)["status"], f"already done: {directory}\n" in err) == (0, "done", True)
    assert files(directory) == before


def test_a_finished_run_of_other_code_is_refused_kept_or_trained_again(net, wdrun, capsys, here):
    _, out, _ = wdrun(*WORDS, capture=capsys)
    (directory,) = (here / "outputs" / "default").glob("Net-*")
    (directory / "mine.txt").write_text("notes")
    (directory / "evaluation.csv").write_text("of the old weights")
    first, before = json.loads(out), files(directory)
    net()
    code, out, err = wdrun(*WORDS, capture=capsys)
    assert (code, out) == (4, ""), err
    assert err == (
        f"imports own_net.Net (as model)\nwdrun: {directory}: own_layers.py has changed since it was trained; "
        "on_change=retrain trains it again, on_change=keep takes it as it is, another name= keeps both\n"
    )
    assert files(directory) == before
    code, out, err = wdrun(*WORDS, "on_change=keep", capture=capsys)
    assert (code, json.loads(out)) == (0, first)
    assert (
        f"keeping  {directory.name}, although own_layers.py has changed since; on_change=retrain trains again\n" in err
    )
    assert files(directory) == before
    code, out, err = wdrun(*WORDS, "on_change=retrain", capture=capsys)
    assert (code, f"again    {directory.name}, from the first epoch: own_layers.py has changed since\n" in err) == (
        0,
        True,
    )
    assert json.loads(out)["val_loss"] != first["val_loss"]
    assert "on_change" not in (directory / ".hydra" / "overrides.yaml").read_text()
    again = files(directory)
    assert again.keys() == before.keys() - {"evaluation.csv"}
    assert again["mine.txt"] == b"notes"
    assert wdrun(*WORDS, "name=fresh", capture=capsys)[0] == 0
    (fresh,) = (here / "outputs" / "fresh").glob("Net-*")
    for name in ("run.csv", "metrics.csv", "layers.csv", "last.safetensors", "code.json"):
        assert again[name] == (fresh / name).read_bytes()
    assert wdrun(*WORDS, capture=capsys)[0] == 0


@pytest.mark.parametrize("more", [[], ["parallel=2"], ["fuse=true"], ["hydra/launcher=basic"]])
def test_a_sweep_is_refused_before_any_run_of_it_trains(net, wdrun, capsys, more, here):
    assert wdrun("-m", *WORDS, "seed=0,1", capture=capsys)[0] == 0
    net()
    code, out, err = wdrun("-m", *changed(WORDS, *more, "seed=0,1,2"), capture=capsys)
    assert (code, out) == (4, ""), err
    assert (
        " (and 1 run more): own_layers.py has changed since it was trained; on_change=retrain trains them again" in err
    )
    assert len([*(here / "outputs" / "default").glob("Net-*")]) == 2
    code, out, err = wdrun("-m", *changed(WORDS, *more, "seed=0,1,2"), "on_change=retrain", capture=capsys)
    assert (code, len(out.splitlines())) == (0, 3)
    assert "again    2 runs, from the first epoch: own_layers.py has changed since\n" in err
    found = load([Path("outputs/default")])
    assert (found.problems, found.runs["code"].nunique(), found.runs["parameters"].unique().tolist()) == ((), 1, [9259])


def interrupted(*words):
    """A run that was interrupted after its first epoch."""
    (job,) = experiments.jobs(changed(WORDS, *words), False)
    trainer = ready(job.run)
    with hold(job.directory):
        record = Record(job, trainer, Watch())
        record.take(next(trainer.train()))
        record.interrupted()
        record.close()
    return job.directory


def test_a_run_begun_with_other_layers_is_refused_whatever_is_chosen_but_to_train_again(net, wdrun, capsys):
    directory = interrupted()
    net()
    code, _, err = wdrun(*WORDS, capture=capsys)
    assert (code, f"{directory}: own_layers.py has changed since it was begun; on_change=retrain" in err) == (4, True)
    code, _, err = wdrun(*WORDS, "on_change=keep", capture=capsys)
    assert code == 4
    assert (
        f"busy: {directory}: begun with other layers (body.1.weight has shape (2, 3072), in the model (3, 3072)); "
        "put the model back to what it was, or on_change=retrain begins again\n"
    ) in err
    assert wdrun(*WORDS, "on_change=retrain", capture=capsys)[0] == 0
    assert read_run(directory)["parameters"] == "9259"


def test_a_run_begun_with_other_code_goes_on_where_that_is_chosen(net, write, wdrun, capsys):
    directory = interrupted()
    was = read_run(directory)["code"]
    write(own_net=NET.replace("ReLU", "Tanh"))
    code, _, err = wdrun(*WORDS, "on_change=keep", capture=capsys)
    assert (code, "warning: own_net.py has changed since it was begun: the epochs to come" in err) == (0, True)
    row = read_run(directory)
    assert (row["status"], row["code"]) == ("done", f"{was} then {own_code.of(runs.run(*WORDS)).digest}")
    assert wdrun(*WORDS, capture=capsys)[0] == 0  # its last code is this one


def test_a_failed_run_with_a_checkpoint_of_other_code_is_held_to_the_same(net, wdrun, capsys):
    """Its row does not tell of the code, its checkpoint does."""
    directory = interrupted()
    row = read_run(directory)
    text = (directory / "run.csv").read_text().replace(row["code"], "").replace("interrupted", "failed")
    (directory / "run.csv").write_text(text)
    net()
    assert wdrun(*WORDS, capture=capsys)[0] == 4
    code, _, err = wdrun(*WORDS, "on_change=retrain", capture=capsys)
    said = "own_layers.py has changed since it was begun: training starts again from the first epoch"
    assert (code, said in err) == (0, True)
    assert read_run(directory)["parameters"] == "9259"


def test_what_an_earlier_version_trained_is_taken_as_it_is(net, wdrun, capsys):
    assert wdrun(*WORDS, capture=capsys)[0] == 0
    directory = experiments.jobs(WORDS, False)[0].directory
    lines = [line.rpartition(",")[0] for line in (directory / "run.csv").read_text().splitlines()]
    (directory / "run.csv").write_text("\n".join([*lines, ""]))
    net()
    code, _, err = wdrun(*WORDS, capture=capsys)
    assert (code, "already done" in err) == (0, True)


def test_in_python_the_old_code_that_is_still_imported_is_told(net, here):
    words = [*WORDS]
    before = package.run(*words, quiet=True)
    (here / "own_layers.py").write_text("WIDTH = 3\n")
    with pytest.raises(ConfigError) as caught:
        package.run(*words, quiet=True)
    assert str(caught.value) == (
        "own_layers.py: has changed since this process imported it, which still has the old code; start Python anew, "
        "or importlib.reload(own_layers)"
    )
    importlib.reload(sys.modules["own_layers"])
    importlib.reload(sys.modules["own_net"])
    with pytest.raises(BusyError, match=r"own_layers\.py has changed since it was trained; on_change=retrain"):
        package.run(*words, quiet=True)
    again = package.run(*words, on_change="retrain", quiet=True)
    assert (before.run["parameters"].item(), again.run["parameters"].item()) == (6176, 9259)


def test_code_that_was_edited_between_its_import_and_the_first_run_is_told(net, here, monkeypatch):
    """As in a notebook that imports the class, to look at it, before it trains it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    importlib.import_module("own_net")
    (here / "own_layers.py").write_text("WIDTH = 3  # instead of 2\n")
    with pytest.raises(ConfigError, match=r"^own_layers\.py: has changed since this process imported it, which still"):
        package.run(*WORDS, quiet=True)
    assert not (here / "outputs").exists()
    importlib.reload(sys.modules["own_layers"])
    importlib.reload(sys.modules["own_net"])
    assert package.run(*WORDS, quiet=True).run["parameters"].item() == 9259


def test_code_that_is_imported_no_longer_is_not_old(net, here):
    """Whoever took all of it out of sys.modules gets the new code; who took a part, the old one."""
    ready(runs.run(*WORDS))
    net()
    assert own_code.stale(runs.run(*WORDS)) == ""
    importlib.import_module("own_net")
    of(*WORDS)
    (here / "own_layers.py").write_text("WIDTH = 4  # and more\n")
    del sys.modules["own_layers"]
    assert own_code.stale(runs.run(*WORDS)) == "own_layers"


def test_each_class_is_imported_by_itself(net, write, here):
    """A model that is imported no longer is not old because a decay still is, and the other way round."""
    write(own_decay="class Own:\n    pass\n")
    words = changed(WORDS, "decay._target_=own_decay.Own")
    for name in ("own_net", "own_decay"):
        importlib.import_module(name)
    of(*words)
    (here / "own_layers.py").write_text("WIDTH = 3  # instead of 2\n")
    for name in ("own_net", "own_layers"):
        del sys.modules[name]
    assert own_code.stale(runs.run(*words)) == ""
    (here / "own_decay.py").write_text("class Own:\n    x = 1\n")
    assert own_code.stale(runs.run(*words)) == "own_decay"
    del sys.modules["own_decay"]
    importlib.import_module("own_net")
    assert own_code.stale(runs.run(*words)) == ""


def test_a_module_that_was_imported_as_it_is_counts_as_it_is(net, here, monkeypatch):
    before = of(*WORDS)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    net("WIDTH = 2\n")
    importlib.import_module("own_net")
    assert (of(*WORDS), own_code.stale(runs.run(*WORDS))) == (before, "")


def test_a_module_of_other_code_is_told(net, here, capsys):
    result = package.run(*WORDS, quiet=True)
    capsys.readouterr()
    assert result.module() is not None
    assert capsys.readouterr().err == ""
    since = "own_layers.py has changed since it was trained"
    net("WIDTH = 1 + 1\n")
    assert result.module() is not None
    warning = f"warning: {result.directory}: {since}; its module is built by the code as it is now\n"
    assert capsys.readouterr().err.endswith(warning)
    net("WIDTH = 3\n")
    with pytest.raises(ValueError, match=rf"has shape \(2, 3072\), in the model \(3, 3072\); {since}$"):
        result.module()


def test_two_commands_that_train_again_do_it_once(net, here, monkeypatch):
    """The other one trains between the look at a folder and its hold."""
    package.run(*WORDS, quiet=True)
    net()
    (job,) = experiments.jobs([*WORDS, "on_change=retrain"], False)
    ready(job.run)  # which imports the new code
    before, other = on_change.hold, []

    def late(directory):
        if not other:
            other.append(directory)
            package.run(*WORDS, on_change="retrain", quiet=True)
        return before(directory)

    monkeypatch.setattr(on_change, "hold", late)
    on_change.decide([job])
    assert (other, read_run(job.directory)["status"]) == ([job.directory], "done")


def test_a_folder_that_cannot_be_emptied_is_named(net, here, monkeypatch):
    package.run(*WORDS, quiet=True)
    net()
    (job,) = experiments.jobs([*WORDS, "on_change=retrain"], False)
    ready(job.run)

    def broken(directory):
        raise OSError(errno.EIO, "Input/output error")  # of a folder's fsync, which names no file

    monkeypatch.setattr(on_change, "discard", broken)
    with pytest.raises(StorageError, match=rf"^{job.directory}: Input/output error"):
        on_change.decide([job])


def test_a_run_that_had_ended_keeps_the_code_that_trained_it(net, wdrun, capsys, monkeypatch):
    """It was killed between its last checkpoint and its last table."""
    monkeypatch.setattr(recording, "FOLLOW_SECONDS", 0.0)  # a run as short as this has no last checkpoint
    (job,) = experiments.jobs([*WORDS, "on_change=keep"], False)
    trainer = ready(job.run)
    with hold(job.directory):
        record = Record(job, trainer, Watch())
        for epoch in trainer.train():
            record.take(epoch)
        record.close()
    code, noted = read_run(job.directory)["code"], (job.directory / "code.json").read_bytes()
    net("WIDTH = 1 + 1\n")
    assert wdrun(*WORDS, "on_change=keep", capture=capsys)[0] == 0
    row = read_run(job.directory)
    assert (row["status"], row["code"], (job.directory / "code.json").read_bytes()) == ("done", code, noted)


@pytest.mark.parametrize("more", [[], ["hydra/launcher=basic"]])
def test_a_question_takes_no_runs_of_other_code_for_evidence(net, wdrun, capsys, here, more):
    words = changed(WORDS, "decay=l2", "lambda=interval(0.01,1)")
    assert wdrun("tune", *words, "runs=2", capture=capsys)[0] == 0
    folders = sorted((here / "outputs" / "default").glob("Net-*"))
    assert len(folders) == 2
    before = {folder: files(folder) for folder in folders}
    said = "own_layers.py has changed since"
    net()
    code, out, err = wdrun("tune", *words, *more, "runs=5", capture=capsys)
    assert (code, out) == (4, ""), err
    assert f" (and 1 run more): {said} it was trained; on_change=retrain trains them again" in err
    code, out, err = wdrun("tune", *words, *more, "runs=2", "on_change=keep", capture=capsys)
    assert (code, err.count(f"keeping  2 runs, although {said}; on_change=retrain")) == (0, 1)
    assert {folder: files(folder) for folder in folders} == before
    code, out, err = wdrun("tune", *words, *more, "runs=2", "on_change=retrain", capture=capsys)
    assert (code, len(out.splitlines()), f"again    2 runs, from the first epoch: {said}\n" in err) == (0, 3, True)
    found = load([Path("outputs/default")]).runs
    assert found["parameters"].tolist() == [9259] * 2
    code, out, err = wdrun("tune", *words, *more, "runs=4", capture=capsys)
    assert (code, said in err) == (0, False)


def test_a_measurement_with_other_code_is_told(net, wdrun, capsys):
    assert wdrun(*WORDS, capture=capsys)[0] == 0
    directory = experiments.jobs(WORDS, False)[0].directory
    net("WIDTH = 1 + 1\n")
    code, _, err = wdrun("evaluate", "outputs/default", "evaluate=calibration", capture=capsys)
    warning = "own_layers.py has changed since it was trained; it is measured with the code as it is now\n"
    assert (code, f"warning: {directory}: {warning}" in err.replace("outputs/", f"{directory.parents[1]}/")) == (
        0,
        True,
    )


def test_a_choice_between_runs_of_two_codes_says_so(net, wdrun, capsys):
    assert wdrun("-m", *WORDS, "seed=0,1", capture=capsys)[0] == 0
    assert "own code" not in wdrun("select", "outputs/default", capture=capsys)[2]
    net("WIDTH = 1 + 1\n")
    assert wdrun("-m", *WORDS, "seed=1,2", "on_change=keep", capture=capsys)[0] == 0
    _, out, err = wdrun("select", "outputs/default", capture=capsys)
    said = "the 3 runs compared were not all made alike: they differ in own code, from which any differences may come"
    assert said in out + err
    assert load([Path("outputs/default")]).runs["code"].nunique() == 2
    assert "code=" not in out + err  # it is no knob that is compared


def test_two_classes_of_two_files_are_no_change(net, write, wdrun, capsys):
    write(own_decay=NET.replace("Net(", "Other("))
    words = changed(WORDS, "model._target_=own_net.Net,own_decay.Other")
    assert wdrun("-m", *words, capture=capsys)[0] == 0
    _, out, err = wdrun("select", "outputs/default", capture=capsys)
    assert "own code" not in out + err
