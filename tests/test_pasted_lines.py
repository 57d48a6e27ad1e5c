"""Every command line that wdrun prints anywhere is one that a POSIX shell takes as it stands, with the same meaning."""

import html
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import made_up, runs
from tests.runs import changed
from tests.selection import choices
from wdrun.cli import COMMANDS
from wdrun.config import experiments
from wdrun.tables.columns import TABLES, run_row
from wdrun.tables.write import render

WORDS = (*changed(runs.TINY, "epochs=1", "device=cpu", "output_dir='out put'"), "decay=quartic")
SCALES = """decay.scales=[["fc1.weight",2],["*",1]]"""
OWN = """
from dataclasses import dataclass
from wdrun.decay import Regularizer

@dataclass(frozen=True)
class Quartic(Regularizer):
    def each(self, w):
        return w**4
"""


@pytest.fixture
def told(wdrun, here, capsys, monkeypatch):
    """What each command of a way from a run to its report printed or wrote, of a decay in a folder with a blank."""
    monkeypatch.syspath_prepend(here)
    (here / "own_quartic.py").write_text(OWN)
    (here / "my conf" / "decay").mkdir(parents=True)
    yaml = "# Ω = Σw⁴\ndefaults: [_shared, _self_]\nname: quartic\n_target_: own_quartic.Quartic\nlambda: 0.5\n"
    (here / "my conf" / "decay" / "quartic.yaml").write_text(yaml)
    said = {}

    def tell(name, *words):
        code, out, err = wdrun(*words, capture=capsys)
        assert code == 0, err
        said[name] = out + err

    own = ("--config-dir", "my conf")
    tell("run", *own, *WORDS, SCALES, "lambda=0.25", "seed=7")
    tell("explain", "explain", *own, *WORDS, SCALES)
    tell("sweep", *own, "-m", *WORDS, SCALES, "lambda=0,0.5", "seed=0,1", "name=x")
    for command in ("select", "best", "report", "status"):
        tell(command, command, "out put/x")
    tell("other", "select", "out put/x", "metric=val_accuracy")
    page = re.sub(r"</?span>", "", Path("out put/x/report.html").read_text())
    said["page"] = html.unescape(re.sub(r"<[^>]+>", "\n", page))
    said["config"] = "".join(path.read_text() for path in Path("out put/x").glob("*/config.yaml"))
    return said


def lines(text):
    """The command lines in a text: to the end of the line, or of the quotation it stands in."""
    quoted = re.findall(r"`(wdrun [^`]+)`", text)
    rest = re.sub(r"`wdrun [^`]+`", "", text)
    return quoted + re.findall(r"(?<!\w)wdrun (?!report:)[^\n]+", rest)


def test_every_line_that_is_printed_can_be_pasted(told):
    found = {name: [shlex.split(line)[1:] for line in lines(text)] for name, text in told.items()}
    counts = {name: len(of) for name, of in found.items()}
    assert counts.pop("status") == 0
    assert all(counts.values()), counts
    for name, of in found.items():
        for words in of:
            if words[0] in COMMANDS:
                assert Path(words[1]) == Path("out put/x"), (name, words)
                continue
            assert "--config-dir=my conf" in words, (name, words)
            plain = [word for word in words if word not in ("-m", "--config-dir=my conf")]
            jobs = experiments.jobs(plain, "-m" in words, "my conf")
            assert {job.run.decay["name"] for job in jobs} <= {"quartic", "none"}, (name, words)
            if name != "run":  # its line is that of the run without decay
                assert [job.run.decay["scales"] for job in jobs] == len(jobs) * [[["fc1.weight", 2], ["*", 1]]]


def test_best_names_a_users_decay_and_gives_the_run(told, here):
    (words,) = (shlex.split(line)[1:] for line in lines(told["best"]) if line.startswith("wdrun decay"))
    assert words[0] == "decay=quartic"
    assert not [word for word in words if "_target_" in word]
    (job,) = experiments.jobs([*words[:-1], "seed=0", "output_dir='out put'", "name=x"], False, "my conf")
    assert (job.directory / "run.csv").is_file()  # the run of that id


def test_the_line_of_another_choice_asks_for_it_too(told):
    assert "`wdrun best 'out put/x' metric=val_accuracy`" in told["other"]


NASTY = "my results/a b's λ"
SMALL = (
    "data=cifar10",
    "data.root='/my data'",
    "model=mlp",
    "model.hidden=[8,8]",
    "epochs=1",
    "threads=1",
    "decay.scales=[['fc1*',1],['*',2]]",
)


@pytest.fixture
def nasty(here):
    """A folder of runs with a name that `name=` does not take: it was renamed by hand, and moved."""
    for seed in (0, 1):
        for lam, loss in ((0, 1.0), (0.1, 0.9)):
            words = (*SMALL, f"lambda={lam}", f"seed={seed}")
            scores = {f"{split}_loss": loss + seed / 10 for split in ("train", "val", "test")}
            summary = scores | {"status": "done", "epochs_done": 2, "val_accuracy": 0.5}
            run = choices.write(here / "outputs" / "default", *words, typed=words, **summary)
            for name, rows in made_up.tables(run_row(run, summary)).items():
                table = render([c.name for c in TABLES[name]], rows)
                (here / "outputs" / "default" / run.slug / f"{name}.csv").write_bytes(table)
    (here / NASTY).parent.mkdir()
    (here / "outputs" / "default").rename(here / NASTY)
    return here / NASTY


def pasted(line, shell, cwd, after=""):
    """The words that wdrun gets where a line is typed into a shell."""
    tools = cwd / "bin"
    tools.mkdir(exist_ok=True)
    program = tools / "wdrun"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m wdrun "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run([shell, "-c", line], capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


SHELLS = [name for name in ("bash", "dash", "zsh", "sh") if shutil.which(name)]


@pytest.mark.parametrize("shell", SHELLS)
def test_best_is_a_word_list_that_a_shell_takes_from_another_command(nasty, here, shell):
    """A list, quotes and a blank in its words; pasted, and with more words behind it."""
    best = f"wdrun best {shlex.quote(NASTY)} 2> /dev/null"
    line = pasted(best, shell, here).stdout.strip()
    assert "'model.hidden=[8,8]'" in line
    pasted_in = pasted(f"{line} seed=5 --cfg job", shell, here).stdout
    within = pasted(f"$({best}) seed=5 --cfg job", shell, here).stdout
    assert within == pasted_in
    assert "seed: 5" in within
    assert "root: /my data" in within
    assert "- - fc1*" in within
    assert pasted(f'eval "$({best}) seed=5 --cfg job"', shell, here).stdout == within


def test_a_quote_that_is_not_closed_is_said(wdrun, capsys):
    code, out, err = wdrun("'model.hidden=[8]", "lr=1", capture=capsys)
    assert (code, out, err) == (2, "", "wdrun: 'model.hidden=[8]: a quote is not closed\n")


def words_in(text):
    return [shlex.split(line)[1:] for line in lines(text)]


@pytest.mark.parametrize("way", ["from above", "from within", "from elsewhere"])
def test_a_renamed_folder_is_named_as_it_is_now(nasty, here, wdrun, capsys, monkeypatch, way):
    """Lines that train say no old name; those that read name the folder, wherever one stands."""
    folder = {"from above": Path(NASTY), "from within": Path(), "from elsewhere": nasty}[way]
    if way == "from within":
        monkeypatch.chdir(nasty)
    elif way == "from elsewhere":
        (here / "else").mkdir()
        monkeypatch.chdir(here / "else")
    said = ""
    for command in ("select", "best", "report"):
        code, out, err = wdrun(command, str(folder), capture=capsys)
        assert code == 0, err
        said += out + err
    page = re.sub(r"</?span>", "", (nasty / "report.html").read_text())
    said += html.unescape(re.sub(r"<[^>]+>", "\n", page))
    trained = 0
    for words in words_in(said):
        if words[0] in COMMANDS:
            assert Path(words[1]).resolve() == nasty, words
        elif any(word.startswith("seed=") for word in words):
            (name,) = {job.options.name for job in experiments.jobs([w for w in words if w != "-m"], True)}
            (root,) = {job.root.resolve() for job in experiments.jobs([w for w in words if w != "-m"], True)}
            assert name == "a_b_s__"  # as much of it as a name can hold
            assert root == nasty.parent / name
            trained += 1
    assert trained > 2


def test_a_folder_that_begins_with_a_dash_or_an_at_is_no_flag_and_no_file(here, wdrun, capsys):
    for name in ("-x", "@y"):
        choices.write(here / name, *SMALL, val_loss=1.0, val_accuracy=0.5)
        _, _, err = wdrun("select", f"./{name}", capture=capsys)
        (words,) = words_in("".join(part for part in err.splitlines(keepends=True) if "tables" in part))
        assert words == ["best", f"./{name}"]
        assert wdrun(*words, capture=capsys)[0] == 0
