"""Reads the packets that pass this machine's interfaces, in the batches a capture file is read in (Linux, root).

Knows interfaces: their names, link types, addresses, and that they come and go. Must not know what is inside a frame,
or who owns a socket. Memory: what PacketSocket keeps, one for each interface; a filter works in the kernel.

    with LiveReader(["eth0"], filter_text="tcp") as reader:
        while (batch := reader.next_batch(timeout=1.0)) is not None:
            for index in range(batch.count): print(batch.time(index), bytes(batch.frame(index)))

Of the loopback device each packet is kept once, as it is sent: the kernel shows it twice, and its owner is the sender.
Traffic of other hosts is not asked for (no promiscuous mode). On `any` a packet that is forwarded or bridged shows once
for each interface it passes.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from types import TracebackType

from agent.capture.batch import RECORD_WORDS, Batch, Interface
from agent.capture.bpf import ARPHRD_ETHERNET, ARPHRD_LOOPBACK, program
from agent.capture.links import ETHERNET, RAW
from agent.capture.netlink import InterfaceAddresses, addresses
from agent.capture.packetsocket import SNAPLEN, PacketSocket
from agent.model.address import Address
from agent.model.errors import EnvironmentFailure, UsageError

ANY = "any"
_LINKS = {ARPHRD_ETHERNET: ETHERNET, ARPHRD_LOOPBACK: ETHERNET}
"""By the kernel's hardware type; of every other one the IP packets are read, without the link header."""
_LOST = (errno.ENETDOWN, errno.ENODEV, errno.ENXIO)
_LOOK = 0.5
"""Seconds between looks whether an interface that went down is still there."""
_LAST = 0xFFFF
"""The last interface that a record has a number for."""


def obstacle() -> str | None:
    """Why this machine or user cannot capture, to stand after "record"; None if nothing is in the way."""
    if not sys.platform.startswith("linux"):
        return f"needs Linux: there are no packet sockets on {sys.platform}"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except PermissionError:
        return "needs root or CAP_NET_RAW: run it with sudo"
    except OSError as error:
        return f"needs packet sockets, and this kernel has none (CONFIG_PACKET): {error.strerror}"
    return None


class LiveReader:
    """Several interfaces being read. It is an edge: it waits, and what it gives depends on the moment."""

    def __init__(self, names: Sequence[str], *, filter_text: str = "", snaplen: int = SNAPLEN) -> None:
        """`names`: of interfaces; `any` is all there are and will be. Raises UsageError and EnvironmentFailure."""
        if (reason := obstacle()) is not None:
            raise EnvironmentFailure(f"record {reason}")
        self.names = tuple(dict.fromkeys(names))
        self.interfaces: list[Interface] = []
        """Those met so far; records name them by their place here. Only ever appended to."""
        self.packets = self.bytes_read = 0
        self.vanished: list[str] = []
        """Named interfaces that are gone."""
        self.went_down: dict[str, None] = {}
        """Named interfaces that were down at least once while recording."""
        self.own: frozenset[Address] = frozenset()
        """This host's addresses, as of the last look."""
        self.broadcasts: frozenset[Address] = frozenset()
        self._links: dict[int, tuple[int, int]] = {}
        self._snaplen = snaplen
        self._sockets: dict[int, tuple[PacketSocket, int]] = {}
        """By file number, each with the number of its interface, 0 for all."""
        self._gone: dict[int, None] = {}
        """Those whose interface is gone and that may hold packets still."""
        self._down: dict[int, None] = {}
        """Those whose interface went down once: when it then goes the kernel does not say so."""
        self._poll = select.poll()
        self._turn: list[int] = []
        self._missed = 0
        self._unreadable = 0
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.POLLIN)
        try:
            self._open(program(filter_text, snaplen=snaplen))
        except BaseException:
            self.close()
            raise

    def _open(self, instructions: bytes) -> None:
        present = {name: number for number, name in socket.if_nameindex()}
        for name in self.names:
            if name != ANY and name not in present:
                raise UsageError(f"-i {name}: no such interface; this host has {', '.join([*present, ANY])}")
        if ANY in self.names:
            self.names = (ANY,)
        self.look_at_addresses()
        for name in self.names:
            bound = "" if name == ANY else name
            try:
                one = PacketSocket(bound, instructions, snaplen=self._snaplen)
            except OSError as error:
                raise EnvironmentFailure(f"-i {name}: cannot capture: {error.strerror or error}") from None
            self._sockets[one.fileno()] = (one, present.get(bound, 0))
            self._poll.register(one.fileno(), select.POLLIN)
        for name, number in present.items():
            if name in self.names or ANY in self.names:
                self._meet(number)

    def look_at_addresses(self) -> dict[int, InterfaceAddresses]:
        """Reads the host's addresses anew: they come and go with DHCP, VPNs and containers."""
        try:
            found = addresses()
        except OSError:
            return {}
        self.own = frozenset(address for one in found.values() for address in one.own)
        self.broadcasts = frozenset(address for one in found.values() for address in one.broadcasts)
        return found

    def _link_of(self, number: int) -> tuple[int, int]:
        """The interface's number in records, and its link type."""
        return self._links.get(number) or self._meet(number)

    def _meet(self, number: int) -> tuple[int, int]:
        """Declares an interface that a packet came from, or that was there at the start."""
        try:
            name = socket.if_indextoname(number)
            link = _LINKS.get(_hardware_type(name), RAW)
        except OSError:  # gone since
            name, link = f"interface {number}", RAW
        own = self.look_at_addresses().get(number, InterfaceAddresses()).own
        # A record has 16 bits for it: who makes more interfaces than that sees the later ones under the last number.
        if len(self.interfaces) <= _LAST:
            self.interfaces.append(Interface(link_type=link, name=name, addresses=own, snaplen=self._snaplen))
        met = self._links[number] = (len(self.interfaces) - 1, link)
        return met

    def next_batch(self, timeout: float | None = None) -> Batch | None:
        """What has come; a batch of nothing after `timeout` seconds, or after wake(); None once nothing can come."""
        while True:
            while self._turn:
                batch = self._read(self._turn.pop())
                if batch is not None:
                    return batch
            if not self._sockets:
                return None
            if self._gone:
                self._turn = list(self._gone)
            elif not self._wait(timeout):
                return Batch(b"", array("Q"), 0)

    def _wait(self, timeout: float | None) -> bool:
        """True if something can be read. An interface that is down may vanish without a sign: that is looked at."""
        if self._down:
            timeout = _LOOK if timeout is None else min(timeout, _LOOK)
        ready = self._poll.poll(None if timeout is None else max(timeout, 0) * 1000)
        self._turn = [number for number, _ in ready if number != self._wake]
        if len(self._turn) < len(ready):
            os.eventfd_read(self._wake)
        for file in [file for file in self._down if not self._exists(file)]:
            del self._down[file]
            self._gone[file] = None
        return bool(self._turn or self._gone)

    def _exists(self, file: int) -> bool:
        try:
            socket.if_indextoname(self._sockets[file][1])
        except OSError:
            return False
        return True

    def _read(self, file: int) -> Batch | None:
        one = self._sockets[file][0]
        try:
            batch = one.read(self._link_of)
        except OSError as error:
            if error.errno not in _LOST:
                raise EnvironmentFailure(f"-i {one.interface or ANY}: cannot capture: {error.strerror}") from None
            return self._lost(file)
        if batch is None:
            if file in self._gone:
                self._forget(file)
            return None
        self.packets += batch.count
        if batch.count:
            last = (batch.count - 1) * RECORD_WORDS
            self.bytes_read += batch.records[last + 1] + (batch.records[last + 2] >> 32)
        return batch

    def _lost(self, file: int) -> Batch | None:
        """An interface is down, which ends nothing, or gone, which ends its part once what waits has been read."""
        one, number = self._sockets[file]
        if number == 0:
            return None
        if self._exists(file):
            self.went_down[one.interface] = self._down[file] = None
            return None
        self._gone[file] = None
        return self._read(file)

    def _forget(self, file: int) -> None:
        one, _ = self._sockets.pop(file)
        del self._gone[file]
        self._down.pop(file, None)
        self.vanished.append(one.interface)
        self._missed += one.count_dropped()
        self._unreadable += one.unreadable
        self._poll.unregister(file)
        one.close()

    def wake(self) -> None:
        """Makes a next_batch() that waits come back; for signal handlers and other threads. After close() nothing."""
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    @property
    def dropped(self) -> int:
        """Packets that passed and were not read: the kernel's queue was full."""
        return self._missed + sum(one.count_dropped() for one, _ in self._sockets.values())

    @property
    def unreadable(self) -> int:
        """Packets of unknown links that are not IP: left out."""
        return self._unreadable + sum(one.unreadable for one, _ in self._sockets.values())

    def close(self) -> None:
        for one, _ in self._sockets.values():
            one.close()
        self._sockets.clear()
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1

    def __enter__(self) -> LiveReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _hardware_type(name: str) -> int:
    """ARPHRD_* of an interface, by ioctl: /sys may show another network namespace. Raises OSError."""
    import fcntl

    ask: Callable[[int, int, bytes], bytes] = fcntl.ioctl
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        answer = ask(asked.fileno(), 0x8927, struct.pack("40s", name.encode()))  # SIOCGIFHWADDR
    return int(struct.unpack_from("=H", answer, 16)[0])
