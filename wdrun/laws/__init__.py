"""What every decay × coupling × optimizer must satisfy, checked in float64 on a few small tensors.

A law takes a case and returns None when it holds, else a sentence with what was expected and found. The cases are all
that conf/decay, the coupling table and conf/optimizer allow, so a new decay is covered by its yaml alone. The known
answers take no case: results of the literature and of other programs that the same code must reproduce.
"""

from wdrun.laws.cases import Case, cases, noise, nothing, step_of, weights
from wdrun.laws.known import KNOWN_ANSWERS
from wdrun.laws.pairs import COUPLING_LAWS, LAWS
from wdrun.laws.regularizers import REGULARIZER_LAWS, lacking

__all__ = [
    "COUPLING_LAWS",
    "KNOWN_ANSWERS",
    "LAWS",
    "REGULARIZER_LAWS",
    "Case",
    "cases",
    "lacking",
    "noise",
    "nothing",
    "step_of",
    "weights",
]
