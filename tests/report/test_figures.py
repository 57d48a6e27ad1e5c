"""Figures show the numbers of the tables, the same bytes for the same input, and any name as it is."""

import dataclasses
import hashlib
import itertools
import math
import subprocess
import sys
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from scipy import stats

from wdrun.report.figures import curve, drawings, heatmap, layers, learning, product, robustness, style, tables, weights
from wdrun.report.figures.lambda_axis import LambdaAxis
from wdrun.report.figures.ridge import ridge
from wdrun.selection import select
from wdrun.tables.columns import FACTORS, RUN, TABLES
from wdrun.tables.read import Results

SCORES = ("val_loss", "val_accuracy", "train_loss", "train_accuracy")
LAMS, LRS = (0.0, 1e-4, 1e-3, 1e-2), (0.01, 0.1)


def empty(name):
    return pd.DataFrame({c.name: pd.Series(dtype="object" if c.kind is str else "float") for c in TABLES[name]})


def swept(loss, *, couplings=("coupled",), lrs=LRS, lams=LAMS, seeds=(0, 1, 2), decay="l2", folder=None):
    """A typed runs table; a run whose loss is None diverged."""
    rows = []
    for coupling, lr, lam, seed in itertools.product(couplings, lrs, lams, seeds):
        value = loss(coupling, lr, lam, seed)
        row = dict.fromkeys((c.name for c in (*FACTORS, *RUN)), math.nan)
        row |= {"model": "mlp", "decay": decay, "coupling": coupling, "optimizer": "sgd", "decay.coupling": coupling}
        row |= {"id": f"{len(rows):08x}", "lambda": lam, "lr": lr, "seed": seed, "fold": 0, "cause": ""}
        row |= {"status": "diverged" if value is None else "done", "total_decay": 100 * lr * lam, "dir": str(folder)}
        if value is not None:
            row |= dict(zip(SCORES, (value, math.exp(-value), 0.9 * value, math.exp(-0.9 * value)), strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def bowl(coupling, lr, lam, seed):
    """Best at λ = 1e-3 and lr = 0.1; seeds differ."""
    return 1 + 0.1 * (math.log10(lam or 1e-6) + 3) ** 2 + 0.2 * abs(math.log10(lr) + 1) + 0.003 * seed * (1 + seed)


def measured(runs, epochs=(1, 2, 3)):
    """Results of the runs with rows in every table."""
    rng = np.random.default_rng(0)
    factors = runs[[c.name for c in FACTORS]]

    def rows(name, **values):
        table = factors.assign(**values).reindex(columns=[c.name for c in TABLES[name]])
        kinds = {c.name: "float64" for c in TABLES[name] if c.kind is float}
        return table.astype(kinds)

    metrics, layer, histogram, timing = [], [], [], []
    n = len(runs)
    for epoch in epochs:
        for split in ("train", "val"):
            noise = {k: rng.uniform(0.1, 0.9, n) for k in ("data_loss", "accuracy", "ece", "brier")}
            metrics.append(rows("metrics", epoch=epoch, split=split, corruption="", severity=0, **noise))
        for k, name in enumerate(("fc1.weight", "fc1.bias")):
            values = {k: rng.uniform(0.1, 2, n) for k in ("l2_norm", "last_rotation", "last_rotation_equilibrium")}
            dead = 0.0 if k == 0 else math.nan
            values |= {"numel": 3072 if k == 0 else 1, "sparsity": rng.uniform(0, 1, n), "dead_filters": dead}
            layer.append(rows("layers", epoch=epoch, parameter=name, **values))
        for b in range(-4, 5):
            edges = {"left": (b - 0.5) * 0.002, "right": (b + 0.5) * 0.002, "count": 400 - 40 * abs(b)}
            histogram.append(rows("histograms", epoch=epoch, parameter="fc1.weight", bin=b, **edges))
        timing.append(rows("timing", epoch=epoch, images_per_second=rng.uniform(1000, 2000, n)))
    for kind, severity in [("", 0), *itertools.product(("blur", "fgsm"), (1, 2))]:
        values = {"corruption": kind, "severity": severity, "accuracy": rng.uniform(0, 1, n)}
        metrics.append(rows("metrics", epoch=max(epochs), split="test", **values))
    frames = (pd.concat(parts, ignore_index=True) for parts in (metrics, layer, histogram, timing))
    return Results((), runs, *frames, problems=())


def line(ax, label):
    [found] = [x for x in ax.lines if x.get_label() == label]
    return np.asarray(found.get_xdata(), float), np.asarray(found.get_ydata(), float)


def chosen(runs, **options):
    return tables.facets(select(runs, **options))


# --- the curve ---


@pytest.mark.parametrize("kind", ["loss", "accuracy"])
def test_the_curve_is_the_mean_over_seeds_at_the_best_lr_of_each_lambda(kind):
    runs = swept(bowl)
    figure = curve.curve(chosen(runs))
    val, train = (figure.axes[i + (kind == "accuracy")] for i in (0, 2))
    for ax, split in ((val, "val"), (train, "train")):
        column, means = f"{split}_{kind}", []
        for lam in LAMS:
            by_lr = [runs[(runs["lambda"] == lam) & (runs["lr"] == lr)] for lr in LRS]
            best = min(by_lr, key=lambda part: part["val_loss"].mean())
            means.append(best[column].mean())
        x, y = line(ax, column)
        np.testing.assert_allclose(y, means[1:], rtol=1e-12)
        np.testing.assert_allclose(x, np.log10(LAMS[1:]))
        off_x, off_y = line(ax, f"{column} λ=0")
        np.testing.assert_allclose(off_y, means[:1], rtol=1e-12)
        assert off_x[0] < x[0] - 0.5  # apart, and no line joins them


def test_the_band_is_the_t_interval():
    runs = swept(bowl)
    table = tables.replicates(runs, ["lr", "lambda"], ["val_loss"])
    for row in table.itertuples(index=False):
        values = runs.loc[(runs["lr"] == row[0]) & (runs["lambda"] == row[1]), "val_loss"]
        low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        np.testing.assert_allclose(row[2:], [values.mean(), low, high, 3], rtol=1e-12)


def test_one_seed_has_points_and_no_band():
    runs = swept(bowl, seeds=(0,))
    facets = chosen(runs)
    assert facets[0].cells["val_loss.low"].isna().all()
    ax = curve.curve(facets).axes[0]
    assert len(line(ax, "val_loss")[0]) == 3
    drawing = next(drawings.drawings(Results((), runs, *map(empty, TABLES), ()), select(runs)))
    assert "a single run a point (so without an interval)" in drawing.caption


def test_lambda_zero_has_its_own_tick_behind_a_break():
    axis = LambdaAxis([0, 1e-5, 1e-4, 1e-3])
    assert axis([0])[0] == axis.zero < -5 - 0.5
    np.testing.assert_allclose(axis([1e-5, 1e-3]), [-5, -3])
    assert axis.ticks(8) == [0, 1e-5, 1e-4, 1e-3]
    assert not LambdaAxis([1e-5]).has_zero
    assert LambdaAxis([0])([0]) == [0]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9))
def test_extrema_are_those_of_the_definition(means):
    """Brute force: walk left and right of each point over equal values to the first different one."""
    lows, highs = curve.extrema(means)

    def beyond(i, step):
        j = i
        while 0 <= j < len(means) and means[j] == means[i]:
            j += step
        return means[j] if 0 <= j < len(means) else None

    for i, value in enumerate(means):
        sides = [beyond(i, -1), beyond(i, 1)]
        inside = None not in sides
        same = [k for k in range(len(means)) if all(means[m] == value for m in range(min(i, k), max(i, k) + 1))]
        middle = i == (same[0] + same[-1]) // 2
        assert (i in lows) == (inside and middle and value < min(sides))
        assert (i in highs) == (inside and middle and value > max(sides))


def test_the_choice_is_marked_and_total_decay_is_on_top():
    facets = chosen(swept(bowl))
    ax = curve.curve(facets).axes[0]
    stars = [x for x in ax.lines if x.get_marker() == "*"]
    np.testing.assert_allclose([float(x.get_xdata()[0]) for x in stars], [-3])
    [top] = ax.child_axes
    assert [t.get_text() for t in top.get_xticklabels()] == ["0", "0.001", "0.01", "0.1"]  # 100·lr·λ at lr = 0.1


# --- the map and its ridge ---


def grid(best, *, lrs=(1e-3, 1e-2, 1e-1, 1), lams=(0, *(10.0**k for k in range(-7, 3)))):
    cells = [(lr, lam, (math.log10(lam or 1e-9) - best(math.log10(lr))) ** 2) for lr in lrs for lam in lams]
    return pd.DataFrame(cells, columns=["lr", "lambda", "score"])


@pytest.mark.parametrize(
    ("best", "slope", "reading"),
    [
        (lambda x: -4 - x, -1, "lr·λ constant"),
        (lambda x: -2, 0, "λ independent of lr"),
        (lambda x: -2 + x, 1, "neither −1 nor 0"),
    ],
)
@pytest.mark.parametrize("lower", [True, False])
def test_a_constructed_ridge_has_its_slope(best, slope, reading, lower):
    table = grid(best)
    found = ridge(table if lower else table.assign(score=-table["score"]), lower=lower)
    assert found.slope == pytest.approx(slope)
    assert (found.n, found.reason, found.reading) == (4, "", reading)
    # A grid of whole decades cannot tell the slope exactly, however well the points lie on a line.
    half = stats.t.ppf(0.975, 2) * math.sqrt(1 / 12 / 5)
    assert found.high - found.low == pytest.approx(2 * half)


def test_the_ridge_is_the_least_squares_line():
    rng = np.random.default_rng(1)
    at = dict(enumerate(rng.integers(-6, 2, 8), start=-6))
    found = ridge(grid(lambda x: at[round(x)], lrs=tuple(10.0**k for k in at)), lower=True)
    inside = found.at[found.at["inside"]]
    want = stats.linregress(np.log10(inside["lr"]), np.log10(inside["lambda"]))
    assert [found.slope, found.intercept] == pytest.approx([want.slope, want.intercept])
    half = stats.t.ppf(0.975, len(inside) - 2) * want.stderr
    assert [found.low, found.high] == pytest.approx([want.slope - half, want.slope + half])


def test_a_ridge_on_the_edge_or_at_zero_is_not_told():
    edge = ridge(grid(lambda x: 5), lower=True)
    off = ridge(grid(lambda x: -9), lower=True)
    assert math.isnan(edge.slope)
    assert edge.reading == "cannot be told: best λ inside the grid for 0 of 4 lr, 3 needed, 4 at the grid's edge"
    assert off.reading.endswith("4 at λ = 0")
    assert ridge(grid(lambda x: -2).iloc[:0], lower=True).n == 0


def test_a_diverged_neighbour_keeps_the_best_off_the_edge():
    table = grid(lambda x: 5)  # best at the largest λ
    beyond = table[table["lambda"] == 100].assign(score=math.nan, **{"lambda": 1000.0})
    assert ridge(table, lower=True).n == 0
    assert ridge(pd.concat([table, beyond]), lower=True).n == 4


def unstable(coupling, lr, lam, seed):
    return None if lr * lam > 5e-4 or (lam == 1e-4 and lr == 0.01 and seed == 1) else bowl(coupling, lr, lam, seed)


def test_the_map_shows_means_hatches_what_diverged_and_leaves_blank_what_is_missing():
    runs = swept(unstable)
    runs = runs[~((runs["lambda"] == 1e-2) & (runs["lr"] == 0.01))]
    figure = heatmap.heatmap(chosen(runs), "val_loss")
    ax = figure.axes[0]
    above, off = (np.ma.filled(c.get_array().astype(float), np.nan).reshape(-1, 2) for c in ax.collections[:2])
    want = runs.groupby(["lambda", "lr"])["val_loss"].mean().unstack().reindex(columns=list(LRS))
    np.testing.assert_allclose(above, want.loc[[1e-4, 1e-3, 1e-2]])
    np.testing.assert_allclose(off, want.loc[[0.0]])
    assert math.isnan(above[2, 0])
    hatched = {(round(p.get_x() + 0.5), round(p.get_y() + 0.5)) for p in ax.patches if p.get_hatch()}
    assert hatched == {(1, 2), (0, 0)}  # all of (0.1, 0.01) and one run of (0.01, 1e-4)
    [ring] = [x for x in ax.lines if x.get_marker() == "o"]
    assert (list(ring.get_xdata()), list(ring.get_ydata())) == ([1.0], [1.0])
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert {"diverged runs", "not run"} <= set(words)


@pytest.mark.parametrize(("metric", "sign"), [("val_loss", 1), ("val_accuracy", -1)])
def test_a_cell_of_the_map_is_that_of_the_other_knobs_best_value(metric, sign):
    """A run that diverged at another value of them marks nothing; where every value has one, that of the best score."""
    rows = [  # lr, λ, batch_size, score, diverged, failed
        (0.1, 1e-3, 32, 1.0, 0, 1), (0.1, 1e-3, 64, 0.9, 2, 0), (0.1, 1e-3, 128, math.nan, 3, 0),
        (0.1, 1e-2, 32, math.nan, 3, 0), (0.1, 1e-2, 64, 1.1, 1, 0),
        (1.0, 1e-3, 32, 0.8, 0, 0), (1.0, 1e-3, 64, 0.7, 0, 0), (1.0, 1e-2, 32, math.nan, 0, 3),
    ]  # fmt: skip
    cells = pd.DataFrame(rows, columns=["lr", "lambda", "batch_size", metric, "diverged", "failed"])
    cells[metric] *= sign
    expected = [(0.1, 1e-3, 1.0, 0, 1), (0.1, 1e-2, 1.1, 1, 0), (1.0, 1e-3, 0.7, 0, 0), (1.0, 1e-2, math.nan, 0, 3)]
    wanted = pd.DataFrame(expected, columns=["lr", "lambda", "score", "diverged", "failed"])
    found = heatmap.scores(SimpleNamespace(cells=cells), metric)
    pd.testing.assert_frame_equal(found, wanted.assign(score=sign * wanted["score"]))


def test_lines_of_constant_product_are_that():
    facets = chosen(swept(bowl))
    ax = heatmap.heatmap(facets, "val_loss").axes[0]
    x, y = line(ax, "lr·λ = 1e-5")
    inside = np.isfinite(y)
    lam, lr = 10 ** (np.asarray(y)[inside] - 4), 10 ** (np.asarray(x)[inside] - 2)
    np.testing.assert_allclose(lam * lr, 1e-5)


def test_a_facet_is_looked_at_closely_at_its_chosen_lr():
    """Also where the lr has no short name."""
    lrs = tuple(map(float, np.geomspace(1e-3, 0.1, 4)))
    runs = swept(lambda c, lr, lam, seed: bowl(c, lr, lam, seed) + abs(lr - lrs[2]), lrs=lrs)
    [facet] = chosen(runs)
    best = runs.groupby(["lr", "lambda"])["val_loss"].mean().idxmin()
    assert set(facet.close["lr"]) == {best[0]}
    assert len(facet.close) == len(LAMS) * 3


# --- over training, layers, weights ---


def test_learning_curves_and_their_gap():
    found = measured(swept(bowl))
    [facet] = chosen(found.runs)
    table = learning.epochs(found.metrics, facet)
    rows = found.metrics[(found.metrics["lr"] == 0.1) & (found.metrics["corruption"] == "")]
    for row in table.itertuples(index=False):
        own = rows[(rows["lambda"] == row[0]) & (rows["epoch"] == row.epoch)]
        means = own.groupby("split")[["data_loss", "accuracy"]].mean()
        assert row.val_loss == pytest.approx(means.loc["val", "data_loss"])
        assert row.gap_loss == pytest.approx(means.loc["val", "data_loss"] - means.loc["train", "data_loss"])
        assert row.gap_accuracy == pytest.approx(means.loc["train", "accuracy"] - means.loc["val", "accuracy"])
    assert len(table) == 4 * 3


def test_norms_are_of_weights_and_sparsity_is_of_all():
    found = measured(swept(bowl))
    [facet] = chosen(found.runs)
    table = layers.over_time(found.layers, facet, ["l2_norm"])
    assert set(table["parameter"]) == {"fc1.weight"}
    last = found.layers[(found.layers["epoch"] == 3) & (found.layers["lr"] == 0.1)]
    got = layers.sparse(found.layers, [facet]).set_index("id")["sparsity"]
    for run, own in last.groupby("id"):
        assert got[run] == pytest.approx(np.average(own["sparsity"], weights=own["numel"]))


def test_a_tensor_that_never_turns_has_an_empty_panel():
    """Such as one of zeros that gets no gradient: no angle at all, or 0 and no equilibrium."""
    turns, columns = [math.nan, 0.0, 0.3, 2.0], ["last_rotation", "last_rotation_equilibrium"]
    rows = [("a", 0.1, epoch, turn, turn) for epoch, turn in enumerate(turns)]
    rows += [("b", 0.1, epoch, math.nan, math.nan) for epoch in range(4)] + [("c", 0.1, 1, 0.0, math.nan)]
    figure = layers.rotation(pd.DataFrame(rows, columns=["parameter", "lambda", "epoch", *columns]))
    assert figure.axes[0].get_ylim() == pytest.approx((0.002, 3.0))
    assert style.render(figure, "svg").startswith(b"<?xml")


def test_histograms_integrate_to_one():
    found = measured(swept(bowl))
    [facet] = chosen(found.runs)
    for table, by in (
        (weights.across_lambda(found.histograms, found.layers, facet), "lambda"),
        (weights.over_training(found.histograms, found.layers, facet), "epoch"),
    ):
        area = (table["density"] * table["width"]).groupby(table[by]).sum()
        np.testing.assert_allclose(area, 1)
        assert len(area) == {"lambda": 4, "epoch": 3}[by]


def test_few_weights_get_wider_bins_and_keep_their_mass():
    rows = pd.DataFrame({"bin": range(-100, 101), "count": 1}).assign(parameter="w", epoch=1, numel=201)
    rows = rows.assign(left=(rows["bin"] - 0.5) * 0.002, right=(rows["bin"] + 0.5) * 0.002, dead_filters=0.0)
    table = weights.densities(rows, rows, "epoch")
    assert table["width"].iloc[0] == pytest.approx(25 * 0.002)
    assert (table["density"] * table["width"]).sum() == pytest.approx(1)


@pytest.mark.parametrize(("name", "shape"), [("fc1.weight", (12, 3072)), ("conv1.weight", (12, 3, 5, 5))])
def test_filters_are_the_first_layers_weights(tmp_path, name, shape):
    w = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    save_file({name: w, "z.bias": w[0]}, tmp_path / "last.safetensors")
    found = measured(swept(bowl, folder=tmp_path))
    found.layers["parameter"] = found.layers["parameter"].replace("fc1.weight", name)
    [facet] = chosen(found.runs)
    images = weights.filters(facet, found.layers)
    assert list(images) == list(LAMS)
    side = {2: 32, 4: 5}[len(shape)]
    np.testing.assert_array_equal(images[0.0][3, 1, 2], w.reshape(12, 3, side, side)[3, :, 1, 2])
    ranks = sorted(sorted(range(12), key=lambda i: -np.linalg.norm(w[i]))[:8])
    assert weights.strongest(images[0.0]) == ranks
    canvas = weights.mosaic(images[0.0][:2], 10.0)
    np.testing.assert_allclose(canvas[:, :side], 0.5 + images[0.0][0] / 20)


@pytest.mark.parametrize("content", [None, b"", b"not safetensors at all"])
def test_broken_weights_are_left_out(tmp_path, content):
    if content is not None:
        (tmp_path / "last.safetensors").write_bytes(content)
    found = measured(swept(bowl, folder=tmp_path))
    assert weights.filters(chosen(found.runs)[0], found.layers) == {}


def test_robustness_and_calibration_are_means_over_seeds():
    found = measured(swept(bowl))
    [facet] = chosen(found.runs)
    table = robustness.corrupted(found.metrics, facet)
    test = found.metrics[(found.metrics["split"] == "test") & (found.metrics["lr"] == 0.1)]
    for row in table.itertuples(index=False):
        kind = row.corruption if row.severity else ""
        own = test[(test["corruption"] == kind) & (test["severity"] == row.severity) & (test["lambda"] == row[2])]
        assert row.accuracy == pytest.approx(own["accuracy"].mean())
    assert len(table) == 2 * 3 * 4
    got = robustness.calibrated(found.metrics, [facet]).set_index("lambda")["ece"]
    val = found.metrics[
        (found.metrics["split"] == "val") & (found.metrics["epoch"] == 3) & (found.metrics["lr"] == 0.1)
    ]
    np.testing.assert_allclose(got, val.groupby("lambda")["ece"].mean())


# --- lr·λ behind a normalisation ---


def turned(runs, norm="block1.norm1.weight"):
    """Results in which a step turns conv weights by √(lr·λ)·(seed + 1)°, 1° at equilibrium, and halves once lr falls.

    Three epochs, the last at a tenth of the lr; the head turns by 90°, and the norm's weight has no equilibrium.
    """
    found, rows = measured(runs), []
    factors = runs[[c.name for c in FACTORS]]
    for epoch, share in ((1, 0.2), (2, 1.0), (3, 0.1)):
        for name, factor in (("conv1.weight", 0.5), ("conv2.weight", 1), ("conv3.weight", 1.5), ("fc.weight", 90)):
            values = {"last_rotation": np.sqrt(runs["lr"] * runs["lambda"]) * (runs["seed"] + 1) * factor * share}
            values |= {"last_rotation_equilibrium": share * (1.0 if factor < 90 else 7.0), "l2_norm": 3.0, "numel": 9}
            values |= {"last_effective_lr": runs["lr"] * share / 9, "dead_filters": 0.0}
            rows.append(factors.assign(epoch=epoch, parameter=name, **values))
        rows.append(factors.assign(epoch=epoch, parameter=norm, l2_norm=1.0, numel=9, dead_filters=math.nan))
    columns = [c.name for c in TABLES["layers"]]
    table = pd.concat([one.reindex(columns=columns) for one in rows], ignore_index=True)
    return dataclasses.replace(found, layers=table)


def test_what_the_product_of_lr_and_lambda_does_is_read_where_there_still_is_lr():
    found = turned(swept(bowl))
    [facet] = chosen(found.runs)
    cells = product.table(found.layers, facet)
    assert len(cells) == len(LRS) * 3
    assert list(cells["product"]) == pytest.approx(list(cells["lr"] * cells["lambda"]))
    expected = np.sqrt(cells["product"]) * 2  # the mean of seeds 0, 1, 2; the median tensor; the epoch of the full lr
    np.testing.assert_allclose(cells["last_rotation"], expected)
    np.testing.assert_allclose(cells["last_rotation_equilibrium"], 1.0)
    np.testing.assert_allclose(cells["reached"], expected)
    losses = [np.mean([bowl("", lr, lam, seed) for seed in (0, 1, 2)]) for lr, lam in cells[["lr", "lambda"]].values]
    np.testing.assert_allclose(cells["val_loss"], losses)


def test_its_figure_is_one_of_the_reports():
    found = turned(swept(bowl))
    names = {d.name: d for d in drawings.drawings(found, select(found.runs))}
    drawing = names["lr-times-lambda"]
    loss, rotation, reached = drawing.figure.axes
    assert [ax.get_xscale() for ax in drawing.figure.axes] == ["log"] * 3
    assert [len(ax.lines) for ax in drawing.figure.axes] == [2, 4, 3]
    assert loss.get_ylabel() == "validation data loss (nats)"
    assert rotation.get_ylabel() == "rotation of a step (°)"
    assert list(reached.lines[-1].get_ydata()) == [1.0, 1.0]
    assert style.render(drawing.figure, "svg").startswith(b"<?xml")


@pytest.mark.parametrize("lams", [LAMS, (0.0, 2e-4, 3e-4), (0.0, 1e-3, 1.01e-3), (0.0, 1e-8, 1e-1)])
def test_its_log_axes_have_two_labels_or_more_and_none_lies_on_another(lams):
    found = turned(swept(bowl, lams=lams, lrs=(0.01, 0.011)))
    (drawing,) = (d for d in drawings.drawings(found, select(found.runs)) if d.name == "lr-times-lambda")
    style.render(drawing.figure, "png")
    for ax in drawing.figure.axes:
        for axis in [ax.xaxis] if ax.get_yscale() == "linear" else [ax.xaxis, ax.yaxis]:
            low, high = axis.get_view_interval()
            boxes = [
                tick.label1.get_window_extent()
                for tick in axis.get_major_ticks()
                if low <= tick.get_loc() <= high and tick.label1.get_text()
            ]
            assert 2 <= len(boxes) <= 6
            assert not [(one, other) for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)]


@pytest.mark.parametrize("norm", ["bn1.weight", "0.LayerNorm.weight", "batchnorm2.weight", "ln_f.weight"])
def test_norms_are_told_by_the_names_that_people_give_them(norm):
    found = turned(swept(bowl), norm=norm)
    [facet] = chosen(found.runs)
    assert len(product.table(found.layers, facet)) == len(LRS) * 3


def test_of_many_lr_some_have_a_line_and_the_caption_says_so():
    found = turned(swept(bowl, lrs=[0.01 * 2**i for i in range(8)]))
    (drawing,) = (d for d in drawings.drawings(found, select(found.runs)) if d.name == "lr-times-lambda")
    assert len(drawing.figure.axes[0].lines) == 6
    assert "6 of 8 lr shown" in drawing.caption


@pytest.mark.parametrize(
    "found",
    [
        measured(swept(bowl)),
        turned(swept(bowl), norm="fc2.bias"),
        turned(swept(bowl, lrs=(0.1,))),
        turned(swept(bowl, lams=(0.0, 1e-3))),
        dataclasses.replace(turned(swept(bowl)), layers=empty("layers")),
    ],
    ids=["no such rows", "no norm", "one lr", "one λ", "no layers"],
)
def test_it_is_not_drawn_where_there_is_nothing_to_compare(found):
    [facet] = chosen(found.runs)
    assert product.table(found.layers, facet).empty


# --- all drawings, bytes and names ---


def test_everything_the_data_allow_is_drawn(tmp_path):
    save_file({"fc1.weight": np.ones((9, 3072), np.float32)}, tmp_path / "last.safetensors")
    found = measured(swept(bowl, couplings=("coupled", "decoupled", "independent"), folder=tmp_path))
    names = [d.name for d in drawings.drawings(found, select(found.runs))]
    close = [
        f"{name}-{i}"
        for i in (1, 2)
        for name in (
            "learning-curves", "norms", "rotation", "weights-lambda", "weights-epochs", "filters", "robustness"
        )
    ]  # fmt: skip
    assert names == ["decay-curve", "lr-lambda", *close, "sparsity", "calibration", "speed"]


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"augment.mix": None}, ""),
        ({"label_smoothing": 0.1}, ", with label_smoothing, which validation is without"),
        ({"augment.mix": "mixup", "label_smoothing": 0.1}, ", with label_smoothing and of mixed images, which"),
    ],
)
def test_a_caption_says_where_training_values_are_of_another_loss_than_validation(knobs, said):
    found = measured(swept(bowl).assign(**knobs))
    captions = {d.name: d.caption for d in drawings.drawings(found, select(found.runs))}
    assert f"running means over the last epoch{said or '.'}" in captions["decay-curve"]
    assert f"running means over the epoch{said or ';'}" in captions["learning-curves"]


def test_nothing_is_drawn_of_nothing():
    runs = swept(lambda *_: None)
    found = Results((), runs, *map(empty, TABLES), problems=())
    assert list(drawings.drawings(found, select(runs))) == []


def test_one_run_is_enough():
    found = measured(swept(bowl, lrs=(0.1,), lams=(0.0,), seeds=(0,)), epochs=(1,))
    for drawing in drawings.drawings(found, select(found.runs)):
        assert style.render(drawing.figure, "svg").startswith(b"<?xml")


def test_a_regression_has_no_accuracy():
    runs = swept(bowl).assign(val_accuracy=math.nan, train_accuracy=math.nan)
    figure = curve.curve(chosen(runs))
    assert [ax.get_ylabel() for ax in figure.axes] == ["validation\ndata loss (squared error)", "training\nloss"]


def test_figures_are_drawn_one_at_a_time():
    found = measured(swept(bowl))
    assert next(drawings.drawings(found, select(found.runs))).name == "decay-curve"


HOSTILE = [
    "a$b$c",
    "$\\frac{",
    "<script>alert(1)</script>",
    "line\nbreak\x00\x1b[31m",
    "x" * 300,
    "中文 😀",
    "_^{}%&#~\\",
    "",
]


def test_any_name_is_drawn_as_it_is():
    runs = pd.concat([swept(bowl, decay=name, lams=(0.0, 1e-3), seeds=(0,)) for name in HOSTILE], ignore_index=True)
    runs["id"] = [f"{i:08x}" for i in range(len(runs))]
    found = measured(runs, epochs=(1,))
    found.layers["parameter"] = found.layers["parameter"].replace("fc1.weight", HOSTILE[1])
    for drawing in itertools.islice(drawings.drawings(found, select(runs)), 4):
        content = style.render(drawing.figure, "svg")
        assert b"<script" not in content
        assert drawing.name.replace("-", "").isalnum()
    labels = [facet.label for facet in chosen(runs)]
    assert {"a$b$c", "$\\frac{", "<script>alert(1)</script>", "line break [31m", "_^{}%&#~\\", "null"} <= set(labels)
    assert max(map(len, labels)) == 80


def test_a_dollar_is_a_dollar():
    from matplotlib.figure import Figure

    @style.styled
    def draw():
        figure = Figure()
        figure.text(0.1, 0.5, "costs $5 and $6")
        return figure

    assert not draw().texts[0].get_parse_math()
    assert style.literal("a\n b\tc") == "a b c"
    assert style.literal("x" * 100, 10) == "x" * 9 + "…"


def test_the_same_input_gives_the_same_bytes_in_every_format():
    """Also in a process of its own, where hashes of strings and the order of imports differ."""
    script = "import hashlib, sys; sys.path.insert(0, sys.argv[1]); import test_figures as t;print(*t.digests())"
    here = str(__import__("pathlib").Path(__file__).parent)
    other = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, here], capture_output=True, text=True, check=True
    )
    assert other.stdout.split() == digests() == digests()


def digests():
    """SHA-256 of a curve and a map in each format."""
    facets = chosen(swept(unstable))
    made = (curve.curve(facets), heatmap.heatmap(facets, "val_loss"))
    return [hashlib.sha256(style.render(f, kind)).hexdigest() for f in made for kind in style.CANVASES]


def test_the_callers_settings_neither_matter_nor_change():
    facets = chosen(swept(bowl))
    plain = style.render(curve.curve(facets), "svg")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "none"}):
        before = dict(mpl.rcParams)
        assert style.render(curve.curve(facets), "svg") == plain
        assert dict(mpl.rcParams) == before


@settings(max_examples=50)
@given(st.sets(st.floats(1e-9, 1e3), min_size=1, max_size=60), st.integers(3, 9))
def test_thinning_keeps_the_ends_and_what_is_asked_for(values, most):
    ordered = sorted(values)
    kept = ordered[len(ordered) // 2]
    shown = style.some(list(values), most, keep=[kept])
    assert len(shown) == min(most, len(values))
    assert {ordered[0], ordered[-1], kept} <= set(shown) <= values
    assert shown == sorted(shown)
    assert 1 <= len(style.labelled(list(values), most)) <= most
