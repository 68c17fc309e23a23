"""Which of the pcap formats that share a magic number a file is in: how many bytes stand before each frame.

Patches to old libpcaps on Linux added fields to the record header without saying so. What tells them apart is that only
under the right header size does one record lead to the next (Wireshark, wiretap/libpcap.c, decides so too).
Must not know: files, how records are read.

    >>> from agent.capture.blocks import PcapHeader
    >>> told = PcapHeader(big_endian=False, unit_ns=1000, record_header=16, major=2, minor=4, link_type=1, fcs=0, snaplen=0)
    >>> record_header_size(told, bytes(20) + struct.pack("<IIII", 1, 2, 0, 60) + bytes(4))
    16
"""

from __future__ import annotations

import struct

from agent.capture.blocks import PcapHeader, longest_frame

_VARIANTS = {
    # Microseconds under the standard magic: the format, Red Hat 6.1 (as the modified one), Nokia (four unknown bytes).
    (16, 1000): (16, 24, 20),
    # The modified magic: interface index, protocol, packet type; SuSE 6.3 adds two processor numbers and padding.
    (24, 1000): (24, 28),
}
_RECORDS = 16
"""So many in a row that fit are no coincidence."""
_SECOND_US = 1_000_000


def record_header_size(header: PcapHeader, records: bytes) -> int:
    """Bytes of each record header in the file with this header; `records`: the first bytes behind that.

    What the magic number says, unless its records do not fit and those of another variant do.
    """
    told = header.record_header
    variants = _VARIANTS.get((told, header.unit_ns), (told,))
    if len(variants) == 1 or header.minor != 4:
        return told
    # One record fits anything; only the second is evidence.
    return next((size for size in variants if _fitting(header, size, records) >= (0 if size == told else 2)), told)


def _fitting(header: PcapHeader, size: int, records: bytes) -> int:
    """How many of the first records are sound if each has a header of `size` bytes; -1 if one is not."""
    order = ">" if header.big_endian else "<"
    limit, at, count = longest_frame(header.snaplen), 0, 0
    while count < _RECORDS and at + size <= len(records):
        _, fraction, captured, original = struct.unpack_from(order + "IIII", records, at)
        if fraction >= _SECOND_US or captured > limit or captured > original:
            return -1
        at += size + captured
        count += 1
    return count
