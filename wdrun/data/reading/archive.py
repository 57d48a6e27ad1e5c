"""Tar and zip archives that may be hostile: members into memory, none extracted to a path, and no bomb unpacked."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection
from typing import BinaryIO

from wdrun.data.canonical import BadSource, Unrecognised
from wdrun.data.reading.tree import Member, Packed, inner_path
from wdrun.wording import first_line

ARCHIVE_LIMIT = 512 * 2**20  # bytes unpacked that any archive may have
RATIO = 20  # a larger one may have so many times its own size: pictures and pixels shrink less, a bomb by a thousand


def limit(packed: int) -> int:
    """How many bytes an archive of `packed` bytes may unpack to."""
    return max(ARCHIVE_LIMIT, RATIO * packed)


def too_large(most: int) -> BadSource:
    return BadSource(f"unpacks to more than {most / 2**20:.0f} MiB, as a decompression bomb does")


def tar_tree(file: BinaryIO, wanted: Callable[[str], bool], once: Collection[str]) -> Packed:
    """The wanted regular files of a tar archive, gzipped or not; BadSource says what is wrong.

    `wanted` is asked for each path; of the base names in `once` there may be one.
    """
    packed = file.read(2) == b"\x1f\x8b"
    most = limit(file.seek(0, io.SEEK_END))
    file.seek(0)
    found: dict[str, Member] = {}
    names: set[str] = set()
    total = 0
    try:
        with (
            gzip.GzipFile(fileobj=file) if packed else file as plain,
            tarfile.open(fileobj=_Bounded(plain, most), mode="r:") as archive,
        ):
            for entry in archive:
                path = inner_path(entry.name)
                if path is None or not entry.isfile() or not wanted(path):  # links and devices are never followed
                    continue
                base = path.rpartition("/")[2]
                if path in found or base in names & set(once):
                    raise BadSource(f"holds {base} twice")
                total += entry.size  # as told: a sparse file has zeros that no byte of the archive stands for
                if total > most:
                    raise too_large(most)
                content = archive.extractfile(entry)
                found[path] = _held(content.read() if content else b"")
                names.add(base)
    except (BadSource, MemoryError):
        raise
    except Exception as error:  # a damaged header is read as numbers, names and text, and fails as they do
        if isinstance(error, OSError) and error.errno is not None:  # the disk, not the archive
            raise
        what = BadSource if packed else Unrecognised  # a tar has no first bytes of its own: it may be anything
        raise what(f"is truncated, damaged or not a tar archive ({first_line(error)})") from error
    return Packed(found)


def _held(content: bytes) -> Member:
    return Member(len(content), lambda: content)


def zip_tree(file: BinaryIO, where: str = "") -> Packed:
    """The files of a zip archive (an .npz is one), each unpacked when it is read; BadSource says what is wrong."""
    most = limit(file.seek(0, io.SEEK_END))
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeError) as error:
        raise BadSource(f"is a truncated or damaged zip archive ({first_line(error)})") from error
    found: dict[str, Member] = {}
    for entry in archive.infolist():
        path, mode = inner_path(entry.filename), entry.external_attr >> 16
        if path is None or entry.is_dir() or (stat.S_IFMT(mode) not in (0, stat.S_IFREG)):  # links are never followed
            continue
        if path in found:
            raise BadSource(f"holds {where}{path} twice")
        if entry.flag_bits & 1:
            raise BadSource(f"is encrypted ({where}{path}): unpack it, then give the folder")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # only these unpack within bounds
            way = f"a method that is not read ({entry.compress_type})"
            raise BadSource(f"holds {where}{path} compressed by {way}: unpack it, then give the folder")
        found[path] = Member(entry.file_size, _unpacking(archive, entry, f"{where}{path}"))
    if sum(member.size for member in found.values()) > most:
        raise too_large(most)
    return Packed(found, where)


def _unpacking(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Callable[[], bytes]:
    """What reads a member: never more than the size that its header told, and its checksum is checked."""

    def read() -> bytes:
        try:
            with archive.open(entry) as file:  # archive.read unpacks all there is before it looks at the size
                return file.read(entry.file_size)
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise BadSource(f"holds a damaged {name} ({first_line(error)})") from error

    return read


class _Bounded(io.RawIOBase):
    """A file to read from that ends where a bomb begins: tarfile believes any size that a header tells it."""

    def __init__(self, file: BinaryIO | gzip.GzipFile, most: int) -> None:
        self.file, self.most = file, most

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            raise BadSource("holds a header of a size that no archive has")
        self._check(self.tell() + size)
        return self.file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def _check(self, end: int) -> None:
        if end > self.most:
            raise too_large(self.most)
