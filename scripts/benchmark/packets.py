"""The packets of planned flows: their order in time and their frames, written as a pcap file.

Knows Ethernet, IP, TCP and UDP headers. Never: how flows are drawn. Memory: eight bytes a packet for the order, and
the headers of the flows that are under way.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from struct import pack, pack_into
from typing import BinaryIO

from benchmark.plan import TCP, Plan

EPOCH = 1_767_603_600  # 2026-01-05T09:00:00Z
LOCAL = {4: "10.0.0.5", 6: "2001:db8::5"}
LOCAL_BYTES = {4: bytes([10, 0, 0, 5]), 6: bytes.fromhex("20010db8000000000000000000000005")}
LOCAL_MAC, GATEWAY_MAC = bytes.fromhex("020000000005"), bytes.fromhex("020000000001")
SYN, SYN_ACK, ACK, PUSH, FIN = 0x02, 0x12, 0x10, 0x18, 0x11

TCP_DATA = ((0, 180), (1, 0), (1, 500), (0, 0), (0, 40), (1, 0), (1, 220), (0, 0)) * 2 + (
    (1, 1448),
    (0, 0),
    (0, 0),
    (1, 0),
)
UDP_DATA = ((0, 90), (1, 160), (1, 240), (0, 60))
"""Way (0 = the initiator sends) and payload bytes of the packets between opening and close, over and over."""

FLOW_BITS = 24
"""The order is sorted as one integer a packet: microseconds above, flow number in the low bits."""
WRITE = 1 << 22
"""Bytes gathered before a write."""


@dataclass(slots=True, kw_only=True)
class Flow:
    """One flow while its packets are written."""

    tcp: bool
    version: int
    dns: bool
    size: int
    """Packets."""
    headers: tuple[bytearray, bytearray]
    """Of the initiator's and the responder's frames; lengths, checksum and sequence numbers are written per packet."""
    sums: tuple[int, int]
    """The IPv4 header's checksum sum without its length."""
    next_sequence: list[int]
    sent: int = 0


def flow_of(plan: Plan, number: int) -> Flow:
    """A planned flow, ready to be written."""
    version, protocol = plan.versions[number], plan.protocols[number]
    local_port, remote_port = plan.local_ports[number], plan.remote_ports[number]
    ends = [
        (LOCAL_MAC, LOCAL_BYTES[version], local_port),
        (GATEWAY_MAC, plan.remote(number), remote_port),
    ]
    if plan.inbound[number]:
        ends.reverse()
    headers = header(version, protocol, ends[0], ends[1]), header(version, protocol, ends[1], ends[0])
    return Flow(
        tcp=protocol == TCP,
        version=version,
        dns=53 in (local_port, remote_port),
        size=plan.sizes[number],
        headers=headers,
        sums=(checksum_base(headers[0]), checksum_base(headers[1])) if version == 4 else (0, 0),
        next_sequence=list(plan.sequences[2 * number : 2 * number + 2]),
    )


def header(
    version: int, protocol: int, source: tuple[bytes, bytes, int], destination: tuple[bytes, bytes, int]
) -> bytearray:
    """One way's headers; transport checksums are 0, as offloading cards leave them."""
    frame = bytearray(destination[0] + source[0])
    if version == 4:
        frame += b"\x08\x00" + pack("!BBHHHBBH", 0x45, 0, 0, 0, 0x4000, 64, protocol, 0)
    else:
        frame += b"\x86\xdd" + pack("!IHBB", 0x60000000, 0, protocol, 64)
    frame += source[1] + destination[1] + pack("!HH", source[2], destination[2])
    frame += pack("!IIBBHHH", 0, 0, 0x50, 0, 0xFFFF, 0, 0) if protocol == TCP else pack("!HH", 0, 0)
    return frame


def checksum_base(frame: bytearray) -> int:
    """The sum of an IPv4 header's 16-bit words, its length being 0."""
    return sum(int.from_bytes(frame[offset : offset + 2], "big") for offset in range(14, 34, 2))


def dns_payload(*, answer: bool) -> bytes:
    """A question for www.example.test, or its answer."""
    name = b"\x03www\x07example\x04test\x00"
    question = name + pack("!HH", 1, 1)
    if not answer:
        return pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + question
    return (
        pack("!HHHHHH", 7, 0x8180, 1, 1, 0, 0)
        + question
        + b"\xc0\x0c"
        + pack("!HHIH", 1, 1, 300, 4)
        + bytes([203, 0, 113, 80])
    )


def tcp_packet(flow: Flow, number: int) -> tuple[int, int, int]:
    """(way, flags, payload bytes) of a TCP flow's packet: handshake, data, close by both ends."""
    left = flow.size - number
    if number < 3:
        return ((0, SYN, 0), (1, SYN_ACK, 0), (0, ACK, 0))[number]
    if left <= 3:
        return ((0, ACK, 0), (1, FIN, 0), (0, FIN, 0))[left - 1]
    way, payload = TCP_DATA[(number - 3) % len(TCP_DATA)]
    return way, PUSH if payload else ACK, payload


def write_capture(plan: Plan, dice: Random, file: BinaryIO) -> None:
    """The whole file."""
    file.write(pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
    noise = dice.randbytes(1 << 13)
    write_packets(plan, packet_order(plan, dice), file, noise)


def packet_order(plan: Plan, dice: Random) -> Iterator[int]:
    """Every packet as time and flow number, by time. Sorted second by second: tens of millions fit in memory."""
    if len(plan) > 1 << FLOW_BITS:
        raise ValueError(f"{len(plan):,} flows are too many: give {1 << FLOW_BITS:,} at most")
    last = max(start + lasts for start, lasts in zip(plan.starts, plan.lasts, strict=True))
    seconds = [array("Q") for _ in range(last // 1_000_000 + 1)]
    random = dice.random
    for number, (size, start, lasts) in enumerate(zip(plan.sizes, plan.starts, plan.lasts, strict=True)):
        for _ in range(size):
            moment = start + int(random() * lasts)
            seconds[moment // 1_000_000].append(moment << FLOW_BITS | number)
    seconds.reverse()
    while seconds:
        yield from sorted(seconds.pop())


def write_packets(plan: Plan, order: Iterator[int], file: BinaryIO, noise: bytes) -> None:
    """Writes the records of `order`; the only code here that runs once per packet."""
    mask = (1 << FLOW_BITS) - 1
    dns = dns_payload(answer=False), dns_payload(answer=True)
    under_way: dict[int, Flow] = {}
    out = bytearray()
    for entry in order:
        index = entry & mask
        flow = under_way.get(index)
        if flow is None:
            flow = under_way[index] = flow_of(plan, index)
        moment = entry >> FLOW_BITS
        number = flow.sent
        flow.sent = number + 1
        if flow.sent == flow.size:
            del under_way[index]
        if flow.tcp:
            way, flags, length = tcp_packet(flow, number)
            frame = flow.headers[way]
            sequence = flow.next_sequence
            transport = 34 if flow.version == 4 else 54
            pack_into(
                "!II", frame, transport + 4, sequence[way] & 0xFFFFFFFF, sequence[1 - way] & 0xFFFFFFFF if number else 0
            )
            frame[transport + 13] = flags
            sequence[way] += length + (flags & 3 != 0)
            payload = noise[number & 0xFFF : (number & 0xFFF) + length]
        else:
            way, length = UDP_DATA[number % len(UDP_DATA)]
            frame = flow.headers[way]
            payload = dns[way] if flow.dns else noise[number & 0xFFF : (number & 0xFFF) + length]
            length = len(payload)
            pack_into("!H", frame, 38 if flow.version == 4 else 58, 8 + length)
        total = len(frame) + length
        if flow.version == 4:
            checksum = flow.sums[way] + total - 14
            checksum = (checksum & 0xFFFF) + (checksum >> 16)
            checksum = (checksum & 0xFFFF) + (checksum >> 16)
            pack_into("!H", frame, 16, total - 14)
            pack_into("!H", frame, 24, checksum ^ 0xFFFF)
        else:
            pack_into("!H", frame, 18, total - 54)
        out += pack("<IIII", EPOCH + moment // 1_000_000, moment % 1_000_000, total, total)
        out += frame
        out += payload
        if len(out) > WRITE:
            file.write(out)
            out.clear()
    file.write(out)
