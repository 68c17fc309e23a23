"""Blocks and options that name processes, byte by byte, in either byte order."""

from __future__ import annotations

import struct

from tests.capture.crafted import block, option

END = bytes(4)
CUSTOM, APPLE, HONE_PROCESS, HONE_CONNECTION = 0xBAD, 0x80000001, 0x101, 0x102


def entry(pid: int, *options: tuple[int, bytes]) -> bytes:
    """The body of a Process Information Block: little-endian in any section."""
    return struct.pack("<I", pid) + b"".join(option(code, value) for code, value in options) + (END if options else b"")


def custom(content: bytes, order: str = "<", *, kind: int = CUSTOM, number: int = 32622, entry_type: int = 3) -> bytes:
    """The body of Wireshark's custom block, between its lengths. `content`: of the entry."""
    head = struct.pack(order + "I", number) + struct.pack("<II", entry_type, len(content))
    return head + content + bytes(-len(content) % 4)


def pib(pid: int, *options: tuple[int, bytes], order: str = "<", kind: int = CUSTOM) -> bytes:
    """A whole block."""
    return block(kind, custom(entry(pid, *options), order), order)


def start(ns: int) -> tuple[int, bytes]:
    return 9, struct.pack("<Q", ns)


def apple_body(pid: int, *options: tuple[int, bytes], order: str = "<") -> bytes:
    return struct.pack(order + "I", pid) + b"".join(option(code, value, order) for code, value in options)


def hone_body(pid: int, time_us: int, *options: tuple[int, bytes], order: str = "<") -> bytes:
    moment = struct.pack(order + "II", time_us >> 32, time_us & 0xFFFFFFFF)
    return struct.pack(order + "I", pid) + moment + b"".join(option(code, value, order) for code, value in options)


def thread(pid: int, tid: int = 0, order: str = "<") -> bytes:
    """epb_processid_threadid."""
    return option(8, struct.pack(order + "II", pid, tid), order)


def word(code: int, value: int, order: str = "<") -> bytes:
    return option(code, struct.pack(order + "I", value), order)


def section_body(application: str = "", order: str = "<", *, machine: bytes = b"") -> bytes:
    """Between the lengths of a section header."""
    fixed = struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)
    return fixed + section_options(application, order, machine=machine)


def section_options(application: str = "", order: str = "<", *, machine: bytes = b"") -> bytes:
    options = option(4, application.encode(), order) if application else b""
    if machine:
        options += option(257, machine, order)
    return options + END
