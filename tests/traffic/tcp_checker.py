"""A strict reader of TCP (RFC 9293): says what no real pair of stacks would have sent.

It follows both sides of one connection by sequence numbers. Allowed: the same SYN again, a segment sent again, a
connection whose beginning the capture missed. Everything else out of turn is a problem in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.traffic.parsing import ACK, FIN, RST, SYN, TCP, Segment, text

MODULUS = 1 << 32


@dataclass
class Side:
    """What one side has sent: the next sequence number, and whether it closed."""

    next: int | None = None
    acknowledged: int | None = None
    """The highest number it has acknowledged of the other side."""
    closed: bool = False


@dataclass
class Connection:
    """One connection being read."""

    client: tuple[object, int]
    sides: dict[tuple[object, int], Side] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    """Of every packet, in order."""
    bytes: int = 0
    reset: bool = False
    whole: bool = False
    """Its handshake is in the capture."""

    @property
    def end(self) -> str:
        """How it stands: `closed`, `half closed`, `reset` or `open`."""
        if self.reset:
            return "reset"
        closed = sum(side.closed for side in self.sides.values())
        return ("open", "half closed", "closed")[closed]


def connections(packets: Iterable[Segment]) -> list[Connection]:
    """Every TCP connection, read to its end, in order of its first packet."""
    found: dict[frozenset[object], Connection] = {}
    for packet in packets:
        if packet.protocol == TCP:
            ends = ((packet.source, packet.source_port), (packet.destination, packet.destination_port))
            connection = found.get(frozenset(ends))
            if connection is None:
                connection = found[frozenset(ends)] = Connection(client=ends[0], sides={end: Side() for end in ends})
            _read(connection, packet, connection.sides[ends[0]], connection.sides[ends[1]])
    return list(found.values())


def _read(connection: Connection, packet: Segment, sender: Side, receiver: Side) -> None:
    def problem(words: str) -> None:
        connection.problems.append(f"{text(packet.local)} - {text(packet.remote)} at {packet.time_ns}: {words}")

    flags = packet.flags
    repeated_syn = flags == SYN and connection.flags.count(SYN) == len(connection.flags) - _resets(connection)
    if connection.reset and not repeated_syn:
        problem("a packet after the RST")
    elif connection.end == "closed" and flags & ~ACK:
        problem("more than an acknowledgement after both FINs")
    connection.reset = bool(flags & RST)
    connection.flags.append(flags)
    _read_sequence(packet, sender, problem)
    if flags & ACK:
        _read_acknowledgement(packet, sender, receiver, problem)
    elif not flags & (SYN | RST):
        problem("neither SYN nor ACK nor RST")
    if connection.flags[:3] == [SYN, SYN | ACK, ACK]:
        connection.whole = True
    sender.closed |= bool(flags & FIN)
    connection.bytes += len(packet.payload)


def _read_sequence(packet: Segment, sender: Side, problem: Callable[[str], None]) -> None:
    length = len(packet.payload) + bool(packet.flags & SYN) + bool(packet.flags & FIN)
    if packet.flags & RST and packet.sequence == 0:
        return  # the answer to a SYN that nobody awaits
    if sender.next is None or packet.flags & SYN:
        sender.next = (packet.sequence + length) % MODULUS
        return
    if packet.sequence != sender.next:
        again = (packet.sequence + length) % MODULUS == sender.next and len(packet.payload) > 0
        if not again:
            problem(f"sequence {packet.sequence}, expected {sender.next}")
        return
    if sender.closed and len(packet.payload) > 0:
        problem("data after its FIN")
    sender.next = (sender.next + length) % MODULUS


def _read_acknowledgement(packet: Segment, sender: Side, receiver: Side, problem: Callable[[str], None]) -> None:
    if receiver.next is None:
        receiver.next = packet.acknowledgement  # the capture begins inside the connection
    ahead = (receiver.next - packet.acknowledgement) % MODULUS
    if ahead > MODULUS // 2:
        problem(f"acknowledges {packet.acknowledgement}, but only {receiver.next} was sent")
    if sender.acknowledged is not None and (packet.acknowledgement - sender.acknowledged) % MODULUS > MODULUS // 2:
        problem("acknowledges less than before")
    sender.acknowledged = packet.acknowledgement


def _resets(connection: Connection) -> int:
    return sum(bool(flags & RST) for flags in connection.flags)
