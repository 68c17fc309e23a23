"""LiveSource against real sockets of real processes, which say themselves who they are."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.attribution.live.source import LiveSource
from agent.attribution.values import Owner
from agent.model.address import parse_address
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence
from tests.attribution.live.peers import Opened, Peer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

PROTOCOLS = {"tcp": 6, "udp": 17}
UNKNOWN, INBOUND, OUTBOUND = 0, 1, 2
LOOPBACK = {4: "127.0.0.1", 6: "::1"}
NOWHERE = {4: "192.0.2.77", 6: "2001:db8::77"}
REUSEPORT = [[socket.SOL_SOCKET, getattr(socket, "SO_REUSEPORT", 15), 1]]


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Peer]:
    with Peer() as made:
        yield made


def find(
    source: LiveSource, kind: str, local: tuple[str, int], remote: tuple[str, int], direction: int = UNKNOWN
) -> Owner | None:
    version, here = parse_address(local[0])
    there = parse_address(remote[0]).value
    return source.find(PROTOCOLS[kind], version, here, local[1], there, remote[1], 0, direction)


def owner_of(source: LiveSource, kind: str, local: tuple[str, int], remote: tuple[str, int], **more: int) -> Owner:
    owner = find(source, kind, local, remote, **more)
    assert owner is not None, dict(source.misses)
    return owner


def misses(source: LiveSource) -> dict[str, int]:
    """By reason; this machine may have other network namespaces, or none."""
    return {reason.removesuffix("_in_this_namespace"): count for reason, count in source.misses.items()}


def who(subject: Subject) -> tuple[int | None, int | None]:
    return subject.pid, subject.process_created


def truth(peer: Peer) -> tuple[int, int]:
    return peer.pid, peer.created


def connected(client: Peer, server: Peer, family: int = 4) -> tuple[Opened, Opened, Opened]:
    """(client's end, server's end, listener)."""
    listener = server.open("tcp", family=family, bind=[LOOPBACK[family], 0], listen=True)
    ours = client.open("tcp", family=family, connect=listener.local)
    return ours, server.accept(listener.index), listener


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("started", ["before", "after"])
def test_both_ends_of_a_connection_have_their_owner(peer: Peer, other: Peer, family: int, started: str) -> None:
    """Also of sockets that were made after the source began."""
    source = LiveSource() if started == "before" else None
    ours, theirs, _ = connected(peer, other, family)
    source = source or LiveSource()
    assert ours.remote is not None
    assert theirs.remote is not None
    for opened, owner in ((ours, peer), (theirs, other)):
        assert opened.remote is not None
        found = owner_of(source, "tcp", opened.local, opened.remote)
        assert who(found.subject) == truth(owner)
        assert found.subject.confidence is Confidence.HIGH
        assert not found.listening
    assert not source.misses


def test_the_facts_are_those_of_the_process(peer: Peer, other: Peer) -> None:
    """Image as /proc has it, user, parent, command line."""
    source = LiveSource()
    ours, _, _ = connected(peer, other)
    assert ours.remote is not None
    subject = owner_of(source, "tcp", ours.local, ours.remote).subject
    process = source.process(subject)
    assert process is not None
    assert subject.image == subject.canonical_image == str(Path(sys.executable).resolve())
    assert subject.source == "live"
    assert process.parent == os.getpid()
    assert process.command_line is not None
    assert process.command_line[-1].endswith("peers.py")


@pytest.mark.parametrize("family", [4, 6])
def test_an_unconnected_datagram_socket_is_found_by_its_port(peer: Peer, family: int) -> None:
    """Bound to any address, or to one; what it sends to is not known: MEDIUM."""
    source = LiveSource()
    for address in (LOOPBACK[family], "0.0.0.0" if family == 4 else "::"):
        opened = peer.open("udp", family=family, bind=[address, 0])
        found = owner_of(source, "udp", (LOOPBACK[family], opened.local[1]), (NOWHERE[family], 53))
        assert who(found.subject) == truth(peer)
        assert found.subject.confidence is Confidence.MEDIUM


@pytest.mark.parametrize("family", [4, 6])
def test_a_connected_datagram_socket_is_found_by_its_tuple(peer: Peer, other: Peer, family: int) -> None:
    source = LiveSource()
    server = other.open("udp", family=family, bind=[LOOPBACK[family], 0])
    ours = peer.open("udp", family=family, connect=server.local)
    found = owner_of(source, "udp", ours.local, server.local)
    assert who(found.subject) == truth(peer)
    assert found.subject.confidence is Confidence.HIGH
    assert find(source, "udp", ours.local, (NOWHERE[family], 53)) is None, "it takes and sends nothing else"


def test_a_dual_stack_socket_is_found_by_ipv4(peer: Peer, other: Peer) -> None:
    """IPv4-mapped: an IPv6 socket connected to ::ffff:127.0.0.1, a listener and a datagram socket at [::]."""
    source = LiveSource()
    listener = other.open("tcp", family=6, bind=["::", 0], listen=True)
    port = listener.local[1]
    ours = peer.open("tcp", family=6, connect=["::ffff:127.0.0.1", port])
    theirs = other.accept(listener.index)
    datagrams = other.open("udp", family=6, bind=["::", 0])
    mapped = peer.open("udp", family=6, connect=["::ffff:127.0.0.1", datagrams.local[1]])
    here, there = ("127.0.0.1", ours.local[1]), ("127.0.0.1", port)
    assert theirs.local == ("::ffff:127.0.0.1", port)
    assert who(owner_of(source, "tcp", here, there).subject) == truth(peer)
    assert who(owner_of(source, "tcp", there, here).subject) == truth(other)
    assert who(owner_of(source, "tcp", there, (NOWHERE[4], 9), direction=INBOUND).subject) == truth(other)
    there = ("127.0.0.1", datagrams.local[1])
    assert who(owner_of(source, "udp", there, (NOWHERE[4], 9)).subject) == truth(other)
    assert who(owner_of(source, "udp", ("127.0.0.1", mapped.local[1]), there).subject) == truth(peer)


def test_an_ipv6_only_socket_takes_no_ipv4(peer: Peer) -> None:
    source = LiveSource()
    only = [[socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1]]
    for kind in ("tcp", "udp"):
        opened = peer.open(kind, family=6, bind=["::", 0], listen=kind == "tcp", options=only)
        port = opened.local[1]
        assert find(source, kind, ("127.0.0.1", port), (NOWHERE[4], 9), INBOUND) is None
        assert who(owner_of(source, kind, ("::1", port), (NOWHERE[6], 9), direction=INBOUND).subject) == truth(peer)


def test_a_listener_answers_for_inbound_flows_only(peer: Peer) -> None:
    """An outbound flow from a listening port is somebody else's."""
    source = LiveSource()
    listener = peer.open("tcp", bind=["127.0.0.1", 0], listen=True)
    found = owner_of(source, "tcp", listener.local, (NOWHERE[4], 9), direction=INBOUND)
    assert who(found.subject) == truth(peer)
    assert found.listening
    assert found.subject.confidence is Confidence.MEDIUM
    assert find(source, "tcp", listener.local, (NOWHERE[4], 9), OUTBOUND) is None
    assert misses(source) == {"no_socket": 1}


def test_a_connection_that_nobody_accepted_is_its_listeners(peer: Peer, other: Peer) -> None:
    source = LiveSource()
    listener = other.open("tcp", bind=["127.0.0.1", 0], listen=True)
    ours = peer.open("tcp", connect=listener.local)
    found = owner_of(source, "tcp", listener.local, ours.local)
    assert who(found.subject) == truth(other)
    assert found.listening
    assert found.initiated is False


def test_a_connection_that_is_closed_already_came_through_its_listener(peer: Peer, other: Peer) -> None:
    """Of a flow that is known to be inbound: the server answered, closed, and waits for the last packets."""
    source = LiveSource()
    listener = other.open("tcp", bind=["127.0.0.1", 0], listen=True)
    ours = peer.open("tcp", connect=listener.local)
    theirs = other.accept(listener.index)
    other.ask("close", index=theirs.index)
    found = owner_of(source, "tcp", listener.local, ours.local, direction=INBOUND)
    assert who(found.subject) == truth(other)
    assert (found.listening, found.initiated) == (True, False)
    assert found.subject.confidence is Confidence.MEDIUM
    assert find(source, "tcp", listener.local, ours.local) is None
    assert misses(source) == {"socket_closed": 1}


def test_a_shared_port_has_candidates(peer: Peer, other: Peer) -> None:
    """SO_REUSEPORT: which of the sockets it is cannot be told."""
    source = LiveSource()
    for kind in ("tcp", "udp"):
        first = peer.open(kind, bind=["127.0.0.1", 0], options=REUSEPORT, listen=kind == "tcp")
        other.open(kind, bind=first.local, options=REUSEPORT, listen=kind == "tcp")
        subject = owner_of(source, kind, first.local, (NOWHERE[4], 9), direction=INBOUND).subject
        assert subject.ambiguous
        assert subject.confidence is Confidence.LOW
        assert {who(candidate) for candidate in subject.candidates} == {truth(peer), truth(other)}


def test_a_forked_listener_has_candidates_while_both_hold_it(peer: Peer) -> None:
    source = LiveSource()
    listener = peer.open("tcp", bind=["127.0.0.1", 0], listen=True)
    ask = ("tcp", listener.local, (NOWHERE[4], 9))
    assert who(owner_of(source, *ask, direction=INBOUND).subject) == truth(peer)
    child = peer.ask("fork")
    subject = owner_of(source, *ask, direction=INBOUND).subject
    assert sorted(candidate.pid or 0 for candidate in subject.candidates) == sorted([peer.pid, child])
    peer.ask("end", child=child)
    assert who(owner_of(source, *ask, direction=INBOUND).subject) == truth(peer)
    child = peer.ask("fork")
    peer.ask("close", index=listener.index)
    assert owner_of(source, *ask, direction=INBOUND).subject.pid == child, "the child is the only one left"


def test_a_parent_that_still_holds_the_socket_is_a_candidate(peer: Peer) -> None:
    """The child is seen first: it is new, its parent was read before the socket was."""
    source = LiveSource()
    listener = peer.open("tcp", bind=["127.0.0.1", 0], listen=True)
    child = peer.ask("fork")
    subject = owner_of(source, "tcp", listener.local, (NOWHERE[4], 9), direction=INBOUND).subject
    assert {candidate.pid for candidate in subject.candidates} == {peer.pid, child}


@pytest.mark.parametrize(
    ("protocol", "reason"), [(1, "protocol"), (132, "protocol"), (6, "no_socket"), (17, "no_socket")]
)
def test_a_miss_is_counted_with_its_reason(protocol: int, reason: str) -> None:
    source = LiveSource()
    there = parse_address(NOWHERE[4]).value
    assert source.find(protocol, 4, there, 1, there, 1, 0, UNKNOWN) is None
    assert source.find(protocol, 4, there, 1, there, 1, 0, UNKNOWN) is None
    assert misses(source) == {reason: 2}


def test_a_closed_connection_is_nobodys(peer: Peer, other: Peer) -> None:
    source = LiveSource()
    ours, _, _ = connected(peer, other)
    assert ours.remote is not None
    peer.ask("close", index=ours.index)
    assert find(source, "tcp", ours.local, ours.remote) is None
    assert source.misses == {"socket_closed": 1}


def test_equal_answers_are_one_object(peer: Peer, other: Peer) -> None:
    """A chain adopts an owner once."""
    source = LiveSource()
    ours, _, listener = connected(peer, other)
    again = peer.open("tcp", connect=listener.local)
    first = owner_of(source, "tcp", ours.local, listener.local)
    assert first is owner_of(source, "tcp", ours.local, listener.local)
    assert first is owner_of(source, "tcp", again.local, listener.local)


def test_its_addresses_are_the_machines() -> None:
    assert {str(address) for address in LiveSource().local_addresses()} >= {"127.0.0.1"}
