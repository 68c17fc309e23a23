"""Which first fragment a later one belongs to. Bounded in datagrams, in pieces of each, and in time.

Fragments are rare, so this is plain Python. Never: verdicts; it remembers the one the first fragment got.

A fragment that arrives before its first is an orphan and stays one: waiting would mean holding packets, and a
verdict given is not revised. IPv6 fragments that overlap poison their datagram (RFC 5722); an exact repetition
is a copy, not an overlap.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

LIFETIME = 30_000_000_000
"""Nanoseconds a first fragment is waited on (Linux' ipfrag_time)."""
MAX_PIECES = 128
"""Pieces of one datagram whose places are remembered; more are treated as overlapping."""

Key = bytes
"""Version, source, destination, identification and protocol (0 for IPv6), packed: the hash of bytes has a secret, and
who chooses numbers could make theirs meet."""


@dataclass(slots=True)
class Datagram:
    """One datagram whose first fragment was seen."""

    slot: int
    flow_id: int
    outcome: int
    """The first fragment's verdict and reason, for flows whose packets are judged one by one; -1: the flow's."""
    since: int
    headers: int
    """Bytes of the datagram that its transport header (and IPv6 extension headers before it) reach to."""
    overlaps_matter: bool
    pieces: list[tuple[int, int]] = field(default_factory=list)
    poisoned: bool = False

    def admit(self, start: int, end: int) -> bool:
        """True if bytes `start`..`end` neither reach into the transport header nor overlap other pieces (IPv6)."""
        if 0 < start < self.headers:
            return False
        if not self.overlaps_matter:
            return True
        if self.poisoned or (start, end) in self.pieces:
            return not self.poisoned
        if len(self.pieces) >= MAX_PIECES or any(start < other_end and other < end for other, other_end in self.pieces):
            self.poisoned = True
            return False
        self.pieces.append((start, end))
        return True


class FragmentTable:
    """Datagrams in flight, oldest first."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.overflows = 0
        self.steps = 0
        """Pieces that later fragments were compared with."""
        # Ordered: a dict looks for its first key among all that were taken out before it.
        self._datagrams: OrderedDict[Key, Datagram] = OrderedDict()

    def first(self, key: Key, datagram: Datagram, end: int) -> bool:
        """Remember a first fragment of `end` bytes. False if it overlaps pieces already seen (IPv6)."""
        known = self._datagrams.pop(key, None)
        if known is not None and datagram.overlaps_matter and datagram.since - known.since <= LIFETIME:
            # The same datagram, by its 32-bit number. In IPv4 the 16-bit number may be in use again.
            datagram.since = known.since
            datagram.pieces = known.pieces
            datagram.poisoned = known.poisoned or known.flow_id != datagram.flow_id
        elif len(self._datagrams) >= self.size:
            _, oldest = self._datagrams.popitem(last=False)
            if datagram.since - oldest.since <= LIFETIME:
                self.overflows += 1
        self._datagrams[key] = datagram
        return datagram.admit(0, end)

    def later(self, key: Key, now: int) -> Datagram | None:
        """The datagram a later fragment belongs to, None for an orphan."""
        datagram = self._datagrams.get(key)
        if datagram is None:
            return None
        self.steps += len(datagram.pieces)
        if now - datagram.since > LIFETIME:
            del self._datagrams[key]
            return None
        return datagram
