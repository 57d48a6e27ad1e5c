"""What is typed after `wdrun tune` becomes a question, or one line that says why it cannot."""

import json

import pytest

from tests.runs import TINY, changed
from wdrun.config import experiments
from wdrun.errors import ConfigError
from wdrun.sweep.execute import execute
from wdrun.tuning import asking
from wdrun.tuning.question import Pair


@pytest.fixture(autouse=True)
def _here(here):
    return here


def asked(*words):
    return asking.asked(words)


def axes(facet):
    return {axis.key: axis for axis in facet.space.axes}


def names(found):
    return [facet.name for facet in found.question.facets]


def test_one_decay_is_compared_with_no_decay_and_lambda_and_lr_are_tuned():
    found = asked("decay=l1", "time=40m", "runs=9")
    (facet,) = found.question.facets
    assert (facet.name, facet.words, facet.without) == ("decay=l1", ("decay=l1",), ("decay=none",))
    assert list(axes(facet)) == ["lambda", "lr"]
    assert facet.decays
    assert axes(facet)["lr"].start == 0.02  # the optimizer's own
    assert found.question.pairs == (Pair(0, None),)
    assert (found.seconds, found.budget.runs, found.budget.seconds, found.require_decided) == (2400, 9, 2400, False)
    assert (found.question.margin, found.question.objective) == (0.02, "val_loss")


def test_keys_of_several_values_are_compared_in_all_combinations():
    found = asked("optimizer=sgd,adam", "decay.coupling=coupled,decoupled", "model=mlp")
    grid = [f"optimizer={o} decay.coupling={c}" for o in ("sgd", "adam") for c in ("coupled", "decoupled")]
    assert names(found) == grid
    assert len(found.question.pairs) == 4 + 6
    first, second, third, _ = found.question.facets
    assert first.without == second.without == ("optimizer=sgd", "model=mlp", "decay=none")
    assert [axes(f)["lr"].start for f in (first, third)] == [0.02, 0.001]
    assert [job.run.optimizer["name"] for job in found.jobs] == ["sgd", "sgd", "adam", "adam"]
    assert {job.run.seed for job in found.jobs} == {0}


def test_facets_that_are_the_same_runs_are_one():
    assert names(asked("decay=none,l2", "decay.coupling=coupled,decoupled")) == [
        "decay=none", "decay=l2 decay.coupling=coupled", "decay=l2 decay.coupling=decoupled",
    ]  # fmt: skip
    assert names(asked("decay=l2,l2,l1")) == ["decay=l2", "decay=l1"]


def test_decay_none_is_the_lambda_zero_of_the_others_and_is_asked_once():
    question = asked("decay=none,l2,l1").question
    assert question.pairs == (Pair(1, None), Pair(2, None), Pair(1, 2))
    assert question.cell(1, (0.0, 0.05)) == question.cell(2, (0.0, 0.05)) == question.cell(0, (0.05,))


def test_a_key_that_an_option_lacks_is_tuned_where_it_is():
    found = asked("optimizer=sgd,adam", "optimizer.momentum=interval(0,0.95)")
    assert [list(axes(facet)) for facet in found.question.facets] == [
        ["lambda", "lr", "optimizer.momentum"], ["lambda", "lr"],
    ]  # fmt: skip


@pytest.mark.parametrize(("words", "key", "start", "bounds", "log", "whole"), [
    ("lambda=interval(1e-5,1e-1)", "lambda", 1e-3, (1e-5, 1e-1), True, False),
    ("lambda=interval(0.1,10)", "lambda", 1.0, (0.1, 10), True, False),  # the default is outside: from the middle
    ("lr=interval(0.01,0.05)", "lr", 0.02, (0.01, 0.05), True, False),  # in the logarithm, however narrow
    ("decay=huber decay.delta=interval(1e-4,1)", "decay.delta", 0.01, (1e-4, 1), True, False),
    ("optimizer.momentum=interval(0,0.95)", "optimizer.momentum", 0.9, (0, 0.95), False, False),
    ("model.dropout=interval(0.1,0.5)", "model.dropout", 0.3, (0.1, 0.5), False, False),
    ("batch_size=interval(16,256)", "batch_size", 64, (16, 256), True, True),
    ("batch_size=interval(60,70)", "batch_size", 64, (60, 70), False, True),
    ("optimizer.clip_norm=interval(0.1,10)", "optimizer.clip_norm", 1.0, (0.1, 10), True, False),
    ("decay.lambda=interval(1e-5,1e-1)", "lambda", 1e-3, (1e-5, 1e-1), True, False),
    ("optimizer.lr=interval(1e-3,1e-1)", "lr", 0.02, (1e-3, 1e-1), True, False),
])  # fmt: skip
def test_an_interval_bounds_what_is_tuned(words, key, start, bounds, log, whole):
    axis = axes(asked(*words.split()).question.facets[0])[key]
    assert (axis.start, (axis.low, axis.high), axis.log, axis.whole) == (start, bounds, log, whole)


def test_whole_numbers_stay_whole_and_within_their_bounds():
    (facet,) = asked("batch_size=interval(16,256)", "lr=0.1", "lambda=interval(1e-4,1e-1)").question.facets
    values = {setting[1] for setting in facet.space.grid([(1e-3, 64.0)], decayed=True)}
    assert values
    assert all(value == int(value) and 16 <= value <= 256 for value in values)


def test_a_lambda_that_is_given_is_compared_with_none():
    found = asked("lambda=1e-3")
    assert names(found) == ["lambda=1e-3", "decay=none"]
    assert [list(axes(facet)) for facet in found.question.facets] == [["lr"], ["lr"]]
    assert found.question.pairs == (Pair(0, 1),)


def test_several_lambda_are_compared_and_zero_with_them():
    found = asked("decay=l1,l2", "lambda=1e-3,1e-2", "lr=0.1")
    assert names(found)[-1] == "decay=none"
    assert len(found.question.pairs) == 10
    assert [facet.space.axes for facet in found.question.facets] == [()] * 5
    assert names(asked("lambda=0,1e-3")) == ["decay=none", "lambda=0.001"]


@pytest.mark.parametrize("decay", ["rescale", "unit_norm", "max_norm", "cpr", "target_norm", "hyperball"])
def test_a_projection_is_compared_with_no_projection(decay):
    """Its λ = 0 is no radius: as everywhere it is the run without the decay."""
    question = asked(f"decay={decay}", "optimizer=sgd,adam").question
    assert question.pairs == (Pair(0, None), Pair(1, None), Pair(0, 1))
    assert [facet.without for facet in question.facets] == [
        ("optimizer=sgd", "decay=none"),
        ("optimizer=adam", "decay=none"),
    ]
    assert question.words(question.cell(0, (0.0, 0.02)), 0) == ["optimizer=sgd", "decay=none", "lr=0.02", "seed=0"]


def test_a_lambda_that_is_given_has_a_lambda_zero_of_each_optimizer():
    """No facet is without one: those that share none are compared each with its own, and with each other."""
    found = asked("optimizer=sgd,adam", "lambda=1e-3")
    none = [f"optimizer={o} decay=none" for o in ("sgd", "adam")]
    assert names(found) == [f"optimizer={o} lambda=1e-3" for o in ("sgd", "adam")] + none
    assert {Pair(0, 1), Pair(0, 2), Pair(1, 3)} <= {*found.question.pairs}


def test_several_lr_are_compared_each_with_its_own_lambda():
    found = asked("lr=0.1,0.01")
    assert names(found) == ["lr=0.1", "lr=0.01"]
    assert [list(axes(facet)) for facet in found.question.facets] == [["lambda"], ["lambda"]]


def test_optimizers_without_decay_are_compared_too():
    found = asked("decay=none", "optimizer=sgd,adam")
    assert found.question.pairs == (Pair(0, 1),)
    assert [list(axes(facet)) for facet in found.question.facets] == [["lr"], ["lr"]]


def test_settings_of_the_command():
    found = asked(
        "time=1h30m", "margin=0.1", "objective=val_accuracy", "require.decided=true", "parallel=2", "name=mine"
    )
    assert (found.seconds, found.question.margin, found.question.objective) == (5400, 0.1, "val_accuracy")
    assert (found.require_decided, found.budget.side_by_side, found.options.parallel) == (True, 2, 2)
    assert found.root.name == "mine"
    assert asked("objective=val_accuracy").question.margin == 0.005
    assert [asked(f"time={text}").seconds for text in ("90s", "90", "20m", "1h", "0.5h")] == [90, 90, 1200, 3600, 1800]
    assert asked().seconds is None
    assert asked().budget.runs is None


def test_many_comparisons_are_remarked_on():
    assert asked("decay=l2,l1").notes == ()
    (note,) = asked("lambda=log_range(1e-6,1e-1,8)").notes
    assert note.startswith("36 comparisons")
    assert "interval" in note


@pytest.mark.parametrize(("name", "expected", "tuned"), [
    ("lr_lambda", [f"optimizer={o} decay.coupling={c}" for o in ("sgd", "adam") for c in ("coupled", "decoupled")],
     ["lambda", "lr"]),
    ("decay_comparison", [f"decay={d}" for d in
     ("none", "l2", "decoupled", "l1", "proximal", "cautious", "elastic_net", "huber")], ["lambda"]),
    ("l1_mlp", ["decay.coupling=coupled", "decay.coupling=proximal"], ["lambda"]),  # the axes of its sweep, not λ
    ("kfold", ["decay=l2"], ["lambda"]),
    ("decay_curve", ["decay=l2"], ["lambda", "lr"]),
])  # fmt: skip
def test_an_experiment_brings_its_question(name, expected, tuned):
    found = asked(f"experiment={name}")
    assert names(found) == expected
    assert list(axes(found.question.facets[-1])) == tuned
    assert found.root.name == name


def test_what_is_typed_counts_over_what_an_experiment_asks():
    assert names(asked("experiment=lr_lambda", "optimizer=adam")) == [
        "decay.coupling=coupled",
        "decay.coupling=decoupled",
    ]
    assert names(asked("experiment=decay_comparison", "decay=l2,l1")) == ["decay=l2", "decay=l1"]
    assert list(axes(asked("experiment=decay_comparison", "lr=interval(1e-4,1e-2)").question.facets[0])) == ["lr"]


def test_an_experiments_own_decay_is_left_out_of_its_lambda_zero():
    (one, _) = asked("experiment=l1_mlp").question.facets
    assert one.without == ("experiment=l1_mlp", "decay=none")
    experiments.sweep([list(one.without)])


def asks(folder, *words, also=()):
    """The folder of an experiment `mine` that asks this."""
    (folder / "experiment").mkdir()
    lines = ["# @package _global_", "# mine", "name: mine", f"ask: {json.dumps(words)}", *also, ""]
    (folder / "experiment/mine.yaml").write_text("\n".join(lines))
    return str(folder)


@pytest.mark.parametrize(("words", "bounds"), [
    ((), (1e-3, 0.1)), (("lambda=interval(0.01,1)",), (0.01, 1.0)), (("decay.lambda=interval(0.01,1)",), (0.01, 1.0)),
])  # fmt: skip
@pytest.mark.parametrize("key", ["lambda", "decay.lambda"])
def test_an_experiments_ask_may_bound_what_is_searched(tmp_path, words, bounds, key):
    folder = asks(tmp_path, "decay=l2,l1", f"{key}=interval(1e-3,0.1)")
    facets = asking.asked(["experiment=mine", *words], folder).question.facets
    assert [facet.name for facet in facets] == ["decay=l2", "decay=l1"]
    for facet in facets:
        assert (facet.space.axes[0].low, facet.space.axes[0].high) == bounds


@pytest.mark.parametrize("words", [(), ("decay.lambda=0.01",), ("decay=l2",)])
@pytest.mark.parametrize("strength", ["budget: 0.5", "tau: 3"])
def test_an_experiments_own_strength_gives_way_to_the_search(tmp_path, strength, words):
    found = asking.asked(["experiment=mine", *words], asks(tmp_path, "decay=l2,l1", also=[strength]))
    assert found.question.facets[0].decays == (not words or "lambda" not in words[0])
    decayed = [job.options for job in found.jobs if job.run.decay["name"] != "none"]
    assert {(options.budget, options.tau) for options in decayed} == {(None, None)}


YIELDING = ("decay=l2,l1", "lambda=interval(1e-3,0.1)", "optimizer.momentum=interval(0.5,0.9)")


@pytest.mark.parametrize(("words", "found"), [
    ("decay.lambda=0.01", {"decay=l2": "lr optimizer.momentum", "decay=l1": "lr optimizer.momentum",
                           "decay=none": "lr optimizer.momentum"}),
    ("decay=none optimizer=sgd,adam", {"optimizer=sgd": "lr optimizer.momentum", "optimizer=adam": "lr"}),
    ("optimizer=adam", {"decay=l2": "lambda lr", "decay=l1": "lambda lr"}),
    ("optimizer=AdamW", {"decay=l2": "lambda lr", "decay=l1": "lambda lr"}),
    ("optimizer.momentum=0.9 optimizer.lr=0.1", {"decay=l2": "lambda", "decay=l1": "lambda"}),
])  # fmt: skip
def test_what_an_experiment_bounds_gives_way_to_what_is_typed(tmp_path, words, found):
    question = asking.asked(["experiment=mine", *words.split()], asks(tmp_path, *YIELDING)).question
    own = {facet.name.replace("lambda=0.01 ", ""): " ".join(axes(facet)) for facet in question.facets}
    assert own == found


@pytest.mark.parametrize("word", ["optimizer.momentum=interval(0.5,0.9)", "optimizer.momentum=0.8,0.9"])
def test_what_an_experiment_asks_of_a_key_that_the_option_lacks_is_left_out_and_told(tmp_path, word):
    found = asking.asked(["experiment=mine", "optimizer=adam"], asks(tmp_path, "decay=l2,l1", word))
    assert names(found) == ["decay=l2", "decay=l1"]
    told = "optimizer.momentum: left out; the experiment asks about it, optimizer=adam has no such key"
    assert found.notes == (told,)


@pytest.mark.parametrize(("word", "message"), [
    ("seed=interval(0,9)", "seed=interval(0,9): leave it out; the seeds of wdrun tune are its own"),
    ("seed=0,1", "seed=0,1: leave it out; the seeds of wdrun tune are its own"),
    ("tau=3", "tau=3: leave it out; wdrun tune finds λ itself"),
    ("folds=2", "folds=2: must be one value in wdrun tune"),
    ("lambda=0.1", "lambda=interval(1e-3,0.1): lambda=0.1 is given too; both set lambda"),
    ("foo=interval(1,2)", "foo: unknown key"),
])  # fmt: skip
def test_what_an_experiment_may_not_ask_is_refused(tmp_path, word, message):
    with pytest.raises(ConfigError) as refused:
        asking.asked(["experiment=mine"], asks(tmp_path, *YIELDING[:2], word))
    assert str(refused.value).startswith(message)


def test_the_question_of_an_experiment_changes_no_run_of_it():
    jobs = experiments.jobs(["experiment=lr_lambda"], False)
    assert len(jobs) == 440


REFUSED = """
decay=none                                     | decay=none: nothing to compare: there is no λ to tune and no key has
decay=none lr=interval(0.01,1)                 | decay=none: nothing to compare
decay=none lr=0.1                              | decay=none: nothing to compare
decay=none lambda=interval(1e-3,1)             | lambda=interval(1e-3,1): decay=none is given too
lambda=interval(1,0.1)                         | lambda=interval(1,0.1): must be interval(low,high) with low < high
lambda=interval(1,1)                           | lambda=interval(1,1): must be interval(low,high) with low < high
lambda=interval(0,1)                           | lambda=interval(0,1): both ends must be > 0
lr=interval(-1,1)                              | lr=interval(-1,1): both ends must be > 0
lambda=interval(1)                             | lambda=interval(1): must be interval(low,high)
lambda=intervall(1,2)                          | 'lambda=intervall(1,2)': not an override; write key=value, special
lambda=interval(1e-3,1) lambda=0.1             | lambda=interval(1e-3,1): lambda=0.1 is given too
lambda=interval(1e-3,1) lambda=interval(1,2)   | lambda=interval(1,2): lambda=interval(1e-3,1) is given too
lambda=interval(1e-3,1) decay.lambda=0.1       | lambda=interval(1e-3,1): decay.lambda=0.1 is given too
decay=elastic_net decay.l1_ratio=interval(0,2) | decay.l1_ratio=2: must be a number from 0 to 1
decay=l2,huber decay.epsilon=interval(1e-3,1)  | decay.epsilon: unknown key
foo=interval(1,2)                              | foo: unknown key
optimizer=interval(1,2)                        | optimizer=1: must be one of
name=interval(1,2)                             | name=interval(1,2): interval(low,high) bounds a number
decay.coupling=interval(1,2)                   | decay.coupling=interval(1,2): interval(low,high) bounds a number
augment.flip=interval(0,1)                     | augment.flip=interval(0,1): interval(low,high) bounds a number
time=0                                         | time=0: must be a time > 0, such as 90s, 20m, 1h30m
time=-5m                                       | time=-5m: must be a time > 0
time=soon                                      | time=soon: must be a time > 0
time=1h30x                                     | time=1h30x: must be a time > 0
runs=0                                         | runs=0: must be a whole number ≥ 1
runs=many                                      | runs=many: must be a whole number ≥ 1
margin=0                                       | margin=0: must be a number > 0
margin=-1                                      | margin=-1: must be a number > 0
require.decided=maybe                          | require.decided=maybe: must be true or false
seed=0                                         | seed=0: leave it out; the seeds of wdrun tune are its own
seed=0,1                                       | seed=0,1: leave it out
seed=interval(0,9)                             | seed=interval(0,9): leave it out
halving=3                                      | halving: unknown key; write wdrun tune decay=l2
budget=0.5                                     | budget=0.5: leave it out
tau=3                                          | tau=3: leave it out
as_written=true experiment=l1_mlp              | as_written=true: leave it out
folds=5                                        | folds=5: must be one value in wdrun tune
fold=0,1 data.folds=2                          | fold=0,1: must be one value in wdrun tune
epochs=1,2                                     | epochs=1,2: must be one value; scores of other epochs do not compare
epochs=interval(1,5)                           | epochs=interval(…): must be one value; scores of other epochs
data=cifar10,synthetic                         | data=cifar10,synthetic: must be one value; scores of other data
data.label_noise=0,0.2                         | data.label_noise=0,0.2: must be one value; scores of other data
precision=fp32,fp64                            | precision=fp32,fp64: must be one value
name=a,b                                       | name=a,b: must be one value; it changes no score
evaluate=accuracy,full                         | evaluate.calibration=false,true: must be one value; it changes no score
parallel=interval(1,2)                         | parallel=interval(…): must be one value; it changes no score
objective=val_accuracy experiment=linear_regression | objective=val_accuracy: data=regression has no accuracy
lamda=3                                        | lamda: unknown key; did you mean lambda?
tim=40m                                        | tim: unknown key; did you mean time?
rnus=20                                        | rnus: unknown key; did you mean runs?
marginn=1                                      | marginn: unknown key; did you mean margin?
require.decide=true                            | require.decide: unknown key; did you mean require.decided?
decided=true                                   | decided: unknown key; did you mean require.decided?
"""


@pytest.mark.parametrize(("words", "message"), [
    [part.strip() for part in line.split("|")] for line in REFUSED.strip().splitlines()
])  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_one_line_and_nothing_is_made(words, message, here):
    with pytest.raises(ConfigError) as refused:
        asked(*words.split())
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)
    assert not list(here.iterdir())


def swept(*words):
    """The folder of a small sweep."""
    line = changed(TINY, "epochs=1", "data.train_examples=64", "name=swept", *words)
    jobs, options = experiments.sweep(experiments.lines(line, multirun=True, say=lambda note: None))
    execute(jobs, options)
    return jobs[0].root


def test_a_finished_sweep_is_a_question_about_its_facets():
    folder = swept("decay=none,l2,l1", "lambda=0,1e-3", "lr=0.01,0.1", "seed=0,1")
    found = asking.of_folder(folder, ["runs=60", "objective=val_accuracy"])
    assert sorted(names(found)) == ["decay=l1", "decay=l2"]
    assert [list(axes(facet)) for facet in found.question.facets] == [["lambda", "lr"]] * 2
    assert (found.root, found.budget.runs, found.question.objective) == (folder.resolve(), 60, "val_accuracy")
    one, other = found.question.facets
    assert one.without == other.without
    assert "decay=none" in one.without
    assert not {"seed", "lambda", "lr"} & {word.partition("=")[0] for word in (*one.words, *one.without)}


def test_of_a_finished_sweep_lr_is_tuned_only_where_it_varies():
    (facet,) = asking.of_folder(swept("decay=l2", "lambda=0,1e-3"), []).question.facets
    assert list(axes(facet)) == ["lambda"]
    assert "lr=0.02" in facet.words


def test_of_a_small_tune_lr_is_tuned_where_it_varies_without_decay_alone():
    """A search varies lr with λ = 0 first; that it did not get to more does not mean that lr was given."""
    swept("decay=none", "lr=0.01,0.03")
    (facet,) = asking.of_folder(swept("decay=l2", "lambda=1e-3", "lr=0.01"), []).question.facets
    assert list(axes(facet)) == ["lambda", "lr"]
    assert not [word for word in facet.words if word.startswith("lr=")]


def test_what_a_folder_cannot_answer_is_refused(here):
    with pytest.raises(ConfigError, match="no folders of runs there"):
        asking.of_folder(here, [])
    folder = swept("lambda=0,1e-3")
    with pytest.raises(ConfigError, match=r"decay=l1: .* has the knobs of its runs; wdrun tune DIR takes time="):
        asking.of_folder(folder, ["decay=l1"])
    folder = swept("lambda=0,1e-3", "folds=2", "name=folded")
    with pytest.raises(ConfigError, match="several folds"):
        asking.of_folder(folder, [])


def test_a_facet_is_named_as_it_is_typed():
    found = names(asked("decay=l2", "lambda=0.1", "lr=0.02,1e9,1e-5", "model=mlp", "model.hidden=[4]"))
    assert [name for name in found if "0.1" in name] == [
        f"decay=l2 lambda=0.1 lr={lr}" for lr in ("0.02", "1e9", "1e-5")
    ]


def test_a_lambda_and_lr_that_nobody_typed_are_known_of_a_facet():
    found = asked("experiment=decay_comparison", "decay=none,l2").question
    assert [facet.given("lr") for facet in found.facets] == [0.001, 0.001]
    (cell,) = {found.cell(1, (lam,)) for lam in (0.0,)}
    assert found.named(cell) == "lambda=0"
