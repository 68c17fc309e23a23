"""The packets of a run: several captures as one stream of batches, with a look ahead.

Knows files and their order. Never: what is in a frame. Memory: one batch, and what was looked ahead.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator

from agent.capture.batch import Batch, Interface
from agent.capture.reader import CaptureReader, open_capture
from agent.model.errors import CaptureError


class Capture:
    """One capture of a run."""

    def __init__(self, path: str, *, optional: bool) -> None:
        """`optional`: found in a directory, where a file that is no capture is listed and passed over."""
        self.path = path
        self.optional = optional
        self.reader: CaptureReader | None = None
        self.refused: str | None = None
        """Why it was passed over."""

    def open(self) -> CaptureReader | None:
        """Its reader, opened once; None if it was passed over. Raises CaptureError."""
        if self.reader is None and self.refused is None:
            try:
                self.reader = open_capture(self.path)
            except CaptureError as error:
                if not self.optional:
                    raise
                self.refused = str(error)
        return self.reader


def expand(paths: tuple[str, ...]) -> list[Capture]:
    """The captures that `paths` name: files as given, the files of a directory by name, hidden ones left out."""
    captures: list[Capture] = []
    for path in paths:
        if path == "-" or not os.path.isdir(path):
            captures.append(Capture(path, optional=False))
            continue
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found = (os.path.join(folder, name) for name in sorted(files) if not name.startswith("."))
            captures += [Capture(name, optional=True) for name in found if os.path.isfile(name)]
    return captures


class Frames:
    """Batches of all captures of a run, in order, each with the number of its capture."""

    def __init__(self, captures: list[Capture], *, merge: bool) -> None:
        self.captures = captures
        self._merge = merge
        self._ahead: deque[tuple[int, Batch]] = deque()
        self._source = self._batches()
        self._open: list[CaptureReader] = []
        self._read = 0
        """Bytes of the captures that are behind."""
        self._total: int | None = -1
        """-1 until somebody asks."""

    def next(self) -> tuple[int, Batch] | None:
        """The next batch and its capture's number; its data is valid until the next call."""
        if self._ahead:
            return self._ahead.popleft()
        return next(self._source, None)

    def look_ahead(self, packets: int) -> list[tuple[int, Batch]]:
        """The batches with the first `packets` packets, which next() will still give."""
        seen = sum(batch.count for _, batch in self._ahead)
        while seen < packets and (item := next(self._source, None)) is not None:
            number, batch = item
            self._ahead.append((number, batch.copy()))
            seen += batch.count
        return list(self._ahead)

    def cut(self) -> None:
        """Nothing more is read: next() gives what was looked ahead, then ends."""
        self._source = iter(())

    @property
    def interfaces(self) -> list[Interface]:
        """Interfaces declared so far, over all captures opened."""
        return [one for capture in self.captures if capture.reader for one in capture.reader.interfaces]

    def progress(self) -> tuple[int, int | None]:
        """(bytes read, bytes in all or None if a pipe is among them), as stored."""
        if self._total == -1:
            sizes = [_size(capture) for capture in self.captures]
            self._total = None if None in sizes else sum(size for size in sizes if size is not None)
        return self._read + sum(reader.bytes_read for reader in self._open), self._total

    def close(self) -> None:
        for capture in self.captures:
            if capture.reader is not None:
                capture.reader.close()

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        if self._merge and len(self.captures) > 1:
            yield from self._merged()
            return
        for number, capture in enumerate(self.captures):
            reader = capture.open()
            if reader is None:
                continue
            self._open = [reader]
            while (batch := reader.next_batch()) is not None:
                yield number, batch
            self._open = []
            self._read += reader.bytes_read
            reader.close()

    def _merged(self) -> Iterator[tuple[int, Batch]]:
        from agent.capture.merge import MergedReader  # only --merge needs it

        opened = [(number, reader) for number, capture in enumerate(self.captures) if (reader := capture.open())]
        self._open = [reader for _, reader in opened]
        merged = MergedReader(self._open)
        while (batch := merged.next_batch()) is not None:
            yield opened[batch.source][0], batch


def _size(capture: Capture) -> int | None:
    if capture.reader is not None:
        return capture.reader.bytes_total
    if capture.path == "-":
        return None
    try:
        return os.stat(capture.path).st_size
    except OSError:
        return 0
