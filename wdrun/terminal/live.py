"""Lines at the foot of a terminal that are drawn again in place; what is printed meanwhile scrolls above them."""

from __future__ import annotations

from contextlib import ExitStack, redirect_stderr, suppress
from typing import Any, TextIO

from wdrun.terminal import results
from wdrun.terminal.screen import USUAL, cut, size


class Live:
    """The lines at the foot of `stream`, a terminal that obeys escape codes. A context manager: they go at its end.

    Inside it sys.stderr, which `stream` is, and the results where they go to `out`, write above the lines. Once nobody
    reads there it is silent.
    """

    def __init__(self, stream: TextIO, out: TextIO | None = None) -> None:
        self.stream, self.out = stream, out
        self.lines: list[str] = []
        self.drawn = 0
        self.gone = False
        self.redirected = ExitStack()

    def __enter__(self) -> Live:
        for stream, redirect in ((self.stream, redirect_stderr), (self.out, results.redirected)):
            if stream is not None:
                above: Any = _Above(self, stream)
                self.redirected.enter_context(redirect(above))
                self.redirected.callback(above.end)
        return self

    def __exit__(self, *error: object) -> None:
        self._write(self.stream, self._erased())
        self.lines = []
        self.redirected.close()

    def draw(self, lines: list[str]) -> None:
        """These lines in the place of those before, each on one row, as many as there is room for."""
        wide, high = size(self.stream) or USUAL
        self.lines = lines
        rows = [cut(line, wide - 1) for line in lines[: max(high - 1, 1)]]
        self._write(self.stream, self._erased() + "".join(f"{row}\n" for row in rows))
        self.drawn = len(rows)

    def above(self, stream: TextIO, text: str) -> None:
        """Whole lines of text, on the stream, above the lines, which are drawn again below."""
        self._write(self.stream, self._erased())
        self._write(stream, text)
        self.draw(self.lines)

    def _erased(self) -> str:
        """The codes that clear what is drawn."""
        back = f"\x1b[{self.drawn}A\r\x1b[J" if self.drawn else ""
        self.drawn = 0
        return back

    def _write(self, stream: TextIO, text: str) -> None:
        if stream is self.stream and self.gone:
            return
        try:
            stream.write(text)
            stream.flush()
        except OSError:
            if stream is not self.stream:
                raise
            self.gone = True


class _Above:
    """A stream whose whole lines go above the live ones; the rest of a line waits for its end."""

    def __init__(self, live: Live, stream: TextIO) -> None:
        self.live, self.stream, self.rest = live, stream, ""

    def write(self, text: str) -> int:
        whole, newline, rest = (self.rest + text).rpartition("\n")
        self.rest = rest
        if newline:
            self.live.above(self.stream, whole + newline)
        return len(text)

    def end(self) -> None:
        """Write what waits."""
        if rest := self.rest:
            self.rest = ""
            self.live.above(self.stream, rest)

    def flush(self) -> None:
        with suppress(OSError):
            self.stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
