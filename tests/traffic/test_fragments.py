"""Fragments in every order, put together again by the test."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.traffic.builders import play


def fragments(**keys: Any) -> list[Packet]:
    packets = play({"kind": "fragments", "process": "tool", "remote": "203.0.113.9", **keys}).packets
    return [Ether(packet.data) for packet in packets]


def parts(frames: list[Packet]) -> list[tuple[int, bool, bytes]]:
    """(offset, more to come, payload) of each fragment."""
    found = []
    for frame in frames:
        if IPv6 in frame:
            header = frame[IPv6ExtHdrFragment]
            length = frame[IPv6].plen - 8
            found.append((header.offset * 8, bool(header.m), bytes(header.payload)[:length]))
        else:
            header = frame[IP]
            found.append((header.frag * 8, bool(header.flags.MF), bytes(header.payload)[: header.len - 20]))
    return found


@pytest.mark.parametrize("remote", ["203.0.113.9", "2001:db8:1::9"], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("direction", ["outbound", "inbound"])
@pytest.mark.parametrize("order", ["in_order", "reversed", "overlapping"])
def test_fragments_hold_the_whole_datagram(remote: str, direction: str, order: str) -> None:
    pieces = parts(fragments(remote=remote, direction=direction, order=order))
    whole = bytearray()
    for offset, _, payload in sorted(pieces):
        assert offset <= len(whole)
        whole[offset : offset + len(payload)] = payload
    datagram = UDP(bytes(whole))
    assert datagram.len == len(whole) == 4008
    assert [more for _, more, _ in sorted(pieces)].count(False) == 1


def test_fragments_share_their_identification() -> None:
    assert len({frame[IP].id for frame in fragments()}) == 1
    assert len({frame[IPv6ExtHdrFragment].id for frame in fragments(remote="2001:db8:1::9")}) == 1


def test_order_is_as_named() -> None:
    offsets = {order: [offset for offset, _, _ in parts(fragments(order=order))] for order in ORDERS}
    assert offsets == ORDERS


ORDERS = {
    "in_order": [0, 1400, 2800],
    "reversed": [2800, 1400, 0],
    "first_missing": [1400, 2800],
    "overlapping": [0, 1400, 1400, 2800],
}


@pytest.mark.parametrize("remote", ["203.0.113.9", "2001:db8:1::9"], ids=["IPv4", "IPv6"])
def test_no_fragment_is_longer_than_the_link_allows(remote: str) -> None:
    assert max(len(frame) for frame in fragments(remote=remote, fragment_bytes="1480")) <= 1514


def test_long_datagram_of_an_exchange_is_fragmented_by_itself() -> None:
    keys = {"kind": "udp", "process": "tool", "remote": "203.0.113.9", "port": "5000", "request_bytes": "3000"}
    frames = [Ether(packet.data) for packet in play({**keys, "answered": "off"}).packets]
    assert [offset for offset, _, _ in parts(frames)] == [0, 1480, 2960]
