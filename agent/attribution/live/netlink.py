"""The kernel's own table of sockets, asked for one tuple or port at a time (sock_diag: netlink(7), sock_diag(7)).

Knows the messages and their layout. Must not know processes, or which socket a flow belongs to.

    diag = SockDiag()
    diag.connection(4, local, 50123, remote, 443)     # -> Socket(inode=..., state=ESTABLISHED, ...) or None
    diag.on_port(UDP, 4, 5353, ANY_STATE)             # -> [Socket, ...]

An answer takes a few microseconds however many sockets there are. It needs no privilege, and shows this network
namespace only. The kernel answers inside the call that asks, so nothing here waits.
"""

from __future__ import annotations

import os
import socket
import struct
from errno import EIO, ENOENT

from agent.attribution.live.sockets import TCP, Socket
from agent.model.address import canonical_address

ESTABLISHED, SYN_SENT, SYN_RECV, CLOSE_WAIT, LISTEN = 1, 2, 3, 8, 10
"""States as include/net/tcp_states.h numbers them; an unconnected UDP socket is in 7, CLOSE."""

ANY_STATE = 0xFFFFFFFF
LISTENING = 1 << LISTEN
FAMILIES = {4: 2, 6: 10}
"""AF_INET and AF_INET6 as Linux numbers them."""

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST, _DUMP = 0x001, 0x300
_ERROR, _DONE = 2, 3
_ANY_COOKIE = 0xFFFFFFFFFFFFFFFF
_V6ONLY = 11  # INET_DIAG_SKV6ONLY
_HEADER = struct.Struct("=IHHII")
_ASK = struct.Struct("=IHHII BBBxI")
_PORTS = struct.Struct("!HH")
_TAIL = struct.Struct("=IQ")
_MESSAGE = struct.Struct("=BBBB4s16s16sIQIIIII")
_ATTRIBUTE = struct.Struct("=HH")
_NONE = bytes(16)


class DiagError(Exception):
    """The kernel refused a question; `errno` says how."""

    def __init__(self, errno: int) -> None:
        self.errno = errno
        super().__init__(f"sock_diag: {os.strerror(errno)}")


class SockDiag:
    """One netlink socket. Raises OSError where the kernel has no sock_diag or forbids it."""

    def __init__(self) -> None:
        family: int = getattr(socket, "AF_NETLINK", 16)
        self._socket = socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
        # The answer is there when sendmsg returns. Should a kernel ever differ, a second is the most it may cost.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 1, 0))
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __del__(self) -> None:
        if hasattr(self, "_socket"):  # the kernel may have refused it
            self._socket.close()

    def knows(self, protocol: int) -> bool:
        """True if the kernel answers for this protocol (tcp_diag and udp_diag are modules of their own)."""
        try:
            self.on_port(protocol, 4, 1, LISTENING)
        except DiagError:
            return False
        return True

    def connection(
        self, version: int, local: int, local_port: int, remote: int, remote_port: int, interface: int = 0
    ) -> Socket | None:
        """The TCP socket of a tuple; a listening one that would take it if there is none. Raises DiagError.

        There is no such question for UDP here: the kernel would name one socket where several share the port.
        """
        width = 4 if version == 4 else 16
        ends = (
            _PORTS.pack(local_port, remote_port)
            + local.to_bytes(width, "big").ljust(16, b"\0")
            + remote.to_bytes(width, "big").ljust(16, b"\0")
        )
        try:
            return next(iter(self._ask(TCP, version, ends, interface, ANY_STATE, _REQUEST)), None)
        except DiagError as error:
            if error.errno == ENOENT:
                return None
            raise

    def on_port(self, protocol: int, version: int, port: int, states: int) -> list[Socket]:
        """Every socket of the family of `version` at a local port, in one of `states`. Raises DiagError."""
        ends = _PORTS.pack(port, 0) + _NONE + _NONE
        return self._ask(protocol, version, ends, 0, states, _REQUEST | _DUMP)

    def _ask(self, protocol: int, version: int, ends: bytes, interface: int, states: int, flags: int) -> list[Socket]:
        self._sequence = self._sequence + 1 & 0xFFFFFFFF
        question = (
            _ASK.pack(72, _SOCK_DIAG_BY_FAMILY, flags, self._sequence, 0, FAMILIES[version], protocol, 0, states)
            + ends
            + _TAIL.pack(interface, _ANY_COOKIE)
        )
        dump = bool(flags & _DUMP)
        found: list[Socket] = []
        try:
            self._socket.send(question)
            while self._take(self._socket.recv(1 << 16), found) and (dump or not found):
                pass
        except OSError as error:  # the second is over, or netlink is forbidden
            raise DiagError(error.errno or EIO) from None
        return found

    def _take(self, answer: bytes, found: list[Socket]) -> bool:
        """Adds the sockets of one datagram; False at the end of the answer. Older answers are passed over."""
        offset, stop = 0, len(answer)
        while offset + 16 <= stop:
            size, kind, _, sequence, _ = _HEADER.unpack_from(answer, offset)
            if size < 16:
                break
            if sequence == self._sequence:
                if kind in (_DONE, _ERROR):  # a dump that fails ends with its errno
                    code = struct.unpack_from("=i", answer, offset + 16)[0] if offset + 20 <= stop else 0
                    if code < 0:
                        raise DiagError(-code)
                    return False
                if kind == _SOCK_DIAG_BY_FAMILY and size >= 88 and offset + 88 <= stop:
                    found.append(_socket(answer, offset + 16, min(offset + size, stop)))
            offset += size + 3 & ~3
        return True


def _socket(answer: bytes, offset: int, stop: int) -> Socket:
    """struct inet_diag_msg and the one attribute that matters."""
    (family, state, _, _, ports, source, target, interface, cookie, _, _, _, uid, inode) = _MESSAGE.unpack_from(
        answer, offset
    )
    local_port, remote_port = _PORTS.unpack(ports)
    if family == FAMILIES[4]:
        version = 4
        local, remote = int.from_bytes(source[:4], "big"), int.from_bytes(target[:4], "big")
    else:
        version, local = canonical_address(6, int.from_bytes(source, "big"))
        other, remote = canonical_address(6, int.from_bytes(target, "big"))
        if not local and other == 4:  # at [::], its remote end mapped
            version = 4
    only6 = family != FAMILIES[4] and _flag(answer, offset + 72, stop, _V6ONLY)
    return Socket(version, local, local_port, remote, remote_port, state, inode, uid, interface, cookie, only6)


def _flag(answer: bytes, offset: int, stop: int, wanted: int) -> bool:
    while offset + 4 <= stop:
        size, kind = _ATTRIBUTE.unpack_from(answer, offset)
        if size < 4:
            break
        if kind == wanted and size > 4:
            return answer[offset + 4] != 0
        offset += size + 3 & ~3
    return False
