"""explain, budget= and tau=, verify, and experiments that carry a sweep or an article's own setting."""

import math
import shlex
from dataclasses import dataclass, replace
from functools import partial

import pytest

from tests import runs
from wdrun.config import experiments
from wdrun.decay.l1 import L1
from wdrun.errors import ConfigError
from wdrun.explain import block, whole
from wdrun.laws import verify as verifying
from wdrun.sweep.one_run import ready, with_lambda
from wdrun.training.probe import total_decays

SMALL = [
    "data=synthetic",
    "data.train_examples=400",
    "data.test_examples=100",
    "model=mlp",
    "model.hidden=[8]",
    "threads=1",
]
job = partial(runs.job, base=SMALL)


def test_explain_trains_nothing_and_says_what_the_run_would_do(here, capsys):
    from wdrun import cli

    with pytest.raises(SystemExit) as stop:
        cli.main(["explain", *SMALL, "decay=l2", "lambda=1e-4", "lr=0.1"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0
    assert not list(here.iterdir())
    for expected in (
        "decay    l2, coupled, λ = 1e-4 on 24,656 parameters in 2 of 4 tensors",
        "step     g ← g + λcΩ'(w), before the optimizer",
        "numbers  g ← g + 1e-4·cΩ'(w), before the optimizer; then sgd with η = 0.1·s",
        "torch weight_decay 1e-4 · Keras l2 5e-5 · tf.nn.l2_loss 1e-4 · scikit-learn alpha 0.0064",
        "verdict  warning: this λ is too small to act",
        "sweep    D from 0.05 to 5: wdrun -m data=synthetic data.train_examples=400 data.test_examples=100 model=mlp "
        "'model.hidden=[8]' threads=1 decay=l2 lr=0.1 lambda=0,",
    ):
        assert expected in out, expected
    fates = {line.split()[0]: line.split("  ")[-1] for line in out.splitlines() if line.startswith("  ")}
    assert fates == {
        "fc1.weight": "decayed: fully connected",
        "fc1.bias": "not decayed: bias",
        "fc2.weight": "decayed: fully connected",
        "fc2.bias": "not decayed: bias",
    }
    assert not err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["decay.scope=conv"],
            {
                "conv2.weight": "decayed: convolution",
                "fc1.weight": "not decayed: fully connected, decay.scope=conv",
                "fc1.bias": "not decayed: bias",
            },
        ),
        (
            ["decay.scales=[[conv1*,0],['fc1.weight[:2]',3],[fc2*,0.5]]"],
            {
                "conv1.weight": "not decayed: convolution, decay.scales",
                "conv1.bias": "not decayed: bias",
                "fc1.weight": "decayed: fully connected, in part, by decay.scales",
                "fc2.weight": "decayed: fully connected, c = 0.5 by decay.scales",
                "fc2.bias": "decayed: bias, c = 0.5 by decay.scales",
                "norm1.weight": "not decayed: weight of a norm",
            },
        ),
        (
            ["decay.exclude_1d=false"],
            {"norm1.weight": "decayed: weight of a norm", "norm1.bias": "decayed: bias of a norm"},
        ),
        (["decay.reduction=mean"], {"fc1.weight": "decayed: fully connected, mean over its elements"}),
        (["lambda=0"], {"fc1.weight": "not decayed: λ = 0"}),
        (["decay=none"], {"fc1.weight": "not decayed: λ = 0"}),
        (
            ["decay=chain", "decay.terms=[{decay: l2, scope: conv}]"],
            {"conv1.weight": "decayed: convolution", "fc1.weight": "not decayed: fully connected, in no term"},
        ),
        *(
            (
                ["optimizer.lr_scales=[[conv1.*,0],[fc1.*,3]]", f"decay={name}"],
                {
                    "conv1.weight": "not decayed: η × 0 by optimizer.lr_scales",
                    "fc1.weight": "decayed: fully connected, η × 3 by optimizer.lr_scales",
                },
            )
            for name in ("l2", "independent", "l2_ball", "hyperball", "chain")
        ),
    ],
    ids=lambda of: " ".join(of) if isinstance(of, list) else "",
)
def test_explain_gives_the_reason_of_each_tensor(words, expected):
    lines = whole(ready(runs.job("decay=l2", *runs.CNN, "model.norm=batch", *words).run), ())
    fates = {line.split()[0]: line.split("  ")[-1] for line in lines if line.startswith("  ")}
    assert {name: fates[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "says", "sweep"),
    [
        (["decay=hyperball", "lr=0.1"], "norm that is kept, in initial norms; tune lr", "lr=0.003,0.01,0.03,0.1"),
        (["decay=rescale", "lambda=3"], "norm that is kept, in initial norms", "lambda=0,0.5,1,2"),
        (["decay=spd", "lambda=3"], "free of the lr and of its schedule", "lambda=0,0.1,0.3,1,3"),
        (["decay=cpr"], "how fast m follows the excess over the bound", "lambda=0,0.1,1,10"),
    ],
)
def test_explain_says_what_lambda_is_and_what_to_sweep(words, says, sweep):
    """And the line it prints is a sweep of the same run over nothing else."""
    lines = whole(ready(job(*words).run), [*SMALL, *words])
    (about,) = [line for line in lines if line.startswith("λ  ")]
    assert says in about
    (budget,) = [line for line in lines if line.startswith("budget")]
    assert budget.endswith(f"is not defined for this coupling and optimizer: sweep {sweep}")
    (line,) = [line.partition("wdrun ")[2] for line in lines if line.startswith("sweep")]
    typed = shlex.split(line)
    assert typed == ["-m", *SMALL, *(w for w in words if w.partition("=")[0] != sweep.partition("=")[0]), sweep]
    assert len(experiments.sweep(experiments.lines(typed[1:], multirun=True))[0]) == sweep.count(",") + 1


def test_explain_names_each_rule_of_a_chain_whose_lambda_is_another():
    words = ["decay=chain", "decay.terms=[{decay: l2}, {decay: spd}, {decay: spd, anchor: zero}]"]
    lines = whole(ready(job(*words).run), words)
    assert [line.startswith("λ        λ is free of the lr") for line in lines if line.startswith("λ")] == [True]


def test_explain_puts_each_rules_share_of_lambda_into_the_formulas_of_a_chain():
    inner = "{decay: chain, weight: 0.5, terms: [{decay: l1, weight: 0.1, coupling: proximal, schedule: cosine}]}"
    words = ["decay=chain", f"decay.terms=[{{decay: l2, weight: 2}}, {inner}]", "lambda=0.1", "lr=0.2"]
    (line,) = [x for x in whole(ready(job(*words, "schedule=constant").run), words) if x.startswith("numbers")]
    l2, l1 = "g ← g + 0.2·cΩ'(w), before the optimizer", "w⁺ ← prox_{0.2·0.005·m·cΩ}(w − 0.2·u)"
    assert line == f"numbers  {l2}; then {l1}; then sgd with η = 0.2"


def test_explain_takes_no_key_of_a_users_decay_for_its_own(monkeypatch):
    @dataclass(frozen=True)
    class Own(L1):
        depth: int
        p: str

    monkeypatch.setattr("wdrun.decay.l1.Own", Own, raising=False)
    run = job("decay=l1").run
    run = replace(run, decay=run.decay | {"name": "own", "_target_": "wdrun.decay.l1.Own", "depth": 0, "p": "half"})
    assert "decay    own, coupled, λ = 1e-5 on" in "\n".join(block(ready(run)))


def test_explain_gives_the_factor_of_each_tensor():
    words = ["decay=alpha_decay", "decay.low=0.5", "model.hidden=[64,64]", "lambda=1e-2"]
    trainer = ready(job(*words).run)
    lines = whole(trainer, words)
    fates = {line.split()[0]: line.split("  ")[-1] for line in lines if line.startswith("  ")}
    of = trainer.decay_start
    assert {of["fc1.weight"].item(), of["fc2.weight"].item()} == {0.5, 3.0}
    for name, f in of.items():
        assert fates[name] == f"decayed: fully connected, λ × {f.item():g} at first, by its spectrum"
    squares = {n: trainer.model.get_parameter(n).square().sum().item() for n in of}
    mean = sum(of[n].item() * size for n, size in squares.items()) / sum(squares.values())
    plain = ready(job("decay=l2", *words[2:]).run).budget.total
    assert trainer.budget.total == pytest.approx(mean * plain, rel=1e-5)


@pytest.mark.parametrize("scope", ["decay.exclude_1d=true", "decay.exclude_1d=false", "decay.scope=all"])
@pytest.mark.parametrize(
    ("network", "fate", "names"),
    [
        ("Frozen", "not trained: frozen", {"stem.weight", "stem.bias", "block.conv1.weight", "block.norm1.weight"}),
        ("Unused", "not decayed: no gradient", {"spare.weight", "spare.bias"}),
    ],
)
def test_explain_says_what_never_moves(network, fate, names, scope):
    trainer = ready(runs.job("decay=l2", f"model._target_=tests.training.networks.{network}", scope).run)
    lines = whole(trainer, ())
    fates = {line.split()[0]: line.split("  ")[-1] for line in lines if line.startswith("  ")}
    assert {name: fates[name] for name in names} == dict.fromkeys(names, fate)
    decayed = {name: p for name, p in trainer.model.named_parameters() if fates[name].startswith("decayed")}
    assert set(decayed) == {"stem.weight", "stem.bias", "head.weight", "head.bias"} & set(decayed)
    size = sum(p.numel() for p in decayed.values())
    (line,) = [line for line in lines if line.startswith("decay ")]
    assert f" on {size} parameters in {len(decayed)} of " in line
    norm = sum(p.detach().double().square().sum().item() for p in decayed.values()) ** 0.5
    assert trainer.decayed_norm(trainer.initial()) == pytest.approx(norm, rel=1e-6)
    assert total_decays(trainer)


def test_explain_counts_a_complex_tensor_as_its_pairs():
    lines = whole(ready(runs.job("model._target_=tests.training.networks.FourierFilter").run), ())
    sizes = [int(line.split()[2].replace(",", "")) for line in lines if line.startswith("  ")]
    assert f", {sum(sizes):,} parameters on " in lines[0]


@pytest.mark.parametrize("total", [0.05, 0.5, 4.0])
@pytest.mark.parametrize(
    "words",
    [
        (),
        ("decay=l1",),
        ("optimizer=adamw",),
        ("decay.coupling=independent", "schedule=one_cycle"),
        ("decay.schedule=linear", "optimizer.momentum=0", "decay.scales=[[fc1*,3],[*,1]]"),
    ],
    ids=" ".join,
)
def test_budget_and_tau_choose_the_lambda_that_gives_them(words, total):
    chosen = with_lambda(job(*words, f"budget={total}"))
    found = ready(chosen.run).budget
    assert found.total == pytest.approx(total, rel=1e-5)
    by_tau = with_lambda(job(*words, f"tau={10 / total}"))
    assert by_tau.run.lam == pytest.approx(chosen.run.lam, rel=1e-5)


@pytest.mark.parametrize("name", ["decoupled", "cautious", "adamc", "independent"])
def test_a_ready_made_l2_is_shown_in_other_units_too(name):
    (line,) = [text for text in block(ready(job(f"decay={name}").run)) if text.startswith("same λ")]
    assert "AdamW paper, Composer" in line


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("lp", "λ_p of PAdam's code 1.25e-4"),
        ("pwd", "λ_p of PAdam's code 1.25e-4"),
        ("dwf", "torch weight_decay of 3 factors 6.66667e-5"),
        ("nuclear", "torch weight_decay of A and B, AB = w 0.01"),
    ],
)
def test_a_power_is_shown_in_the_units_of_others_and_its_default_acts(name, same):
    lines = block(runs.trainer(f"decay={name}", "data=synthetic", base=()))
    assert f"same λ   {same}" in lines
    assert "verdict  decay can act" in lines


@pytest.mark.parametrize(
    ("words", "elsewhere"),
    [
        ((), ["torch weight_decay", "Keras l2", "tf.nn.l2_loss", "scikit-learn alpha"]),
        (("optimizer.clip=data",), ["torch weight_decay", "Keras l2", "tf.nn.l2_loss", "scikit-learn alpha"]),
        (("optimizer.clip_norm=1",), ["Keras l2", "tf.nn.l2_loss", "scikit-learn alpha"]),
        (("optimizer.clip_value=1", "optimizer.clip=data"), ["torch weight_decay"]),
        (("optimizer.clip_norm=1", "decay.coupling=decoupled"), ["torch/optax/Keras weight_decay", "AdamW paper"]),
    ],
)
def test_the_same_lambda_is_told_where_a_clipped_step_is_the_same(words, elsewhere):
    """torch clips the gradient before it adds λw, a framework with Ω in its loss clips both."""
    (line,) = [text for text in block(ready(job("decay=l2", *words).run)) if text.startswith("same λ")]
    assert len(line.split(" · ")) == len(elsewhere)
    assert all(name in line for name in elsewhere)


@pytest.mark.parametrize(
    "words",
    [
        ("decay=l2", "decay.coupling=projected"),  # λ is a radius
        ("decay=l1", "decay.coupling=projected"),
        ("decay=lp", "decay.p=1", "decay.coupling=projected"),
        ("decay=nuclear", "decay.coupling=projected"),
        ("decay=l2", "decay.reduction=mean"),  # each tensor of n weights has λ/n
    ],
    ids=" ".join,
)
def test_there_is_no_same_lambda_where_lambda_is_another_thing(words):
    assert not [line for line in block(ready(job(*words).run)) if line.startswith("same λ")]


def test_the_same_lambda_of_a_normalized_one_is_what_is_applied():
    trainer = ready(job("decay=decoupled", "lambda=0.1", "lr=0.1", "decay.normalized=true").run)
    applied = 0.1 / trainer.steps**0.5
    (line,) = [line for line in block(trainer) if line.startswith("same λ")]
    theirs = f"torch/optax/Keras weight_decay {applied:.6g} · AdamW paper, Composer {0.1 * applied:.6g}"
    assert line == f"same λ   {theirs}"


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["schedule=constant"], "w⁺ ← w − 0.2·u − 0.2·0.1·cΩ'(w)"),
        (["schedule=constant", "schedule.warmup=2"], "w⁺ ← w − 0.2·s·u − 0.2·s·0.1·cΩ'(w)"),
        (["schedule=constant", "decay.normalized=true"], "w⁺ ← w − 0.2·u − 0.2·0.1·m·cΩ'(w)"),
        (["schedule=constant", "decay.schedule={name: constant, warmup: 2}"], "w⁺ ← w − 0.2·u − 0.2·0.1·m·cΩ'(w)"),
    ],
)
def test_explain_puts_a_factor_of_every_schedule_into_the_formula(words, numbers):
    lines = whole(ready(job("decay=decoupled", "lambda=0.1", "lr=0.2", *words).run), words)
    assert f"numbers  {numbers}" in lines


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (['optimizer.lr_scales=[["*weight",0]]'], "acts on no parameter that moves"),
        (['decay.scales=[["*",0]]'], "acts on no parameter that moves"),
        (["decay=chain", 'decay.scales=[["*",0]]'], "acts on no parameter that moves"),
        (["decay=l2_ball", 'optimizer.lr_scales=[["*weight",0]]'], "acts on no parameter that moves"),
        (["decay.schedule={name: linear, start: 0, final: 0}"], "is multiplied by 0 in every step"),
    ],
    ids=lambda of: of if isinstance(of, str) else " ".join(of),
)
def test_a_lambda_that_does_nothing_is_not_called_zero(words, why):
    words = ["decay=l2", *words] if not words[0].startswith("decay=") else words
    lines = whole(ready(job(*words, "lambda=0.5").run), words)
    (line,) = [line for line in lines if line.startswith("decay ")]
    assert line == f"decay    {words[0].partition('=')[2]}, λ = 0.5: {why}"
    assert not [line for line in lines if line.startswith("sweep")]
    with pytest.raises(ConfigError, match=rf"^a total decay of 0\.5 is asked for, but λ {why}: look at decay\.scope"):
        with_lambda(job(*words, "budget=0.5"))
    (off,) = [line for line in block(ready(job(*words, "lambda=0").run)) if line.startswith("decay ")]
    assert off.endswith(", λ = 0: none")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["lambda=1.9", "optimizer.momentum=0"], "decay dominates"),
        (["lambda=2.1", "optimizer.momentum=0"], "ηλ ≥ 2 makes every step overshoot zero: the run will diverge"),
        (["lambda=3.7"], "a step overshoots zero by more than the weights are from it"),  # momentum 0.9 holds it
        (["lambda=3.9"], "ηλ ≥ 3.8 makes every step overshoot zero: the run will diverge"),
        (["lambda=1.4", "optimizer.nesterov=true"], "ηλ ≥ 1.36 makes every step overshoot zero: the run will diverge"),
        (["lambda=2.1", "decay.coupling=decoupled"], "ηλ ≥ 2 makes every step overshoot zero: the run will diverge"),
        (["lambda=100", "decay=l1"], "a step overshoots zero by more than the weights are from it"),  # by ±ηλ, no more
    ],
    ids=lambda of: "" if isinstance(of, str) else " ".join(of),
)
def test_a_run_is_said_to_diverge_where_its_decay_alone_does(words, told):
    lines = block(ready(job("decay=l2", "lr=1", "schedule=constant", *words).run))
    (line,) = [line for line in lines if line.startswith("verdict")]
    assert line.startswith(f"verdict  warning: {told}")


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (("optimizer.clip_norm=1",), "; then optimizer.clip_norm=1 (optimizer.clip=data: of g alone)"),
        (("optimizer.clip_norm=1", "optimizer.clip_value=0.5", "optimizer.clip=data"),
         "; g was clipped alone, by optimizer.clip_norm=1 and optimizer.clip_value=0.5"),
        (("optimizer.clip=data",), ""),
    ],
)  # fmt: skip
def test_where_the_gradient_is_clipped_is_told(words, order):
    (line,) = [text for text in block(ready(job("decay=l2", *words).run)) if text.startswith("step")]
    assert line == f"step     g ← g + λcΩ'(w), before the optimizer{order}"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("augment=flip_crop",), []),
        (("label_smoothing=0.1",), ["loss     in training with label_smoothing=0.1; val and test without"]),
        (("label_smoothing=0.1", "augment=cutmix"),
         ["loss     in training with label_smoothing=0.1 and augment=cutmix (batches mixed by cutmix); "
          "val and test without"]),
    ],
)  # fmt: skip
def test_a_training_loss_that_is_not_that_of_the_labels_is_told(words, line):
    assert [text for text in block(ready(job(*words).run)) if text.startswith("loss")] == line


def test_what_a_users_network_does_is_told(here):
    model = "model._target_=tests.training.networks.Frozen"
    lines = block(ready(runs.run(model, base=[w for w in SMALL if not w.startswith("model")])))
    assert "note     stem.weight and 7 more are frozen (requires_grad=False): kept as built, without decay" in lines
    assert lines[0].startswith("run      Frozen, 90 parameters on")


def test_a_budget_is_the_run_of_its_lambda():
    chosen = with_lambda(job("budget=0.5")).run
    assert chosen.id == job(f"lambda={chosen.lam!r}").run.id
    assert with_lambda(job("decay=none", "budget=0.5")).run.lam == 0.0


def test_without_gradient_the_budget_is_what_happens():
    """D = 0.5 leaves e^-0.5 of the weights when clipping takes the data's gradient away."""
    words = ("optimizer=adamw", "budget=0.5", "lr=1e-30", "decay.coupling=independent", "decay.exclude_1d=false")
    made = ready(with_lambda(job(*words, "precision=fp64", "epochs=20")).run)
    end = list(made.train())[-1].state
    assert made.decayed_norm(end) / made.decayed_norm(made.initial()) == pytest.approx(math.exp(-0.5), rel=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("optimizer=adam", "budget=1"),
            "a total decay of 1 is asked for, but it is not defined for l2, coupled, under adam",
        ),
        (("decay=max_norm", "tau=2"), "a total decay of 5 is asked for, but it is not defined for max_norm, projected"),
        (("budget=1", "tau=2"), "budget=1: tau is given too"),
        (("budget=1", "lambda=2"), "budget=1: lambda is given too"),
        (("budget=0",), "budget=0: must be a number > 0, or null"),
        (("tau=nan",), "tau=nan: must be a number > 0, or null"),
    ],
)
def test_a_budget_that_cannot_be_met_is_a_sentence(words, message):
    with pytest.raises(ConfigError) as error:
        with_lambda(job(*words))
    assert str(error.value).startswith(message)


def test_verify_shows_a_line_a_pair_and_fails_on_a_broken_one(monkeypatch):
    lines = []
    assert verifying.verify(["decay=l2", "optimizer=sgd"], lines.append) == 0
    assert lines[-1] == f"{len(lines) - 1} pairs, every law holds"
    assert lines[0].startswith("l2 × coupled × sgd: ")
    from wdrun.decay.l2 import L2

    monkeypatch.setattr(L2, "grad", lambda self, w: 2 * w)
    broken = []
    assert verifying.verify(["decay=l2", "optimizer=sgd"], broken.append) == 1
    assert "BROKEN gradient_is_derivative" in broken[0]
    for words, why in (
        (["decay=l3"], r"^decay=l3: must be one of .* \(or your own, with --config-dir=DIR\)$"),
        (["model=cnn"], "^verify model=cnn: must be decay=NAME"),
        (["decay=swd", "coupling=coupled"], "^verify decay=swd coupling=coupled: no such pair"),
    ):
        with pytest.raises(ConfigError, match=why):
            verifying.verify(words)


def test_verify_says_which_laws_do_not_apply():
    lines = []
    assert verifying.verify(["decay=log_sum", "optimizer=sgd", "coupling=coupled"], lines.append) == 0
    assert lines == [
        "log_sum × coupled × sgd: 11 laws hold; not applicable: projection_is_nearest, projection_by_brute_force "
        "(no project)",
        "1 pair, every law holds",
    ]


def test_a_decay_that_raises_breaks_the_laws_that_look_at_it(monkeypatch):
    def raises(self, w):
        raise RuntimeError("shapes\nand more")

    monkeypatch.setattr(L1, "grad", raises)
    lines = []
    assert verifying.verify(["decay=l1", "optimizer=sgd", "coupling=proximal"], lines.append) == 1
    assert lines == [
        "l1 × proximal × sgd: BROKEN gradient_is_derivative: RuntimeError: shapes",
        "1 pair, 1 broken",
    ]


@pytest.fixture
def study(here):
    """A user's experiment with a sweep and an article's own setting."""
    folder = here / "mine" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\nname: study\nepochs: 2\nsweep: ['lambda=0,1e-3', 'seed=range(0,3)']\n"
    (folder / "study.yaml").write_text(text + "article:\n  overrides: ['decay=l1', 'lambda=0.01']\n")
    refused = "# @package _global_\narticle: {refuse: 64·28·28 does not fit}\n"
    (folder / "refused.yaml").write_text(refused)
    return str(here / "mine")


def test_an_experiment_brings_its_sweep_and_the_command_line_wins(study):
    found = experiments.jobs(["experiment=study", *SMALL], False, study)
    assert [(j.run.lam, j.run.seed) for j in found] == [(0.0, 0), (0.0, 1), (0.0, 2), (1e-3, 0), (1e-3, 1), (1e-3, 2)]
    assert {j.options.name for j in found} == {"study"}
    (one,) = experiments.jobs(["experiment=study", "seed=7", "lambda=0.5", *SMALL], False, study)
    assert (one.run.lam, one.run.seed, one.run.epochs) == (0.5, 7, 2)
    assert len(experiments.jobs(["experiment=study", "seed=7,8", *SMALL], True, study)) == 4
    by_budget = experiments.jobs(["experiment=study", "budget=0.5", *SMALL], False, study)
    assert [(j.options.budget, j.run.seed) for j in by_budget] == [(0.5, 0), (0.5, 1), (0.5, 2)]


def test_as_written_follows_the_article_or_says_why_not(study):
    found = experiments.jobs(["experiment=study", "as_written=true", *SMALL], False, study)
    assert {(j.run.decay["name"], j.run.lam) for j in found} == {("l1", 0.01)}
    assert len(found) == 3
    with pytest.raises(ConfigError, match="as_written=true: 64·28·28 does not fit"):
        experiments.jobs(["experiment=refused", "as_written=true", *SMALL], False, study)
    with pytest.raises(ConfigError, match=r"only the experiments of the articles .* add experiment="):
        experiments.jobs(["as_written=true", *SMALL], False, None)
