"""DHCP messages, as far as a packet filter must read them: who answers whom, and which resolvers are handed out.

Content never raises: a message that cannot be read is None.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.address import Address

_COOKIE = b"\x63\x82\x53\x63"
ACK, REPLY6 = 5, 7


@dataclass(frozen=True, slots=True)
class Dhcp:
    """One DHCPv4 or DHCPv6 message between client and server."""

    transaction: int
    from_server: bool
    confirms: bool
    """An ACK (v4) or Reply (v6): what it hands out is in force."""
    resolvers: tuple[Address, ...]


def parse_dhcp4(message: bytes) -> Dhcp | None:
    """RFC 2131, options of RFC 2132."""
    if len(message) < 240 or message[236:240] != _COOKIE or message[0] not in (1, 2):
        return None
    kind, resolvers, at = 0, [], 240
    while at < len(message) and message[at] != 255:
        if message[at] == 0:
            at += 1
            continue
        if at + 2 > len(message) or at + 2 + message[at + 1] > len(message):
            break
        value = message[at + 2 : at + 2 + message[at + 1]]
        if message[at] == 53 and len(value) == 1:
            kind = value[0]
        elif message[at] == 6 and len(value) % 4 == 0:
            resolvers = [Address(4, int.from_bytes(value[i : i + 4], "big")) for i in range(0, len(value), 4)]
        at += 2 + message[at + 1]
    transaction = int.from_bytes(message[4:8], "big")
    return Dhcp(transaction, message[0] == 2, message[0] == 2 and kind == ACK, tuple(resolvers))


def parse_dhcp6(message: bytes) -> Dhcp | None:
    """RFC 8415; option 23 of RFC 3646."""
    if len(message) < 4 or message[0] in (0, 12, 13) or message[0] > 13:
        return None
    from_server = message[0] in (2, 7, 10)
    resolvers: list[Address] = []
    at = 4
    while at + 4 <= len(message):
        code, size = message[at] << 8 | message[at + 1], message[at + 2] << 8 | message[at + 3]
        value = message[at + 4 : at + 4 + size]
        if len(value) < size:
            break
        if code == 23 and size % 16 == 0:
            resolvers = [Address(6, int.from_bytes(value[i : i + 16], "big")) for i in range(0, size, 16)]
        at += 4 + size
    return Dhcp(int.from_bytes(message[1:4], "big"), from_server, message[0] == REPLY6, tuple(resolvers))
