"""What a reader hands out: frames that lie in one buffer, and five words about each of them.

Knows: the layout of the words. Must not know: how a file is framed, what a frame holds.

    >>> batch = Batch(b"..frame", array("Q", [7, 2, 5 << 32 | 60, 1 | OUTBOUND << 32, 0]), 1)
    >>> bytes(batch.frame(0)), batch.original_length(0), batch.link_type(0), batch.direction_flag(0)
    (b'frame', 60, 1, 2)
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TypeAlias

from agent.model.address import Address

RECORD_WORDS = 5
TIME, OFFSET, LENGTHS, BITS, OPTIONS = range(RECORD_WORDS)
"""Words of a record: ns since 1970; offset of the frame; captured << 32 | original length; see the shifts below;
offset << 32 | length of the packet's pcapng options, 0 if it has none."""

LINK_MASK = 0xFFFF
INTERFACE_SHIFT = 16
DIRECTION_SHIFT = 32
NO_TIME = 1 << 34
"""The packet has no time of its own; its TIME is the one last seen in the file."""


Memory = bytes | bytearray | memoryview
Words: TypeAlias = "array[int] | memoryview"
"""64-bit words: an array of them or a part of one."""

UNKNOWN, INBOUND, OUTBOUND = 0, 1, 2
"""Direction flags, as pcapng has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """One interface a capture declares."""

    link_type: int
    name: str | None = None
    addresses: tuple[Address, ...] = ()
    """Those of the capturing host on this interface."""
    snaplen: int = 0
    """Bytes kept of each frame at most; 0 = no limit."""


class Batch:
    """Some packets in file order. `data` and `records` hold until the reader's next next_batch(); see copy()."""

    __slots__ = ("big_endian", "count", "data", "records", "sights", "source")

    def __init__(self, data: Memory, records: Words, count: int, *, big_endian: bool = False, source: int = 0) -> None:
        self.data = data
        self.records = records
        """Flat, RECORD_WORDS each; only the first `count` records mean anything."""
        self.count = count
        self.big_endian = big_endian
        """Byte order of the packet options."""
        self.source = source
        """Number of the reader it comes from, where several are merged."""
        self.sights: Words | None = None
        """What was seen of the packets ahead of judging them, if somebody looked (datapath/scout.py)."""

    def copy(self) -> Batch:
        """The same packets in memory of their own: at most twice what they take, wherever in the buffer they lie."""
        words = array("Q")
        words.frombytes(memoryview(self.records)[: self.count * RECORD_WORDS].cast("B"))
        start = end = 0
        if self.count:
            last = len(words) - RECORD_WORDS
            options = words[last + OPTIONS]
            end = max(words[last + OFFSET] + (words[last + LENGTHS] >> 32), (options >> 32) + (options & 0xFFFFFFFF))
            if words[OFFSET] > end - words[OFFSET]:
                start = words[OFFSET]
                for place in range(0, len(words), RECORD_WORDS):
                    words[place + OFFSET] -= start
                    if words[place + OPTIONS]:
                        words[place + OPTIONS] -= start << 32
        data = bytes(memoryview(self.data)[start:end])
        return Batch(data, words, self.count, big_endian=self.big_endian, source=self.source)

    def time(self, index: int) -> int:
        """Nanoseconds since 1970 of packet `index`."""
        return self.records[index * RECORD_WORDS + TIME]

    def has_time(self, index: int) -> bool:
        """False if `time` is only the one last seen."""
        return not self.records[index * RECORD_WORDS + BITS] & NO_TIME

    def frame(self, index: int) -> memoryview:
        """The captured bytes of packet `index`; as short-lived as the batch."""
        start = self.records[index * RECORD_WORDS + OFFSET]
        return memoryview(self.data)[start : start + (self.records[index * RECORD_WORDS + LENGTHS] >> 32)]

    def original_length(self, index: int) -> int:
        """Bytes the frame had on the wire."""
        return self.records[index * RECORD_WORDS + LENGTHS] & 0xFFFFFFFF

    def link_type(self, index: int) -> int:
        return self.records[index * RECORD_WORDS + BITS] & LINK_MASK

    def interface(self, index: int) -> int:
        """Index into the reader's `interfaces`."""
        return self.records[index * RECORD_WORDS + BITS] >> INTERFACE_SHIFT & 0xFFFF

    def direction_flag(self, index: int) -> int:
        """UNKNOWN, INBOUND or OUTBOUND."""
        return self.records[index * RECORD_WORDS + BITS] >> DIRECTION_SHIFT & 3

    def options(self, index: int) -> memoryview:
        """The packet's pcapng options, undecoded, in the byte order `big_endian` says; empty if it has none."""
        word = self.records[index * RECORD_WORDS + OPTIONS]
        start = word >> 32
        return memoryview(self.data)[start : start + (word & 0xFFFFFFFF)]
