"""A capture file as a stream of uncompressed bytes: plain, gzip, xz or zstd, told apart by their first bytes.

Knows: opening, standard input, how far the file is read. Must not know: captures. Names of files mean nothing here.
"""

from __future__ import annotations

import os
import stat
from io import FileIO
from typing import Protocol

from agent.capture.decoders import MAGIC_SIZE, DamagedError, Format, format_of
from agent.model.errors import CaptureError

STANDARD_INPUT = "-"


class ByteStream(Protocol):
    """Where a reader gets its bytes."""

    truncated: bool
    """At the end: there should have been more."""
    fault: str | None
    """At the end: why there is no more."""

    def readinto(self, target: memoryview) -> int:
        """Bytes into the front of `target`, as many as there are now; 0 at the end. Raises OSError."""


class CountedFile:
    """An open file or pipe that knows how much of it was read."""

    def __init__(self, path: str) -> None:
        """Raises CaptureError if it cannot be opened."""
        try:
            self._raw = FileIO(0, closefd=False) if path == STANDARD_INPUT else FileIO(path)
            status = os.fstat(self._raw.fileno())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise CaptureError(path, 0, f"cannot open: {reason}; give a readable capture file or -") from None
        self.bytes_read = 0
        self.bytes_total = status.st_size if stat.S_ISREG(status.st_mode) else None

    @property
    def descriptor(self) -> int:
        return self._raw.fileno()

    def read(self, size: int, /) -> bytes:
        data = self._raw.read(size) or b""
        self.bytes_read += len(data)
        return data

    def readinto(self, target: memoryview) -> int:
        size = self._raw.readinto(target) or 0
        self.bytes_read += size
        return size

    def close(self) -> None:
        self._raw.close()


class PlainStream:
    """The bytes of an uncompressed file, those already read first."""

    truncated = False
    fault: str | None = None

    def __init__(self, file: CountedFile, head: bytes) -> None:
        self._file = file
        self._head = head

    @property
    def begun(self) -> bool:
        """True once the bytes read beforehand are given out: what follows stands in the file."""
        return not self._head

    def readinto(self, target: memoryview) -> int:
        if not self._head:
            return self._file.readinto(target)
        piece, self._head = self._head[: len(target)], self._head[len(target) :]
        target[: len(piece)] = piece
        return len(piece)


class InflatedStream:
    """The decompressed bytes of a file whose first bytes, `head`, are already read."""

    def __init__(self, file: CountedFile, head: bytes, kind: Format) -> None:
        self.truncated = False
        """The file ended inside a member."""
        self.fault: str | None = None
        """What was wrong where the stream ended too early."""
        self._file = file
        self._head = head
        self._kind = kind
        self._decoder = kind.decoder()
        self._ended = False

    def readinto(self, target: memoryview) -> int:
        """Decompressed bytes into the front of `target`; 0 at the end or at damage."""
        while not self._ended:
            if self._decoder.eof:
                self._next_member()
                continue
            wanted = self._decoder.needs_input
            data = self._read() if wanted else b""
            try:
                piece = self._decoder.decompress(data, len(target))
            except DamagedError as error:
                self._end(f"damaged {self._kind.name} data: {error}")
                continue
            if piece:
                target[: len(piece)] = piece
                return len(piece)
            if wanted and not data and not self._decoder.eof:
                self.truncated = True
                self._end(None)
        return 0

    def _next_member(self) -> None:
        """Goes on with the member that follows, over the zeros that may pad its predecessor."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while len(rest) < MAGIC_SIZE and (more := self._read()):
            rest = (rest + more).lstrip(b"\0")
        if rest.startswith(self._kind.magics):
            self._head = rest
            self._decoder = self._kind.decoder()
        else:
            self._end(f"bytes behind the {self._kind.name} data are ignored" if rest else None)

    def _read(self) -> bytes:
        if self._head:
            data, self._head = self._head, b""
            return data
        return self._file.read(self._kind.piece) or b""

    def _end(self, fault: str | None) -> None:
        self._ended = True
        self.fault = fault


def open_stream(file: CountedFile) -> ByteStream:
    """The stream inside `file`, whatever it is compressed with. Raises OSError."""
    head = b""
    while len(head) < MAGIC_SIZE and (more := file.read(MAGIC_SIZE - len(head))):
        head += more
    kind = format_of(head)
    return PlainStream(file, head) if kind is None else InflatedStream(file, head, kind)
