"""IP protocol numbers and the names records use for them."""

from __future__ import annotations

ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 6, 17, 58, 132, 136

_NAMES = {TCP: "tcp", UDP: "udp", ICMP: "icmp", ICMPV6: "icmpv6", SCTP: "sctp"}
_NUMBERS = {name: number for number, name in _NAMES.items()}

WITH_PORTS = frozenset({TCP, UDP, SCTP, UDPLITE})


def protocol_name(number: int) -> str:
    """`tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, else the decimal number."""
    return _NAMES.get(number) or str(number)


def parse_protocol(text: str) -> int:
    """The number of a protocol name or decimal number. Raises ValueError naming what is allowed."""
    number = _NUMBERS.get(text.lower())
    if number is None:
        if not (text.isascii() and text.isdigit() and int(text) <= 255):
            raise ValueError(f"{text!r} is not one of {', '.join(sorted(_NUMBERS))} or a number 0-255")
        number = int(text)
    return number
