"""One socket as the system shows it, and whether a packet is its.

Knows how a system gives packets to sockets: exact tuples, wildcard binds, dual stack. Must not know who asks it.

    [socket for socket in sockets if takes(socket, 4, local) and admits(socket, remote, 53)]
"""

from __future__ import annotations

from typing import NamedTuple

TCP, UDP = 6, 17
INBOUND, OUTBOUND = 1, 2
"""Of a flow whose direction is known."""


class Socket(NamedTuple):
    """One socket as the kernel shows it. Addresses canonical: an IPv4-mapped one is IPv4."""

    version: int
    """4 or 6 of its addresses; a socket at [::] is 6."""
    local: int
    """0: any address."""
    local_port: int
    remote: int
    remote_port: int
    """0 with `remote` 0: not connected."""
    state: int
    inode: int
    """0: no process holds it: not accepted yet, or closed and still sending."""
    uid: int
    interface: int
    """The interface it is bound to; 0: any."""
    cookie: int
    """A number that no other socket of this boot gets."""
    only6: bool
    """At [::] and set to take IPv6 only."""

    @property
    def connected(self) -> bool:
        return self.remote_port != 0 or self.remote != 0


def same_tuple(socket: Socket, version: int, local: int, local_port: int, remote: int, remote_port: int) -> bool:
    return (
        socket.local_port == local_port
        and socket.remote_port == remote_port
        and socket.local == local
        and socket.remote == remote
        and socket.version == version
    )


def families(version: int) -> tuple[int, ...]:
    """A socket of the other family may take IPv4, never IPv6."""
    return (4, 6) if version == 4 else (6,)


def takes(socket: Socket, version: int, local: int) -> bool:
    """True if packets to (or from) the local address are the socket's."""
    if socket.local:
        return socket.local == local and socket.version == version
    return socket.version == version or (version == 4 and not socket.only6)


def admits(socket: Socket, remote: int, remote_port: int) -> bool:
    return not socket.connected or (socket.remote == remote and socket.remote_port == remote_port)


def most_specific(sockets: list[Socket]) -> list[Socket]:
    """As the kernel ranks them: connected, then bound to the address, then to any. Equals may all send."""
    if not sockets:
        return []
    best = max(map(_rank, sockets))
    return [socket for socket in sockets if _rank(socket) == best]


def _rank(socket: Socket) -> tuple[bool, bool]:
    return socket.connected, socket.local != 0


def link_local(version: int, local: int) -> bool:
    return version == 6 and local >> 118 == 0x3FA
