"""Which sockets a flow's local end may belong to, as the kernel shows them.

Knows how Linux gives packets to sockets: exact tuples, wildcard binds, dual-stack, SO_REUSEPORT, zones. Must not know
processes.

    Lookup(SockDiag(), [2, 3]).find(TCP, 4, local, 50123, remote, 443, direction=0)

What is asked, in this order: the exact tuple; that tuple on each interface, since a socket that is bound to one is
found only there (every TCP connection over link-local addresses is); for TCP the listeners of the port; for UDP all
sockets of the port, because several may share it (SO_REUSEADDR, SO_REUSEPORT) and the kernel names only one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agent.attribution.live.netlink import (
    ANY_STATE,
    CLOSE_WAIT,
    ESTABLISHED,
    LISTEN,
    LISTENING,
    SYN_RECV,
    SYN_SENT,
    SockDiag,
)
from agent.attribution.live.sockets import (
    INBOUND,
    OUTBOUND,
    TCP,
    UDP,
    Socket,
    admits,
    families,
    link_local,
    most_specific,
    same_tuple,
    takes,
)

_UNACCEPTED = frozenset({SYN_RECV, ESTABLISHED, CLOSE_WAIT})
"""States of a connection that the kernel made and no process has taken from its listener yet."""

_INITIATED = {SYN_SENT: True, SYN_RECV: False}


class Sockets(NamedTuple):
    """What a flow's local end may be. Several: any of them."""

    sockets: tuple[Socket, ...]
    exact: bool
    """The whole tuple fits, not only the local end."""
    listening: bool = False
    initiated: bool | None = None
    """Where the state proves it: a SYN just sent, a SYN just received."""
    closed: bool = False
    """The kernel knows the connection, but no process holds it any more (and `sockets` is empty)."""


NOTHING = Sockets((), exact=False)
CLOSED = Sockets((), exact=False, closed=True)


class Lookup:
    """Asks a SockDiag. Holds no answers."""

    def __init__(self, diag: SockDiag, interfaces: Iterable[int] = ()) -> None:
        self.diag = diag
        self.interfaces: Sequence[int] = tuple(interfaces)
        """Indexes; replaced by the owner when interfaces come and go."""

    def find(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int, *, direction: int
    ) -> Sockets:
        """The sockets of a tuple; `direction` of the flow as for Source.find. Raises DiagError."""
        if protocol == TCP:
            return self._tcp(version, local, local_port, remote, remote_port, direction)
        return self._udp(version, local, local_port, remote, remote_port)

    def _tcp(self, version: int, local: int, local_port: int, remote: int, remote_port: int, direction: int) -> Sockets:
        """An outbound flow is no listener's. An inbound one came through a listener, also if it is closed already."""
        listener = None
        for interface in (0, *self.interfaces):
            found = self.diag.connection(version, local, local_port, remote, remote_port, interface)
            if found is None or not same_tuple(found, version, local, local_port, remote, remote_port):
                listener = listener or found
                if listener is not None and not link_local(version, local):
                    break  # no connection without an interface, and one on an interface is next to never
                continue
            if found.inode:
                return Sockets((found,), exact=True, initiated=_INITIATED.get(found.state))
            if found.state in _UNACCEPTED:
                return self._listeners(version, local, local_port)._replace(initiated=False)
            if direction == INBOUND and (listening := self._listeners(version, local, local_port)).sockets:
                return listening._replace(initiated=False)
            return CLOSED
        if listener is None or listener.state != LISTEN or direction == OUTBOUND:
            return NOTHING
        return self._listeners(version, local, local_port)

    def _listeners(self, version: int, local: int, local_port: int) -> Sockets:
        """All that listen there: the kernel names one of a SO_REUSEPORT group, the connection may be another's."""
        found = [
            socket
            for family in families(version)
            for socket in self.diag.on_port(TCP, family, local_port, LISTENING)
            if socket.state == LISTEN and takes(socket, version, local)
        ]
        return Sockets(tuple(most_specific(found)), exact=False, listening=True) if found else NOTHING

    def _udp(self, version: int, local: int, local_port: int, remote: int, remote_port: int) -> Sockets:
        found = [
            socket
            for family in families(version)
            for socket in self.diag.on_port(UDP, family, local_port, ANY_STATE)
            if takes(socket, version, local) and admits(socket, remote, remote_port)
        ]
        best = most_specific(found)
        if not best:
            return NOTHING
        held = tuple(socket for socket in best if socket.inode)
        return Sockets(held, exact=best[0].connected) if held else CLOSED
