"""The sockets of this machine that wait for whoever comes: listening TCP, unconnected UDP.

Knows the kernel's tables in /proc/net. Must not know whose they are: that is asked like for any packet.

    for protocol, local in listeners(): ...             # (6, Endpoint(None, 22, 4))
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from agent.attribution.values import Owner
from agent.model.address import Address, Endpoint, canonical_address
from agent.model.protocols import TCP, UDP
from agent.record.owners import Finder

_TABLES = (("tcp", TCP, 4), ("tcp6", TCP, 6), ("udp", UDP, 4), ("udp6", UDP, 6))
_STATES = {TCP: "0A", UDP: "07"}
"""LISTEN; and CLOSE, which a UDP socket without a remote end is in."""
_INBOUND = 1
_ANYBODY = {4: 0xC0000201, 6: 0x20010DB8 << 96 | 1}
"""An address of documentation: no socket is connected to it."""


def listeners(folder: str = "/proc/net") -> Iterator[tuple[int, Endpoint]]:
    """(protocol, local end) of each, several processes at one end as one. Tables that cannot be read are empty."""
    met: set[tuple[int, Endpoint]] = set()
    for name, protocol, version in _TABLES:
        try:
            with open(f"{folder}/{name}", encoding="ascii", errors="replace") as file:
                lines = file.readlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if len(words) > 3 and words[3] == _STATES[protocol]:
                found = protocol, _endpoint(words[1], version)
                if found not in met:
                    met.add(found)
                    yield found


def owner_of_listener(
    source: Finder, protocol: int, local: Endpoint, own: Iterable[Address], now_ns: int
) -> Owner | None:
    """Who would get what comes to `local`."""
    address = local.address
    if address is None:
        version = local.wildcard_version
        address = min((one for one in own if one.version == version), default=None)
        if address is None:
            return None
    anybody = _ANYBODY[address.version]
    return source.find(protocol, address.version, address.value, local.port, anybody, 1, now_ns, _INBOUND)


def _endpoint(text: str, version: int) -> Endpoint:
    """`0100007F:1F90`: words of the address in the machine's byte order, then the port."""
    digits, _, port = text.partition(":")
    packed = bytes.fromhex(digits)
    if sys.byteorder == "little":
        packed = b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
    value = int.from_bytes(packed, "big")
    if value == 0:
        return Endpoint(None, int(port, 16), version)
    return Endpoint(canonical_address(version, value), int(port, 16))
