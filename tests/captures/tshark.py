"""What tshark says of each packet of a capture: the flow of its outermost IP header.

Knows tshark's fields and how it names layers. Must not know what we make of the same packets. The link layer needs not
be known beforehand: tshark lists the protocols of a frame from the outside in, and the first IP header of that list is
the one on the wire. What tunnels carry and ICMP errors quote comes behind it, and counts nowhere.

    for row in Dissection("tshark", path): row.number, row.view.stack, row.flow

Rows come through a pipe, one at a time: a capture of any size takes the memory of its fragmented datagrams.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from tests.captures.tuples import Tuple, folded

LIFETIME = 30_000_000_000
"""Nanoseconds a first fragment is remembered (Linux' ipfrag_time)."""

# What differs from packet to packet comes first; what follows is the same for all packets of a flow, and cached.
_OF_THE_PACKET = ("frame.len", "frame.cap_len", "frame.time_epoch", "frame.md5_hash", "eth.fcs", "wlan.fcs", "ip.id")
_OF_THE_FLOW = (
    "frame.encap_type", "frame.protocols", "ip.src", "ip.dst", "ip.proto", "ip.frag_offset", "ip.flags.mf",
    "ipv6.src", "ipv6.dst", "ipv6.nxt", "ipv6.hopopts.nxt", "ipv6.routing.nxt", "ipv6.fraghdr.nxt", "ah.next_header",
    "ipv6.dstopts.nxt", "mip6.proto", "hip.proto", "shim6.nxt",
    "ipv6.fraghdr.ident", "ipv6.fraghdr.offset", "ipv6.fraghdr.more",
    "tcp.srcport", "tcp.dstport", "udp.srcport", "udp.dstport", "sctp.srcport", "sctp.dstport",
)  # fmt: skip
_PREFERENCES = (
    # Nothing is put together: a fragment shows what it holds itself.
    "ip.defragment:FALSE", "ipv6.defragment:FALSE", "wlan.defragment:FALSE", "sctp.reassembly:FALSE",
    "tcp.desegment_tcp_streams:FALSE",
    # A frame check sequence is shown where the capture declares one, not where four bytes might be one.
    "eth.fcs:Never",
    # Length 0 is a packet that the network card was to cut up; both versions.
    "ip.tso_support:TRUE", "ipv6.tso_support:TRUE",
    # What nobody asks for here costs time and memory.
    "tcp.analyze_sequence_numbers:FALSE", "tcp.calculate_timestamps:FALSE", "sctp.tsn_analysis:FALSE",
    "ip.use_geoip:FALSE", "ipv6.use_geoip:FALSE", "wlan.enable_decryption:FALSE",
)  # fmt: skip
_EXTENSIONS = {
    0: "ipv6.hopopts.nxt", 43: "ipv6.routing.nxt", 44: "ipv6.fraghdr.nxt", 51: "ah.next_header",
    60: "ipv6.dstopts.nxt", 135: "mip6.proto", 139: "hip.proto", 140: "shim6.nxt",
}  # fmt: skip
"""IPv6 extension headers, and tshark's field for what follows each."""
PORTS = {6: "tcp", 17: "udp", 132: "sctp", 136: "udp"}
"""Protocols with ports, and where tshark keeps them."""
_CACHED = 1 << 18
_DAMAGED = 2


class TsharkError(Exception):
    """tshark failed with something else than what it says of bad captures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the packets of one flow have in common; equal ones are one object."""

    packet: bool
    """False: a record without encapsulation. Wireshark lists custom blocks of pcapng as if they were packets."""
    stack: str
    """tshark's names of the layers down to the outermost IP header, `eth:ethertype:vlan:ethertype:ip`."""
    flow: Tuple | None
    """None: no IP header, a transport header without readable ports, or a fragment (see Row.flow)."""
    source: str = ""
    destination: str = ""
    protocol: int = 0
    later: bool = False
    """A fragment other than the first."""
    more: bool = False
    """A fragment other than the last."""
    ident: str = ""
    """Of an IPv6 fragment."""

    @property
    def ip(self) -> bool:
        return self.source != ""


class Row(NamedTuple):
    """One packet. `number` is the frame number that Wireshark shows."""

    number: int
    original: int
    captured: int
    md5: str
    """Of the captured bytes; "" unless asked for."""
    check_bytes: int
    """Bytes of a frame check sequence that the capture, or the header of its link layer, declares."""
    view: View
    flow: Tuple | None
    orphan: bool
    """A later fragment whose first is not in the capture before it, or more than LIFETIME before it."""
    datagram: tuple[str, ...] | None
    """Of a fragment: what names its datagram."""


class Dissection:
    """The packets of a capture, as an iterator, and afterwards what tshark had to say of the file."""

    def __init__(
        self, tshark: str, path: Path, *, feed: Callable[[IO[bytes]], None] | None = None, md5: bool = False
    ) -> None:
        """`feed`: writes the capture to tshark's input in place of the file, for what tshark cannot read itself."""
        self.complaint = ""
        """tshark's own words about a file that ends early, is damaged or no capture; "" for a sound one."""
        self._feed = feed
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the iteration
        # What this machine's user has set must not change what is compared.
        self._settings = tempfile.TemporaryDirectory(prefix="compare-")
        try:
            self._process = subprocess.Popen(
                _command(tshark, "-" if feed else str(path), md5),
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, "WIRESHARK_CONFIG_DIR": self._settings.name},
            )
        except OSError:
            self._close()
            raise

    def __iter__(self) -> Iterator[Row]:
        assert self._process.stdout is not None
        feeder = threading.Thread(target=self._write, daemon=True) if self._feed else None
        try:
            if feeder is not None:
                feeder.start()
            yield from _Rows(self._process.stdout)
            self._finish()
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            if feeder is not None:
                feeder.join()
            self._close()

    def _close(self) -> None:
        self._errors.close()
        self._settings.cleanup()

    def _write(self) -> None:
        assert self._feed is not None
        assert self._process.stdin is not None
        try:
            with self._process.stdin as pipe:
                self._feed(pipe)
        except (BrokenPipeError, ConnectionResetError):
            pass  # tshark wants no more

    def _finish(self) -> None:
        code = self._process.wait()
        self._errors.seek(0)
        said = self._errors.read().decode("utf-8", "replace").splitlines()
        said = [line.strip() for line in said if not line.startswith("Running as user")]
        if code == _DAMAGED:
            self.complaint = " ".join(said).removeprefix("tshark: ") or "damaged"
        elif code:
            raise TsharkError(" ".join(said) or f"tshark ended with exit code {code}")

    @property
    def unable(self) -> bool:
        """The file may be sound, but tshark itself does not support what is in it, such as a link type."""
        return "doesn't support" in self.complaint

    @property
    def cut_short(self) -> bool:
        """The file ends inside a packet; all before it was read."""
        return "cut short" in self.complaint


def _command(tshark: str, source: str, md5: bool) -> list[str]:
    preferences = [*_PREFERENCES, *(["frame.generate_md5_hash:TRUE"] if md5 else [])]
    options = [part for text in preferences for part in ("-o", text)]
    fields = [part for name in (*_OF_THE_PACKET, *_OF_THE_FLOW) for part in ("-e", name)]
    # -n: names are looked up nowhere. No -2: the second pass would hold the whole capture.
    return [tshark, "-n", "-r", source, *options, "-T", "fields", "-E", "occurrence=a", *fields]


class _Rows:
    """Lines of tshark as rows. Holds the first fragments of the last LIFETIME."""

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines
        self._views: dict[bytes, View] = {}
        self._firsts: dict[tuple[str, ...], tuple[Tuple, int]] = {}
        self._now = 0

    def __iter__(self) -> Iterator[Row]:
        views = self._views
        for number, line in enumerate(self._lines, 1):
            original, captured, time, md5, fcs, wlan_fcs, ident, rest = line.split(b"\t", len(_OF_THE_PACKET))
            view = views.get(rest)
            if view is None:
                if len(views) >= _CACHED:
                    views.clear()
                view = views[rest] = _view(rest)
            flow, orphan, datagram = view.flow, False, None
            if view.later or view.more:
                flow, orphan, datagram = self._fragment(view, ident, time)
            elif time:
                self._last_time = time
            yield Row(
                number, int(original), int(captured), md5.decode(), 4 if fcs or wlan_fcs else 0,
                view, flow, orphan, datagram,
            )  # fmt: skip

    _last_time = b"0"

    def _fragment(self, view: View, ident: bytes, time: bytes) -> tuple[Tuple | None, bool, tuple[str, ...]]:
        self._last_time = time or self._last_time
        seconds, _, rest = self._last_time.partition(b".")
        now = int(seconds) * 1_000_000_000 + int(rest.ljust(9, b"0")[:9] or 0)
        key = (view.source, view.destination, view.ident or f"{ident.split(b',')[0].decode()} {view.protocol}")
        if not view.later:
            if view.flow is not None:
                self._firsts.pop(key, None)
                self._firsts[key] = (view.flow, now)
                self._forget(now)
            return view.flow, False, key
        first, since = self._firsts.get(key, (None, 0))
        if first is None or now - since > LIFETIME:
            return folded(view.protocol, (view.source, None), (view.destination, None)), True, key
        return first, False, key

    def _forget(self, now: int) -> None:
        """Drops what is too old, oldest first."""
        while self._firsts:
            key = next(iter(self._firsts))
            if now - self._firsts[key][1] <= LIFETIME:
                return
            del self._firsts[key]


def _view(rest: bytes) -> View:
    row = dict(zip(_OF_THE_FLOW, rest.decode().rstrip("\r\n").split("\t"), strict=True))
    names = row["frame.protocols"].split(":")
    if not row["frame.encap_type"]:
        return View(packet=False, stack="", flow=None)
    place = next((place for place, name in enumerate(names) if name in ("ip", "ipv6")), len(names))
    if names[place : place + 2] == ["ip", "ipv6"] and not row["ip.src"]:
        place += 1  # no tunnel: what was announced as IPv4, or as IP of either kind, is IPv6
    stack = ":".join(names[: place + 1])
    if place == len(names):
        return View(packet=True, stack=stack, flow=None)
    if not (row[f"{names[place]}.src"] and row[f"{names[place]}.dst"]):
        # The header is cut before its addresses, or EtherType and version disagree.
        return View(packet=True, stack=stack, flow=None)
    return _ip_view(row, names[place], stack)


def _ip_view(row: dict[str, str], name: str, stack: str) -> View:
    source, destination = _first(row[f"{name}.src"]), _first(row[f"{name}.dst"])
    ident = ""
    if name == "ip":
        protocol = int(_first(row["ip.proto"]) or -1)
        offset, more = _first(row["ip.frag_offset"]), _first(row["ip.flags.mf"])
    else:
        protocol, fragmented = _behind_extensions(row)
        offset, more = "", ""
        if fragmented:
            ident = _first(row["ipv6.fraghdr.ident"])
            offset, more = _first(row["ipv6.fraghdr.offset"]), _first(row["ipv6.fraghdr.more"])
    later = int(offset or 0) != 0
    flow = None
    if not later and protocol >= 0:
        ports: tuple[int | None, int | None] | None = (None, None)
        if protocol in PORTS:
            ports = _ports(row, PORTS[protocol])
        if ports is not None:
            flow = folded(protocol, (source, ports[0]), (destination, ports[1]))
    return View(
        packet=True, stack=stack, flow=flow, source=source, destination=destination, protocol=protocol,
        later=later, more=more in ("1", "True"), ident=ident,
    )  # fmt: skip


def _behind_extensions(row: dict[str, str]) -> tuple[int, bool]:
    """(protocol, is a fragment) of the outermost IPv6 header; -1 where its chain cannot be followed to the end."""
    following = {field: row[field].split(",") if row[field] else [] for field in _EXTENSIONS.values()}
    protocol = int(_first(row["ipv6.nxt"]) or -1)
    fragmented = False
    while protocol in _EXTENSIONS:
        values = following[_EXTENSIONS[protocol]]
        if not values:
            return -1, fragmented
        if protocol == 44:
            fragmented = True
            if int(_first(row["ipv6.fraghdr.offset"]) or 0):
                return int(values[0]), True  # what follows is a piece of the first's chain
        protocol = int(values.pop(0))
    return protocol, fragmented


def _ports(row: dict[str, str], name: str) -> tuple[int, int] | None:
    source, destination = _first(row[f"{name}.srcport"]), _first(row[f"{name}.dstport"])
    return (int(source), int(destination)) if source and destination else None


def _first(values: str) -> str:
    """Of all occurrences of a field in a packet the outermost."""
    return values.partition(",")[0]
