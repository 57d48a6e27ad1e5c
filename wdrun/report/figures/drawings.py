"""Every figure of a report with its caption, those the data allow, drawn one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure

from wdrun.report.figures import curve, heatmap, layers, learning, narrowing, product, robustness, searched, weights
from wdrun.report.figures.tables import FacetTables, facets
from wdrun.selection.cells import lower_is_better
from wdrun.wording import counted, listed

if TYPE_CHECKING:
    from wdrun.selection import Selection
    from wdrun.tables.read import Results
    from wdrun.tables.verdicts import Records

CURVES, MAPS, CLOSE = 8, 8, 2  # facets in the curve, in the map, and looked at closely
ASKED = 10  # questions whose intervals are drawn
RULE = (
    "The ridge is fitted to the best λ of each lr, where that is inside the grid; in brackets a 95 % t interval that "
    "allows for the grid's steps. −1: lr·λ constant, expected where a step shrinks a weight by lr·λ (coupled, "
    "decoupled, cautious, proximal; under an adaptive optimizer coupled decay is rescaled, so it is a first guess). "
    "0: λ independent of lr, expected where lr does not enter (independent, the AdamW paper's “decoupled”)."
)


@dataclass(frozen=True)
class Drawing:
    """A figure: `name` is a safe file stem; the caption says what is shown, in which units, from how many runs."""

    name: str
    title: str
    caption: str
    figure: Figure


def drawings(results: Results, selection: Selection, records: Records | None = None) -> Iterator[Drawing]:
    """The figures, each drawn when it is asked for, so that one can be written and dropped before the next.

    With the `records` of a tuned folder its search and its intervals stand in the place of the curve and the map.
    """
    found = facets(selection)
    if records is not None:
        yield from _tuned(results, records)
    if found:
        if records is None:
            yield from _choice(found, selection.metric, _training(results.runs))
        for i, facet in enumerate(found[:CLOSE], start=1):
            yield from _close(results, facet, f"-{i}" if len(found) > 1 else "", len(found))
            yield from _product(results, facet, f"-{i}" if len(found) > 1 else "", len(found))
        yield from _together(results, found)
    speeds = learning.speeds(results.timing)
    if len(speeds):
        yield Drawing(
            "speed", "Speed", "Training images per second: a dot a run (median over its epochs, without the first), "
            f"a bar at the median of a setting; {counted(len(speeds), 'run')}.", learning.speed(speeds),
        )  # fmt: skip


def _choice(found: Sequence[FacetTables], metric: str, training: str) -> Iterator[Drawing]:
    shown = [f for f in found if f.cells["val_loss"].notna().any()]
    if shown:
        caption = (
            "Data loss (without the penalty) and accuracy against λ, at the lr that is best for each λ on validation; "
            f"mean over {replicates(shown[:CURVES], band=True)}; λ = 0 is a point of its own. Training values are "
            f"running means over the last epoch{training}. On top the total decay D of the runs behind the points, "
            f"where it is defined. Thin lines may leave the panel.{_capped(len(shown), CURVES)}"
        )
        yield Drawing("decay-curve", "Weight-decay curve", caption, curve.curve(shown[:CURVES]))
    maps = [f for f in found if heatmap.drawable(f)]
    if maps:
        tables = [heatmap.scores(f, metric) for f in maps[:MAPS]]
        readings = [heatmap.measured(t, lower=lower_is_better(metric)).reading for t in tables]
        caption = (
            f"Mean validation score of each (lr, λ) over {replicates(maps[:MAPS])}. {RULE} Read here: "
            + "; ".join(f"{f.label}: {words}" for f, words in zip(maps, readings, strict=False))
            + f".{_capped(len(maps), MAPS)}"
        )
        yield Drawing("lr-lambda", "Learning rate and λ", caption, heatmap.heatmap(maps[:MAPS], metric))


def _training(runs: pd.DataFrame) -> str:
    """What training values are of, where validation is not scored by the same; as a part of a sentence."""
    other = {"label_smoothing": "with label_smoothing", "augment.mix": "of mixed images"}
    used = [words for key, words in other.items() if key in runs and runs[key].notna().any()]
    return f", {listed(used)}, which validation is without" * bool(used)


def _tuned(results: Results, records: Records) -> Iterator[Drawing]:
    """What the search tried, and how the questions were settled."""
    if records.verdicts.empty:
        return
    objective, margin = records.verdicts["objective"].iloc[0], float(records.verdicts["margin"].iloc[0])
    classes = bool(results.runs["val_accuracy"].notna().any())
    found = searched.searched(records, results.runs)
    shown = [one for one in found if (one.points["lambda"] > 0).any()][:CURVES]
    if shown:
        caption = (
            "Each run of the search over its λ, whatever its lr, one seed a setting; λ = 0 is a point of its own. Far "
            "worse runs stand at the edge as triangles. The star is the chosen setting, at the mean of its fresh runs, "
            "which chose nothing; the dashed line is λ = 0 at its own best setting on the same seeds, and the bar the "
            f"verdict's interval of how far they are apart.{_first(len(found), CURVES, 'settings')}"
        )
        figure = searched.curve(shown, objective, margin, classes)
        yield Drawing("searched-curve", "What the search tried over λ", caption, figure)
    planes = [one for one in shown if searched.planar(one)]
    if planes:
        caption = (
            "Each setting that the search tried at its lr and λ, numbered in the order tried; λ = 0 stands below the "
            "others. Colour is the validation score, the worst ones share a colour. The ring is round the setting that "
            "fresh runs were trained of."
        )
        yield Drawing("searched-plane", "The search in lr and λ", caption, searched.plane(planes, objective, classes))
    asked = narrowing.questions(records.looks, records.verdicts)
    if asked:
        caption = (
            "Difference (the first minus the second) and its interval after each pair of fresh runs. A question is "
            "decided by the first interval on one side of 0, or within the margin; the interval allows for every look "
            "and for all questions together. The first ones may leave the panel."
            + _first(len(asked), ASKED, "questions")
        )
        figure = narrowing.narrowing(asked[:ASKED], objective, margin, classes)
        yield Drawing("narrowing", "How the intervals narrowed", caption, figure)


def _first(count: int, most: int, what: str) -> str:
    return f" The first {most} of {count} {what} are shown." * (count > most)


def _close(results: Results, facet: FacetTables, suffix: str, of: int) -> Iterator[Drawing]:
    """The figures of one facet at its chosen lr."""
    at = f" {facet.label}, {facet.setting}; {replicates([facet], facet.setting)}."
    more = f" The {CLOSE} best of {of} settings are shown so." * (of > CLOSE)
    thin = facet.thinned(learning.MOST)

    def drawing(name: str, title: str, caption: str, figure: Figure) -> Drawing:
        return Drawing(name + suffix, title if of == 1 else f"{title}: {facet.label}", caption + at + more, figure)

    table = learning.epochs(results.metrics, facet)
    if len(table):
        caption = (
            "Data loss, accuracy and their gap (validation − training loss, training − validation accuracy) after each "
            f"epoch; training values are running means over the epoch{_training(results.runs)}; means over runs.{thin}"
        )
        yield drawing("learning-curves", "Learning curves", caption, learning.learning(table))
    columns = ["l2_norm", "last_rotation", "last_rotation_equilibrium"]
    table = layers.over_time(results.layers, facet, columns)
    if len(table):
        caption = f"Norm of each weight tensor after each epoch, means over runs; the largest tensors.{thin}"
        yield drawing("norms", "Norms over training", caption, layers.norms(table))
    table = layers.over_time(results.layers, facet, columns, layers.ROTATION_MOST)
    if (table["last_rotation_equilibrium"] > 0).any():
        caption = (
            "Angle by which an epoch's last step turned each tensor, in degrees, and where it would settle (Kosson "
            "et al. 2024). The prediction is for weights followed by a normalisation layer; others need not follow it."
            + facet.thinned(layers.ROTATION_MOST)
        )
        yield drawing("rotation", "Rotation of the last step and its equilibrium", caption, layers.rotation(table))
    yield from _weights(results, facet, drawing, thin)
    table = robustness.corrupted(results.metrics, facet)
    if len(table):
        caption = (
            "Test accuracy under corruptions and attacks against λ, means over runs; severities as evaluate= has them. "
            "Attacks may be on fewer images than the clean accuracy (evaluate.attack_examples)."
        )
        yield drawing("robustness", "Robustness", caption, robustness.robustness(table))


def _product(results: Results, facet: FacetTables, suffix: str, of: int) -> Iterator[Drawing]:
    """Of a sweep over lr and λ with a normalised network: what its product does."""
    cells = product.table(results.layers, facet)
    if cells.empty:
        return
    lrs = cells["lr"].nunique()
    few = f" {product.MOST} of {lrs} lr shown: the outermost, the others evenly spaced." * (lrs > product.MOST)
    caption = (
        "Validation loss, rotation of a step and rotation over its equilibrium (Kosson et al. 2024) against lr·λ, a "
        "line a learning rate; λ = 0 has no place. The loss does not feel the length of a weight that a normalisation "
        "follows, so λ acts through the effective lr η/‖w‖²: where the ratio is 1 the length has settled, and the "
        "lines fall on one. Where it is not, training was too short for this lr·λ. Medians over the weight tensors but "
        "the last, from the last epoch that ended with half of the peak lr or more; "
        f"{replicates([facet])}. {facet.label}.{few}{_capped(of, CLOSE)}"
    )
    classes = bool(results.runs["val_accuracy"].notna().any())
    title = "What lr·λ does behind a normalisation" + (f": {facet.label}" if suffix else "")
    yield Drawing("lr-times-lambda" + suffix, title, caption, product.product(cells, classes))


def _weights(results: Results, facet: FacetTables, drawing: Callable[..., Drawing], thin: str) -> Iterator[Drawing]:
    table = weights.across_lambda(results.histograms, results.layers, facet)
    if len(table):
        caption = f"Distribution of the weights after the last epoch, pooled over runs; the largest tensors.{thin}"
        yield drawing("weights-lambda", "Weights across λ", caption, weights.histogram(table))
    table = weights.over_training(results.histograms, results.layers, facet)
    if table["epoch"].nunique() > 1:
        caption = "Distribution of the weights over training at lambda_min, pooled over runs; the largest tensors."
        yield drawing("weights-epochs", "Weights over training", caption, weights.histogram(table))
    images = weights.filters(facet, results.layers)
    if images:
        caption = (
            "Weights of the first layer as images after the last epoch, one seed; the same units in every row, "
            f"those largest at its smallest λ. Grey is 0; each row has its own scale, at the left.{thin}"
        )
        yield drawing("filters", "First-layer filters", caption, weights.first_layer(images))


def _together(results: Results, found: Sequence[FacetTables]) -> Iterator[Drawing]:
    """The figures that compare facets, each at its chosen lr."""
    table = layers.sparse(results.layers, found[: len(layers.LOOKS)])
    if (table["sparsity"] > 0).any():
        caption = (
            "Exact zeros among all weights after the last epoch against validation accuracy, a mark a run, larger for "
            f"larger λ; {counted(len(table), 'run')}.{_capped(len(found), len(layers.LOOKS))}"
        )
        yield Drawing("sparsity", "Sparsity and accuracy", caption, layers.sparsity(table))
    table = robustness.calibrated(results.metrics, found)
    if table[list(robustness.SCORES)].notna().any(axis=None):
        caption = (
            "Calibration on validation after the last epoch against λ (ECE: expected calibration error, 15 bins), 0 is "
            f"best; mean over {replicates(found, band=True)}.{_capped(len(found), robustness.FACETS)}"
        )
        yield Drawing("calibration", "Calibration", caption, robustness.calibration(table))


def replicates(found: Sequence[FacetTables], at: str = "", *, band: bool = False) -> str:
    """How many runs are behind a point (of this lr), and what its band is."""
    cells = pd.concat([f.cells for f in found])
    n = cells.loc[(cells["setting"] == at) if at else cells.index.notna(), "val_loss.n"]
    n = n[n > 0].astype(int)
    if n.empty or n.max() == 1:
        return "a single run a point" + " (so without an interval)" * band
    span = f"{n.min()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
    return f"{span} runs a point (seeds, folds)" + " with 95 % t intervals" * band


def _capped(count: int, most: int) -> str:
    return f" The {most} best of {count} settings on validation are shown." * (count > most)
