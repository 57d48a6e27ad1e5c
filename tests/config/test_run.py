"""A run's id, structure, slug and knobs, exactly: an id once given never changes."""

import io
import json
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml

from wdrun.config import run as run_
from wdrun.config.axes import key_of
from wdrun.config.compose import compose, opened
from wdrun.config.options import GROUPS, option_names
from wdrun.config.own_keys import chosen
from wdrun.config.parse import parse
from wdrun.tables.columns import run_row

RUNS = [  # words; id, structure, slug without the id, coupling
    ("data=synthetic", "hmgvdxpn", "qpvwcdsg", "cnn-l2-lambda0.001-sgd-lr0.02-s0", "coupled"),
    (
        "data=synthetic decay=l1 lambda=1e-5 model=mlp optimizer=adam lr=1e-3 seed=3",
        "vbbrckwn", "qjxwllff", "mlp-l1-lambda1e-5-adam-lr0.001-s3", "coupled",
    ),
    ("data.folds=5 fold=2 decay=none", "hdtdblcp", "llvxjgdn", "cnn-none-lambda0-sgd-lr0.02-s0-f2", "coupled"),
    (
        "data=synthetic model._target_=my.Net lambda=0.25",
        "sgdtqznc", "pvzhggpn", "Net-l2-lambda0.25-sgd-lr0.02-s0", "coupled",
    ),
]  # fmt: skip


def run_of(*words):
    return parse(compose(list(words))).run


@pytest.mark.parametrize(("words", "id_", "structure", "slug", "coupling"), RUNS)
def test_a_run_has_the_names_it_always_had(words, id_, structure, slug, coupling):
    run = run_of(*words.split())
    assert (run.id, run.structure, run.slug, run.coupling) == (id_, structure, f"{slug}-{id_}", coupling)


def test_no_id_ever_changes():
    """ids.txt is appended to and never edited: a new knob, a new line; an old line that fails is an id that changed."""
    lines = [line.split(" ", 1) for line in (Path(__file__).parent / "ids.txt").read_text().splitlines()]
    with opened() as composed:
        found = [(parse(composed(shlex.split(words))).run.id, words) for _, words in lines]
    assert found == [(id_, words) for id_, words in lines]
    assert len(lines) >= 118


def test_the_default_of_every_key_is_in_an_id_that_is_kept():
    """Of each option a line in ids.txt types nothing but the option, so a default changed in conf/ changes its id."""
    lines = [shlex.split(line)[1:] for line in (Path(__file__).parent / "ids.txt").read_text().splitlines()]
    named = run_of().nested
    for group in GROUPS:
        own = {"decay": ["lambda"], "optimizer": ["lr"]}.get(group, [])
        plain = [line for line in lines if not any(key_of(w) in own or key_of(w).startswith(f"{group}.") for w in line)]
        assert {chosen(line, group) or named[group]["name"] for line in plain} == {*option_names(group)}


SAME = [  # one training, typed in two ways
    ("lambda=0", "lambda=-0.0"),
    ("lambda=0", "decay.lambda=0.0"),
    ("lr=1", "lr=1.0"),
    ("lambda=1e-3", "lambda=.001"),
    ("model=mlp model.dropout=0", "model=mlp model.dropout=0.0"),
    ("model=mlp model.dropout=0", "model=mlp model.dropout=-0.0"),
    ("optimizer.momentum=0", "optimizer.momentum=-0.0"),
    ("optimizer=adagrad optimizer.initial_accumulator=1", "optimizer=adagrad optimizer.initial_accumulator=1.0"),
    ("optimizer.clip_norm=1", "optimizer.clip_norm=1.0"),
    ("optimizer.clip_norm=1", "optimizer.clip_norm=1 optimizer.clip=all"),
    ("", "optimizer.clip=data"),
    ("", "label_smoothing=0"),
    ("label_smoothing=0.25", "label_smoothing=.25"),
    ("", "augment.pad_mode=zeros"),
    ("data.noise=1", "data.noise=1.0"),
    ("data.train_examples=400", "data.train_examples=4e2"),
    ("data=regression data.test_x=[0,1]", "data=regression data.test_x=[-0.0,1.0]"),
    ("evaluate.fgsm=[1,2]", "evaluate.fgsm=[1.0,2.0]"),
    ("schedule.warmup=1", "schedule.warmup=1.0"),
    ("schedule=step schedule.factor=0", "schedule=step schedule.factor=-0.0"),
    ("decay.scales=[[conv*,1],[fc*,0]]", "decay.scales=[[conv*,1.0],[fc*,-0.0]]"),
    ("decay.schedule={name:linear,final:0}", "decay.schedule={final:0.0,name:linear}"),
    ("decay.schedule=with_lr", "decay.schedule=cosine"),
    ("decay=elastic_net decay.l1_ratio=1", "decay=elastic_net decay.l1_ratio=1.0"),
    ("decay=chain decay.terms=[{decay:l2,weight:1}]", "decay=chain decay.terms=[{weight:1.0,decay:l2}]"),
    ("decay=chain decay.terms=[{decay:l2}]", "decay=chain decay.terms=[{decay:l2,scales:[]}]"),
    ("decay=chain decay.terms=[{decay:l2,scales:[[a,1]]}]", "decay=chain decay.terms=[{decay:l2,scales:[[a,1.0]]}]"),
    ("model._target_=my.Net +model.slope=1", "model._target_=my.Net +model.slope=1.0"),
    ("decay._target_=my.Rule +decay.parts=[{a:0,b:2}]", "decay._target_=my.Rule +decay.parts=[{b:2.0,a:-0.0}]"),
    ("diagnostics=[oui,histograms]", "diagnostics=[histograms,oui,oui]"),
    ("decay.couplings=[coupled]", "decay.couplings=null"),
    ("decay=none lambda=1", "decay=none"),
]


@pytest.mark.parametrize(("words", "others"), SAME)
def test_one_training_has_one_id(words, others):
    one, other = (run_of("data=synthetic", *text.split()) for text in (words, others))
    assert (one.id, one.structure, one.slug) == (other.id, other.structure, other.slug)
    assert "-0.0" not in json.dumps(one.nested) + json.dumps(other.nested) + one.slug


@pytest.mark.parametrize(("words", "others"), [
    ("+model.slope=1", "+model.slope=true"),
    ("+model.slope=0", "+model.slope=false"),
    ("+model.slope=0", "+model.slope=null"),
    ("+model.slope=1", "+model.slope='1'"),
    ("+model.slope=[1,[2]]", "+model.slope=[1,2]"),
    ("+model.slope=1e300", "+model.slope=1.0000000000000002e300"),
    ("+model.slope=9007199254740993", "+model.slope=9007199254740992"),
    ("+model.slope=null", ""),
])  # fmt: skip
def test_other_values_have_other_ids(words, others):
    one, other = (run_of("data=synthetic", "model._target_=my.Net", *text.split()) for text in (words, others))
    assert one.id != other.id


def test_where_the_data_lie_is_not_what_they_are():
    one, other = run_of(), run_of("data.root=/elsewhere")
    assert (one.id, one.structure, one.slug) == (other.id, other.structure, other.slug)
    assert (one.knobs["data.root"], other.knobs["data.root"]) == (None, "/elsewhere")


def test_ids_are_read_as_text_by_every_reader():
    plain = run_of("data=synthetic")
    ids = [replace(plain, seed=seed).id for seed in range(5000)]
    assert len({*ids}) == 5000
    assert {letter for id_ in ids for letter in id_} == set(run_.LETTERS)
    assert {len(id_) for id_ in ids} == {8}
    read = pd.read_csv(io.StringIO("\n".join(["id", *ids])))["id"]
    assert read.tolist() == ids
    assert yaml.safe_load("\n".join(f"- {id_}" for id_ in ids)) == ids


def test_a_later_knob_enters_the_digest_only_where_it_changes_the_run(monkeypatch):
    """As if `optimizer.novel`, `decay.novel` and a schedule's `bend` had come after ids were frozen."""
    before = run_of("data=synthetic", "decay=chain")
    schedule = dict(before.decay["schedule"])

    def grown(novel, inner=0.0, bend=None):
        terms = [term | {"novel": inner} for term in before.decay["terms"]]
        decay = {**before.decay, "terms": terms, "schedule": schedule | {"bend": bend}}
        return replace(before, optimizer={**before.optimizer, "novel": novel}, decay=decay)

    assert grown(1).id != before.id
    monkeypatch.setattr(run_, "LATER", {"optimizer.novel": 1.0, "decay.terms.novel": 0, "decay.schedule.bend": None})
    assert (grown(1).id, grown(1.0, -0.0).structure) == (before.id, before.structure)
    others = [grown(2), grown(True), grown(None), grown(1, 0.5), grown(1, False), grown(1, 0, "up")]
    assert len({before.id, *(run.id for run in others)}) == 7


def test_a_knob_that_is_not_written_is_written_where_it_changes_the_run():
    """Where it has the value that runs always had, neither tables nor config.yaml name it."""
    usual = run_of("data=synthetic", "label_smoothing=0", "augment.pad_mode=zeros")
    assert not run_.UNWRITTEN.keys() & {*usual.knobs, *usual.nested, *(f"augment.{k}" for k in usual.nested["augment"])}
    other = run_of("data=synthetic", "label_smoothing=0.1", "augment.pad_mode=reflect")
    assert (other.knobs["label_smoothing"], other.nested["label_smoothing"]) == (0.1, 0.1)
    assert (other.knobs["augment.pad_mode"], other.nested["augment"]["pad_mode"]) == ("reflect", "reflect")
    assert other.id != usual.id == run_of("data=synthetic").id


def test_knobs_are_flat_in_a_fixed_order_and_nested_is_as_typed():
    run = run_of("data=regression", "model=linear", "augment=none", "optimizer=lion", "decay.scales=[[fc*,2]]")
    assert {key: value for key, value in run.knobs.items() if not key.startswith(("evaluate.", "decay."))} == {
        "lambda": 0.001, "lr": 1e-4, "seed": 0, "fold": 0, "epochs": 10, "batch_size": 64,
        "data.name": "regression", "data.train_examples": 125, "data.test_x": [0.1, 0.2, 0.3, 0.4, 0.5],
        "data.slope": 2.0, "data.intercept": 1.0, "data.noise": 0.1, "data.seed": 0, "data.val_size": 25,
        "data.train_size": None, "data.folds": 1, "data.split_seed": 0, "augment.name": "none", "model.name": "linear",
        "optimizer.name": "lion", "optimizer.rule": "lion", "optimizer.prefers": "decoupled", "optimizer.beta1": 0.9,
        "optimizer.beta2": 0.99, "optimizer.clip_norm": None, "optimizer.clip_value": None,
        "schedule.name": "cosine", "schedule.warmup": 0.0, "schedule.warmup_start": 0.0, "schedule.start": 1.0,
        "schedule.final": 0.0, "early_stopping.patience": None, "diagnostics": [], "device": "auto",
        "precision": "auto", "threads": "auto",
    }  # fmt: skip
    assert [*run.knobs][:7] == ["lambda", "lr", "seed", "fold", "epochs", "batch_size", "data.name"]
    assert (run.nested["lambda"], run.nested["decay"]["scales"]) == (0.001, [["fc*", 2]])
    run.nested["decay"]["scales"].append(1)
    assert run.decay["scales"] == [["fc*", 2]]  # the caller's own copy


@pytest.mark.parametrize("word", ["lambda=0.5", "lr=0.5", "seed=5", "fold=1"])
def test_scalars_change_the_id_and_not_the_structure(word):
    plain, other = run_of("data.folds=2"), run_of("data.folds=2", word)
    assert (plain.structure, plain.id == other.id) == (other.structure, False)


@pytest.mark.parametrize("word", ["epochs=5", "batch_size=32", "decay=l1", "data.seed=1", "threads=1"])
def test_everything_else_changes_both(word):
    plain, other = run_of("data=synthetic"), run_of("data=synthetic", word)
    assert (plain.structure == other.structure, plain.id == other.id) == (False, False)


def test_what_is_asked_of_a_run_changes_neither():
    plain, other = run_of(), run_of("name=x", "output_dir=y", "parallel=2", "logger=wandb", "require.val_accuracy=0.5")
    assert (plain.id, plain.structure) == (other.id, other.structure)


def test_none_is_the_same_run_for_every_lambda():
    ids = {run_of("data=synthetic", "decay=none", f"lambda={x}").id for x in ("0", "1e-4", "1")}
    assert len(ids) == 1


def test_the_coupling_is_the_runs_own_then_the_decays_then_the_optimizers():
    assert run_of("optimizer=adamw").coupling == "decoupled"
    assert run_of("decay=cautious").coupling == "cautious"
    assert run_of("decay=l1", "decay.coupling=proximal", "optimizer=adamw").coupling == "proximal"


def test_a_slug_is_a_safe_name_of_bounded_length():
    run = run_of("data=synthetic", f"model.name={'n' * 80}", "model._target_=own.Net")
    assert len(run.slug) <= 80 + len("-s0-bcdfghjk")
    assert run_of("data=synthetic", "model._target_='own.Nét λ'").slug.startswith("N_t__-l2-")


def test_a_job_has_its_own_folder(here):
    job = parse(compose(["data=synthetic", "output_dir=a/b", "name=c"]), ["data=synthetic"])
    assert job.directory == here / "a/b/c" / job.run.slug
    assert job.overrides == ("data=synthetic",)


@pytest.mark.parametrize("words", [(), ("decay=l1", "model=mlp"), ("optimizer=muon", "schedule=step")])
def test_a_runs_columns_name_every_knob(words):
    run = run_of("data=synthetic", *words)
    assert run.knobs.keys() <= run_row(run, {}).keys()
    assert run_of("data=synthetic", *words).id == run.id
