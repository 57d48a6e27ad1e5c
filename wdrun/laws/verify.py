"""`wdrun verify`: hold the catalogue to its laws, one line a pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wdrun.errors import ConfigError
from wdrun.laws.cases import Case, cases
from wdrun.laws.known import KNOWN_ANSWERS
from wdrun.laws.pairs import COUPLING_LAWS, LAWS
from wdrun.laws.regularizers import REGULARIZER_LAWS

FACTORS = ("decay", "coupling", "optimizer")


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """`wdrun verify [decay=…] [coupling=…] [optimizer=…]`."""
    return verify(words)


def verify(words: Sequence[str], show: Callable[[str], None] = print) -> int:
    """Check every pair, or those of `decay=…`, `coupling=…`, `optimizer=…`; 0 when every law holds, else 1."""
    wanted = _wanted(words)
    chosen = [c for c in cases() if all(getattr(c, key) in values for key, values in wanted.items())]
    if not chosen:
        raise ConfigError(f"verify {' '.join(words)}: no such pair; a decay may not do that coupling")
    broken, seen = 0, set()
    for case in chosen:
        laws = [*LAWS]
        for more, mark in ((COUPLING_LAWS, (case.decay, case.coupling)), (REGULARIZER_LAWS, (case.decay,))):
            # These look at less than a whole pair, so the first pair that shares it is enough.
            laws += [] if mark in seen else more
            seen.add(mark)
        broken += _line(show, f"{case.decay} × {case.coupling} × {case.optimizer}", [(law, (case,)) for law in laws])
    if not wanted:
        broken += sum(_line(show, "known answer", [(answer, ())]) for answer in KNOWN_ANSWERS)
    show(f"{len(chosen)} pairs, {broken} broken" if broken else f"{len(chosen)} pairs, every law holds")
    return 1 if broken else 0


def _line(
    show: Callable[[str], None], title: str, laws: Sequence[tuple[Callable[..., str | None], tuple[Case, ...]]]
) -> bool:
    """Show one line for these laws; whether one of them is broken."""
    found = [f"{law.__name__}: {sentence}" for law, given in laws if (sentence := law(*given)) is not None]
    names = f"{len(laws)} laws hold" if len(laws) > 1 else f"{laws[0][0].__name__} holds"
    show(f"{title}: {'BROKEN ' + '; '.join(found) if found else names}")
    return bool(found)


def _wanted(words: Sequence[str]) -> dict[str, list[str]]:
    wanted = {}
    for word in words:
        key, _, values = word.partition("=")
        if key not in FACTORS or not values:
            raise ConfigError(f"verify {word}: must be {', '.join(f'{factor}=NAME' for factor in FACTORS)}")
        wanted[key] = values.split(",")
    return wanted
