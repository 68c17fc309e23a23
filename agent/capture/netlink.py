"""The addresses of this Linux machine's interfaces, asked of the kernel (rtnetlink, RTM_GETADDR).

Knows that one question. Must not know packets. Every address is told, the second of an interface too, which the older
ioctl leaves out; one question takes a tenth of a millisecond.

    addresses()[2].own          # (10.0.0.5, fe80::5): of interface number 2
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from agent.model.address import Address, canonical_address

_GET_ADDRESSES, _NEW_ADDRESS = 22, 20
_DUMP_REQUEST = 0x301
_DONE, _ERROR = 3, 2
_PEER, _LOCAL, _BROADCAST = 1, 2, 4
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("=BBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_ANSWER = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class InterfaceAddresses:
    """What one interface is addressed by."""

    own: tuple[Address, ...] = ()
    broadcasts: tuple[Address, ...] = ()


def addresses() -> dict[int, InterfaceAddresses]:
    """By interface number; interfaces without an address are left out. Raises OSError."""
    own: dict[int, dict[Address, None]] = {}
    broadcasts: dict[int, dict[Address, None]] = {}
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:
        question = _MESSAGE.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        asked.send(_HEADER.pack(_HEADER.size + len(question), _GET_ADDRESSES, _DUMP_REQUEST, 1, 0) + question)
        done = False
        while not done:
            data = asked.recv(_ANSWER)
            done = not data
            for kind, message in _messages(data):
                done |= kind in (_DONE, _ERROR)
                if kind == _NEW_ADDRESS and len(message) >= _MESSAGE.size:
                    number, found = _addresses_of(message)
                    own.setdefault(number, {}).update(found[0])
                    broadcasts.setdefault(number, {}).update(found[1])
    return {
        number: InterfaceAddresses(own=tuple(found), broadcasts=tuple(broadcasts[number]))
        for number, found in own.items()
    }


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += length + 3 & ~3


def _addresses_of(message: bytes) -> tuple[int, tuple[dict[Address, None], dict[Address, None]]]:
    """Interface number, its own address and its broadcast address as the message has them."""
    family, _, _, _, number = _MESSAGE.unpack_from(message)
    values: dict[int, bytes] = {}
    at = _MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        if length < _ATTRIBUTE.size:
            break
        values[kind] = message[at + _ATTRIBUTE.size : at + length]
        at += length + 3 & ~3
    # Of a point-to-point link IFA_ADDRESS is the other end and IFA_LOCAL our own; IPv6 has the former only.
    mine = values.get(_LOCAL) or values.get(_PEER)
    return number, (_address(family, mine), _address(family, values.get(_BROADCAST)))


def _address(family: int, packed: bytes | None) -> dict[Address, None]:
    version = {int(socket.AF_INET): 4, int(socket.AF_INET6): 6}.get(family)
    if packed is None or version is None or len(packed) != (4 if version == 4 else 16):
        return {}
    return {canonical_address(version, int.from_bytes(packed, "big")): None}
