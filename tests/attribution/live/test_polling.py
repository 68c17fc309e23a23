"""Owners by psutil's list of all sockets: what other systems than Linux have, forced here."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from agent.attribution.live.described import Described, created_at, describe
from agent.attribution.live.found import Found
from agent.attribution.live.polling import Polling
from agent.attribution.live.sockets import TCP, UDP
from agent.attribution.live.source import LiveSource
from agent.model.address import parse_address
from agent.model.vocabulary import Confidence
from tests.attribution.live.peers import Opened, Peer

SECOND = 1_000_000_000
LOOPBACK = parse_address("127.0.0.1").value
ELSEWHERE = parse_address("192.0.2.77").value


class Clock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


class Lists:
    """psutil's list, counted."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, kind: str) -> list[Any]:
        self.count += 1
        return psutil.net_connections(kind)


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


def ask(polling: Polling, protocol: int, opened: Opened, remote: tuple[int, int] | None = None) -> Found | str:
    there = remote or (LOOPBACK, opened.remote[1] if opened.remote else 9)
    return polling.find(protocol, 4, LOOPBACK, opened.local[1], *there, direction=0)


def pid_of(answer: Found | str) -> int:
    assert isinstance(answer, Found), answer
    (process,) = answer.processes
    return process.pid


def test_sockets_and_listeners_are_found(peer: Peer) -> None:
    """TCP and UDP, connected and not, dual-stack."""
    listener = peer.open("tcp", bind=["127.0.0.1", 0], listen=True)
    client = peer.open("tcp", connect=listener.local)
    bound = peer.open("udp", bind=["0.0.0.0", 0])
    dual = peer.open("udp", family=6, bind=["::", 0])
    polling = Polling(processes=Described().of, clock=Clock())
    exact = ask(polling, TCP, client)
    assert pid_of(exact) == peer.pid
    assert isinstance(exact, Found)
    assert exact.exact
    listening = ask(polling, TCP, listener, (ELSEWHERE, 9))
    assert pid_of(listening) == peer.pid
    assert isinstance(listening, Found)
    assert listening.listening
    assert pid_of(ask(polling, UDP, bound)) == peer.pid
    assert pid_of(ask(polling, UDP, dual)) == peer.pid
    assert ask(Polling(processes=Described().of, clock=Clock(), dual=False), UDP, dual) == "no_socket", (
        "Windows lists it under IPv4, too"
    )
    outbound = polling.find(TCP, 4, LOOPBACK, listener.local[1], ELSEWHERE, 9, direction=2)
    assert outbound == "no_socket", "a listener's port is no outbound flow's"


def test_a_miss_reads_a_new_list_if_the_last_is_old_enough(peer: Peer) -> None:
    """No more than one in a quarter of a second, however many questions."""
    clock, lists = Clock(), Lists()
    polling = Polling(processes=Described().of, clock=clock, connections=lists)
    first = peer.open("udp", bind=["127.0.0.1", 0])
    assert pid_of(ask(polling, UDP, first)) == peer.pid
    second = peer.open("udp", bind=["127.0.0.1", 0])
    for _ in range(100):
        assert ask(polling, UDP, second) == "no_socket"
    assert lists.count == 1
    clock.now += SECOND // 4
    assert pid_of(ask(polling, UDP, second)) == peer.pid
    assert lists.count == 2
    for _ in range(100):
        assert pid_of(ask(polling, UDP, first)) == peer.pid
    assert lists.count == 2
    clock.now += 3 * SECOND
    assert pid_of(ask(polling, UDP, first)) == peer.pid
    assert lists.count == 3, "what is known is looked at again after two seconds"


def test_lists_take_no_more_than_a_fourth_of_the_time(peer: Peer) -> None:
    clock = Clock()
    slow = itertools.count()

    def connections(kind: str) -> list[Any]:
        next(slow)
        clock.now += SECOND // 3
        return []

    polling = Polling(processes=Described().of, clock=clock, connections=connections)
    opened = peer.open("udp", bind=["127.0.0.1", 0])
    for _ in range(40):
        assert ask(polling, UDP, opened) == "no_socket"
        clock.now += SECOND // 10
    later = next(slow) - 1
    assert 0 < later * 4 * (SECOND // 3) <= clock.now


def test_a_process_that_ended_since_the_list_is_nobody() -> None:
    with Peer() as peer:
        opened = peer.open("udp", bind=["127.0.0.1", 0])
        polling = Polling(processes=Described().of, clock=Clock())
        assert pid_of(ask(polling, UDP, opened)) == peer.pid
    assert ask(polling, UDP, opened) == "process_gone"


def test_a_pid_that_was_given_away_while_listing_is_not_believed(peer: Peer) -> None:
    """The list names a process that was not there before it: it may be another than had the socket."""
    opened = peer.open("udp", bind=["127.0.0.1", 0])
    late: list[Peer] = []

    def connections(kind: str) -> list[Any]:
        late.append(Peer())
        rows = [row for row in psutil.net_connections(kind) if row.laddr and row.laddr[1] == opened.local[1]]
        return [row._replace(pid=late[0].pid) for row in rows]

    polling = Polling(processes=Described().of, clock=Clock(), connections=connections)
    assert ask(polling, UDP, opened) == "process_gone"
    for one in late:
        with one:
            pass


def test_a_refused_list_is_counted_and_not_raised(peer: Peer) -> None:
    def connections(kind: str) -> list[Any]:
        raise psutil.AccessDenied

    opened = peer.open("udp", bind=["127.0.0.1", 0])
    assert (
        ask(Polling(processes=Described().of, clock=Clock(), connections=connections), UDP, opened) == "access_denied"
    )


@pytest.mark.parametrize(("status", "reason"), [("ESTABLISHED", "access_denied"), ("TIME_WAIT", "socket_closed")])
def test_a_row_without_a_pid_says_why(status: str, reason: str) -> None:
    """Without rights the pid of others is hidden; a waiting connection has none."""
    real = psutil.net_connections("inet")
    kind = type(real[0]) if real else None
    if kind is None:
        pytest.skip("no socket is open here")
    here, there = ("127.0.0.1", 50000), ("127.0.0.1", 443)
    row = real[0]._replace(
        family=socket.AF_INET, type=socket.SOCK_STREAM, laddr=here, raddr=there, status=status, pid=None
    )
    polling = Polling(processes=Described().of, clock=Clock(), connections=lambda kind: [row])
    assert polling.find(TCP, 4, LOOPBACK, 50000, LOOPBACK, 443, direction=2) == reason


def test_services_are_what_the_system_says_of_the_process(peer: Peer) -> None:
    opened = peer.open("udp", bind=["127.0.0.1", 0])
    asked: list[tuple[int, int]] = []

    def services(pid: int, created: int) -> tuple[str, ...]:
        asked.append((pid, created))
        return ("termservice",)

    polling = Polling(clock=Clock(), processes=Described(services=services).of)
    for _ in range(2):
        answer = ask(polling, UDP, opened)
        assert isinstance(answer, Found)
        assert answer.processes[0].membership.services == ("termservice",)
    assert asked == [(peer.pid, peer.created)] * 2, "a host starts services later, too"


def test_a_process_is_described_without_guessing(peer: Peer) -> None:
    process = describe(peer.pid)
    assert process is not None
    assert (process.pid, process.created) == (peer.pid, peer.created)
    assert process.image == psutil.Process(peer.pid).exe()
    assert process.command_line is not None
    assert process.command_line[-1].endswith("peers.py")
    assert describe(1 << 30) is None
    assert created_at(1 << 30) is None
    assert Described().of(peer.pid, peer.created + 1) is None


def test_a_source_may_be_told_to_poll(peer: Peer) -> None:
    """What a list says is worth less than the kernel's own answer."""
    opened = peer.open("tcp", bind=["127.0.0.1", 0], listen=True)
    client = peer.open("tcp", connect=opened.local)
    source = LiveSource(ask=False)
    owner = source.find(TCP, 4, LOOPBACK, client.local[1], LOOPBACK, opened.local[1], 0, 2)
    assert owner is not None
    assert (owner.subject.pid, owner.subject.process_created) == (peer.pid, peer.created)
    assert owner.subject.confidence is Confidence.MEDIUM
    assert source.find(1, 4, LOOPBACK, 0, LOOPBACK, 0, 0, 0) is None
    assert source.misses == {"protocol": 1}
    source.refresh()
