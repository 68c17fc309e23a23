"""Owners on Linux: the kernel is asked for the socket, the index for who holds it, /proc for what that is.

Knows the order of these questions, and why an answer is missing. Must not know subjects or owners.

    asking = Asking(clock=time.monotonic_ns)
    asking.find(TCP, 4, local, 50123, remote, 443, direction=2)     # -> Found or the reason of a miss
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from agent.attribution.live.found import Found, Process
from agent.attribution.live.holders import Holders
from agent.attribution.live.lookup import Lookup, Sockets
from agent.attribution.live.netlink import DiagError, SockDiag
from agent.attribution.live.processes import Processes
from agent.attribution.live.sockets import TCP, UDP

_LISTED_NS = 1_000_000_000
_INTERFACES = 64
"""A socket that is bound to one is asked for on each: no more than this many questions, 5 us each."""

_ROUNDS = 2
"""A socket that closes while its holder is looked for leaves its listener: asked once more."""


class Asking:
    """Mutable: it keeps an index. Raises OSError where the kernel has no sock_diag, or not for TCP and UDP."""

    def __init__(self, *, clock: Callable[[], int], proc: str = "/proc") -> None:
        """`clock`: nanoseconds, for how old the list of interfaces is."""
        diag = SockDiag()
        if not diag.knows(TCP) or not diag.knows(UDP):
            diag.close()
            raise OSError("the kernel answers no questions for TCP and UDP sockets (modules tcp_diag and udp_diag)")
        self._clock = clock
        self._lookup = Lookup(diag)
        self._holders = Holders(proc=proc)
        self._processes = Processes(proc=proc)
        self._listed: int | None = None
        self._holders.start()

    def find(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int, *, direction: int
    ) -> Found | str:
        """Who holds the socket at this moment, or why nobody is known to."""
        ask = partial(self._lookup.find, protocol, version, local, local_port, remote, remote_port, direction=direction)
        try:
            self._list_interfaces()
            found = ask()
            for _ in range(_ROUNDS):
                if not found.sockets:
                    return self._why_none(found)
                asked = _inodes(found)
                processes = self._processes_of(found, lambda asked=asked: _inodes(ask()) == asked)  # type: ignore[misc]
                if processes:
                    return Found(processes, found.exact, found.listening, found.initiated)
                found = ask()
                if _inodes(found) == asked:
                    break
            else:
                return self._why_none(found)
        except DiagError:
            return "refused"
        except OSError:  # netlink or /proc
            return "access_denied"
        return "access_denied" if self._holders.table.denied else "holder_unknown"

    def refresh(self, links: int) -> None:
        """Reads about so many descriptors again."""
        try:
            self._holders.refresh(links)
        except OSError:
            return  # /proc has gone; the next question says so

    def _list_interfaces(self) -> None:
        now = self._clock()
        if self._listed is None or now - self._listed >= _LISTED_NS:
            self._listed = now
            self._lookup.interfaces = [index for index, _ in socket.if_nameindex()][:_INTERFACES]

    def _why_none(self, found: Sockets) -> str:
        if found.closed:
            return "socket_closed"
        if found.sockets:
            return "process_gone"
        return "no_socket_in_this_namespace" if self._holders.table.elsewhere else "no_socket"

    def _processes_of(self, found: Sockets, still: Callable[[], bool]) -> list[Process]:
        """Every process that holds one of the sockets at this moment."""
        seen: dict[tuple[int, int], Process] = {}
        for one in found.sockets:
            for holder in self._holders.find(one.inode, one.uid, still):
                process = self._processes.holding(holder.pid, holder.number, one.inode)
                if process is not None:
                    seen[process.pid, process.created] = process
        return list(seen.values())


def _inodes(found: Sockets) -> list[int]:
    """What says that two answers mean the same sockets: their states may differ."""
    return [one.inode for one in found.sockets]
