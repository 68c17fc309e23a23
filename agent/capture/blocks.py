"""Section and interface blocks of pcapng, and the header of a pcap file: what they declare about packets to come.

Knows: draft-ietf-opsawg-pcapng 4.1, 4.2 and draft-ietf-opsawg-pcap 4. Must not know: packets, files.
Wrong options are ignored one by one: a capture is not refused because its interface has a bad name.

    >>> parse_interface(bytes.fromhex("01000000 14000000 6500 0000 00000000 14000000"), big_endian=False).interface
    Interface(link_type=101, name=None, addresses=(), snaplen=0)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.capture.batch import Interface
from agent.capture.scan import IN_ORDER, MAYBE_SWAPPED, SWAPPED
from agent.model.address import Address, canonical_address

PCAP_HEADER_SIZE, SECTION_SIZE, INTERFACE_SIZE = 24, 28, 20
"""Bytes of a pcap file's header, and of the shortest section header and interface block."""

_USUAL_LONGEST = 262_144
_LONGEST = (16 << 20) - (256 << 10)

_NAME, _IPV4, _IPV6, _RESOLUTION, _FCS, _OFFSET = 2, 4, 5, 9, 13, 14
_MAX_NAME = 256
_MAX_OPTIONS = 4096
BIG_ENDIAN_MAGIC = b"\x1a\x2b\x3c\x4d"

# First bytes of a pcap file: byte order, nanoseconds in a unit of the sub-second field, bytes of a record header.
PCAP_MAGICS = {
    b"\xa1\xb2\xc3\xd4": (True, 1000, 16),
    b"\xd4\xc3\xb2\xa1": (False, 1000, 16),
    b"\xa1\xb2\x3c\x4d": (True, 1, 16),
    b"\x4d\x3c\xb2\xa1": (False, 1, 16),
    # "Modified" pcap of old Linux libpcap: interface index, protocol and packet type follow the lengths.
    b"\xa1\xb2\xcd\x34": (True, 1000, 24),
    b"\x34\xcd\xb2\xa1": (False, 1000, 24),
}
PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"


def looks_converted(magic: bytes) -> bool:
    """True if the four bytes are what a transfer in text mode makes of PCAPNG_MAGIC: block types reserved for that."""
    return (
        len(magic) == 4
        and magic != PCAPNG_MAGIC
        and (magic[:3] in (b"\x0a\x0d\x0a", b"\x0d\x0d\x0a") or magic[1:] in (b"\x0a\x0d\x0a", b"\x0a\x0d\x0d"))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PcapHeader:
    """The header of a pcap file."""

    big_endian: bool
    unit_ns: int
    record_header: int
    major: int
    minor: int
    link_type: int
    fcs: int
    """Bytes of frame check sequence at the end of each frame."""
    snaplen: int

    @property
    def known(self) -> bool:
        """The version is one that exists: 2.x, or 543.0 of DG/UX."""
        return self.major == 2 or (self.major, self.minor) == (543, 0)

    @property
    def length_order(self) -> int:
        """How records order their two lengths. Version 2.3 exchanged them, and some of its writers did not know."""
        if self.major == 2 and self.minor > 3:
            return IN_ORDER
        return MAYBE_SWAPPED if (self.major, self.minor) == (2, 3) else SWAPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section header block."""

    big_endian: bool
    major: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceBlock:
    """An interface description block."""

    interface: Interface
    resolution: int
    """if_tsresol: 10 to the minus that many seconds, or with the top bit set 2 to the minus the rest."""
    offset: int
    """if_tsoffset: seconds to add to every time."""
    fcs: int
    """Bytes of frame check sequence at the end of each frame."""


def longest_frame(snaplen: int) -> int:
    """Bytes of the longest captured frame that is believed: libpcap's limit, or a greater snaplen the file declares.

    Never so long that the frame's block, with its comments, is one that the scanner does not believe.
    """
    return min(max(snaplen, _USUAL_LONGEST), _LONGEST)


def parse_pcap_header(header: bytes) -> PcapHeader:
    """The first PCAP_HEADER_SIZE bytes of a file that begins with one of PCAP_MAGICS."""
    big_endian, unit_ns, record_header = PCAP_MAGICS[header[:4]]
    major, minor, snaplen, link = struct.unpack(">4xHH8xII" if big_endian else "<4xHH8xII", header)
    return PcapHeader(
        big_endian=big_endian,
        unit_ns=unit_ns,
        record_header=record_header,
        major=major,
        minor=minor,
        link_type=link & 0xFFFF,
        # The upper half: bit 26 says that the top four bits count 16-bit words of frame check sequence.
        fcs=(link >> 28) * 2 if link & 0x04000000 else 0,
        snaplen=snaplen,
    )


def parse_section(block: bytes) -> Section:
    """A whole section header block of at least SECTION_SIZE bytes, its byte-order magic already checked."""
    big_endian = block[8:12] == BIG_ENDIAN_MAGIC
    return Section(big_endian=big_endian, major=int.from_bytes(block[12:14], "big" if big_endian else "little"))


def parse_interface(block: bytes, *, big_endian: bool) -> InterfaceBlock:
    """A whole interface description block of at least INTERFACE_SIZE bytes."""
    order = ">" if big_endian else "<"
    link_type, snaplen = struct.unpack_from(order + "HxxI", block, 8)
    name: str | None = None
    addresses: list[Address] = []
    resolution, offset, fcs = 6, 0, 0
    for code, value in _options(block, 16, len(block) - 4, order):
        if code == _NAME:
            name = value[:_MAX_NAME].split(b"\0", 1)[0].decode("utf-8", "replace")
        elif code == _IPV4 and len(value) == 8:
            addresses.append(Address(4, int.from_bytes(value[:4], "big")))
        elif code == _IPV6 and len(value) == 17:
            addresses.append(canonical_address(6, int.from_bytes(value[:16], "big")))
        elif code == _RESOLUTION and len(value) == 1:
            resolution = value[0]
        elif code == _OFFSET and len(value) == 8:
            (offset,) = struct.unpack(order + "q", value)
        elif code == _FCS and len(value) == 1:
            # The draft says bits and gives 4 as its example, which is what programs write for four bytes.
            fcs = value[0] // 8 if value[0] >= 16 else value[0]
    # 0.0.0.0 and :: are no addresses of anybody.
    known = tuple(dict.fromkeys(address for address in addresses if address.value))
    interface = Interface(link_type=link_type, name=name, addresses=known, snaplen=snaplen)
    return InterfaceBlock(interface=interface, resolution=resolution, offset=offset, fcs=fcs)


def _options(block: bytes, at: int, end: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Code and value of each option in block[at:end], up to one that overruns."""
    for _ in range(_MAX_OPTIONS):
        if end - at < 4:
            return
        code, size = struct.unpack_from(order + "HH", block, at)
        at += 4
        if code == 0 or size > end - at:
            return
        yield code, block[at : at + size]
        at += size + 3 & ~3
