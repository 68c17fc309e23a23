"""The outermost flow of a packet, found by tshark whatever lies around and inside it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.capture.writer import PcapngWriter
from tests.captures.tshark import LIFETIME, Dissection, Row
from tests.captures.tuples import Tuple, folded
from tests.support.frames import (
    DESTINATION,
    FRAGMENT,
    HOP_BY_HOP,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    authentication,
    ethernet,
    extension,
    fragment6,
    icmp,
    ip,
    ipv4,
    ipv6,
    null,
    sctp,
    sll,
    sll2,
    tcp,
    udp,
)

SECOND = 1_000_000_000
A, B, A6, B6 = "10.0.0.5", "203.0.113.9", "2001:db8::5", "2001:db8::9"
FOUR, SIX = ip(A, B, tcp(50000, 443)), ip(A6, B6, tcp(50000, 443))
FLOW4, FLOW6 = folded(TCP, (A, 50000), (B, 443)), folded(TCP, (A6, 50000), (B6, 443))
ETHERNET, PPP, RAW, WLAN, LOOP, SLL, RADIOTAP, PPI, NFLOG, PKTAP, SLL2 = (
    1,
    9,
    101,
    105,
    108,
    113,
    127,
    192,
    239,
    258,
    276,
)
SNAP = bytes.fromhex("aaaa03000000")
WLAN_DATA = bytes.fromhex("08000000") + b"\2" * 18 + bytes(2)
WLAN_QOS = bytes.fromhex("88000000") + b"\2" * 18 + bytes(4)
PKTAP_HEAD = struct.pack("<III24sII", 108, 1, ETHERNET, b"en0", 2, 2).ljust(108, b"\0")
NFLOG_HEAD = bytes([2, 0, 0, 0]) + struct.pack("<HH", 4 + len(FOUR), 9)


def dissected(tshark: str, path: Path, packets: Iterable[tuple[int, bytes, float]]) -> list[Row]:
    """What tshark says of (link type, frame, seconds), as one capture of several interfaces."""
    writer = PcapngWriter(str(path))
    for link, frame, seconds in packets:
        writer.write(round((1_767_603_600 + seconds) * SECOND), link, frame, len(frame), "")
    writer.close()
    dissection = Dissection(tshark, path)
    rows = list(dissection)
    assert dissection.complaint == ""
    return rows


LINKS: dict[str, tuple[int, bytes]] = {
    "ethernet": (ETHERNET, ethernet(FOUR)),
    "vlan": (ETHERNET, ethernet(FOUR, tags=(0x8100,))),
    "qinq": (ETHERNET, ethernet(FOUR, tags=(0x88A8, 0x8100))),
    "old-qinq": (ETHERNET, ethernet(FOUR, tags=(0x9100, 0x8100))),
    "vn-tag": (ETHERNET, ethernet(bytes.fromhex("800100020800") + FOUR, 0x8926)),
    "llc-snap": (ETHERNET, ethernet(SNAP + b"\x08\x00" + FOUR, 8 + len(FOUR))),
    "vlan-llc-snap": (ETHERNET, ethernet(SNAP + b"\x08\x00" + FOUR, 8 + len(FOUR), tags=(0x8100,))),
    "pppoe": (ETHERNET, ethernet(struct.pack(">BBHHH", 0x11, 0, 1, len(FOUR) + 2, 0x21) + FOUR, 0x8864)),
    "mpls": (ETHERNET, ethernet(bytes.fromhex("00010140") + FOUR, 0x8847)),
    "two-mpls-labels": (ETHERNET, ethernet(bytes.fromhex("0001004000011140") + FOUR, 0x8847)),
    "ppp": (PPP, bytes.fromhex("ff030021") + FOUR),
    "raw": (RAW, FOUR),
    "null": (0, null(FOUR)),
    "null-big-endian": (0, null(FOUR, order=">")),
    "loop": (LOOP, null(FOUR, order=">")),
    "sll": (SLL, sll(FOUR)),
    "sll2": (SLL2, sll2(FOUR)),
    "wlan": (WLAN, WLAN_DATA + SNAP + b"\x08\x00" + FOUR),
    "wlan-qos": (WLAN, WLAN_QOS + SNAP + b"\x08\x00" + FOUR),
    "radiotap": (RADIOTAP, bytes.fromhex("0000080000000000") + WLAN_DATA + SNAP + b"\x08\x00" + FOUR),
    "ppi": (PPI, struct.pack("<BBHI", 0, 0, 8, WLAN) + WLAN_DATA + SNAP + b"\x08\x00" + FOUR),
    "pktap": (PKTAP, PKTAP_HEAD + ethernet(FOUR)),
    "nflog": (NFLOG, NFLOG_HEAD + FOUR),
}


def test_the_outermost_ip_header_is_found_in_every_link_layer(tshark: str, tmp_path: Path) -> None:
    """None of them is announced to the dissection: one capture holds them all."""
    rows = dissected(tshark, tmp_path / "links.pcapng", [(link, frame, 0) for link, frame in LINKS.values()])
    assert {name: row.flow for name, row in zip(LINKS, rows, strict=True)} == dict.fromkeys(LINKS, FLOW4)


C, D = "192.0.2.1", "192.0.2.2"
VXLAN = udp(50505, 4789, bytes.fromhex("0800000000000500") + ethernet(FOUR))
INSIDE = ipv6("fd00::1", "fd00::2", extension(UDP) + udp(1, 2), DESTINATION)
PACKETS: dict[str, tuple[bytes, Tuple | None]] = {
    "ipv6": (SIX, FLOW6),
    "udp": (ip(A, B, udp(1, 2), UDP), folded(UDP, (A, 1), (B, 2))),
    "sctp": (ip(A, B, sctp(1, 2), SCTP), folded(SCTP, (A, 1), (B, 2))),
    "udp-lite": (ip(A, B, udp(1, 2), 136), folded(136, (A, 1), (B, 2))),
    "icmp": (ip(A, B, icmp(8), ICMP), folded(ICMP, (A, None), (B, None))),
    "icmp-error": (ip(B, A, icmp(3, 3, 0, FOUR), ICMP), folded(ICMP, (A, None), (B, None))),
    "icmpv6-error": (ip(B6, A6, icmp(1, 4, 0, SIX), ICMPV6), folded(ICMPV6, (A6, None), (B6, None))),
    "no-ports": (ip(A, B, b"x" * 20, 50), folded(50, (A, None), (B, None))),
    "4in4": (ip(C, D, FOUR, 4), folded(4, (C, None), (D, None))),
    "6in4": (ip(C, D, SIX, 41), folded(41, (C, None), (D, None))),
    "4in6": (ip(A6, B6, FOUR, 4), folded(4, (A6, None), (B6, None))),
    "gre": (ip(C, D, bytes.fromhex("00000800") + FOUR, 47), folded(47, (C, None), (D, None))),
    "vxlan": (ip(C, D, VXLAN, UDP), folded(UDP, (C, 50505), (D, 4789))),
    "options": (ipv6(A6, B6, extension(DESTINATION) + extension(TCP, 16) + tcp(50000, 443), HOP_BY_HOP), FLOW6),
    "options-twice": (ipv6(A6, B6, extension(DESTINATION) + extension(TCP) + tcp(50000, 443), DESTINATION), FLOW6),
    "authenticated": (ipv6(A6, B6, authentication(TCP) + tcp(50000, 443), 51), FLOW6),
    "tunnel-behind-options": (ipv6(A6, B6, extension(41) + INSIDE, 60), folded(41, (A6, None), (B6, None))),
    "atomic-fragment": (ipv6(A6, B6, fragment6(TCP) + tcp(50000, 443), FRAGMENT), FLOW6),
    "cut-ports": (ip(A, B, b"\0\1", TCP), None),
    "cut-chain": (ipv6(A6, B6, b"", HOP_BY_HOP), None),
}  # fmt: skip


def test_what_is_inside_a_packet_is_not_its_flow(tshark: str, tmp_path: Path) -> None:
    """Tunnels, quotations and extension headers; ports that tshark cannot read are no flow."""
    rows = dissected(tshark, tmp_path / "p.pcapng", [(RAW, frame, 0) for frame, _ in PACKETS.values()])
    found = {name: row.flow for name, row in zip(PACKETS, rows, strict=True)}
    assert found == {name: flow for name, (_, flow) in PACKETS.items()}


def fragments(*, six: bool, identifier: int) -> list[bytes]:
    """A first and a later fragment of a UDP datagram."""
    parts = [(0, True, udp(4000, 53, b"x" * 8, length=24)), (16, False, b"y" * 8)]
    if six:
        return [
            ipv6(A6, B6, fragment6(UDP, offset=at, more=more, identifier=identifier) + data, FRAGMENT)
            for at, more, data in parts
        ]
    return [ipv4(A, B, data, UDP, offset=at, more=more, identifier=identifier) for at, more, data in parts]


@pytest.mark.parametrize("six", [False, True], ids=["ipv4", "ipv6"])
def test_a_later_fragment_belongs_to_the_flow_of_its_first(tshark: str, tmp_path: Path, six: bool) -> None:
    """If that lies before it, has its number, and is not too old."""
    (first, later), (other, _) = (fragments(six=six, identifier=number) for number in (7, 8))
    life = LIFETIME / SECOND
    times = [(later, 0), (other, 0), (later, 1), (first, 2), (later, 3), (later, 2 + life), (later, 3 + life)]
    rows = dissected(tshark, tmp_path / "f.pcapng", [(RAW, frame, seconds) for frame, seconds in times])
    ends = (A6, B6) if six else (A, B)
    flow, nobody = (folded(UDP, (ends[0], one), (ends[1], two)) for one, two in ((4000, 53), (None, None)))
    assert [row.flow for row in rows] == [nobody, flow, nobody, flow, flow, flow, nobody]
    assert [row.orphan for row in rows] == [True, False, True, False, False, False, True]


def test_a_custom_block_is_no_packet(tshark: str, tmp_path: Path) -> None:
    """tshark lists it with a number of its own."""
    writer = PcapngWriter(str(tmp_path / "c.pcapng"))
    writer.write(0, RAW, FOUR, len(FOUR), "")
    writer.close()
    custom = struct.pack("<IIIII", 0xBAD, 20, 32473, 0, 20)
    path = tmp_path / "c.pcapng"
    path.write_bytes(path.read_bytes() + custom)
    rows = list(Dissection(tshark, path))
    assert [(row.number, row.view.packet, row.flow) for row in rows] == [(1, True, FLOW4), (2, False, None)]


def test_a_file_that_ends_early_is_a_complaint_and_no_error(tshark: str, tmp_path: Path) -> None:
    path = tmp_path / "p.pcapng"
    dissected(tshark, path, [(RAW, FOUR, 0), (RAW, FOUR, 1)])
    path.write_bytes(path.read_bytes()[:-10])
    dissection = Dissection(tshark, path)
    assert len(list(dissection)) == 1
    assert dissection.cut_short
    assert not dissection.unable


def test_a_tuple_is_the_same_either_way_and_however_an_address_is_written() -> None:
    assert folded(6, (A, 1), (B, 2)) == folded(6, (B, 2), (A, 1))
    assert folded(6, (A, 1), (A, 2)) == folded(6, (A, 2), (A, 1))
    assert folded(17, ("2001:DB8:0:0::5", 1), (B6, 2)) == folded(17, (A6, 1), (B6, 2))
    assert folded(17, ("::ffff:1.2.3.4", 1), (B6, 2)) == folded(17, ("::ffff:102:304", 1), (B6, 2))
    assert str(folded(6, (A6, 1), (B6, None))) == "tcp [2001:db8::5]:1 - 2001:db8::9"
