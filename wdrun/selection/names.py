"""What a facet is called: its knobs as they are typed, and the data that it is of."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from wdrun.selection.cells import NO_DECAY, rows_of


def data(row: pd.Series, facets: Sequence[str], replicates: pd.DataFrame) -> str:
    """The data of a row's facet in words, "" where all runs have the same: scores on other data do not compare."""
    return str(rows_of(replicates, row, facets)["data"].iloc[0])


def values_of(row: pd.Series, facets: Sequence[str], replicates: pd.DataFrame) -> dict[str, str]:
    """The row's facets as they are typed: null where the cell is empty, and none of a key that its option has not."""
    found = {}
    for facet in facets:
        group = facet.partition(".")[0]
        option = [key for key in (f"{group}.name", group) if key in facets and key != facet]
        if row[facet] != "":
            found[facet] = str(row[facet])
        elif (rows_of(replicates, row, option)[facet] != "").any():
            found[facet] = "null"
    return found


def name(row: pd.Series, facets: Sequence[str], replicates: pd.DataFrame) -> str:
    """A row's facet in words, `decay=l2, optimizer=adam`; without facets the decay that all runs have."""
    if facets:
        values = values_of(row, facets, replicates).items()
        return ", ".join(f"{facet.removesuffix('.name')}={value}" for facet, value in values)
    decays = sorted(set(replicates["decay"]) - {NO_DECAY}) or [NO_DECAY]
    return f"decay={decays[0]}"
