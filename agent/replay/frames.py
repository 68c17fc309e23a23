"""The packets of a run: several captures as one stream of batches, with a look ahead.

Knows files and their order. Never: what is in a frame. Memory: one batch (with --merge one of each capture that is
open, see agent/capture/merge.py), and what was looked ahead. Of a capture that is behind only a few words are kept.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Callable, Iterator

from agent.capture.batch import Batch, Interface
from agent.capture.merge import MergedReader
from agent.capture.reader import BUFFER, CaptureReader, open_capture
from agent.model.errors import CaptureError
from agent.sinks.partial import SUFFIX

LOOK_AHEAD_BYTES = 64 << 20
"""Held while looking ahead at most: ten thousand frames of 1,500 bytes need a quarter, one frame may have megabytes."""
_PEEK = 4096


class Capture:
    """One capture of a run."""

    def __init__(self, path: str, *, optional: bool, refused: str | None = None) -> None:
        """`optional`: found in a directory, where a file that is no capture is listed and passed over."""
        self.path = path
        self.optional = optional
        self.refused = refused
        """Why it was passed over."""
        self.interfaces: list[Interface] = []
        """Those declared so far; of a closed capture one for each link type, and those that have addresses."""
        self.truncated_tail = False
        self.errors: tuple[str, ...] = ()
        self._reader: CaptureReader | None = None

    def open(self, buffer: int = BUFFER) -> CaptureReader | None:
        """Its reader, opened unless it is open; None if it was passed over. Raises CaptureError."""
        if self._reader is None and self.refused is None:
            try:
                self._reader = open_capture(self.path, buffer=buffer)
            except CaptureError as error:
                if not self.optional:
                    raise
                self.refused = str(error)
            else:
                self.interfaces = self._reader.interfaces
        return self._reader

    def close(self) -> None:
        """Keeps what the reader said and lets it go."""
        if self._reader is None:
            return
        self.note()
        told: dict[object, Interface] = {}
        for interface in self._reader.interfaces:
            told.setdefault(interface.addresses or interface.link_type, interface)
        self.interfaces = list(told.values())
        self._reader.close()
        self._reader = None

    def note(self) -> None:
        """Brings `truncated_tail` and `errors` up to date."""
        if self._reader is not None:
            self.truncated_tail, self.errors = self._reader.truncated_tail, tuple(self._reader.errors)


def expand(paths: tuple[str, ...]) -> list[Capture]:
    """The captures that `paths` name: files as given, the files of a directory by name, hidden ones left out.

    Raises CaptureError for a file that was named and is no capture: who names many shall not learn of it hours later.
    """
    captures: list[Capture] = []
    for path in paths:
        if path != "-" and os.path.isdir(path):
            captures += _inside(path)
            continue
        if len(paths) > 1 and path != "-" and (os.path.isfile(path) or not os.path.exists(path)):
            open_capture(path, buffer=_PEEK).close()
        captures.append(Capture(path, optional=False))
    return captures


def _inside(path: str) -> Iterator[Capture]:
    """What a directory and those in it hold. Whatever cannot be read is listed with the reason."""
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(path, onerror=unreadable.append):
        visible = sorted(name for name in folders if not name.startswith("."))
        links = [name for name in visible if os.path.islink(os.path.join(folder, name))]
        folders[:] = [name for name in visible if name not in links]
        for name in sorted(files):
            if not name.startswith(".") and not name.endswith(SUFFIX):
                file = os.path.join(folder, name)
                yield Capture(file, optional=True, refused=_unusable(file))
        for name in links:
            link = os.path.join(folder, name)
            yield _refused(link, "a link to a folder is not followed; name the folder as well if it is wanted")
    for error in unreadable:
        yield _refused(str(error.filename), f"cannot open: {error.strerror}")


def _refused(path: str, reason: str) -> Capture:
    return Capture(path, optional=True, refused=f"{path}: {reason}")


def _unusable(path: str) -> str | None:
    """Why a file found in a directory is not even opened. A pipe would block for ever."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"{path}: cannot open: {error.strerror}"
    return None if stat.S_ISREG(mode) else f"{path}: no regular file; name it as an argument if it shall be read"


class Frames:
    """Batches of all captures of a run, in order, each with the number of its capture."""

    def __init__(self, captures: list[Capture], *, merge: bool) -> None:
        self.captures = captures
        self._merged = MergedReader(captures) if merge and len(captures) > 1 else None
        self._ahead: deque[tuple[int, Batch]] = deque()
        self._source = self._batches()
        self._open: CaptureReader | None = None
        self._read = 0
        """Bytes of the captures that are behind."""
        self._total: int | None = -1
        """-1 until somebody asks."""
        self.next_batch: Callable[[CaptureReader], Batch | None] = CaptureReader.next_batch
        """How a reader's batches are got."""
        self.number = 0
        """Of the capture being read."""

    def next(self) -> tuple[int, Batch] | None:
        """The next batch and its capture's number; its data is valid until the next call."""
        if self._ahead:
            return self._ahead.popleft()
        return next(self._source, None)

    def look_ahead(self, packets: int) -> list[tuple[int, Batch]]:
        """The batches with the first `packets` packets, which next() will still give.

        Fewer if they are so long that LOOK_AHEAD_BYTES are held before.
        """
        seen = sum(batch.count for _, batch in self._ahead)
        held = sum(len(batch.data) for _, batch in self._ahead)
        while seen < packets and held < LOOK_AHEAD_BYTES and (item := next(self._source, None)) is not None:
            number, batch = item
            self._ahead.append((number, batch.copy()))
            seen += batch.count
            held += len(self._ahead[-1][1].data)
        return list(self._ahead)

    def cut(self) -> None:
        """Nothing more is read: next() gives what was looked ahead, then ends."""
        self._source = iter(())

    @property
    def interfaces(self) -> list[Interface]:
        """Interfaces declared so far, over all captures opened."""
        return [one for capture in self.captures for one in capture.interfaces]

    def progress(self) -> tuple[int, int | None]:
        """(bytes read, bytes in all or None if a pipe is among them), as stored."""
        if self._total == -1:
            sizes = [_size(capture) for capture in self.captures]
            self._total = None if None in sizes else sum(size for size in sizes if size is not None)
        if self._merged is not None:
            return self._merged.bytes_read, self._total
        read, reader = self._read, self._open  # another thread may be about to open the next
        return read + (reader.bytes_read if reader is not None else 0), self._total

    def close(self) -> None:
        for capture in self.captures:
            capture.close()

    def _batches(self) -> Iterator[tuple[int, Batch]]:
        if self._merged is not None:
            while (batch := self._merged.next_batch()) is not None:
                yield batch.source, batch
            return
        for number, capture in enumerate(self.captures):
            self.number = number
            reader = self._open = capture.open()
            if reader is None:
                continue
            while (batch := self.next_batch(reader)) is not None:
                yield number, batch
            self._open = None
            self._read += reader.bytes_read
            capture.close()


def _size(capture: Capture) -> int | None:
    if capture.refused is not None:
        return 0
    try:
        status = os.stat(0 if capture.path == "-" else capture.path)
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else None
