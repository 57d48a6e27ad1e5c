"""load, select, best and report from Python give what the commands give; figures are made of frames."""

import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

import wdrun
from tests.api import SMALL
from wdrun import cli
from wdrun.api import figures
from wdrun.selection import Selection
from wdrun.tables.read import read_table


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two decays, two lr, three λ and two seeds."""
    folder = tmp_path_factory.mktemp("swept")
    axes = {"decay": ["l2", "decoupled"], "lr": [0.02, 0.1], "lam": [0, 0.03, 0.3], "seed": [0, 1]}
    return wdrun.sweep(output_dir=folder, name="both", evaluate="robustness", quiet=True, **axes, **SMALL)


def typed(capsys, *words):
    """What a command prints."""
    with pytest.raises(SystemExit):
        cli.main([*map(str, words)])
    return capsys.readouterr().out


def test_what_is_loaded_is_the_tables_of_the_folder(swept):
    found = wdrun.load(swept.folder)
    for name in ("metrics", "layers", "timing"):
        pd.testing.assert_frame_equal(getattr(found, name), read_table(swept.folder / f"{name}.csv"))
    assert len(found.runs) == len(wdrun.load(str(swept.folder), tables=()).runs) == 24
    assert wdrun.load(swept.folder, tables=()).metrics.empty
    assert found.problems == ()
    assert len(wdrun.load(swept).runs) == 24
    with pytest.raises(wdrun.ConfigError, match="no/such: no such folder"):
        wdrun.load("no/such")
    with pytest.raises(wdrun.ConfigError, match="name a folder of results, such as 'outputs/default'"):
        wdrun.load()
    with pytest.raises(
        wdrun.ConfigError, match=r"tables=metric: must be one of metrics, layers.* did you mean metrics"
    ):
        wdrun.load(swept.folder, tables=["metric"])


def test_a_sweep_is_its_runs_alone_beside_others_in_its_folder(here):
    weak, strong = (wdrun.sweep("decay=l2", lam=lams, quiet=True, **SMALL) for lams in ([0.1, 0.2], [1, 3]))
    for sweep in (weak, strong):
        lam = wdrun.select(sweep).choices["lambda_min"].item()
        assert f"lambda={lam:g}" in wdrun.best(sweep, quiet=True)
        assert set(wdrun.evaluate(sweep, quiet=True)["id"]) == set(sweep.runs["id"])
    assert wdrun.select(weak, weak).choices["lambda_min"].tolist() == wdrun.select(weak).choices["lambda_min"].tolist()
    assert len(wdrun.evaluate(weak, strong, quiet=True)) == len(wdrun.evaluate(weak.folder, quiet=True)) == 4 * 3


@pytest.mark.parametrize("metric", ["val_loss", "val_accuracy"])
def test_a_choice_is_the_same_from_a_folder_a_frame_and_a_file(swept, metric):
    chosen = wdrun.select(swept.folder, metric=metric)
    assert isinstance(chosen, Selection)
    frames = [swept, swept.runs, wdrun.load(swept.folder), pd.read_csv(swept.folder / "runs.csv")]
    for source in frames:
        other = wdrun.select(source, metric=metric)
        pd.testing.assert_frame_equal(other.choices, chosen.choices)
        pd.testing.assert_frame_equal(other.leaderboard, chosen.leaderboard)


def test_a_choice_is_that_of_the_command_which_alone_writes(swept, capsys):
    chosen = wdrun.select(swept, nuisance="", margin=0.1)
    assert not (swept.folder / "selection.csv").exists()
    typed(capsys, "select", swept.folder, "nuisance=", "margin=0.1")
    written = read_table(swept.folder / "selection.csv")
    assert list(written["lambda_min"]) == list(chosen.choices["lambda_min"])
    assert list(written["mean"]) == list(chosen.choices["mean"])
    (swept.folder / "selection.csv").unlink()


@pytest.mark.parametrize(
    "where", ["decay=l2 lr=0.02,0.1 lambda!=0.3", ["decay=l2", "lambda!=0.3"], {"decay": "l2", "lambda": [0, 0.03]}]
)
def test_where_picks_runs(swept, where, capsys):
    chosen = wdrun.select(swept, where=where)
    assert set(chosen.replicates["decay"]) == {"l2"}
    assert sorted(set(chosen.cells["lambda"])) == [0, 0.03]
    assert "filters  8 of 24 runs are looked at" in capsys.readouterr().err
    wdrun.select(swept, where=where, quiet=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"metric": "val_los"}, "metric=val_los: must be val_loss or val_accuracy.*did you mean val_loss"),
        ({"confidence": 1}, "confidence=1: must be"),
        ({"confidence": "0.9"}, "confidence=0.9: must be a number"),
        ({"margin": "small"}, "margin=small: must be a number"),
        ({"where": "decay='l2"}, "where=decay='l2: not words as a shell reads them"),
        ({"margin": -1}, "margin=-1: must be"),
        ({"where": "decay=l1"}, "decay=l1: no run has decay=l1; there are"),
        ({"where": "dacay=l1"}, "dacay: unknown setting"),
    ],
    ids=str,
)
def test_what_is_wrong_is_refused(swept, given, message):
    with pytest.raises(wdrun.ConfigError, match=message):
        wdrun.select(swept, **given)


def test_what_is_no_frame_of_runs_is_refused(swept):
    with pytest.raises(wdrun.ConfigError, match="a frame without status: must be a frame of runs"):
        wdrun.select(swept.metrics)
    with pytest.raises(wdrun.ConfigError, match="a frame without rows"):
        wdrun.select(swept.runs[:0])
    with pytest.raises(wdrun.ConfigError, match="a frame without seed: must be"):
        wdrun.select(swept.runs.drop(columns="seed"))
    with pytest.raises(wdrun.ConfigError, match="float: must be a folder of results"):
        wdrun.select(0.1)


def test_a_selection_says_what_it_is_and_shows_itself(swept):
    chosen = wdrun.select(swept)
    assert repr(chosen).startswith("Selection(by val_loss, ")
    assert [f"{name}: λ = " in repr(chosen) for name in chosen.names] == [True, True]
    assert len(repr(chosen)) < 200
    page = chosen._repr_html_()
    assert (page.count("<table"), page.count("<p>")) == (1, len(chosen.findings))


def test_the_best_words_train_the_choice(swept, capsys, here):
    words = wdrun.best(swept, quiet=True)
    assert capsys.readouterr() == ("", "")
    assert typed(capsys, "best", swept.folder).split()[:2] == ["wdrun", words[0]]
    again = wdrun.run(*words, seed=0, quiet=True)
    board = wdrun.select(swept).leaderboard
    assert again.definition.lam == board.iloc[0]["lambda"]
    assert again.definition.id in set(swept.runs["id"])
    with pytest.raises(wdrun.ConfigError, match="rule=2se: must be min or 1se"):
        wdrun.best(swept, rule="2se")


def test_a_report_is_that_of_the_command(swept, capsys, here):
    page = wdrun.report(swept, out=here / "mine" / "page.html", formats=["png"], quiet=True)
    assert capsys.readouterr() == ("", "")
    assert page == here / "mine" / "page.html"
    drawn = sorted(path.name for path in (here / "mine" / "figures").iterdir())
    assert "decay-curve.png" in drawn
    assert {name.rpartition(".")[2] for name in drawn} == {"png"}
    typed(capsys, "report", swept.folder, f"out={here / 'typed' / 'page.html'}", "formats=png")
    assert (here / "typed" / "page.html").read_bytes() == page.read_bytes()


# ------------------------------------------------------------------------------------------- figures


def of_one(table):
    return table[(table["decay"] == "l2") & (table["lr"] == 0.1)]


FIGURES = {
    "decay_curve": lambda s: wdrun.figures.decay_curve(s.runs),
    "decay_curve of a selection": lambda s: wdrun.figures.decay_curve(wdrun.select(s)),
    "decay_curve of a folder": lambda s: wdrun.figures.decay_curve(s.folder, metric="val_accuracy"),
    "lr_lambda": lambda s: wdrun.figures.lr_lambda(s.runs),
    "learning_curves": lambda s: wdrun.figures.learning_curves(of_one(s.metrics)),
    "norms": lambda s: wdrun.figures.norms(of_one(s.layers)),
    "rotation": lambda s: wdrun.figures.rotation(of_one(s.layers)),
    "corruptions": lambda s: wdrun.figures.corruptions(of_one(s.metrics)),
    "sparsity": lambda s: wdrun.figures.sparsity(s.runs, s.layers),
    "speed": lambda s: wdrun.figures.speed(s.timing),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_made_of_a_frame(swept, name, here):
    before = dict(mpl.rcParams)
    figure = FIGURES[name](swept)
    assert isinstance(figure, Figure)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []
    figure.savefig(here / "figure.png")
    assert len((here / "figure.png").read_bytes()) > 4000


def test_a_notebook_that_has_not_imported_pyplot_shows_a_figure(swept, monkeypatch):
    printers = {}
    pictures = SimpleNamespace(type_printers=printers, for_type=printers.__setitem__)
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"image/png": pictures}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0)))
    figures.show_figures()
    assert printers[Figure](wdrun.figures.speed(swept.timing))[:4] == b"\x89PNG"
    printers[Figure] = "pyplot's own"
    figures.show_figures()
    assert printers == {Figure: "pyplot's own"}
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None, version_info=(9, 0)))
    figures.show_figures()  # IPython imported by a program that is none


LOADED = """
import sys
import wdrun
def loaded():
    return [name for name in ("torch", "pandas", "matplotlib", "matplotlib.pyplot") if name in sys.modules]
print(loaded())
chosen = wdrun.select(sys.argv[1])
print(loaded())
wdrun.figures.decay_curve(chosen).savefig("curve.png")
print(loaded())
"""


def test_each_function_loads_what_it_needs(swept, here):
    done = subprocess.run([sys.executable, "-c", LOADED, swept.folder], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "['pandas']", "['pandas', 'matplotlib']"], done.stderr


def test_every_figure_is_tried():
    assert {name.split(" ")[0] for name in FIGURES} == set(wdrun.figures.__all__)


def test_the_curve_is_that_of_the_report(swept, here):
    from wdrun.report.figures import style

    wdrun.report(swept, out=here / "page.html", formats="png", quiet=True)
    drawn = style.render(wdrun.figures.decay_curve(swept), "png")
    assert drawn == (here / "figures" / "decay-curve.png").read_bytes()


def test_a_figure_of_a_table_that_pandas_read_is_the_same(swept):
    metrics = pd.read_csv(swept.folder / "metrics.csv")
    figures = [wdrun.figures.learning_curves(of_one(table)) for table in (metrics, swept.metrics)]
    lines = [[line.get_xydata().tolist() for axes in figure.axes for line in axes.lines] for figure in figures]
    assert lines[0] == lines[1] != []


def test_a_frame_of_another_table_is_refused(swept):
    with pytest.raises(
        wdrun.ConfigError, match=r"a frame without epoch: must be a frame of metrics, such as wdrun\.lo"
    ):
        wdrun.figures.learning_curves(swept.runs)
    with pytest.raises(wdrun.ConfigError, match="Sweep: must be a frame of timing"):
        wdrun.figures.speed(swept)


def test_a_frame_with_nothing_to_draw_is_refused(swept):
    with pytest.raises(wdrun.ConfigError, match=r"the runs differ in decay, .*lr: pick one, as table\[tab"):
        wdrun.figures.learning_curves(swept.metrics)
    with pytest.raises(wdrun.ConfigError, match="nothing to draw: no measured epoch among these rows"):
        wdrun.figures.learning_curves(swept.metrics[:0])
    with pytest.raises(wdrun.ConfigError, match="nothing to draw: no two lr and two λ > 0 among these rows"):
        wdrun.figures.lr_lambda(swept.runs[swept.runs["lr"] == 0.1])
