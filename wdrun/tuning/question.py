"""What is asked: facets to compare, each tuned on its own, and the difference that matters.

A facet is a line of words; what is tuned in it are the axes of its space, λ first. A cell is one setting of a facet:
its runs differ in the seed alone. With λ = 0 facets that differ in their decay only are the same, so such a cell is
there once, as one of the first facet that has it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wdrun.tuning.space import Setting, Space
from wdrun.wording import typed

ALPHA = 0.05  # the chance that any verdict of a question is false
FRESH = 1000  # so many seeds from here on are for verdicts; all others choose
MOST_PAIRS = 60  # differences that equal the margin would be looked at for ever

Side = tuple[int, bool]  # of a pair: a facet with decay (True), or runs without, under the first facet that has them


def is_fresh(seed: int) -> bool:
    """Whether a run with the seed may tell a verdict, and so must not choose."""
    return FRESH <= seed < FRESH + MOST_PAIRS


class Cell(NamedTuple):
    """A setting of the facet at this place of the question: a value for each axis of its space."""

    facet: int
    setting: Setting


class Seen(NamedTuple):
    """A run of the question: its cell and seed, and how it scored (lower is better).

    `score` is inf of a run that diverged or failed and nan of one that has begun and not ended. `seconds` are those it
    took to train and evaluate, nan where that is not known.
    """

    cell: Cell
    seed: int
    score: float
    seconds: float = float("nan")


@dataclass(frozen=True)
class Facet:
    """What is compared with the other facets: the runs of these words, tuned over the axes of `space`.

    `name` is what tells it from the others, `optimizer=adam decay.coupling=coupled`. `words` are those of each of its
    runs but the tuned keys and the seed; `without` those of its runs with λ = 0, which say decay=none and no key of a
    decay's own. A facet of decay=none has both the same, and no λ among its axes. `lam` and `lr` are those of its runs
    where they are not tuned, whoever set them: words, an experiment or an option.
    """

    name: str
    words: tuple[str, ...]
    without: tuple[str, ...]
    space: Space
    lam: float = math.nan
    lr: float = math.nan

    @property
    def decays(self) -> bool:
        """Whether λ is among what is tuned, as the first axis."""
        return self.space.decays

    def given(self, key: str) -> float:
        """The λ or lr that its words set, else that of its runs; nan where it is not known. With decay=none λ is 0."""
        texts = [text for name, _, text in (word.partition("=") for word in self.words) if name.lstrip("+") == key]
        if key == "lambda" and not texts and "decay=none" in self.words:
            return 0.0
        known = {"lambda": self.lam, "lr": self.lr}.get(key, math.nan)
        try:
            return float(texts[-1]) if texts else known
        except ValueError:
            return known

    def values(self, setting: Setting) -> dict[str, float]:
        """Key -> value of a setting; of λ = 0 only the keys that its runs have."""
        found = {axis.key: value for axis, value in zip(self.space.axes, setting, strict=True)}
        if self.decays and found["lambda"] == 0:
            return {key: value for key, value in found.items() if key != "lambda" and not key.startswith("decay.")}
        return found


@dataclass(frozen=True)
class Pair:
    """A question: is facet `one` better than facet `other`, each at its best setting; None: than itself at λ = 0?"""

    one: int
    other: int | None


@dataclass(frozen=True)
class Question:
    """Everything that is asked at once. `margin` is in the unit of `objective`, val_loss or val_accuracy."""

    facets: tuple[Facet, ...]
    margin: float
    objective: str = "val_loss"
    alpha: float = ALPHA  # of all verdicts together: the chance that any of them is false

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Each facet that decays against its λ = 0, then each two facets; what says the same is asked once."""
        found = [Pair(place, None) for place, facet in enumerate(self.facets) if facet.decays]
        bare = {facet.without for facet in self.facets if not facet.decays}
        for place, one in enumerate(self.facets):
            for number, other in enumerate(self.facets[:place]):
                alone = not one.decays or not other.decays
                if not (alone and one.without == other.without in bare):
                    found.append(Pair(number, place))
        return tuple(found)

    @property
    def sign(self) -> int:
        """What a value of the objective is multiplied by to be a score, of which lower is better, and back."""
        return -1 if self.objective == "val_accuracy" else 1

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """What a cell must be chosen for: each facet that decays, and each λ = 0."""
        facets = range(len(self.facets))
        decaying = [(facet, True) for facet in facets if self.facets[facet].decays]
        return (*decaying, *dict.fromkeys((self.home(facet), False) for facet in facets))

    def side(self, facet: int, *, decayed: bool) -> Side:
        """The side that a facet is with decay, or without."""
        return (facet, True) if decayed and self.facets[facet].decays else (self.home(facet), False)

    def sides_of(self, pair: Pair) -> tuple[Side, Side]:
        """The two sides of a pair."""
        one = self.side(pair.one, decayed=True)
        return one, self.side(pair.one, decayed=False) if pair.other is None else self.side(pair.other, decayed=True)

    def side_of(self, cell: Cell) -> Side:
        """The side that a cell may be chosen for."""
        return cell.facet, self.facets[cell.facet].decays and cell.setting[0] > 0

    def home(self, facet: int) -> int:
        """The first facet with the same runs at λ = 0, of which one that has no λ comes before others."""
        alike = [place for place, other in enumerate(self.facets) if other.without == self.facets[facet].without]
        return min(alike, key=lambda place: (self.facets[place].decays, place))

    def cell(self, facet: int, setting: Setting) -> Cell:
        """The cell of a facet's setting; with λ = 0 the one that all facets of these runs share."""
        own = self.facets[facet]
        if not own.decays or setting[0] > 0:
            return Cell(facet, setting)
        place = self.home(facet)
        return Cell(place, self._zero(place, own.values(setting)))

    def setting(self, facet: int, cell: Cell) -> Setting | None:
        """The setting that a cell is in a facet; None where it is not one of it."""
        if cell.facet == facet:
            return cell.setting
        own = self.facets[facet]
        home = self.facets[cell.facet]
        at_zero = not home.decays or cell.setting[0] == 0
        if not at_zero or home.without != own.without or not own.decays:
            return None
        return self._zero(facet, home.values(cell.setting))

    def _zero(self, facet: int, values: Mapping[str, float]) -> Setting:
        """The setting with λ = 0 of a facet that has these values; keys of its decay stand at their start."""
        axes = self.facets[facet].space.axes
        return tuple(values.get(axis.key, 0.0 if axis.key == "lambda" else axis.start) for axis in axes)

    def words(self, cell: Cell, seed: int) -> list[str]:
        """What is typed after `wdrun` for a run."""
        facet = self.facets[cell.facet]
        at_zero = facet.decays and cell.setting[0] == 0
        tuned = [f"{key}={typed(value)}" for key, value in facet.values(cell.setting).items()]
        return [*(facet.without if at_zero else facet.words), *tuned, f"seed={seed}"]

    def named(self, cell: Cell) -> str:
        """λ and the tuned values of a cell in words, `lambda=0.003 lr=0.02`; `as given` where that is nothing."""
        facet = self.facets[cell.facet]
        values = facet.values(cell.setting)
        strength = {"lambda": values.get("lambda", 0.0 if facet.decays else facet.given("lambda"))}
        told = (strength | values).items()
        return " ".join(f"{key}={typed(value)}" for key, value in told if not math.isnan(value)) or "as given"


class Next(NamedTuple):
    """A run to train: its cell and seed, what for (search, confirm or finish), what was known, and why this one."""

    cell: Cell
    seed: int
    phase: str
    known: str
    reason: str


@dataclass(frozen=True)
class Budget:
    """What may still be trained: so many runs in all, those already there among them, and so many seconds from now.

    None: no bound. `side_by_side` runs train at once. `a_run` is how many seconds one is expected to take, nan if that
    is not known; `waits` are those until each that trains now is expected to end.
    """

    runs: int | None = None
    seconds: float | None = None
    side_by_side: int = 1
    a_run: float = float("nan")
    waits: tuple[float, ...] = ()


def of_pair(question: Question, pair: Pair) -> tuple[str, str]:
    """The names of the two sides of a pair as verdict.csv has them."""
    other = "λ = 0" if pair.other is None else question.facets[pair.other].name
    return question.facets[pair.one].name, other
