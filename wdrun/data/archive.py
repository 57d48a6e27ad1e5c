"""Tar archives that may be hostile: wanted members into memory by base name, none extracted to a path it names."""

import gzip
import io
import tarfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from wdrun.data.canonical import BadSource
from wdrun.wording import first_line

Members = Mapping[str, bytes]

MEMBER_LIMIT = 64 * 2**20  # bytes; the largest true member has 31 MB, so more is a decompression bomb
ARCHIVE_LIMIT = 512 * 2**20  # bytes unpacked; the largest true archive has 186 MB


def members(path: Path, wanted: Collection[str]) -> Members:
    """The content of the wanted files of a tar archive, gzipped or not; BadSource says what is wrong."""
    with path.open("rb") as file:
        head = file.read(512).lstrip()
        if not head:
            raise BadSource("is empty")
        if head[:1] == b"<":
            raise BadSource("is an HTML page, not an archive: the download was answered by a web page")
        file.seek(0)
        found: dict[str, bytes] = {}
        packed = head.startswith(b"\x1f\x8b")
        try:
            with (
                gzip.GzipFile(fileobj=file) if packed else file as plain,
                tarfile.open(fileobj=_Bounded(plain), mode="r:") as archive,
            ):
                for entry in archive:
                    name = PurePosixPath(entry.name).name
                    if name not in wanted or not entry.isfile():  # links and devices are never followed
                        continue
                    if name in found:
                        raise BadSource(f"holds {name} twice")
                    if entry.size > MEMBER_LIMIT:
                        raise BadSource(f"holds {name} of {entry.size} bytes, which no CIFAR-10 file has")
                    content = archive.extractfile(entry)
                    found[name] = content.read() if content else b""
        except (BadSource, MemoryError):
            raise
        except Exception as error:  # a damaged header is read as numbers, names and text, and fails as they do
            if isinstance(error, OSError) and error.errno is not None:  # the disk, not the archive
                raise
            raise BadSource(f"is truncated, damaged or not a tar archive ({first_line(error)})") from error
    return found


class _Bounded(io.RawIOBase):
    """A file to read from that ends where a bomb begins: tarfile believes any size that a header tells it."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MEMBER_LIMIT:
            raise BadSource("holds a header of a size that no CIFAR-10 archive has")
        self._check(self.tell() + size)
        return self.file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._check(offset)
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    @staticmethod
    def _check(end: int) -> None:
        if end > ARCHIVE_LIMIT:
            raise BadSource(f"unpacks to more than {ARCHIVE_LIMIT / 2**20:.0f} MiB, which no CIFAR-10 archive does")
