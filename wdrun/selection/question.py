"""Which runs answer one question: trained on the same data, for as long, on the same device by the same arithmetic.

Runs of other data are told apart in tables of their own (`data_of`). Of one data set, runs that differ in `epochs`,
`device`, `precision`, `threads`, or in the digest of the data, are no rivals: those of which most have finished count
(of as many, the longer ones), the others are left out and said. Rungs of successive halving are left out too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wdrun.tables.columns import CODE
from wdrun.tables.siblings import rungs
from wdrun.wording import sort_key, typed

USED = {"device": "device_name", "precision": "precision_used", "threads": "threads_used"}  # what a word came to
CIRCUMSTANCES = ("epochs", *USED, "data_digest")
ROOT, DIGEST = "data.root", "data.digest"  # where a user's own data lie, and what they are
OWN_CLASSES = ("data._target_", "model._target_", "decay._target_", "decay.terms")
MADE_WITH = ("wdrun_version", "commit", "torch_version", "python_version", "instruction_set", *USED.values())

LeftOut = tuple[str, dict[str, Any]]  # kind and numbers of a finding


def of_one_question(runs: pd.DataFrame, finished: pd.Series) -> tuple[pd.DataFrame, list[LeftOut]]:
    """The runs that count, and findings on those left out; `finished`: whether a run is done and has its score."""
    found: list[LeftOut] = []
    short = _short(runs, finished)
    if short.any():
        kept = runs[~short]
        numbers = {"runs": len(kept), "epochs": int(kept["epochs"].max()), "shorter": int(short.sum())}
        found.append(("short runs", numbers))
        runs = kept
    data = data_of(runs)
    keys = _circumstances(runs, data)
    if keys.empty:
        return runs, found
    parts = []
    for _, own in runs.groupby(data, sort=True):
        groups = [own.loc[part.index] for _, part in keys.loc[own.index].groupby(list(keys), sort=True)]
        lengths = [
            (int(finished[part.index].sum()), part["epochs"].max() if "epochs" in part else 0) for part in groups
        ]
        chosen = groups.pop(lengths.index(max(lengths)))
        parts.append(chosen)
        if groups:
            knobs = [str(name) for name, texts in keys.loc[own.index].items() if texts.nunique() > 1]
            counts: dict[str, Any] = {"knobs": knobs, "kept": len(chosen), "words": _words(chosen, knobs)}
            counts |= {"runs": [len(part) for part in groups], "others": [_words(part, knobs) for part in groups]}
            counts["finished"] = [_words(part, knobs) for part in groups if finished[part.index].any()]
            found.append(("other question", counts))
    return pd.concat(parts).sort_index(), found


def texts(column: pd.Series) -> pd.Series:
    """The cells as a user would type them; each value is put into words once, however many runs have it."""
    codes, values = pd.factorize(column, use_na_sentinel=False)
    return pd.Series(np.array([typed(value) for value in values], dtype=object)[codes], index=column.index)


def data_of(runs: pd.DataFrame) -> pd.Series:
    """The data of each run in words, `data=synthetic data.train_examples=200`: as few data knobs as tell them apart."""
    knobs = [name for name in map(str, runs) if name.startswith("data.") and name != unsaid(runs)]
    words = pd.Series("", index=runs.index)
    for knob in sorted(knobs, key=lambda knob: knob != "data.name"):
        if runs[knob].nunique(dropna=False) < 2:
            continue
        values = texts(runs[knob]).str.replace(", ", ",").replace("", "null")
        longer = words + f" {knob.removesuffix('.name')}=" + values
        if longer.nunique() > words.nunique():
            words = longer
    return words.str.strip()


def unsaid(runs: pd.DataFrame) -> str:
    """Which of `data.root` and `data.digest` does not name the data: the place, as it may hold other content later.

    Where each place holds one content, and each content lies in one place, a person knows them by `data.root=cats.npz`.
    """
    if not {ROOT, DIGEST} <= {*runs}:
        return ROOT
    pairs = runs[[ROOT, DIGEST]].drop_duplicates()
    return DIGEST if len(pairs) > 1 and (pairs.nunique(dropna=False) == len(pairs)).all() else ROOT


def made_apart(runs: pd.DataFrame) -> list[str]:
    """The columns of what the runs were made with, versions and machines, in which they differ.

    `own_code`: runs of the same class of the user's were trained by other code.
    """
    found = [c for c in MADE_WITH if c in runs and runs.loc[texts(runs[c]) != "", c].nunique() > 1]
    if CODE.name in runs:
        known = runs[texts(runs[CODE.name]) != ""]
        classes = pd.MultiIndex.from_frame(pd.DataFrame({c: texts(known[c]) for c in OWN_CLASSES if c in known}))
        found += ["own_code"] * bool((known[CODE.name].groupby(classes.to_flat_index()).nunique() > 1).any())
    return found


def _circumstances(runs: pd.DataFrame, data: pd.Series) -> pd.DataFrame:
    """The circumstances that differ, as texts: what was used, where other words were typed for it."""
    keys = pd.DataFrame(index=runs.index)
    for name in CIRCUMSTANCES:
        if name not in runs or runs[name].nunique(dropna=False) < 2:
            continue
        words = texts(runs[name])
        used = texts(runs[USED[name]]) if name in USED else words
        same = data if name == "data_digest" else words
        known = used.where(used != "").groupby(same).transform("first")  # a run that failed early recorded nothing
        keys[name] = used.where(used != "", known.fillna(words))
    # A digest says something only where the words say the same.
    if "data_digest" in keys and keys["data_digest"].groupby(data).nunique().max() < 2:
        del keys["data_digest"]
    return keys[[name for name in keys if keys[name].nunique() > 1]]


def _words(runs: pd.DataFrame, knobs: list[str]) -> str:
    """The words that select these runs, `epochs=20 threads=1,auto`."""
    values = {knob: sorted({*texts(runs[knob])} - {""}, key=sort_key) for knob in knobs}
    return " ".join(f"{knob}={','.join(words)}" for knob, words in values.items() if words)


def _short(runs: pd.DataFrame, finished: pd.Series) -> pd.Series:
    """Whether a run is of a rung of successive halving that a longer one of its folder came after."""
    short = pd.Series(False, index=runs.index)
    if "epochs" not in runs or runs["epochs"].nunique() < 2:
        return short
    root = runs["dir"].map(lambda folder: str(Path(folder).parent))
    for folder, own in runs.groupby(root):
        lengths = rungs(Path(str(folder)))
        ended = own.loc[finished & own["epochs"].isin(lengths), "epochs"]
        if len(ended):
            short[own.index] = own["epochs"].isin(lengths) & (own["epochs"] < ended.max())
    return short
