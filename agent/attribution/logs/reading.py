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
            try:
                known = parse_address(text)
            except ValueError:
                raise ValueError(f"{_shown(text)} is not an IPv4 or IPv6 address") from None
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
    """RFC 3339 texts as nanoseconds; a time without a zone is UTC. Dates are parsed once each."""

    def __init__(self) -> None:
        self._days: dict[str, int] = {}

    def parse(self, value: Any) -> int:
        """Raises ValueError naming the text."""
        if not isinstance(value, str) or len(value) > 60:
            raise ValueError(f"{_shown(value)} is no time")
        clock, fraction = value[11:19], value[19:].removesuffix("Z")
        digits = clock[:2] + clock[3:5] + clock[6:] + fraction[1:]
        usual = clock[2:3] == clock[5:6] == ":" and value[10] in " T" and len(clock) == 8 and len(fraction) <= 10
        if usual and digits.isascii() and digits.isdigit() and fraction[:1] in ("", ".") and fraction != ".":
            hour, minute, second = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
            if hour < 24 and minute < 60 and second < 60:
                seconds = self._day(value[:10]) + hour * 3600 + minute * 60 + second
                return seconds * SECOND + int(digits[6:].ljust(9, "0"))
        return parse_time(value)

    def _day(self, date: str) -> int:
        """Seconds since 1970."""
        known = self._days.get(date)
        if known is None:
            known = parse_time(f"{date}T00:00:00Z") // SECOND
            if len(self._days) >= _KEPT:
                self._days.clear()
            self._days[date] = known
        return known


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
