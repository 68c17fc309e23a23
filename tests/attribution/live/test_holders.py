"""The index of who holds which socket, against processes that say which they hold."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.attribution.live.holders import Holders
from tests.attribution.live.peers import Peer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer() as made:
        yield made


def pids(holders: Holders, inode: int, uid: int | None = None) -> list[int]:
    return [holder.pid for holder in holders.find(inode, os.geteuid() if uid is None else uid)]


def opened(peer: Peer) -> tuple[int, int]:
    """(index, inode)"""
    made = peer.open("udp", bind=["127.0.0.1", 0])
    return made.index, made.inode


@pytest.mark.parametrize("uid", [0, 4242], ids=["same-user", "other-user"])
def test_a_new_socket_is_found_without_reading_everything_again(peer: Peer, uid: int) -> None:
    """Whoever made it: the user says only where to look first."""
    holders = Holders()
    holders.start()
    for _ in range(50):
        assert pids(holders, opened(peer)[1], uid) == [peer.pid]


def test_a_descriptor_that_was_free_is_found(peer: Peer) -> None:
    """The kernel gives out the lowest: gaps below the highest fill first."""
    made = [opened(peer) for _ in range(40)]
    for index, _ in made[5:15]:
        peer.ask("close", index=index)
    holders = Holders()
    holders.start()
    for _ in range(12):
        assert pids(holders, opened(peer)[1]) == [peer.pid]


def test_a_descriptor_that_was_another_socket_is_found(peer: Peer) -> None:
    """Closed and given out again between two looks: only reading the process again shows it."""
    made = [opened(peer) for _ in range(40)]
    holders = Holders()
    holders.start()
    for index, inode in made[5:15]:
        peer.ask("close", index=index)
        new = opened(peer)[1]
        assert pids(holders, new) == [peer.pid]
        assert pids(holders, inode) == []


def test_what_was_read_in_vain_is_not_read_again(peer: Peer) -> None:
    """A socket of the kernel's own has no holder: the second question reads only what other programs began since."""
    holders = Holders(looks=100_000)
    holders.start()
    nobody = 1 << 31
    assert pids(holders, nobody) == []
    first = holders.table.readings
    assert pids(holders, nobody) == []
    assert holders.table.readings - first < first // 2


def test_one_lookup_reads_no_more_than_its_bound(peer: Peer) -> None:
    """The next one goes on from there."""
    made = [opened(peer) for _ in range(60)]
    holders = Holders(looks=30)
    holders.start()
    peer.ask("close", index=made[0][0])
    new = opened(peer)[1]
    for _ in range(200):
        if pids(holders, new) == [peer.pid]:
            break
    else:
        pytest.fail("never found")


def test_it_is_not_still_there(peer: Peer) -> None:
    """A socket that has closed is not worth reading whole processes for."""
    holders = Holders()
    holders.start()
    before = holders.table.readings
    assert holders.find(1 << 31, os.geteuid(), lambda: False) == []
    assert holders.table.readings - before < len(os.listdir("/proc")), "new processes at most"


def test_children_and_parents_are_holders_and_cease_to_be(peer: Peer) -> None:
    holders = Holders()
    holders.start()
    index, inode = opened(peer)
    child = peer.ask("fork")
    assert sorted(pids(holders, inode)) == sorted([peer.pid, child])
    peer.ask("close", index=index)
    assert pids(holders, inode) == [child]
    peer.ask("end", child=child)
    assert pids(holders, inode) == []


def test_who_got_a_socket_over_a_unix_socket_is_known_after_a_refresh(peer: Peer, tmp_path: Path) -> None:
    """Nothing in /proc tells it sooner."""
    path = str(tmp_path / "way")
    with Peer() as other:
        index, inode = opened(peer)
        holders = Holders()
        holders.start()
        assert pids(holders, inode) == [peer.pid]
        other.send("take", path=path)
        other.wait_for(path)
        peer.ask("give", index=index, path=path)
        assert other.answer()["inode"] == inode
        holders.refresh(100_000)
        assert sorted(pids(holders, inode)) == sorted([peer.pid, other.pid])
        peer.ask("close", index=index)
        assert pids(holders, inode) == [other.pid]


def test_a_socket_that_a_process_holds_twice_survives_one_close() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
        inode = os.fstat(first.fileno()).st_ino
        second = socket.socket(fileno=os.dup(first.fileno()))
        with second:
            holders = Holders()
            holders.start()
            assert pids(holders, inode) == [os.getpid()]
            first.close()
            assert pids(holders, inode) == [os.getpid()]
        assert pids(holders, inode) == []


def test_a_process_that_runs_another_program_is_that_program(peer: Peer) -> None:
    """exec keeps pid and creation: the image is looked at each time."""
    from agent.attribution.live.processes import Processes

    holders, processes = Holders(), Processes()
    inode = opened(peer)[1]
    (holder,) = holders.find(inode, os.geteuid())
    before = processes.holding(holder.pid, holder.number, inode)
    peer.ask("run", path="/bin/sh")
    peer.wait_until(lambda: os.readlink(f"/proc/{peer.pid}/exe") != str(Path(sys.executable).resolve()))
    after = processes.holding(holder.pid, holder.number, inode)
    assert before is not None
    assert after is not None
    assert (before.pid, before.created) == (after.pid, after.created) == (peer.pid, peer.created)
    assert before.image == str(Path(sys.executable).resolve())
    assert after.image == str(Path("/bin/sh").resolve())
    assert processes.holding(holder.pid, holder.number, inode + 1) is None, "it holds another socket there"
    assert processes.holding(holder.pid, 1000, inode) is None
