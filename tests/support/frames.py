"""Frames byte by byte, without scapy: headers whose every length a test may turn into a lie.

    frame = ethernet(ipv4("10.0.0.5", "203.0.113.9", tcp(50000, 443, flags=SYN)))

Checksums are left zero: nothing here verifies them. Never: captures, policies, verdicts.
"""

from __future__ import annotations

import struct

from agent.model.address import parse_address

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
TCP, UDP, ICMP, ICMPV6, SCTP = 6, 17, 1, 58, 132
OUR_MAC, THEIR_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
BROADCAST_MAC = b"\xff" * 6
IPV4, IPV6, ARP, VLAN, QINQ = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8
HOP_BY_HOP, ROUTING, FRAGMENT, AH, NO_NEXT, DESTINATION, MOBILITY = 0, 43, 44, 51, 59, 60, 135


def packed(address: str) -> bytes:
    return parse_address(address).packed


def number(address: str) -> int:
    return parse_address(address).value


# Link -------------------------------------------------------------------------------------------------------------


def ethernet(
    payload: bytes,
    kind: int | None = None,
    *,
    source: bytes = OUR_MAC,
    destination: bytes = THEIR_MAC,
    tags: tuple[int, ...] = (),
) -> bytes:
    """`kind`: the EtherType, by the payload's version where it is None; `tags`: TPIDs, the outermost first."""
    kind = ether_type(payload) if kind is None else kind
    middle = b"".join(struct.pack(">HH", tpid, 7 + place) for place, tpid in enumerate(tags))
    return destination + source + middle + struct.pack(">H", kind) + payload


def ether_type(payload: bytes) -> int:
    return IPV6 if payload[:1] and payload[0] >> 4 == 6 else IPV4


def sll(payload: bytes, *, packet_type: int = 0, hardware: int = 1, source: bytes = THEIR_MAC) -> bytes:
    """Linux cooked capture: packet types 0 to us, 1 broadcast, 2 multicast, 3 another host's, 4 sent by us."""
    head = struct.pack(">HHH", packet_type, hardware, len(source)) + source.ljust(8, b"\0")
    return head + struct.pack(">H", ether_type(payload)) + payload


def sll2(payload: bytes, *, packet_type: int = 0, hardware: int = 1, source: bytes = THEIR_MAC) -> bytes:
    head = struct.pack(">HHIHBB", ether_type(payload), 0, 1, hardware, packet_type, len(source))
    return head + source.ljust(8, b"\0") + payload


def null(payload: bytes, *, order: str = "<", family: int | None = None) -> bytes:
    """BSD loopback: the address family in the capturing host's byte order."""
    family = family if family is not None else (30 if ether_type(payload) == IPV6 else 2)
    return struct.pack(order + "I", family) + payload


# Network ----------------------------------------------------------------------------------------------------------


def ipv4(
    source: str,
    destination: str,
    payload: bytes,
    protocol: int = TCP,
    *,
    options: bytes = b"",
    total: int | None = None,
    header: int | None = None,
    identifier: int = 1,
    offset: int = 0,
    more: bool = False,
    ttl: int = 64,
) -> bytes:
    """`total` and `header` (bytes) are what the header claims where given; `offset` in bytes."""
    size = 20 + len(options)
    claimed = size if header is None else header
    length = size + len(payload) if total is None else total
    word = offset // 8 | (0x2000 if more else 0)
    head = struct.pack(">BBHHHBBH", 0x40 | claimed // 4, 0, length, identifier, word, ttl, protocol, 0)
    return head + packed(source) + packed(destination) + options + payload


def ipv6(
    source: str,
    destination: str,
    payload: bytes,
    following: int = TCP,
    *,
    length: int | None = None,
    hop_limit: int = 64,
) -> bytes:
    """`following`: the next header; `payload` begins with the extension headers, if there are any."""
    length = len(payload) if length is None else length
    return struct.pack(">IHBB", 6 << 28, length, following, hop_limit) + packed(source) + packed(destination) + payload


def extension(following: int, size: int = 8) -> bytes:
    """A hop-by-hop, destination or routing header of `size` bytes (a multiple of 8), filled with Pad1."""
    return bytes([following, size // 8 - 1]) + bytes(size - 2)


def authentication(following: int, size: int = 12) -> bytes:
    """An AH of `size` bytes (a multiple of 4), whose length field counts otherwise."""
    return bytes([following, size // 4 - 2]) + bytes(size - 2)


def fragment6(following: int, *, offset: int = 0, more: bool = False, identifier: int = 1) -> bytes:
    """`offset` in bytes, a multiple of 8."""
    return struct.pack(">BBHI", following, 0, offset | int(more), identifier)


# Transport --------------------------------------------------------------------------------------------------------


def tcp(
    source: int,
    destination: int,
    payload: bytes = b"",
    *,
    flags: int = ACK,
    sequence: int = 1000,
    options: bytes = b"",
    header: int | None = None,
) -> bytes:
    """`header`: the bytes that the data offset claims, a multiple of 4."""
    size = 20 + len(options) if header is None else header
    head = struct.pack(">HHIIBBHHH", source, destination, sequence, 0, size // 4 << 4, flags, 8192, 0, 0)
    return head + options + payload


def udp(source: int, destination: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload) if length is None else length, 0) + payload


def sctp(source: int, destination: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HHII", source, destination, 1, 0) + payload


def icmp(kind: int, code: int = 0, rest: int = 0, payload: bytes = b"") -> bytes:
    """`rest`: the four bytes behind the checksum, such as identifier << 16 | sequence. The same form in ICMPv6."""
    return struct.pack(">BBHI", kind, code, 0, rest) + payload


# Whole packets ----------------------------------------------------------------------------------------------------


def ip(source: str, destination: str, payload: bytes, protocol: int = TCP, *, hop_limit: int = 64) -> bytes:
    """IPv4 or IPv6, as the addresses say."""
    if ":" in source:
        return ipv6(source, destination, payload, protocol, hop_limit=hop_limit)
    return ipv4(source, destination, payload, protocol, ttl=hop_limit)


def tcp_frame(source: str, destination: str, payload: bytes = b"", *, flags: int = ACK, sequence: int = 1000) -> bytes:
    """`source` and `destination` are endpoints such as 10.0.0.5:443 or [2001:db8::5]:443."""
    (host, port), (other, other_port) = endpoint(source), endpoint(destination)
    return ethernet(ip(host, other, tcp(port, other_port, payload, flags=flags, sequence=sequence)))


def udp_frame(source: str, destination: str, payload: bytes = b"x") -> bytes:
    (host, port), (other, other_port) = endpoint(source), endpoint(destination)
    return ethernet(ip(host, other, udp(port, other_port, payload), UDP))


def icmp_frame(source: str, destination: str, message: bytes, *, hop_limit: int = 64) -> bytes:
    return ethernet(ip(source, destination, message, ICMPV6 if ":" in source else ICMP, hop_limit=hop_limit))


def endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
