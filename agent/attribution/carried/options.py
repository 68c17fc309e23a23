"""The pcapng options of one packet, or of one block: what they say of processes, as numbers and bytes.

Knows: option framing, and the codes that bear on processes (draft-ietf-opsawg-pcapng 4.3; Apple's libpcap, pcap-ng.h;
Hone's hone-pcapng.txt). Must not know: which process a number stands for. Any bytes will do; nothing is raised.

    >>> read_packet_options(bytes.fromhex("08000800 d2040000 07000000 00000000"), big_endian=False).pid
    1234
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

COMMENT, PROCESS_THREAD, HONE_CONNECTION, HONE_PROCESS = 1, 8, 257, 258
APPLE_PROCESS, APPLE_EFFECTIVE = 0x8001, 0x8003

MAX_OPTIONS = 256
"""Looked at in one packet or block; real ones have a dozen."""
MAX_COMMENTS = 64 << 10
"""Bytes of comments kept of one packet."""


class PacketOptions(NamedTuple):
    """What the options of one packet say; None and 0: nothing."""

    pid: int | None = None
    """epb_processid_threadid; 0: written, but unknown or without meaning for this packet."""
    tid: int = 0
    apple: int | None = None
    """Place in the section of Apple's block of the process that owns the socket."""
    apple_effective: int | None = None
    """Likewise, of the process on whose behalf it acts."""
    hone_pid: int | None = None
    hone_connection: int | None = None
    comments: tuple[bytes, ...] = ()


NOTHING = PacketOptions()


def read_packet_options(data: bytes, *, big_endian: bool) -> PacketOptions:
    """What `data` says; of an option that is repeated the first counts. An option that overruns ends the reading."""
    found: dict[int, bytes] = {}
    comments: list[bytes] = []
    left = MAX_COMMENTS
    for code, value in read_options(data, big_endian=big_endian):
        if code == COMMENT:
            left -= len(value)
            if left >= 0:
                comments.append(value)
        else:
            found.setdefault(code, value)
    order = _order(big_endian)
    process = found.get(PROCESS_THREAD, b"")
    whole = len(process) == 8
    return PacketOptions(
        pid=int.from_bytes(process[:4], order) if whole else None,
        tid=int.from_bytes(process[4:], order) if whole else 0,
        apple=_word(found.get(APPLE_PROCESS), big_endian),
        apple_effective=_word(found.get(APPLE_EFFECTIVE), big_endian),
        hone_pid=_word(found.get(HONE_PROCESS), big_endian),
        hone_connection=_number(found.get(HONE_CONNECTION), big_endian),
        comments=tuple(comments),
    )


def read_options(data: bytes, *, big_endian: bool) -> Iterator[tuple[int, bytes]]:
    """Code and value of each option, up to the end mark, to one that overruns, or to MAX_OPTIONS."""
    order = _order(big_endian)
    at, end = 0, len(data)
    for _ in range(MAX_OPTIONS):
        if end - at < 4:
            return
        code = int.from_bytes(data[at : at + 2], order)
        size = int.from_bytes(data[at + 2 : at + 4], order)
        at += 4
        if code == 0 or size > end - at:
            return
        yield code, data[at : at + size]
        at += size + 3 & ~3


def _order(big_endian: bool) -> Literal["big", "little"]:
    return "big" if big_endian else "little"


def _word(value: bytes | None, big_endian: bool) -> int | None:
    return _number(value, big_endian) if value is not None and len(value) == 4 else None


def _number(value: bytes | None, big_endian: bool) -> int | None:
    """Of 32 bits, or of 64: Google's variant of Hone widened its connection ids."""
    if value is None or len(value) not in (4, 8):
        return None
    return int.from_bytes(value, _order(big_endian))
