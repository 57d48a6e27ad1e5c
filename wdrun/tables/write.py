"""Rows -> CSV files: replaced atomically, so whole at every moment; floats by repr, so reading gives the same bits."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from wdrun.config.run import Run
from wdrun.storage import write_atomically, write_together
from wdrun.tables.columns import PREDICTIONS, TABLES, Row, factors, run_row


def cell(value: Any) -> str:
    """A value as it stands in a file; floats by repr, nothing for None and nan."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    # The csv module does not quote a lone carriage return, which would then break the row.
    return str(value).replace("\r\n", "\n").replace("\r", "\n")


def render(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Rows as CSV, RFC 4180 quoting, LF line ends."""
    return csv_text(chain([columns], ([cell(row.get(c)) for c in columns] for row in rows)))


def csv_text(lines: Iterable[Sequence[str]]) -> bytes:
    """Lines of text cells as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def write_tables(directory: Path, run: Run, rows: Mapping[str, Sequence[Row]], summary: Row) -> None:
    """Replace the run's tables by these rows (without their factors) and its summary.

    A row that says the run is over comes to the disk after the tables: whoever reads it looks at nothing else.
    """
    leading = factors(run)
    contents = {
        directory / f"{name}.csv": render([c.name for c in columns], (leading | dict(row) for row in rows[name]))
        for name, columns in TABLES.items()
    }
    changed = {path: content for path, content in contents.items() if not _has(path, content)}
    row = _row(directory, run_row(run, summary))
    for files in [changed | row] if summary["status"] == "running" else [changed, row]:
        write_together(files)


def _has(path: Path, content: bytes) -> bool:
    """Whether the file has this content already, as a table without rows keeps it."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False


def write_row(directory: Path, row: Row) -> None:
    """Replace the run's run.csv by this row, keys as they stand."""
    write_together(_row(directory, row))


def _row(directory: Path, row: Row) -> dict[Path, bytes]:
    return {directory / "run.csv": render(list(row), [row])}


def write_predictions(directory: Path, run: Run, rows: Sequence[Row]) -> None:
    """Replace the run's predictions.csv by these rows (without their factors)."""
    leading = factors(run)
    content = render([c.name for c in PREDICTIONS], (leading | dict(row) for row in rows))
    write_atomically(directory / "predictions.csv", content)
