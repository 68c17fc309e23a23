"""The rarer protocols: each is what its name says, and each that needs a special header field has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot3, Ether

from agent.traffic.plans import PROTOCOLS
from agent.traffic.stage import Frame
from agent.traffic.zoo import PLAYERS
from tests.traffic.builders import play


def packets(name: str) -> list[Frame]:
    activity = {
        "kind": "protocols",
        "names": name,
        "process": "tool",
        "remote": "203.0.113.50",
        "remote6": "2001:db8:1::50",
    }
    return play(activity).packets


def ip_protocol(number: int) -> Callable[[Frame], bool]:
    return lambda packet: packet.data[12:14] == b"\x08\x00" and packet.data[23] == number


def ether_type(number: int) -> Callable[[Frame], bool]:
    return lambda packet: int.from_bytes(packet.data[12:14], "big") == number


def icmpv6(*types: int, hop_limit: int) -> Callable[[Frame], bool]:
    """An ICMPv6 message, perhaps behind a hop-by-hop header, with the hop limit that receivers insist on."""

    def check(packet: Frame) -> bool:
        ipv6 = Ether(packet.data)[IPv6]
        body = bytes(ipv6.payload)[8:] if ipv6.nh == 0 else bytes(ipv6.payload)
        return ipv6.hlim == hop_limit and body[0] in types

    return check


WHAT: dict[str, Callable[[Frame], bool]] = {
    "sctp": ip_protocol(132),
    "gre": ip_protocol(47),
    "ip_in_ip": lambda packet: packet.data[23] in (4, 41),
    "esp": ip_protocol(50),
    "udplite": ip_protocol(136),
    "igmp": lambda packet: packet.data[23] == 2 and Ether(packet.data)[IP].ttl == 1,
    "mld": icmpv6(143, hop_limit=1),
    "neighbour": icmpv6(135, 136, hop_limit=255),
    "router": icmpv6(133, 134, hop_limit=255),
    "multicast": lambda packet: packet.data[:3] == b"\x01\x00\x5e" and packet.data[30] >> 4 == 0xE,
    "broadcast": lambda packet: packet.data[:6] == b"\xff" * 6,
    "extension_headers": lambda packet: packet.data[20] == 0 and packet.data[54] == 60,
    "lldp": ether_type(0x88CC),
    "eapol": ether_type(0x888E),
    "stp": lambda packet: Dot3 in Ether(packet.data) or int.from_bytes(packet.data[12:14], "big") < 1536,
    "foreign": lambda packet: {Ether(packet.data)[IP].src, Ether(packet.data)[IP].dst} == {"10.20.0.77", "10.20.0.78"},
    "martian": lambda packet: packet.direction == 1 and Ether(packet.data)[IP].src in ("127.0.0.1", "10.20.0.15"),
}


def test_every_protocol_is_played_and_tested() -> None:
    assert set(PLAYERS) == set(PROTOCOLS) == set(WHAT)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_is_what_it_says(name: str) -> None:
    made = packets(name)
    assert made
    assert all(WHAT[name](packet) for packet in made)


@pytest.mark.parametrize("name", ["sctp", "gre", "esp", "multicast", "broadcast", "neighbour"])
def test_both_ends_are_heard(name: str) -> None:
    assert {packet.direction for packet in packets(name)} == {1, 2}


def test_sctp_runs_through_its_whole_association() -> None:
    kinds = [packet.data[46] for packet in packets("sctp")]
    assert kinds == [1, 2, 10, 11, 0, 3, 7, 8, 14]


def test_tag_of_a_vlan_stands_before_the_ip_packet() -> None:
    keys: dict[str, Any] = {"kind": "ping", "remote": "203.0.113.9", "vlan": "20"}
    data = play(keys).packets[0].data
    assert data[12:18] == b"\x81\x00\x00\x14\x08\x00"
