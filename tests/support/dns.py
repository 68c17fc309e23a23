"""DNS and DHCP messages byte by byte. Never: frames, verdicts.

question(7, "a.example.test"), answer(7, "a.example.test", [("a.example.test", "A", 60, "192.0.2.1")])
"""

from __future__ import annotations

import struct

from agent.model.address import parse_address

TYPES = {"A": 1, "CNAME": 5, "TXT": 16, "AAAA": 28, "HTTPS": 65}

Record = tuple[str, str, int, str]
"""Owner, type, time to live, value (an address or a name)."""


def name(text: str) -> bytes:
    labels = [label.encode("latin-1") for label in text.split(".")] if text else []
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(identifier: int, host: str, kind: str = "A", *, edns: bool = False, tail: bytes = b"") -> bytes:
    """`tail`: bytes behind the message, which no resolver asks for."""
    head = struct.pack(">HHHHHH", identifier, 0x0100, 1, 0, 0, int(edns))
    option = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0) if edns else b""
    return head + name(host) + struct.pack(">HH", TYPES[kind], 1) + option + tail


def answer(identifier: int, host: str, records: list[Record], kind: str = "A", *, code: int = 0) -> bytes:
    head = struct.pack(">HHHHHH", identifier, 0x8180 | code, 1, len(records), 0, 0)
    body = name(host) + struct.pack(">HH", TYPES[kind], 1)
    for owner, type_name, seconds, value in records:
        data = name(value) if type_name == "CNAME" else parse_address(value).packed
        body += name(owner) + struct.pack(">HHIH", TYPES[type_name], 1, seconds, len(data)) + data
    return head + body


def dhcp4(kind: int, transaction: int, *, reply: bool = False, resolvers: tuple[str, ...] = ()) -> bytes:
    """`kind`: 1 discover, 2 offer, 3 request, 5 ack."""
    options = bytes([53, 1, kind])
    if resolvers:
        packed = b"".join(parse_address(one).packed for one in resolvers)
        options += bytes([6, len(packed)]) + packed
    head = struct.pack(">BBBBI", 2 if reply else 1, 1, 6, 0, transaction)
    return head.ljust(236, b"\0") + b"\x63\x82\x53\x63" + options + b"\xff"


def dhcp6(kind: int, transaction: int, *, resolvers: tuple[str, ...] = ()) -> bytes:
    """`kind`: 1 solicit, 2 advertise, 3 request, 7 reply."""
    body = b""
    if resolvers:
        packed = b"".join(parse_address(one).packed for one in resolvers)
        body = struct.pack(">HH", 23, len(packed)) + packed
    return bytes([kind]) + transaction.to_bytes(3, "big") + body
