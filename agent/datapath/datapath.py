"""Judges one frame, or a whole buffer of frames, with the same code: header, whose, flow, cached verdict, count.

Knows the order of semantics.md's packet rules. Never: what a policy means; a flow it does not know, and one whose
generation is old, goes to the engine. There is no second implementation for bulk: a live frame is a buffer of one.

    path.attach(batch.data)
    done = path.process(batch.records, 0, batch.count)      # stops early at `stop_at`

Order: link, whose, undecodable, loopback and martians, fragments, known flow, related, authorise. Mode none is a
policy like any other (its filter allows everything), so nothing here asks for it but the four outcomes that have
no flow: they are denied only while isolated.
"""

from __future__ import annotations

import struct
from array import array
from typing import Protocol

from agent.datapath.flows import FlowTable
from agent.datapath.fragments import Datagram, FragmentTable, Key
from agent.datapath.headers import Header
from agent.datapath.layout import (
    END_OF_RUN,
    FLOW_ID,
    FLOW_TABLE_FULL,
    FOREIGN,
    FRAGMENT,
    ICMP_FLOW,
    ICMPV6_FLOW,
    INSPECT,
    LINK,
    LOOPBACK,
    M32,
    MARTIAN,
    NOT_ISOLATED,
    OTHER_FLOW,
    OUTBOUND,
    OWN_TRAFFIC,
    OWNER,
    POLICY_ERROR,
    RELATED,
    REPLIED,
    SCTP_FLOW,
    SUPERSEDED,
    TIMEOUT,
    UDP_UNREPLIED,
    UNDECODABLE,
)
from agent.model.errors import AgentError

RECORD_WORDS = 5
NO_TIME = 1 << 34
FOREVER = 0xFFFFFFFFFFFFFFFF
SECOND = 1_000_000_000
MAX_MACS = 16
AHEAD = 32
"""Packets decoded and looked for ahead of judging the first of them: their headers fit the fastest cache."""

_KEY = struct.Struct("=B4QIB")
"""Of a fragmented datagram: fragments.Key."""

# Status of a decoded header, as in headers.py.
IP, NOT_IP, UNREADABLE, CUT = 0, 1, 2, 3
FLAG_IN, FLAG_OUT = 1, 2
# Locality of an address.
REMOTE, BY_PREFIX, EXACT, LOOPBACK_ADDRESS = 0, 1, 2, 3


class Authoriser(Protocol):
    """The slow path, beside its consumer: the engine."""

    def authorise(self, slot: int, out: bool, flag: int, loopback: bool) -> None:
        """Give the new flow in `slot` a direction and a verdict. `out`: its first packet leaves the host."""

    def reauthorise(self, slot: int) -> None:
        """Judge a live flow under the new generation."""

    def inspect(self, slot: int, out: bool) -> int:
        """The outcome (verdict | reason << 2 | classification << 8) of this packet alone, -1 for the flow's."""

    def tell(self) -> None:
        """Nothing more ends at this packet: what did so may be told of, in order of the flows' ids."""

    def failed(self, place: str, error: Exception) -> None:
        """A bug was caught by the last guard."""

    def fault(self, name: str, text: str) -> None:
        """A named exception policy acted."""


class Datapath:
    """One flow table and everything that decides its packets."""

    def __init__(self, flows: FlowTable, fragments: FragmentTable, engine: Authoriser) -> None:
        self.flows = flows
        self.fragments = fragments
        self.engine = engine
        self.header = Header()  # the frame being judged
        self.quoted = Header()
        self.packets = array("Q", bytes(8 * 64))
        self.octets = array("Q", bytes(8 * 64))
        self.ether_types: dict[int, int] = {}
        self.exact = array("Q")
        self.prefixes = array("Q")
        self.exact_count = 0
        self.prefix_count = 0
        self.first_version = 0
        self.first_low = 0
        self.ahead = [Header() for _ in range(AHEAD)]
        self.tags = array("Q", bytes(8 * AHEAD))
        self.macs: set[int] = set()
        self.now = 0
        self.stop_at = FOREVER
        self.begin = 0
        self.until = FOREVER
        self.earliest = FOREVER
        self.latest = 0
        self.generation = 0
        self.isolated = False
        self.deny_link = False
        self.own_traffic = True  # the setting loopback
        self.related_rate = 0
        self.related_tokens = 0
        self.related_at = 0
        self.fail_flows = FOREVER
        self.marking = False
        self.marks = array("Q")
        self.flow_mark = 0
        self.class_mark = 0
        self.previous_flow = 0
        self.previous_meta = 0
        self.told = 0  # of the flows that ended
        self.untold = False

    # Set-up -------------------------------------------------------------------------------------------------

    def set_local(self, exact: list[tuple[int, int]], prefixes: list[tuple[int, int, int]]) -> None:
        """The device's addresses: exact (version, value), prefixes (version, first, last)."""
        m64 = FOREVER
        ordered = sorted(exact, key=lambda one: (one[1] & m64, one[1] >> 64, one[0]))
        self.exact = array("Q", [w for v, a in ordered for w in (v, a >> 64, a & m64)])
        self.prefixes = array("Q", [w for v, a, b in prefixes for w in (v, a >> 64, a & m64, b >> 64, b & m64)])
        self.exact_count = len(exact)
        self.prefix_count = len(prefixes)
        self.first_version = exact[0][0] if exact else 0
        self.first_low = exact[0][1] & m64 if exact and exact[0][0] == 4 else 0
        if self.first_version != 4:
            self.first_version = 0

    def install(self, generation: int, isolated: bool, deny_link: bool) -> None:
        """A new policy is in force from the next packet on: flows of another generation are judged anew."""
        self.generation = generation & 0xFFFFFF
        self.isolated = isolated
        self.deny_link = deny_link and isolated

    def set_related_rate(self, rate: int) -> None:
        """ICMP errors per second that may pass as related."""
        self.related_rate = rate
        self.related_tokens = rate * SECOND

    def attach(self, data: memoryview | bytes | bytearray) -> None:
        """The buffer the next records point into."""
        self.quoted.attach(data)
        for header in self.ahead:
            header.share(self.quoted)

    def mark(self, count: int) -> None:
        """Note flow and outcome of each of the next `count` packets in `marks`, two words each."""
        self.marking = True
        if len(self.marks) < 2 * count:
            self.marks = array("Q", bytes(16 * count))

    # Packets ------------------------------------------------------------------------------------------------

    def process(self, records: array[int], start: int, count: int) -> int:
        """Judge records `start`..`count`. Returns the first one not judged: the one at or after `stop_at`, or `count`.

        A few packets are decoded and looked for in the flow table ahead of being judged: none of that changes
        anything, and their cache misses overlap instead of queueing.
        """
        position = start
        first = start
        ahead = start
        while position < count:
            if position == ahead:
                first = position
                ahead = min(count, position + AHEAD)
                self._look_ahead(records, first, ahead)
            base = position * RECORD_WORDS
            bits = records[base + 3]
            now = records[base]
            if bits & NO_TIME and now == 0:
                now = self.now  # the last one of the capture before
            if now < self.begin or now > self.until:
                if self.marking:
                    self.marks[2 * position + 1] = FOREVER
                position += 1
                continue
            if not bits & NO_TIME:
                if now >= self.stop_at and self.stop_at != FOREVER:
                    return position
                self.now = now
                if now < self.earliest:
                    self.earliest = now
                if now > self.latest:
                    self.latest = now
            length = records[base + 2] & M32
            self.header = self.ahead[position - first]
            outcome = self._packet((bits >> 32) & 3, length)
            place = (outcome & 1) * 32 + (outcome >> 2)
            self.packets[place] += 1
            self.octets[place] += length
            if self.marking:
                self.marks[2 * position] = self.flow_mark
                self.marks[2 * position + 1] = outcome | (self.class_mark << 32)
            position += 1
        return count

    def _look_ahead(self, records: array[int], start: int, end: int) -> int:
        """Decode records `start`..`end`, note whose they are and where their flows lie. Nothing else changes."""
        found = 0
        for position in range(start, end):
            base = position * RECORD_WORDS
            header = self.ahead[position - start]
            header.status = header.decode(records[base + 1], records[base + 2] >> 32, records[base + 3] & 0xFFFF)
            if header.status == IP or header.status == CUT:
                header.source_at = self._locality(header.version, header.source_high, header.source_low)
                header.destination_at = self._locality(header.version, header.destination_high, header.destination_low)
                if header.status == IP:
                    self._place(header)
                    self.flows.fetch(header.tag)
                    self.tags[found] = header.tag
                    found += 1
        return self.flows.touch(self.tags, found)

    def _place(self, header: Header) -> int:
        """Hash of the header's flow, as seen from the source if that is local, else from the destination."""
        header.tail = (header.protocol << 24) | (header.version << 16) | header.icmp_key
        if header.source_at != REMOTE:
            key = (header.source_port << 48) | (header.destination_port << 32) | header.tail
            header.tag = self.flows.hash(
                header.source_high, header.source_low, header.destination_high, header.destination_low, key
            )
        else:
            key = (header.destination_port << 48) | (header.source_port << 32) | header.tail
            header.tag = self.flows.hash(
                header.destination_high, header.destination_low, header.source_high, header.source_low, key
            )
        return 0

    def _packet(self, flag: int, length: int) -> int:
        """The outcome of the frame in `header`: verdict | reason << 2."""
        header = self.header
        self.flow_mark = 0
        self.class_mark = 0
        status = header.status
        if status == NOT_IP:
            self.ether_types[header.ether_type] = self.ether_types.get(header.ether_type, 0) + 1
            return (LINK << 2) | (0 if self.deny_link else 1)
        if status == UNREADABLE:
            return self._without_flow(UNDECODABLE)
        if flag == 0:
            flag = header.link_direction
        source = header.source_at
        destination = header.destination_at
        if source == REMOTE or destination == REMOTE:
            if source == REMOTE and header.source_low == 0 and header.source_high == 0:
                source = self._unspecified(flag)
                if source != REMOTE and status == IP:
                    header.source_at = source
                    self._place(header)
            if source == REMOTE and destination == REMOTE:
                if not (header.link_group or self._group()):
                    return (FOREIGN << 2) | 1
                destination = BY_PREFIX
        if status == CUT:
            return self._without_flow(UNDECODABLE)
        loopback = False
        if source >= EXACT:
            if flag == FLAG_IN and not header.on_loopback():
                if self.isolated:
                    return MARTIAN << 2
            else:
                loopback = source == destination
        if header.fragment == 2:
            return self._later_fragment(length, loopback and self.own_traffic)
        out = source != REMOTE
        return self._flow_packet(out, out and destination != REMOTE, loopback, flag, length)

    def _flow_packet(self, out: bool, both: bool, loopback: bool, flag: int, length: int) -> int:
        header = self.header
        flows = self.flows
        tail = header.tail
        slot = self._find(out, tail)
        if slot >= 0 and not both and header.fragment == 0:
            outcome = flows.packet(slot, out, length, self.now, self.generation, header.tcp_flags)
            if outcome >= 0:
                if self.marking:
                    self.flow_mark = flows.word(slot, FLOW_ID)
                    self.class_mark = flows.word(slot, OWNER) & M32
                return outcome
        if both and slot < 0:
            # Either end may be the local one: it is the initiator's, and a flow already there knows.
            slot = self._find_turned(tail)
            if slot >= 0 or (header.tcp_flags & 0x12) == 0x12:
                out = False
        self.previous_flow = 0
        if slot >= 0 and flows.expired(slot, self.now):
            self.previous_flow = flows.word(slot, FLOW_ID)  # an answer may have come too late
            self.previous_meta = flows.meta(slot)
            flows.end(slot, flows.ending(slot))
            slot = -1
        if header.protocol == 6 and slot >= 0 and (header.tcp_flags & 0x16) == 2:
            reply = out != ((flows.meta(slot) & OUTBOUND) != 0)
            if reply or not flows.same_opening(slot, header.tcp_sequence):
                ending = flows.ending(slot)
                flows.end(slot, SUPERSEDED if ending == TIMEOUT else ending)
                slot = -1
                if both:
                    out = True
        if slot < 0 or (flows.meta(slot) >> 40) != self.generation:
            if self.isolated and not out and self._related():
                self._tell()
                return (RELATED << 2) | 1
            if slot < 0:
                # Between two ends of ours the initiator is the local one, whichever way the capture saw the packet go.
                slot = self._new_flow(out, tail, loopback, 0 if both else flag)
                if slot == -1:
                    self.engine.fault("flow_table_full", "no flow could make room for another")
                    return self._without_flow(FLOW_TABLE_FULL)
                if slot < 0:
                    return self._without_flow(POLICY_ERROR)
            else:
                judged_anew = self._judge_anew(slot)
                self._tell()
                if not judged_anew:
                    return self._without_flow(POLICY_ERROR)
        meta = flows.meta(slot)
        reply = out != ((meta & OUTBOUND) != 0)
        datagram = None
        if header.fragment == 1:
            datagram = self._datagram(slot)
            if not self._first_fragment(datagram) and self.isolated and not (loopback and self.own_traffic):
                return FRAGMENT << 2
        flows.count(slot, reply, length, self.now)
        if header.protocol == 6:
            flows.tcp_packet(slot, reply, header.tcp_flags)
        outcome = meta & 0x7F
        self.flow_mark = flows.word(slot, FLOW_ID)
        self.class_mark = flows.word(slot, OWNER) & M32
        if meta & INSPECT:
            judged = self._inspected(slot, out)
            if judged >= 0:
                self.class_mark = judged >> 8
                if (judged & 0x7F) != outcome:
                    flows.apart(slot, length)
                    outcome = judged & 0x7F
            if datagram is not None:
                datagram.outcome = outcome
        return outcome

    def _find(self, out: bool, tail: int) -> int:
        """The slot of the header's flow, from its source's side if `out`: the side that _place() hashed."""
        header = self.header
        if out:
            key = (header.source_port << 48) | (header.destination_port << 32) | tail
            return self.flows.find_at(
                header.tag, header.source_high, header.source_low, header.destination_high, header.destination_low, key
            )
        key = (header.destination_port << 48) | (header.source_port << 32) | tail
        return self.flows.find_at(
            header.tag, header.destination_high, header.destination_low, header.source_high, header.source_low, key
        )

    def _find_turned(self, tail: int) -> int:
        """The slot of a flow of which the header's destination is the local end although its source is local too."""
        header = self.header
        key = (header.destination_port << 48) | (header.source_port << 32) | tail
        return self.flows.find(
            header.destination_high, header.destination_low, header.source_high, header.source_low, key
        )

    def _new_flow(self, out: bool, tail: int, loopback: bool, flag: int) -> int:
        """The slot of a flow just authorised; -1 when the table is full, -2 when the engine failed."""
        header = self.header
        flows = self.flows
        if flows.live >= self.fail_flows:
            return -1
        if out:
            key = (header.source_port << 48) | (header.destination_port << 32) | tail
            slot = flows.insert(
                header.source_high, header.source_low, header.destination_high, header.destination_low, key, self.now
            )
        else:
            key = (header.destination_port << 48) | (header.source_port << 32) | tail
            slot = flows.insert(
                header.destination_high, header.destination_low, header.source_high, header.source_low, key, self.now
            )
        self._tell()
        if slot < 0:
            return -1
        if header.protocol == 6:
            if (header.tcp_flags & 0x16) == 2:
                flows.opened_with(slot, header.tcp_sequence)
        elif header.protocol == 17:
            flows.set_state(slot, UDP_UNREPLIED)
        elif header.icmp_key:
            flows.set_state(slot, ICMP_FLOW if header.protocol == 1 else ICMPV6_FLOW)
            flows.set_icmp(slot, header.icmp_type, header.icmp_code)
        else:
            flows.set_state(slot, SCTP_FLOW if header.protocol == 132 else OTHER_FLOW)
        if out and flag != FLAG_IN and header.source_at == EXACT:
            self._learn_mac()
        if loopback:
            flows.set_flag(slot, LOOPBACK)
        try:
            self.engine.authorise(slot, out, flag, loopback)
        except AgentError:
            raise  # an output that cannot be written, not a bug
        except Exception as error:  # noqa: BLE001 - the last guard: a bug must not open or stop the path
            self.engine.failed("authorise", error)
            flows.remove(slot)
            return -2
        return slot

    def _tell(self) -> int:
        if self.untold or self.flows.ended != self.told:
            self.untold = False
            self.told = self.flows.ended
            self.engine.tell()
        return 0

    def _judge_anew(self, slot: int) -> bool:
        self.untold = True
        try:
            self.engine.reauthorise(slot)
        except AgentError:
            raise
        except Exception as error:  # noqa: BLE001 - the last guard, as above
            self.engine.failed("reauthorise", error)
            return False
        return True

    def _inspected(self, slot: int, out: bool) -> int:
        try:
            return self.engine.inspect(slot, out)
        except Exception as error:  # noqa: BLE001 - the last guard, as above: the flow's own verdict stands
            self.engine.failed("inspect", error)
            return -1

    def _without_flow(self, reason: int) -> int:
        """Denied while isolated, else allowed."""
        return (reason << 2) | (0 if self.isolated else 1)

    # Whose --------------------------------------------------------------------------------------------------

    def _locality(self, version: int, high: int, low: int) -> int:
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

    def _learn_mac(self) -> int:
        """A flow that one of our addresses began, in a frame that did not come in: its source MAC is one of ours."""
        mac = self.header.source_mac()
        if mac and len(self.macs) < MAX_MACS:
            self.macs.add(mac)
        return 0

    def _group(self) -> bool:
        """True for a multicast or limited broadcast destination."""
        if self.header.version == 4:
            first = self.header.destination_low >> 28
            return first == 14 or self.header.destination_low == M32
        return self.header.destination_high >> 56 == 0xFF

    def _unspecified(self, flag: int) -> int:
        """A host without an address yet: ours if the capture says it left here or its MAC is ours."""
        if flag == FLAG_OUT or (flag == 0 and self.header.source_mac() in self.macs):
            return BY_PREFIX
        return REMOTE

    # Fragments and related errors ---------------------------------------------------------------------------

    def _fragment_key(self) -> Key:
        header = self.header
        protocol = header.protocol if header.version == 4 else 0
        return _KEY.pack(
            header.version,
            header.source_high,
            header.source_low,
            header.destination_high,
            header.destination_low,
            header.fragment_id,
            protocol,
        )

    def _first_fragment(self, datagram: Datagram) -> bool:
        overflows = self.fragments.overflows
        admitted = self.fragments.first(self._fragment_key(), datagram, self.header.fragment_end)
        if self.fragments.overflows != overflows:
            self.engine.fault("fragment_table_full", "the oldest fragmented datagram was forgotten for another")
        return admitted

    def _datagram(self, slot: int) -> Datagram:
        header = self.header
        headers = header.payload - header.fragment_start
        return Datagram(slot, self.flows.word(slot, FLOW_ID), -1, self.now, headers, header.version == 6)

    def _later_fragment(self, length: int, exempt: bool) -> int:
        """`exempt`: the host's own traffic, which is allowed before fragments are asked about."""
        header = self.header
        flows = self.flows
        datagram = self.fragments.later(self._fragment_key(), self.now)
        if datagram is not None and flows.flow_in(datagram.slot) != datagram.flow_id:
            datagram = None  # its flow has ended
        admitted = datagram is not None and datagram.admit(header.fragment_offset, header.fragment_end)
        if not admitted and self.isolated and not exempt:
            return FRAGMENT << 2
        if datagram is None:
            return ((OWN_TRAFFIC if exempt else NOT_ISOLATED) << 2) | 1
        slot = datagram.slot
        if (flows.meta(slot) >> 40) != self.generation:
            datagram.outcome = -1
            judged_anew = self._judge_anew(slot)
            self._tell()
            if not judged_anew:
                return self._without_flow(POLICY_ERROR)
        meta = flows.meta(slot)
        outcome = meta & 0x7F
        out = flows.word(slot, 1) == header.source_low and flows.word(slot, 0) == header.source_high
        flows.count(slot, out != ((meta & OUTBOUND) != 0), length, self.now)
        if datagram.outcome >= 0 and datagram.outcome != outcome:
            flows.apart(slot, length)
            outcome = datagram.outcome
        self.flow_mark = datagram.flow_id
        self.class_mark = flows.word(slot, OWNER) & M32
        return outcome

    def _related(self) -> bool:
        """An ICMP error that quotes a packet this host sent in an allowed flow, within the rate."""
        header = self.header
        if header.protocol == 1:
            if header.icmp_type != 3 and header.icmp_type != 11 and header.icmp_type != 12:
                return False
        elif header.protocol == 58:
            if header.icmp_type < 1 or header.icmp_type > 4:
                return False
        else:
            return False
        if header.fragment:
            return False
        quoted = self.quoted
        status = quoted.network(header.transport + 8, header.end, 1)
        if status != IP or quoted.version != header.version:
            return False
        # The packet must have left the address that the error came back to.
        if quoted.source_low != header.destination_low or quoted.source_high != header.destination_high:
            return False
        key = (quoted.source_port << 48) | (quoted.destination_port << 32)
        key |= (quoted.protocol << 24) | (quoted.version << 16) | quoted.icmp_key
        slot = self.flows.find(
            quoted.source_high, quoted.source_low, quoted.destination_high, quoted.destination_low, key
        )
        if slot < 0 or self.flows.expired(slot, self.now):
            return False
        if (self.flows.meta(slot) >> 40) != self.generation and not self._judge_anew(slot):
            return False
        meta = self.flows.meta(slot)
        # Of an inbound flow without an answer this host sent nothing that an error could be about.
        return (meta & 1) == 1 and (meta & (OUTBOUND | REPLIED)) != 0 and self._within_rate()

    def _within_rate(self) -> bool:
        """A token bucket of one second's worth, on the packets' clock."""
        full = self.related_rate * SECOND
        if self.now > self.related_at:
            elapsed = min(self.now - self.related_at, SECOND)
            self.related_tokens = min(full, self.related_tokens + elapsed * self.related_rate)
            self.related_at = self.now
        if self.related_tokens < SECOND:
            return False
        self.related_tokens -= SECOND
        return True

    # The end ------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """The run is over: every live flow gets its record, in order of its id."""
        for slot in self.flows.in_use():
            end = self.flows.ending(slot)
            if end == TIMEOUT and not self.flows.expired(slot, self.now):
                end = END_OF_RUN
            self.flows.close(slot, end)

    def steps(self) -> int:
        """Work beyond the constant part of each packet, in turns of loops: fuzzing asserts that it is linear."""
        total = self.flows.steps + self.quoted.steps + self.fragments.steps
        for header in self.ahead:
            total += header.steps
        return total
