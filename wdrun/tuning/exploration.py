"""The next runs of the searches: one seed a setting, of the facet with the fewest runs first.

Where the budget is small, a facet whose λ = 0 has had its share comes before all others, until it has a λ > 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from wdrun.tuning.question import Cell, Next
from wdrun.tuning.state import State
from wdrun.wording import counted


def following(state: State, count: int) -> Iterator[Next]:
    """The next search runs, of the facet with the fewest runs first."""
    question = state.question
    facets = [f for f in range(len(question.facets)) if state.searching(f)]
    left = min(count, max(0, state.spare - state.reserved))
    asked: set[Cell] = set()
    wanted = {f: iter(state.following(f, left)) for f in facets} if left > 0 else {}
    had = {f: len(state.known[f]) for f in facets}
    of_side = Counter(question.side_of(cell) for cell in state.scores)

    def later(facet: int) -> tuple[bool, int, int]:
        zero, decayed = (question.side(facet, decayed=decayed) for decayed in (False, True))
        return not (of_side[zero] >= state.share and not of_side[decayed]), had[facet], facet

    while len(asked) < left and wanted:
        facet = min(wanted, key=later)
        setting = next(wanted[facet], None)
        if setting is None:
            del wanted[facet]
            continue
        had[facet] += 1
        of_side[question.side(facet, decayed=state.question.facets[facet].decays and setting[0] > 0)] += 1
        cell = question.cell(facet, setting)
        if cell not in asked and 0 not in state.scores.get(cell, {}):
            asked.add(cell)
            zero = "what λ = 0 can do" if question.facets[facet].decays and setting[0] == 0 else "what promises most"
            reason = f"{question.facets[facet].name}: {zero}"
            yield Next(cell, 0, "search", _best_known(state, facet), reason)


def _best_known(state: State, facet: int) -> str:
    """The best scores of a facet so far in words."""
    tried = [t for t in state.tried(facet) if math.isfinite(t.score)]
    if not tried:
        return f"{counted(len(state.known[facet]), 'run')}, none sound" if state.known[facet] else "nothing"
    decays = state.question.facets[facet].decays
    kinds = {"λ = 0": [t for t in tried if decays and t.setting[0] == 0]}
    kinds["with decay" if decays else "best"] = [t for t in tried if not decays or t.setting[0] > 0]
    parts = []
    for name, own in kinds.items():
        if own:
            best = min(own, key=lambda t: t.score)
            where = state.question.named(state.question.cell(facet, best.setting))
            parts.append(f"{name} {state.question.sign * best.score:.4f} at {where}")
    return "; ".join(parts)
