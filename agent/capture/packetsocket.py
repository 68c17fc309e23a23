"""One AF_PACKET socket of Linux: frames with their time, length, direction and VLAN tag, many to a system call.

Knows the kernel's words for a packet. Must not know which interfaces are wanted, or what is in a frame.

    one = PacketSocket("eth0", program("", snaplen=262144), snaplen=262144)
    batch = one.read({2: (0, ETHERNET)}.get)     # None: nothing is waiting

Why not a memory-mapped ring: its third version tells of packets in blocks, a millisecond and more after they passed,
and whoever asks for the owner of a short-lived socket then is too late; its second has slots of one size, which large
segments (64 KiB) make few. recvmmsg(2) tells of each packet at once, and of hundreds at a time when they come fast.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
from array import array
from collections.abc import Callable

from agent.capture.batch import DIRECTION_SHIFT, INBOUND, INTERFACE_SHIFT, OUTBOUND, RECORD_WORDS, Batch
from agent.capture.bpf import attachable
from agent.capture.links import ETHERNET

SNAPLEN = 262_144
"""Bytes kept of a frame: more than the largest segment a Linux interface usually hands over."""
QUEUE = 64 << 20
"""Bytes of packets that may wait in the kernel until they are read."""
SLOTS = 128
_HEADROOM = 4
"""Before each frame, for a VLAN tag that the kernel took out."""
_EVERYTHING = 3  # ETH_P_ALL
_IP_PROTOCOLS = {socket.htons(0x0800), socket.htons(0x86DD)}
_OUTGOING = 4
_TAGGED, _TAG_TYPE_KNOWN = 1 << 4, 1 << 6

_SOL_PACKET, _PACKET_STATISTICS, _PACKET_AUXDATA = 263, 6, 8
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 26, 33, 35

_META = struct.Struct("@HHiHBB8x12xNiillNiiIIIHHHH")
"""sockaddr_ll; then what comes with a packet: SCM_TIMESTAMPNS and PACKET_AUXDATA, each after its cmsghdr."""
_NAME = 32
_STRIDE = 160
_TIME_KIND = (socket.SOL_SOCKET, _SO_TIMESTAMPNS)
_AUXILIARY_KIND = (_SOL_PACKET, _PACKET_AUXDATA)


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """struct mmsghdr."""

    _fields_ = (("header", _Header), ("received", ctypes.c_uint))


class PacketSocket:
    """A socket that sees every packet of one interface, or of all. It is blocking for nobody: read() never waits."""

    def __init__(self, interface: str, filter_program: bytes, *, snaplen: int = SNAPLEN) -> None:
        """`interface` "" means all. Raises OSError."""
        self.interface = interface
        self.dropped = 0
        """Packets the kernel had no room for, as of the last count_dropped()."""
        self.unreadable = 0
        """Packets that are not IP on a link whose header nobody here reads: they are left out."""
        # Protocol 0 receives nothing: the filter stands before the first packet comes, and nothing needs draining.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._prepare(filter_program)
            self._bind(socket.if_nametoindex(interface) if interface else 0)
        except BaseException:
            self._socket.close()
            raise
        self._slot = (_HEADROOM + snaplen + 63) & ~63
        self._memory = mmap.mmap(-1, self._slot * SLOTS)  # pages come into being as they are written
        self._view = memoryview(self._memory)
        self._records = array("Q", bytes(8 * RECORD_WORDS * SLOTS))
        self._meta = bytearray(_STRIDE * SLOTS)
        headers = bytearray(ctypes.sizeof(_Message) * SLOTS)
        self._messages = (_Message * SLOTS).from_buffer(headers)
        self._build(snaplen)
        self._fresh = bytes(headers)
        self._received = memoryview(headers).cast("I")
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._used = 0

    def _prepare(self, filter_program: bytes) -> None:
        one = self._socket
        one.setblocking(False)
        description, kept = attachable(filter_program)
        one.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, description)
        del kept
        one.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        one.setsockopt(*_TIME_KIND, 1)
        try:
            one.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, QUEUE)
        except PermissionError:  # CAP_NET_RAW without CAP_NET_ADMIN: as much as the system grants
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)

    def _bind(self, index: int) -> None:
        """socket.bind() has no word for "every interface"."""
        address = struct.pack("=HHiHBB8x", socket.AF_PACKET, socket.htons(_EVERYTHING), index, 0, 0, 0)
        if ctypes.CDLL(None, use_errno=True).bind(self.fileno(), address, len(address)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), self.interface)

    def _build(self, snaplen: int) -> None:
        """One message for each slot. Their addresses stay: no memory of theirs is ever moved."""
        frames = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        meta = ctypes.addressof(ctypes.c_char.from_buffer(self._meta))
        self._vectors = (_Iovec * SLOTS)()
        for number in range(SLOTS):
            vector, message = self._vectors[number], self._messages[number].header
            vector.base, vector.length = frames + number * self._slot + _HEADROOM, snaplen
            message.name, message.name_length = meta + number * _STRIDE, _NAME
            message.iov, message.iov_count = ctypes.addressof(vector), 1
            message.control, message.control_length = meta + number * _STRIDE + _NAME, _STRIDE - _NAME

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def count_dropped(self) -> int:
        """Brings `dropped` up to date: the kernel forgets what it has told."""
        try:
            told = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        except OSError:  # closed, or its interface is gone
            return self.dropped
        self.dropped += struct.unpack("=II", told)[1]
        return self.dropped

    def read(self, link_of: Callable[[int], tuple[int, int]]) -> Batch | None:
        """What waits, up to SLOTS packets; None if nothing does. Raises OSError, such as ENETDOWN.

        `link_of`: the kernel's number of an interface -> (its number in records, link type). The batch holds until
        the next read().
        """
        ctypes.memmove(self._messages, self._fresh, self._used * ctypes.sizeof(_Message))
        count = self._call(self.fileno(), self._messages, SLOTS, socket.MSG_DONTWAIT, None)
        if count <= 0:
            self._used = 0
            code = ctypes.get_errno()
            if code in (errno.EAGAIN, errno.EINTR):
                return None
            raise OSError(code, os.strerror(code), self.interface)
        self._used = count
        return self._batch(count, link_of)

    def _batch(self, count: int, link_of: Callable[[int], tuple[int, int]]) -> Batch:
        """The frames moved together, and their words."""
        view, records, meta, slot = self._view, self._records, self._meta, self._slot
        unpack, received = _META.unpack_from, self._received
        words = ctypes.sizeof(_Message) // 4
        at_length = _Message.received.offset // 4
        at = word = 0
        for number in range(count):
            (
                _, protocol, index, _, kind, _, _, level, type_, seconds, nanoseconds, _, level2, type2,
                status, original, _, _, network, tag, tag_type,
            ) = unpack(meta, number * _STRIDE)  # fmt: skip
            if (level, type_) != _TIME_KIND or (level2, type2) != _AUXILIARY_KIND:
                raise OSError(errno.EPROTO, "this kernel tells of packets in a way that is not known here")
            link = link_of(index)
            captured = received[number * words + at_length]
            start = number * slot + _HEADROOM
            if link[1] != ETHERNET:
                if protocol not in _IP_PROTOCOLS or network > captured:
                    self.unreadable += 1
                    continue
                start, captured, original = start + network, captured - network, original - network
            elif status & _TAGGED and captured >= 12:
                view[start - 4 : start + 8] = view[start : start + 12]
                struct.pack_into(">HH", view, start + 8, tag_type if status & _TAG_TYPE_KNOWN else 0x8100, tag)
                start, captured, original = start - 4, captured + 4, original + 4
            if at != start:
                view[at : at + captured] = view[start : start + captured]
            direction = OUTBOUND if kind == _OUTGOING else INBOUND
            records[word] = seconds * 1_000_000_000 + nanoseconds
            records[word + 1] = at
            records[word + 2] = captured << 32 | original
            records[word + 3] = link[1] | link[0] << INTERFACE_SHIFT | direction << DIRECTION_SHIFT
            records[word + 4] = 0
            at += captured
            word += RECORD_WORDS
        return Batch(view, records, word // RECORD_WORDS)
