"""What reading any table of sockets needs: texts parsed once, rows that cannot be used counted, a verdict at the end.

Knows addresses, times and bookkeeping. Must not know a format.

    reading = Reading(file, context)
    end = reading.ends.endpoint("10.0.0.5", "443")
    reading.skip("without a local port")
    return reading.finish(used, [collector])
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from agent.attribution.broken import BrokenLines
from agent.attribution.collector import Collector
from agent.attribution.evidence import Context
from agent.attribution.textfile import TextFile
from agent.model.address import Address, Endpoint, parse_address
from agent.model.errors import AttributionError
from agent.model.moment import SECOND, parse_time

_KEPT = 1 << 16
"""Entries after which a cache is emptied."""

_PROTOCOLS = {
    "tcp": 6, "tcpv4": 6, "tcpv6": 6, "tcp4": 6, "tcp6": 6, "6": 6,
    "udp": 17, "udpv4": 17, "udpv6": 17, "udp4": 17, "udp6": 17, "17": 17,
    "icmp": 1, "icmpv4": 1, "1": 1, "icmpv6": 58, "icmp6": 58, "58": 58,
    "sctp": 132, "132": 132,
}  # fmt: skip


class Ends:
    """Endpoints and protocols from texts; equal texts give the same object."""

    def __init__(self) -> None:
        self._addresses: dict[str, Address] = {}
        self._endpoints: dict[tuple[str, Any], Endpoint] = {}

    def endpoint(self, address: Any, port: Any) -> Endpoint:
        """Of an address in text and a port as number or text. Raises ValueError naming what is wrong."""
        try:
            known = self._endpoints.get((address, port))
        except TypeError:
            known = None  # a list or object: named below
        if known is None:
            if not isinstance(address, str):
                raise ValueError(f"{_shown(address)} is no address")
            where, number = self._address(address), port_of(port)
            known = Endpoint(where, number) if where.value else Endpoint(None, number, 6 if ":" in address else 4)
            if len(self._endpoints) >= _KEPT:
                self._endpoints.clear()
            self._endpoints[address, port] = known
        return known

    def _address(self, text: str) -> Address:
        known = self._addresses.get(text)
        if known is None:
            known = parse_address(text)
            if len(self._addresses) >= _KEPT:
                self._addresses.clear()
            self._addresses[text] = known
        return known

    @staticmethod
    def protocol(value: Any) -> int:
        """Raises ValueError for a name that no log writes."""
        text = str(value).lower()
        number = _PROTOCOLS.get(text)
        if number is None:
            if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255):
                raise ValueError(f"{_shown(value)} is no protocol")
            number = int(text)
        return number


class Times:
    """RFC 3339 texts as nanoseconds; a time without a zone is UTC. Whole seconds are parsed once each."""

    def __init__(self) -> None:
        self._seconds: dict[str, int] = {}

    def parse(self, value: Any) -> int:
        """Raises ValueError naming the text."""
        if not isinstance(value, str):
            raise ValueError(f"{_shown(value)} is no time")
        head, point, tail = value[:19], value[19:20], value[20:]
        digits = tail.removesuffix("Z")
        if point == "." and digits.isascii() and digits.isdigit() and len(digits) <= 9:
            second = self._seconds.get(head)
            if second is None:
                second = self._keep(head)
            return second + int(digits.ljust(9, "0"))
        if value[19:] in ("", "Z"):
            second = self._seconds.get(head)
            return self._keep(head) if second is None else second
        return parse_time(value)

    def _keep(self, head: str) -> int:
        second = parse_time(head + "Z")
        if len(self._seconds) >= _KEPT:
            self._seconds.clear()
        self._seconds[head] = second
        return second


class Reading:
    """One file on its way through a loader. Mutable."""

    def __init__(self, file: TextFile, context: Context) -> None:
        self.file = file
        self.broken = BrokenLines(file.path, lenient=context.lenient)
        self.ends = Ends()
        self.times = Times()
        self._skipped: Counter[str] = Counter()

    def skip(self, reason: str) -> None:
        """A whole row that shows nothing of use; `reason` completes "3 ...", such as `without a local port`."""
        self._skipped[reason] += 1

    def finish(self, used: int, collectors: Sequence[Collector]) -> list[Collector]:
        """The collectors, the first with the file's warnings.

        Raises AttributionError if too much is broken, or if there are rows and none is of use: then it is no such file.
        """
        path, skipped = self.file.path, self._skipped.total()
        self.broken.judge(used + skipped + self.broken.count)
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self._skipped.most_common())
        if skipped and not used:
            raise AttributionError(path, 0, f"none of its {skipped:,} rows is of use: {reasons}")
        first = collectors[0]
        for code, text in self.broken.warnings():
            first.warn(code, text)
        if skipped:
            first.warn("rows_skipped", f"{path}: {skipped:,} rows were not used: {reasons}")
        if self.file.truncated:
            first.warn("attribution_truncated", f"{path}: the file ends inside a row; what is before it is used")
        if not used and not self.broken.count:
            first.warn("attribution_empty", f"{path}: holds no rows")
        return list(collectors)


def port_of(value: Any) -> int:
    """A port from a number or its digits. Raises ValueError naming it."""
    port = _whole(value, 65535)
    if port is None:
        raise ValueError(f"{_shown(value)} is no port")
    return port


def pid_of(value: Any) -> int | None:
    """A pid from a number or its digits; None for none and for 0, which no socket's owner has."""
    if value is None or value == "" or value == "-":
        return None
    pid = _whole(value, 0xFFFFFFFF)
    if pid is None:
        raise ValueError(f"{_shown(value)} is no pid")
    return pid or None


def _whole(value: Any, most: int) -> int | None:
    """Tools that know floats only write 443.0."""
    if type(value) is str:
        digits = value.removesuffix(".0")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            return None
        value = int(digits)
    elif type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= most else None


def text_of(value: Any) -> str | None:
    """A text that says something; None for none."""
    if value is None or value == "":
        return None
    if type(value) is not str:
        raise ValueError(f"{_shown(value)} is no text")
    return value


def nanoseconds(seconds: float) -> int:
    """Of seconds since 1970 as a float, which holds microseconds of today and no more."""
    if not 0 <= seconds < 1 << 34:
        raise ValueError(f"{seconds} is no time")
    return round(seconds * 1_000_000) * (SECOND // 1_000_000)


def is_own(end: Endpoint | None) -> bool:
    """True if the address can be that of one host only: no wildcard, loopback, multicast or broadcast."""
    if end is None or end.address is None:
        return False
    version, value = end.address
    if version == 4:
        return value >> 24 != 127 and value >> 28 != 0xE and value != 0xFFFFFFFF
    return value != 1 and value >> 120 != 0xFF


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."
