"""Echo and errors: types, codes, and quotations that are what was sent."""

from __future__ import annotations

from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import IPv6, _ICMPv6
from scapy.layers.l2 import Ether

from agent.traffic.icmp import ERRORS
from agent.traffic.plans import ROUTER_ERRORS
from tests.traffic.builders import play
from tests.traffic.parsing import ip_parts

REMOTES = {4: "203.0.113.9", 6: "2001:db8:1::9"}


def frames(**activity: Any) -> list[Any]:
    return [Ether(packet.data) for packet in play(activity).packets]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_every_request_has_its_reply(version: int, direction: str) -> None:
    packets = play({"kind": "ping", "remote": REMOTES[version], "direction": direction, "echoes": "3"}).packets
    types = [body[0] for packet in packets if (parts := ip_parts(packet.data)) for body in [parts[3]]]
    assert types == [8, 0, 8, 0, 8, 0] if version == 4 else types == [128, 129, 128, 129, 128, 129]
    asked = [packet.direction for packet in packets[::2]]
    assert asked == [2 if direction == "outbound" else 1] * 3


def test_ping_may_stay_unanswered() -> None:
    assert [frame[ICMP].type for frame in frames(kind="ping", remote="203.0.113.9", answered="off")] == [8] * 4


def test_table_knows_every_word() -> None:
    assert set(ERRORS) == set(ROUTER_ERRORS)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("word", [word for word in ROUTER_ERRORS if word != "redirect"])
def test_error_quotes_the_datagram_that_was_sent(word: str, version: int) -> None:
    sent, error = frames(kind="icmp_error", process="tool", remote=REMOTES[version], error=word)
    network = IP if version == 4 else IPv6
    if version == 4:
        kind, code, quoted = error[ICMP].type, error[ICMP].code, bytes(error[ICMP].payload)
    else:
        message = error[IPv6].payload
        assert isinstance(message, _ICMPv6)
        kind, code, quoted = message.type, message.code, bytes(message)[8:]
    assert (kind, code) == ERRORS[word][0 if version == 4 else 1]
    original = bytes(sent[network])
    addresses_and_ports = slice(12, 24) if version == 4 else slice(8, 44)
    assert quoted[addresses_and_ports] == original[addresses_and_ports]


def test_unsent_datagram_is_quoted_without_having_been_sent() -> None:
    (error,) = frames(kind="icmp_error", process="tool", remote="203.0.113.9", quoting="unsent")
    assert error[ICMP].type == 3


def test_error_comes_from_its_reporter() -> None:
    _, error = frames(
        kind="icmp_error", process="tool", remote="203.0.113.9", error="ttl_exceeded", reporter="198.51.100.1"
    )
    assert error[IP].src == "198.51.100.1"


def test_redirect_points_to_the_gateway() -> None:
    _, error = frames(kind="icmp_error", process="tool", remote="203.0.113.9", error="redirect", reporter="10.20.0.1")
    assert (error[ICMP].type, error[ICMP].gw) == (5, "10.20.0.1")
