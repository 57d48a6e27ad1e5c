"""Configs composed once and changed are those that Hydra composes anew for each line of words, errors too."""

import os
import shutil

import hydra
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig, OmegaConf

from wdrun.config import compose, experiments
from wdrun.config.compose import _check, _Composer, opened
from wdrun.config.options import conf_dir
from wdrun.config.parse import parse
from wdrun.errors import ConfigError

CHOICES = [
    *("data=synthetic", "data=cifar10", "model=mlp", "model=linear", "optimizer=adam", "optimizer=muon", "decay=none"),
    *("decay=l1", "decay=chain", "decay=l2", "schedule=step", "evaluate=robustness", "experiment=cifar_cnn"),
    *("experiment=decay_curve", "augment=none", "decay=l3", "optimizer=[adam]", "experiment=null"),
]
VALUES = [
    *("lambda=1e-3", "lambda=0", "lambda=null", "lambda=abc", "lambda=${lr}", "lambda=${nosuch}", "lambda=[1,2]"),
    *("decay.lambda=0.5", "optimizer.lr=0.25", "optimizer.lr=${lambda}", "lr=0.1", "lr=${decay.lambda}", "lr=???"),
    *("seed=3", "seed='3'", "seed=1.0", "epochs=true", "name=a.b", "'name=a b'", "name='a, b'", "name=", "fold=2"),
    *("model.hidden=[8]", "model.hidden.0=3", "model.hidden=${model.channels}", "model.width=7", "model={width:5}"),
    *("model={}", "model={hidden:[1,2],name:x}", "model=null", "data.folds=3", "data.folds={a:1}", "data.nosuch=1"),
    *("decay.scales=[[conv*,1],['*',0.5]]", "decay.schedule={name:cosine,final:0.1}", "decay.schedule=cosine"),
    *("decay.schedule.final=2", "decay.terms=[{decay:l2}]", "decay.terms.0.weight=3", "early_stopping=3"),
    *("early_stopping={patience:2}", "early_stopping={patienc:2}", "early_stopping.patience=1", "require=[1]"),
    *("lr.x=1", "nosuch=1", "nosuch.deep=1", "schedule.milestones=[0.5]", "schedule={milestones:[]}", "sweep=[seed=1]"),
    *("output_dir=${name}/${seed}", "article.overrides=[lambda=1]", "threads=${oc.env:NO_SUCH_VARIABLE}"),
]
EDITS = [
    *("+model.depth=3", "++model.depth=4", "++lambda=1", "+lambda=1", "+nosuch=1", "~lr", "~decay.scales", "~nosuch"),
    *("~model", "~model.width", "~budget", "+model={depth:3}", "++model={width:3,depth:1}", "+decay.terms=[]"),
    *("+diagnostics=[oui]", "~seed=0", "~seed=1", "++decay.schedule={name:step}", "+article.refuse=x", "model.depth=5"),
]
LINES = st.lists(st.sampled_from([*CHOICES, *VALUES, *EDITS]) | st.sampled_from(VALUES), max_size=7)


def answer(call):
    """What a call gives, or the line it is refused with."""
    try:
        return call()
    except ConfigError as error:
        return str(error)


def facts(composed):
    """All that can be seen of a config: values, kinds, order, interpolations, what they resolve to, flags."""
    if isinstance(composed, str):
        return composed
    raw = OmegaConf.to_container(composed)
    parsed = answer(lambda: parse(composed))
    flags = [(str(node._get_full_key("")), node._metadata.flags) for node in nodes(composed)]
    knobs = parsed if isinstance(parsed, str) else (repr(parsed.run.knobs), repr(parsed.options))
    return repr(raw), OmegaConf.to_yaml(composed), knobs, flags


def nodes(node):
    yield node
    if isinstance(node, DictConfig | ListConfig) and not node._is_none() and not node._is_missing():
        for key in node.keys() if isinstance(node, DictConfig) else range(len(node)):
            yield from nodes(node._get_node(key))


@pytest.fixture(scope="module")
def kept():
    """One composer for all lines: what one line changes must not be seen by the next."""
    composer = _Composer(None)

    def composed(words):
        with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
            return composer(words)

    return composed


def anew(words, config_dir=None):
    """The same line through Hydra alone."""
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_dir())):
        for word in words:
            _check(word, config_dir)
        return _Composer(config_dir)._whole(words)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(LINES)
def test_a_config_is_the_one_hydra_composes(kept, words):
    assert facts(answer(lambda: kept(words))) == facts(answer(lambda: anew(words)))


@pytest.mark.long
@settings(max_examples=2000, deadline=None)
@given(LINES)
def test_a_config_is_the_one_hydra_composes_many(kept, words):
    assert facts(answer(lambda: kept(words))) == facts(answer(lambda: anew(words)))


@pytest.mark.parametrize(
    "words",
    [
        [], ["lambda=1"], ["decay.lambda=0.5"], ["lr=${lambda}", "lambda=3"], ["lr=2", "++lr=1"], ["++lr=1", "lr=2"],
        ["+model.depth=3", "model.depth=4"], ["model.depth=4", "+model.depth=3"], ["~lr", "+lr=3"], ["lr=3", "~lr"],
        ["decay.lambda=0.5", "decay=l1"], ["decay=l1", "decay=l2", "decay.coupling=proximal"],
        ["experiment=cifar_cnn", "decay=l1", "optimizer.momentum=0.5"], ["model={width:5}", "model.width=6"],
        ["seed=nosuch", "lamda=1"], ["lamda=1", "decay=l3"], ["decay.coupling.x=1"], ["early_stopping=3"],
    ],
)  # fmt: skip
def test_order_and_interpolation(kept, words):
    assert facts(answer(lambda: kept(words))) == facts(answer(lambda: anew(words)))


OWN = {
    "decay/own.yaml": "defaults: [_shared, _self_]\nname: own\n_target_: own.Own\nlambda: 1\npower: ${seed}\n",
    "decay/deep/one.yaml": "name: one\n",
    "extra/a.yaml": "x: 1\n",
    "experiment/mine.yaml": "# @package _global_\ndefaults:\n  - override /decay: own\n  - /extra: a\nlr: ${seed}\n",
    "experiment/broken.yaml": "name: [\n",
}


@pytest.mark.parametrize(
    "words",
    [
        ["decay=own", "seed=3", "lambda=2"], ["decay=own", "decay.power=4"], ["experiment=mine", "seed=4"],
        ["experiment=mine", "extra.x=3"], ["experiment=mine", "decay.power=2", "decay=l2"], ["experiment=broken"],
        ["+extra=a", "extra.x=2"], ["extra=a"], ["+extra={y:1}"], ["extra.x=2", "+extra=a"], ["+decay/deep=one"],
        ["+extra=a", "extra.x=2", "+extra={x:5}"], ["+extra=a", "+extra={x:5}", "extra.x=2"],
    ],
)  # fmt: skip
def test_the_options_of_a_user(tmp_path, words):
    for name, text in OWN.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    folder = str(tmp_path)
    expected = facts(answer(lambda: anew(words, folder)))
    with opened(folder) as composed:
        for _ in range(2):
            assert facts(answer(lambda: composed(words))) == expected


@pytest.fixture
def asked(monkeypatch):
    """The lines that Hydra is asked to compose, none of which it was asked before."""
    compose._bases.cache_clear()
    lines = []
    through = hydra.compose
    monkeypatch.setattr(hydra, "compose", lambda name, words: lines.append(words) or through(name, words))
    return lines


def test_hydra_composes_once_for_each_choice_of_options(asked):
    jobs = experiments.jobs(["data=synthetic", "decay=l1,l2", "lambda=log_range(1e-4,1e-1,4)", "seed=range(0,5)"], True)
    assert asked == [["data=synthetic", "decay=l1"], ["data=synthetic", "decay=l2"]]
    assert [(job.run.decay["name"], job.run.lam, job.run.seed) for job in jobs] == [
        (decay, lam, seed) for decay in ("l1", "l2") for lam in (1e-4, 1e-3, 1e-2, 1e-1) for seed in range(5)
    ]
    assert len({job.run.id for job in jobs}) == 40


def test_one_composer_after_another_composes_once(asked):
    lines = [facts(compose.compose(["decay=l1", f"lambda={lam}"])) for lam in (0.5, 0.25, 0.5)]
    assert lines[0] == lines[2] != lines[1]
    with pytest.raises(ConfigError, match=r"decay\.nosuch: unknown key; decay takes"):
        compose.compose(["decay=l1", "decay.nosuch=1"])
    assert asked == [["decay=l1"]]


@pytest.mark.parametrize("change", ["edited", "edited unseen", "added"])
def test_a_changed_file_of_conf_is_read_anew(tmp_path, monkeypatch, asked, change):
    folder = shutil.copytree(conf_dir(), tmp_path / "conf")
    (folder / "decay" / ".#l1.yaml").symlink_to("someone@machine.4321:1")  # an editor's lock
    monkeypatch.setattr(compose, "conf_dir", lambda: folder)
    assert compose.compose(["decay=l1"]).decay.coupling == "auto"
    file = folder / "decay" / "l1.yaml"
    was, text = file.stat(), file.read_text()
    if change == "edited":
        file.write_text(text + "coupling: proximal\n")
        assert compose.compose(["decay=l1"]).decay.coupling == "proximal"
    elif change == "edited unseen":
        file.write_text(text.replace("name: l1", "name: l2"))
        os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
        assert file.stat().st_size == was.st_size
        assert compose.compose(["decay=l1"]).decay.name == "l2"
    else:
        (folder / "decay" / "l0.yaml").write_text("name: l0\n")
    compose.compose(["decay=l1"])
    assert asked == [["decay=l1"]] * 2


def test_a_users_own_options_are_read_anew(tmp_path):
    (tmp_path / "decay").mkdir()
    for power in (2, 3):
        (tmp_path / "decay" / "own.yaml").write_text(f"name: own\npower: {power}\n")
        assert compose.compose(["decay=own"], str(tmp_path)).decay.power == power


def test_jobs_share_nothing_that_can_be_changed():
    (first, second), _ = experiments.sweep([["decay=chain", "seed=1"], ["decay=chain", "seed=2"]])
    first.run.decay["terms"][0]["scales"].append(["*", 0])
    first.run.decay["schedule"]["name"] = "changed"
    (again,), _ = experiments.sweep([["decay=chain", "seed=2"]])
    assert second.run.decay == again.run.decay
    assert second.run.decay["terms"][0]["scales"] == []
