"""Which addresses are the device's, and who its resolvers are, when nobody says: contract.md, "Local addresses".

Knows the order of evidence. Never: guesses beyond it; without evidence the run stops and lists the candidates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.attribution.recorded import Opening
from agent.capture.batch import NO_TIME, Batch
from agent.datapath.headers import Header
from agent.engine.names import Answer, Question, parse_dns
from agent.model.address import Address, is_unicast
from agent.model.errors import UsageError
from agent.model.moment import SECOND

LOOK_AHEAD = 10_000
SHARE = 0.9
"""The part of the IP packets that one address must be in to be taken for the device's."""
RECORD_WORDS = 5
TCP, UDP = 6, 17
SYN, RST, ACK = 2, 4, 16
SYN_RETRIES = 130 * SECOND
"""In which a SYN of the same tuple is a repetition: what hosts wait at most for an answer."""
IP, CUT = 0, 3  # what Header.decode says of a frame whose addresses are known
_CANDIDATES = 5


@dataclass(slots=True)
class Sightings:
    """What the first packets show of addresses."""

    packets: int = 0
    loopback: int = 0
    """Packets from a loopback address to another."""
    present: Counter[Address] = field(default_factory=Counter)
    """Packets that an address is an end of."""
    outbound: dict[Address, None] = field(default_factory=dict)
    """Sources of frames that the capture flags as outbound, in order."""
    macs: dict[int, dict[Address, None]] = field(default_factory=dict)
    """Sources by their MAC."""
    talked: set[tuple[Address, Address]] = field(default_factory=set)
    """(source, destination) of the packets."""
    questions: set[tuple[Address, Address, int, str]] = field(default_factory=set)
    resolvers: dict[tuple[Address, Address], None] = field(default_factory=dict)
    """(client, server) pairs in which a DNS question was answered, in order."""
    began: dict[tuple[int, Address, int, Address, int], int | None] = field(default_factory=dict)
    """When each flow began whose beginning is there, by protocol and ends, its opener first; None: more than once."""

    @property
    def openings(self) -> list[Opening]:
        """The flows that began once."""
        return [Opening(*key, time) for key, time in self.began.items() if time is not None]


def survey(batches: Iterable[tuple[int, Batch]]) -> Sightings:
    """Look at up to LOOK_AHEAD packets."""
    seen = Sightings()
    header = Header()
    for _, batch in batches:
        header.attach(batch.data)
        for number in range(batch.count):
            if seen.packets >= LOOK_AHEAD:
                return seen
            base = number * RECORD_WORDS
            lengths, bits = batch.records[base + 2], batch.records[base + 3]
            status = header.decode(batch.records[base + 1], lengths >> 32, bits & 0xFFFF)
            if status in (IP, CUT):
                _note(seen, header, (bits >> 32) & 3 or header.link_direction, status == IP)
                if status == IP and not bits & NO_TIME:
                    _note_opening(seen, header, batch.records[base])
    return seen


def _note_opening(seen: Sightings, header: Header, time: int) -> None:
    """The first packet of a flow; of TCP only a SYN is sure to be one. A repeated SYN opens nothing new."""
    protocol = header.protocol
    if protocol != UDP and (protocol != TCP or header.tcp_flags & (SYN | ACK | RST) != SYN):
        return
    version = header.version
    source = Address(version, (header.source_high << 64) | header.source_low)
    destination = Address(version, (header.destination_high << 64) | header.destination_low)
    key = (protocol, source, header.source_port, destination, header.destination_port)
    back = (protocol, destination, header.destination_port, source, header.source_port)
    if back in seen.began:
        return
    first = seen.began.setdefault(key, time)
    if first is not None and protocol == TCP and not 0 <= time - first <= SYN_RETRIES:
        seen.began[key] = None


def _note(seen: Sightings, header: Header, flag: int, whole: bool) -> None:
    """`whole`: ports and message are this packet's; of a cut one only the addresses are."""
    version = header.version
    source = Address(version, (header.source_high << 64) | header.source_low)
    destination = Address(version, (header.destination_high << 64) | header.destination_low)
    seen.packets += 1
    seen.talked.add((source, destination))
    seen.loopback += _loopback(source) and _loopback(destination)
    for address in dict.fromkeys((source, destination)):  # a set's order would be another in each process
        if is_unicast(address):
            seen.present[address] += 1
    if is_unicast(source):
        seen.macs.setdefault(header.source_mac(), {})[source] = None
        if flag == 2:
            seen.outbound[source] = None
    if whole and header.protocol == 17 and 53 in (header.source_port, header.destination_port):
        _note_dns(seen, header, source, destination)


def _note_dns(seen: Sightings, header: Header, source: Address, destination: Address) -> None:
    message = parse_dns(header.message())
    if isinstance(message, Question) and header.destination_port == 53:
        seen.questions.add((source, destination, message.identifier, message.name))
    elif isinstance(message, Answer) and header.source_port == 53:
        asked = (destination, source, message.question.identifier, message.question.name)
        if asked in seen.questions:
            seen.resolvers[destination, source] = None


def _loopback(address: Address) -> bool:
    return address.value >> 24 == 127 if address.version == 4 else address.value == 1


def infer(seen: Sightings) -> tuple[Address, ...]:
    """The one address in SHARE of the packets and those that share its MAC. Raises UsageError listing candidates.

    Whoever it talks to over the wire is another host, whatever MAC a tap or tunnel wrote: two ends taken for ours would
    make their traffic loopback, which passes.
    """
    if seen.loopback == seen.packets:
        return ()  # whose they are can be told without addresses
    busiest = seen.present.most_common(2)
    enough = [address for address, count in busiest if count >= SHARE * seen.packets]
    tied = len(busiest) == 2 and busiest[0][1] == busiest[1][1]
    if not enough or tied:
        shown = ", ".join(
            f"{address} ({100 * count // max(seen.packets, 1)} %)"
            for address, count in sorted(seen.present.items(), key=lambda item: (-item[1], item[0]))[:_CANDIDATES]
        )
        raise UsageError(
            "cannot tell which host was isolated: give --local ADDRESS or --device FILE; "
            f"candidates by share of the packets: {shown or 'none'}"
        )
    first = enough[0]
    found = {first: None}
    for mac, sources in seen.macs.items():
        if mac and first in sources:
            found |= {one: None for one in sources if not {(one, first), (first, one)} & seen.talked}
    return tuple(found)
