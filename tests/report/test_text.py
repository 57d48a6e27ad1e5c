"""The report's sentences say what the numbers say, and the lines it proposes compose."""

import itertools
import re
import shlex

from tests import made_up
from tests.report.pages import CLEAR, told
from wdrun.config import experiments
from wdrun.report import page, text
from wdrun.selection import select
from wdrun.selection.verdicts import verdict
from wdrun.tables.read import load


def test_a_clear_winner(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", CLEAR))
    first, won = said.splitlines()  # nothing open, nothing to run, nothing to beware of
    assert first == (
        "12 runs of mlp on synthetic with l2 under sgd, 100 training images, 2 epochs. "
        "They differ in λ (0, 0.01, 0.1 and 1) and seed (0, 1 and 2)."
    )
    # d = −0.30, −0.29, −0.30: mean −0.296667, s = 0.0057735; the other two have s = 0 and 0.0321455, so s̄ = 0.0188562,
    # and half the width is 3.5566·s̄/√3 = 0.038720, 3.5566 Dunnett's c of three at 96 % with three replicates
    gained = "Its difference to λ = 0 is −0.2967 (95 % interval −0.3354 to −0.2579, best of 3 cells, 3 pairs); all of"
    assert gained in won
    assert "mean validation loss is 0.7033 at λ = 0.1 with lr = 0.1 (3 replicates" in won
    assert "Its test accuracy, which chose nothing, is 50.0 %." in won


def test_a_users_own_data_are_called_by_their_place(tmp_path):
    own = {"data.name": "arrays", "data.root": "my cats.npz", "data.digest": "bcdfghjklmnp"}
    _, _, said = told(made_up.sweep(tmp_path / "r", CLEAR, **own))
    assert said.startswith("12 runs of mlp on my cats.npz with l2 under sgd")


def test_a_share_of_the_training_images_is_told_as_one(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", CLEAR, **{"data.train_size": 0.25}))
    assert said.startswith("12 runs of mlp on synthetic with l2 under sgd, 25 % of the training images, 2 epochs. ")


def test_no_difference_that_matters(tmp_path):
    near = {0: [1.0, 1.02, 0.98], 0.01: [1.1] * 3, 0.1: [0.999, 1.018, 0.979], 1: [1.2] * 3}
    found, selection, said = told(made_up.sweep(tmp_path / "r", near))
    assert (
        "−0.0013 (95 % interval −0.0071 to +0.0044, best of 3 cells, 3 pairs); all of the interval lies within the "
        "margin of 0.0200" in said
    )
    assert "not told" not in said
    # A margin inside the interval takes the claim back.
    narrow = select(found.runs, margin=0.002)
    assert verdict(narrow.choices.iloc[0], narrow.margin) == "cannot tell"
    assert verdict(selection.choices.iloc[0], selection.margin) == "equal"


def test_what_cannot_be_told_says_how_many_pairs_would(tmp_path):
    noisy = {0: [1.0, 1.3, 0.8], 0.01: [1.5] * 3, 0.1: [0.9, 1.1, 0.85], 1: [1.4] * 3}
    _, _, said = told(made_up.sweep(tmp_path / "r", noisy))
    # d = −0.10, −0.20, +0.05: mean −1/12, s = 0.125831; t·s/√n is below 1/12 from n = 12 on (11: 0.084534), fresh ones
    assert "the interval of the difference includes 0; about 12 fresh pairs would tell if it stays as it is\n" in said
    assert "wdrun -m decay=l2 lambda=0,0.1 lr=0.1 'seed=range(0,15)' model=mlp epochs=2" in said


def test_a_single_seed(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {0: [1.0], 0.01: [1.2], 0.1: [0.9], 1: [1.3]}))
    assert "; all have seed 0." in said
    assert "(one pair, so no interval)" in said
    assert "not told: decay=l2: whether λ = 0.1 beats λ = 0: from one pair of runs the noise between seeds" in said
    assert "wdrun -m decay=l2 lambda=0,0.1 lr=0.1 seed=0,1,2,3,4 model=mlp epochs=2" in said


def test_without_lambda_zero_no_gain_is_claimed(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {k: v for k, v in CLEAR.items() if k}))
    assert "Its difference" not in said
    assert "not told: decay=l2: λ = 0 is missing, so what decay gains cannot be told; add lambda=0\n" in said
    line = f"wdrun -m decay=l2 lambda=0 lr=0.1 seed=0,1,2 model=mlp epochs=2 name=r output_dir={tmp_path}"
    assert said.endswith(f"\n  {line}")


def test_lambda_zero_may_win(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {0: [1.0, 1.02, 0.98], 0.01: [1.1] * 3, 0.1: [1.2] * 3}, total=""))
    assert (
        "1.0000 at λ = 0 with lr = 0.1 (3 replicates, 95 % interval 0.9503 to 1.0497). No λ > 0 that was tried" in said
    )
    assert "lambda=0.001,1e-4" in said  # every λ tried acts, so a weaker one is proposed


def test_an_optimum_at_the_edge_is_open_and_extended(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", {0: [1.0, 1.02], 0.01: [0.8, 0.82], 0.1: [0.7, 0.71]}, total=""))
    assert "not told: decay=l2: best λ = 0.1 is the largest tried: the optimum may lie above; add lambda=1,10\n" in said
    assert "  wdrun -m decay=l2 lambda=1,10 lr=0.1 seed=0,1 model=mlp epochs=2" in said


def test_a_decay_that_cannot_act(tmp_path):
    weak = {0: [1.0, 1.02, 0.98], 1e-6: [1.03] * 3, 1e-5: [0.99, 1.01, 0.98], 1e-4: [1.05] * 3}
    _, _, said = told(made_up.sweep(tmp_path / "r", weak, total=0.001))
    assert "not told: decay=l2: no λ tried can act (total decay D ≤ 0.001 < 0.05); add lambda=0.05 (D ≈ 0.5)" in said
    assert "it is λ = 0 by another name" in said
    assert "lambda=0.05" in said  # 1e-4·0.5/0.001


def test_everything_diverged(tmp_path):
    for lam, seed in itertools.product((0, 0.1), (0, 1)):
        made_up.run(tmp_path / "r", lam, seed=seed, status="diverged", cause="loss is nan at step 3")
    made_up.run(tmp_path / "r", 0.1, seed=2, status="failed", cause="RuntimeError: boom")
    found, selection, said = told(tmp_path / "r")
    assert "Of these runs 4 diverged and 1 failed. Only those that are done enter a mean." in said
    assert "Nothing won: no run has finished" in said
    assert "nothing to choose from: 4 of 5 runs diverged, 1 failed, are not finished or have no val_loss" in said
    assert "lr=0.001,0.01" in said
    shown = page.render(found, selection, [], ["svg"]).decode()
    assert "loss is nan at step 3" in shown
    assert "RuntimeError: boom" in shown


def test_several_decays_are_ranked(tmp_path):
    root = tmp_path / "r"
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.8, 0.82, 0.78], 0.1: [0.9] * 3})
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.95, 0.99, 0.91], 0.1: [1.1] * 3}, decay="l1")
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.801, 0.822, 0.779], 0.1: [1.1] * 3}, decay="huber")
    made_up.sweep(root, {0: [1.0, 1.02, 0.98], 0.01: [0.79, 0.95, 0.90], 0.1: [1.1] * 3}, decay="cautious")
    _, _, said = told(root)
    assert "Of 4 settings decay=l2 has the best mean validation loss, 0.8000 at λ = 0.01 with lr = 0.1." in said
    assert "Worse than it: decay=l1 (+0.1500, 95 % interval +0.0303 to +0.2697)." in said
    assert "not told: decay=huber: cannot be told from decay=l2 (+0.0007, 95 % interval −0.0209 to +0.0222" in said
    wide = told(root, margin=0.03)[2]
    assert "Equal to it within the margin of 0.0300: decay=huber (+0.0007" in wide
    assert "not told: decay=cautious: cannot be told from decay=l2 (+0.0800" in said


def test_runs_of_a_sweep_under_way_are_counted_and_enter_no_mean(tmp_path):
    root = made_up.sweep(tmp_path / "r", CLEAR)
    before = told(root)[2].splitlines()[1]
    made_up.run(root, 0.1, seed=3, status="running", epochs_done=1, val_loss=0.0001)
    found, selection, said = told(root)
    assert "Of these runs 12 done and 1 running." in said
    assert before in said
    assert re.search(r"running</th><td[^>]*>1<", page.render(found, selection, [], ["svg"]).decode())


def test_accuracies_are_told_in_per_cent(tmp_path):
    _, _, said = told(made_up.sweep(tmp_path / "r", CLEAR), metric="val_accuracy")
    assert "the best mean validation accuracy is 76.6 % at λ = 0.1" in said
    gained = "Its difference to λ = 0 is +9.89 points (95 % interval +8.60 points to +11.18 points, best of 3 cells"
    assert gained in said


def test_every_proposed_command_composes(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0.01: [1.0], 0.1: [0.9]}, total=0.001)
    made_up.sweep(root, {0: [1.0, 0.9], 0.01: [0.9, 0.95]}, decay="l1", lr=0.2)
    made_up.sweep(root, {0: [1.1, 0.9], 0.01: [1.0, 0.8]}, decay="l1", lr=0.1)
    found = load([root])
    steps = text.steps(select(found.runs))
    assert len(steps) == 5
    for typed in (typed for step in steps for typed in step.commands):
        _, *words = shlex.split(typed)
        several = "-m" in words
        jobs = experiments.jobs([word for word in words if word != "-m"], several)
        assert (len(jobs) > 1) == several


def test_what_failed_is_run_again_in_every_facet_and_each_command_is_proposed_once(tmp_path):
    decays = ("l2", "l1", "elastic_net", "decoupled", "cautious")
    for i, decay in enumerate(decays):
        made_up.sweep(tmp_path, {0: [2.0, 2.1, 2.2], 0.1: [1 + i, 1.1 + i, 1.3 - i / 10]}, decay=decay)
    made_up.run(tmp_path, 1, seed=3, decay="cautious", status="failed")
    steps = text.steps(select(load([tmp_path]).runs))
    assert steps[0].why.startswith("decay=cautious: 1 of 7 runs failed or did not finish")
    commands = [command for step in steps for command in step.commands]
    assert len({*commands}) == len(commands) >= 5


def test_budget_gives_way_to_lambda(tmp_path):
    folder = made_up.run(tmp_path / "r", 0.1)
    (folder / ".hydra" / "overrides.yaml").write_text("[budget=0.5, 'model.hidden=[8, 8]', seed=0]")
    made_up.run(tmp_path / "r", 0.01, 1.2)
    found = load([tmp_path / "r"])
    ((line,),) = {s.commands for s in text.steps(select(found.runs)) if "λ = 0 is missing" in s.why}
    assert line == f"wdrun 'model.hidden=[8, 8]' seed=0 name=r output_dir={tmp_path} lambda=0 lr=0.1"


def test_what_the_plan_has_waiting_is_told_first(tmp_path):
    root = made_up.sweep(tmp_path / "r", {0: [1.0, 1.1, 1.2]})
    words = "decay=l2 lambda=0.1 lr=0.1 model=mlp epochs=2"
    lines = [f"run-000{seed},2,decay=l2 lambda=0 lr=0.1 seed={seed} model=mlp epochs=2" for seed in range(3)]
    lines += [f"later-{seed},2,{words} seed={seed}" for seed in range(3)]
    (root / "plan.csv").write_text("\n".join(["dir,epochs,overrides", *lines, ""]))
    found = load([root])
    said = "\n".join(text.whole(found, select(found.runs, plan=found.plan)))
    assert "not told: all: 3 of 6 runs of the plan are not trained yet\n" in said
    assert "only λ = 0 was tried" not in said
    first = said[said.index("next: ") :].splitlines()
    assert first[0] == "next: all: 3 of 6 runs of the plan are not trained yet"
    line = f"wdrun -m {words} seed=0,1,2 name=r output_dir={tmp_path}"
    assert first[1] == f"  {line}"
    assert said.count(line) == 1  # its lines once are enough
