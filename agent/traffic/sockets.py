"""Socket records as contract.md has them: which process owned which endpoint, from when to when.

The wire names of the record stand in `_add` only. Never: packets.
"""

from __future__ import annotations

from agent.model.address import Endpoint
from agent.model.moment import SECOND, format_time
from agent.model.protocols import TCP, protocol_name
from agent.traffic.network import Peer
from agent.traffic.processes import Process
from agent.traffic.scenario import Scenario

Owner = Process | None
"""None: nobody owns the socket, and there is no record of it."""
End = Endpoint | Peer
Record = dict[str, object]
OPEN = -1
"""End of a socket that outlives the capture."""


class SocketBook:
    """The socket records of a run. Mutable."""

    def __init__(self, scenario: Scenario) -> None:
        self._start = scenario.start
        self._entries: list[tuple[int, int, Record]] = []
        self._listeners: set[tuple[int, int, int]] = set()
        self.unattributed: list[tuple[str, str, str]] = []
        """(protocol, local, remote) of flows that have no process: refused ports, and what a scenario wants so."""

    def connection(
        self, protocol: int, local: End, remote: End, owner: Owner, start: int, end: int, *, initiated: bool
    ) -> None:
        """A connected socket from `start` to `end` (ns since 1970, or OPEN)."""
        if owner is None:
            self.nobody(protocol, local, remote)
            return
        extra: Record = {"initiated": initiated} if protocol == TCP else {}
        self._add(protocol, local, str(remote), owner, start, end, extra)

    def unconnected(self, protocol: int, local: End, remote: End, owner: Owner, start: int, end: int) -> None:
        """A bound socket that speaks to anyone; `remote` matters only where there is no owner."""
        if owner is None:
            self.nobody(protocol, local, remote)
            return
        self._add(protocol, local, None, owner, start, end, {})

    def listener(self, protocol: int, version: int, port: int, remote: End, owner: Owner) -> None:
        """A socket that waits on every address of `version`, as long as its process lives. Once is enough."""
        key = (protocol, version, port)
        if key in self._listeners:
            return
        wildcard = Endpoint(None, port, version)
        if owner is None:
            self.nobody(protocol, wildcard, remote)
            return
        self._listeners.add(key)
        extra: Record = {"state": "LISTEN"} if protocol == TCP else {}
        self._add(protocol, wildcard, None, owner, self._start + owner.created + SECOND, OPEN, extra)

    def nobody(self, protocol: int, local: End, remote: End) -> None:
        """Says that this flow reaches no process."""
        self.unattributed.append((protocol_name(protocol), str(local), str(remote)))

    def records(self) -> list[Record]:
        """In order of their start, then as they came."""
        return [record for _, _, record in sorted(self._entries, key=lambda entry: entry[:2])]

    def _add(
        self, protocol: int, local: End, remote: str | None, owner: Process, start: int, end: int, extra: Record
    ) -> None:
        record = {
            "start": format_time(start),
            "end": None if end == OPEN else format_time(end),
            "protocol": protocol_name(protocol),
            "local": str(local),
            "remote": remote,
            **extra,
            "pid": owner.pid,
            "process_created": format_time(self._start + owner.created),
            "image": owner.image,
            "services": list(owner.services),
            "package_family_name": owner.package_family_name,
            "user": owner.user,
            "parent_pid": owner.parent_pid,
        }
        self._entries.append((start, len(self._entries), record))
