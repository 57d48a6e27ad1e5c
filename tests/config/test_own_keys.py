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
