"""Where a run happens: collects packets and socket records, deals ports, keeps the resolver's cache.

Knows addresses, hardware addresses, round-trip times. Never: protocols above UDP, what an activity is.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from scapy.packet import Packet as ScapyPacket

from agent.model.address import Address
from agent.model.device import Family
from agent.model.errors import PolicyError
from agent.model.protocols import TCP, UDP
from agent.traffic.network import Peer, is_multicast
from agent.traffic.scenario import Scenario
from agent.traffic.sockets import Owner, SocketBook
from agent.traffic.wire import MTU, Way, link_header, padded

MICROSECOND = 1_000
MILLISECOND = 1_000_000
INBOUND, OUTBOUND = 1, 2
"""Direction flags as pcapng has them."""
MAX_PACKETS = 5_000_000
"""They are held in memory to be sorted by time."""
_EPHEMERAL = {Family.WINDOWS: (49152, 65535), Family.MAC: (49152, 65535), Family.LINUX: (32768, 60999)}


class Frame(NamedTuple):
    """One packet of the capture."""

    time_ns: int
    """Since 1970; whole microseconds."""
    data: bytes
    """From the Ethernet header on."""
    direction: int
    """1 inbound, 2 outbound, 0 not said."""


class Stage:
    """One run of a scenario. Mutable."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.network = scenario.network
        self.frames: list[Frame] = []
        self.book = SocketBook(scenario)
        self.resolvers = scenario.device.resolvers or (scenario.network.router(),)
        self.cache: dict[str, int] = {}
        """Name to the time when its DNS answer is forgotten."""
        self.vlan = 0
        """Tag of the activity that is playing."""
        self.activity = ""
        """Its name for errors."""
        self._own = frozenset(scenario.device.addresses)
        self._ways: dict[tuple[Address, Address, int], Way] = {}
        low, high = _EPHEMERAL[scenario.device.family]
        self._ports = {protocol: low + (scenario.seed * 7919 + protocol) % (high - low) for protocol in (TCP, UDP)}

    def owns(self, address: Address) -> bool:
        """True for an address of the device, and for the unspecified one it has before its lease."""
        return address in self._own or address.value == 0

    def owner(self, process: str) -> Owner:
        return None if process == "none" else self.scenario.processes[process]

    def local_for(self, remote: Address) -> Address:
        """The device's address towards `remote`. Raises PolicyError where it has none of that version."""
        local = self.network.local_for(remote)
        if local is None:
            message = f"{remote} is IPv{remote.version}; device.addresses has no address of that version"
            raise PolicyError(self.scenario.path, message, rule=self.activity)
        return local

    def ephemeral(self, protocol: int) -> int:
        """The next local port of the device's range."""
        low, high = _EPHEMERAL[self.scenario.device.family]
        port = self._ports[protocol] + 1
        self._ports[protocol] = port = port if port <= high else low
        return port

    def round_trip(self, remote: Address) -> int:
        """Nanoseconds to `remote` and back: a property of the address, so that it stays the same all along."""
        chance = zlib.crc32(remote.packed)
        if self.network.on_link(remote):
            return (250 + chance % 600) * MICROSECOND
        return (8_000 + chance % 34_000) * MICROSECOND

    def way(self, source: Address, destination: Address) -> Way:
        key = (source, destination, self.vlan)
        way = self._ways.get(key)
        if way is None:
            way = self._ways[key] = self._new_way(source, destination)
        return way

    def link(self, source: Address, destination: Address) -> ScapyPacket:
        """The Ethernet header between two addresses, for packets that scapy forms whole."""
        return link_header(self.network.mac_of(source), self.network.mac_of(destination), source.version, self.vlan)

    def emit(self, when: int, frame: bytes, *, sent: bool) -> None:
        """Adds a frame; `sent`: by the device."""
        if len(self.frames) >= MAX_PACKETS:
            message = f"more than {MAX_PACKETS:,} packets: lower its count, exchanges or bytes"
            raise PolicyError(self.scenario.path, message, rule=self.activity)
        direction = (OUTBOUND if sent else INBOUND) if self.network.direction_flags else 0
        self.frames.append(Frame(when // MICROSECOND * MICROSECOND, frame if sent else padded(frame), direction))

    def send(self, when: int, source: Address, destination: Address, protocol: int, body: bytes) -> None:
        """One IP packet, in fragments if it is too long for the link."""
        way = self.way(source, destination)
        sent = self.owns(source)
        if len(body) + (20 if way.version == 4 else 40) <= MTU:
            self.emit(when, way.frame(protocol, body), sent=sent)
            return
        from agent.traffic.fragments import pieces

        for index, frame in enumerate(pieces(self, source, destination, protocol, body, MTU)):
            self.emit(when + index * 12 * MICROSECOND, frame, sent=sent)

    def send_formed(self, when: int, source: Address, destination: Address, packet: ScapyPacket) -> None:
        """One IP packet that scapy formed."""
        self.emit(when, bytes(self.link(source, destination) / packet), sent=self.owns(source))

    def udp(self, when: int, source: Peer, destination: Peer, payload: bytes) -> None:
        """One UDP datagram between two endpoints with addresses."""
        body = self.way(source.address, destination.address).udp(source.port, destination.port, payload)
        self.send(when, source.address, destination.address, UDP, body)

    def finish(self) -> list[Frame]:
        """The frames in time order; what happened at the same time stays in the order of the activities."""
        self.frames.sort(key=lambda frame: frame.time_ns)
        return self.frames

    def _new_way(self, source: Address, destination: Address) -> Way:
        chance = zlib.crc32(source.packed + destination.packed)
        link = self.link(source, destination)
        return Way(link, source, destination, self.hop_limit(source, destination), chance >> 16)

    def hop_limit(self, source: Address, destination: Address) -> int:
        """As the capture sees it: whole from the device, less the routers' share from far away."""
        if is_multicast(destination):
            return 1 if destination.version == 4 else 255
        if self.owns(source):
            return 128 if self.scenario.device.family is Family.WINDOWS else 64
        chance = zlib.crc32(source.packed)
        initial = 128 if chance & 1 else 64
        return initial if self.network.on_link(source) else initial - 5 - chance % 11
