"""TCP as real stacks speak it: handshakes, closes, retransmissions, and every other way a connection can end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from agent.model.moment import SECOND
from tests.traffic.builders import SMALL_BUILTINS, play, played
from tests.traffic.parsing import ACK, FIN, RST, SYN, Segment, segments
from tests.traffic.tcp_checker import Connection, connections


def tcp(**parameters: Any) -> list[Segment]:
    activity = {"kind": "tcp", "process": "tool", "remote": "203.0.113.9", "port": "443", **parameters}
    return list(segments(play(activity).packets))


def connection(packets: list[Segment]) -> Connection:
    (only,) = connections(packets)
    assert only.problems == []
    return only


@pytest.mark.parametrize("name", SMALL_BUILTINS)
def test_every_connection_of_a_builtin_is_sound(name: str) -> None:
    found = [problem for one in connections(segments(played(name).packets)) for problem in one.problems]
    assert found == []


@pytest.mark.slow
def test_every_connection_of_the_office_day_is_sound() -> None:
    found = connections(segments(played("benign-office-day").packets))
    assert [problem for one in found for problem in one.problems] == []
    assert len(found) > 500


OUTCOMES = {
    "complete": ("closed", ()),
    "open": ("open", ()),
    "reset_by_device": ("reset", (RST | ACK,)),
    "reset_by_remote": ("reset", (RST | ACK,)),
    "refused": ("reset", (SYN, RST | ACK, SYN, RST | ACK, SYN, RST | ACK)),
    "unanswered": ("open", (SYN,) * 5),
    "half_open": ("reset", (SYN, SYN | ACK, RST)),
}


@pytest.mark.parametrize("direction", ["outbound", "inbound"])
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcome_ends_the_connection_as_it_says(outcome: str, direction: str) -> None:
    one = connection(tcp(outcome=outcome, direction=direction))
    end, flags = OUTCOMES[outcome]
    assert one.end == end
    assert tuple(one.flags[-len(flags) :]) == flags if flags else one.whole


@pytest.mark.parametrize(
    ("outcome", "direction", "by_device"),
    [
        ("reset_by_device", "outbound", True),
        ("reset_by_device", "inbound", True),
        ("reset_by_remote", "outbound", False),
        ("reset_by_remote", "inbound", False),
    ],
)
def test_reset_comes_from_the_named_side(outcome: str, direction: str, by_device: bool) -> None:
    last = tcp(outcome=outcome, direction=direction)[-1]
    assert last.flags & RST
    assert last.inbound is not by_device


@pytest.mark.parametrize(("close_by", "first_fin_inbound"), [("client", False), ("server", True)])
def test_named_side_closes_first(close_by: str, first_fin_inbound: bool) -> None:
    fins = [packet for packet in tcp(close_by=close_by) if packet.flags & FIN]
    assert [fin.inbound for fin in fins] == [first_fin_inbound, not first_fin_inbound]


def test_unanswered_syn_is_repeated_as_windows_does() -> None:
    packets = tcp(outcome="unanswered")
    assert [(packet.time_ns - packets[0].time_ns) // SECOND for packet in packets] == [0, 1, 3, 7, 15]
    assert len({packet.sequence for packet in packets}) == 1


def test_lost_segment_is_sent_twice_and_acknowledged_once() -> None:
    packets = tcp(retransmissions="1", request_bytes="100")
    sent = [packet for packet in packets if packet.payload and not packet.inbound]
    assert sent[0].payload == sent[1].payload
    assert sent[0].sequence == sent[1].sequence
    between = [packet for packet in packets if sent[0].time_ns < packet.time_ns < sent[1].time_ns]
    assert between == []
    connection(packets)


def test_connection_without_handshake_begins_with_data() -> None:
    packets = tcp(handshake="off", outcome="open")
    assert not any(packet.flags & SYN for packet in packets)
    assert packets[0].payload
    connection(packets)


def test_sequence_numbers_wrap_around() -> None:
    packets = tcp(initial_sequence="4294967000", request_bytes="4000")
    assert connection(packets).end == "closed"
    own = [packet.sequence for packet in packets if not packet.inbound]
    assert max(own) > 4294966000
    assert min(own) < 5000


@pytest.mark.parametrize(("remote", "mss"), [("203.0.113.9", 1460), ("2001:db8:1::9", 1440)], ids=["IPv4", "IPv6"])
def test_bulk_transfer_fills_segments(remote: str, mss: int) -> None:
    packets = tcp(remote=remote, request_bytes="150kB", response_bytes="0")
    sizes = [len(packet.payload) for packet in packets if packet.payload]
    assert set(sizes[:-1]) == {mss}
    assert connection(packets).bytes == 150_000


def test_inbound_syn_comes_from_the_remote() -> None:
    first = tcp(direction="inbound", port="7000")[0]
    assert first.flags == SYN
    assert first.inbound
    assert first.destination_port == 7000


def test_exchanges_keep_their_gap() -> None:
    requests = [packet for packet in tcp(exchanges="3", gap="10") if packet.payload and not packet.inbound]
    gaps = [later.time_ns - earlier.time_ns for earlier, later in pairwise(requests)]
    assert all(9 * SECOND <= gap <= 12 * SECOND for gap in gaps)
