"""Each kind of finding: the lines that settle it compose, and with their runs it is found no more."""

import itertools

import pytest

from tests import made_up
from wdrun.config import experiments
from wdrun.selection import select
from wdrun.selection.facet import beyond
from wdrun.selection.finding import told
from wdrun.selection.kinds import KINDS
from wdrun.sweep.execute import execute
from wdrun.tables import plan
from wdrun.tables.read import load

TINY = ["data=synthetic", "model=mlp", "model.hidden=[4]", "epochs=1", "data.train_examples=200"]
TINY += ["data.test_examples=50", "threads=1", "batch_size=32", "augment=none"]
NOTHING_TO_RUN = {"weak choice", "diverged", "short runs", "repeats", "shared images"}
NOTHING_TO_RUN |= {"other question", "other data", "made apart"}


def found(root, kind, facet=None):
    """The finding of this kind; the only one, or that of the facet."""
    (finding,) = [
        f for f in select(load([root]).runs).findings if f.kind == kind and facet in (None, f.facet)
    ]  # fmt: skip
    return finding


def jobs(finding):
    """The jobs of the lines that settle it: each line several, where it says -m, or one."""
    assert finding.settles
    several = [experiments.jobs([w for w in words if w != "-m"], "-m" in words) for words in finding.settles]
    assert all((len(line) > 1) == ("-m" in words) for line, words in zip(several, finding.settles, strict=True))
    return [job for line in several for job in line]


# --- trained ---

# kind, what was typed (a sweep each)
TRAINED = {
    "no zero": [["lambda=1e-3,1e-2", "seed=0,1"]],
    "upper edge": [["lambda=0,0.3,1"]],
    "one lambda": [["lambda=0,3", "seed=0,1,2"]],
    "only zero": [["lambda=0", "lr=0.1"]],
    "weak grid": [["lambda=0,1e-2", "decay.scope=fc"]],
    "knob edge": [["decay=decoupled", "lambda=3,10", "lr=0.02,0.1"]],
    "few replicates": [["lambda=0,0.3,1"]],
    "one pair": [["lambda=0,0.3,1"]],
    "all alike": [["lambda=0,0.1", "seed=0,1,2"]],
    "rival": [["decay=l2,l1", "lambda=0,1e-2"]],
    "nothing": [["lambda=1", "lr=1e5"]],
    "missing": [["lambda=0,0.1", "seed=0,1"], ["lambda=0.1", "seed=2,3"]],
    "holes": [["lambda=0,1", "lr=0.02,0.1", "data.folds=2", "fold=0,1"], ["lambda=0.1", "lr=0.1", "data.folds=2"]],
    "unequal budgets": [["decay=l2", "lambda=0,0.1,1,3"], ["decay=l1", "lambda=0,0.1"], ["optimizer=adam", "lambda=1"]],
}


@pytest.mark.parametrize("kind", TRAINED)
def test_the_runs_that_settle_it_settle_it(kind, tmp_path):
    root = tmp_path / "default"
    for words in TRAINED[kind]:
        execute(experiments.jobs([*TINY, f"output_dir={tmp_path}", *words], True))
    before = [f for f in select(load([root]).runs).findings if f.kind == kind]
    assert before
    for finding in before:
        assert {outcome.status for outcome in execute(jobs(finding))} <= {"done", "diverged"}
    after = select(load([root]).runs).findings
    assert not set(map(repr, before)) & set(map(repr, after))
    chance = {
        "upper edge",
        "knob edge",
        "rival",
        "all alike",
    }  # found again further on, with other numbers
    assert kind in chance or kind not in {f.kind for f in after}


def test_lambda_zero_of_decay_none_goes_on_with_a_decay(tmp_path):
    execute(experiments.jobs([*TINY, f"output_dir={tmp_path}", "decay=none"], False))
    execute(jobs(found(tmp_path / "default", "only zero")))
    assert "only zero" not in {f.kind for f in select(load([tmp_path / "default"]).runs).findings}


def test_what_failed_or_was_interrupted_is_run_again(tmp_path):
    execute(experiments.jobs([*TINY, f"output_dir={tmp_path}", "lambda=0,0.1,1"], True))
    for path in sorted(tmp_path.glob("default/*/run.csv"))[:2]:
        path.write_bytes(path.read_bytes().replace(b",done,", b",failed,"))
    finding = found(tmp_path / "default", "failed")
    outcomes = execute(jobs(finding))
    assert [o.skipped for o in outcomes] == [False] * finding.numbers["failed"]
    assert "failed" not in {f.kind for f in select(load([tmp_path / "default"]).runs).findings}


def test_what_the_plan_has_waiting_is_told_and_nothing_it_may_answer(tmp_path):
    """Of 18 planned runs four are there: three of λ = 0, one of λ = 0.1."""
    words = [*TINY, f"output_dir={tmp_path}", "lambda=0,0.1,0.3", "seed=range(0,6)"]
    planned = experiments.jobs(words, True)
    plan.write(planned)
    execute(planned[:4])
    plan.write(planned)
    found = load([tmp_path / "default"])
    selection = select(found.runs, plan=found.plan)
    (finding,) = [f for f in selection.findings if f.kind == "plan"]
    assert finding.sentence == "14 of 18 runs of the plan are not trained yet"
    assert finding.open
    assert finding.remedy.startswith("go on with wdrun -m ")
    assert selection.choices["missing"].tolist() == [14]
    assert not {"only zero", "few replicates", "holes"} & {f.kind for f in selection.findings}
    assert {job.run.id for job in jobs(finding)} == {job.run.id for job in planned[4:]}
    execute(jobs(finding))
    found = load([tmp_path / "default"])
    assert "plan" not in {f.kind for f in select(found.runs, plan=found.plan).findings}


def test_a_facet_that_is_not_ranked_is_run_on_the_replicates_of_the_others(tmp_path):
    made_up.sweep(tmp_path, {0: [1.0, 1.1, 1.2, 1.3], 0.1: [0.9, 1.0, 1.1, 1.2]})
    made_up.run(tmp_path, 0.1, 0.1, seed=7, optimizer="adam")
    finding = found(tmp_path, "not ranked", "optimizer=adam")
    assert sorted((job.run.lam, job.run.seed) for job in jobs(finding)) == [(0.1, seed) for seed in range(4)]
    for seed in range(4):
        made_up.run(tmp_path, 0.1, 2.0 + noise(seed), seed=seed, optimizer="adam")
    assert "not ranked" not in {f.kind for f in select(load([tmp_path]).runs).findings}


def test_lines_find_the_users_own_options(tmp_path):
    execute(experiments.jobs([*TINY, f"output_dir={tmp_path}", "lambda=0.1"], False))
    selection = select(load([tmp_path / "default"]).runs, config_dir="mine")
    assert {line[-1] for f in selection.findings for line in f.settles} == {"--config-dir=mine"}


# --- made up ---


def point(run):
    return run.decay["name"], run.lam, run.lr, run.seed


def fill(root, finding, loss):
    """Make up the runs of the lines; those that were not there, as (decay, λ, lr, seed)."""
    there = {(r["decay"], r["lambda"], r["lr"], r["seed"]) for r in load([root], tables=()).runs.to_dict("records")}
    new = sorted({point(job.run) for job in jobs(finding)} - there)
    for decay, lam, lr, seed in new:
        made_up.run(root, lam, loss(lam, lr, seed), decay=decay, lr=lr, seed=seed, total=10 * lam)
    return new


def noise(seed):
    return 0.001 * (seed % 3)


SWEPT = {
    # kind: losses by λ and seed, losses of what is run then, kinds beside it
    "weaker": ({0: [1.0, 1.02], 0.1: [1.2, 1.21], 1: [2, 2]}, lambda lam, lr, seed: 1.1 + noise(seed)),
    "lower edge": ({0: [1.0, 1.02, 0.98], 0.1: [0.8, 0.82, 0.78], 1: [0.9] * 3}, lambda lam, lr, seed: 0.95),
    "tie": ({0: [2.0] * 3, 0.1: [1.0, 1.1, 1.2], 1: [1.2, 1.1, 1.0]}, lambda lam, lr, seed: 1.0 + 0.1 * lam),
    "cannot tell": (
        {0: [1.0, 1.3, 0.8], 0.01: [1.5] * 3, 0.1: [0.9, 1.1, 0.85], 1: [1.4] * 3},
        lambda lam, lr, seed: 1.0 + noise(seed) - lam,
    ),
    "flattered": ({lam: [1.0, 1.1, 1.2 + lam] for lam in range(12)}, lambda lam, lr, seed: 1.0 + noise(seed) + lam),
    "no pair": ({0: [1.0], 0.1: [1.1, 0.9, 1.0], 1: [1.3] * 3}, lambda lam, lr, seed: 1 - lam),
}


@pytest.mark.parametrize("kind", SWEPT)
def test_made_up_runs_settle_it(kind, tmp_path):
    losses, then = SWEPT[kind]
    for lam, xs in losses.items():
        for seed, loss in enumerate(xs):
            if loss is not None:
                made_up.run(tmp_path, lam, loss, seed=seed, total=10 * lam)
    assert fill(tmp_path, found(tmp_path, kind), then)
    assert kind not in {f.kind for f in select(load([tmp_path]).runs).findings}


@pytest.mark.parametrize(
    ("losses", "total", "kind", "add"),
    [
        # D = 0.2 at λ = 0.01: a tenth of it cannot act, half of it can
        ({0: [2.0] * 3, 0.01: [1.0] * 3, 0.1: [1.5] * 3}, 20, "lower edge", [0.005, 0.0025]),
        ({0: [2.0] * 3, 0.01: [1.5] * 3, 0.1: [1.0] * 3}, 20, "upper edge", [0.2, 0.4]),
        ({0: [2.0] * 3, 0.01: [1.0] * 3, 0.1: [1.5] * 3}, 9, "lower edge", []),
        ({0: [2.0] * 3, 0.01: [1.5] * 3, 0.1: [1.0] * 3}, 60, "upper edge", []),
    ],
)
def test_a_step_that_leads_out_of_where_decay_acts_is_made_shorter(tmp_path, losses, total, kind, add):
    for lam, xs in losses.items():
        for seed, loss in enumerate(xs):
            made_up.run(tmp_path, lam, loss + seed / 100, seed=seed, total=total * lam)
    finding = found(tmp_path, kind)
    assert finding.numbers["add"] == add
    assert ("there is none to add" in finding.remedy) == (not add)
    assert {job.run.lam for line in finding.settles for job in experiments.jobs(list(line[1:]), True)} == {*add}


def test_lambda_zero_lost_to_divergence_is_tried_at_a_lower_lr(tmp_path):
    made_up.sweep(tmp_path, {0.1: [1.0, 1.1, 1.2]})
    for seed in range(3):
        made_up.run(tmp_path, 0, seed=seed, status="diverged")
    new = fill(tmp_path, found(tmp_path, "zero lost"), lambda lam, lr, seed: 2.0)
    assert new == [("l2", 0.0, lr, seed) for lr in (0.001, 0.01) for seed in range(3)]
    assert "zero lost" not in {f.kind for f in select(load([tmp_path]).runs).findings}


def test_lines_are_exactly_the_runs_that_are_missing(tmp_path):
    """Of a grid of λ × lr × seed, some cells lack a seed and one cell lacks them all."""
    grid = list(itertools.product(["l2"], [0.0, 0.1, 1.0], [0.1, 0.2], [0, 1, 2]))
    gone = {("l2", 0.1, 0.1, 1), ("l2", 1.0, 0.2, 0), ("l2", 1.0, 0.2, 2)}
    hole = {("l2", 0.1, 0.2, seed) for seed in range(3)}
    for decay, lam, lr, seed in sorted({*grid} - gone - hole):
        made_up.run(tmp_path, lam, 1 + lam, decay=decay, lr=lr, seed=seed)
    missing, holes = found(tmp_path, "missing"), found(tmp_path, "holes")
    assert {point(job.run) for job in jobs(missing)} == gone
    assert {point(job.run) for job in jobs(holes)} == hole
    for finding in (missing, holes):
        fill(tmp_path, finding, lambda lam, lr, seed: 1 + lam)
    assert not {"missing", "holes"} & {f.kind for f in select(load([tmp_path]).runs).findings}


def test_more_seeds_than_are_worth_it_are_not_proposed(tmp_path):
    made_up.sweep(tmp_path, {0: [1.0, 1.3, 0.8], 0.01: [1.0001, 1.27, 0.82], 0.1: [0.999, 1.25, 0.9], 1: [1.4] * 3})
    finding = found(tmp_path, "cannot tell")
    assert finding.settles == ()
    assert finding.numbers["seeds"] == 0


def test_without_what_was_typed_the_remedy_is_in_words_only(tmp_path):
    made_up.sweep(tmp_path, {0.1: [1.0]}, typed=False)
    finding = found(tmp_path, "no zero")
    assert (finding.settles, finding.remedy) == ((), "add lambda=0")


def test_a_facet_that_only_borrows_lambda_zero_goes_on_in_its_own_words(tmp_path):
    """l2 has λ = 0 at seed 5 and is lent that of seed 0: what l1 was typed with is not what l2 is."""
    made_up.sweep(tmp_path, {0: [1.0], 0.1: [0.9]}, decay="l1")
    made_up.run(tmp_path, 0, 1.0, seed=5)
    assert {job.run.decay["name"] for job in jobs(found(tmp_path, "only zero"))} == {"l2"}


def test_every_kind_is_settled_in_a_test_or_says_that_nothing_is_to_be_run(tmp_path):
    assert {*TRAINED, *SWEPT, "failed", "zero lost", "plan", "not ranked", "looked"} == {*KINDS} - NOTHING_TO_RUN
    made_up.sweep(tmp_path, {1e-6: [1.0, 1.1, 1.2], 0: [2, 2, 2]}, total=1e-6)
    made_up.run(tmp_path, 0.1, 1.0, status="diverged")
    made_up.run(tmp_path, 0, 1.0, epochs=1)
    (tmp_path / "halving.csv").write_text("rung,epochs\n1,1\n2,2\n")
    made_up.run(tmp_path, 0, 1.0, epochs=9, status="failed")
    made_up.run(tmp_path, 0, 1.0, commit="d" * 40, **{"data.train_size": 50})
    made_up.run(tmp_path, 0, 2.0, fold=1)
    made_up.run(tmp_path, 0, 2.0, seed=0, diagnostics="['oui']")
    findings = {f.kind: f for f in select(load([tmp_path]).runs).findings}
    assert findings.keys() >= NOTHING_TO_RUN
    assert not any(findings[kind].settles for kind in NOTHING_TO_RUN)


# --- words ---


def test_the_numbers_are_plain(tmp_path):
    made_up.sweep(tmp_path, {0: [1.0, 1.1], 0.1: [0.9, 1.0]})
    made_up.sweep(tmp_path, {0: [1.0, 1.1], 0.1: [0.9, 1.0]}, decay="l1")

    def plain(value):
        return all(map(plain, value)) if type(value) is list else type(value) in (int, float, str, bool, type(None))

    for finding in select(load([tmp_path]).runs).findings:
        assert all(map(plain, finding.numbers.values())), finding


def test_what_is_true_of_several_facets_is_said_once():
    assert told([("a", "x"), ("b", "x"), ("b", "y")], ["a", "b"]) == ["every facet: x", "b: y"]
    assert told([("a", "x"), ("b", "x"), ("all", "z")], ["a", "b", "c"]) == ["a; b: x", "all: z"]
    assert told([("a", "x")], ["a"]) == ["a: x"]


@pytest.mark.parametrize(
    ("values", "direction", "knob", "found"),
    [
        ([0, 0.1, 0.3], 1, "lambda", [0.9, 2.7]),
        ([0.1], -1, "lambda", [0.01, 0.001]),
        ([32, 64], 1, "batch_size", [128, 256]),
        ([2, 4], -1, "batch_size", [1]),
        ([1, 2], -1, "model.width", []),
        ([0.8, 0.9], 1, "optimizer.momentum", [0.95, 0.97]),
        ([0.9, 0.99], 1, "optimizer.beta2", [0.995, 0.9975]),
        ([0.5, 0.99], 1, "decay.smoothing", [0.995, 0.9975]),
        ([0.2, 0.4], 1, "schedule.peak_at", [0.7, 0.85]),
        ([0.001, 0.01], 1, "decay.delta", [0.1, 1.0]),
        ([1e-8, 1e-7], 1, "optimizer.eps", [1e-6, 1e-5]),
        ([0.01, 0.1], 1, "schedule.final", [1.0, 10.0]),
        ([0.4, 0.6], 1, "model.dropout", [0.9]),
        ([0], -1, "optimizer.momentum", []),
    ],
)
def test_beyond_an_end_are_values_the_knob_accepts(values, direction, knob, found):
    assert beyond(values, direction, knob) == found
