"""Looks at packets ahead of judging: decodes them, finds out whose they are and which flow they would belong to.

Knows headers and the device's addresses. Must not know flows, policy, or what becomes of a packet: looking changes
nothing, so it may run in a thread of its own, without the interpreter's lock, as far ahead as there is room.

    scout.attach(batch.data)
    scout.look(batch.records, 0, batch.count, sights, 0)

What it saw of a packet is a sight, SIGHT_WORDS words of one array: the flow's tuple from the local side, as the flow
table keeps it, and the few facts that judging a packet of a known flow takes. Whatever is not that plain is left to
the datapath, which decodes it again and takes its time.
"""

from __future__ import annotations

from array import array

from agent.capture.batch import Words
from agent.datapath.flows import FlowTable
from agent.datapath.headers import Header
from agent.datapath.layout import FACTS, LENGTH, M32, M64, OUT, PLAIN, SIGHT_WORDS, TIME

RECORD_WORDS = 5
NO_TIME = 1 << 34

IP = 0
FLAG_IN = 1
REMOTE, BY_PREFIX, EXACT, LOOPBACK_ADDRESS = 0, 1, 2, 3


class Scout:
    """Eyes of one datapath; `flows` is asked for hashes only."""

    def __init__(self, flows: FlowTable) -> None:
        self.flows = flows
        self.header = Header()
        self.exact = array("Q")
        self.prefixes = array("Q")
        self.exact_count = 0
        self.prefix_count = 0
        self.first_version = 0
        self.first_low = 0
        # The tuple at hand.
        self.local_high = 0
        self.local_low = 0
        self.remote_high = 0
        self.remote_low = 0
        self.key = 0

    def set_local(self, exact: list[tuple[int, int]], prefixes: list[tuple[int, int, int]]) -> None:
        """The device's addresses: exact (version, value), prefixes (version, first, last)."""
        ordered = sorted(exact, key=lambda one: (one[1] & M64, one[1] >> 64, one[0]))
        self.exact = array("Q", [w for v, a in ordered for w in (v, a >> 64, a & M64)])
        self.prefixes = array("Q", [w for v, a, b in prefixes for w in (v, a >> 64, a & M64, b >> 64, b & M64)])
        self.exact_count = len(exact)
        self.prefix_count = len(prefixes)
        self.first_version = exact[0][0] if exact else 0
        self.first_low = exact[0][1] & M64 if exact and exact[0][0] == 4 else 0
        if self.first_version != 4:
            self.first_version = 0

    def twin(self) -> Scout:
        """Another pair of eyes for the same device, for another thread."""
        twin = Scout(self.flows)
        twin.exact, twin.prefixes = self.exact, self.prefixes
        twin.exact_count, twin.prefix_count = self.exact_count, self.prefix_count
        twin.first_version, twin.first_low = self.first_version, self.first_low
        return twin

    def attach(self, data: memoryview | bytes | bytearray) -> None:
        """The buffer the next records point into."""
        self.header.attach(data)

    def look(self, records: Words, start: int, end: int, sights: Words, first: int) -> int:
        """Writes the sights of records `start`..`end`, the first one as number `first`."""
        return self.look_at(0, records, start, end, sights, first)

    def look_at(self, origin: int, records: Words, start: int, end: int, sights: Words, first: int) -> int:
        """look() where the records count their places from byte `origin` of the buffer."""
        at = first * SIGHT_WORDS
        for position in range(start, end):
            base = position * RECORD_WORDS
            bits = records[base + 3]
            sights[at + FACTS] = 0
            sights[at + TIME] = records[base]
            sights[at + LENGTH] = records[base + 2] & M32
            status = self.header.decode(origin + records[base + 1], records[base + 2] >> 32, bits & 0xFFFF)
            if status == IP and self.header.fragment == 0 and (bits & NO_TIME) == 0:
                facts = self._orient((bits >> 32) & 3)
                if facts != 0:
                    # No array is handed on for this: in compiled code that costs more than all of decoding.
                    sights[at] = self.local_high
                    sights[at + 1] = self.local_low
                    sights[at + 2] = self.remote_high
                    sights[at + 3] = self.remote_low
                    sights[at + 4] = self.key
                    facts |= (
                        self.flows.hash(self.local_high, self.local_low, self.remote_high, self.remote_low, self.key)
                        << 32
                    )
                    if self.header.protocol == 6:
                        facts |= self.header.tcp_flags << 8
                    sights[at + FACTS] = facts
            at += SIGHT_WORDS
        return 0

    def _orient(self, flag: int) -> int:
        """Notes the tuple of the packet in the header as seen from this host; PLAIN and OUT, 0 if it is not plain."""
        version = self.header.version
        source = self.locality(version, self.header.source_high, self.header.source_low)
        destination = self.locality(version, self.header.destination_high, self.header.destination_low)
        tail = (self.header.protocol << 24) | (version << 16) | self.header.icmp_key
        if source == REMOTE:
            # The unspecified address may be a host's own (before DHCP has told it one).
            if destination == REMOTE or (self.header.source_low | self.header.source_high) == 0:
                return 0
            self.local_high, self.local_low = self.header.destination_high, self.header.destination_low
            self.remote_high, self.remote_low = self.header.source_high, self.header.source_low
            self.key = (self.header.destination_port << 48) | (self.header.source_port << 32) | tail
            return PLAIN
        if destination != REMOTE:
            return 0
        if flag == 0:
            flag = self.header.link_direction
        if source >= EXACT and flag == FLAG_IN:
            return 0  # it came in from one of our own addresses
        self.local_high, self.local_low = self.header.source_high, self.header.source_low
        self.remote_high, self.remote_low = self.header.destination_high, self.header.destination_low
        self.key = (self.header.source_port << 48) | (self.header.destination_port << 32) | tail
        return PLAIN | OUT

    def locality(self, version: int, high: int, low: int) -> int:
        """How sure it is that an address is the device's: REMOTE, BY_PREFIX, EXACT or LOOPBACK_ADDRESS."""
        if version == 4:
            if low == self.first_low and self.first_version == 4:
                return EXACT
            if low >> 24 == 127:
                return LOOPBACK_ADDRESS
        elif high == 0 and low == 1:
            return LOOPBACK_ADDRESS
        # By halves: a capture may declare thousands of addresses of its host, and every packet asks twice.
        before = 0
        behind = self.exact_count
        while before < behind:
            number = (before + behind) >> 1
            if self.exact[3 * number + 2] < low:
                before = number + 1
            elif self.exact[3 * number + 2] > low:
                behind = number
            elif self.exact[3 * number + 1] == high and self.exact[3 * number] == version:
                return EXACT
            elif self.exact[3 * number + 1] < high or (
                self.exact[3 * number + 1] == high and self.exact[3 * number] < version
            ):
                before = number + 1
            else:
                behind = number
        for number in range(self.prefix_count):
            if self._within(5 * number, version, high, low):
                return BY_PREFIX
        return REMOTE

    def _within(self, base: int, version: int, high: int, low: int) -> bool:
        if self.prefixes[base] != version:
            return False
        first_high = self.prefixes[base + 1]
        last_high = self.prefixes[base + 3]
        if high < first_high or high > last_high:
            return False
        if high == first_high and low < self.prefixes[base + 2]:
            return False
        return not (high == last_high and low > self.prefixes[base + 4])
