"""How often a difference was looked at while runs were added: counted in selection.csv, told, and begun anew"""

import csv
import io
from pathlib import Path

from tests import made_up
from tests.selection.choices import chosen, curve
from wdrun.config import experiments
from wdrun.selection import select
from wdrun.selection.looks import last_look, looks
from wdrun.tables.read import load

NEAR = {0: [3.0, 3.1, 3.2], 0.1: [2.0, 2.15, 2.2], 1: [2.5, 2.6, 2.75]}
MORE = {0: [3.3, 3.4], 0.1: [2.3, 2.45], 1: [2.8, 2.95]}


def look(wdrun, capfd, *words):
    """Looks and findings' lines of `wdrun select`."""
    code, out, err = wdrun("select", "runs", *words, capture=capfd)
    assert code == 0, err
    (row,) = csv.DictReader(io.StringIO(Path("runs/selection.csv").read_text()))
    return int(row["looks"]), [line for line in out.splitlines() if "this is look number" in line]


def test_a_look_at_more_runs_is_counted_and_told(here, wdrun, capfd):
    made_up.sweep(here / "runs", NEAR)
    assert look(wdrun, capfd) == (1, [])
    assert look(wdrun, capfd) == (1, [])  # the same runs again are no other look
    for lam, losses in MORE.items():
        for seed, loss in enumerate(losses, start=3):
            made_up.run(here / "runs", lam, loss, seed=seed)
    times, (told,) = look(wdrun, capfd)
    assert times == 2
    assert "this is look number 2 at the difference of the chosen λ, now 0.1, to λ = 0, with runs added between" in told
    assert look(wdrun, capfd) == (2, [told])


def test_a_look_at_fewer_runs_or_by_another_metric_is_none_and_forgets_none(here, wdrun, capfd):
    made_up.sweep(here / "runs", NEAR)
    assert look(wdrun, capfd) == (1, [])
    for words in (["seed=0,1"], [], ["metric=val_accuracy"], [], ["lambda!=1"], []):
        assert look(wdrun, capfd, *words) == (1, [])
    for lam, losses in MORE.items():
        for seed, loss in enumerate(losses, start=3):
            made_up.run(here / "runs", lam, loss, seed=seed)
    assert look(wdrun, capfd, "metric=val_accuracy", "seed=0")[0] == 1
    assert look(wdrun, capfd)[0] == 2
    assert look(wdrun, capfd, "seed!=0")[0] == 2
    assert look(wdrun, capfd)[0] == 2


def test_fresh_replicates_begin_anew():
    before = chosen(curve(NEAR)).choices
    assert before["looks"].tolist() == [1]
    two = curve({lam: NEAR[lam] + [x - lam * s / 10 for s, x in enumerate([3.0] * 6)] for lam in (0, 0.1)})
    wide = {lam: NEAR.get(lam, [4.0] * 3) for lam in (1, 2, 3, 5)}
    again = chosen([*two, *curve(wide)], before=before.assign(looks=4)).choices
    assert (again["method"].tolist(), again["looks"].tolist()) == (["fresh replicates"], [1])


def test_what_was_looked_at_once_too_often_is_told_from_fresh_seeds(tmp_path):
    made_up.sweep(tmp_path / "runs", NEAR)
    found = load([tmp_path / "runs"]).runs
    before = select(found).choices.assign(looked=2, looks=2)
    (finding,) = [f for f in select(found, before=before).findings if f.kind == "looked"]
    assert finding.numbers["looks"] == 3
    (line,) = finding.settles
    jobs = experiments.jobs([word for word in line if word != "-m"], True)
    assert {job.options.name for job in jobs} == {"runs-fresh"}
    assert {(job.run.lam, job.run.seed) for job in jobs} == {(lam, seed) for lam in (0, 0.1) for seed in range(3, 8)}


def test_a_table_that_knows_nothing_of_looks_is_a_first_one(tmp_path):
    choices = chosen(curve(NEAR)).choices
    assert last_look(tmp_path) is None
    (tmp_path / "selection.csv").write_bytes(b"\xff\x00")
    assert last_look(tmp_path) is None
    (tmp_path / "selection.csv").write_text("metric,lambda_min\nval_loss,0.1\n")
    assert looks(choices, (), last_look(tmp_path))["looks"].tolist() == [1]
    broken = choices.assign(looks=["many"], looked=[float("inf")])
    assert looks(choices, (), broken).to_numpy().tolist() == [[1, 3]]
