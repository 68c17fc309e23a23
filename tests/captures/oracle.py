"""What tshark says of each packet's outermost flow, and what our --allowed and --denied files say of its verdict.

Both sides end as the same value, a `Tuple`; neither knows how the other was found. tshark dissects what it can, so
"outermost" is read off its list of protocols: an IP header counts only directly behind the link layer and what
carries IP there (tags, LLC, PPPoE, MPLS ...).
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

SUPPORTED = frozenset({1, 4, 7, 15, 19, 20, 21, 23, 24, 25, 28, 38, 39, 97, 129, 130, 139, 141, 171, 210})
"""Wireshark's numbers (WTAP_ENCAP_...) of the link types that are read: Ethernet, PPP, raw, NULL, PPP with direction,
802.11, Prism, radiotap, AVS, SLL, Cisco HDLC, ENC, PFLOG, PPI, IPv4, IPv6, PPPoE, NFLOG, PKTAP, SLL2."""

_LINK_LAYERS = frozenset({
    "eth", "ethertype", "vlan", "ieee8021ad", "vntag", "etag", "llc", "mpls", "pwethheuristic", "pwethcw", "pwethnocw",
    "pppoes", "ppp", "chdlc", "sll", "null", "raw", "enc", "nflog", "pflog", "pktap", "pcap_pktdata", "user_dlt",
    "radiotap", "wlan_radio", "wlan", "prism", "wlancap", "ppi",
})  # fmt: skip
_NUMBERS = {"tcp": 6, "udp": 17, "icmpv6": 58, "sctp": 132, "udplite": 136}
_PORTS = {6: "tcp", 17: "udp", 132: "sctp", 136: "udp"}
_BY_NAME = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132}
_WITH_PORTS = frozenset(_PORTS)

_FIELDS = (
    "frame.number", "frame.encap_type", "frame.protocols", "frame.cap_len", "frame.len", "frame.md5_hash",
    "ip.src", "ip.dst", "ip.proto", "ip.id", "ip.frag_offset", "ip.flags.mf",
    "ipv6.src", "ipv6.dst", "ipv6.nxt", "ipv6.fraghdr.nxt", "ipv6.fraghdr.ident", "ipv6.fraghdr.offset",
    "ipv6.fraghdr.more", "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "sctp.srcport", "sctp.dstport",
    "tcp.hdr_len", "_ws.malformed",
)  # fmt: skip
_PREFERENCES = ("ip.defragment:FALSE", "ipv6.defragment:FALSE", "frame.generate_md5_hash:TRUE")
_SHORTEST_TCP = 20
_DAMAGED = 2
"""tshark's exit code for a file that breaks off or lies."""


class Tuple(NamedTuple):
    """A flow of either way: the protocol and both ends in order. Ports are None where the protocol has none."""

    protocol: int
    first: tuple[str, int | None]
    second: tuple[str, int | None]


def folded(protocol: int, one: tuple[str, int | None], other: tuple[str, int | None]) -> Tuple:
    """The tuple of a packet between two ends, the same whichever way it goes."""
    first, second = sorted((one, other), key=lambda end: (ip_address(end[0]).packed, end[1] or 0))
    return Tuple(protocol, first, second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One packet as tshark dissects it."""

    number: int
    encapsulation: int
    protocols: tuple[str, ...]
    captured: int
    original: int
    md5: str
    flow: Tuple | None
    """None: not IP directly on the link, or no transport header that tshark could read."""
    network: str
    """tshark's name for what the link carries: ip, ipv6, arp, stp ..."""
    malformed: bool
    """tshark says so, or shows a TCP header that claims less than a TCP header has."""
    orphan: bool
    """A later fragment whose first was not seen before it."""

    @property
    def ip(self) -> bool:
        return self.network in ("ip", "ipv6")


class Dissection(NamedTuple):
    """A capture as tshark sees it."""

    frames: list[Frame]
    damaged: bool
    """tshark itself says that the file is broken; what it makes of the rest may be anything."""


def dissect(tshark: str, path: Path) -> Dissection:
    """Every packet of a capture."""
    fields = [part for name in _FIELDS for part in ("-e", name)]
    preferences = [part for text in _PREFERENCES for part in ("-o", text)]
    command = [tshark, "-n", "-r", str(path), *preferences, "-T", "fields", "-E", "occurrence=f", *fields]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode in (0, _DAMAGED), done.stderr
    frames: list[Frame] = []
    firsts: dict[tuple[str, ...], Tuple] = {}
    for line in done.stdout.splitlines():
        row = dict(zip(_FIELDS, line.split("\t"), strict=True))
        if row["frame.encap_type"]:  # tshark lists records that are no packets, such as custom blocks, without one
            frames.append(_frame(row, firsts))
    return Dissection(frames, done.returncode == _DAMAGED)


def _frame(row: Mapping[str, str], firsts: dict[tuple[str, ...], Tuple]) -> Frame:
    protocols = tuple(row["frame.protocols"].split(":"))
    network = next((index for index, name in enumerate(protocols) if name not in _LINK_LAYERS), len(protocols))
    name = protocols[network] if network < len(protocols) else ""
    flow, orphan = None, False
    if name in ("ip", "ipv6"):
        inside = [part for part in protocols[network + 1 :] if not part.startswith("ipv6.")]
        flow, orphan = _ip_flow(row, name, inside[0] if inside else "", firsts)
    return Frame(
        number=int(row["frame.number"]),
        encapsulation=int(row["frame.encap_type"]),
        protocols=protocols,
        captured=int(row["frame.cap_len"]),
        original=int(row["frame.len"]),
        md5=row["frame.md5_hash"],
        flow=flow,
        network=name,
        malformed=bool(row["_ws.malformed"]) or 0 <= int(row["tcp.hdr_len"] or -1) < _SHORTEST_TCP,
        orphan=orphan,
    )


def _ip_flow(
    row: Mapping[str, str], name: str, transport: str, firsts: dict[tuple[str, ...], Tuple]
) -> tuple[Tuple | None, bool]:
    """(flow, is an orphan) of an IP packet."""
    source, destination = row[f"{name}.src"], row[f"{name}.dst"]
    if name == "ip":
        protocol = int(row["ip.proto"])
        offset, more = int(row["ip.frag_offset"]), row["ip.flags.mf"] in ("1", "True")
        key: tuple[str, ...] = (source, destination, row["ip.id"], row["ip.proto"])
    else:
        protocol = _NUMBERS.get(transport, int(row["ipv6.fraghdr.nxt"] or row["ipv6.nxt"]))
        offset = int(row["ipv6.fraghdr.offset"] or 0)
        more = row["ipv6.fraghdr.more"] in ("1", "True")
        key = (source, destination, row["ipv6.fraghdr.ident"])
    if offset:
        first = firsts.get(key)
        return first or folded(protocol, (source, None), (destination, None)), first is None
    ports: tuple[int | None, int | None] = (None, None)
    if protocol in _WITH_PORTS:
        if transport not in _NUMBERS or not row[f"{_PORTS[protocol]}.srcport"]:
            return None, False  # too little of the transport header
        ports = int(row[f"{_PORTS[protocol]}.srcport"]), int(row[f"{_PORTS[protocol]}.dstport"])
    flow = folded(protocol, (source, ports[0]), (destination, ports[1]))
    if more:
        firsts[key] = flow
    return flow, False


# Our side ---------------------------------------------------------------------------------------------------


class Mark(NamedTuple):
    """What the comment on one packet of --allowed or --denied says."""

    verdict: str
    reason: str
    flow: int | None


def record_tuple(record: Mapping[str, Any]) -> Tuple:
    """The tuple of a decision record."""
    protocol = _BY_NAME.get(record["protocol"]) or int(record["protocol"])
    local, remote = record["local"], record["remote"]
    return folded(protocol, (local["ip"], local["port"]), (remote["ip"], remote["port"]))


_COMMENT = re.compile(r"verdict=(allow|deny) reason=(\w+)(?: flow=(\d+))? rules=\[.*\]")


def marks(path: Path) -> Iterator[tuple[str, Mark]]:
    """(MD5 of the frame, mark) of each packet of a file that --allowed or --denied wrote, in order."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            captured = struct.unpack_from("<I", data, at + 20)[0]
            frame, options = data[at + 28 : at + 28 + captured], at + 28 + captured + -captured % 4
            code, size = struct.unpack_from("<HH", data, options)
            assert code == 1, "each packet carries one comment"
            found = _COMMENT.fullmatch(data[options + 4 : options + 4 + size].decode())
            assert found is not None
            yield hashlib.md5(frame).hexdigest(), Mark(found[1], found[2], int(found[3]) if found[3] else None)
        at += length


def align(frames: list[Frame], allowed: Path, denied: Path) -> dict[int, Mark]:
    """Frame number to its mark. Frames in neither file have none; every packet of both files finds its frame."""
    waiting = {path: list(marks(path))[::-1] for path in (allowed, denied)}
    found: dict[int, Mark] = {}
    for frame in frames:
        for rest in waiting.values():
            if rest and rest[-1][0] == frame.md5:
                found[frame.number] = rest.pop()[1]
                break
    assert not any(waiting.values()), "a packet was written that the capture does not hold at this place"
    return found
