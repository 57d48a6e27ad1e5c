"""The options of a group are the files of its folder, shipped ones and a user's."""

from wdrun.config.options import GROUPS, conf_dir, option_names


def test_the_shipped_conf_has_every_group_and_no_other():
    folders = {path.name for path in conf_dir().iterdir() if path.is_dir()}
    assert folders == {*GROUPS, "experiment", "hydra"}
    assert (conf_dir() / "config.yaml").is_file()


def test_options_are_sorted_files_without_the_shared_part():
    assert option_names("model") == ["cnn", "linear", "mlp", "resnet"]
    assert "_shared" not in option_names("decay")
    assert (conf_dir() / "decay" / "_shared.yaml").is_file()
    assert option_names("nosuch") == []


def test_a_users_options_are_added(tmp_path):
    (tmp_path / "model").mkdir()
    for name in ("net.yaml", "cnn.yaml", "_part.yaml", "note.txt"):
        (tmp_path / "model" / name).write_text("name: x\n")
    (tmp_path / "model" / ".#net.yaml").symlink_to("someone@machine.4321:1")  # an editor's lock on net.yaml
    assert option_names("model", str(tmp_path)) == ["cnn", "linear", "mlp", "net", "resnet"]
    assert option_names("decay", str(tmp_path)) == option_names("decay")
    assert option_names("model") == ["cnn", "linear", "mlp", "resnet"]
