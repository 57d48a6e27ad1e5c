"""How every figure looks, and its bytes: `render(figure, format)` gives the same ones for the same input.

A figure is WIDTH inches wide, so that its text is ≥ 7 CSS pixels on a phone 360 wide and stays in proportion in print.
Its card is opaque and white: readable on light and dark pages. Colours are viridis for what has an order and
Okabe & Ito (2008) for what has none, never without a marker, line style or hatch that says the same.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from wdrun.wording import short

CANVASES: dict[str, tuple[Any, Any]] = {
    "svg": (FigureCanvasSVG, FigureCanvasSVG.print_svg),
    "png": (FigureCanvasAgg, FigureCanvasAgg.print_png),
    "pdf": (FigureCanvasPdf, FigureCanvasPdf.print_pdf),
}
WIDTH = 5.0  # inches
DPI = 200  # a PNG is 1,000 pixels across, and so are images within an SVG
INK, SOFT, FAINT = "#1a1a1a", "#6b6b6b", "#dcdcdc"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
SKY, AMBER, BLACK = "#56b4e9", "#e69f00", "#000000"
CATEGORIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (7, 2)), (0, (2, 2)))
FONT = "DejaVu Sans"  # comes with matplotlib, so it is the same everywhere
STYLE: dict[Any, Any] = {
    "font.family": FONT,
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "axes.formatter.use_mathtext": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,  # a $ in a name is a dollar
    "text.usetex": False,
    "svg.fonttype": "path",  # needs no font where it is shown
    "svg.hashsalt": "wdrun",
    "pdf.fonttype": 3,
    "pdf.compression": 6,
    "path.simplify": True,
}
METADATA = {  # the name by which wdrun knows its own files, see `report.earlier`
    "svg": {"Date": None, "Creator": "wdrun"},
    "png": {"Software": "wdrun"},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": "wdrun"},
}

P = ParamSpec("P")


@contextlib.contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """The figure function under this style, which neither depends on the caller's settings nor changes them."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with _style():
            figure = draw(*args, **kwargs)
            engine = figure.get_layout_engine()
            if engine is not None:  # laid out once, not again for every format
                engine.execute(figure)
                figure.set_layout_engine("none")
            return figure

    return inside


def render(figure: Figure, format: str) -> bytes:
    """The figure as a file of `format` (svg, png, pdf): no date, no version, no font needed, the same bytes always."""
    buffer = io.BytesIO()
    with _style():
        figure.dpi = DPI
        canvas, write = CANVASES[format]
        write(canvas(figure), buffer, metadata=METADATA[format])  # Figure.savefig would draw everything twice
    return buffer.getvalue()


def wrapped(text: str, width: int) -> str:
    """A label in at most two lines of `width` characters."""
    return "\n".join(textwrap.wrap(text, width, max_lines=2, placeholder="…", break_on_hyphens=False))


def outlined(foreground: str, width: float) -> list[AbstractPathEffect]:
    """An outline for marks that lie on any colour."""
    return [withStroke(linewidth=width, foreground=foreground)]


def literal(text: object, most: int = 80) -> str:
    """Any text as one printable line of at most `most` characters, each one the font can draw."""
    known = _charmap()
    words = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
    line = "".join(c if ord(c) in known else "\N{REPLACEMENT CHARACTER}" for c in words)
    return line if len(line) <= most else f"{line[: most - 1]}…"


@functools.cache
def _charmap() -> frozenset[int]:
    return frozenset(get_font(fontManager.findfont(FontProperties(family=FONT))).get_charmap())


def panels(
    count: int, *, columns: int = 2, height: float = 1.9, extra: float = 0.6, sharex: bool = False, sharey: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of `columns`, each row `height` inches; `extra` is for legends."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, rows * height + extra), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def shades(count: int) -> list[Any]:
    """`count` colours in order, dark to light, of viridis without its end too light for white."""
    cmap = mpl.colormaps["viridis"]
    return [tuple(map(float, cmap(x))) for x in np.linspace(0.0, 0.87, count)]


def some(values: Sequence[float], most: int, keep: Sequence[float] = ()) -> list[float]:
    """At most `most` of the sorted values: both ends, those to `keep`, and the rest evenly spaced by rank."""
    ordered = sorted(set(values))
    if len(ordered) <= most:
        return ordered
    chosen = {v for v in [*keep, ordered[0], ordered[-1]] if v in ordered}
    for i in np.linspace(0, len(ordered) - 1, most).round().astype(int):
        if len(chosen) < most:
            chosen.add(ordered[i])
    return sorted(chosen)


def labelled(values: Sequence[float], most: int) -> list[float]:
    """Which of the positive values of a log axis to label: all, else whole decades, thinned from the largest down."""
    shown = sorted(set(values))
    if len(shown) > most:
        decades = [v for v in shown if abs(math.log10(v) - round(math.log10(v))) < 1e-9]
        shown = decades if len(decades) > 2 else shown
    return shown[::-1][:: max(1, -(-len(shown) // most))][::-1]


class LogTicks(LogLocator):
    """Powers of ten, at most `numticks`; where fewer than two are in view, as in one decade, numbers between them."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        decades = 10.0 ** np.arange(math.floor(math.log10(vmin)), math.ceil(math.log10(vmax)) + 1)
        between = (np.outer(decades, steps).ravel() for steps in ((1, 3), (1, 2, 5)))
        found: list[Any] = [super().tick_values(vmin, vmax), *between]
        enough = (ticks for ticks in found if np.count_nonzero((ticks >= vmin) & (ticks <= vmax)) > 1)
        return next(enough, MaxNLocator(nbins=3).tick_values(vmin, vmax))


def log_y(ax: Axes) -> None:
    """A log axis with two to six labels, written as every other number is."""
    ax.set_yscale("log")
    _few_labels(ax, "y", 6)


def log_x(ax: Axes) -> None:
    """A log axis across, where labels take more of the room: two to four."""
    ax.set_xscale("log")
    _few_labels(ax, "x", 3)


def _few_labels(ax: Axes, which: Literal["x", "y"], most: int) -> None:
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(LogTicks(numticks=most))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis=which, which="minor", length=0)


def whole_x(ax: Axes, label: str) -> None:
    """An axis of whole numbers, with separators between thousands."""
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.set_xlabel(label)


def key(figure: Figure, handles: Sequence[Artist], columns: int = 3) -> None:
    """One legend below all panels."""
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))
