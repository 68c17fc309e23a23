r"""Events of the Windows Security log: connections allowed (5156) and blocked (5157), binds, listens, process starts.

Knows what their fields mean and where they lie. Must not know how events are wrapped.

    reader = SecurityReader(collector, Pool(), Clock())
    reader.read(event)

A blocked connection tells the owner of its socket as well as an allowed one. Measured: the source of an inbound TCP
event is who sent the SYN, where Microsoft's page has the local address: no side is told by a field's name. Images are
NT device paths, such as \device\harddiskvolume2\windows\system32\svchost.exe: the device's drive map turns them.
"""

from __future__ import annotations

from agent.attribution.collector import Collector
from agent.attribution.evidence import Claim, Observation, ProcessStart, Side
from agent.attribution.logs.event import Clock, Event, Pool, pid_of, text
from agent.model.address import Address, Endpoint
from agent.model.protocols import TCP, UDP, WITH_PORTS, parse_protocol

LISTEN, BIND = 5154, 5158
_INBOUND = {"%%14592": True, "Inbound": True, "%%14593": False, "Outbound": False}
_LAYERS = {
    "%%14608": "Resource Assignment",
    "%%14609": "Listen",
    "%%14610": "Receive/Accept",
    "%%14611": "Connect",
}
"""Where the process is that of the socket. At the packet layers (%%14597 Transport, %%14601 ICMP Error) it is not."""
_OWNING = frozenset(_LAYERS) | frozenset(_LAYERS.values())


class SecurityReader:
    """Puts events into a collector. Mutable: it counts, and learns the hosts' addresses."""

    def __init__(self, collector: Collector, pool: Pool, clock: Clock) -> None:
        self.unusable = 0
        """Sockets without a process, a port or an address."""
        self._collector = collector
        self._pool = pool
        self._clock = clock
        self._own: dict[str, set[Address]] = {}
        self._heard: list[int] = []
        """Where the inbound UDP of unsure sides is among the observations."""

    def read(self, event: Event) -> None:
        """Raises ValueError saying what is wrong with the event."""
        if event.number == 4688:
            self._started(event)
        elif event.number in (LISTEN, BIND):
            self._bound(event)
        else:
            self._connected(event)

    def finish(self) -> None:
        """After the last event, when the hosts' addresses are known.

        Inbound UDP from the host's own address to one that is not: it hears its own broadcast. The process is the
        hearing one, at the destination; taking it for the sender would give one program another one's traffic.
        """
        observations = self._collector.observations
        for index in self._heard:
            seen = observations[index]
            own = self._own.get(seen.host, ())
            if seen.first.address in own and seen.second is not None and seen.second.address not in own:
                observations[index] = seen._replace(local=Side.SECOND, proves_address=False)
        if self.unusable:
            counted = f"{self._collector.path}: {self.unusable:,} connections of the Security log name no process"
            self._collector.warn("log_rows_unusable", f"{counted} or no endpoints and are not used")

    def _started(self, event: Event) -> None:
        fields = event.fields
        pid, image = pid_of(fields.get("NewProcessId")), text(fields.get("NewProcessName"))
        if pid is None:
            raise ValueError(f"is a process start whose NewProcessId {fields.get('NewProcessId')!r:.40} is no pid")
        user = self._user(event, "Target") or self._user(event, "Subject")
        claim = Claim(pid=pid, image=image, command_line=text(fields.get("CommandLine")), user=user)
        self._collector.started(ProcessStart(self._pool.host(event.host), self._clock.ns(event.logged), claim))

    def _user(self, event: Event, whose: str) -> str | None:
        """Who the process runs as is only named (Target) where it is not who started it (Subject)."""
        name, domain = text(event.fields.get(f"{whose}UserName")), text(event.fields.get(f"{whose}DomainName"))
        return f"{domain}\\{name}" if name and domain else name

    def _bound(self, event: Event) -> None:
        protocol = self._protocol(event)
        local = self._endpoint(event, "source", "SourceAddress", "SourcePort", protocol)
        claim = self._claim(event)
        if claim is None or (protocol in WITH_PORTS and local.port == 0):
            self.unusable += 1
            return
        host, time, listening = self._pool.host(event.host), self._clock.ns(event.logged), event.number == LISTEN
        self._own_address(host, local)
        self._collector.saw(
            Observation(host, time, protocol, local, None, Side.FIRST, claim, listening=listening,
                        proves_address=local.address is not None)
        )  # fmt: skip

    def _connected(self, event: Event) -> None:
        fields, protocol = event.fields, self._protocol(event)
        first = self._endpoint(event, "source", "SourceAddress", "SourcePort", protocol)
        second = self._endpoint(event, "destination", "DestAddress", "DestPort", protocol)
        claim = self._claim(event)
        portless = protocol in WITH_PORTS and (first.port == 0 or second.port == 0)
        if claim is None or portless or first.address is None or second.address is None:
            self.unusable += 1
            return
        inbound = _INBOUND.get(text(fields.get("Direction")) or "")
        host, time = self._pool.host(event.host), self._clock.ns(event.logged)
        local, proves = Side.UNSURE, True
        if inbound is False:
            local = Side.FIRST
            self._own_address(host, first)
        elif inbound and _is_group(second):
            local, proves = Side.SECOND, False
        elif inbound and protocol == UDP:
            self._heard.append(len(self._collector.observations))
        initiated = None if inbound is None or protocol != TCP else not inbound
        self._collector.saw(
            Observation(host, time, protocol, first, second, local, claim, initiated, proves_address=proves)
        )

    def _protocol(self, event: Event) -> int:
        return parse_protocol(text(event.fields.get("Protocol")) or "")

    def _endpoint(self, event: Event, key: str, address: str, port: str, protocol: int) -> Endpoint:
        """The port fields of ICMP hold its type and code."""
        written = event.fields.get(port) if protocol in WITH_PORTS else 0
        return self._pool.endpoint(key, event.fields.get(address), written)

    def _claim(self, event: Event) -> Claim | None:
        """The process; None if the event names none, or stems from a layer that knows none."""
        fields = event.fields
        layer = text(fields.get("LayerName"))
        if layer is not None and layer not in _OWNING:
            return None
        pid = pid_of(fields["ProcessID"] if "ProcessID" in fields else fields.get("ProcessId"))
        image = text(fields.get("Application"))
        return None if pid is None and image is None else self._pool.claim(pid, None, image, None)

    def _own_address(self, host: str, endpoint: Endpoint) -> None:
        if endpoint.address is not None:
            self._own.setdefault(host, set()).add(endpoint.address)


def _is_group(endpoint: Endpoint) -> bool:
    """True for multicast and the limited broadcast."""
    address = endpoint.address
    if address is None:
        return False
    if address.version == 6:
        return address.value >> 120 == 0xFF
    return address.value >> 28 == 0xE or address.value == 0xFFFFFFFF
