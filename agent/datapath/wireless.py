"""IEEE 802.11 frames and the headers that captures put before them: radiotap, PPI, Prism, AVS.

Knows where a data frame's packet lies. Never: how to decrypt or to put fragments together; both are UNDECODABLE.

    radiotap(link, offset, end)

Which end of a frame is the access point's says nothing of whose host it is, so no direction comes from here. An A-MSDU
that may hold several packets is UNDECODABLE, too: a frame gets one verdict, and it would let the others pass unseen.
"""

from __future__ import annotations

from agent.datapath.layers import Link

# Status of a frame, as in headers.py.
NOT_IP, UNDECODABLE = 1, 2

WIFI_CONTROL = 0x0019
MAX_WORDS = 32
"""Of radiotap, which say what is present."""
MAX_FIELDS = 64
"""Of PPI."""


def radiotap(link: Link, offset: int, end: int) -> int:
    """Its flags, where present, lie behind the words that say what is, and behind a time of eight bytes."""
    if end - offset < 8 or link.byte(offset) != 0:
        return UNDECODABLE
    size = link.little16(offset + 2)
    if size < 8 or size > end - offset:
        return UNDECODABLE
    present = link.little16(offset + 4)
    more = link.byte(offset + 7) & 0x80
    at, words = 8, 1
    while more:
        words += 1
        if words > MAX_WORDS or at + 4 > size:
            return UNDECODABLE
        more = link.byte(offset + at + 3) & 0x80
        at += 4
    flags = 0
    if present & 2:
        if present & 1:
            at = (at + 7) // 8 * 8 + 8
        if at >= size:
            return UNDECODABLE
        flags = link.byte(offset + at)
    offset += size
    if flags & 0x10:
        end = _without_checksum(offset, end)
    return wifi(link, offset, end, 4 if flags & 0x20 else 1)


def ppi(link: Link, offset: int, position: int, end: int) -> int:
    """The 802.11 frame at `position` behind a PPI header, one of whose fields says whether a checksum ends it."""
    aligned = link.byte(offset + 1) & 1
    cursor = offset + 8
    fields = 0
    while cursor + 4 <= position and fields < MAX_FIELDS:
        fields += 1
        size = link.little16(cursor + 2)
        if link.little16(cursor) == 2 and size >= 10 and cursor + 14 <= position:
            if link.byte(cursor + 12) & 1:
                end = _without_checksum(position, end)
            break
        cursor += 4 + size
        if aligned:
            cursor = offset + (cursor - offset + 3) // 4 * 4
    return wifi(link, position, end, 1)


def prism(link: Link, offset: int, end: int) -> int:
    """Prism's header has the byte order of its host; AVS' is big-endian and comes under Prism's number, too."""
    if end - offset < 8:
        return UNDECODABLE
    size = link.little32(offset + 4)
    if link.big16(offset) == 0x8021 or size > end - offset:
        size = link.big32(offset + 4)
    if size < 8 or size > end - offset:
        return UNDECODABLE
    return wifi(link, offset + size, end, 1)


def wifi(link: Link, position: int, end: int, alignment: int) -> int:
    """A frame from its frame control on. `alignment`: of what follows its header."""
    link.ether_type = WIFI_CONTROL
    if end - position < 2:
        return UNDECODABLE
    kind = link.byte(position)
    flags = link.byte(position + 1)
    if kind & 3:
        return UNDECODABLE  # of another version
    if kind & 0x0C != 0x08 or kind & 0x40:
        return NOT_IP  # management, control, and data frames without data
    size = 30 if flags & 3 == 3 else 24
    qos = position + size
    if kind & 0x80:
        size += 6 if flags & 0x80 else 2  # with high-throughput control
    if end - position < size:
        return UNDECODABLE
    # To and from the distribution system: where the source and the destination stand among the addresses.
    link.mac_at = position + (24 if flags & 3 == 3 else (16 if flags & 2 else 10))
    link.group = (link.byte(position + (16 if flags & 1 else 4)) & 1) != 0
    if flags & 0x40 or link.byte(position + 22) & 0x0F:
        return UNDECODABLE  # encrypted; a later fragment, of which only the first has a packet's header
    body = position + (size + alignment - 1) // alignment * alignment
    if kind & 0x80 and link.byte(qos) & 0x80:
        return _aggregate(link, body, end)
    return link.llc(body, end)


def _aggregate(link: Link, position: int, end: int) -> int:
    if end - position < 14:
        return UNDECODABLE
    stop = position + 14 + link.big16(position + 12)
    if stop > end or end - stop >= 14:
        return UNDECODABLE  # cut, so that there may be another packet; there is one
    link.group = (link.byte(position) & 1) != 0
    link.mac_at = position + 6
    return link.llc(position + 14, stop)


def _without_checksum(position: int, end: int) -> int:
    return end - 4 if end - position >= 4 else end
