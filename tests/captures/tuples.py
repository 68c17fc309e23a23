"""The value that both sides of a comparison end as: the flow of a packet, whichever way it goes.

Knows addresses and decision records. Must not know tshark, captures or causes.

    >>> folded(6, ("10.0.0.5", 50000), ("10.0.0.1", 443)) == folded(6, ("10.0.0.1", 443), ("10.0.0.5", 50000))
    True
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple

_BY_NAME = {"tcp": 6, "udp": 17, "icmp": 1, "icmpv6": 58, "sctp": 132}
"""Our records' names of protocols; the others are numbers there."""

End = tuple[str, int | None]
"""Address as `ipaddress` spells it, and port; None where the protocol has none."""


class Tuple(NamedTuple):
    """A flow of either way: the protocol and both ends in order."""

    protocol: int
    first: End
    second: End

    def __str__(self) -> str:
        name = next((name for name, number in _BY_NAME.items() if number == self.protocol), f"protocol {self.protocol}")
        return f"{name} {_text(self.first)} - {_text(self.second)}"


def folded(protocol: int, one: End, other: End) -> Tuple:
    """The tuple of a packet between two ends."""
    ends = [(ip_address(address), port) for address, port in (one, other)]
    ends.sort(key=lambda end: (end[0].version, end[0].packed, end[1] or 0))
    first, second = ((str(address), port) for address, port in ends)
    return Tuple(protocol, first, second)


def record_tuple(record: Mapping[str, Any]) -> Tuple:
    """The tuple of a decision record."""
    protocol = _BY_NAME.get(record["protocol"]) or int(record["protocol"])
    local, remote = record["local"], record["remote"]
    return folded(protocol, (local["ip"], local["port"]), (remote["ip"], remote["port"]))


def _text(end: End) -> str:
    address, port = end
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
