"""Every experiment runs from its one line, shrunk; article 000 ends on its closed form; as_written does or refuses;
label noise gives a U-shaped curve."""

import json
import re
from functools import partial

import pytest
import torch

from tests import runs
from wdrun.config import experiments
from wdrun.config.options import conf_dir, option_names
from wdrun.errors import ConfigError
from wdrun.sweep.one_run import ready

NAMES = option_names("experiment")
TINY = ["data=synthetic", "data.train_examples=250", "data.test_examples=50", "data.train_size=null", "epochs=1"]
TINY += ["batch_size=50", "threads=1", "precision=fp32"]
SHORT = {"linear_regression": ["epochs=2", "threads=1"]}
run_of = partial(runs.run, base=())
ARTICLES = {
    "linear_regression": "000", "l2_mlp": "001", "decay_curve": "001", "l1_mlp": "002", "visualize": "003",
    "cifar_cnn": "004",
}  # fmt: skip
JOBS = {
    "linear_regression": 1, "l2_mlp": 2, "decay_curve": 90, "l1_mlp": 12, "visualize": 3, "cifar_cnn": 2,
    "decay_comparison": 108, "kfold": 30, "label_noise": 40, "lr_lambda": 440, "resnet": 1, "resnet_lambda": 36,
    "robustness": 15, "smoke": 12,
}  # fmt: skip
# What is left of each grid: two jobs, or what the experiment is without one.
FEW = {
    "linear_regression": [],
    "l2_mlp": [],
    "decay_curve": ["lr=0.02", "lambda=0,1e-2", "seed=0"],
    "l1_mlp": ["lambda=1e-3"],
    "visualize": ["lambda=0,5e-4"],
    "cifar_cnn": ["model.channels=[4,4]", "model.width=8", "evaluate=accuracy", "evaluate.blur=[1]"],
    "decay_comparison": ["decay=l2,cautious", "lambda=1e-2", "seed=0"],
    "kfold": ["folds=2", "lambda=1e-2"],
    "label_noise": ["lambda=0,1e-1", "seed=0"],
    "lr_lambda": ["optimizer=adam", "lr=1e-3", "decay.coupling=coupled,decoupled", "lambda=1e-2", "seed=0"],
    "resnet": ["model.widths=[4,8]", "seed=0,1", "data.val_size=50"],
    "resnet_lambda": ["lr=0.1", "lambda=0,1e-2", "seed=0", "model.widths=[4,8]", "data.val_size=50"],
    "robustness": ["lambda=0,1e-2", "seed=0", "evaluate=accuracy", "evaluate.fgsm=[8]"],
    "smoke": ["lambda=0,1e-1", "seed=0"],
}  # fmt: skip


def text(name):
    return (conf_dir() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")


def small(name):
    many = [word for word in FEW[name] if ("," in word and "[" not in word) or word.startswith("folds")]
    return ["-m"] * bool(many) + [f"experiment={name}", *SHORT.get(name, TINY), *FEW[name]]


def test_every_article_and_question_has_one():
    assert set(NAMES) == set(FEW) == set(JOBS)
    assert set(ARTICLES.values()) == {"000", "001", "002", "003", "004"}


@pytest.mark.parametrize("name", NAMES)
def test_its_file_says_how_it_is_run_and_how_long_it_takes(name):
    package, title, *rest = text(name).splitlines()
    assert package == "# @package _global_"
    article = f"article {ARTICLES[name]}: " if name in ARTICLES else ""
    assert re.fullmatch(rf"# {article}[a-zλ].{{20,110}}", title)
    (line,) = [line for line in rest if re.match(rf"#   wdrun experiment={name} +\S.*(minute|second)", line)]
    assert re.search(r"measured|estimated", line)
    if (runs := re.search(r"(\d+) runs?", line)) or name not in ARTICLES:
        assert int(runs[1]) == JOBS[name]
    assert f"\nname: {name}\n" in text(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_job_of_its_line_is_a_sound_config(name):
    jobs = experiments.jobs([f"experiment={name}"], multirun=False)
    assert len(jobs) == len({job.run.id for job in jobs}) == JOBS[name]
    assert {job.options.name for job in jobs} == {name}
    assert {job.run.augment["name"] for job in jobs} == {"flip_crop" if name == "resnet" else "none"}


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_shrunk(name, wdrun, here, capsys):
    code, out, err = wdrun(*small(name), capture=capsys)
    assert code == 0, err
    results = [json.loads(line) for line in out.splitlines()]
    assert len(results) == (1 if name == "linear_regression" else 2)
    assert {r["status"] for r in results} == {"done"}
    assert (here / "outputs" / name / "runs.csv").is_file()
    if name == "visualize":
        assert len((here / "outputs" / name / "histograms.csv").read_text().splitlines()) > 100


@pytest.mark.parametrize("name", [n for n in ARTICLES if n != "cifar_cnn"])
def test_as_written_is_another_run_and_trains(name, wdrun, capsys):
    few = [w for w in small(name) if w != "-m" and not w.startswith(("lambda", "seed", "lr"))]
    few += ["lambda=1e-2", "lr=0.02"] * (name == "decay_curve")
    code, out, err = wdrun(*few, "as_written=true", "allow_diverged=true", capture=capsys)
    assert code == 0, err
    (result,) = (json.loads(line) for line in out.splitlines())
    plain = {job.run.id for job in experiments.jobs([w for w in few if w != "as_written=true"], multirun=False)}
    assert result["id"] not in plain or name in ("l1_mlp", "visualize")  # there a point of the corrected grid


def test_article_004_cannot_run_as_written(wdrun, here, capsys):
    code, out, err = wdrun("experiment=cifar_cnn", "as_written=true", capture=capsys)
    assert (code, out) == (2, "")
    assert "64·28·28" in err
    assert not list(here.iterdir())


def written(name, *words):
    return experiments.jobs([f"experiment={name}", "as_written=true", *words], multirun=False)


def test_what_the_articles_text_does():
    (line,) = written("linear_regression")
    assert line.run.lam == 0.02  # λΣw², λ = 0.01
    (keras,) = written("l2_mlp")
    assert (keras.run.lam, keras.run.lr, keras.run.decay["scales"]) == (0.1, 0.1, [])
    (l1,) = written("l1_mlp")
    assert (l1.run.lam, l1.run.coupling, l1.run.decay["name"]) == (0.01, "coupled", "l1")
    (unused,) = written("visualize")
    assert (unused.run.lam, unused.run.decay["name"]) == (0.0, "none")
    (curve,) = written("decay_curve", *TINY, "lr=0.02", "lambda=1e-2")
    scale = ready(curve.run).rule.scale
    assert list(scale) == ["fc1.weight"]
    assert scale["fc1.weight"].count_nonzero().item() == 64 * 10


@pytest.mark.parametrize(
    ("name", "decayed"),
    [
        ("linear_regression", {"fc1.weight": 1}),
        ("l2_mlp", {"fc1.weight": 1}),
        ("decay_curve", {"fc1.weight": 1, "fc2.weight": 1}),
        ("l1_mlp", {"fc1.weight": 1, "fc2.weight": 1}),
        ("visualize", {"fc1.weight": 1, "fc1.bias": 1, "fc2.weight": 1, "fc2.bias": 1}),
        ("cifar_cnn", {"conv1.weight": 0.5, "conv2.weight": 1, "fc1.weight": 2, "fc2.weight": 1}),
    ],
)
def test_decay_is_where_the_article_has_it(name, decayed):
    words = [] if name == "linear_regression" else [*TINY, "evaluate=accuracy"]
    assert ready(run_of(f"experiment={name}", *words)).rule.scale == decayed


def test_article_004s_coefficient_rises_to_its_maximum():
    made = ready(run_of("experiment=cifar_cnn", *TINY, "evaluate=accuracy"))
    assert made.decay_schedule(0.0) == pytest.approx(0.1)
    assert made.decay_schedule(1.0) == pytest.approx(1.0)
    assert sum(p.numel() for p in made.model.parameters()) == 313_546


def end(*words):
    """Slope and intercept at the end of article 000's training."""
    made = ready(run_of("experiment=linear_regression", "threads=1", *words))
    *_, last = made.train()
    w, b = (last.state.tensors[f"params/fc1.{part}"].item() for part in ("weight", "bias"))
    return w, b, made.predictions(last.state)


def ridge(shrink):
    """w = Sxy/(Sxx + shrink), b = ȳ − w·x̄, of the 100 training points."""
    split = ready(run_of("experiment=linear_regression")).dataset.splits["train"]
    x, y = split.inputs[split.rows, 0], split.targets[split.rows, 0]
    assert len(x) == 100
    w = ((x * y).mean() - x.mean() * y.mean()) / (x.square().mean() - x.mean() ** 2 + shrink)
    return w.item(), (y.mean() - w * x.mean()).item()


@pytest.mark.parametrize(
    ("words", "shrink"),
    [((), 0.01 / 2), (("lambda=0.02",), 0.01), (("decay=none",), 0.0)],
    ids=["the code's (c/2)w²", "the text's c·w²", "no decay"],
)
def test_article_000_lands_on_its_closed_form(words, shrink):
    """Adam at lr 0.05 has converged after 1000 steps: to 1e-9, as measured 5e-15, in float64."""
    w, b, rows = end("lr=0.05", *words)
    assert (w, b) == pytest.approx(ridge(shrink), abs=1e-9)
    for row in rows:
        assert row["prediction"] == pytest.approx(row["closed_form"], abs=1e-9)
        assert row["closed_form"] == pytest.approx(w * row["x"] + b, abs=1e-9)


def test_article_000s_own_1000_steps_stop_just_short_of_it():
    """At its lr 0.01 the slope is 0.064 away then; 2000 more steps close it to 1e-5 (measured 3e-7)."""
    w, b, _ = end()
    exact, _ = ridge(0.01 / 2)
    assert 0.05 < exact - w < 0.08
    w, b, _ = end("epochs=3000")
    assert (w, b) == pytest.approx(ridge(0.01 / 2), abs=1e-5)


SWEEP = "# @package _global_\nsweep: [{axes}]\narticle:\n  overrides: [seed=7]\n"


@pytest.fixture
def lines(tmp_path):
    """The lines of an experiment with these axes and of what is typed with it."""

    def call(carried, *typed, multirun=False):
        (tmp_path / "experiment").mkdir(exist_ok=True)
        (tmp_path / "experiment" / "mine.yaml").write_text(SWEEP.format(axes=carried))
        found = experiments.lines(["experiment=mine", *typed], multirun, str(tmp_path))
        assert all(line[: 1 + len(typed)] == ["experiment=mine", *typed] for line in found if not multirun)
        return [" ".join(line[1:]) for line in found]

    return call


def test_an_experiment_carries_every_kind_of_axis(lines):
    assert lines("'lambda=0,log_range(1e-2,1,3)'") == ["lambda=0", "lambda=0.01", "lambda=0.1", "lambda=1"]
    assert lines("'lambda+lr=1:2,3:4', 'folds=2'") == [
        f"{pair} data.folds=2 fold={fold}" for pair in ("lambda=1 lr=2", "lambda=3 lr=4") for fold in (0, 1)
    ]


def test_what_is_typed_takes_the_place_of_an_axis(lines):
    assert lines("'lambda=1,2', 'lr=3,4'", "lambda=5") == ["lambda=5 lr=3", "lambda=5 lr=4"]
    assert lines("'lambda=1,2', 'lr=3,4'", "tau=5") == ["tau=5 lr=3", "tau=5 lr=4"]
    assert lines("'lambda+lr=1:2,3:4', 'seed=0,1'", "lambda=5", "lr=6") == [
        "lambda=5 lr=6 seed=0",
        "lambda=5 lr=6 seed=1",
    ]
    assert lines("folds=3", "data.folds=4", "fold=1") == ["data.folds=4 fold=1"]
    assert lines("folds=3, 'seed=0,1'", "fold=1") == [f"fold=1 data.folds=3 seed={seed}" for seed in (0, 1)]
    assert lines("folds=3", "fold=0,2", multirun=True) == ["fold=0 data.folds=3", "fold=2 data.folds=3"]
    assert lines("'fold=range(0,3)'", "folds=2", multirun=True) == ["data.folds=2 fold=0", "data.folds=2 fold=1"]
    assert lines("'seed=0,1', 'lambda=1,2'", "as_written=true") == [
        f"as_written=true seed=7 lambda={x}" for x in (1, 2)
    ]


@pytest.mark.parametrize(
    ("carried", "typed", "message"),
    [
        ("'lambda+lr=1:2,3:4'", "lambda=5",
         "lambda+lr=1:2,3:4: the experiment sets lambda together with lr; give lr too"),
        ("'lambda+lr=1:2,3:4'", "tau=5",
         "lambda+lr=1:2,3:4: the experiment sets lambda together with lr; give lr too"),
        ("folds=3", "data.folds=4", "folds=3: the experiment sets data.folds together with fold; give fold too"),
    ],
)  # fmt: skip
def test_half_of_what_varies_together(lines, carried, typed, message):
    with pytest.raises(ConfigError) as caught:
        lines(carried, typed)
    assert str(caught.value) == message


def test_an_experiments_sweep_gives_way_to_the_command_line():
    jobs = experiments.jobs(["experiment=l2_mlp", "lambda=0.5"], multirun=False)
    assert [job.run.lam for job in jobs] == [0.5]
    with pytest.raises(ConfigError, match="experiment=l2_mpl: must be one of"):
        experiments.jobs(["experiment=l2_mpl"], multirun=False)


def test_the_penalty_article_003_forgot_is_active():
    """One step with and without λ from the same weights: every tensor moves, biases too."""
    made = [ready(run_of("experiment=visualize", *TINY, f"lambda={lam}")) for lam in ("0", "5e-4")]
    ends = [next(iter(r.train())).state.tensors for r in made]
    names = [n for n in ends[0] if n.startswith("params/")]
    assert len(names) == 4
    assert all(not torch.equal(ends[0][n], ends[1][n]) for n in names)


def test_every_decay_of_the_comparison_has_the_same_tuning():
    jobs = experiments.jobs(["experiment=decay_comparison"], multirun=False)
    grids = {}
    for job in jobs:
        grids.setdefault(job.run.decay["name"], []).append(job.run.lam)
    assert set(grids.pop("none")) == {0.0}
    assert set(grids) >= {"l2", "decoupled", "l1", "proximal", "cautious", "elastic_net"}
    assert {(len(grid), len(set(grid)), 0.0 in grid) for grid in grids.values()} == {(15, 5, False)}
    assert {job.run.coupling for job in jobs} == {"coupled", "decoupled", "proximal", "cautious"}
    assert len({(str(job.run.optimizer), job.run.lr, job.run.epochs) for job in jobs}) == 1


def test_the_lr_lambda_plane_is_a_full_grid_for_each_optimizer_and_coupling():
    jobs = experiments.jobs(["experiment=lr_lambda"], multirun=False)
    planes = {}
    for job in jobs:
        run = job.run
        planes.setdefault((run.optimizer["name"], run.coupling), set()).add((run.lr, run.lam, run.seed))
    assert set(planes) == {(o, c) for o in ("sgd", "adam") for c in ("coupled", "decoupled")}
    for cells in planes.values():
        lrs, lams, seeds = ({cell[i] for cell in cells} for i in range(3))
        assert len(cells) == len(lrs) * len(lams) * len(seeds) == 5 * 11 * 2
        assert 0.0 in lams
        assert max(lrs) / min(lrs) == pytest.approx(100)
    assert max(lr * lam for lr, lam, _ in planes["sgd", "decoupled"]) > 2  # there decay alone diverges


def test_resnet_lambda_has_products_of_lr_and_lambda_in_common_that_do_and_do_not_settle():
    """Getting to the equilibrium takes (1 − μ)/(2ηλ) steps: more than the run has at its weakest, a tenth at others."""
    jobs = experiments.jobs(["experiment=resnet_lambda"], multirun=False)
    products = {}
    for job in jobs:
        products.setdefault(round(job.run.lr * job.run.lam, 12), set()).add(job.run.lr)
    assert sum(len(lrs) > 1 for product, lrs in products.items() if product) >= 3
    run = jobs[0].run
    steps = run.epochs * run.data["train_size"] / run.batch_size
    times = [(1 - run.optimizer["momentum"]) / (2 * product) for product in products if product]
    assert max(times) > 2 * steps
    assert sum(time < steps / 10 for time in times) >= 4
    assert {job.run.schedule["name"] for job in jobs} == {"constant"}


def test_the_folds_of_kfold_cover_the_data():
    jobs = experiments.jobs(["experiment=kfold"], multirun=False)
    assert {(job.run.data["folds"], job.run.seed) for job in jobs} == {(5, 0)}
    assert {job.run.fold for job in jobs} == set(range(5))


def curve(*words):
    """λ -> validation data loss by seed, of the finished runs of label_noise."""
    jobs = experiments.jobs(["experiment=label_noise", "threads=1", "precision=fp32", *words], multirun=bool(words))
    losses = {}
    for job in jobs:
        *_, last = ready(job.run).train()
        (row,) = (row for row in last.metrics if row["split"] == "val")
        losses.setdefault(job.run.lam, []).append(row["data_loss"])
    return {lam: torch.tensor(values) for lam, values in losses.items()}


def test_label_noise_gives_a_u_and_an_interval_that_excludes_zero():
    """Three of its λ and three of its seeds: with decay the loss is lower by far more than seeds differ, and at λ = 1
    the network guesses."""
    found = curve("lambda=0,3e-1,1", "seed=0,1,2")
    gain = found[0.0] - found[0.3]
    half_width = 4.303 * gain.std() / 3**0.5  # Student's t, 2 degrees of freedom, 95 %
    assert gain.mean() - half_width > 0.5
    assert (found[1.0] - found[0.3]).min() > 0.1
    assert found[1.0] == pytest.approx([2.303] * 3, abs=0.02)


@pytest.mark.long
def test_the_whole_curve_of_label_noise_has_its_minimum_inside():
    means = {lam: losses.mean().item() for lam, losses in curve().items()}
    best = min(means, key=means.get)
    values = [means[lam] for lam in sorted(means)]
    low = sorted(means).index(best)
    assert 0 < low < len(values) - 1
    assert values[:low] == sorted(values[:low], reverse=True)
    assert values[low:] == sorted(values[low:])
