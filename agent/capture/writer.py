"""Writes pcapng: one section, nanosecond times; a comment, a direction and the process of each packet.

Knows: draft-ietf-opsawg-pcapng as far as it writes it. Must not know: what the comments mean, how processes are found.
The file is written beside its name and gets it when it is closed: nobody meets half of one.

    writer = PcapngWriter("denied.pcapng")
    writer.write(1_767_603_601_000_000_000, ETHERNET, frame, len(frame), "verdict=deny reason=full_isolation")
    writer.process(ProcessInformation(pid=812, path="/usr/sbin/sshd"))
    writer.write(1_767_603_602_000_000_000, ETHERNET, frame, len(frame), direction_flag=OUTBOUND, process_id=812)
    writer.close()
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Sequence
from io import FileIO

from agent.capture.elements import END_OF_OPTIONS, LONGEST_VALUE, block, option, text
from agent.capture.fresh import fresh
from agent.capture.processes import ProcessInformation, process_block
from agent.model.address import Address
from agent.model.errors import EnvironmentFailure

_FLUSH = 256 << 10
_REMEMBERED = 1024
_APPLICATION = b"isolation-agent"
_PACKET = struct.Struct("<IIIIIII")
_MAX_TIME = (1 << 64) - 1


class PcapngWriter:
    """One pcapng file being written. Every failure of the machine is an EnvironmentFailure that names the file."""

    def __init__(self, path: str, *, keep: bool = False) -> None:
        """`keep`: what was written before a failure stays, whole and under its name, instead of nothing."""
        self.path = path
        self._keep = keep
        self._written = 0
        self._interfaces = 0
        self._of_link: dict[int, int] = {}
        self._options: dict[tuple[str, int, int, int], bytes] = {}
        """Those lately written: the packets of a flow have them in common."""
        self._processes: dict[int, ProcessInformation] = {}
        """The last block written of each pid."""
        self._pending = bytearray(_section())
        self._closed = False
        try:
            # A device such as /dev/null or a pipe is written as it stands: renaming over it would remove it.
            beside = not os.path.exists(path) or os.path.isfile(path)
            self._target = os.path.realpath(path) if beside else path
            self._partial = self._target + ".partial" if beside else path
            self._file = FileIO(self._partial, "w", opener=fresh if beside else None)
        except (OSError, ValueError) as error:
            raise self._failure(error) from None

    def add_interface(self, link_type: int, name: str | None = None, addresses: Sequence[Address] = ()) -> int:
        """Declares an interface; its number. The first of a link type takes the packets that name no interface."""
        number = self._interfaces
        self._pending += _interface(link_type, name, addresses)
        self._interfaces += 1
        self._of_link.setdefault(link_type, number)
        return number

    def process(self, process: ProcessInformation) -> None:
        """Says who has this pid from here on. Saying it again writes nothing: call it before each packet's write()."""
        if self._processes.get(process.pid) == process:
            return
        self._processes[process.pid] = process
        self._pending += process_block(process)

    def write(
        self,
        time_ns: int,
        link_type: int,
        frame: bytes | bytearray | memoryview,
        original_length: int,
        comment: str = "",
        direction_flag: int = 0,
        interface: int | None = None,
        *,
        process_id: int = 0,
        thread_id: int = 0,
    ) -> None:
        """One packet. `direction_flag`: 0 unknown, 1 inbound, 2 outbound; `comment` "" writes none, pid 0 no process.

        The process is the owner of the local end, whichever way the packet goes.
        """
        if interface is None:
            interface = self._of_link.get(link_type)
            if interface is None:
                interface = self.add_interface(link_type)
        captured = len(frame)
        padding = -captured % 4
        key = (comment, direction_flag, process_id, thread_id)
        options = self._options.get(key)
        if options is None:
            if len(self._options) == _REMEMBERED:
                self._options.clear()
            options = self._options[key] = _packet_options(*key)
        length = 32 + captured + padding + len(options)
        time_ns = min(max(time_ns, 0), _MAX_TIME)
        pending = self._pending
        pending += _PACKET.pack(
            6, length, interface, time_ns >> 32, time_ns & 0xFFFFFFFF, captured, max(original_length, captured)
        )
        pending += frame
        if padding:
            pending += bytes(padding)
        pending += options
        pending += length.to_bytes(4, "little")
        if len(pending) >= _FLUSH:
            self.flush()

    @property
    def size(self) -> int:
        """Bytes written, those not yet in the file among them."""
        return self._written + len(self._pending)

    def close(self) -> None:
        """Writes the rest and gives the file its name."""
        if self._closed:
            return
        self.flush()
        self._finish()

    def keep(self) -> None:
        """Ends without writing what is pending, which could fail again: the file gets its name. Never raises."""
        if not self._closed:
            with contextlib.suppress(EnvironmentFailure):
                self._finish()

    def _finish(self) -> None:
        self._closed = True
        try:
            self._file.close()
            if self._partial != self._target:
                os.replace(self._partial, self._target)
        except OSError as error:
            if not self._keep:
                self._remove()
            raise self._failure(error) from None

    def abandon(self) -> None:
        """Gives up and leaves nothing behind; after close() it does nothing."""
        if not self._closed:
            self._closed = True
            self._remove()

    def flush(self) -> None:
        """Hands what is pending to the system: whole blocks, so that the file can be read so far."""
        done = 0
        try:
            rest = memoryview(self._pending)
            while done < len(rest):
                done += self._file.write(rest[done:])
        except OSError as error:
            if self._keep:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._written + _whole_blocks(self._pending, done))
                self.keep()
            else:
                self.abandon()
            raise self._failure(error) from None
        self._written += len(self._pending)
        self._pending = bytearray()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        if self._partial != self._target:
            with contextlib.suppress(OSError):
                os.unlink(self._partial)

    def _failure(self, error: Exception) -> EnvironmentFailure:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        fix = "what was written before is kept" if self._keep and self._written else "give a place that can be written"
        return EnvironmentFailure(f"{self.path}: cannot write: {reason}; {fix}")


def _whole_blocks(blocks: bytearray, size: int) -> int:
    """How many of the first `size` bytes are whole blocks."""
    at = 0
    while at + 8 <= size and (end := at + int.from_bytes(blocks[at + 4 : at + 8], "little")) <= size:
        at = end
    return at


def _section() -> bytes:
    """A section header: version 1.0, length unknown."""
    body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return block(0x0A0D0D0A, body + option(4, _APPLICATION) + END_OF_OPTIONS)


def _interface(link_type: int, name: str | None, addresses: Sequence[Address]) -> bytes:
    """An interface with times in nanoseconds and no snap length."""
    options = b"" if name is None else option(2, text(name))
    for address in addresses:
        if address.version == 4:
            options += option(4, address.packed + b"\xff\xff\xff\xff")
        else:
            options += option(5, address.packed + b"\x80")
    options += option(9, b"\x09")
    return block(1, struct.pack("<HHI", link_type, 0, 0) + options + END_OF_OPTIONS)


def _packet_options(comment: str, direction_flag: int, process_id: int, thread_id: int) -> bytes:
    """Comment, flags and process of a packet; nothing at all if it has none of them."""
    options = option(1, comment.encode(errors="replace")[:LONGEST_VALUE]) if comment else b""
    if direction_flag:
        options += option(2, direction_flag.to_bytes(4, "little"))
    if process_id:
        options += option(8, struct.pack("<II", process_id, thread_id))
    return options + END_OF_OPTIONS if options else b""
