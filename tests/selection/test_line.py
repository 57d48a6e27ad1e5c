"""The line that makes a run again is that run, and the shortest"""

import shlex
from pathlib import Path

import pytest

from tests.selection.choices import write
from wdrun.config.compose import compose, opened
from wdrun.config.parse import parse
from wdrun.errors import ConfigError, StorageError
from wdrun.selection import line
from wdrun.tables.columns import RUN, run_row
from wdrun.tables.read import load
from wdrun.tables.write import render


def test_best_without_the_config_is_one_line(here, tmp_path):
    with pytest.raises(StorageError, match=r"config.yaml: No such file or directory; the run's knobs"):
        line.words(tmp_path)
    (tmp_path / "config.yaml").write_text("- a\n")
    with pytest.raises(StorageError, match="holds no knobs"):
        line.words(tmp_path)


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["decay=none", "lambda=0"],
        ["decay=l1", "decay.coupling=proximal", "lambda=3.3e-5", "optimizer=adam", "lr=1e-3", "seed=4"],
        ["optimizer=adamw", "schedule=one_cycle", "augment=cutout", "evaluate=full", "early_stopping.patience=3"],
        ["decay=chain", "decay.terms=[{decay: l2, weight: 2}, {decay: l1, weight: 0.1, coupling: proximal}]"],
        ["decay.schedule={name: cosine, final: 0.1}", "data.folds=5", "fold=3"],
        ["decay.schedule=with_lr", "schedule=step", "diagnostics=[oui]", "optimizer.clip_norm=1"],
        ['decay.scales=[["fc1.weight[:, :10]",1],["*",0]]', "data.root='/a b/it\\'s'", "threads=2"],
        ["model._target_=my.module.Net", "+model.depth=3", "~model.width", "decay=l1_ball", "lambda=20"],
    ],
    ids=lambda words: " ".join(words)[:30],
)
def test_the_line_is_the_run_and_the_shortest(typed, tmp_path):
    run = write(tmp_path, *typed)
    words = line.words(tmp_path / run.slug)

    def knobs(line, composed=compose):
        try:
            found = parse(composed(line)).run.knobs
        except ConfigError:
            return None
        return {k: v for k, v in found.items() if k not in ("seed", "fold")}

    expected = {k: v for k, v in run.knobs.items() if k not in ("seed", "fold")}
    assert knobs(shlex.split(shlex.join(words))) == expected
    assert [w.partition("=")[0] for w in words[:3]] == ["decay", "lambda", "lr"]
    with opened() as composed:
        for i in range(3, len(words)):
            assert knobs(words[:i] + words[i + 1 :], composed) != expected


def test_an_option_of_the_users_own_is_asked_for_and_never_guessed(here, tmp_path):
    run = write(tmp_path, "decay=l2", "lambda=0")
    folder = tmp_path / run.slug
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("name: l2", "name: tanh").replace("wdrun.decay.l2.L2", "mine.Tanh"))
    hydra = folder / ".hydra" / "overrides.yaml"
    hydra.parent.mkdir(exist_ok=True)
    hydra.write_text("[decay=tanh, lambda=0, '--config-dir=my conf']")
    with pytest.raises(ConfigError, match=r"decay=tanh is an option of your own; name its folder by --config-dir=DIR$"):
        line.words(folder)
    (here / "my conf" / "decay").mkdir(parents=True)
    with pytest.raises(ConfigError, match="decay=tanh is no option of my conf; name its folder"):
        line.words(folder)
    option = here / "my conf" / "decay" / "tanh.yaml"
    option.write_text("defaults: [_shared, _self_]\nname: tanh\n_target_: mine.Tanh\nlambda: 0.1\n")
    assert line.words(folder)[:2] == ["decay=tanh", "lambda=0"]
    assert line.words(folder)[-1] == "--config-dir=my conf"


IDS = Path(__file__).parent.parent / "config" / "ids.txt"


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """One table of a run of every kind that ids.txt names, so that most cells of a row are empty."""
    folder = tmp_path_factory.mktemp("mixed")
    words = dict(text.split(" ", 1) for text in IDS.read_text().splitlines())
    with opened() as composed:
        rows = [
            run_row(run := parse(composed(shlex.split(x))).run, {"status": "done"}) | {"id": run.id}
            for x in words.values()
        ]
    outcome = [c.name for c in RUN]
    knobs = dict.fromkeys(key for row in rows for key in row if key not in outcome)
    (folder / "runs.csv").write_bytes(render([*knobs, *outcome], rows))
    found = load([folder], tables=())
    assert (len(found.runs), found.problems) == (len(words), ())
    return found.runs


def test_the_knobs_of_a_row_among_all_others_give_its_id(mixed):
    """An empty cell may be null or not there: `_target` refuses what the id denies."""
    rows = [row for row in mixed.to_dict("records") if row["decay"] != "mine"][::9]
    assert len(rows) > 10
    for row in rows:
        assert "lambda" in line._target(row, None)


@pytest.mark.parametrize("number", [4, 31, 52, 77])
def test_the_line_of_a_row_is_that_run(mixed, number):
    row = mixed.to_dict("records")[number]
    words = [*line.words(Path(row["dir"]), None, row), f"seed={row['seed']}", f"fold={row['fold']}"]
    typed = [word for word in line.Typed(mixed)(row["dir"]) if not word.startswith("name=")]
    with opened() as composed:
        assert parse(composed(words)).run.id == row["id"]
        assert parse(composed(typed)).run.id == row["id"]


def test_the_line_of_a_row_beside_others_that_name_a_knob_which_came_later(tmp_path):
    """Its own row leaves that out; as it is read it has the value that this always had."""
    lines = ["data=synthetic", "data=synthetic label_smoothing=0.1", "data=synthetic optimizer.lr_scales=[[fc*,2]]"]
    with opened() as composed:
        runs = [parse(composed(words.split())).run for words in lines]
        rows = [run_row(run, {"status": "done"}) for run in runs]
        columns = dict.fromkeys(key for row in rows for key in row)
        (tmp_path / "runs.csv").write_bytes(render([*columns], rows))
        found = load([tmp_path], tables=()).runs
        assert found["label_smoothing"].tolist() == [0, 0.1, 0]
        for run, words, row in zip(runs, lines, found.to_dict("records"), strict=True):
            line_ = line.words(Path(row["dir"]), None, row)
            assert parse(composed(line_)).run.id == run.id
            assert len(line_) == 3 + len(words.split())


def test_a_row_whose_knobs_are_not_those_of_its_id_has_no_line(mixed):
    row = mixed.to_dict("records")[1] | {"epochs": 77}
    with pytest.raises(ConfigError, match="the knobs in the table are not those of its id"):
        line.words(Path(row["dir"]), None, row)
    assert line.Typed(mixed.assign(epochs=77))(row["dir"]) is None
    assert line.Typed(mixed)("nowhere") is None
