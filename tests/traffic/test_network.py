"""The network around the device: who is near, and by which hardware address."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.address import parse_address
from agent.traffic.network import Network, Peer
from agent.traffic.parameters import NO_SCOPE, prefix

OWN = tuple(parse_address(text) for text in ("10.20.0.15", "fe80::15", "2001:db8:20::15"))


def network(**changes: Any) -> Network:
    return Network(**{"addresses": OWN, **changes})


@pytest.mark.parametrize(
    ("remote", "local"),
    [
        ("203.0.113.9", "10.20.0.15"),
        ("2001:db8:1::9", "2001:db8:20::15"),
        ("fe80::1", "fe80::15"),
        ("ff02::fb", "fe80::15"),
        ("224.0.0.251", "10.20.0.15"),
    ],
)
def test_device_speaks_from_the_fitting_address(remote: str, local: str) -> None:
    assert str(network().local_for(parse_address(remote))) == local


def test_device_without_the_version_has_no_address() -> None:
    assert network(addresses=OWN[:1]).local_for(parse_address("2001:db8::1")) is None


@pytest.mark.parametrize(
    ("address", "hardware"),
    [
        ("10.20.0.15", "02:00:0a:14:00:0f"),
        ("2001:db8:20::15", "02:00:0a:14:00:0f"),
        ("0.0.0.0", "02:00:0a:14:00:0f"),
        ("10.20.0.77", "02:00:0a:14:00:4d"),
        ("203.0.113.9", "02:00:0a:14:00:01"),
        ("fe80::1", "02:00:0a:14:00:01"),
        ("10.20.0.255", "ff:ff:ff:ff:ff:ff"),
        ("255.255.255.255", "ff:ff:ff:ff:ff:ff"),
        ("239.129.2.3", "01:00:5e:01:02:03"),
        ("ff02::1:ff00:15", "33:33:ff:00:00:15"),
    ],
)
def test_hardware_address_is_that_of_the_next_hop(address: str, hardware: str) -> None:
    assert network().mac_of(parse_address(address)) == hardware


def test_settings_of_the_file_win() -> None:
    given = network(
        mac="02:00:00:00:00:99",
        gateway=parse_address("10.20.0.254"),
        prefixes=(prefix("10.20.0.0/16", NO_SCOPE),),
    )
    assert given.mac_of(parse_address("10.20.0.15")) == "02:00:00:00:00:99"
    assert given.mac_of(parse_address("203.0.113.9")) == "02:00:0a:14:00:fe"
    assert given.on_link(parse_address("10.20.77.7"))
    assert not network().on_link(parse_address("10.20.77.7"))


def test_peer_is_written_as_an_endpoint() -> None:
    assert str(Peer(parse_address("2001:db8::5"), 443)) == "[2001:db8::5]:443"
