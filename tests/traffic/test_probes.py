"""Scans and fan-outs: every port and host tried once, each answering as the scenario says."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.moment import SECOND
from tests.traffic.builders import play
from tests.traffic.parsing import ACK, RST, SYN, segments
from tests.traffic.tcp_checker import Connection, connections

SCAN = {"kind": "scan", "process": "tool", "remotes": "10.20.0.66", "ports": "20-29", "open": "22"}


def scan(**keys: Any) -> list[Connection]:
    found = connections(segments(play({**SCAN, **keys}).packets))
    assert [problem for one in found for problem in one.problems] == []
    return found


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
def test_every_port_is_tried_once(direction: str) -> None:
    probes = [packet for packet in segments(play({**SCAN, "direction": direction}).packets) if packet.flags == SYN]
    assert [packet.destination_port for packet in probes] == list(range(20, 30))
    assert {packet.inbound for packet in probes} == {direction == "inbound"}


def test_open_port_answers_and_the_others_refuse() -> None:
    flags = [tuple(one.flags) for one in scan()]
    assert flags[2] == (SYN, SYN | ACK, RST)
    assert set(flags[:2] + flags[3:]) == {(SYN, RST | ACK)}


def test_connect_scan_completes_the_handshake_of_an_open_port() -> None:
    assert tuple(scan(style="connect")[2].flags) == (SYN, SYN | ACK, ACK, RST | ACK)


def test_silent_ports_say_nothing() -> None:
    assert [len(one.flags) for one in scan(others="silent")] == [1, 1, 3, 1, 1, 1, 1, 1, 1, 1]


def test_every_target_of_an_outbound_scan_is_tried() -> None:
    assert len(scan(remotes="10.20.0.66-10.20.0.69")) == 40


def test_refused_ports_of_the_device_have_no_process() -> None:
    generated = play({**SCAN, "direction": "inbound"})
    assert [record["local"] for record in generated.sockets] == ["0.0.0.0:22"]
    assert len(generated.unattributed) == 9


def test_scanning_process_owns_every_probe() -> None:
    generated = play(SCAN)
    assert len(generated.sockets) == 10
    assert {record["pid"] for record in generated.sockets} == {4242}


def test_udp_scan_gets_answers_and_unreachables() -> None:
    packets = play({**SCAN, "direction": "inbound", "protocol": "udp", "ports": "22,7001"}).packets
    protocols = [packet.data[23] for packet in packets]
    assert sorted(protocols) == [1, 17, 17, 17]


def test_fan_out_tries_every_host_once_in_order() -> None:
    keys = {"kind": "fan_out", "process": "tool", "targets": "10.20.1.1-10.20.1.9", "interval": "10"}
    generated = play({**keys, "answering": "10.20.1.3", "refusing": "10.20.1.5-10.20.1.6"})
    found = connections(segments(generated.packets))
    ends = [one.end for one in found]
    assert ends == ["open", "open", "closed", "open", "reset", "reset", "open", "open", "open"]
    first = [packet.time_ns for packet in segments(generated.packets) if packet.flags == SYN]
    assert max(first) - min(first) < 9 * 12 * SECOND + 15 * SECOND
