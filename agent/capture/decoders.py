"""Decompression in bounded pieces: one member of gzip, xz or zstd, each behind the same interface.

Knows: where a member ends, and how to give out all that comes before damage. Must not know: files, captures.
A decoder holds its window and one piece, never what the data grows to.

    >>> import gzip
    >>> decoder = format_of(b"\\x1f\\x8b\\x08").decoder()
    >>> decoder.decompress(gzip.compress(b"frame") + b"next", 100), decoder.eof, decoder.unused_data
    (b'frame', True, b'next')
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import NamedTuple, Protocol

_MAX_WINDOW = 128 << 20
"""Bytes a decoder may take for its dictionary: xz -9 needs 64 MiB, zstd without --long at most this."""


class DamagedError(Exception):
    """Compressed data that cannot be right."""


class Decoder(Protocol):
    """One compressed member; the attributes are those of lzma.LZMADecompressor."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most `max_length` bytes. Raises DamagedError, after everything before the damage was given out."""


class GzipDecoder:
    """One gzip member. On damage it goes back and takes the last piece byte by byte, so that nothing good is lost."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._damage: zlib.error | None = None

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._rest and self._damage is None

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        if self._damage is not None:
            raise DamagedError(str(self._damage))
        data = self._rest + data
        before = self._inflate.copy()
        try:
            output = self._inflate.decompress(data, max_length)
        except zlib.error as error:
            self._damage = error
            return _before_damage(before, data)
        self._rest = self._inflate.unconsumed_tail
        return output


def _before_damage(inflate: zlib._Decompress, data: bytes) -> bytes:
    """What `data`, somewhere damaged, gives up to there."""
    saved = bytearray()
    try:
        for position in range(len(data)):
            saved += inflate.decompress(data[position : position + 1])
    except zlib.error:
        pass
    return bytes(saved)


class XzDecoder:
    """One xz stream."""

    def __init__(self) -> None:
        import lzma  # late: most captures need neither it nor zstandard

        self._error = lzma.LZMAError
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_WINDOW)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return self._stream.needs_input

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        try:
            return self._stream.decompress(data, max_length)
        except self._error as error:
            raise DamagedError(str(error)) from None


class ZstdDecoder:
    """One zstd frame, given to the library block by block (RFC 8878 section 3.1.1).

    The library alone either does not bound its output or does not tell a cut frame from a finished one. A block
    expands to 128 KiB at most, and who walks the blocks knows where the frame ends.
    """

    _HEADER, _BLOCK, _CHECKSUM, _SKIPPED, _DONE = range(5)

    def __init__(self) -> None:
        import zstandard  # late, as lzma

        self._error = zstandard.ZstdError
        self._frame = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
        self._input = bytearray()
        self._output = b""
        self._next = self._HEADER
        self._skip = 0
        self._checksum = False

    @property
    def eof(self) -> bool:
        return self._next == self._DONE and not self._output

    @property
    def needs_input(self) -> bool:
        return not self._output and self._size() > len(self._input)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._input)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        self._input += data
        while not self._output and self._next != self._DONE and (size := self._size()) <= len(self._input):
            unit = bytes(self._input[:size])
            del self._input[:size]
            self._take(unit)
        output, self._output = self._output[:max_length], self._output[max_length:]
        return output

    def _size(self) -> int:
        """Bytes of the next part of the frame, or of what it takes to tell."""
        known = self._input
        if self._next == self._HEADER:
            if len(known) < 5:
                return 5
            if known[0] != 0x28:
                return 8
            single = known[4] >> 5 & 1
            return 6 - single + (0, 1, 2, 4)[known[4] & 3] + (single, 2, 4, 8)[known[4] >> 6]
        if self._next == self._BLOCK:
            if len(known) < 3:
                return 3
            block = int.from_bytes(known[:3], "little")
            repeated = block >> 1 & 3 == 1
            return 4 if repeated else 3 + (block >> 3)
        return 4 if self._next == self._CHECKSUM else min(self._skip, len(known) or 1)

    def _take(self, unit: bytes) -> None:
        """Moves over the next part of the frame."""
        if self._next == self._SKIPPED:
            self._skip -= len(unit)
            self._next = self._SKIPPED if self._skip else self._DONE
            return
        if self._next == self._HEADER and unit[0] != 0x28:
            self._skip = int.from_bytes(unit[4:], "little")
            self._next = self._SKIPPED if self._skip else self._DONE
            return
        try:
            self._output = self._frame.decompress(unit)
        except self._error as error:
            raise DamagedError(str(error)) from None
        if self._next == self._HEADER:
            self._checksum = bool(unit[4] & 4)
            self._next = self._BLOCK
        elif self._next == self._BLOCK and not unit[0] & 1:
            self._next = self._BLOCK
        else:
            self._next = self._CHECKSUM if self._next == self._BLOCK and self._checksum else self._DONE


class Format(NamedTuple):
    """A kind of compressed file."""

    name: str
    magics: tuple[bytes, ...]
    """First bytes of a member."""
    decoder: Callable[[], Decoder]
    piece: int
    """Compressed bytes read at a time."""


FORMATS = (
    Format("gzip", (b"\x1f\x8b",), GzipDecoder, 64 << 10),
    # liblzma forgets the output of the call in which it finds damage: small pieces lose little.
    Format("xz", (b"\xfd7zXZ\0",), XzDecoder, 256),
    # A frame may be skippable: sixteen magics, of no meaning to us.
    Format(
        "zstd", (b"\x28\xb5\x2f\xfd", *(bytes((n, 0x2A, 0x4D, 0x18)) for n in range(0x50, 0x60))), ZstdDecoder, 64 << 10
    ),
)
MAGIC_SIZE = 6


def format_of(head: bytes) -> Format | None:
    """The format of a file that begins with `head`; None if it is not compressed."""
    return next((kind for kind in FORMATS if head.startswith(kind.magics)), None)
