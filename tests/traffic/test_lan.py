"""ARP, leases and discovery, as a network card sees them."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.dhcp import DHCP
from scapy.layers.l2 import ARP, Ether

from agent.traffic.plans import NOISE
from tests.traffic.builders import DEVICE, play
from tests.traffic.parsing import Segment, segments


def udp(**activity: Any) -> list[Segment]:
    return list(segments(play(activity).packets))


def test_arp_answers_by_hardware_address() -> None:
    packets = play({"kind": "arp", "neighbours": "10.20.0.77", "asked": "on"}).packets
    messages = [Ether(packet.data)[ARP] for packet in packets]
    assert [(message.op, message.psrc, message.pdst) for message in messages] == [
        (1, "10.20.0.15", "10.20.0.77"),
        (2, "10.20.0.77", "10.20.0.15"),
        (1, "10.20.0.77", "10.20.0.15"),
        (2, "10.20.0.15", "10.20.0.77"),
    ]
    assert [packet.direction for packet in packets] == [2, 1, 1, 2]
    assert messages[1].hwsrc == "02:00:0a:14:00:4d"


def dhcp_steps(**keys: Any) -> list[tuple[str, str, int]]:
    steps = []
    for packet in play({"kind": "dhcp", "server": "10.20.0.1", **keys}).packets:
        frame = Ether(packet.data)
        steps.append((frame.payload.src, frame.payload.dst, dict(frame[DHCP].options[:1])["message-type"]))
    return steps


def test_first_lease_goes_by_broadcast() -> None:
    everyone = "255.255.255.255"
    assert dhcp_steps(step="discover") == [
        ("0.0.0.0", everyone, 1),
        ("10.20.0.1", everyone, 2),
        ("0.0.0.0", everyone, 3),
        ("10.20.0.1", everyone, 5),
    ]


def test_renewal_goes_to_the_server() -> None:
    assert dhcp_steps() == [("10.20.0.15", "10.20.0.1", 3), ("10.20.0.1", "10.20.0.15", 5)]


def test_acknowledgement_tells_the_resolvers() -> None:
    """A resolver learned by DHCP is one whose answers are believed."""
    acknowledgement = Ether(play({"kind": "dhcp", "server": "10.20.0.1"}).packets[-1].data)
    options = {option[0]: option[1] for option in acknowledgement[DHCP].options if isinstance(option, tuple)}
    assert options["name_server"] == "10.20.0.1"
    assert options["router"] == "10.20.0.1"


def test_dhcpv6_goes_between_link_local_addresses() -> None:
    packets = udp(kind="dhcp", server="fe80::1", step="discover")
    assert [packet.payload[0] for packet in packets] == [1, 2, 3, 7]
    assert [str(packet.destination) for packet in packets] == ["ff02::1:2", "fe80::15", "ff02::1:2", "fe80::15"]


PORTS = {"mdns": 5353, "llmnr": 5355, "ssdp": 1900, "netbios": 137}


@pytest.mark.parametrize("word", PORTS)
def test_device_speaks_to_the_group_of_the_protocol(word: str) -> None:
    packets = [packet for packet in udp(kind="noise", what=word) if not packet.inbound]
    assert packets
    assert {packet.remote[1] for packet in packets} == {PORTS[word]}
    assert all(
        packet.destination.value >> 28 == 0xE or packet.destination.value & 0xFF in (0xFF, 0xFB, 3)
        for packet in packets
    )


@pytest.mark.parametrize("word", ["mdns", "ssdp", "netbios"])
def test_neighbours_are_heard(word: str) -> None:
    packets = udp(kind="noise", what=word, neighbours="10.20.0.77-10.20.0.78")
    assert {str(packet.source) for packet in packets if packet.inbound} == {"10.20.0.77", "10.20.0.78"}


def test_all_noise_is_made_unless_chosen() -> None:
    everything = play({"kind": "noise", "neighbours": "10.20.0.77"}).packets
    chosen = [play({"kind": "noise", "what": word, "neighbours": "10.20.0.77"}).packets for word in NOISE]
    assert len(everything) == sum(len(packets) for packets in chosen)


def test_device_without_ipv6_keeps_to_ipv4() -> None:
    packets = play({"kind": "noise", "what": "mdns"}, device={**DEVICE, "addresses": ["10.20.0.15"]}).packets
    assert [packet.data[12:14] for packet in packets] == [b"\x08\x00"]
