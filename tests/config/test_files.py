"""Words from files: what a file of words says, what counts beside it, and every run again from its config.yaml."""

import shlex

import pytest
import yaml

from wdrun.config import experiments, files
from wdrun.config.compose import compose
from wdrun.config.options import option_names
from wdrun.config.parse import parse
from wdrun.errors import ConfigError

FILE = """\
# an axis, and it's quoted as in a shell
lambda=0,1e-3  'decay.scales=[["*", 1]]'   # don't mind
-m
output_dir=a#b "name=x y" lr=0\\.5
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FILE, ["lambda=0,1e-3", 'decay.scales=[["*", 1]]', "-m", "output_dir=a#b", "name=x y", "lr=0.5"]),
        ("", []),
        ("#only this", []),
        ("\ufefflr=1\r\nseed=2", ["lr=1", "seed=2"]),
        ("a='b\nc'd", ["a=b\ncd"]),
        ("lr=0.1 \\\n  seed=2 \\\n", ["lr=0.1", "seed=2"]),
    ],
)
def test_the_words_of_a_file(here, text, words):
    (here / "words.txt").write_text(text, newline="")
    assert files.words_in("@words.txt") == words


@pytest.mark.parametrize(
    ("own", "typed", "line"),
    [
        ("lr=0.1 seed=3", "lr=0.2 @ epochs=2", "lr=0.2 seed=3 epochs=2"),
        ("lr=0.1", "@ optimizer.lr=0.2", "optimizer.lr=0.2"),
        ("lambda=0,1e-3 seed=1", "@ lambda=0.5", "seed=1 lambda=0.5"),
        ("lambda=1e-3", "@ budget=1", "budget=1"),
        ("lambda+lr=1:2,3:4", "lr=5 lambda=6 @", "lr=5 lambda=6"),
        ("optimizer=sgd optimizer.momentum=0.5 optimizer.clip_norm=1", "@ optimizer=Adam",
         "optimizer.clip_norm=1 optimizer=Adam"),
        ("optimizer=sgd optimizer.momentum=0.5", "@ optimizer=sgd,adam", "optimizer.momentum=0.5 optimizer=sgd,adam"),
    ],
)  # fmt: skip
def test_of_one_key_what_is_typed_counts_wherever_it_stands(own, typed, line, capsys):
    assert " ".join(files.spliced(typed.split(), {"@": own.split()})) == line
    lacks = "optimizer.momentum=0.5: left out; optimizer=adam has no such key\n"
    assert capsys.readouterr().err == (lacks if "Adam" in typed else "")


def test_of_keys_that_vary_together_the_file_needs_all():
    with pytest.raises(ConfigError, match="the file sets lr together with lambda; give lambda too"):
        files.spliced(["@", "lr=1"], {"@": ["lambda+lr=1:2,3:4"]})


def test_a_command_from_a_file_is_the_command_typed(wdrun, here, capsys):
    (here / "words.txt").write_text("data=synthetic # no download\n--cfg job lambda=0.5,0.25\n-m")
    assert wdrun("@words.txt", "seed=3", capture=capsys) == wdrun(
        "-m", "--cfg", "job", "data=synthetic", "lambda=0.5,0.25", "seed=3", capture=capsys
    )
    (here / "words.txt").write_text("explain data=synthetic model=linear decay=none")
    code, out, _ = wdrun("@words.txt", capture=capsys)
    assert (code, "linear, 30,730 parameters on synthetic" in out) == (0, True)


OWN = "defaults: [_shared, _self_]\nname: quartic\n_target_: mine.Quartic\nlambda: 1e-3\npower: 4\n"
RUNS = [
    *(f"decay={name}" for name in option_names("decay")),
    *(f"optimizer={name} lr=3.3e-4" for name in option_names("optimizer")),
    *(f"schedule={name} decay.schedule={name}" for name in option_names("schedule")),
    *(f"data={name} model=mlp augment=none" for name in option_names("data")),
    *(f"evaluate={name} seed=4" for name in option_names("evaluate")),
    "data.folds=5 fold=3 decay.schedule=with_lr diagnostics=[oui] early_stopping.patience=3",
    "decay=chain decay.terms=[{decay:l2,weight:2},{decay:l1,coupling:proximal,scales:[[fc*,0.5]]}]",
    'decay=l1 decay.coupling=proximal lambda=1.23456789e-05 \'decay.scales=[["fc1.weight[:, :10]",1],["*",0]]\'',
    "\"data.root='/a b/it\\'s'\" threads=2 optimizer.momentum=0 lr=0.1",
    "model._target_=my.module.Net +model.depth=3 ~model.width",
    "--config-dir=mine decay=quartic decay.power=3",
    "model.dropout=0.5 model.norm=batch model.channels=[4,8] optimizer.clip_norm=1 precision=fp64 device=cpu",
]  # fmt: skip


@pytest.mark.parametrize("words", RUNS)
def test_a_run_again_from_its_config_has_the_same_id(here, words):
    (here / "mine" / "decay").mkdir(parents=True)
    (here / "mine" / "decay" / "quartic.yaml").write_text(OWN)
    typed = shlex.split(words)
    config_dir = "mine" if "--config-dir=mine" in typed else None
    run = parse(compose([word for word in typed if word[:2] != "--"], config_dir)).run
    (here / "run").mkdir()
    (here / "run" / "config.yaml").write_text("# wdrun\n" + yaml.safe_dump(run.nested, sort_keys=False))
    (again,) = experiments.jobs(files.run_again("run", [], config_dir), False, config_dir)
    assert (again.run.id, again.run.nested) == (run.id, run.nested)
    other, *more = experiments.jobs(files.run_again("run/config.yaml", ["seed=7,8"], config_dir), True, config_dir)
    assert (other.run.seed, len(more)) == (7, 1)
    assert {k: v for k, v in other.run.knobs.items() if k != "seed"} == {
        k: v for k, v in run.knobs.items() if k != "seed"
    }


def test_a_config_that_names_a_knob_which_came_later_at_the_value_it_always_had_is_that_run(here):
    run = parse(compose(["data=synthetic"])).run
    knobs = run.nested | {"label_smoothing": 0.0, "ema": None}
    (here / "config.yaml").write_text(yaml.safe_dump(knobs | {"optimizer": {**knobs["optimizer"], "lr_scales": []}}))
    (again,) = experiments.jobs(files.run_again("config.yaml", [], None), False)
    assert again.run.id == run.id


def test_another_option_takes_the_place_of_the_runs_own(here, capsys):
    run = parse(compose(["decay=elastic_net", "decay.l1_ratio=0.5", "decay.exclude_1d=false", "lr=0.3"])).run
    (here / "config.yaml").write_text(yaml.safe_dump(run.nested))
    (job,) = experiments.jobs(files.run_again("config.yaml", ["decay=L2", "budget=1"]), False)
    assert (job.run.decay["name"], job.run.decay["exclude_1d"], job.run.lr) == ("l2", False, 0.3)
    assert job.options.budget == 1
    assert capsys.readouterr().err == "decay.l1_ratio=0.5: left out; decay=l2 has no such key\n"


def test_without_decay_a_file_or_an_experiment_sets_no_strength(here, tmp_path):
    run = parse(compose(["lambda=0.25", "seed=3"])).run
    (here / "config.yaml").write_text(yaml.safe_dump(run.nested))
    for none in ("decay=none", "decay=NONE"):
        (job,) = experiments.jobs(files.run_again("config.yaml", [none]), False)
        assert (job.run.decay["name"], job.run.lam, job.run.seed) == ("none", 0.0, 3)
        assert files.spliced(["@w", none], {"@w": ["budget=0.5", "lr=0.1"]}) == ["lr=0.1", none]
    jobs = experiments.jobs(files.run_again("config.yaml", ["decay=none,l2"]), True)
    assert [job.run.lam for job in jobs] == [0.0, 0.25]
    (tmp_path / "experiment").mkdir(exist_ok=True)
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nsweep: ['lambda=1,2', 'seed=0,1']\n")
    jobs = experiments.jobs(["experiment=mine", "decay=none"], False, str(tmp_path))
    assert [(job.run.lam, job.run.seed) for job in jobs] == [(0.0, 0), (0.0, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "holds no knobs"),
        ("a: &x 1\nb: *x\n", "has an alias, as no config of wdrun's has"),
        ("a: [\n", "not YAML: .*"),
        ("", "holds no knobs"),
    ],
)
def test_what_is_no_config(here, text, message):
    (here / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"^--config=x.yaml: {message}$"):
        files.words_of("x.yaml")


def test_a_knob_that_this_version_does_not_know(here):
    run = parse(compose(["data=synthetic"])).run
    (here / "x.yaml").write_text(yaml.safe_dump(run.nested | {"optimizer": run.optimizer | {"later": 1}, "lr": -1}))
    with pytest.raises(ConfigError, match=r"lr=-1: must be a number > 0"):
        files.words_of("x.yaml")
    (here / "x.yaml").write_text(yaml.safe_dump(run.nested | {"zzz": 1}))
    with pytest.raises(ConfigError, match=r"^--config=x.yaml: zzz is no knob of a run; it takes a run's config.yaml$"):
        files.words_of("x.yaml")
