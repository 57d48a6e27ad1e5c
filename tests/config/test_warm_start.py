"""The weights a run begins with are known by their content, wherever the file lies and however it is named."""

import shutil

import pytest

from wdrun.config import files
from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.config.run import Run
from wdrun.errors import ConfigError


def run_of(*words) -> Run:
    return parse(compose(["data=synthetic", *words])).run


@pytest.fixture
def weights(here):
    """One content in a file, a run's folder, behind a link, and another content."""
    (here / "a.pt").write_bytes(b"some weights")
    (here / "run").mkdir()
    shutil.copy(here / "a.pt", here / "run" / "last.safetensors")
    (here / "link").symlink_to("run", target_is_directory=True)
    (here / "b.pt").write_bytes(b"other weights")
    return here


def test_a_run_that_begins_with_none_is_what_it_always_was(here):
    run = run_of()
    assert run.id == "hmgvdxpn"
    assert not {"init_from", "init_skip", "init_digest"} & {*run.knobs, *run.nested}


def test_the_content_is_what_counts(weights):
    ways = ["a.pt", "./a.pt", str(weights / "a.pt"), "run", "run/", "run/last.safetensors", "link", "link/../a.pt"]
    ids = {run_of(f"init_from={place}").id for place in ways}
    assert len(ids) == 1
    assert len(ids | {run_of().id, run_of("init_from=b.pt").id, run_of("init_from=a.pt", "init_skip=[fc*]").id}) == 4
    (weights / "a.pt").write_bytes(b"some weightz")
    assert run_of("init_from=a.pt").id not in ids


def test_a_digest_that_is_typed_needs_no_file(weights):
    run = run_of("init_from=a.pt")
    (weights / "a.pt").unlink()
    assert run_of("init_from=gone.pt", f"init_digest={run.init_digest}").id == run.id


def test_its_config_gives_the_run_again(weights):
    import yaml

    run = run_of("init_from=run", "init_skip=[fc2.*]", "seed=3")
    (weights / "config.yaml").write_text(yaml.safe_dump(run.nested))
    again = parse(compose(files.words_of("config.yaml"))).run
    assert (again.id, again.nested) == (run.id, run.nested)


@pytest.mark.parametrize(("words", "message"), [
    (["init_from=c.pt"], "init_from=c.pt: must be a file of weights (.safetensors, .pt) or a run's folder; "
                         "No such file or directory"),
    (["init_from=empty"], "init_from=empty: must be a file of weights (.safetensors, .pt) or a run's folder; "
                          "its last.safetensors: No such file or directory"),
    (["init_skip=[fc*]"], "init_skip: init_from is not given; it says of which file"),
    (["init_digest=bcdfghjklmnp"], "init_digest: init_from is not given; it says of which file"),
    (["init_from=a.pt", "init_digest=1"], "init_digest=1: must be twelve letters, as found for a file, or null"),
    (["init_from=a.pt", "init_skip=fc2"],
     "init_skip=fc2: must be a list of globs of tensors, such as [fc2.*], or null"),
    (["init_from=[a.pt]"], "init_from=[a.pt]: must be a path, or null"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(weights, words, message):
    (weights / "empty").mkdir()
    with pytest.raises(ConfigError) as caught:
        run_of(*words)
    assert str(caught.value) == message
