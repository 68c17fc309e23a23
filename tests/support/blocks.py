"""pcapng taken apart by a few lines of its own, so that what the agent writes is not checked by what it reads with."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Packet:
    time: int
    interface: int
    data: bytes
    length: int
    pid: int | None = None
    direction: int = 0
    comments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Taken:
    """What one file holds. Its times must be in nanoseconds, its byte order little."""

    interfaces: list[tuple[int, str]] = field(default_factory=list)
    """(link type, name)."""
    addresses: list[bytes] = field(default_factory=list)
    processes: list[dict[int, list[bytes]]] = field(default_factory=list)
    """Options of each Process Information Block by code; its pid under 0."""
    packets: list[Packet] = field(default_factory=list)


def take_apart(path: Path) -> Taken:
    data = path.read_bytes()
    taken = Taken()
    at = 0
    while at + 12 <= len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if at + length > len(data):
            break
        body = data[at + 8 : at + length - 4]
        assert data[at + length - 4 : at + length] == length.to_bytes(4, "little")
        if kind == 1:
            options = _options(body[8:])
            assert options[9] == [b"\x09"]
            taken.interfaces.append((struct.unpack_from("<H", body)[0], options[2][0].decode()))
            taken.addresses += [value[:-4] for value in options.get(4, [])] + [v[:-1] for v in options.get(5, [])]
        elif kind == 6:
            taken.packets.append(_packet(body))
        elif kind == 0xBAD:
            enterprise, entry, size = struct.unpack_from("<III", body)
            assert (enterprise, entry) == (32622, 3)
            taken.processes.append(_options(body[16 : 12 + size]) | {0: [body[12:16]]})
        at += length
    return taken


def _packet(body: bytes) -> Packet:
    interface, high, low, captured, original = struct.unpack_from("<IIIII", body)
    options = _options(body[20 + (captured + 3 & ~3) :])
    return Packet(
        time=high << 32 | low,
        interface=interface,
        data=body[20 : 20 + captured],
        length=original,
        pid=struct.unpack("<II", options[8][0])[0] if 8 in options else None,
        direction=int.from_bytes(options.get(2, [b""])[0], "little"),
        comments=[value.decode() for value in options.get(1, [])],
    )


def _options(data: bytes) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            break
        found.setdefault(code, []).append(data[at + 4 : at + 4 + length])
        at += 4 + (length + 3 & ~3)
    return found
