"""Live interfaces: what passes is read whole, once, with its direction, time, length and tag."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import threading
import time

import pytest

from agent.capture.batch import INBOUND, OUTBOUND, Batch
from agent.capture.links import ETHERNET, RAW
from agent.capture.live import LiveReader
from agent.model.address import parse_address
from agent.model.errors import EnvironmentFailure, UsageError
from tests.support.network import PATIENCE, in_namespace, ip, running, until, up

pytestmark = pytest.mark.needs_root

Seen = tuple[bytes, int, int, int]
"""Frame, original length, direction, interface."""


def seen(batch: Batch) -> list[Seen]:
    return [
        (bytes(batch.frame(one)), batch.original_length(one), batch.direction_flag(one), batch.interface(one))
        for one in range(batch.count)
    ]


def read(reader: LiveReader, count: int) -> list[Seen]:
    """The next `count` packets, and no more than those that came with them."""
    found: list[Seen] = []
    end = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < end, f"{len(found)} of {count} packets came"
        batch = reader.next_batch(1.0)
        assert batch is not None
        found += seen(batch)
    return found


def nothing_more(reader: LiveReader) -> bool:
    batch = reader.next_batch(0)
    return batch is not None and batch.count == 0


def veth() -> tuple[socket.socket, socket.socket]:
    """Two ends of a cable, `near` and `far`, both without addresses: nobody but the test sends."""
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as file:
        file.write("1")
    ip("link", "add", "near", "type", "veth", "peer", "name", "far")
    for name in ("near", "far"):
        up(name)
    until(lambda: running("near") and running("far"))
    ends = []
    for name in ("near", "far"):
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        one.bind((name, 0))
        ends.append(one)
    return ends[0], ends[1]


def frame(number: int, size: int = 60, ether_type: int = 0x0800) -> bytes:
    return struct.pack(">6s6sH", b"\xff" * 6, b"\x02" * 6, ether_type) + number.to_bytes(4, "big") * ((size - 14) // 4)


@in_namespace
def test_packets_come_whole_in_order_with_direction_and_time() -> None:
    near, far = veth()
    with LiveReader(["near"]) as reader:
        before = time.time_ns()
        near.send(frame(1))
        far.send(frame(2, size=1414))
        batch = reader.next_batch(PATIENCE)
        assert batch is not None
        found = seen(batch) if batch.count == 2 else seen(batch) + read(reader, 1)
        assert found == [(frame(1), 58, OUTBOUND, 0), (frame(2, 1414), 1414, INBOUND, 0)]
        assert [one.name for one in reader.interfaces] == ["near"]
        assert before <= batch.time(0) <= time.time_ns()
        assert (batch.link_type(0), batch.has_time(0), bytes(batch.options(0))) == (ETHERNET, True, b"")
        assert nothing_more(reader)
        assert (reader.packets, reader.bytes_read, reader.dropped) == (2, 58 + 1414, 0)


@in_namespace
def test_many_packets_at_once_are_all_there() -> None:
    """More than one system call takes."""
    near, _far = veth()
    with LiveReader(["near"]) as reader:
        for number in range(1000):
            near.send(frame(number))
        assert [one[0] for one in read(reader, 1000)] == [frame(number) for number in range(1000)]
        assert reader.dropped == 0


@in_namespace
def test_long_packets_are_cut_and_say_how_long_they_were() -> None:
    near, _far = veth()
    with LiveReader(["near"], snaplen=96) as reader:
        near.send(frame(1, size=1414))
        assert read(reader, 1) == [(frame(1, 1414)[:96], 1414, OUTBOUND, 0)]


@in_namespace
def test_vlan_tags_are_put_back() -> None:
    """The kernel takes them out of frames and tells them beside."""
    _near, far = veth()
    tagged = frame(7)[:12] + struct.pack(">HH", 0x8100, 3 << 13 | 5) + frame(7)[12:]
    provider = frame(8)[:12] + struct.pack(">HH", 0x88A8, 9) + frame(8)[12:]
    with LiveReader(["near"]) as reader:
        far.send(tagged)
        far.send(provider)
        assert read(reader, 2) == [(tagged, 62, INBOUND, 0), (provider, 62, INBOUND, 0)]


@in_namespace
def test_of_the_loopback_device_each_packet_is_kept_once_as_it_is_sent() -> None:
    with (
        LiveReader(["lo"], filter_text="udp") as reader,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        for number in range(3):
            sender.sendto(b"%d" % number, receiver.getsockname())
        found = read(reader, 3)
        assert [(one[0][-1:], one[2]) for one in found] == [(b"0", OUTBOUND), (b"1", OUTBOUND), (b"2", OUTBOUND)]
        assert nothing_more(reader)
        assert reader.interfaces[0].addresses == (parse_address("127.0.0.1"), parse_address("::1"))


@in_namespace
def test_a_filter_works_in_the_kernel_from_the_first_packet_on() -> None:
    near, _far = veth()
    near.send(frame(1, ether_type=0x0806))
    with LiveReader(["near"], filter_text="ether proto 0x88b5") as reader:
        near.send(frame(2, ether_type=0x0806))
        near.send(frame(3, ether_type=0x88B5))
        assert read(reader, 1) == [(frame(3, ether_type=0x88B5), 58, OUTBOUND, 0)]
        assert nothing_more(reader)


@in_namespace
def test_any_reads_all_interfaces_and_those_that_come_later() -> None:
    near, _far = veth()
    with LiveReader(["any"]) as reader:
        assert {one.name for one in reader.interfaces} >= {"lo", "near", "far"}
        near.send(frame(1))
        found = read(reader, 2)  # it leaves one end and arrives at the other
        assert {(reader.interfaces[one[3]].name, one[2]) for one in found} == {("near", OUTBOUND), ("far", INBOUND)}
        ip("link", "add", "later", "type", "veth", "peer", "latest")
        for name in ("later", "latest"):
            up(name)
        until(lambda: running("later"))
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as one:
            one.bind(("later", 0))
            one.send(frame(2))
        found = read(reader, 2)
        assert {(reader.interfaces[one[3]].name, one[0]) for one in found} == {
            ("later", frame(2)),
            ("latest", frame(2)),
        }


@in_namespace
def test_several_interfaces_are_told_apart() -> None:
    near, far = veth()
    with LiveReader(["near", "far"]) as reader:
        near.send(frame(1))
        far.send(frame(2))
        found = sorted(
            (reader.interfaces[number].name, direction, data) for data, _, direction, number in read(reader, 4)
        )
        assert found == sorted(
            [
                ("near", OUTBOUND, frame(1)),
                ("far", INBOUND, frame(1)),
                ("far", OUTBOUND, frame(2)),
                ("near", INBOUND, frame(2)),
            ]
        )


def tun(name: str) -> int:
    """A device without link headers, as VPNs have."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("no /dev/net/tun here")
    file = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(file, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0001 | 0x1000))  # TUNSETIFF, IFF_TUN|NO_PI
    up(name)
    return file


@in_namespace
@pytest.mark.parametrize("filter_text", ["", "udp port 9"])
def test_a_device_without_a_link_header_gives_ip_packets(filter_text: str) -> None:
    file = tun("vpn0")
    datagram = struct.pack(">HHHH", 5000, 9, 9, 0) + b"q"
    packet = (
        struct.pack(">BBHHHBBH4s4s", 0x45, 0, 29, 1, 0, 64, 17, 0, b"\x0a\x00\x00\x01", b"\x0a\x00\x00\x02") + datagram
    )
    try:
        with LiveReader(["vpn0"], filter_text=filter_text or "ip") as reader:
            os.write(file, packet)
            assert read(reader, 1) == [(packet, 29, INBOUND, 0)]
            assert reader.interfaces[0].link_type == RAW
        with LiveReader(["any"], filter_text=filter_text or "ip") as reader:
            os.write(file, packet)
            assert [one[:3] for one in read(reader, 1)] == [(packet, 29, INBOUND)]
    finally:
        os.close(file)


@in_namespace
def test_an_interface_that_goes_away_ends_the_reading_with_what_came() -> None:
    near, _far = veth()
    with LiveReader(["near"]) as reader:
        near.send(frame(1))
        ip("link", "delete", "near")
        found: list[Seen] = []
        while (batch := reader.next_batch(PATIENCE)) is not None:
            found += seen(batch)
        assert [one[0] for one in found] == [frame(1)]
        assert reader.vanished == ["near"]


@in_namespace
def test_an_interface_that_goes_down_and_then_away_is_missed_too() -> None:
    """The kernel tells of the first only."""
    veth()
    with LiveReader(["near"]) as reader:
        ip("link", "set", "near", "down")
        batch = reader.next_batch(0)
        assert batch is not None
        assert list(reader.went_down) == ["near"]
        ip("link", "delete", "near")
        while batch is not None:
            batch = reader.next_batch(PATIENCE)
        assert reader.vanished == ["near"]


@in_namespace
def test_an_interface_that_is_down_for_a_time_ends_nothing() -> None:
    near, _far = veth()
    with LiveReader(["near"]) as reader:
        ip("link", "set", "near", "down")
        up("near")
        until(lambda: running("near"))
        near.send(frame(1))
        assert [one[0] for one in read(reader, 1)] == [frame(1)]
        assert (reader.vanished, list(reader.went_down)) == ([], ["near"])


@in_namespace
def test_whoever_waits_can_be_woken() -> None:
    with LiveReader(["lo"]) as reader:
        threading.Timer(0, reader.wake).start()
        batch = reader.next_batch(None)
        assert batch is not None
        assert batch.count == 0


@in_namespace
def test_whoever_is_woken_too_late_sleeps_on() -> None:
    """A signal may come between the end of a recording and that of its handler."""
    reader = LiveReader(["lo"])
    reader.close()
    reader.wake()


@in_namespace
def test_an_interface_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(UsageError, match=r"^-i eth9: no such interface; this host has lo, any$"):
        LiveReader(["eth9"])


@in_namespace
def test_a_wrong_filter_is_told_in_libpcaps_words() -> None:
    with pytest.raises(UsageError, match=r"^--filter 'tcp prot 443': .*syntax error"):
        LiveReader(["lo"], filter_text="tcp prot 443")


def test_without_the_capability_it_says_what_is_needed() -> None:
    """Of one thread only: the others keep it."""
    raised: list[BaseException] = []

    def work() -> None:
        import ctypes

        libc = ctypes.CDLL(None)
        assert libc.capset(struct.pack("=Ii", 0x20080522, 0), bytes(24)) == 0  # version 3, this thread: no capability
        try:
            LiveReader(["lo"])
        except EnvironmentFailure as failure:
            raised.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [str(one) for one in raised] == ["record needs root or CAP_NET_RAW: run it with sudo"]
