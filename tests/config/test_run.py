"""A run's id, structure, slug and knobs, exactly: an id once given never changes."""

import pytest

from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.tables.columns import run_row

RUNS = [  # words; id, structure, slug without the id, coupling
    ("data=synthetic", "957ec53e", "9753d3ee", "cnn-l2-lambda0.001-sgd-lr0.02-s0", "coupled"),
    (
        "data=synthetic decay=l1 lambda=1e-5 model=mlp optimizer=adam lr=1e-3 seed=3",
        "605e2a6d", "31419064", "mlp-l1-lambda1e-5-adam-lr0.001-s3", "coupled",
    ),
    ("data.folds=5 fold=2 decay=none", "99102463", "d62fd66f", "cnn-none-lambda0-sgd-lr0.02-s0-f2", "coupled"),
    (
        "data=synthetic model._target_=my.Net lambda=0.25",
        "ab185b61", "408de5b4", "Net-l2-lambda0.25-sgd-lr0.02-s0", "coupled",
    ),
]  # fmt: skip


def run_of(*words):
    return parse(compose(list(words))).run


@pytest.mark.parametrize(("words", "id_", "structure", "slug", "coupling"), RUNS)
def test_a_run_has_the_names_it_always_had(words, id_, structure, slug, coupling):
    run = run_of(*words.split())
    assert (run.id, run.structure, run.slug, run.coupling) == (id_, structure, f"{slug}-{id_}", coupling)


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
    assert len(run.slug) <= 80 + len("-s0-12345678")
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
