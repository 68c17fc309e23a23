"""Captures made byte by byte, and a reader of everything in one, for the tests of this room."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from agent.capture.batch import RECORD_WORDS, Interface
from agent.capture.reader import CaptureReader, open_capture

SECOND = 1_000_000_000
START = 1_767_603_600
"""2026-01-05T09:00:00Z in seconds."""
FRAME = bytes(range(60))


@dataclass(frozen=True)
class Packet:
    """One packet as a reader gave it, copied out of its batch."""

    time: int | None
    frame: bytes
    original: int
    link: int
    interface: int = 0
    direction: int = 0
    options: bytes = b""
    source: int = 0


@dataclass
class Outcome:
    """All that a reader said about a file."""

    packets: list[Packet] = field(default_factory=list)
    interfaces: list[Interface] = field(default_factory=list)
    truncated: bool = False
    errors: list[str] = field(default_factory=list)
    words: bytes = b""

    @property
    def frames(self) -> list[bytes]:
        return [packet.frame for packet in self.packets]

    @property
    def times(self) -> list[int | None]:
        return [packet.time for packet in self.packets]


def drain(reader: CaptureReader) -> Outcome:
    """Everything in the capture. Checks on the way what must hold for any bytes."""
    outcome = Outcome()
    while (batch := reader.next_batch()) is not None:
        assert batch.count > 0
        outcome.words += batch.records[: batch.count * RECORD_WORDS].tobytes()
        for index in range(batch.count):
            _, offset, lengths, bits, options = batch.records[index * RECORD_WORDS : (index + 1) * RECORD_WORDS]
            assert offset + (lengths >> 32) <= len(batch.data)
            assert (options >> 32) + (options & 0xFFFFFFFF) <= len(batch.data)
            assert lengths >> 32 <= lengths & 0xFFFFFFFF, "never more captured than there was"
            assert bits >> 35 == 0
            assert batch.link_type(index) == reader.interfaces[batch.interface(index)].link_type
            outcome.packets.append(
                Packet(
                    time=batch.time(index) if batch.has_time(index) else None,
                    frame=bytes(batch.frame(index)),
                    original=batch.original_length(index),
                    link=batch.link_type(index),
                    interface=batch.interface(index),
                    direction=batch.direction_flag(index),
                    options=bytes(batch.options(index)),
                )
            )
    assert reader.next_batch() is None, "the end stays the end"
    outcome.interfaces = reader.interfaces
    outcome.truncated, outcome.errors = reader.truncated_tail, reader.errors
    reader.close()
    return outcome


def read(folder: Path, content: bytes, name: str = "made.pcap") -> Outcome:
    """Everything a reader finds in a file of these bytes."""
    path = folder / name
    path.write_bytes(content)
    return drain(open_capture(str(path)))


def pcap_header(
    *, order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1, snaplen: int = 262_144, major: int = 2
) -> bytes:
    return struct.pack(order + "IHHiIII", magic, major, 4, 0, 0, snaplen, link)


def record(
    frame: bytes = FRAME,
    *,
    order: str = "<",
    seconds: int = START,
    fraction: int = 0,
    captured: int | None = None,
    original: int | None = None,
    extra: bytes = b"",
) -> bytes:
    """One pcap record; the lengths are the frame's unless they shall lie."""
    captured = len(frame) if captured is None else captured
    original = len(frame) if original is None else original
    return struct.pack(order + "IIII", seconds, fraction, captured, original) + extra + frame


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(kind: int, body: bytes, order: str = "<", *, length: int | None = None, trailer: int | None = None) -> bytes:
    """One pcapng block; its two lengths are right unless they shall lie."""
    size = 12 + len(body) if length is None else length
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size if trailer is None else trailer)


def section(order: str = "<", *, major: int = 1, length: int = -1, options: bytes = b"") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, major, 0, length) + options, order)


def interface(link: int = 1, order: str = "<", *, snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def packet(
    frame: bytes = FRAME,
    order: str = "<",
    *,
    number: int = 0,
    stamp: int = START * 1_000_000,
    captured: int | None = None,
    original: int | None = None,
    options: bytes = b"",
) -> bytes:
    """An enhanced packet block."""
    captured = len(frame) if captured is None else captured
    original = len(frame) if original is None else original
    head = struct.pack(order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, captured, original)
    return block(6, head + frame + bytes(-len(frame) % 4) + options, order)


def old_packet(frame: bytes = FRAME, order: str = "<", *, number: int = 0, drops: int = 0xFFFF) -> bytes:
    """An obsolete packet block."""
    stamp = START * 1_000_000
    head = struct.pack(order + "HHIIII", number, drops, stamp >> 32, stamp & 0xFFFFFFFF, len(frame), len(frame))
    return block(2, head + frame + bytes(-len(frame) % 4), order)


def simple_packet(frame: bytes = FRAME, order: str = "<", *, original: int | None = None) -> bytes:
    original = len(frame) if original is None else original
    return block(3, struct.pack(order + "I", original) + frame + bytes(-len(frame) % 4), order)


def _pcap(order: str, magic: int, link: int = 1, extra: bytes = b"") -> bytes:
    head = pcap_header(order=order, magic=magic, link=link)
    return head + b"".join(
        record(FRAME[:size], order=order, seconds=START + size, fraction=size, original=60, extra=extra)
        for size in (0, 1, 14, 60)
    )


def _old(major: int, minor: int) -> bytes:
    """A file of a version that writes the original length first, or may."""
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, major, minor, 0, 0, 65_535, 1)
    return head + b"".join(struct.pack("<IIII", START, size, 60, size) + FRAME[:size] for size in (0, 1, 14, 60))


def _times() -> bytes:
    """Every kind of resolution and offset; times that fit and times that do not."""
    content = section()
    pairs = [(resolution, 0) for resolution in (0, 6, 9, 10, 12, 19, 20, 29, 127, 128, 138, 159, 160, 191, 192, 255)]
    pairs += [(6, 1 << 62), (6, -(1 << 63)), (9, -5), (148, 5), (0, -START)]
    for number, (resolution, offset) in enumerate(pairs):
        content += interface(options=option(9, bytes([resolution])) + option(14, struct.pack("<q", offset)))
        for stamp in (START, START * SECOND, (1 << 64) - 1):
            content += packet(FRAME[:4], number=number, stamp=stamp)
    return content


def _pcapng(order: str) -> bytes:
    flags = option(2, struct.pack(order + "I", 2), order)
    return (
        section(order)
        + interface(1, order, options=option(2, b"eth0", order) + option(9, b"\x09", order))
        + packet(order=order, stamp=START * SECOND, options=option(1, b"hello", order) + flags + bytes(4))
        + block(0xBAD, struct.pack(order + "I", 32622) + b"body", order)
        + interface(101, order, options=option(9, b"\x94", order) + option(14, struct.pack(order + "q", -5), order))
        + packet(FRAME[:21], order, number=1, stamp=START << 20)
        + packet(FRAME[:2], order, number=2)
        + old_packet(FRAME[:7], order, number=1)
        + simple_packet(FRAME[:9], order, original=100)
        + block(5, bytes(12), order)
        + section(order, major=7)
        + packet(order=order)
        + section(order)
        + interface(113, order, snaplen=8)
        + simple_packet(FRAME, order)
        + packet(FRAME[:33], order)
    )


CRAFTED = {
    "us-little": _pcap("<", 0xA1B2C3D4),
    "us-big": _pcap(">", 0xA1B2C3D4),
    "ns-little": _pcap("<", 0xA1B23C4D),
    "ns-big": _pcap(">", 0xA1B23C4D),
    "modified": _pcap("<", 0xA1B2CD34, extra=bytes(8)),
    "suse": _pcap("<", 0xA1B2CD34, extra=bytes(12)),
    "redhat": _pcap(">", 0xA1B2C3D4, extra=bytes(8)),
    "version-2.2": _old(2, 2),
    "version-2.3": _old(2, 3),
    "times": _times(),
    "fcs": _pcap("<", 0xA1B2C3D4, link=0x24000001),
    "pcapng-little": _pcapng("<"),
    "pcapng-big": _pcapng(">"),
    "pcapng-both": _pcapng("<") + _pcapng(">"),
    "cut": _pcap("<", 0xA1B2C3D4)[:-3],
    "lying": pcap_header() + record() + record(captured=1 << 30),
    "lying-block": section() + interface() + packet() + block(6, bytes(32), length=0xFFFFFFFC),
    "wrong-trailer": section() + interface() + packet() + block(6, bytes(32), trailer=7),
}
"""A capture of each kind, good and bad."""
