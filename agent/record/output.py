"""The capture being written: one file, or a row of them that each stand for themselves.

Knows files, their sizes and what each must begin with. Must not know who owns a packet, or when the recording ends.

    output = Output("day.pcapng", rotate=64 << 20)      # day-00001.pcapng, day-00002.pcapng, ...
    output.write(batch, 0, reader.interfaces, information)
    output.close()
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from agent.capture.batch import Batch, Interface
from agent.capture.processes import ProcessInformation
from agent.capture.writer import PcapngWriter

SMALLEST = 64 << 10
"""Below this a file would hold little but what it begins with."""


class Output:
    """Mutable: it holds the file being written."""

    def __init__(self, path: str, *, rotate: int | None = None) -> None:
        """`rotate`: bytes after which the next file begins. Raises EnvironmentFailure."""
        self.rotate = rotate
        self.files: list[str] = []
        """Begun so far, in order."""
        self.bytes = 0
        """Of the files that are closed."""
        self._path = path
        self._declared = 0
        self._writer = self._next()

    def _next(self) -> PcapngWriter:
        path = self._path
        if self.rotate is not None:
            stem, extension = os.path.splitext(path)
            path = f"{stem}-{len(self.files) + 1:05d}{extension}"
        writer = PcapngWriter(path, keep=True)
        self.files.append(path)
        self._declared = 0
        return writer

    def declare(self, interfaces: Sequence[Interface]) -> None:
        """Interfaces met since the last call; a new file begins with all of them."""
        while self._declared < len(interfaces):
            one = interfaces[self._declared]
            self._writer.add_interface(one.link_type, one.name, one.addresses)
            self._declared += 1

    def write(
        self,
        batch: Batch,
        index: int,
        interfaces: Sequence[Interface],
        process: ProcessInformation | None,
        comment: str = "",
    ) -> None:
        """One packet, `process` that of its local end. Raises EnvironmentFailure; what was written before is kept."""
        if self.rotate is not None and self._writer.size >= self.rotate:
            self.bytes += self._writer.size
            self._writer.close()
            self._writer = self._next()
        if self._declared < len(interfaces):
            self.declare(interfaces)
        pid = 0
        if process is not None and process.pid:
            pid = process.pid
            self._writer.process(process)
        self._writer.write(
            batch.time(index),
            batch.link_type(index),
            batch.frame(index),
            batch.original_length(index),
            comment,
            batch.direction_flag(index),
            batch.interface(index),
            process_id=pid,
        )

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self.bytes + self._writer.size

    def flush(self) -> None:
        """What is pending reaches the file: nobody who kills this process takes it along."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        """Nothing is recorded after all: the file goes."""
        self._writer.abandon()

    def keep(self) -> None:
        """Ends where something failed already: it never raises."""
        self._writer.keep()
