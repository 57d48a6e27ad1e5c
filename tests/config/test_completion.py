"""What a shell completes, asked as it asks: commands, folders, settings, knobs of runs, options of the user's own."""

import os
import subprocess
import sys

import pytest

from tests.hazards.durable import child
from wdrun import cli
from wdrun.config import commands


@pytest.fixture
def completions(here, tmp_path_factory):
    """What is offered at the end of a line, in a folder with results, the user's own options and odd names.

    Each line is asked in a process of its own, as a shell asks; what that says on stderr would be among the words.
    """
    said = tmp_path_factory.mktemp("said") / "words"
    (here / "outputs" / "mine").mkdir(parents=True)
    (here / "outputs" / "mine" / "runs.csv").write_text("id,lambda,name\nx,0.0,a b\ny,0.01,$(touch hit)\n")
    (here / "outputs" / "notes.txt").write_text("")
    (here / "outs $(touch hit)").mkdir()
    (here / "own" / "decay").mkdir(parents=True)
    (here / "own" / "decay" / "quartic.yaml").write_text("name: quartic\n_target_: mine.Quartic\nlambda: 1\n")

    def offered(line, kind="bash"):
        def answer():
            os.environ |= {"COMP_LINE": line, "COMP_POINT": str(len(line))}
            cli.main(["-sc", f"query={kind}"])

        assert child(answer, said) == 0, said.read_text()
        return said.read_text().split()

    return offered


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("wdrun sel", ["select"]),
        ("wdrun select outp", ["outputs/"]),
        ("wdrun select out", ["out=", "outputs/"]),  # a name that a shell would expand is the shell's own to complete
        ("wdrun status outputs/", ["outputs/mine/"]),
        ("wdrun report outputs/mine/r", ["outputs/mine/runs.csv"]),
        ("wdrun select outputs/mine la", ["lambda="]),
        ("wdrun status outputs/mine lambda=", ["lambda=0.0", "lambda=0.01"]),
        ("wdrun status outputs/mine lambda=0.01,0.0", ["lambda=0.01,0.0", "lambda=0.01,0.01"]),
        ("wdrun best outputs/mine name=", []),
        ("wdrun best outputs/mine rule=", ["rule=min", "rule=1se"]),
        ("wdrun status --", ["--config-dir", "--help", "--json"]),
        ("wdrun select --j", []),
        ("wdrun --j", ["--json"]),
        ("wdrun --cfg ", ["job"]),
        ("wdrun data=folder data.root=out", ["data.root=outputs/"]),
        ("wdrun explain init_from=outputs/", ["init_from=outputs/mine/", "init_from=outputs/notes.txt"]),
        ("wdrun explain decay=qu", []),
        ("wdrun explain decay=_", []),
        ("wdrun --config-dir own verify de", ["decay="]),
        ("wdrun --config-dir own verify decay=qu", ["decay=quartic"]),
        ("wdrun --config-dir=own explain decay=qu", ["decay=quartic"]),
        ("wdrun -m --config-dir own lr=1 decay=qu", ["decay=quartic"]),
        ("wdrun -m hydra/launcher=wd", ["hydra/launcher=wdrun"]),
    ],
)
def test_what_is_offered(completions, here, line, found):
    assert completions(line) == found
    assert completions(line, "fish") == found
    assert not (here / "hit").exists()


def test_every_command_is_completed(completions):
    assert {word for word in completions("wdrun ") if "=" not in word} >= set(commands.COMMANDS)
    for name, command in commands.COMMANDS.items():
        settings = {f"{setting.key}=" for setting in command.settings}
        assert settings <= set(completions(f"wdrun {name} ")), name


def test_bash_completes_what_is_typed(here):
    """The function that bash calls, given what bash gives it."""
    program = here / "wdrun"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wdrun "$@"\n')
    program.chmod(0o755)
    (here / "outputs" / "mine").mkdir(parents=True)
    script = """
    PATH=$PWD:$PATH
    eval "$(wdrun --shell-completion install=bash)"
    complete -p wdrun | grep -o 'F hydra_bash_completion'
    for COMP_LINE in 'wdrun sel' 'wdrun explain decay=hoy' 'wdrun select outp' 'wdrun select outputs/mine metric='; do
        COMP_WORDS=($COMP_LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_POINT=${#COMP_LINE}
        hydra_bash_completion; echo "${COMPREPLY[@]}"
    done
    """
    done = subprocess.run(["bash", "-c", script], cwd=here, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [
        "F hydra_bash_completion",
        "select",
        "decay=hoyer_square",
        "outputs/",
        "metric=val_loss metric=val_accuracy",
    ], done.stderr


@pytest.mark.parametrize("line", ["wdrun select outp", "wdrun explain decay=", "wdrun status --"])
def test_it_loads_nothing_heavy(here, line):
    """A shell waits for it at every tab."""
    code = (
        "import sys; from wdrun import cli\n"
        "try: cli.main(['-sc', 'query=bash'])\n"
        "except SystemExit: print(*{'torch', 'pandas', 'numpy'} & sys.modules.keys(), file=sys.stderr)"
    )
    environment = {**os.environ, "COMP_LINE": line}
    done = subprocess.run([sys.executable, "-c", code], cwd=here, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")
