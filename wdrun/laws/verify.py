"""`wdrun verify`: hold the catalogue to its laws, one line a pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wdrun.accepts import check, one_of
from wdrun.config import experiments, targets
from wdrun.config.commands import COMMANDS
from wdrun.config.compose import OWN
from wdrun.config.options import option_names
from wdrun.decay import COUPLINGS
from wdrun.errors import ConfigError
from wdrun.laws.cases import Case, cases
from wdrun.laws.known import KNOWN_ANSWERS
from wdrun.laws.pairs import COUPLING_LAWS, LAWS
from wdrun.laws.regularizers import REGULARIZER_LAWS, lacking
from wdrun.terminal import results
from wdrun.terminal.screen import folded
from wdrun.wording import counted, named

TAKES = COMMANDS["verify"]
Law = Callable[[Case], str | None]


def command(words: Sequence[str], flags: Mapping[str, Any]) -> int:
    """`wdrun verify [decay=…] [coupling=…] [optimizer=…]`."""
    config_dir = flags["config_dir"]
    decays = _wanted(words, config_dir).get("decay", option_names("decay", config_dir))
    own = [[f"decay={name}"] for name in decays if name not in option_names("decay")]
    targets.announce(experiments.sweep(own, config_dir)[0] if own else [])
    with results.alone():
        return verify(words, config_dir=config_dir)


def _print(line: str) -> None:
    print("\n".join(folded(line)), file=results.stream(), flush=True)


def verify(words: Sequence[str], show: Callable[[str], None] = _print, config_dir: str | None = None) -> int:
    """Check every pair, or those of `decay=…`, `coupling=…`, `optimizer=…`; 0 when every law holds, else 1.

    `config_dir`: the user's own options, which are then part of the catalogue.
    """
    wanted = _wanted(words, config_dir)
    chosen = [
        case
        for case in cases(wanted.get("decay"), config_dir)
        if all(getattr(case, key) in values for key, values in wanted.items())
    ]
    if not chosen:
        raise ConfigError(f"verify {' '.join(words)}: no such pair; a decay may not do that coupling")
    broken, seen = 0, set()
    for case in chosen:
        laws, beside = [*LAWS], ""
        for more, mark in ((COUPLING_LAWS, (case.decay, case.coupling)), (REGULARIZER_LAWS, (case.decay,))):
            # These look at less than a whole pair, so the first pair that shares it is enough.
            if mark not in seen:
                lacks = {law: lacking(law, case) if more is REGULARIZER_LAWS else "" for law in more}
                laws += [law for law, why in lacks.items() if not why]
                beside = _not_applicable(lacks)
            seen.add(mark)
        title = f"{case.decay} × {case.coupling} × {case.optimizer}"
        broken += _line(show, title, [(law, (case,)) for law in laws], beside)
    if not wanted:
        broken += sum(_line(show, "known answer", [(answer, ())]) for answer in KNOWN_ANSWERS)
    show(f"{counted(len(chosen), 'pair')}, {f'{broken} broken' if broken else 'every law holds'}")
    return 1 if broken else 0


def _not_applicable(lacks: Mapping[Law, str]) -> str:
    """`; not applicable: gradient_is_derivative (no value)`: the laws that were left out, by reason."""
    why: dict[str, list[str]] = {}
    for law, reason in lacks.items():
        why.setdefault(reason, []).append(law.__name__)
    parts = [f"{', '.join(names)} ({reason})" for reason, names in why.items() if reason]
    return f"; not applicable: {'; '.join(parts)}" if parts else ""


def _line(
    show: Callable[[str], None],
    title: str,
    laws: Sequence[tuple[Callable[..., str | None], tuple[Case, ...]]],
    beside: str = "",
) -> bool:
    """Show one line for these laws, what is `beside` them at its end; whether one of them is broken."""
    found = [f"{law.__name__}: {sentence}" for law, given in laws if (sentence := _broken(law, given)) is not None]
    names = f"{len(laws)} laws hold" if len(laws) > 1 else f"{laws[0][0].__name__} holds"
    show(f"{title}: {'BROKEN ' + '; '.join(found) if found else names}{beside}")
    return bool(found)


def _broken(law: Callable[..., str | None], given: tuple[Case, ...]) -> str | None:
    """What the law says is broken; a decay that raises where a law looks at it has broken that law."""
    try:
        return law(*given)
    except Exception as error:  # whatever a user's decay does
        return named(error)


def _wanted(words: Sequence[str], config_dir: str | None) -> dict[str, list[str]]:
    """The names of each factor that is given; ConfigError for one that is no option."""
    texts = {}
    for word in words:
        key, _, texts[key] = word.partition("=")
        if key not in TAKES.defaults or not texts[key]:
            raise ConfigError(f"verify {word}: must be {', '.join(f'{factor}=NAME' for factor in TAKES.defaults)}")
    wanted = {key: names for key, names in TAKES.values(TAKES.defaults | texts).items() if names is not None}
    for key, names in wanted.items():
        options = tuple(COUPLINGS if key == "coupling" else option_names(key, config_dir))
        accepted = one_of(*options)
        if key != "coupling" and config_dir is None:
            accepted = accepted._replace(words=accepted.words + OWN)
        for name in names:
            check(key, name, accepted)
    return wanted
