"""The kinds of findings: what each says, what would settle it, and whether it is a question that runs can answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from wdrun.conventions import CANNOT_ACT, DOMINATES, USEFUL
from wdrun.selection.verdicts import apart
from wdrun.wording import amount, counted, listed, rough, typed

Numbers = Mapping[str, Any]


class Kind(NamedTuple):
    """`says` is the sentence; `remedy` what the lines of `settles` would try, "" where nothing is to be run.

    `open`: a question these runs leave open; else something to beware of.
    """

    says: Callable[[Numbers], str]
    remedy: Callable[[Numbers], str] = lambda n: ""
    open: bool = False


def _add(n: Numbers) -> str:
    """`add lambda=1,10`."""
    return f"add {n.get('knob', 'lambda')}={','.join(map(typed, n['add']))}" if n["add"] else ""


def _smaller(n: Numbers) -> str:
    return _add(n) or f"half of it cannot act (total decay D < {CANNOT_ACT}), so there is none to add"


def _larger(n: Numbers) -> str:
    return _add(n) or f"twice that leaves nothing of a weight (total decay D > {DOMINATES:g}), so there is none to add"


def _seeds(n: Numbers) -> str:
    return f"{n['seeds']} seeds at λ = {typed(n['lambda'])} and at λ = 0 would say more" if n["seeds"] else ""


def _few(n: Numbers) -> str:
    if n["n"] == 1:
        return "one replicate at lambda_min: its standard error is unknown and so is lambda_1se"
    return f"only {n['n']} replicates at lambda_min, too few to tell how much they vary"


def _missing(n: Numbers) -> str:
    """What a facet's cells lack, and what they are therefore compared over."""
    shared = f"the {counted(n['shared'], 'replicate')} that all candidates have" if n["shared"] > 1 else "one replicate"
    over = f"cells are compared over {shared}"
    if n["missing"]:
        over = f"{counted(n['missing'], 'replicate is', 'replicates are')} missing: {over}"
    if not n["lambdas"]:
        return over
    lack = listed([f"λ = {typed(lam)} (n = {m})" for lam, m in zip(n["lambdas"], n["n"], strict=True)])
    return f"{over}; {lack} {'lacks' if len(n['n']) == 1 else 'lack'} some of them and cannot be chosen"


def _others(n: Numbers) -> str:
    """Runs of another question and the words that select them."""
    left = listed([f"{counted(m, 'run')} of {words}" for m, words in zip(n["runs"], n["others"], strict=True)])
    left += " is left out" if sum(n["runs"]) == 1 else " are left out"
    knobs = "data" if n["knobs"] == ["data_digest"] else listed(n["knobs"])
    return (
        f"only {counted(n['kept'], 'run')} of {n['words']} count, of which most have finished: other {knobs} "
        f"{'is' if len(n['knobs']) == 1 else 'are'} another question, so {left}"
    )


def _rival(n: Numbers) -> str:
    return (
        f"cannot be told from {n['best']} ({apart(n, n['metric'], n['confidence'])}; margin "
        f"{amount(n['margin'], n['metric'])})"
    )


# Settled by the runs proposed, but for those with a comment. Where λ_min moves on, the same kind may be found there.
KINDS: dict[str, Kind] = {
    # Where every run diverged, at a lower lr if lr is a nuisance knob; chance and the loss decide.
    "nothing": Kind(
        lambda n: (
            f"nothing to choose from: {n['diverged']} of {n['runs']} runs diverged, {n['failed']} failed, are "
            f"not finished or have no {n['metric']}, and no cell with a finished one is without a diverged one"
        ),
        lambda n: _add(n) or "lower lr or lambda, run what did not finish again, or take another metric=",
        open=True,
    ),
    "plan": Kind(
        lambda n: f"{n['waiting']} of {counted(n['planned'], 'run')} of the plan are not trained yet",
        lambda n: f"go on with {' and '.join(n['lines'])}" if 0 < len(n["lines"]) < 3 else "the same command goes on",
        open=True,
    ),
    "failed": Kind(  # not where a run is done and has no score: then settles is empty
        lambda n: f"{n['failed']} of {n['runs']} runs failed or did not finish and are in no mean",
        lambda n: "the same command goes on with what no process trains any more",
    ),
    # More seeds may show the difference, or that more are needed. Empty beyond MOST_SEEDS of them.
    "rival": Kind(_rival, lambda n: f"{n['seeds']} seeds of both would say more" if n["seeds"] else "", open=True),
    "not ranked": Kind(
        lambda n: (
            f"its {counted(n['n'], 'replicate')} at lambda_min are not those that the other settings are compared "
            "over, so it is not ranked"
        ),
        lambda n: "run it on theirs",
        open=True,
    ),
    "no zero": Kind(
        lambda n: "λ = 0 is missing, so what decay gains cannot be told", lambda n: "add lambda=0", open=True
    ),
    # Settled if the runs that failed there end well, or if a lower lr does not diverge there.
    "zero lost": Kind(
        lambda n: "no usable run at λ = 0 (failed or diverged), so what decay gains cannot be told", _add, open=True
    ),
    "no pair": Kind(
        lambda n: "λ = 0 lacks replicates that the other λ are compared over, so what decay gains cannot be told",
        lambda n: "run at λ = 0 what it lacks",
        open=True,
    ),
    "one lambda": Kind(
        lambda n: f"λ = {typed(n['lambda'])} is the only λ > 0 tried, so whether another does better is not known",
        _add,
        open=True,
    ),
    "upper edge": Kind(
        lambda n: f"best λ = {typed(n['lambda'])} is the largest tried: the optimum may lie above", _larger, open=True
    ),
    "lower edge": Kind(lambda n: f"best λ = {typed(n['lambda'])} is the smallest λ > 0 tried", _smaller, open=True),
    "weaker": Kind(lambda n: "λ = 0 is best: a λ weaker than those tried may still help", _smaller, open=True),
    "only zero": Kind(
        lambda n: "only λ = 0 was tried",
        lambda n: f"add lambda=…, such as {','.join(map(typed, n['add']))} (`wdrun explain` proposes a range)",
        open=True,
    ),
    "weak grid": Kind(
        lambda n: f"no λ tried can act (total decay D ≤ {rough(n['strongest'])} < {CANNOT_ACT})",
        lambda n: f"{_add(n)} (D ≈ {USEFUL})" if n["add"] else "",
        open=True,
    ),
    # Nothing to run: where no λ > 0 acts, "weak grid" adds one; where one does, λ = 0 did better by another name.
    "weak choice": Kind(
        lambda n: (
            f"the chosen λ = {typed(n['lambda'])} is too small to act (total decay D = "
            f"{rough(n['total_decay'])} < {CANNOT_ACT}): it is λ = 0 by another name"
        ),
        lambda n: f"{'lambda=' + typed(n['acts']) if n['acts'] else 'a larger λ'} would act (D ≈ {USEFUL})",
    ),
    "knob edge": Kind(lambda n: f"the best {n['knob']} = {typed(n['at'])} at that λ is the {n['end']} tried", _add),
    "one pair": Kind(
        lambda n: (
            f"whether λ = {typed(n['lambda'])} beats λ = 0: from one pair of runs the noise between seeds is not known"
        ),
        _seeds,
        open=True,
    ),
    # More seeds may show the difference, or that more are needed. Empty beyond MOST_SEEDS, and where λ cannot act.
    "cannot tell": Kind(
        lambda n: (
            f"whether λ = {typed(n['lambda'])} beats λ = 0: over {counted(n['pairs'], 'pair')} of runs the "
            "interval of the difference includes 0"
        ),
        lambda n: f"about {counted(n['needed'], 'fresh pair')} would tell if it stays as it is" if n["needed"] else "",
        open=True,
    ),
    "few replicates": Kind(_few, lambda n: "run more seeds, such as seed=range(0,5)"),
    # Equal means of more seeds are possible too; empty where the tied λ cannot act, since their runs are the same.
    "tie": Kind(
        lambda n: (
            f"λ = {', '.join(map(typed, n['lambdas']))} have the same best mean; the "
            f"{'smaller radius' if n['radius'] else 'larger λ'} is taken as lambda_min"
        )
    ),
    # Where decay does not matter, more seeds only narrow the error; empty beyond MOST_SEEDS of them.
    "all alike": Kind(
        lambda n: (
            "every λ, 0 too, is within one standard error of the best: these runs cannot tell whether decay matters"
        ),
        lambda n: f"{n['seeds']} seeds at each would say more" if n["seeds"] else "",
        open=True,
    ),
    "flattered": Kind(
        lambda n: (
            f"lambda_min was picked from {n['cells']} cells of few replicates for looking best, so its mean "
            "flatters it (the interval of its difference to λ = 0 does not)"
        ),
        lambda n: "confirm it with fresh seeds",
    ),
    # Settled in a folder of their own: to add them here would be one look more.
    "looked": Kind(
        lambda n: (
            f"this is look number {n['looks']} at the difference of the chosen λ, now {typed(n['lambda'])}, to λ = 0, "
            "with runs added between: an interval that is waited for excludes 0 more often than it promises"
        ),
        lambda n: "tell it from fresh seeds, planned before they are looked at",
    ),
    "diverged": Kind(  # nothing to run: it is a result
        lambda n: (
            f"{n['diverged']} of {n['runs']} runs diverged (at λ = {', '.join(map(typed, n['lambdas']))}); a "
            "cell with a diverged replicate is not chosen, since the mean of the survivors flatters it"
        )
    ),
    # Settled for the cells that are no candidates; without such, for all.
    "missing": Kind(
        _missing, lambda n: ("run what they lack" if n["lambdas"] else "run the rest") if n["missing"] else ""
    ),
    "holes": Kind(
        lambda n: f"{n['holes']} of the {n['cells']} cells of the {' × '.join([*n['knobs'], 'λ'])} grid were never run",
        lambda n: "run them",
    ),
    "unequal budgets": Kind(
        lambda n: (
            f"facets were tuned with unequal budgets ({n['fewest']} to {n['most']} cells): compare by the column "
            f"expected; at equal budget {'the same' if n['same'] else 'another'} one leads"
        ),
        lambda n: "run as many cells of each",
    ),
    "short runs": Kind(  # nothing to run: rungs of successive halving are shorter on purpose
        lambda n: f"only the {n['runs']} runs of epochs={n['epochs']} count; {n['shorter']} shorter ones do not"
    ),
    "other question": Kind(  # nothing to run: to compare them would be wrong
        _others, lambda n: f"add {n['finished'][0]} to the command to choose among those" if n["finished"] else ""
    ),
    "other data": Kind(  # nothing to run: no test compares scores on different data
        lambda n: f"the runs are of different data ({'; '.join(n['data'])}): these are neither ranked nor compared",
        lambda n: "choose on each by itself" if len(n["data"]) > 1 else "",
    ),
    "made apart": Kind(  # nothing to run
        lambda n: (
            f"the {n['runs']} runs compared were not all made alike: they differ in "
            f"{listed([c.replace('_', ' ') for c in n['columns']])}, from which "
            f"{'any' if 'own_code' in n['columns'] else 'small'} differences may come"
        )
    ),
    "repeats": Kind(  # nothing to run
        lambda n: counted(
            n["repeated"],
            "run repeats a replicate of the same setting and is left out",
            "runs repeat a replicate of the same setting and are left out",
        )
    ),
    "shared images": Kind(  # nothing to run: no test of folds is free of it
        lambda n: (
            "folds share training images, so intervals over them are somewhat too short (Bengio & Grandvalet 2004)"
        )
    ),
}
