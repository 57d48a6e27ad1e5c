"""One content at two places, or by two names, is one data set: one id, one run, one cell of a choice."""

import os
from pathlib import Path

from tests.data.stand_in import FORMATS, archive_of, made, stand_in, write_folder  # noqa: F401 - the stand-in is CIFAR-10
from tests.runs import SMALLEST, changed
from wdrun import data
from wdrun.config import experiments
from wdrun.data import cifar10
from wdrun.selection import select
from wdrun.tables.read import load

WORDS = [word for word in changed(SMALLEST, "data=cifar10", "epochs=1", "fuse=false") if "_examples" not in word]
WORDS += ["data.val_size=10"]


def places(here):
    """The same images in an archive, in a folder and behind a link, each by several paths."""
    archive_of(here / "given.tar.gz", "binary")
    name, members_of = FORMATS["python"]
    write_folder(here / "folder" / name, members_of(made()))
    (here / "link").symlink_to("folder", target_is_directory=True)
    relative = ["given.tar.gz", "./given.tar.gz", "folder", "folder/", f"folder/{name}", "link", "link/../given.tar.gz"]
    return [*relative, str(here / "given.tar.gz"), f"{here}/folder/"]


def test_the_same_bytes_are_the_same_data(here, wdrun, capsys):
    roots = places(here)
    jobs = [experiments.jobs([*WORDS, f"data.root={root}"], False)[0] for root in roots]
    assert len({job.run.id for job in jobs}) == 1
    assert len({data.digest(job.run.data) for job in jobs}) == 1
    code, _, err = wdrun(*WORDS, f"data.root={roots[0]}", capture=capsys)
    assert code == 0, err
    for root in roots[1:]:
        code, _, err = wdrun(*WORDS, f"data.root={root}", capture=capsys)
        assert (code, err) == (0, f"already done: {jobs[0].directory}\n")
    code, _, err = wdrun("-m", *WORDS, f"data.root={roots[1]},{roots[2]}", "seed=1,2", capture=capsys)
    said = f"4 jobs are 2 distinct runs (data.root={roots[1]} and data.root={roots[2]} are the same run)"
    assert (code, said in err) == (0, True), err
    found = select(load([Path("outputs/default")]).runs)
    assert (found.facets, found.cells["n"].tolist()) == ((), [3])


def test_two_paths_to_one_file_are_read_once(here):
    places(here)
    cifar10._pool.cache_clear()
    spec = experiments.jobs([*WORDS], False)[0].run.data
    pools = {
        id(cifar10.pool(spec | {"root": root})) for root in ("link", "folder", f"{here}/folder/", os.curdir + "/link")
    }
    assert len(pools) == 1
