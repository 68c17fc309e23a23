"""The elements that pcapng is written from: blocks and options, little-endian.

Knows: their framing (draft-ietf-opsawg-pcapng 3.1, 3.5). Must not know: what any of them means.

    >>> option(2, b"lo").hex()
    '020002006c6f0000'
"""

from __future__ import annotations

import struct

LONGEST_VALUE = 0xFFFC
END_OF_OPTIONS = bytes(4)


def block(kind: int, body: bytes) -> bytes:
    """A whole block; `body` is a multiple of four bytes long."""
    length = (12 + len(body)).to_bytes(4, "little")
    return kind.to_bytes(4, "little") + length + body + length


def option(code: int, value: bytes) -> bytes:
    """One option with its padding; `value` of at most LONGEST_VALUE bytes."""
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def text(value: str) -> bytes:
    """`value` as an option holds it: UTF-8, cut between characters. A file name that is no text keeps its bytes."""
    try:
        encoded = value.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        encoded = value.encode(errors="replace")
    if len(encoded) <= LONGEST_VALUE:
        return encoded
    return encoded[:LONGEST_VALUE].decode(errors="ignore").encode()
