"""IP addresses and endpoints in one canonical form, as plain integers.

An IPv4-mapped IPv6 address is IPv4, and a scope id is dropped: nobody downstream compares spellings.

    >>> parse_address("::ffff:10.0.0.5")
    Address(version=4, value=167772165)
    >>> str(parse_endpoint("[2001:DB8::5]:443"))
    '[2001:db8::5]:443'
"""

from __future__ import annotations

import socket
import sys
from typing import NamedTuple

_MAPPED_PREFIX = 0xFFFF


class Address(NamedTuple):
    """One IPv4 or IPv6 address."""

    version: int
    """4 or 6."""
    value: int
    """32 or 128 bits, most significant byte first on the wire."""

    def __str__(self) -> str:
        return format_address(self.version, self.value)

    def __hash__(self) -> int:
        """Of bytes, because that has a secret: who chooses numbers could make theirs meet in every dict."""
        return hash(self.value.to_bytes(16, "big"))

    @property
    def packed(self) -> bytes:
        return self.value.to_bytes(4 if self.version == 4 else 16, "big")


class Endpoint(NamedTuple):
    """An address and a port. `address` None is the wildcard of `wildcard_version`."""

    address: Address | None
    port: int
    wildcard_version: int = 0
    """4 for 0.0.0.0, 6 for [::] (which may also accept IPv4), 0 when `address` is given."""

    def __str__(self) -> str:
        if self.address is None:
            host = "0.0.0.0" if self.wildcard_version == 4 else "[::]"
        elif self.address.version == 6:
            host = f"[{self.address}]"
        else:
            host = str(self.address)
        return f"{host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address written in `text` (scope id allowed and dropped). Raises ValueError naming the text."""
    bare = text.partition("%")[0] if ":" in text else text
    try:
        if ":" not in bare:
            return Address(4, int.from_bytes(socket.inet_pton(socket.AF_INET, bare), "big"))
        value = int.from_bytes(socket.inet_pton(socket.AF_INET6, bare), "big")
    except (OSError, UnicodeError):
        raise ValueError(f"{text!r} is not an IPv4 or IPv6 address") from None
    return canonical_address(6, value)


def canonical_address(version: int, value: int) -> Address:
    """The address of `value`, an IPv4-mapped one turned into IPv4 (RFC 4291 section 2.5.5.2)."""
    if version == 6 and value >> 32 == _MAPPED_PREFIX:
        return Address(4, value & 0xFFFFFFFF)
    return Address(version, value)


def is_unicast(address: Address) -> bool:
    """False for what no single host is called: unspecified, loopback, multicast, and broadcast of no certain net."""
    value = address.value
    if address.version == 4:
        return value != 0 and value >> 24 != 127 and value >> 28 < 14
    return value > 1 and value >> 120 != 0xFF


def parse_endpoint(text: str) -> Endpoint:
    """`10.0.0.5:443`, `[2001:db8::5]:443`, `0.0.0.0:53` or `[::]:53`. Raises ValueError naming the text."""
    host, colon, port_text = text.rpartition(":")
    if not colon or not port_text.isascii() or not port_text.isdigit() or not 0 <= int(port_text) <= 65535:
        raise ValueError(f"{text!r} is not ADDRESS:PORT (IPv6 in brackets, port 0-65535)")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: write an IPv6 endpoint as [ADDRESS]:PORT")
    address = parse_address(host)
    if address.value == 0:
        return Endpoint(None, int(port_text), 6 if ":" in host else 4)
    return Endpoint(address, int(port_text))


def format_address(version: int, value: int) -> str:
    """Text of an address; IPv6 as RFC 5952 has it, alike on every platform."""
    if version == 4:
        return socket.inet_ntoa(value.to_bytes(4, "big"))
    if value >> 32 in _DOTTED or sys.platform == "win32":
        return _format_ipv6(value)
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


_DOTTED = frozenset({0, _MAPPED_PREFIX})
"""Upper 96 bits of addresses that inet_ntop writes with an IPv4 tail, on some platforms."""


def _format_ipv6(value: int) -> str:
    """RFC 5952 by hand, for what platforms write differently; the tests hold the two against each other."""
    groups = [value >> shift & 0xFFFF for shift in range(112, -16, -16)]
    best_start, best_length, start = -1, 1, -1
    for index, group in enumerate([*groups, 1]):
        if group == 0:
            start = index if start < 0 else start
        elif start >= 0:
            if index - start > best_length:
                best_start, best_length = start, index - start
            start = -1
    words = [f"{group:x}" for group in groups]
    if best_start < 0:
        return ":".join(words)
    return ":".join(words[:best_start]) + "::" + ":".join(words[best_start + best_length :])
