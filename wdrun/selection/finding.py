"""A finding: what is open or doubtful in a choice of λ, in words, and the lines whose runs would settle it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wdrun.selection.kinds import KINDS, Numbers
from wdrun.selection.overrides import Line


@dataclass(frozen=True)
class Finding:
    """Something open or doubtful in a choice of λ.

    `facet` is the facet's name, "all" for the whole sweep; `kind` a key of KINDS; `numbers` what its sentence needs, as
    plain values, nan where a number is not known. `settles` are the lines to type after `wdrun` whose runs would
    settle it, made from what was typed for the facet's runs; empty where nothing would, or what was typed is not known.
    """

    facet: str
    kind: str
    numbers: Numbers
    settles: tuple[Line, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it is a question these runs leave open; else it is something to beware of."""
        return KINDS[self.kind].open

    @property
    def sentence(self) -> str:
        """What was found, without the facet."""
        return KINDS[self.kind].says(self.numbers)

    @property
    def remedy(self) -> str:
        """What to run, "" where nothing would help."""
        return KINDS[self.kind].remedy(self.numbers)

    @property
    def whole(self) -> str:
        """Sentence and remedy."""
        return "; ".join(filter(None, (self.sentence, self.remedy)))


def told(sentences: Iterable[tuple[str, str]], facets: Sequence[str]) -> list[str]:
    """Facets and what is said of them as `facet: sentence`, what is said of several facets once."""
    who: dict[str, list[str]] = {}
    for facet, sentence in sentences:
        who.setdefault(sentence, []).append(facet)
    every = len(facets) > 1
    return [
        f"{'every facet' if every and len(names) == len(facets) else '; '.join(names)}: {sentence}"
        for sentence, names in who.items()
    ]
