"""A user's own data set is known by its content: two files are two runs, and a moved file is the same run."""

import shutil

import pytest

from wdrun.config.compose import compose
from wdrun.config.parse import parse
from wdrun.errors import ConfigError


def run_of(*words):
    return parse(compose(["data=arrays", *words])).run


@pytest.fixture
def files(here):
    """One content in a file, a copy and a link, another content, and a folder."""
    (here / "a.npz").write_bytes(b"some images")
    (here / "b.npz").write_bytes(b"other images")
    (here / "moved").mkdir()
    shutil.copy(here / "a.npz", here / "moved" / "c.npz")
    (here / "link.npz").symlink_to("a.npz")
    return here


def test_the_content_is_what_counts(files):
    ways = ["a.npz", "./a.npz", str(files / "a.npz"), "moved/c.npz", "link.npz"]
    assert len({run_of(f"data.root={place}").id for place in ways}) == 1
    roots = [[], ["data.root=a.npz"], ["data.root=b.npz"], ["data.root=moved"], ["data.root=a.npz", "data.folds=3"]]
    assert len({run_of(*words).id for words in roots}) == 5


def test_a_changed_file_is_another_run(files):
    before = run_of("data.root=a.npz")
    (files / "a.npz").write_bytes(b"some imagez")
    assert run_of("data.root=a.npz").id != before.id
    again = run_of("data.root=a.npz", f"data.digest={before.data['digest']}")  # as a run's config.yaml has it
    assert again.id == before.id


def test_without_a_root_there_is_no_digest_and_a_typed_one_is_kept(here):
    assert run_of().data["digest"] is None
    assert run_of("data.digest=bcdfghjklmnp", "data.root=gone").data["digest"] == "bcdfghjklmnp"


def test_a_class_may_have_its_files_still_to_fetch(here):
    words = ["data=torchvision", "data._target_=torchvision.datasets.SVHN", "data.root=new"]
    assert parse(compose(words)).run.data["digest"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.root=gone.npz"], "data.root=gone.npz: must be a file or a folder of images that can be read; No such"),
        (["data.digest=abc"], "data.digest=abc: must be twelve letters, as found for the data, or null"),
        (
            ["data.root='~no_such_user/a.npz'"],
            "data.root=~no_such_user/a.npz: must be a file or a folder .*; there is no home folder",
        ),
        (["data.root=/dev/zero"], "images that can be read; it is neither a file nor a folder"),
        (["data.root=."], "data.root=.: must not hold the folder of the results, output_dir=outputs, which every run"),
        (["data.root=here", "output_dir=here/runs"], "data.root=here: must not hold .* output_dir=here/runs, which"),
    ],
)
def test_what_is_not_there_is_one_line(here, words, message):
    with pytest.raises(ConfigError, match=message) as error:
        run_of(*words)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["cifar10", "synthetic"])
def test_a_class_for_another_data_set_is_refused_with_the_words_to_write(name):
    with pytest.raises(ConfigError, match=r"write data=torchvision data\._target_=…"):
        compose([f"data={name}", "data._target_=my.Set"])
