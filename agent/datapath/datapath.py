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

from agent.capture.batch import Words
from agent.datapath.flows import FlowTable
from agent.datapath.fragments import Datagram, FragmentTable, Key
from agent.datapath.headers import Header
from agent.datapath.layout import (
    END_OF_RUN,
    FACTS,
    FLOW_ID,
    FLOW_TABLE_FULL,
    FOREIGN,
    FRAGMENT,
    ICMP_FLOW,
    ICMPV6_FLOW,
    INSPECT,
    LENGTH,
    LINK,
    LOCAL_HIGH,
    LOCAL_LOW,
    LOOPBACK,
    M32,
    MARTIAN,
    NOT_ISOLATED,
    OTHER_FLOW,
    OUTBOUND,
    OWN_TRAFFIC,
    OWNER,
    PLAIN,
    POLICY_ERROR,
    RELATED,
    REPLIED,
    SCTP_FLOW,
    SIGHT_WORDS,
    SUPERSEDED,
    TIME,
    TIMEOUT,
    UDP_UNREPLIED,
    UNDECODABLE,
)
from agent.datapath.scout import Scout
from agent.model.errors import AgentError

RECORD_WORDS = 5
NO_TIME = 1 << 34
FOREVER = 0xFFFFFFFFFFFFFFFF
SECOND = 1_000_000_000
MAX_MACS = 16
AHEAD = 32
"""Packets looked at ahead of judging the first of them, where nobody looked before."""
GROUP = 32
"""Packets whose flows are fetched together."""

_KEY = struct.Struct("=B4QIB")
"""Of a fragmented datagram: fragments.Key."""

# Status of a decoded header, as in headers.py.
IP, NOT_IP, UNREADABLE, CUT = 0, 1, 2, 3
FLAG_IN, FLAG_OUT = 1, 2
# Locality of an address.
REMOTE, BY_PREFIX, EXACT = 0, 1, 2


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
        self.scout = Scout(flows)
        self.sights = array("Q", bytes(8 * SIGHT_WORDS * AHEAD))
        self.macs: set[int] = set()
        self.last_mac = 0
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
        self.header.attach(data)
        self.quoted.share(self.header)
        self.scout.attach(data)

    def mark(self, count: int) -> None:
        """Note flow and outcome of each of the next `count` packets in `marks`, two words each."""
        self.marking = True
        if len(self.marks) < 2 * count:
            self.marks = array("Q", bytes(16 * count))

    # Packets ------------------------------------------------------------------------------------------------

    def process(self, records: Words, start: int, count: int) -> int:
        """Judge records `start`..`count`. Returns the first one not judged: the one at or after `stop_at`, or `count`.

        A few packets are looked at ahead of being judged, so that their cache misses overlap instead of queueing.
        """
        position = start
        while position < count:
            end = min(count, position + AHEAD)
            self.scout.look(records, position, end, self.sights, 0)
            done = self.judge(records, position, end, self.sights, 0)
            if done < end:
                return done
            position = end
        return count

    def judge(self, records: Words, start: int, end: int, sights: Words, first: int) -> int:
        """process() for packets already looked at: the sight of record `start` is number `first` of `sights`."""
        flows = self.flows
        seen = first
        last = first + end - start
        group = first  # where the next group begins
        fetched = min(last, first + GROUP)
        sought = min(last, first + 2 * GROUP)
        flows.seek(sights, first, sought)
        flows.fetch(sights, first, fetched)
        for position in range(start, end):
            if seen == group:
                # While one group is judged, the flows of the next and the places of the one after come nearer.
                group += GROUP
                flows.fetch(sights, fetched, min(last, fetched + GROUP))
                flows.seek(sights, sought, min(last, sought + GROUP))
                fetched = min(last, fetched + GROUP)
                sought = min(last, sought + GROUP)
            at = seen * SIGHT_WORDS
            seen += 1
            facts = sights[at + FACTS]
            now = sights[at + TIME]
            length = sights[at + LENGTH]
            bits = records[position * RECORD_WORDS + 3]
            if bits & NO_TIME and now == 0:
                now = self.now  # the last one of the capture before
            if now < self.begin or now > self.until:
                if self.marking:
                    self.marks[2 * position + 1] = FOREVER
                continue
            if not bits & NO_TIME:
                if now >= self.stop_at and self.stop_at != FOREVER:
                    return position
                self.now = now
                if now < self.earliest:
                    self.earliest = now
                if now > self.latest:
                    self.latest = now
            outcome = -1
            if facts & PLAIN:
                outcome = flows.packet(
                    facts, sights[at], sights[at + 1], sights[at + 2], sights[at + 3], sights[at + 4],
                    length, now, self.generation,
                )  # fmt: skip
                if outcome >= 0 and self.marking:
                    self.flow_mark = flows.word(flows.found, FLOW_ID)
                    self.class_mark = flows.word(flows.found, OWNER) & M32
            if outcome < 0:
                outcome = self._packet(records, position, length)
            place = (outcome & 1) * 32 + (outcome >> 2)
            self.packets[place] += 1
            self.octets[place] += length
            if self.marking:
                self.marks[2 * position] = self.flow_mark
                self.marks[2 * position + 1] = outcome | (self.class_mark << 32)
        return end

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

    def _packet(self, records: Words, position: int, length: int) -> int:
        """The outcome of a packet that needs more than counting: verdict | reason << 2."""
        header = self.header
        base = position * RECORD_WORDS
        flag = (records[base + 3] >> 32) & 3
        status = header.decode(records[base + 1], records[base + 2] >> 32, records[base + 3] & 0xFFFF)
        header.status = status
        if status in (IP, CUT):
            header.source_at = self.scout.locality(header.version, header.source_high, header.source_low)
            header.destination_at = self.scout.locality(header.version, header.destination_high, header.destination_low)
            if status == IP:
                self._place(header)
        self.flow_mark = 0
        self.class_mark = 0
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
                if not (
                    header.link_group or self.group(header.version, header.destination_high, header.destination_low)
                ):
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

    def _learn_mac(self) -> int:
        """A flow that one of our addresses began, in a frame that did not come in: its source MAC is one of ours."""
        mac = self.header.source_mac()
        if mac != 0 and mac != self.last_mac and len(self.macs) < MAX_MACS:
            self.last_mac = mac
            self.macs.add(mac)
        return 0

    def group(self, version: int, high: int, low: int) -> bool:
        """True for a multicast or limited broadcast address."""
        if version == 4:
            return low >> 28 == 14 or low == M32
        return high >> 56 == 0xFF

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
        out = flows.word(slot, LOCAL_LOW) == header.source_low and flows.word(slot, LOCAL_HIGH) == header.source_high
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
        return self.flows.steps + self.fragments.steps + self.header.steps + self.quoted.steps + self.scout.header.steps
