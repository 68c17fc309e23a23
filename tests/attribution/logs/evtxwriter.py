"""Writes small binary Windows event logs: one chunk, each event a template of its own, values as text or typed.

Only what a test needs of the format (libyal/libevtx: documentation of the format): no file of somebody else's is.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

FILE_HEADER, CHUNK_HEADER, CHUNK = 4096, 512, 65536


class Typed(NamedTuple):
    """A value as the system stores it."""

    kind: int
    data: bytes


def unsigned(value: int, size: int) -> Typed:
    """A number of 2, 4 or 8 bytes."""
    return Typed({2: 0x06, 4: 0x08, 8: 0x0A}[size], value.to_bytes(size, "little"))


def hexadecimal(value: int) -> Typed:
    """A number of 8 bytes that is shown with 0x."""
    return Typed(0x15, value.to_bytes(8, "little"))


def boolean(value: bool) -> Typed:
    return Typed(0x0D, int(value).to_bytes(4, "little"))


def guid(value: str) -> Typed:
    return Typed(0x0F, uuid.UUID(value).bytes_le)


def filetime(ns: int) -> Typed:
    """`ns` since 1970, stored as tenths of microseconds since 1601."""
    return Typed(0x11, (ns // 100 + 116_444_736_000_000_000).to_bytes(8, "little"))


Value = str | Typed


@dataclass(slots=True, kw_only=True)
class Element:
    """One XML element: with text, or with children."""

    name: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    text: Value | None = None
    children: tuple[Element, ...] = ()


class BinaryXml:
    """Appends elements; names lie where they are used, which needs the position in the chunk."""

    def __init__(self, base: int) -> None:
        self.data = bytearray()
        self.base = base
        self.values: list[Typed] = []
        """What the template is filled with."""

    @property
    def position(self) -> int:
        return self.base + len(self.data)

    def element(self, element: Element) -> None:
        self.data += struct.pack("<BH", 0x41 if element.attributes else 0x01, 0xFFFF)
        size_at = self._hole()
        self._name(element.name)
        if element.attributes:
            list_at = self._hole()
            for index, (name, value) in enumerate(element.attributes.items(), 1):
                self.data.append(0x06 if index == len(element.attributes) else 0x46)
                self._name(name)
                self._value(value)
            self._fill(list_at)
        if element.text is None and not element.children:
            self.data.append(0x03)
        else:
            self.data.append(0x02)
            if element.text is not None:
                self._value(element.text)
            for child in element.children:
                self.element(child)
            self.data.append(0x04)
        self._fill(size_at)

    def fragment(self, element: Element) -> None:
        self.data += b"\x0f\x01\x01\x00"
        self.element(element)
        self.data.append(0x00)

    def template(self, element: Element, number: int) -> None:
        """An instance of a template that is defined on the spot."""
        self.data += b"\x0f\x01\x01\x00\x0c\x01" + struct.pack("<I", number)
        self.data += struct.pack("<I", self.position + 4)
        self.data += struct.pack("<I16s", 0, number.to_bytes(16, "little"))
        size_at = self._hole()
        self.fragment(element)
        self._fill(size_at)
        self.data += struct.pack("<I", len(self.values))
        self.data += b"".join(struct.pack("<HBB", len(value.data), value.kind, 0) for value in self.values)
        self.data += b"".join(value.data for value in self.values) + b"\0"

    def _hole(self) -> int:
        self.data += bytes(4)
        return len(self.data)

    def _fill(self, end_of_hole: int) -> None:
        self.data[end_of_hole - 4 : end_of_hole] = struct.pack("<I", len(self.data) - end_of_hole)

    def _name(self, name: str) -> None:
        self.data += struct.pack("<I", self.position + 4)
        self.data += struct.pack("<IHH", 0, 0, len(name)) + name.encode("utf-16-le") + b"\0\0"

    def _value(self, value: Value) -> None:
        if isinstance(value, Typed):
            self.data += struct.pack("<BHB", 0x0D, len(self.values), value.kind)
            self.values.append(value)
        else:
            encoded = value.encode("utf-16-le")
            self.data += struct.pack("<BBH", 0x05, 0x01, len(encoded) // 2) + encoded


def evtx(events: Iterable[Element]) -> bytes:
    """A file with these events, which must fit one chunk."""
    records, last, count = bytearray(), CHUNK_HEADER, 0
    for count, event in enumerate(events, 1):
        last = CHUNK_HEADER + len(records)
        xml = BinaryXml(last + 24)
        xml.template(event, count)
        xml.data += bytes(-len(xml.data) % 4)
        size = 24 + len(xml.data) + 4
        records += struct.pack("<IIQQ", 0x2A2A, size, count, 132_000_000_000_000_000) + xml.data
        records += struct.pack("<I", size)
    free = CHUNK_HEADER + len(records)
    assert free <= CHUNK
    head = bytearray(CHUNK_HEADER)
    struct.pack_into("<8sQQQQIIII", head, 0, b"ElfChnk\0", 1, count, 1, count, 128, last, free, zlib.crc32(records))
    struct.pack_into("<I", head, 124, zlib.crc32(head[:120] + head[128:]))
    chunk = bytes(head) + bytes(records)
    file_head = struct.pack("<8sQQQIHHHH76s", b"ElfFile\0", 0, 0, count + 1, 128, 1, 3, FILE_HEADER, 1, b"")
    file_head += struct.pack("<II", 0, zlib.crc32(file_head))
    return file_head.ljust(FILE_HEADER, b"\0") + chunk.ljust(CHUNK, b"\0")
