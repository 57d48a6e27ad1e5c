"""Keys that only some options have: an axis of one varies where it applies, and that is said."""

import pytest

from wdrun.config import experiments


@pytest.mark.parametrize(
    ("words", "lines", "said"),
    [
        ("optimizer=sgd,adam optimizer.momentum=0,0.9",
         ["optimizer=sgd optimizer.momentum=0", "optimizer=sgd optimizer.momentum=0.9", "optimizer=adam"],
         ["optimizer.momentum: only for optimizer=sgd; adam has no such key"]),
        ("optimizer.momentum=0.9 optimizer=adam,sgd,lion lr=1", ["optimizer=adam lr=1",
         "optimizer.momentum=0.9 optimizer=sgd lr=1", "optimizer=lion lr=1"],
         ["optimizer.momentum: only for optimizer=sgd; adam and lion have no such key"]),
        ("decay=chain,l2 decay.terms.0.weight=1,2", ["decay=chain decay.terms.0.weight=1",
         "decay=chain decay.terms.0.weight=2", "decay=l2"],
         ["decay.terms.0.weight: only for decay=chain; l2 has no such key"]),
        ("optimizer+lr=sgd:1,adam:2 optimizer.nesterov=true,false", ["optimizer=sgd lr=1 optimizer.nesterov=True",
         "optimizer=sgd lr=1 optimizer.nesterov=False", "optimizer=adam lr=2"],
         ["optimizer.nesterov: only for optimizer=sgd; adam has no such key"]),
        ("optimizer=sgd,adam optimizer.clip_norm=1,2 seed=0,0", [f"optimizer={o} optimizer.clip_norm={c} seed=0"
         for o in ("sgd", "adam") for c in (1, 2) for _ in (0, 0)], []),
    ],
)  # fmt: skip
def test_it_varies_where_it_applies(words, lines, said):
    heard = []
    found = experiments.lines(words.split(), True, say=heard.append)
    assert ([" ".join(line) for line in found], heard) == (lines, said)


def test_of_an_experiments_axis_too():
    heard = []
    words = ["experiment=lr_lambda", "optimizer.momentum=0,0.9", "lambda=0", "seed=0", "decay.coupling=coupled"]
    found = experiments.lines(words, True, say=heard.append)
    assert (len(found), len(heard)) == (5 * 2 + 5, 1)


def test_it_is_said_once_on_stderr(wdrun, capsys):
    code, _, err = wdrun("-m", "--cfg=job", "optimizer=sgd,adam", "optimizer.momentum=0,0.9", capture=capsys)
    assert (code, err) == (0, "optimizer.momentum: only for optimizer=sgd; adam has no such key\n")


LEFT_OUT = "optimizer.momentum: left out; the experiment sets it, optimizer=adamw has no such key"


def test_what_an_experiment_sets_for_its_own_option_is_left_out_beside_another():
    heard = []
    words = ["experiment=cifar_cnn", "optimizer=adamw,sgd", "lambda=0.01"]
    found = experiments.lines(words, True, say=heard.append)
    assert heard == [LEFT_OUT]
    assert [line[1:] for line in found] == [
        ["optimizer=adamw", "lambda=0.01", "~optimizer.momentum"],
        ["optimizer=sgd", "lambda=0.01"],
    ]
    adamw, sgd = (job.run for job in experiments.sweep(found)[0])
    assert ("momentum" in adamw.optimizer, sgd.optimizer["momentum"]) == (False, 0.0)
    assert adamw.decay["scales"] == sgd.decay["scales"], "what the option has too stays the experiment's"
    again = experiments.lines(found[0], False, say=heard.append)
    assert (again, heard) == ([found[0]], [LEFT_OUT]), "the printed line is that run again, without a word"


def test_typed_it_is_refused_as_ever(wdrun, capsys):
    code, _, err = wdrun("experiment=cifar_cnn", "optimizer=adamw", "optimizer.momentum=0.9", capture=capsys)
    assert (code, err) == (2, "wdrun: optimizer.momentum: unknown key; adamw takes beta1, beta2, eps, amsgrad\n")
