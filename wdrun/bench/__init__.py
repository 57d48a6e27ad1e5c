"""`wdrun bench`: how fast this machine trains, against a plain PyTorch loop and against its own matrix peak."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from wdrun import cores
from wdrun.config import names, typed
from wdrun.config.commands import ROUNDS
from wdrun.terminal import results, screen
from wdrun.terminal.screen import folded
from wdrun.terminal.tables import Column, laid_out
from wdrun.wording import command_line

WORK = {
    "cnn": ["model=cnn", "augment=flip_crop", "batch_size=64"],
    "mlp": ["model=mlp", "model.hidden=[64,64]", "augment=none", "batch_size=128"],
}
STANDARD = [[*words, f"precision={precision}"] for words in WORK.values() for precision in ("auto", "fp32")]
HEADER = ("work", "wdrun, images/s", "plain loop, images/s", "ratio", "GFLOP/s", "share of peak")


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """`wdrun bench [rounds=] [overrides]`: the four standard rows, or one row for the run of the overrides.

    A row interleaves wdrun and the plain loop `rounds` times, after one of each to warm up, and gives the medians, the
    median ratio of the pairs and its range. Peak: the fastest of a few matrix products in the row's precision.
    """
    rounds, overrides = _rounds(words)
    cores.load(typed.threads(overrides))
    from wdrun.bench.rows import measure

    rows = []
    for line in [overrides] if overrides else STANDARD:
        print(command_line(["bench", *line]), file=sys.stderr, flush=True)
        with results.alone():
            rows.append(cells(*measure(line, rounds, flags["config_dir"])))
    print("\n".join([*folded(f"{machine()}, n = {rounds} interleaved pairs: median (smallest to largest)"), ""]))
    print("\n".join(table(rows, screen.columns())))
    return 0


def _rounds(words: Sequence[str]) -> tuple[int, list[str]]:
    given = [word for word in words if word.startswith("rounds=")]
    text = given[-1].partition("=")[2] if given else ROUNDS.default
    overrides = [word for word in words if word not in given]
    names.check_settings(overrides, "bench")
    return ROUNDS.value(text), overrides


def cells(title: str, pairs: Sequence[tuple[float, float]], flops: float, peak: float) -> tuple[str, ...]:
    """A row of the table from (wdrun, plain) images a second, FLOP an image and the peak in FLOP/s."""
    ours, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    done = ours * flops
    return title, f"{ours:,.0f}", f"{plain:,.0f}", spread, f"{done / 1e9:,.0f}", f"{done / peak:.0%}"


def table(rows: Sequence[tuple[str, ...]], width: int | None = None) -> list[str]:
    """The rows as a Markdown table, columns aligned; of a terminal's width, and no Markdown, where that is given."""
    if width is not None:
        return laid_out([Column(HEADER[0], wraps=True), *(Column(name) for name in HEADER[1:])], rows, width, rule=True)
    lines = [HEADER, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    padded = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return [
        f"| {padded[0]} |",
        f"|{'|'.join('-' * (width + 2) for width in widths)}|",
        *(f"| {p} |" for p in padded[1:]),
    ]


def machine() -> str:
    """Processor and torch, in words."""
    import torch

    from wdrun import devices

    what = devices.describe(devices.resolve("auto", "auto", "auto"))
    return f"{what['device_name']}, {what['instruction_set']}, torch {torch.__version__}"
