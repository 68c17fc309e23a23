"""The checker finds what it is there to find: a checker that never complains would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.traffic.builders import play
from tests.traffic.parsing import ACK, FIN, Segment, segments
from tests.traffic.tcp_checker import connections


def conversation() -> list[Segment]:
    generated = play({"kind": "tcp", "process": "tool", "remote": "203.0.113.9", "port": "443", "exchanges": "2"})
    return list(segments(generated.packets))


def changed(index: int, **values: int) -> Callable[[list[Segment]], list[Segment]]:
    return lambda packets: [*packets[:index], replace(packets[index], **values), *packets[index + 1 :]]


SPOILERS: dict[str, Callable[[list[Segment]], list[Segment]]] = {
    "a hole in the sequence": lambda packets: [*packets[:3], *packets[4:]],
    "data out of order": lambda packets: [*packets[:4], packets[5], packets[4], *packets[6:]],
    "an acknowledgement of the future": changed(4, acknowledgement=1),
    "a handshake with a wrong number": changed(2, acknowledgement=7),
    "data after the close": lambda packets: [*packets, replace(packets[3], flags=ACK | FIN)],
    "a packet without any sense": changed(3, flags=0),
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS.keys())
def test_spoilt_connection_is_noticed(spoil: Callable[[list[Segment]], list[Segment]]) -> None:
    (connection,) = connections(spoil(conversation()))
    assert connection.problems


def test_sound_connection_has_no_problems() -> None:
    (connection,) = connections(conversation())
    assert (connection.problems, connection.end, connection.whole) == ([], "closed", True)
