"""Several captures as one, ordered by time: a k-way merge that hands out runs of packets of one capture.

Knows: the readers' heads. Must not know: how a reader reads.
Within a capture the order stays; a packet that goes back in time there follows its predecessor at once. Of equal
times the capture named first goes first.
Memory: all readers are open together, each with its own buffer: about 1.2 MB a capture, 17 MB where a capture has
blocks of the largest believed size.

    merged = MergedReader([open_capture("a.pcap"), open_capture("b.pcap")])
    while (batch := merged.next_batch()) is not None:
        link_types = merged.readers[batch.source].interfaces
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from agent.capture.batch import RECORD_WORDS, TIME, Batch
from agent.capture.reader import CaptureReader


class MergedReader:
    """Readers merged by time; takes over their closing."""

    def __init__(self, readers: Sequence[CaptureReader]) -> None:
        self.readers = tuple(readers)
        """`Batch.source` is a place here."""
        self._batches: list[Batch | None] = [None] * len(self.readers)
        self._next = [0] * len(self.readers)
        """Of each batch, the first packet that is not handed out."""
        self._heads: list[tuple[int, int]] = []
        """A heap of (latest time, source) of every capture that has a packet at hand."""
        self._dry = [(0, source) for source in range(len(self.readers))]
        """Captures whose packets at hand are all out: (latest time, source)."""

    @property
    def bytes_read(self) -> int:
        return sum(reader.bytes_read for reader in self.readers)

    @property
    def bytes_total(self) -> int | None:
        """None if one of the captures is a pipe."""
        totals = [reader.bytes_total for reader in self.readers]
        return None if None in totals else sum(total for total in totals if total is not None)

    def close(self) -> None:
        for reader in self.readers:
            reader.close()

    def next_batch(self) -> Batch | None:
        """The next packets of the capture whose turn it is, as many as come before any other capture's."""
        for time, source in self._dry:  # only now: refilling overwrites what was handed out last
            self._refill(time, source)
        self._dry = []
        if not self._heads:
            return None
        time, source = heapq.heappop(self._heads)
        rival = self._heads[0] if self._heads else None
        batch = self._batches[source]
        assert batch is not None, "a capture has a head only while it has a batch"
        first = position = self._next[source]
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

    def _refill(self, time: int, source: int) -> None:
        """Takes the next batch of a capture, whose latest time so far was `time`."""
        batch = self._batches[source] = self.readers[source].next_batch()
        self._next[source] = 0
        if batch is not None:
            heapq.heappush(self._heads, (max(time, batch.time(0)), source))
