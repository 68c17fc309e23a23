"""One event of a Windows event log, whatever program wrote it down, and how such programs write texts and times.

Knows which events matter, and the spelling of values. Must not know wrappings, or what the fields of an event mean.

    event = Event(source="sysmon", number=3, provider="Microsoft-Windows-Sysmon", host="WS5",
                  logged="2026-01-05T09:00:00.1Z", fields={"UtcTime": "2026-01-05 09:00:00.000", ...})
    Clock().ns(event.logged)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from agent.attribution.evidence import Claim
from agent.model.address import Address, Endpoint, parse_address
from agent.model.moment import parse_time

SYSMON, SECURITY = "sysmon", "security"

_SOURCES = {
    "microsoft-windows-sysmon": SYSMON,
    "linux-sysmon": SYSMON,
    "microsoft-windows-sysmon/operational": SYSMON,
    "linux-sysmon/operational": SYSMON,
    "microsoft-windows-security-auditing": SECURITY,
    "security": SECURITY,
}
"""Providers, and channels for rows that name no provider; written in any case."""

NUMBERS: Mapping[str, frozenset[int]] = {
    SYSMON: frozenset({1, 3, 22}),
    SECURITY: frozenset({4688, 5154, 5156, 5157, 5158}),
}
"""Events that say something of sockets or processes; a log holds a hundred others."""

ANY_NUMBER = frozenset().union(*NUMBERS.values())

_NOTHING = frozenset({"", "-"})
"""What these logs write for a value that there is not."""

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_CACHED = 4096
"""Entries after which the cache of parsed times is emptied."""


class Event(NamedTuple):
    """One event, unwrapped."""

    source: str
    """SYSMON or SECURITY."""
    number: int
    """The event id."""
    provider: str
    host: str
    """The computer it happened on, as written; "" if the row does not say."""
    logged: str | None
    """When it was written to the log, as written; without a zone it is taken for UTC."""
    fields: Mapping[str, Any]
    """The event's own data, by Windows' names: texts, or what JSON makes of them."""


def source_of(provider: str, channel: str, number: int) -> str | None:
    """SYSMON or SECURITY for an event that matters, else None."""
    source = _SOURCES.get(provider.lower()) if provider else _SOURCES.get(channel.lower())
    return source if source is not None and number in NUMBERS[source] else None


def text(value: Any) -> str | None:
    """A value of an event as text; None for nothing: absent, empty or a dash."""
    if type(value) is str:
        return None if value in _NOTHING else value
    if value is True or value is False:
        return "true" if value else "false"
    return str(value) if type(value) is int else None


def whole_number(value: Any) -> int | None:
    """A number written in decimal, or in hexadecimal after 0x; None if it is not one."""
    if type(value) is int:
        return value
    if type(value) is not str or len(value) > 20 or not value.isascii():
        return None
    try:
        return int(value, 16) if value[:2] in ("0x", "0X") else int(value) if value.isdigit() else None
    except ValueError:
        return None


def pid_of(value: Any) -> int | None:
    """A pid; None for 0 too, which stands for nobody."""
    pid = whole_number(value)
    return pid if pid is not None and 0 < pid < 1 << 32 else None


class Clock:
    """Turns the times of one log into nanoseconds since 1970. Mutable: a cache, since many are alike."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._seconds: dict[tuple[str, str, str], int] = {}

    def ns(self, written: str | None) -> int:
        """Raises ValueError naming what is no time. One without a zone is taken for UTC."""
        known = self._known.get(written) if written is not None else None
        if known is not None:
            return known
        match = None if written is None else _TIME.fullmatch(written)
        if match is None or written is None:
            raise ValueError(f"the time {written!r} is not one such as 2026-01-05 09:00:00.000")
        day, hour, fraction, zone = match.groups()
        key = (day, hour, zone or "Z")
        second = self._seconds.get(key)
        if second is None:
            if len(self._seconds) >= _CACHED:
                self._seconds.clear()
            second = self._seconds[key] = parse_time(f"{day}T{hour}{key[2]}")
        ns = second + (int(fraction) * 10 ** (9 - len(fraction)) if fraction else 0)
        if ns < 0 or ns >= 1 << 63:
            raise ValueError(f"the time {written!r} lies before 1970 or after 2262")
        if len(self._known) >= _CACHED:
            self._known.clear()
        self._known[written] = ns
        return ns


class Pool:
    """Values of one log, equal ones the same object: a million rows speak of a few processes and servers."""

    def __init__(self) -> None:
        self._claims: dict[Claim, Claim] = {}
        self._endpoints: dict[tuple[Any, Any], Endpoint] = {}
        self._addresses: dict[str, Address] = {}
        self._hosts: dict[str, str] = {}

    def claim(self, pid: int | None, guid: str | None, image: str | None, user: str | None) -> Claim:
        claim = Claim(pid, guid, None, image, None, user)
        return self._claims.setdefault(claim, claim)

    def host(self, name: str) -> str:
        return self._hosts.setdefault(name, name)

    def endpoint(self, key: str, address: Any, port: Any) -> Endpoint:
        """Raises ValueError naming the value; `key` says whose it is. No address (0.0.0.0, ::) is the wildcard."""
        known = self._endpoints.get((address, port)) if type(address) is str and type(port) in (str, int) else None
        if known is not None:
            return known
        number = whole_number(port)
        if number is None or number > 65535 or number < 0:
            raise ValueError(f"the {key} port {_shown(port)} is not in 0..65535")
        found = self._address(key, address)
        endpoint = Endpoint(None, number, found.version) if found.value == 0 else Endpoint(found, number)
        self._endpoints[address, port] = endpoint
        return endpoint

    def _address(self, key: str, written: Any) -> Address:
        known = self._addresses.get(written) if type(written) is str else None
        if known is not None:
            return known
        try:
            if type(written) is not str:
                raise ValueError
            address = self._addresses[written] = parse_address(written)
        except ValueError:
            raise ValueError(f"the {key} address {_shown(written)} is not an IPv4 or IPv6 address") from None
        return address


def _shown(value: Any) -> str:
    """A value in a message: never a whole screen of it."""
    written = repr(value)
    return written if len(written) <= 60 else written[:57] + "..."
