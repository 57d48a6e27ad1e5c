"""What was typed: letter case, two names of one key, and whose words count beside an experiment's."""

import re

import pytest

from wdrun.config import experiments, names, typed
from wdrun.config.keys import SAME
from wdrun.config.options import GROUPS, conf_dir, option_names
from wdrun.errors import ConfigError


def test_the_keys_with_two_names_are_those_that_follow_another_in_conf():
    text = (conf_dir() / "config.yaml").read_text(encoding="utf-8")
    followers = dict(re.findall(r"^(\w+): \$\{([\w.]+)\}", text, re.MULTILINE))
    assert {source: key for key, source in followers.items()} == SAME
    elsewhere = [path for path in conf_dir().rglob("*.yaml") if "${" in path.read_text(encoding="utf-8")]
    assert [path.name for path in elsewhere] == ["config.yaml"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("optimizer=SGD", "optimizer=sgd"),
        ("decay=L2_Ball", "decay=l2_ball"), ("experiment=Smoke", "experiment=smoke"),
        ("precision=BF16", "precision=bf16"), ("++device=CUDA:1", "++device=cuda:1"), ("logger=None", "logger=null"),
        ("diagnostics=[OUI,Hessian]", "diagnostics=[oui,hessian]"), ("model.norm=none", "model.norm=none"),
        ("name=SGD", "name=SGD"), ("name=None", "name=None"), ("decay=L3", "decay=L3"), ("x.y=SGD", "x.y=SGD"),
        ("decay._target_=My.Own", "decay._target_=My.Own"), ("fuse=True", "fuse=True"), ("tau=none", "tau=null"),
    ],
)  # fmt: skip
def test_a_word_in_the_letter_case_of_conf(word, meant):
    assert typed.spell(word) == meant


def test_two_options_of_the_users_that_differ_in_case_only(tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("Net", "NET", "Other"):
        (tmp_path / "model" / f"{name}.yaml").write_text("name: x\n")
    folder = str(tmp_path)
    assert [typed.spell(f"model={name}", folder) for name in ("Net", "NET", "net", "OTHER")] == [
        "model=Net", "model=NET", "model=net", "model=Other",
    ]  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_is_found_in_any_case_and_none_is_a_name_of_another(group):
    for option in option_names(group):
        assert typed.spell(f"{group}={option.upper()}") == f"{group}={option}"
        assert names.option_advice(group, option) in (None, option)


@pytest.mark.parametrize(("words", "values"), [
    ("", ["auto"]),
    ("decay=l2 lambda=1e-4", ["auto"]),
    ("threads=2", ["2"]),
    ("threads=2 +threads=1", ["1"]),  # the last counts
    ("threads=1,auto", ["1", "auto"]),
    ("threads=range(1,3)", []),
    ("threads=${seed}", []),
    ("threads=many", []),
    ("experiment=smoke", []),  # which sets it
    ("experiment=smoke threads=2", ["2"]),
    ("outputs/mine", []),
])  # fmt: skip
def test_the_threads_that_words_tell(words, values):
    assert typed.threads(words.split()) == values


def test_case_does_not_enter_the_id():
    one, other = (
        experiments.jobs(["data=synthetic", *words], False)[0]
        for words in (
            ["decay=Chain", "decay.terms=[{decay:L2,coupling:Decoupled}]", "precision=FP32", "decay.schedule=Cosine"],
            ["decay=chain", "decay.terms=[{decay:l2,coupling:decoupled}]", "precision=fp32", "decay.schedule=cosine"],
        )
    )
    assert (one.run.id, one.overrides[1], one.run.nested) == (other.run.id, "decay=chain", other.run.nested)


def test_one_name_is_recorded():
    (job,) = experiments.jobs(["decay.lambda=0.5", "++optimizer.lr=0.25"], False)
    assert (job.overrides, job.run.lam, job.run.lr) == (("lambda=0.5", "++lr=0.25"), 0.5, 0.25)
    (job,) = experiments.jobs(["optimizer.lr=0.25", "lambda=${optimizer.lr}"], False)  # as typed: it takes the other's
    assert (job.run.lam, job.run.lr) == (0.25, 0.25)


MINE = "# @package _global_\n{values}\nsweep: {sweep}\n"


@pytest.mark.parametrize(
    ("values", "sweep", "words", "found"),
    [
        ("lambda: 0.3", "[]", ["decay.lambda=0.5"], [(0.5, None, None)]),
        ("", "['lambda=0,1']", ["decay.lambda=0.5"], [(0.5, None, None)]),
        ("", "['decay.lambda=0.1,1']", ["lambda=0.5"], [(0.5, None, None)]),
        ("", "['decay.lambda=0.1,1']", [], [(0.1, None, None), (1.0, None, None)]),
        ("tau: 3", "[]", ["lambda=0.5"], [(0.5, None, None)]),
        ("tau: 3", "[]", ["budget=0.5"], [(1e-3, 0.5, None)]),
        ("tau: 3", "[]", ["seed=1"], [(1e-3, None, 3)]),
    ],
)
def test_typed_words_count_beside_an_experiments(tmp_path, values, sweep, words, found):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(MINE.format(values=values, sweep=sweep))
    jobs = experiments.jobs(["experiment=mine", *words], False, str(tmp_path))
    assert [(job.run.lam, job.options.budget, job.options.tau) for job in jobs] == found


def test_a_number_in_a_file_is_no_name(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nname: 2024\n")
    with pytest.raises(ConfigError, match=r"^name=2024: must be text; in a file write it in quotes, '2024'$"):
        experiments.jobs(["experiment=mine"], False, str(tmp_path))


@pytest.mark.parametrize(
    "text", ["2024", "1e5", "true", "False", "0x10", "007", "1_000", "-1", "nan", "inf", "0", "1.0"]
)
def test_a_name_is_taken_as_it_is_typed(text):
    assert [job.options.name for job in experiments.jobs([f"name={text}"], False)] == [text]
    assert [job.options.name for job in experiments.jobs([f"name={text},b"], True)] == [text, "b"]
    (job,) = experiments.jobs([f"name+seed={text}:1", f"output_dir={text}", f"data.root={text}"], True)
    assert (job.options.name, job.options.output_dir, job.run.data["root"]) == (text, text, text)


def test_no_name_of_another_tool_is_one_of_ours():
    from wdrun.config.keys import KEYS

    assert not names.KEY_NAMES.keys() & {*KEYS, *GROUPS, "experiment", "folds"}
    for written in names.KEY_NAMES.values():
        key = written.strip("'").partition("=")[0]
        assert key in {*KEYS, *GROUPS, "folds"} or key.startswith(("optimizer.", "schedule.", "data."))
