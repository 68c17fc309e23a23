"""Whose packets: when the source is asked, what its answer holds for, and what is told when it changes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from agent.attribution.values import Owner
from agent.datapath.headers import Header
from agent.model.address import parse_address
from agent.model.moment import SECOND
from agent.model.subject import Subject
from agent.record import owners as module
from agent.record.owners import Conversation, Owners
from tests.support import frames as f

US, PEER = "10.0.0.5", "203.0.113.9"
IN, OUT = 1, 2
MS = SECOND // 1000
START = 1_767_603_600 * SECOND

A = Owner(Subject(pid=1, image="/bin/a"))
B = Owner(Subject(pid=2, image="/bin/b"))
LISTENER = Owner(Subject(pid=3, image="/sbin/l"), listening=True)
ACCEPTED = Owner(Subject(pid=3, image="/sbin/l"), initiated=False)
FORKED = Owner(Subject(pid=4, image="/sbin/l"), initiated=False)


class Lab:
    """Owners with a source that says what it is told to, and a clock that stands where the packets are."""

    def __init__(self) -> None:
        self.answer: Owner | None = None
        self.asked: list[tuple[Any, ...]] = []
        self.ended: list[tuple[int | None, int, int | None]] = []
        """(pid, start, end), in ms from START."""
        self.now = START
        self.lag = 0
        self.owners = Owners(self, ended=self._end, clock=lambda: self.now + self.lag)
        self.owners.set_addresses([parse_address(US), parse_address("fd00::5")], [parse_address("10.0.0.255")])

    def find(self, *question: Any) -> Owner | None:
        self.asked.append(question)
        return self.answer

    def _end(self, known: Conversation, end: int | None) -> None:
        pid = None if known.owner is None else known.owner.subject.pid
        self.ended.append((pid, (known.start - START) // MS, None if end is None else (end - START) // MS))

    def send(self, frame: bytes, direction: int, at: int) -> Conversation | None:
        """`at`: ms from START."""
        self.now = START + at * MS
        header = Header()
        header.attach(frame)
        assert header.decode(0, len(frame), 1) == 0
        return self.owners.conversation(header, direction, self.now)

    def owner(self, frame: bytes, direction: int, at: int) -> Owner | None:
        known = self.send(frame, direction, at)
        return None if known is None else known.owner


def tcp(flags: int, *, out: bool = True, port: int = 50000) -> bytes:
    ends = (f"{US}:{port}", f"{PEER}:443")
    return f.tcp_frame(*(ends if out else ends[::-1]), flags=flags)


def udp(*, out: bool = True, port: int = 50000) -> bytes:
    ends = (f"{US}:{port}", f"{PEER}:53")
    return f.udp_frame(*(ends if out else ends[::-1]))


def test_a_conversation_is_asked_for_once_from_its_local_end() -> None:
    lab = Lab()
    lab.answer = A
    assert lab.owner(tcp(f.SYN), OUT, 0) is A
    for at in range(1, 100):
        assert lab.owner(tcp(f.ACK, out=at % 2 == 0), OUT if at % 2 == 0 else IN, at) is A
    us, peer = parse_address(US).value, parse_address(PEER).value
    assert lab.asked == [(6, 4, us, 50000, peer, 443, START, OUT)]


@pytest.mark.parametrize(
    ("frame", "direction", "hint"),
    [
        pytest.param(tcp(f.SYN), OUT, 2, id="syn-out"),
        pytest.param(tcp(f.SYN, out=False), IN, 1, id="syn-in"),
        pytest.param(tcp(f.SYN | f.ACK), OUT, 0, id="answer"),
        pytest.param(tcp(f.ACK, out=False), IN, 0, id="midway"),
        pytest.param(udp(), OUT, 0, id="udp"),
    ],
)
def test_only_a_syn_tells_who_began(frame: bytes, direction: int, hint: int) -> None:
    lab = Lab()
    lab.send(frame, direction, 0)
    assert lab.asked[0][-1] == hint


def test_a_new_syn_is_a_new_question_and_the_old_owner_has_it_no_longer() -> None:
    lab = Lab()
    lab.answer = A
    lab.send(tcp(f.SYN), OUT, 0)
    lab.send(tcp(f.ACK), OUT, 5)
    lab.answer = B
    assert lab.owner(tcp(f.SYN), OUT, 9) is B
    assert lab.ended == [(1, 0, 5)]
    lab.answer = None
    assert lab.owner(tcp(f.SYN), OUT, 20) is None
    assert lab.ended == [(1, 0, 5), (2, 9, 9)]
    lab.owners.finish()
    assert lab.ended[2:] == [(None, 20, None)]


def test_a_connection_keeps_its_owner_when_the_socket_is_gone() -> None:
    lab = Lab()
    lab.answer = A
    lab.send(tcp(f.SYN), OUT, 0)
    lab.answer = None
    assert lab.owner(tcp(f.ACK), OUT, 40_000) is A
    assert len(lab.asked) == 2


def test_a_connection_without_owner_is_asked_for_again_at_growing_intervals_and_not_for_ever() -> None:
    lab = Lab()
    for at in range(0, 300_000, 7):
        lab.send(tcp(f.ACK), OUT, at)
    asked = [question[6] for question in lab.asked]
    assert len(asked) == module.ATTEMPTS
    pauses = [(later - earlier) // MS for earlier, later in pairwise(asked)]
    assert all(10**number <= pause <= 10**number + 7 for number, pause in enumerate(pauses))


def test_a_listener_is_asked_again_until_the_connection_is_taken() -> None:
    lab = Lab()
    lab.answer = LISTENER
    assert lab.owner(tcp(f.SYN, out=False), IN, 0) is LISTENER
    lab.answer = ACCEPTED
    assert lab.owner(tcp(f.ACK, out=False), IN, 5) is ACCEPTED
    assert lab.ended == []
    lab.owners.finish()
    assert lab.ended == [(3, 0, None)]


def test_a_connection_taken_by_another_process_than_the_listener_changes_hands() -> None:
    lab = Lab()
    lab.answer = LISTENER
    lab.send(tcp(f.SYN, out=False), IN, 0)
    lab.answer = FORKED
    assert lab.owner(tcp(f.ACK, out=False), IN, 5) is FORKED
    assert lab.ended == [(3, 0, 0)]


def test_a_datagram_is_asked_for_each_time() -> None:
    """Ports change hands without a sign."""
    lab = Lab()
    lab.answer = A
    assert lab.owner(udp(), OUT, 0) is A
    lab.answer = B
    assert lab.owner(udp(), OUT, 1) is B
    lab.answer = None
    assert lab.owner(udp(), OUT, 2) is None
    assert lab.ended == [(1, 0, 0), (2, 1, 1)]


def test_who_sent_before_the_owner_was_known_stays_unknown() -> None:
    """A connection found late has had one owner all the time; a port may have had another."""
    lab = Lab()
    lab.send(udp(), OUT, 0)
    lab.send(tcp(f.SYN), OUT, 0)
    lab.answer = A
    lab.send(udp(), OUT, 10)
    lab.send(tcp(f.ACK), OUT, 10)
    lab.owners.finish()
    assert lab.ended == [(None, 0, 0), (1, 10, None), (1, 0, None)]


def test_an_answer_to_a_datagram_is_for_whoever_asked_not_long_ago() -> None:
    lab = Lab()
    lab.answer = A
    lab.send(udp(), OUT, 0)
    lab.answer = None
    assert lab.owner(udp(out=False), IN, 900) is A
    assert lab.owner(udp(out=False), IN, 2500) is None


def test_an_answer_to_a_port_that_another_has_now_is_not_for_whoever_asked() -> None:
    lab = Lab()
    lab.answer = A
    lab.send(udp(), OUT, 0)
    lab.answer = B
    assert lab.owner(udp(out=False), IN, 1) is B


def test_an_answer_holds_for_what_passed_before_it_was_given() -> None:
    """A queue of packets that wait is answered by one question."""
    lab = Lab()
    lab.answer = A
    lab.lag = 50 * MS
    assert all(lab.owner(udp(), OUT, at) is A for at in range(50))
    assert len(lab.asked) == 1


def test_a_process_that_began_after_the_packet_does_not_own_it() -> None:
    """The ports changed hands while the packet waited."""
    lab = Lab()
    lab.answer = Owner(Subject(pid=9, process_created=START + 100 * MS))
    assert lab.owner(udp(), OUT, 50) is None
    assert lab.owner(udp(port=50001), OUT, 120) is lab.answer


def test_questions_a_second_are_bounded() -> None:
    lab = Lab()
    lab.answer = A
    for number in range(20_000):
        lab.now = START + number * (SECOND // 20_000)
        header = Header()
        frame = udp()
        header.attach(frame)
        header.decode(0, len(frame), 1)
        known = lab.owners.conversation(header, OUT, lab.now)
        assert known is not None
        assert known.owner is A
    assert module.QUESTIONS <= len(lab.asked) <= 2 * module.QUESTIONS + 1


@pytest.mark.parametrize(
    ("source", "destination", "direction", "ours"),
    [
        pytest.param(US, PEER, OUT, True, id="ours"),
        pytest.param(PEER, US, IN, True, id="to-us"),
        pytest.param("10.0.0.7", PEER, OUT, False, id="forwarded"),
        pytest.param(PEER, "10.0.0.7", IN, False, id="to-another"),
        pytest.param(PEER, "10.0.0.255", IN, True, id="broadcast"),
        pytest.param(PEER, "239.1.2.3", IN, True, id="group"),
        pytest.param("127.0.0.1", "127.0.0.1", OUT, True, id="loopback"),
    ],
)
def test_nobody_is_asked_for_the_traffic_of_others(source: str, destination: str, direction: int, ours: bool) -> None:
    """A socket bound to every address would be taken for its owner."""
    lab = Lab()
    lab.answer = A
    known = lab.send(f.udp_frame(f"{source}:5000", f"{destination}:5001"), direction, 0)
    assert (known is not None, bool(lab.asked), lab.owners.stranger) == (ours, ours, not ours)


def test_a_closed_connection_ends_with_its_last_packet() -> None:
    lab = Lab()
    lab.answer = A
    lab.send(tcp(f.SYN), OUT, 0)
    lab.send(tcp(f.FIN | f.ACK), OUT, 10)
    lab.send(tcp(f.FIN | f.ACK, out=False), IN, 12)
    lab.send(tcp(f.ACK), OUT, 13)
    lab.owners.sweep(START + 14 * MS)
    assert lab.ended == []
    lab.owners.sweep(START + 6000 * MS)
    assert lab.ended == [(1, 0, 13)]


def test_what_is_open_at_the_end_has_no_end() -> None:
    lab = Lab()
    lab.answer = A
    lab.send(tcp(f.SYN), OUT, 0)
    lab.send(tcp(f.SYN, port=50001), OUT, 1)
    lab.send(tcp(f.RST, port=50001), OUT, 2)
    lab.owners.finish()
    assert lab.ended == [(1, 0, None), (1, 1, 2)]


def test_the_conversations_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONVERSATIONS", 10)
    lab = Lab()
    lab.answer = A
    for number in range(30):
        lab.send(tcp(f.SYN, port=40000 + number), OUT, number)
    assert lab.ended == [(1, number, number) for number in range(20)]


def test_fragments_have_the_owner_of_the_first() -> None:
    lab = Lab()
    lab.answer = A
    whole = f.udp_frame(f"{US}:5000", f"{PEER}:5001", b"x" * 64)

    def fragment(offset: int, more: bool) -> bytes:
        word = (0x2000 if more else 0) | offset // 8
        return whole[:20] + word.to_bytes(2, "big") + whole[22:]

    assert lab.owner(fragment(0, more=True), OUT, 0) is A
    assert lab.owner(fragment(64, more=False), OUT, 0) is A
    assert len(lab.asked) == 1
