"""A text file as numbered lines: plain, gzip or zstd (told by its first bytes), UTF-8 or UTF-16, memory bounded.

Knows compression and encodings. Must not know what the lines say. Read once, front to back: a pipe will do.

    with TextFile("sockets.jsonl.gz") as file:
        file.first_line()                       # looks ahead, takes nothing
        for number, line, whole in file.lines(broken.note): ...

Everything comes out as UTF-8 without a byte order mark. UTF-16 needs its mark: PowerShell's `>` and Out-File write one.
"""

from __future__ import annotations

import codecs
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import IO, Any, cast

from agent.model.errors import AttributionError

CHUNK = 1 << 18
MAX_LINE = 1 << 20
"""Bytes; a socket record takes about 300."""

MAX_RATIO, RATIO_FROM = 250, 64 << 20
"""Past RATIO_FROM expanded bytes, a file that expands by more than MAX_RATIO is taken for a bomb (zstd: 20 to 50)."""

_UTF16 = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_UTF8_MARK = b"\xef\xbb\xbf"


ReadingProgress = Callable[[str, int, int | None], None]


class _Counted:
    """A binary file that knows how much was read from it, pipes included."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.total = 0

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.total += len(data)
        return data

    read1 = read


class _Zstd:
    """Expands zstd 256 bytes at a time (at most 8 MB come of that), and notices a frame that ends early.

    The library's own stream reader takes a file that was cut for one that ended.
    """

    def __init__(self, file: _Counted) -> None:
        import zstandard

        self._decompressor = zstandard.ZstdDecompressor()
        self._file = file
        self._frame: Any = None
        self._rest = b""

    def read1(self, _size: int) -> bytes:
        while True:
            data = self._rest or self._file.read(256)
            if not data:
                if self._frame is not None:
                    raise EOFError
                return b""
            if self._frame is None:
                self._frame = self._decompressor.decompressobj()
            expanded: bytes = self._frame.decompress(data)
            self._rest = b""
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
            if expanded:
                return expanded


class TextFile:
    """An open file of lines. Every problem is an AttributionError that names the file."""

    def __init__(self, path: str, progress: ReadingProgress | None = None) -> None:
        """`progress`: told after each piece (path, bytes read, bytes of the file or None for a pipe), as stored."""
        self.path = path
        self._progress = progress
        self.truncated = False
        """True once compressed data, or a character of UTF-16, has ended early."""
        self._expanded = 0
        self._head: bytes | None = None
        self._decoder: codecs.IncrementalDecoder | None = None
        self._file: IO[bytes] | None = None
        try:
            self._file = file = open(path, "rb")  # noqa: SIM115 - closed by close()
            magic = file.peek(4)[:4]
        except OSError as error:
            self.close()
            raise self._unreadable(error) from None
        status = os.fstat(file.fileno())
        self._size = status.st_size if stat.S_ISREG(status.st_mode) else None
        self._counted = _Counted(file)
        self.compressed = magic[:2] == b"\x1f\x8b" or magic == b"\x28\xb5\x2f\xfd"
        self._stream: Any = self._counted
        if magic[:2] == b"\x1f\x8b":
            import gzip

            self._stream = gzip.GzipFile(fileobj=cast("IO[bytes]", self._counted), mode="rb")  # it only calls read()
        elif self.compressed:
            self._stream = _Zstd(self._counted)

    def __enter__(self) -> TextFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def head(self) -> bytes:
        """The beginning, a whole line at least, as UTF-8 without mark; what `lines` gives is not changed by looking."""
        if self._head is None:
            head = self._beginning()
            piece = head
            while piece and b"\n" not in head.lstrip() and len(head) <= MAX_LINE:
                piece = self._read()
                head += piece
            self._head = head
        return self._head

    def first_line(self) -> bytes:
        """The first line that is not blank, within `head`."""
        return next((line.strip() for line in self.head().split(b"\n") if line.strip()), b"")

    def chunks(self) -> Iterator[bytes]:
        """The whole text in pieces of any size, for what does not come in lines."""
        chunk = self.head()
        while chunk:
            yield chunk
            chunk = self._read()

    def lines(self, skipped: Callable[[int, str], None] | None = None) -> Iterator[tuple[int, bytes, bool]]:
        """(number from 1, line without its newline, True if it had one). Blank lines are left out.

        A line longer than MAX_LINE is left out and told to `skipped` with its number; without that it is an error.
        """
        rest: list[bytes] = []  # pieces of the line at hand, and how long they are
        size, number, skipping = 0, 0, False
        for piece in self.chunks():
            begin = 0
            if skipping or b"\n" not in piece:
                begin = piece.find(b"\n") + 1
                if begin == 0:
                    if not skipping:
                        rest.append(piece)
                        size += len(piece)
                        if size > MAX_LINE:
                            self._too_long(number + 1, skipped)
                            rest, size, skipping = [], 0, True
                    continue
                number, skipping = number + 1, False
            chunk = b"".join([*rest, piece]) if rest else piece[begin:]
            lines = chunk.split(b"\n")
            last = lines.pop()
            rest, size = [last] if last else [], len(last)
            if len(chunk) > MAX_LINE:
                for line in lines:
                    number += 1
                    if len(line) > MAX_LINE:
                        self._too_long(number, skipped)
                    elif line and not line.isspace():
                        yield number, line, True
            else:
                for line in lines:
                    number += 1
                    if line and not line.isspace():
                        yield number, line, True
            if size > MAX_LINE:
                self._too_long(number + 1, skipped)
                rest, size, skipping = [], 0, True
        last = b"".join(rest)
        if last and not last.isspace():
            yield number + 1, last, False

    def _too_long(self, number: int, skipped: Callable[[int, str], None] | None) -> None:
        text = f"is longer than {MAX_LINE} bytes"
        if skipped is None:
            raise AttributionError(self.path, number, text)
        skipped(number, text)

    def _beginning(self) -> bytes:
        """The first piece of text; finds the encoding."""
        data = self._bytes()
        while data and len(data) < len(_UTF8_MARK) and (piece := self._bytes()):
            data += piece
        encoding = _UTF16.get(data[:2])
        if encoding is None:
            return data.removeprefix(_UTF8_MARK)
        # A lone surrogate passes, and comes out as bytes that are no UTF-8: one broken line, not a broken file.
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        return self._decoded(data[2:]) or self._read()

    def _read(self) -> bytes:
        """The next piece of text; b"" at the end."""
        data = self._bytes()
        if self._decoder is None:
            return data
        while data:
            text = self._decoded(data)
            if text:
                return text
            data = self._bytes()
        if self._decoder.getstate()[0]:
            self.truncated = True
        return b""

    def _decoded(self, data: bytes) -> bytes:
        assert self._decoder is not None
        return self._decoder.decode(data).encode("utf-8", "surrogatepass")

    def _bytes(self) -> bytes:
        """The next expanded bytes as they are; b"" at the end."""
        try:
            data: bytes = self._stream.read1(CHUNK)
        except EOFError:
            self.truncated = True
            return b""
        except zlib.error as error:
            raise self._damaged(error) from None
        except OSError as error:
            raise (self._unreadable(error) if error.errno else self._damaged(error)) from None
        except Exception as error:
            if self.compressed and type(error).__name__ == "ZstdError":  # its class is not loaded for other files
                raise self._damaged(error) from None
            raise
        self._expanded += len(data)
        if self._progress is not None:
            self._progress(self.path, self._counted.total, self._size)
        if self.compressed and self._expanded > max(RATIO_FROM, MAX_RATIO * self._counted.total):
            raise AttributionError(
                self.path, 0, f"expands to more than {MAX_RATIO} times its size; expand it first if it is meant so"
            )
        return data

    def _unreadable(self, error: OSError) -> AttributionError:
        return AttributionError(self.path, 0, f"cannot be read: {error.strerror or error}")

    def _damaged(self, error: Exception) -> AttributionError:
        return AttributionError(self.path, 0, f"damaged compressed data after {self._expanded} bytes: {error}")
