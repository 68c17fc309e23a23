"""Why a packet may be without a flow of ours although tshark names one: closed causes, each proven from the packet.

Knows header formats, a second time and apart from what is compared: a proof that asked the decoder would prove nothing.
Must not know which capture a packet is from: no cause is granted for a file, or because it would be convenient.

    >>> CAUSES["cut_header"]
    'the capture keeps too little of the packet: its transport header is not whole'
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from tests.captures.tshark import Row

CAUSES = {
    "cut_header": "the capture keeps too little of the packet: its transport header is not whole",
    "short_packet": "the packet, or the whole frame around it, ends before its transport header does",
    "impossible_length": "a header claims a length that cannot be",
    "long_chain": "more VLAN tags or IPv6 extension headers than are followed, or a second fragment header",
    "version_mismatch": "the link announces IPv4, and what follows is IPv6",
    "orphan_fragment": "a later fragment whose first has no flow, is not in the capture before it, or 30 s before it",
    "refused_fragment": "a fragment that overlaps another or reaches into the transport header",
    "martian": "a loopback address on a frame that came in from the wire",
    "declared_fcs": "the capture declares a frame check sequence: tshark counts its bytes, we do not",
    "longer_than_wire": "the record claims fewer bytes on the wire than it holds: we count those that it holds",
    "no_packet": "a custom block of pcapng, which tshark lists as if it were a packet",
    "unread_by_tshark": "a link type or record of which tshark itself says that it does not support it",
    "damaged_file": "behind the place where the file is damaged, which tshark says as well",
}
"""Name and explanation of each."""

MAX_EXTENSIONS = 16
MAX_TAGS = 8
_ANNOUNCED = ("ethertype:ip:ipv6", "llc:ip:ipv6", "ppp:ip:ipv6", "null:ip:ipv6")
"""Ends of a stack in which the link layer names a version and the header has another."""
_IPV4_FAMILY = 2
_TAGS = frozenset({"vlan", "ieee8021ad"})
MAX_PIECES = 128
MAX_DATAGRAMS = 1 << 16
_NEEDED = {6: 20, 17: 8, 136: 8, 132: 12}
"""Bytes of the transport header without which a packet has no flow."""
_ICMPV6_ECHO = (128, 129)
_CHAINED = (0, 43, 44, 51, 60, 135, 139, 140)


@dataclass(slots=True)
class Layout:
    """Where the parts of the outermost IP packet lie in a frame."""

    version: int = 4
    fault: str | None = None
    """The cause that ends the walk before the transport header."""
    protocol: int = -1
    transport: int = 0
    claimed: int = 0
    """End of the packet as its own header claims it."""
    captured: int = 0
    """End of what of it is in the capture."""
    piece: tuple[int, int] | None = None
    """The bytes of its datagram that a fragment holds."""
    piece_at: int = 0


def layout_of(frame: bytes, row: Row) -> Layout | None:
    """The layout of the IP packet between the addresses that tshark shows; None where the frame does not hold it."""
    source, destination = ip_address(row.view.source), ip_address(row.view.destination)
    before = 12 if source.version == 4 else 8
    at = frame.find(source.packed + destination.packed)
    while at >= 0:
        start = at - before
        if start >= 0 and frame[start] >> 4 == source.version:
            cut = row.captured < row.original
            return _ipv4(frame, start, cut) if source.version == 4 else _ipv6(frame, start, cut)
        at = frame.find(source.packed + destination.packed, at + 1)
    return None


def _ipv4(frame: bytes, at: int, cut: bool) -> Layout:
    size, total = (frame[at] & 15) * 4, _word(frame, at + 2)
    found = Layout(protocol=frame[at + 9], captured=len(frame))
    if total == 0:
        total = len(frame) - at  # left to the network card
    if size < 20 or total < size:
        found.fault = "impossible_length"
    elif len(frame) < at + size:
        found.fault = "cut_header" if cut else "short_packet"
    found.claimed = at + total
    found.captured = min(found.claimed, len(frame))
    found.transport = at + size
    offset, more = (_word(frame, at + 6) & 0x1FFF) * 8, frame[at + 6] >> 5 & 1
    if offset or more:
        found.piece, found.piece_at = (offset, offset + total - size), at + size
    return found


def _ipv6(frame: bytes, at: int, cut: bool) -> Layout:
    length = _word(frame, at + 4)
    found = Layout(version=6, protocol=frame[at + 6], transport=at + 40)
    found.claimed = at + 40 + length if length else len(frame)
    found.captured = min(found.claimed, len(frame))
    for number in range(MAX_EXTENSIONS + 1):
        position = found.transport
        if found.protocol not in _CHAINED:
            return found
        if number == MAX_EXTENSIONS or (found.protocol == 44 and found.piece is not None):
            found.fault = "long_chain"
            return found
        end = position + 8
        if end <= found.captured:
            end = position + _extension_size(found.protocol, frame[position + 1])
        if end > found.captured:
            found.fault = "cut_header" if cut and end <= found.claimed else "short_packet"
            return found
        if found.protocol == 44:
            word = _word(frame, position + 2)
            offset = word & 0xFFF8
            if offset or word & 1:
                found.piece, found.piece_at = (offset, offset + found.claimed - end), end
        found.protocol, found.transport = frame[position], end
        if found.piece is not None and found.piece[0]:
            return found
    return found


def _extension_size(protocol: int, units: int) -> int:
    if protocol == 44:
        return 8
    return (units + 2) * 4 if protocol == 51 else (units + 1) * 8


def _word(frame: bytes, at: int) -> int:
    return frame[at] << 8 | frame[at + 1]


@dataclass(slots=True)
class _Datagram:
    headers: int
    pieces: list[tuple[int, int]] = field(default_factory=list)
    overlapped: bool = False


class Causes:
    """The proofs for the packets of one capture, in their order."""

    def __init__(self) -> None:
        self._datagrams: dict[tuple[str, ...], _Datagram] = {}
        self._lost: dict[tuple[str, ...], None] = {}
        """Datagrams whose first fragment has a proven cause."""

    def note(self, row: Row, frame: bytes) -> bool:
        """Takes in a fragment. True if it overlaps others of its datagram or reaches into the transport header."""
        assert row.datagram is not None
        found = layout_of(frame, row)
        if found is None or found.piece is None or row.orphan:
            return False
        start, end = found.piece
        if start == 0:
            self._lost.pop(row.datagram, None)
        datagram = self._datagrams.get(row.datagram)
        if start == 0:
            headers = found.transport + _header_size(found, frame) - found.piece_at
            if datagram is None or ":" not in row.view.source:  # of IPv4 the number may be in use again
                datagram = self._datagrams[row.datagram] = _Datagram(headers)
                if len(self._datagrams) > MAX_DATAGRAMS:
                    del self._datagrams[next(iter(self._datagrams))]
        if datagram is None:
            return False
        if 0 < start < datagram.headers:
            return True
        if ":" not in row.view.source:
            return False  # of IPv4 overlaps are admitted
        if not datagram.overlapped and (start, end) not in datagram.pieces:
            datagram.overlapped = len(datagram.pieces) >= MAX_PIECES or any(
                start < other_end and other < end for other, other_end in datagram.pieces
            )
            datagram.pieces.append((start, end))
        return datagram.overlapped

    def proven(self, reason: str, row: Row, frame: bytes, refused: bool) -> str | None:
        """The cause of a packet that is in no flow of ours, None where nothing proves one.

        `reason`: what we say; `refused`: what note() said of it.
        """
        cause = None
        if reason == "fragment" and row.view.later and (row.orphan or row.datagram in self._lost):
            cause = "orphan_fragment"
        elif reason == "fragment" and refused:
            cause = "refused_fragment"
        elif reason == "martian" and ip_address(row.view.source).is_loopback:
            cause = "martian"
        elif reason == "undecodable":
            cause = undecodable(row, frame)
        if cause is not None and row.datagram is not None and not row.view.later:
            self._lost[row.datagram] = None
            if len(self._lost) > MAX_DATAGRAMS:
                del self._lost[next(iter(self._lost))]
        return cause


def _header_size(found: Layout, frame: bytes) -> int:
    """Bytes of the transport header of a first fragment."""
    if found.protocol == 6 and found.transport + 13 <= len(frame):
        return (frame[found.transport + 12] >> 4) * 4
    return {17: 8, 136: 8, 132: 12, 1: 8, 58: 8}.get(found.protocol, 0)


def undecodable(row: Row, frame: bytes) -> str | None:
    """The cause that lies in the headers of a packet."""
    if sum(layer in _TAGS for layer in row.view.stack.split(":")) > MAX_TAGS:
        return "long_chain"
    if _announced_otherwise(row.view.stack, frame):
        return "version_mismatch"
    found = layout_of(frame, row)
    if found is None:
        return None
    if found.fault is not None:
        return found.fault
    if found.piece is not None and found.piece[0]:
        return None  # a later fragment: payload stands where a transport header would
    at = found.transport
    needed = _needed(found, frame)
    if found.claimed - at < needed:
        return "short_packet"
    if found.captured - at < needed:
        return "cut_header" if row.captured < row.original else "short_packet"
    whole = found.piece is None
    if found.protocol == 6:
        size = (frame[at + 12] >> 4) * 4
        if size < 20 or (whole and at + size > found.claimed):
            return "impossible_length"
    if found.protocol == 17 and whole:
        size = _word(frame, at + 4)
        if size and (size < 8 or at + size > found.claimed):
            return "impossible_length"
    return None


def _announced_otherwise(stack: str, frame: bytes) -> bool:
    """True if the link layer, or the link type itself, says IPv4 of an IPv6 packet. NFLOG says it in its first byte."""
    if stack == "nflog:ip:ipv6":
        return frame[0] == _IPV4_FAMILY
    return stack == "ip:ipv6" or stack.endswith(_ANNOUNCED)


def _needed(found: Layout, frame: bytes) -> int:
    """Bytes of the transport header that name a flow."""
    if found.protocol == 1 and found.version == 4:
        return 8
    if found.protocol == 58 and found.version == 6:
        return 8 if found.transport < found.captured and frame[found.transport] in _ICMPV6_ECHO else 4
    return _NEEDED.get(found.protocol, 0)
