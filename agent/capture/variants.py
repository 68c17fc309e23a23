"""Which of the pcap formats that share a magic number a file is in: how many bytes stand before each frame.

Patches to old libpcaps on Linux added fields to the record header without saying so. What tells them apart is that only
under the right header size does one record lead to the next (Wireshark, wiretap/libpcap.c, decides so too).
Must not know: files, how records are read.

    >>> header = parse_pcap_header(bytes.fromhex("d4c3b2a1 0200 0400") + bytes(16))
    >>> first = struct.pack("<IIII", 1, 2, 0, 60) + bytes(4)
    >>> record_header_size(header, first + struct.pack("<IIII", 1, 3, 0, 60) + bytes(4))
    20
"""

from __future__ import annotations

import struct

from agent.capture.blocks import PcapHeader, longest_frame

# The shortest first: where a header is sought too early, a time of day stands for a length or a part of a second, which
# cannot be; where it is sought too late, anything may stand.
_VARIANTS = {
    # Microseconds under the standard magic: the format, Nokia (four unknown bytes), Red Hat 6.1 (as the modified one).
    (16, 1000): (16, 20, 24),
    # The modified magic: interface index, protocol, packet type; SuSE 6.3 adds two processor numbers and padding.
    (24, 1000): (24, 28),
}
_SECOND_US = 1_000_000
_YEAR = 366 * 86_400


def evidence(header: PcapHeader, record: bytes) -> int:
    """Bytes behind the file header that tell the variant: the first record, of which `record` is the beginning that
    all variants share, and the header of the second; 0 if nothing does."""
    variants = _VARIANTS.get((header.record_header, header.unit_ns), ())
    (captured,) = struct.unpack_from((">" if header.big_endian else "<") + "8xI", record)
    # No variant is as old as the versions that order their lengths otherwise.
    return (
        2 * max(variants) + captured
        if variants and header.minor == 4 and captured <= longest_frame(header.snaplen)
        else 0
    )


def record_header_size(header: PcapHeader, records: bytes) -> int:
    """Bytes of each record header in the file with this header; `records`: as many bytes as evidence() asked for.

    What the magic number says, unless its records do not fit and those of another variant do.
    """
    told = header.record_header
    for size in _VARIANTS.get((told, header.unit_ns), ()):
        # One record fits anything; the second does only where times are later than twelve days after 1970.
        if _fitting(header, size, records) >= (0 if size == told else 2):
            return size
    return told


def _fitting(header: PcapHeader, size: int, records: bytes) -> int:
    """How many of the first records are sound if each has a header of `size` bytes; -1 if one is not."""
    order = ">" if header.big_endian else "<"
    limit, at, count, before = longest_frame(header.snaplen), 0, 0, None
    while at + size <= len(records):
        seconds, fraction, captured, original = struct.unpack_from(order + "IIII", records, at)
        # Files with jumps of years exist; what has them is taken for another variant than it says on no such ground.
        jumps = size != header.record_header and before is not None and abs(seconds - before) > _YEAR
        if fraction >= _SECOND_US or captured > limit or captured > original or jumps:
            return -1
        at, count, before = at + size + captured, count + 1, seconds
    return count
