"""A little decoder of what the generators make, written apart from them and from scapy: the tests' second opinion."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from agent.model.address import Address, format_address
from agent.traffic.stage import Frame

TCP, UDP = 6, 17
FIN, SYN, RST, ACK = 1, 2, 4, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One unfragmented TCP or UDP packet."""

    time_ns: int
    direction: int
    protocol: int
    source: Address
    source_port: int
    destination: Address
    destination_port: int
    sequence: int
    acknowledgement: int
    flags: int
    payload: bytes

    @property
    def inbound(self) -> bool:
        return self.direction == 1

    @property
    def local(self) -> tuple[Address, int]:
        return (self.destination, self.destination_port) if self.inbound else (self.source, self.source_port)

    @property
    def remote(self) -> tuple[Address, int]:
        return (self.source, self.source_port) if self.inbound else (self.destination, self.destination_port)


def network_layer(frame: bytes) -> tuple[int, bytes] | None:
    """(EtherType, IP packet) behind Ethernet and 802.1Q; None for an IEEE 802.3 length."""
    at = 12
    while frame[at : at + 2] == b"\x81\x00":
        at += 4
    kind = int.from_bytes(frame[at : at + 2], "big")
    return (kind, frame[at + 2 :]) if kind >= 0x600 else None


def ip_parts(frame: bytes) -> tuple[Address, Address, int, bytes] | None:
    """(source, destination, protocol, body); None for what is no IP, and for fragments."""
    layer = network_layer(frame)
    if layer is None:
        return None
    kind, packet = layer
    if kind == 0x0800:
        if int.from_bytes(packet[6:8], "big") & 0x3FFF:
            return None
        length, header = int.from_bytes(packet[2:4], "big"), (packet[0] & 15) * 4
        return _v4(packet[12:16]), _v4(packet[16:20]), packet[9], packet[header:length]
    if kind == 0x86DD:
        body = packet[40 : 40 + int.from_bytes(packet[4:6], "big")]
        return _v6(packet[8:24]), _v6(packet[24:40]), packet[6], body
    return None


def segments(frames: Iterable[Frame]) -> Iterator[Segment]:
    """Every TCP and UDP packet that is whole and directly behind its IP header."""
    for frame in frames:
        parts = ip_parts(frame.data)
        if parts is None or parts[2] not in (TCP, UDP):
            continue
        source, destination, protocol, body = parts
        tcp = protocol == TCP
        header = (body[12] >> 4) * 4 if tcp else 8
        yield Segment(
            time_ns=frame.time_ns,
            direction=frame.direction,
            protocol=protocol,
            source=source,
            source_port=int.from_bytes(body[0:2], "big"),
            destination=destination,
            destination_port=int.from_bytes(body[2:4], "big"),
            sequence=int.from_bytes(body[4:8], "big") if tcp else 0,
            acknowledgement=int.from_bytes(body[8:12], "big") if tcp else 0,
            flags=body[13] if tcp else 0,
            payload=body[header:],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsMessage:
    """A DNS message without compression, which the generators do not use."""

    number: int
    response: bool
    code: int
    questions: list[tuple[str, int]]
    """(name, type)."""
    answers: list[tuple[str, int, int, str]]
    """(name, type, time to live, address or name)."""


def dns_message(data: bytes) -> DnsMessage:
    """The message in a UDP payload on port 53 (RFC 1035 section 4)."""
    counts = [int.from_bytes(data[at : at + 2], "big") for at in (4, 6)]
    at, questions, answers = 12, [], []
    for _ in range(counts[0]):
        name, at = _dns_name(data, at)
        questions.append((name, int.from_bytes(data[at : at + 2], "big")))
        at += 4
    for _ in range(counts[1]):
        name, at = _dns_name(data, at)
        kind, ttl = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 4 : at + 8], "big")
        length = int.from_bytes(data[at + 8 : at + 10], "big")
        content = data[at + 10 : at + 10 + length]
        answers.append((name, kind, ttl, _dns_content(kind, content)))
        at += 10 + length
    assert at == len(data), "bytes after the last record"
    return DnsMessage(
        number=int.from_bytes(data[:2], "big"),
        response=bool(data[2] & 0x80),
        code=data[3] & 15,
        questions=questions,
        answers=answers,
    )


def _dns_content(kind: int, content: bytes) -> str:
    """Text of an A, AAAA or CNAME record's data."""
    if kind == 5:
        return _dns_name(content, 0)[0]
    return str(_v4(content) if kind == 1 else _v6(content))


def _dns_name(data: bytes, at: int) -> tuple[str, int]:
    labels = []
    while data[at]:
        assert data[at] < 64, "a compressed name"
        labels.append(data[at + 1 : at + 1 + data[at]].decode("ascii"))
        at += 1 + data[at]
    return ".".join(labels), at + 1


def text(end: tuple[Address, int]) -> str:
    """`10.0.0.5:443`, for messages."""
    return f"{format_address(*end[0])}:{end[1]}"


def _v4(packed: bytes) -> Address:
    return Address(4, int.from_bytes(packed, "big"))


def _v6(packed: bytes) -> Address:
    return Address(6, int.from_bytes(packed, "big"))
