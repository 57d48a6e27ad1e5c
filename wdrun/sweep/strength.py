"""Stand-in: how strong a decay is at a λ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wdrun.training.trainer import Trainer
from wdrun.tuning.question import Question


def with_strength(question: Question, trainers: Sequence[Trainer]) -> tuple[Question, list[str]]:
    """The question with what decay can do in each space."""
    facets = []
    for facet in question.facets:
        start = facet.space.axes[0].start if facet.decays else 0.0
        space = replace(facet.space, middle=lambda setting, start=start: start or 1e-2, zero=-4.0)  # type: ignore[misc]
        facets.append(replace(facet, space=space))
    return replace(question, facets=tuple(facets)), []
