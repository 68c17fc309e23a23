"""Bytes that grow at their end: the values of a record as text, without a Python object for each.

Knows decimal digits, addresses and times as bytes. Must not know a record's fields, or files. Compiled where a C
compiler exists (types in buffer.pxd): then digits are written by hand. Interpreted, the model's own functions say what
the text is; the tests hold the two against each other.

    >>> buffer = Buffer()
    >>> buffer.put(b"seen "); buffer.time(1767603601000123000); buffer.take()
    b'seen 2026-01-05T09:00:01.000123Z'
"""

from __future__ import annotations

try:
    import cython  # resolved when this module is compiled, where digits are written by hand
except ModuleNotFoundError:
    from agent.model import uncompiled as cython

from agent.model.address import format_address
from agent.model.moment import SECOND, format_time

_DAY = 86_400
_FIRST_SIZE = 1 << 16
_NUMBER, _ADDRESS, _TIME = 20, 40, 36
"""Bytes that the longest of each can take."""

HEX = b"0123456789abcdef"
PAIRS = (
    b"00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354"
    b"555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"
)
"""Two digits of every number below 100. Literals: these are C arrays."""


class Buffer:
    """Mutable. Compiled, the first `used` bytes of `data` are text and the others room; interpreted, all are text."""

    def __init__(self) -> None:
        self.data = bytearray(_FIRST_SIZE if cython.compiled else 0)
        self.room = self.data  # compiled, the place in memory
        self.used = 0
        self.day = 0  # since 1970, of the last time that was written
        self.date = b"1970-01-01T"

    # The whole ----------------------------------------------------------------------------------------------------

    def length(self) -> int:
        return self.used if cython.compiled else len(self.data)

    def view(self) -> memoryview:
        """All of it, uncopied: use it before anything else happens here."""
        return memoryview(self.data)[: self.length()]

    def take(self) -> bytes:
        """All of it, which is then gone."""
        whole = bytes(self.view())
        self.cut(0)
        return whole

    def cut(self, length: int) -> int:
        """Forget what stands behind the first `length` bytes."""
        if cython.compiled:
            self.used = min(length, self.used)
        else:
            self.data = self.data[:length]  # another object: somebody may still have a view
        return 0

    def reserve(self, length: int) -> int:
        """Room for `length` more bytes. Compiled only: there, whoever writes asks here first and then need not look."""
        if length > len(self.data) - self.used:
            data = bytearray(max(2 * len(self.data), self.used + length))
            data[: self.used] = self.view()
            self.data = data
            self.room = data
        return 0

    # Values -------------------------------------------------------------------------------------------------------

    def put(self, text: bytes) -> int:
        """`text` as it stands."""
        if not cython.compiled:
            self.data += text
            return 0
        length = len(text)
        self.reserve(length)
        source = text
        copy(cython.address(self.room[self.used]), source, length)  # type: ignore[name-defined]  # noqa: F821 - buffer.pxd
        self.used += length
        return 0

    def number(self, value: int) -> int:
        """`value`, of at most 64 bits, in decimal."""
        if not cython.compiled:
            self.data += b"%d" % value
            return 0
        self.reserve(_NUMBER)
        length = 1
        bound = 10
        while length < _NUMBER and value >= bound:
            length += 1
            bound *= 10  # past 64 bits only in the round that ends by the length
        at = self.used + length
        self.used = at
        room = self.room
        while value >= 100:
            at -= 2
            rest = value // 100
            pair = 2 * (value - 100 * rest)
            room[at] = PAIRS[pair]
            room[at + 1] = PAIRS[pair + 1]
            value = rest
        if value >= 10:
            room[at - 2] = PAIRS[2 * value]
            room[at - 1] = PAIRS[2 * value + 1]
        else:
            room[at - 1] = 48 + value
        return 0

    def address(self, version: int, high: int, low: int) -> int:
        """An address of two words, as model.address.format_address has it."""
        if not cython.compiled:
            self.data += format_address(version, high << 64 | low).encode()
            return 0
        self.reserve(_ADDRESS)
        if version == 4:
            self._small((low >> 24) & 255)
            self._byte(46)
            self._small((low >> 16) & 255)
            self._byte(46)
            self._small((low >> 8) & 255)
            self._byte(46)
            self._small(low & 255)
        else:
            self._ipv6(high, low)
        return 0

    def time(self, ns: int) -> int:
        """A moment of at most 64 bits, as model.moment.format_time has it."""
        if not cython.compiled:
            self.data += format_time(ns).encode()
            return 0
        second = ns // 1_000_000_000
        fraction = ns - second * 1_000_000_000
        day = second // _DAY
        if day != self.day:
            self.date = format_time(day * _DAY * SECOND)[:11].encode()
            self.day = day
        self.reserve(_TIME)
        self.put(self.date)
        rest = second - day * _DAY
        self._pair(rest // 3600)
        self._byte(58)
        self._pair(rest // 60 % 60)
        self._byte(58)
        self._pair(rest % 60)
        self._byte(46)
        micro = fraction // 1000
        self._pair(micro // 10_000)
        self._pair(micro // 100 % 100)
        self._pair(micro % 100)
        nano = fraction - 1000 * micro
        if nano != 0:
            self._byte(48 + nano // 100)
            self._pair(nano % 100)
        self._byte(90)
        return 0

    # Pieces of values: compiled only, and there is room for them ----------------------------------------------------

    def _byte(self, value: int) -> int:
        self.room[self.used] = value
        self.used += 1
        return 0

    def _pair(self, value: int) -> int:
        self.room[self.used] = PAIRS[2 * value]
        self.room[self.used + 1] = PAIRS[2 * value + 1]
        self.used += 2
        return 0

    def _small(self, value: int) -> int:
        """A number below 256."""
        if value >= 100:
            hundreds = value // 100
            self._byte(48 + hundreds)
            self._pair(value - 100 * hundreds)
        elif value >= 10:
            self._pair(value)
        else:
            self._byte(48 + value)
        return 0

    def _ipv6(self, high: int, low: int) -> int:
        """RFC 5952: the first of the longest runs of zero groups, if of two or more, is `::`; no leading zeros."""
        best_start, best_length, length = 8, 1, 0
        for group in range(8):
            word = high if group < 4 else low
            if (word >> (48 - 16 * (group & 3))) & 0xFFFF != 0:
                length = 0
                continue
            length += 1
            if length > best_length:
                best_start, best_length = group + 1 - length, length
        group = 0
        while group < 8:
            if group == best_start:
                self._byte(58)
                group += best_length
                if group == 8:
                    self._byte(58)
                continue
            if group != 0:
                self._byte(58)
            word = high if group < 4 else low
            word = (word >> (48 - 16 * (group & 3))) & 0xFFFF
            if word >= 0x1000:
                self._byte(HEX[word >> 12])
            if word >= 0x100:
                self._byte(HEX[(word >> 8) & 15])
            if word >= 0x10:
                self._byte(HEX[(word >> 4) & 15])
            self._byte(HEX[word & 15])
            group += 1
        return 0
