"""The kind of a file by its first bytes, whatever its name says."""

from typing import NamedTuple

HEAD = 512  # bytes that tell it


class Kind(NamedTuple):
    """A kind of file: its name here, its first bytes, and, where it is not read, why and what to do."""

    name: str
    starts: tuple[bytes, ...]
    refusal: str = ""


UNPACK = "which is not read: unpack it, then give the folder"
KINDS = (
    Kind("zip", (b"PK\x03\x04", b"PK\x05\x06")),
    Kind("gzip", (b"\x1f\x8b",)),
    Kind("parquet", (b"PAR1",)),
    Kind("page", (b"<", b"\xef\xbb\xbf<"), "is an HTML page, not data: the download was answered by a web page"),
    Kind("pointer", (b"version https://git-lfs",), "is a Git LFS pointer, not the data: run `git lfs pull` there"),
    Kind("7z", (b"7z\xbc\xaf\x27\x1c",), f"is a 7z archive, {UNPACK}"),
    Kind("rar", (b"Rar!\x1a\x07",), f"is a RAR archive, {UNPACK}"),
    Kind("xz", (b"\xfd7zXZ\x00",), f"is compressed with xz, {UNPACK}"),
    Kind("bzip2", (b"BZh",), f"is compressed with bzip2, {UNPACK}"),
    Kind("zstandard", (b"\x28\xb5\x2f\xfd",), f"is compressed with zstandard, {UNPACK}"),
    Kind("MATLAB 7.3", (b"MATLAB 7.3",), "is a MATLAB 7.3 file, which is HDF5 and not read: save it with -v7"),
    Kind("HDF5", (b"\x89HDF",), "is an HDF5 file, which is not read: save its arrays as .npz with numpy.savez"),
    Kind("MATLAB 5", (b"MATLAB 5.0",), "is one MATLAB file: give the folder of the six batches"),
    Kind("npy", (b"\x93NUMPY",), "is one array: give a folder of x_train.npy, y_train.npy, x_test.npy, y_test.npy"),
    Kind("png", (b"\x89PNG",), "is one picture: give the folder that holds train/<class>/ and test/<class>/"),
    Kind("jpeg", (b"\xff\xd8\xff",), "is one picture: give the folder that holds train/<class>/ and test/<class>/"),
    Kind("pickle", (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
         "is a pickle, which could run code and is not read: give the folder of the official batches, or .npz"),
)  # fmt: skip
OTHER = Kind("other", ())


def kind_of(head: bytes) -> Kind:
    """The kind that the first bytes of a file say; OTHER where they say none."""
    text = head.lstrip()  # servers put blank lines before a page
    return next((k for k in KINDS if head.startswith(k.starts) or (k.name == "page" and text.startswith(b"<"))), OTHER)
