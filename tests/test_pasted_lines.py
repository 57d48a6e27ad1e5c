"""Every command line that wdrun prints anywhere is one that a POSIX shell takes as it stands, with the same meaning."""

import html
import re
import shlex
from pathlib import Path

import pytest

from tests import runs
from tests.runs import changed
from wdrun.cli import COMMANDS
from wdrun.config import experiments

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
