"""What a pcapng file says beside its packets of the processes they are of: blocks as they are, in file order.

Knows: which blocks those are, and how much of them is kept. Must not know: what they say (agent/attribution/carried).
Kept only where a reader is asked for it: judging packets needs none of this.

    with open_capture("day.pcapng", notes=True) as reader:
        while (batch := reader.next_batch()) is not None: ...
        for note in reader.take_notes(): note.packets, note.kind, note.body
"""

from __future__ import annotations

from typing import NamedTuple

SECTION, LOST = 0x0A0D0D0A, 0
"""Kinds of notes that are no process block: a section header, and that nothing is noted from here on."""
MAX_NOTES = 1 << 18
MAX_BYTES = 64 << 20
"""Of one file; a block takes some 200 bytes."""
_SECTION_BYTES = 4096
_FRAMING = 12


class Note(NamedTuple):
    """One block."""

    packets: int
    """How many packets of the file lie before it."""
    section: int
    """Number of its section, from 0."""
    kind: int
    """Block type; SECTION or LOST."""
    body: bytes
    """What lies between the block's two lengths; of a section header the first 4 kB."""
    big_endian: bool
    """Byte order of the section."""


class Notes:
    """The notes of one file, in order, until they are taken."""

    def __init__(self) -> None:
        self.section = -1
        self.lost = False
        """The file has more blocks than are kept. Who had a pid is not known from there on."""
        self._kept: list[Note] = []
        self._count = 0
        self._bytes = 0

    def add(self, packets: int, block: bytes, kind: int, *, big_endian: bool) -> bool:
        """Notes a whole block that stands behind so many packets; False if it is one too many."""
        if kind == SECTION:
            self.section += 1
            block = block[: _SECTION_BYTES + _FRAMING]
        if self.lost:
            return False
        self._count += 1
        self._bytes += len(block)
        if self._count > MAX_NOTES or self._bytes > MAX_BYTES:
            self.lost = True
            self._kept.append(Note(packets, self.section, LOST, b"", big_endian))
            return False
        self._kept.append(Note(packets, self.section, kind, block[8:-4], big_endian))
        return True

    def take(self) -> list[Note]:
        """Those since the last time."""
        taken, self._kept = self._kept, []
        return taken
