"""The processes that a PKTAP header names, Apple's link layer of `tcpdump -k` and `-i pktap`.

Knows: both layouts (xnu: bsd/net/pktap.h). Must not know: what the header is around; agent/datapath/links.py reads
that, and what it cannot read is not asked for here. Any bytes will do; nothing is raised.

    header = read_pktap(frame)
    header.pid, header.name, header.direction        # 512, None, 2
"""

from __future__ import annotations

import struct
from typing import NamedTuple

VERSION_2 = 0x80000
_SHORTEST = 108
"""Bytes of the oldest headers, which end before the time."""
_NAME = 17
_UUID = 16
_NO_UUID = bytes(16)


class Pktap(NamedTuple):
    """What one header says; None: nothing. -1 and 0 are no pids."""

    pid: int | None = None
    name: str | None = None
    effective_pid: int | None = None
    effective_name: str | None = None
    uuid: bytes | None = None
    effective_uuid: bytes | None = None
    direction: int = 0
    """0 unknown, 1 inbound, 2 outbound."""


def read_pktap(data: bytes | memoryview) -> Pktap | None:
    """The header at the start of `data`, of which no more is looked at than it says it has; None if it is none."""
    if len(data) < 40:
        return None
    head = bytes(data[:256])
    (flags,) = struct.unpack_from("<I", head, 36)
    return _second(head, flags) if flags & VERSION_2 else _first(head, flags)


def _first(head: bytes, flags: int) -> Pktap | None:
    (size,) = struct.unpack_from("<I", head)
    if size < _SHORTEST or len(head) < _SHORTEST:
        return None
    size = min(size, len(head))
    pid, name = struct.unpack_from("<i17s", head, 52)
    effective, effective_name = struct.unpack_from("<i17s", head, 84)
    return Pktap(
        _pid(pid),
        _text(name),
        _pid(effective),
        _text(effective_name),
        _uuid(head, 124, size),
        _uuid(head, 140, size),
        _way(flags),
    )


def _second(head: bytes, flags: int) -> Pktap | None:
    size, uuid, effective_uuid, _interface, name, effective_name = head[:6]
    if size < 40 or size > len(head):
        return None
    pid, effective = struct.unpack_from("<ii", head, 28)
    return Pktap(
        _pid(pid),
        _text(head[name : min(size, name + _NAME)]) if name else None,
        _pid(effective),
        _text(head[effective_name : min(size, effective_name + _NAME)]) if effective_name else None,
        _uuid(head, uuid, size) if uuid else None,
        _uuid(head, effective_uuid, size) if effective_uuid else None,
        _way(flags),
    )


def _pid(value: int) -> int | None:
    return value if value > 0 else None


def _text(value: bytes) -> str | None:
    return value.split(b"\0", 1)[0].decode(errors="replace") or None


def _uuid(head: bytes, at: int, size: int) -> bytes | None:
    found = head[at : at + _UUID]
    return found if at + _UUID <= size and found != _NO_UUID else None


def _way(flags: int) -> int:
    way = flags & 3
    return way if way != 3 else 0
