"""Several captures as one, ordered by time: a k-way merge that hands out runs of packets of one capture.

Knows: the captures' heads. Must not know: how a reader reads, which captures there are.
Within a capture the order stays; a packet that goes back in time there follows its predecessor at once. Of equal
times the capture named first goes first.

A capture is open only from its first packet's turn to its end: it is looked into once for the time of its first packet,
closed, and opened again. So thousands that follow each other take two file descriptors, and what overlaps in time is
limited to AT_ONCE. Pipes cannot be opened twice and stay open.
Memory: half a megabyte for each open capture, 17 MB where it has blocks of the largest believed size, and the window of
its decompressor (gzip 32 kB, xz -9 64 MB, zstd 8 MB, with --long up to 128 MB).

    merged = MergedReader([capture, other])
    while (batch := merged.next_batch()) is not None:
        capture = merged.captures[batch.source]
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Protocol

from agent.capture.batch import RECORD_WORDS, TIME, Batch
from agent.capture.reader import CaptureReader
from agent.model.errors import UsageError
from agent.model.moment import format_time

AT_ONCE = 128
"""Captures open together: half of the file descriptors that the stingiest system grants."""
_BUFFER = 128 << 10


class Source(Protocol):
    """A capture to be merged."""

    def open(self, buffer: int) -> CaptureReader | None:
        """Its reader from the first packet on, unless it is open; None if it cannot be read and need not be."""

    def close(self) -> None: ...


class MergedReader:
    """Captures merged by time; opens and closes them."""

    def __init__(self, captures: Sequence[Source], *, at_once: int = AT_ONCE) -> None:
        self.captures = tuple(captures)
        """`Batch.source` is a place here."""
        self._at_once = at_once
        self._open: dict[int, CaptureReader] = {}
        self._batches: dict[int, Batch] = {}
        """Of each open capture, what is at hand."""
        self._next = [0] * len(self.captures)
        """Of each batch, the first packet that is not handed out."""
        self._latest = [0] * len(self.captures)
        """Of each batch, the latest time."""
        self._heads: list[tuple[int, int]] | None = None
        """A heap of (latest time, source) of every capture that has a packet; None until they were looked into."""
        self._dry: list[tuple[int, int]] = []
        """Captures whose packets at hand are all out: (latest time, source)."""
        self._read = 0

    @property
    def bytes_read(self) -> int:
        """Of all captures, as they lie on the disk."""
        return self._read + sum(reader.bytes_read for reader in list(self._open.values()))

    def close(self) -> None:
        for source in list(self._open):
            self._shut(source)

    def next_batch(self) -> Batch | None:
        """The next packets of the capture whose turn it is, as many as come before any other capture's.

        Raises CaptureError, and UsageError where more captures overlap in time than can be open together.
        """
        if self._heads is None:
            self._heads = []
            for source in range(len(self.captures)):
                self._look_into(source)
        for time, source in self._dry:  # only now: refilling overwrites what was handed out last
            self._refill(time, source)
        self._dry = []
        while self._heads:
            time, source = heapq.heappop(self._heads)
            if source in self._batches or self._fetch(time, source):
                return self._run(time, source)
        return None

    def _run(self, time: int, source: int) -> Batch:
        """The packets at hand of `source`, whose next is keyed `time`, before any other capture's turn."""
        assert self._heads is not None, "somebody had a head"
        rival = self._heads[0] if self._heads else None
        batch = self._batches[source]
        first = position = self._next[source]
        latest = max(time, self._latest[source])
        if rival is None or (latest, source) <= rival:
            time, position = latest, batch.count  # at once: most captures follow each other
        while position < batch.count:
            time = max(time, batch.records[position * RECORD_WORDS + TIME])
            if rival is not None and (time, source) > rival:
                break
            position += 1
        self._next[source] = position
        if position < batch.count:
            heapq.heappush(self._heads, (time, source))
        else:
            self._dry.append((time, source))
        records = batch.records[first * RECORD_WORDS : position * RECORD_WORDS]
        return Batch(batch.data, records, position - first, big_endian=batch.big_endian, source=source)

    def _look_into(self, source: int) -> None:
        """Learns when the capture begins."""
        assert self._heads is not None, "it is being filled"
        if not self._fetch(0, source):
            return
        heapq.heappush(self._heads, (self._batches[source].time(0), source))
        if self._open[source].bytes_total is not None:
            del self._batches[source], self._open[source]
            self.captures[source].close()

    def _fetch(self, time: int, source: int) -> bool:
        """Opens a capture whose turn is at `time`, and takes its first batch; False if it has none."""
        if len(self._open) >= self._at_once:
            raise UsageError(
                f"--merge: more than {self._at_once} captures overlap in time at {format_time(time)}, and all would "
                "have to be open: merge them in groups first, for example with mergecap, or leave --merge out"
            )
        reader = self.captures[source].open(_BUFFER)
        if reader is None:
            return False
        self._open[source] = reader
        batch = reader.next_batch()
        if batch is None:
            self._shut(source)
            return False
        self._take(source, batch)
        return True

    def _take(self, source: int, batch: Batch) -> None:
        self._batches[source], self._next[source] = batch, 0
        self._latest[source] = max(batch.records[TIME : batch.count * RECORD_WORDS : RECORD_WORDS])

    def _refill(self, time: int, source: int) -> None:
        """Takes the next batch of a capture, whose latest time so far was `time`."""
        assert self._heads is not None, "it had one"
        batch = self._open[source].next_batch()
        if batch is None:
            self._shut(source)
            return
        self._take(source, batch)
        heapq.heappush(self._heads, (max(time, batch.time(0)), source))

    def _shut(self, source: int) -> None:
        """The capture is at its end."""
        self._read += self._open.pop(source).bytes_read
        self._batches.pop(source, None)
        self.captures[source].close()
