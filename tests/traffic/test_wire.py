"""Frames patched from a template are the frames scapy would have formed, bit for bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from agent.model.address import parse_address
from agent.traffic.wire import Way, checksum, link_header, padded
from tests.traffic.builders import played
from tests.traffic.parsing import ip_parts

ENDS = {
    4: (parse_address("10.0.0.5"), parse_address("203.0.113.9")),
    6: (parse_address("2001:db8::5"), parse_address("2001:db8:1::9")),
}


def way(version: int, vlan: int = 0) -> Way:
    source, destination = ENDS[version]
    return Way(link_header("02:00:00:00:00:05", "02:00:00:00:00:01", version, vlan), source, destination, 64, 41)


@given(version=st.sampled_from([4, 6]), payload=st.binary(max_size=300), vlan=st.sampled_from([0, 20]))
def test_udp_frame_is_what_scapy_forms(version: int, payload: bytes, vlan: int) -> None:
    one = way(version, vlan)
    frame = one.frame(17, one.udp(5000, 53, payload))
    source, destination = (str(end) for end in ENDS[version])
    network = IP(src=source, dst=destination, id=42) if version == 4 else IPv6(src=source, dst=destination)
    link = link_header("02:00:00:00:00:05", "02:00:00:00:00:01", version, vlan)
    assert frame == bytes(link / network / UDP(sport=5000, dport=53) / payload)


@given(data=st.binary(min_size=1, max_size=64).filter(any))
def test_checksum_verifies(data: bytes) -> None:
    """RFC 1071: data and its checksum together sum to all ones, so the checksum of both is zero."""
    even = data + bytes(len(data) % 2)
    assert checksum(even + checksum(data).to_bytes(2, "big")) == 0


def test_udp_checksum_of_zero_is_written_as_all_ones() -> None:
    """RFC 768: a transmitted zero would say that there is no checksum."""
    one = way(4)
    base = one.udp(5000, 53, bytes(2))
    value = int.from_bytes(base[6:8], "big")
    datagram = one.udp(5000, 53, value.to_bytes(2, "big"))
    assert datagram[6:8] == b"\xff\xff"


def test_tcp_frames_of_a_session_are_what_scapy_forms() -> None:
    checked = 0
    for packet in played("three-rules").packets:
        parts = ip_parts(packet.data)
        if parts is None or parts[2] != 6:
            continue
        again = Ether(packet.data)
        for layer, fields in ((IP, ("chksum", "len")), (TCP, ("chksum",)), (IPv6, ("plen",))):
            if layer in again:
                for name in fields:
                    again[layer].delfieldval(name)
        assert bytes(again) == packet.data
        checked += 1
    assert checked > 100


@pytest.mark.parametrize(("length", "expected"), [(42, 60), (60, 60), (61, 61)])
def test_short_frames_are_padded_to_sixty_bytes(length: int, expected: int) -> None:
    assert len(padded(bytes(length))) == expected


def test_only_frames_that_came_are_padded() -> None:
    packets = played("three-rules").packets
    assert min(len(packet.data) for packet in packets if packet.direction == 2) < 60
    assert min(len(packet.data) for packet in packets if packet.direction == 1) == 60


def test_identifications_count_on() -> None:
    one = way(4)
    numbers = [int.from_bytes(one.frame(17, bytes(8))[18:20], "big") for _ in range(3)]
    assert numbers == [42, 43, 44]
