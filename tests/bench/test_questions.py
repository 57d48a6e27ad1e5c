"""tests/bench/questions.py: the procedures on drawn scores, a run of the rivals' loops, and what select tells."""

import shutil

import numpy as np
import pytest

from tests.bench import loops, procedures, questions, surfaces
from tests.bench.surfaces import KEPT, LINES

SMALL = (*questions.QUICK, "threads=1", "device=cpu")


def world(count=1):
    return surfaces.world([surfaces.kept(*line) for line in list(LINES)[:count]])


def test_a_grid_by_hand_finds_what_the_kept_tables_say():
    one = world()
    runs, settings, told = procedures.answered(one, procedures.gridded, procedures.drawn(one, 0), 0)
    assert (runs, settings, told) == (55 + 2 * 5, {0: (0.03, 0.03)}, ["better"])
    four = world(4)
    runs, settings, told = procedures.answered(four, procedures.gridded, procedures.drawn(four, 0), 0)
    assert runs >= 4 * 55 + 6 * 5  # the settings of an optimizer share λ = 0
    assert set(settings) == {0, 1, 2, 3}
    assert told[:4] == ["better"] * 4
    assert questions.regret(four.surfaces, settings) < 0.02


def test_each_look_has_a_third_of_the_error_and_trains_new_seeds_alone():
    one, asked = world(), []
    chosen = {(0, True): one.question.cell(0, (0.03, 0.03)), (0, False): one.question.cell(0, (0.0, 0.003))}

    def shifted(gap):
        def score(cells, seeds):
            asked.append(list(seeds))
            noise = 0.03 * np.array([[(-1) ** seed * (cell.setting[0] > 0) for cell in cells] for seed in seeds])
            return noise + np.array([[gap * (cell.setting[0] > 0) for cell in cells]] * len(seeds))

        return score

    assert procedures.compared(one.question, chosen, shifted(-0.9)) == (["better"], 10)
    assert asked == [[*range(1000, 1005)]]
    asked.clear()
    # five seeds: mean −0.044, t = −2.994; 5 % of four degrees of freedom is 2.776, a third of it 3.961
    assert procedures.compared(one.question, chosen, shifted(-0.05)) == (["better"], 20)
    assert asked == [[*range(1000, 1005)], [*range(1005, 1010)]]
    assert procedures.compared(one.question, chosen, shifted(-0.015)) == ([""], 40)


def test_a_run_that_diverges_does_not_stop_a_comparison():
    one = world()
    chosen = {(0, True): one.question.cell(0, (0.03, 0.03)), (0, False): one.question.cell(0, (0.0, 0.3))}
    gone = procedures.compared(
        one.question, chosen, lambda cells, seeds: np.array([[1.6 + s % 2e-3, np.inf] for s in seeds])
    )
    assert gone == (["better"], 10)


def test_a_study_is_as_long_as_it_is_said_to_be(monkeypatch):
    pytest.importorskip("optuna")
    monkeypatch.setattr(procedures, "TRIALS", {True: 5, False: 3})
    one, asked = world(), []
    score = procedures.drawn(one, 0)
    chosen, runs = procedures.studied(one, lambda cells, seeds: asked.append(cells[0]) or score(cells, seeds), 0)
    assert runs == len(asked) == 8
    assert set(chosen.values()) <= set(asked)
    assert all((chosen[side].setting[0] > 0) == side[1] for side in one.question.sides)


def test_the_same_run_has_the_same_loss_from_files_from_memory_and_under_hydra(tmp_path):
    setting = {"lr": 0.03, "lambda": 3.0, "seed": 3}
    files, memory = (loops.plain(loops.prepared(setting, images, SMALL)) for images in questions.IMAGES)
    assert memory == pytest.approx(files, rel=1e-5)
    assert loops.plain(loops.prepared({**setting, "lambda": 0.0}, "memory", SMALL)) != pytest.approx(memory, rel=1e-3)
    cells = [world().question.cell(0, of) for of in ((3.0, 0.03), (0.0, 0.03))]
    scores = loops.launched(SMALL, "memory", tmp_path)(cells, [3])
    assert scores.shape == (1, 2)
    assert scores[0, 0] == pytest.approx(memory, rel=1e-5)


@pytest.mark.filterwarnings("ignore")  # Lightning's: of torch's next version, and advice on workers
def test_lightning_trains_the_same_run():
    pytest.importorskip("lightning")
    setting = {"lr": 0.01, "lambda": 0.1, "seed": 3}
    of = [
        train(loops.prepared(setting, "memory", (*SMALL, "data.val_size=500")))
        for train in (loops.plain, loops.lightning)
    ]
    assert of[0] == pytest.approx(of[1], rel=1e-5)


def test_what_select_tells_of_the_kept_tables(tmp_path):
    shutil.copy(KEPT, tmp_path)
    questions.typed(["select", "."], tmp_path)
    told, settings = questions.told_by(tmp_path)
    assert told == ["", "", "better", "", "", "", ""]  # four gains in select's order, three against the best
    assert settings == {0: (0.03, 0.03), 1: (0.3, 0.03), 2: (0.01, 0.003), 3: (1.0, 0.01)}


def test_a_row_has_medians_and_ranges():
    surface = surfaces.kept("sgd", "coupled")
    tool = questions.Tool("x", [10.0, 40.0, 20.0], [(65, {0: (0.03, 0.03)}, ["better"]), (75, {0: (0.03, 0.03)}, [""])])
    assert tool.row(10.0, [surface]) == "| x | 70 (65 to 75) | 20 (10 to 40) | 2.0 | 0.0000 | better (1 of 2) |"
    assert questions.in_words(["", "better"]) == "1 of 2 told"
