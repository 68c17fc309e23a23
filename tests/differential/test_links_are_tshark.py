"""decode() and tshark find the same outermost flow behind every kind of link header."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from agent.datapath.headers import Header
from agent.model.address import Address
from tests.captures.tshark import Dissection
from tests.captures.tuples import Tuple, folded
from tests.support import frames as f
from tests.support import links as l

A4, B4, A6, B6 = "10.0.0.5", "203.0.113.9", "2001:db8::5", "2001:db8:1::9"
WITH_PORTS = (f.TCP, f.UDP, f.SCTP)

PACKETS = [
    f.ipv4(A4, B4, f.tcp(50000, 443, b"hello", flags=f.SYN, options=b"\1" * 12)),
    f.ipv4(A4, B4, f.udp(50001, 9999, b"hello"), f.UDP, options=b"\1" * 8),
    f.ipv4(A4, B4, f.sctp(50002, 9, bytes(20)), f.SCTP),
    f.ipv4(A4, B4, f.icmp(8, 0, 7 << 16, b"hello"), f.ICMP),
    f.ipv4(B4, A4, f.udp(1, 2, bytes(8)), f.UDP, offset=1480, identifier=77),
    f.ipv4(A4, B4, bytes(20), 47, total=40),
    f.ipv6(A6, B6, f.tcp(50003, 443, b"hello", flags=f.ACK)),
    f.ipv6(A6, B6, f.extension(f.UDP) + f.udp(50004, 9999, b"hello"), f.HOP_BY_HOP),
    f.ipv6(A6, B6, f.fragment6(f.UDP) + f.udp(50005, 9999, b"hello"), f.FRAGMENT),
    f.ipv6(A6, B6, f.icmp(135, 0, 0, bytes(16)), f.ICMPV6, hop_limit=255),
]
NO_IP = [
    (1, l.dot3(l.llc(bytes(35), 0x42))),
    (1, l.typed(l.PPPOE_DISCOVERY, l.pppoe(bytes(0), code=9))),
    (1, l.typed(l.PPPOE, l.pppoe(l.ppp_protocol(b"\1\1\0\4", 0xC021)))),
    (9, b"\xff\3" + l.ppp_protocol(b"\1\1\0\4", 0x8021)),
    (104, l.cisco(bytes(14), 0x8035, address=0x8F)),
    (105, l.wifi(b"", kind=0x48)),
    (127, l.radiotap(l.wifi(l.snap(bytes(28), f.ARP)))),
    (258, l.pktap(f.ethernet(bytes(28), f.ARP))),
]
UNKNOWN_TO_TSHARK = {166, 219}


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))


def capture(path: Path, frames: list[tuple[int, bytes]]) -> Path:
    """A pcapng with an interface for each link type: tshark starts once."""
    links = sorted({link for link, _ in frames})
    parts = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    parts += [block(1, struct.pack("<HHI", link, 0, 0)) for link in links]
    for link, frame in frames:
        parts.append(block(6, struct.pack("<IIIII", links.index(link), 0, 0, len(frame), len(frame)) + frame))
    path.write_bytes(b"".join(parts))
    return path


def ours(link: int, frame: bytes) -> Tuple | None:
    """The outermost flow as decode() reads it, None for a frame without IP."""
    header = Header()
    header.attach(frame)
    status = header.decode(0, len(frame), link)
    assert status in (0, 1)
    if status:
        return None
    source = Address(header.version, header.source_high << 64 | header.source_low)
    destination = Address(header.version, header.destination_high << 64 | header.destination_low)
    ports = (header.source_port, header.destination_port) if header.protocol in WITH_PORTS else (None, None)
    if header.fragment == 2:
        ports = (None, None)
    return folded(header.protocol, (str(source), ports[0]), (str(destination), ports[1]))


def test_tshark_finds_the_same_flow_behind_every_link_header(tshark: str, tmp_path: Path) -> None:
    frames, names = list(NO_IP), [str(number) for number in range(len(NO_IP))]
    for name, (link, wrap) in l.WAYS.items():
        if link not in UNKNOWN_TO_TSHARK:
            frames += [(link, wrap(packet)) for packet in PACKETS]
            names += [f"{name}-{number}" for number in range(len(PACKETS))]
    dissection = Dissection(tshark, capture(tmp_path / "links.pcapng", frames))
    seen = list(dissection)
    assert dissection.complaint == ""
    assert len(seen) == len(frames)
    different = {
        name: (found.view.stack, found.flow, ours(link, frame))
        for name, found, (link, frame) in zip(names, seen, frames, strict=True)
        if found.flow != ours(link, frame)
    }
    assert different == {}
    with_flow = sum(found.flow is not None for found in seen)
    assert with_flow == len(frames) - len(NO_IP), "tshark found every packet, so the comparison was one"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["802.3", "pppoe-qinq", "mpls-vlan", "ppp-short", "radiotap-checksum", "nflog"])
def test_tshark_and_decode_agree_on_frames_cut_anywhere_behind_the_addresses(
    tshark: str, tmp_path: Path, name: str
) -> None:
    """Where we have ports, tshark has the same, unless it finds the frame malformed: a length in it says more."""
    link, wrap = l.WAYS[name]
    packet = PACKETS[0]
    whole = wrap(packet)
    start = whole.index(packet)
    frames = [(link, whole[:kept]) for kept in range(start + 24, len(whole) + 1)]
    seen = list(Dissection(tshark, capture(tmp_path / "cut.pcapng", frames)))
    for found, (_, frame) in zip(seen, frames, strict=True):
        header = Header()
        header.attach(frame)
        status = header.decode(0, len(frame), link)
        assert status in (0, 3)
        if status == 0:
            assert found.flow == ours(link, frame) or found.flow is None, len(frame)
        else:
            assert len(frame) < start + 20 + 20 + 4, "a whole TCP header is enough, but for a checksum's four bytes"
