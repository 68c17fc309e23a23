"""A source of owners made from a log: one timeline for each host in it, of which the device's answers.

Knows how to tell hosts and clocks apart. Must not know formats. Nothing is answered before `settle`, which says whose
addresses are asked for and what the capture saw.

    source.settle(Surroundings(addresses=..., openings=..., clock_limit=..., clock_hits=...))
    source.find(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, 2)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from agent.attribution.evidence import Rank
from agent.attribution.timeline import Timeline
from agent.attribution.values import Owner, SocketRecord
from agent.model.address import Address
from agent.model.device import Device
from agent.model.moment import SECOND


class Opening(NamedTuple):
    """A flow whose beginning the capture shows: its first packet, a SYN where it is TCP."""

    protocol: int
    source: Address
    source_port: int
    destination: Address
    destination_port: int
    time: int
    """Nanoseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a recorded source is asked about: known once the captures were opened."""

    addresses: Sequence[Address] = ()
    """The device's."""
    openings: Sequence[Opening] = ()
    """Each tuple once; a tuple that began twice is left out."""
    clock_limit: int = 2_592_000 * SECOND
    """Nanoseconds a log's clock is shifted by at most."""
    clock_hits: int = 2
    """Flows that must agree on the clocks' difference before it is believed beyond the slack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockOffset:
    """What was found of one log's clock on one host."""

    source: str
    host: str
    offset: int
    """Nanoseconds that the capture's clock shows more."""
    hits: int
    """Flows that agree on it within the slack: exactly the same tuple in both, once each."""
    applied: bool


@dataclass(slots=True, kw_only=True)
class Host:
    """What a log says of one host."""

    name: str
    timeline: Timeline
    addresses: tuple[Address, ...] = ()
    """Its own, as its connections prove them."""


class Recorded:
    """The source. `hosts` by name as the log spells it."""

    complete = False
    misses: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        name: str,
        path: str,
        hosts: Sequence[Host],
        *,
        device: Device,
        rank: Rank,
        facts: frozenset[str],
        witness: bool = False,
        timeless: bool = False,
        warnings: Sequence[tuple[str, str]] = (),
        slack_ns: int = 60 * SECOND,
    ) -> None:
        self.name = name
        self.path = path
        self.rank = rank
        self.facts = facts
        self.witness = witness
        self.warnings = list(warnings)
        self.hosts = list(hosts)
        self.offsets: list[ClockOffset] = []
        self.timeline: Timeline | None = None
        """Of the only host that answers, if there is just one."""
        self._device = device
        self._slack = slack_ns
        self._timeless = timeless
        self._chosen: list[Host] = []
        self._settled = False

    def __len__(self) -> int:
        return sum(len(host.timeline) for host in self.hosts)

    @property
    def answering(self) -> Sequence[Host]:
        """The hosts whose sockets are the device's; all before `settle`."""
        return self._chosen if self._settled else self.hosts

    def local_addresses(self) -> tuple[Address, ...]:
        """Of the host that the device's name picks, or of the only one; several others could each be the device."""
        hosts = self._named() or (self.hosts if len(self.hosts) == 1 else [])
        return tuple(dict.fromkeys(address for host in hosts for address in host.addresses))

    def settle(self, surroundings: Surroundings) -> None:
        """Choose the host, and bring its clock to the capture's. Once, before the first find."""
        self._settled = True
        self._chosen = self._named() or self._by_address(surroundings.addresses)
        if not self._chosen and self.hosts:
            names = ", ".join(sorted(host.name or "(no name)" for host in self.hosts)[:5])
            text = (
                f"{self.path}: no host in it ({names}) has the device's name or one of its addresses; nothing is used"
            )
            self.warnings.append(("attribution_other_hosts", text))
        for host in () if self._timeless else self._chosen:
            self._align(host, surroundings)
        self.timeline = self._chosen[0].timeline if len(self._chosen) == 1 else None

    def find(
        self,
        protocol: int,
        version: int,
        local: int,
        local_port: int,
        remote: int,
        remote_port: int,
        now_ns: int,
        direction: int,
    ) -> Owner | None:
        """See Attribution.resolve."""
        for host in self._chosen:
            owner = host.timeline.find(protocol, version, local, local_port, remote, remote_port, now_ns, direction)
            if owner is not None:
                return owner
        return None

    def records(self) -> Iterator[SocketRecord]:
        """Of the hosts that answer, or of all before `settle`."""
        for host in self.answering:
            yield from host.timeline.records()

    def _named(self) -> list[Host]:
        """The host that has the device's name, with or without its domain; an assumed device is called like none."""
        return [host for host in self.hosts if same_host(host.name, self._device.name)]

    def _by_address(self, addresses: Sequence[Address]) -> list[Host]:
        """Those that have an address of the device; one that proved none only if alone and not called otherwise."""
        own = set(addresses)
        found = [host for host in self.hosts if own & set(host.addresses)]
        if not found and len(self.hosts) == 1 and (not self.hosts[0].addresses or not own):
            device_named = self._device.name != Device().name
            return [] if device_named and self.hosts[0].name else self.hosts
        return found

    def _align(self, host: Host, surroundings: Surroundings) -> None:
        """The median over the flows that both know exactly; a large one only if several flows tell it."""
        own = set(surroundings.addresses)
        differences = [
            opening.time - start
            for opening in surroundings.openings
            for start in _only_start(host.timeline, opening, own)
        ]
        if not differences:
            return
        offset = sorted(differences)[(len(differences) - 1) // 2]
        hits = sum(abs(difference - offset) <= self._slack for difference in differences)
        small = abs(offset) <= self._slack
        most = 2 * hits > len(differences)  # a few that meet by chance, such as NTP from port 123, move no clock
        believed = most and hits >= surroundings.clock_hits and abs(offset) <= surroundings.clock_limit
        applied = small or believed
        if applied:
            host.timeline.shift(offset)
        self.offsets.append(ClockOffset(source=self.name, host=host.name, offset=offset, hits=hits, applied=applied))
        if not small:
            self.warnings.append(self._large(host, offset, (hits, len(differences)), surroundings, applied=applied))

    def _large(
        self, host: Host, offset: int, counts: tuple[int, int], surroundings: Surroundings, *, applied: bool
    ) -> tuple[str, str]:
        """`counts`: the flows that agree, and all that both know."""
        hits, flows_known = counts
        seconds = f"{offset / SECOND:+,.1f} s"
        who = f"{self.path}: {self.name}" + (f" on {host.name}" if host.name else "")
        if applied:
            return "clock_offset", f"{who}: its clock is shifted by {seconds} ({hits} flows agree on it)"
        if hits < surroundings.clock_hits:
            flows = "1 flow tells" if hits == 1 else f"{hits} flows tell"
            why = f"only {flows} it: --set attribution.clock_hits={hits} believes that"
        elif 2 * hits <= flows_known:
            why = f"only {hits} of the {flows_known} flows that both know tell it"
        else:
            needed = -(-abs(offset) // SECOND)
            why = f"that is more than attribution.clock_limit: --set attribution.clock_limit={needed} allows it"
        return "clock_offset_refused", f"{who}: its clock seems to be off by {seconds}, not corrected: {why}"


def same_host(one: str, other: str) -> bool:
    """Names compared without case; where only one has a domain, without it."""
    first, second = one.lower().rstrip("."), other.lower().rstrip(".")
    if ("." in first) != ("." in second):
        first, second = first.partition(".")[0], second.partition(".")[0]
    return bool(first) and first == second


def _only_start(timeline: Timeline, opening: Opening, own: set[Address]) -> Iterator[int]:
    """When the log has the socket of this flow begin, if it has it exactly once."""
    ends = (opening.source, opening.source_port), (opening.destination, opening.destination_port)
    for (local, local_port), (remote, remote_port) in (ends, ends[::-1]):
        if local not in own:
            continue
        version = local.version
        times = timeline.exact_times(opening.protocol, version, local.value, local_port, remote.value, remote_port)
        if len(times) == 1:
            yield times[0][0]
