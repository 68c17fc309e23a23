"""Frames: Ethernet and IP headers as scapy forms them, and the arithmetic that makes many of one shape.

scapy takes half a millisecond for a packet, so each way between two addresses keeps the header scapy formed, and every
packet patches lengths, identification and checksums into a copy. Tests compare with scapy packet by packet.
Never: time, sockets, what a payload means.
"""

from __future__ import annotations

import struct

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet

from agent.model.address import Address
from agent.model.protocols import ICMP, TCP, UDP

MTU = 1500
SMALLEST_FRAME = 60
"""What a network card pads to; the capture sees the padding of frames that came, not of frames that go."""
_DONT_FRAGMENT = 0x4000
_UDP = struct.Struct(">HHHH")
_IPV4_MIDDLE = struct.Struct(">HHH")


def checksum(data: bytes, start: int = 0) -> int:
    """RFC 1071 over `data`, begun with the sum `start`. One big number modulo 65535 is the end-around-carry sum."""
    if len(data) & 1:
        data += b"\0"
    # A sum of 0 stands for 0xFFFF (data is never all zeros here): its complement is 0.
    return (0xFFFF - (int.from_bytes(data, "big") + start) % 0xFFFF) % 0xFFFF


class Way:
    """All packets from one address to another: formed once, patched for each. Mutable: counts IP identifications."""

    __slots__ = ("_addresses_sum", "_identification", "_ip_at", "_template", "version")

    def __init__(self, link: Packet, source: Address, destination: Address, ttl: int, identification: int) -> None:
        """`link`: the scapy Ether, with its Dot1Q if any."""
        self.version = source.version
        if source.version == 4:
            network: Packet = IP(src=str(source), dst=str(destination), ttl=ttl, id=0, len=20, proto=0, chksum=0)
        else:
            network = IPv6(src=str(source), dst=str(destination), hlim=ttl, plen=0, nh=59)
        self._ip_at = len(bytes(link))
        self._template = bytes(link / network)
        self._identification = identification
        self._addresses_sum = int.from_bytes(source.packed + destination.packed, "big") % 0xFFFF

    def frame(self, protocol: int, body: bytes) -> bytes:
        """`body` behind the headers. Checksums inside `body` are the caller's, see `sealed`."""
        head = bytearray(self._template)
        at = self._ip_at
        if self.version == 4:
            flags = _DONT_FRAGMENT if protocol == TCP else 0
            _IPV4_MIDDLE.pack_into(head, at + 2, 20 + len(body), self.next_identification(), flags)
            head[at + 9] = protocol
            head[at + 10 : at + 12] = checksum(bytes(head[at : at + 20])).to_bytes(2, "big")
        else:
            head[at + 4 : at + 6] = len(body).to_bytes(2, "big")
            head[at + 6] = protocol
        return bytes(head) + body

    def next_identification(self) -> int:
        self._identification = (self._identification + 1) & 0xFFFF
        return self._identification

    def sealed(self, protocol: int, body: bytes, at: int) -> bytes:
        """`body` with its checksum written at offset `at`, where it must hold zero."""
        start = 0 if protocol == ICMP else self._addresses_sum + len(body) + protocol
        value = checksum(body, start)
        if value == 0 and protocol == UDP:
            value = 0xFFFF  # RFC 768: zero says that there is none
        return body[:at] + value.to_bytes(2, "big") + body[at + 2 :]

    def udp(self, source_port: int, destination_port: int, payload: bytes) -> bytes:
        """A sealed UDP datagram, without IP header."""
        header = _UDP.pack(source_port, destination_port, 8 + len(payload), 0)
        return self.sealed(UDP, header + payload, 6)


def link_header(source: str, destination: str, version: int, vlan: int) -> Packet:
    """The scapy Ethernet header in front of an IP packet."""
    ethertype = 0x0800 if version == 4 else 0x86DD
    if vlan:
        return Ether(src=source, dst=destination, type=0x8100) / Dot1Q(vlan=vlan, type=ethertype)
    return Ether(src=source, dst=destination, type=ethertype)


def padded(frame: bytes) -> bytes:
    """`frame` as it arrives: at least 60 bytes."""
    return frame + bytes(SMALLEST_FRAME - len(frame)) if len(frame) < SMALLEST_FRAME else frame
