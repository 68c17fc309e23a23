"""What the section and interface blocks of a pcapng file declare, taken in as the scanner comes upon them.

Knows: that numbering and byte order restart in each section, and how much a file may declare.
Must not know: packets, files.
"""

from __future__ import annotations

import dataclasses

from agent.capture.batch import INTERFACE_SHIFT, Interface
from agent.capture.blocks import INTERFACE_SIZE, SECTION_SIZE, longest_frame, parse_interface, parse_section
from agent.capture.notes import SECTION as SECTION_NOTE
from agent.capture.notes import Notes
from agent.capture.scan import PROCESS, SECTION, PcapngScanner

MAX_INTERFACES = 1 << 16
"""As many as a record's bits can name."""
PROCESSES_IGNORED = "a block that names a process is one more than are kept; whose the packets behind are is not told"
_MAX_ADDRESSES = 4096
"""Kept of a whole file: a compressed file of a megabyte could declare millions."""


class Sections:
    """The declarations of one file so far, kept in step with its scanner."""

    def __init__(self, scanner: PcapngScanner, notes: Notes | None = None) -> None:
        """`notes`: takes what names processes, if anybody wants to know."""
        self.interfaces: list[Interface] = []
        """Of all sections, in order of appearance; a section that declares the same again adds nothing."""
        self.big_endian = False
        """Byte order of the current section."""
        self._scanner = scanner
        self._notes = notes
        scanner.watching = notes is not None
        self._numbers: dict[tuple[int, Interface], int] = {}
        self._addresses = 0

    def declare(self, block: bytes, packets: int = 0) -> str | None:
        """Takes in the block the scanner stopped at, behind so many packets; the answer is what was left out, if any.

        Raises ValueError, saying why, if nothing behind the block can be read.
        """
        if self._scanner.stop == SECTION:
            return self._section(block, packets)
        return self._process(block, packets) if self._scanner.stop == PROCESS else self._interface(block)

    def _process(self, block: bytes, packets: int) -> str | None:
        kind = int.from_bytes(block[:4], "big" if self.big_endian else "little")
        if self._notes is None or self._notes.add(packets, block, kind, big_endian=self.big_endian):
            return None
        self._scanner.watching = False
        return PROCESSES_IGNORED

    def _section(self, block: bytes, packets: int) -> str | None:
        if len(block) < SECTION_SIZE:
            raise ValueError(f"a section header block of only {len(block)} bytes")
        section = parse_section(block)
        self.big_endian = section.big_endian
        self._scanner.begin_section(section.big_endian, section.major == 1)
        if self._notes is not None and not self._notes.add(packets, block, SECTION_NOTE, big_endian=self.big_endian):
            self._scanner.watching = False
        return None if section.major == 1 else "a section of another pcapng version than 1 is skipped"

    def _interface(self, block: bytes) -> str | None:
        if len(block) < INTERFACE_SIZE:
            raise ValueError(f"an interface block of only {len(block)} bytes")
        declared = parse_interface(block, big_endian=self.big_endian)
        interface, complaint = declared.interface, None
        self._addresses += len(interface.addresses)
        if self._addresses > _MAX_ADDRESSES:
            interface = dataclasses.replace(interface, addresses=())
            complaint = f"interface addresses after the first {_MAX_ADDRESSES} are ignored"
        number = self._numbers.setdefault((self._scanner.declared, interface), len(self.interfaces))
        if number == MAX_INTERFACES:
            raise ValueError(f"more than {MAX_INTERFACES} interfaces")
        if number == len(self.interfaces):
            self.interfaces.append(interface)
        self._scanner.add_interface(
            interface.link_type | number << INTERFACE_SHIFT,
            declared.resolution,
            declared.offset,
            declared.fcs,
            interface.snaplen,
            longest_frame(interface.snaplen),
        )
        return complaint
