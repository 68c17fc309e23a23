"""Owners where the kernel cannot be asked for one socket: psutil's list of all of them, read again on a miss.

Knows psutil's connections. Must not know Linux's ways, or what a miss means to anybody.

    polling = Polling(clock=time.monotonic_ns, processes=Described().of)
    polling.find(TCP, 4, local, 50123, remote, 443, direction=2)      # -> Found or the reason of a miss

A list takes tenths of a second where there are ten thousand sockets, so a miss reads a new one only if the last is
old enough, and lists never take more than a fourth of the time. What opened and closed between two is not seen. psutil
names one process for each socket, also where several hold it.

A pid is believed if the process that has it was created at the same time before and after the list, and still is the
one that was.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import psutil

from agent.attribution.live.described import created_at
from agent.attribution.live.found import Found, Process
from agent.attribution.live.sockets import OUTBOUND, TCP, UDP, Socket, admits, most_specific, same_tuple, takes
from agent.model.address import parse_address

_SOONEST_NS = 250_000_000
_OLDEST_NS = 2_000_000_000
_SHARE = 4
"""A list that takes t is begun no sooner than this many t after the one before."""

_LISTEN = 10
_STATES = {"LISTEN": _LISTEN, "ESTABLISHED": 1, "SYN_SENT": 2, "SYN_RECV": 3}
_INITIATED = {2: True, 3: False}


class _Row(NamedTuple):
    socket: Socket
    pid: int
    created: int | None
    """None: not believed."""


class Polling:
    """Mutable: it keeps the last list, and processes."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        processes: Callable[[int, int], Process | None],
        dual: bool = True,
        connections: Callable[[str], Iterable[Any]] | None = None,
    ) -> None:
        """`clock`: nanoseconds; `processes`: the one of (pid, created), None if it has gone; `dual`: a socket at [::]
        takes IPv4, too (Windows lists it twice then); `connections`: psutil.net_connections, or what stands for it."""
        self._clock = clock
        self._process = processes
        self._dual = dual
        self._connections = connections or psutil.net_connections
        self._rows: dict[tuple[int, int], list[_Row]] = {}
        """By protocol and local port."""
        self._began: int | None = None
        self._took = 0

    def find(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int, *, direction: int
    ) -> Found | str:
        """Who holds the socket according to a list that is at most two seconds old, or why nobody is known to."""
        tuple_ = (version, local, local_port, remote, remote_port)
        pause = _SHARE * self._took
        if self._age() > max(_OLDEST_NS, pause) and not self._read():
            return "access_denied"
        rows = self._matching(protocol, *tuple_, outbound=direction == OUTBOUND)
        if not rows and self._age() >= max(_SOONEST_NS, pause):
            if not self._read():
                return "access_denied"
            rows = self._matching(protocol, *tuple_, outbound=direction == OUTBOUND)
        if not rows:
            return "no_socket"
        return self._found(rows)

    def refresh(self, links: int) -> None:
        """Nothing is kept between lists."""

    # Parts ------------------------------------------------------------------------------------------------------

    def _age(self) -> int:
        return 1 << 62 if self._began is None else self._clock() - self._began

    def _read(self) -> bool:
        """A new list; False if the system refuses it."""
        began = self._clock()
        before = {pid: created_at(pid) for pid in psutil.pids()}
        try:
            found = list(self._connections("inet"))
        except (psutil.Error, OSError):
            return False
        after: dict[int, int | None] = {}
        self._rows = {}
        for row in found:
            protocol = {socket.SOCK_STREAM: TCP, socket.SOCK_DGRAM: UDP}.get(row.type)
            if protocol is None or not row.laddr:
                continue
            pid = row.pid or 0  # 0: closed and waiting; None: not ours to know
            if pid not in after:
                after[pid] = created_at(pid) if pid else None
            created = after[pid] if after[pid] == before.get(pid) else None
            made = self._socket(row)
            self._rows.setdefault((protocol, made.local_port), []).append(_Row(made, pid, created))
        self._began, self._took = began, self._clock() - began
        return True

    def _socket(self, row: Any) -> Socket:
        version, local = parse_address(row.laddr[0])
        remote, remote_port = 0, 0
        if row.raddr:
            other, remote = parse_address(row.raddr[0])
            remote_port = row.raddr[1]
            version = other if not local else version
        state = _STATES.get(row.status, 0)
        return Socket(version, local, row.laddr[1], remote, remote_port, state, 0, 0, 0, 0, only6=not self._dual)

    def _matching(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int, *, outbound: bool
    ) -> list[_Row]:
        rows = self._rows.get((protocol, local_port), [])
        exact = [row for row in rows if same_tuple(row.socket, version, local, local_port, remote, remote_port)]
        if exact or (protocol == TCP and outbound):
            return exact
        fitting = [
            row
            for row in rows
            if takes(row.socket, version, local)
            and admits(row.socket, remote, remote_port)
            and (protocol == UDP or row.socket.state == _LISTEN)
        ]
        best = most_specific([row.socket for row in fitting])
        return [row for row in fitting if row.socket in best]

    def _found(self, rows: list[_Row]) -> Found | str:
        if any(row.pid == 0 for row in rows):
            return "access_denied" if rows[0].socket.state else "socket_closed"
        processes: dict[int, Process] = {}
        for row in rows:
            process = None if row.created is None else self._process(row.pid, row.created)
            if process is None or created_at(row.pid) != row.created:
                return "process_gone"
            processes[row.pid] = process
        first = rows[0].socket
        listening = first.state == _LISTEN
        return Found(list(processes.values()), first.connected, listening, _INITIATED.get(first.state))
