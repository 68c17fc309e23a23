"""UDP exchanges, readers of web pages, and what the socket records say of them."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.moment import SECOND
from agent.traffic.dice import Dice
from agent.traffic.parameters import Remote
from agent.traffic.plans import BrowsePlan
from agent.traffic.sessions import page_plans
from tests.traffic.builders import play
from tests.traffic.parsing import Segment, segments


def udp(kind: str = "udp", **keys: Any) -> list[Segment]:
    return list(segments(play({"kind": kind, "process": "tool", "remote": "203.0.113.9", **keys}).packets))


def test_datagrams_go_to_and_fro() -> None:
    packets = udp(port="5000", exchanges="3", request_bytes="40", response_bytes="70")
    assert [(packet.inbound, len(packet.payload)) for packet in packets] == [(False, 40), (True, 70)] * 3
    assert len({packet.local for packet in packets}) == 1


def test_unanswered_datagrams_stay_alone() -> None:
    assert not any(packet.inbound for packet in udp(port="5000", exchanges="3", answered="off"))


def test_inbound_exchange_begins_outside() -> None:
    packets = udp(port="5000", direction="inbound")
    assert [packet.inbound for packet in packets] == [True, False]
    assert packets[0].destination_port == 5000


def test_ports_are_those_of_the_file() -> None:
    (packet, _) = udp(port="5000", client_port="4000")
    assert (packet.source_port, packet.destination_port) == (4000, 5000)


@pytest.mark.parametrize(("family", "source"), [("4", "10.20.0.15"), ("6", "2001:db8:20::15")])
def test_family_chooses_among_the_addresses_of_a_name(family: str, source: str) -> None:
    packets = [p for p in udp(remote="www.example.com", port="5000", family=family) if p.remote[1] == 5000]
    assert str(packets[0].source) == source


PAYLOADS = {
    "ntp": lambda data: len(data) == 48 and data[0] & 7 in (3, 4),
    "stun": lambda data: data[4:8] == b"\x21\x12\xa4\x42",
    "rtp": lambda data: data[0] >> 6 == 2,
    "wireguard": lambda data: data[0] in (1, 2, 4) and data[1:4] == b"\0\0\0",
    "opaque": lambda data: data.startswith(b"lab "),
}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payload_looks_like_its_protocol(payload: str) -> None:
    packets = udp(port="5000", payload=payload, exchanges="4")
    assert all(PAYLOADS[payload](packet.payload) for packet in packets)


def test_tunnel_begins_with_its_handshake() -> None:
    packets = udp("vpn", exchanges="3")
    assert [packet.payload[0] for packet in packets] == [1, 2, 4, 4, 4, 4]
    assert [len(packet.payload) for packet in packets[:2]] == [148, 92]


def test_stream_counts_its_datagrams() -> None:
    numbers = [
        int.from_bytes(packet.payload[2:4], "big") for packet in udp("media", exchanges="5") if not packet.inbound
    ]
    assert numbers == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("socket", "remote"), [("connected", "203.0.113.9:5000"), ("unconnected", None)])
def test_record_names_the_remote_of_a_connected_socket_only(socket: str, remote: str | None) -> None:
    keys = {"kind": "udp", "process": "tool", "remote": "203.0.113.9", "port": "5000", "socket": socket}
    (record,) = play(keys).sockets
    assert record["remote"] == remote
    assert "initiated" not in record


def test_socket_of_nobody_has_no_record() -> None:
    generated = play({"kind": "udp", "process": "none", "remote": "203.0.113.9", "port": "5000", "client_port": "4000"})
    assert generated.sockets == []
    assert generated.unattributed == [("udp", "10.20.0.15:4000", "203.0.113.9:5000")]


def test_open_connection_has_no_end() -> None:
    keys = {"kind": "tcp", "process": "tool", "remote": "203.0.113.9", "port": "443"}
    (ended,), (going_on,) = play(keys).sockets, play({**keys, "outcome": "open"}).sockets
    assert ended["end"] is not None
    assert going_on["end"] is None


def test_pages_are_read_one_after_another() -> None:
    plan = BrowsePlan(process="tool", sites=(Remote("www.example.com", None),), pages=20, reading=10 * SECOND)
    parts = page_plans(plan, Dice("1"))
    assert 20 <= len(parts) <= 60
    assert max(offset for offset, _ in parts) < 20 * 16 * SECOND
    assert len({connection.response_bytes for _, connection in parts}) > 10
