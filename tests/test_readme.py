"""The README's tables are the code's and its commands run; `python tests/test_readme.py` rewrites the tables."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wdrun import explain, laws, selection
from wdrun.config.compose import compose
from wdrun.config.help import keys_of, summary
from wdrun.config.options import GROUPS, conf_dir, option_names
from wdrun.config.parse import parse
from wdrun.decay import COUPLINGS
from wdrun.tables.columns import FACTORS, RUN, TABLES
from wdrun.tables.read import read_table

README = Path(__file__).resolve().parent.parent / "README.md"
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)


def table(header, rows):
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    lines = [" | ".join(header), "|".join(["---"] * len(header)), *(" | ".join(row) for row in escaped)]
    return "\n".join(f"| {line} |" for line in lines)


def keys(path):
    """`key=default` and comment of a yaml's keys, as a sentence; an article's own are no defaults of a run."""
    found = keys_of((conf_dir() / path).read_text(encoding="utf-8"))
    return "; ".join(f"`{k}={default}` {m}" for k, default, m in found if not k.startswith("article.")) + "."


def decays():
    """Each decay: the first line of its module (of its yaml, where it is a ready-made setting), and its couplings.

    The coupling that `auto` takes comes first.
    """
    able = {}
    for case in laws.cases():
        able.setdefault(case.decay, {})[case.coupling] = None
    for name, couplings in able.items():
        run = parse(compose([f"decay={name}"])).run
        first = [run.coupling] if run.coupling in couplings else []
        words = "all" if len(couplings) == len(COUPLINGS) else ", ".join(dict.fromkeys([*first, *couplings]))
        own = run.decay["_target_"].split(".")[-2] == name
        yaml = (conf_dir() / "decay" / f"{name}.yaml").read_text(encoding="utf-8")
        yield f"`{name}`", explain.regularizer(run) if own else summary(yaml), words


def experiments():
    """Each experiment: the first line of its file."""
    for name in option_names("experiment"):
        text = (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
        yield f"`{name}`", summary(text)


def generated():
    options = [
        (f"`{group}=`", ", ".join(f"`{name}`" for name in option_names(group)))
        for group in GROUPS
    ]  # fmt: skip
    schemas = {"every table": FACTORS}
    schemas |= {f"{name}.csv": schema[len(FACTORS) :] for name, schema in TABLES.items()}
    schemas["run.csv, runs.csv"] = RUN
    columns = [(name, "; ".join(f"`{c.name}` {c.meaning}" for c in schema)) for name, schema in schemas.items()]
    return {
        "options": table(["group", "options"], options),
        "keys": keys("config.yaml"),
        "decay": keys("decay/_shared.yaml"),
        "decays": table(["decay", "what it is", "couplings"], decays()),
        "experiments": table(["experiment", "what it shows"], experiments()),
        "couplings": table(["coupling", "step"], [(f"`{k}`", c.formula) for k, c in COUPLINGS.items()]),
        "columns": table(["table", "columns: meaning and unit"], columns),
    }


def rewritten(text):
    for name, content in generated().items():
        pattern = rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda m, content=content: f"{m[1]}{content}\n{m[2]}", text, flags=re.DOTALL)
    return text


def test_the_tables_are_those_of_the_code():
    assert rewritten(TEXT) == TEXT, "run: python tests/test_readme.py"


def test_it_fits_in_a_quarter_of_an_hour():
    assert len(TEXT.splitlines()) <= 250


def commands():
    """Every wdrun line of the README's plain blocks, and of its inline code."""
    for language, block in BLOCKS:
        if language == "":
            yield from (line for line in block.splitlines() if line.startswith("wdrun "))
    yield from re.findall(r"`(wdrun [^`|]*?)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))


SMALL = ["data=synthetic", "data.train_examples=200", "data.test_examples=50", "epochs=1", "batch_size=32"]
REAL = [
    line
    for line in commands()
    if not re.search(
        r"--|DIR|decay=cubic|hydra/|experiment=|^wdrun (bench|data|explain|verify|status|select|best|report)", line
    )
]


@pytest.mark.parametrize("line", REAL)
def test_a_command_trains_as_printed(line, here, capsys):
    """As printed, but on little data and for one epoch; what the line says itself stays."""
    from wdrun import cli

    words = shlex.split(line.split("2>")[0])[1:]
    given = {word.partition("=")[0] for word in words}
    extra = [word for word in SMALL if word.partition("=")[0] not in given - {"epochs", "data"}]
    with pytest.raises(SystemExit) as stop:
        cli.main([*(w for w in words if not w.startswith("epochs=")), *extra])
    expected = 6 if "require" in line else 0
    assert stop.value.code == expected, capsys.readouterr().err
    assert len(list(here.glob("outputs/*/runs.csv"))) == 1


@pytest.mark.parametrize("line", [line for line in commands() if re.match(r"wdrun (bench|explain|verify)", line)])
def test_a_command_that_keeps_nothing_answers(line, here, capsys):
    from wdrun import cli

    words = shlex.split(line)[1:]
    small = {"explain": ["data=synthetic"], "bench": [word for word in SMALL if not word.startswith("epochs")]}
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, *small.get(words[0], [])])
    assert (stop.value.code, list(here.iterdir())) == (0, [])
    assert capsys.readouterr().out


def test_the_way_from_a_sweep_to_its_report_is_as_printed(shell, here):
    (story,) = [block.splitlines() for _, block in BLOCKS if block.startswith("wdrun experiment=smoke")]
    said = {}
    for line in story:
        done = shell(*shlex.split(line)[1:])
        assert done.returncode == 0, (line, done.stderr)
        said[line.split()[1]] = done.stdout
    assert len(said["experiment=smoke"].splitlines()) == 12
    assert "12" in said["status"]
    assert "lambda" in said["select"]
    assert (here / "outputs/smoke/selection.csv").is_file()
    assert said["best"].startswith("wdrun ")
    assert (here / said["report"].strip()).read_text().startswith("<!doctype html>")


def test_the_figures_it_shows_are_there_with_the_tables_they_were_made_from():
    shown = [README.parent / path for path in re.findall(r"\]\((outputs/examples/[^)]*)\)", TEXT)]
    assert len(shown) == 2
    for figure in shown:
        assert figure.read_bytes().startswith(b"\x89PNG")
        chosen = selection.select(read_table(figure.parent / "runs.csv")).choices
        kept = pd.read_csv(figure.parent / "selection.csv")
        columns = ["lambda_min", "lambda_1se", "lr_min", "n", "mean", "difference", "difference_low", "test_accuracy"]
        np.testing.assert_allclose(chosen[columns].to_numpy(float), kept[columns].to_numpy(float), rtol=1e-9)


def test_there_are_commands_to_try():
    assert len(REAL) >= 6


def test_the_python_example_runs(here, monkeypatch, capsys):
    (example,) = [block for language, block in BLOCKS if language == "python" and "wdrun.run(" in block]
    small = example.replace('data="synthetic"', 'data="synthetic", **{"data.train_examples": 200, "model": "mlp"}')
    assert small != example
    names = {}
    exec(small, names)
    assert names["result"].status == "done"
    assert not names["model"].training
    assert "accuracy" in capsys.readouterr().out


def test_the_example_decay_needs_its_one_file_and_one_yaml(shell, here):
    (code,) = [block for language, block in BLOCKS if language == "python" and "class Cubic" in block]
    (options,) = [block for language, block in BLOCKS if language == "yaml"]
    (here / "cubic.py").write_text(code)
    (here / "mine" / "decay").mkdir(parents=True)
    (here / "mine" / "decay" / "cubic.yaml").write_text(options)
    (line,) = [line for line in commands() if "decay=cubic" in line]
    done = shell(*shlex.split(line)[1:], "model=mlp", "data.train_examples=200", "batch_size=32", "threads=1")
    assert done.returncode == 0, done.stderr
    assert "decay    cubic, coupled" in done.stderr
    refused = shell(*shlex.split(line)[1:], "decay.coupling=proximal")
    assert refused.returncode == 2
    assert "cubic has no prox, which proximal needs" in refused.stderr


if __name__ == "__main__":
    README.write_text(rewritten(TEXT), encoding="utf-8")
    sys.exit(0)
