"""Sysmon's events, of Windows and of Linux: process start (1), network connection (3), DNS query (22), as evidence.

Knows what their fields mean and where they lie. Must not know how events are wrapped.

    reader = SysmonReader(collector, Pool(), Clock())
    reader.read(event)

Measured: for TCP the source always opened the connection, so the local end is the source if `Initiated`, else the
destination. For UDP `Initiated` says nothing: one DNS exchange is logged as both. The time is UtcTime: it differs
from the packets' by one constant, where the time of logging is late by some seconds, never the same.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.attribution.collector import Collector
from agent.attribution.evidence import Claim, Observation, ProcessStart, Side
from agent.attribution.logs.event import Clock, Event, Pool, pid_of, text
from agent.model.address import Address, Endpoint, canonical_address, parse_address
from agent.model.protocols import TCP, UDP, WITH_PORTS, parse_protocol

_UNKNOWN = frozenset({"<unknown process>", "&lt;unknown process&gt;"})
_NO_GUID = "00000000-0000-0000-0000-000000000000"

_PRIVATE_HEADS = ((0x0A, 24), (0xAC1, 20), (0xC0A8, 16), (0xA9FE, 16), (0x7F, 24))
"""(value, shift) of 32-bit heads: 10/8, 172.16/12, 192.168/16, 169.254/16, 127/8. No IPv6 address begins so."""


class Answer(NamedTuple):
    """What a name meant to a process of the host (event 22)."""

    host: str
    time: int
    name: str
    addresses: tuple[Address, ...]


class SysmonReader:
    """Puts events into a collector. Mutable: it counts, and keeps the answers."""

    def __init__(self, collector: Collector, pool: Pool, clock: Clock) -> None:
        self.answers: list[Answer] = []
        self.unusable = 0
        """Connections with no address or port: Sysmon for Linux writes such rows."""
        self.repaired = 0
        """Connections whose IPv4 addresses Sysmon 9 printed as IPv6."""
        self._collector = collector
        self._pool = pool
        self._clock = clock
        self._reads = {1: self._started, 3: self._connected, 22: self._asked}

    def read(self, event: Event) -> None:
        """Raises ValueError saying what is wrong with the event."""
        self._reads[event.number](event)

    def finish(self) -> None:
        """After the last event: what the summary should say."""
        place = self._collector.path
        if self.unusable:
            counted = f"{place}: {self.unusable:,} of Sysmon's connections name no endpoints and are not used"
            self._collector.warn("log_rows_unusable", counted)
        if self.repaired:
            counted = f"{place}: {self.repaired:,} of Sysmon's connections had IPv4 addresses written as IPv6"
            self._collector.warn("log_rows_repaired", f"{counted} (a fault of Sysmon 9), which were read as IPv4")

    def _started(self, event: Event) -> None:
        claim = self._claim(event)
        if claim.pid is None and claim.guid is None:
            return
        claim = claim._replace(command_line=text(event.fields.get("CommandLine")))
        self._collector.started(ProcessStart(self._pool.host(event.host), self._time(event), claim))

    def _connected(self, event: Event) -> None:
        fields = event.fields
        protocol = parse_protocol(text(fields.get("Protocol")) or "")
        first = self._pool.endpoint("source", fields.get("SourceIp"), fields.get("SourcePort"))
        second = self._pool.endpoint("destination", fields.get("DestinationIp"), fields.get("DestinationPort"))
        portless = protocol in WITH_PORTS and (first.port == 0 or second.port == 0)
        if portless or first.address is None or second.address is None:
            self.unusable += 1
            return
        if _is_garbled(first.address) or _is_garbled(second.address):
            first, second = _repaired(first), _repaired(second)
            self.repaired += 1
        local, initiated, proves = Side.UNSURE, None, True
        remote: Endpoint | None = second
        if protocol == TCP:
            initiated = {"true": True, "false": False}.get((text(fields.get("Initiated")) or "").lower())
            if initiated is not None:
                local = Side.FIRST if initiated else Side.SECOND
        elif _is_group(first, second):
            local, proves = Side.FIRST, False  # heard on a group address: the destination is who sent it
        elif protocol == UDP and _lost_destination(event, first, second):
            local, remote = Side.FIRST, None
        host, time = self._pool.host(event.host), self._time(event)
        claim = self._claim(event)
        self._collector.saw(
            Observation(host, time, protocol, first, remote, local, claim, initiated, proves_address=proves)
        )

    def _asked(self, event: Event) -> None:
        name = text(event.fields.get("QueryName"))
        if name is None:
            raise ValueError("is a DNS query without QueryName")
        addresses = tuple(_addresses(text(event.fields.get("QueryResults")) or ""))
        self.answers.append(Answer(self._pool.host(event.host), self._time(event), name, addresses))

    def _time(self, event: Event) -> int:
        return self._clock.ns(text(event.fields.get("UtcTime")) or event.logged)

    def _claim(self, event: Event) -> Claim:
        """The process as the event's own data have it; the event's Execution is Sysmon itself."""
        fields = event.fields
        image = text(fields.get("Image"))
        if image in _UNKNOWN:
            image = None
        guid = (text(fields.get("ProcessGuid")) or "").strip("{}").upper()
        guid_or_none = None if guid in ("", _NO_GUID) else guid
        return self._pool.claim(pid_of(fields.get("ProcessId")), guid_or_none, image, text(fields.get("User")))


def _is_garbled(address: Address) -> bool:
    """Sysmon 9 printed some IPv4 pairs as IPv6: the four bytes first, then whatever lay behind them in memory."""
    if address.version != 6:
        return False
    head = address.value >> 96
    return any(head >> shift == value for value, shift in _PRIVATE_HEADS)


def _repaired(endpoint: Endpoint) -> Endpoint:
    address = endpoint.address
    if address is None or address.version != 6:
        return endpoint
    return Endpoint(canonical_address(4, address.value >> 96), endpoint.port)


def _is_group(endpoint: Endpoint, other: Endpoint) -> bool:
    """True for multicast and broadcast addresses, those of the other end's /24 as well."""
    address, peer = endpoint.address, other.address
    if address is None or peer is None:
        return False
    if address.version == 6:
        return address.value >> 120 == 0xFF
    subnet = address.value & 0xFF == 0xFF and peer.version == 4 and address.value >> 8 == peer.value >> 8
    return address.value >> 28 == 0xE or address.value == 0xFFFFFFFF or subnet


def _lost_destination(event: Event, first: Endpoint, second: Endpoint) -> bool:
    """Sysmon for Linux writes 127.0.0.1 for the destination of UDP (its issue 126): only the socket is known then."""
    if event.provider != "Linux-Sysmon" or first.address is None or second.address is None:
        return False
    return second.address == parse_address("127.0.0.1") and first.address.value >> 24 != 127


def _addresses(results: str) -> list[Address]:
    """The addresses in QueryResults: `type:  5 other.name;::ffff:192.0.2.7;`."""
    found = []
    for part in results.split(";"):
        try:
            found.append(parse_address(part.strip()))
        except ValueError:
            continue  # another name
    return found
