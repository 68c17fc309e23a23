"""Reads and looks at packets in a second thread, while those before them are judged: the second core of a replay.

Knows buffers and their order. Never: what becomes of a packet. What it does depends on nothing that judging changes
(datapath/scout.py), and the batches come out in the order they went in, so no output depends on it.

The thread works without the interpreter's lock where it matters: for a plain file it reads a piece that fits the
second-level cache, finds its records and looks at the packets, over and over until a slot is full, in one call.
Memory: SLOTS slots of 6 MB.
"""

from __future__ import annotations

import os
import sys
import threading
from array import array
from collections.abc import Callable
from queue import SimpleQueue

try:
    import cython  # resolved when this module is compiled, where the lock has a meaning
except ModuleNotFoundError:
    from agent.model import uncompiled as cython

from agent.capture.batch import RECORD_WORDS, Batch
from agent.capture.reader import CaptureReader, Scanner
from agent.capture.scan import PcapngScanner, PcapScanner
from agent.capture.window import Window
from agent.datapath.layout import SIGHT_WORDS
from agent.datapath.scout import Scout

SLOTS = 3
SLOT_BYTES = 4 << 20
SLOT_PACKETS = 20_480
PIECE = 256 << 10
"""Bytes read at a time: records and sights of them fit the second-level cache beside them."""
SWITCH_INTERVAL = 0.0001
"""Seconds after which the judging thread hands over the interpreter's lock, which this one needs once per slot."""

_MORE = 0


class Slot:
    """Memory of one batch."""

    def __init__(self) -> None:
        self.data = bytearray(SLOT_BYTES)
        self.records = array("Q", bytes(8 * RECORD_WORDS * SLOT_PACKETS))
        self.sights = array("Q", bytes(8 * SIGHT_WORDS * SLOT_PACKETS))


class Pump:
    """One thread reading ahead of one consumer."""

    def __init__(self, source: Callable[[], tuple[int, Batch] | None], scout: Scout) -> None:
        """`source` gives numbered batches and is called in the other thread only, which also owns `scout`."""
        self.source = source
        self.scout = scout
        self.classic: PcapScanner | None = None
        self.blocks: PcapngScanner | None = None
        self.data = bytearray()
        self.records = array("Q")
        self.sights = array("Q")
        self.at = 0
        self.end = 0
        self.count = 0
        self.descriptor = -1
        self.got = 0
        self.error = 0
        self.slot: Slot | None = None
        """Being filled."""
        self.reader: CaptureReader | None = None
        self.free: SimpleQueue[Slot] = SimpleQueue()
        self.full: SimpleQueue[tuple[int, Batch, Slot] | BaseException | None] = SimpleQueue()
        self.used: Slot | None = None
        """Of the batch the consumer has."""
        self.stopping = False
        self.switch_interval = sys.getswitchinterval()
        self.thread = threading.Thread(target=self.run, name="capture-reader", daemon=True)
        for _ in range(SLOTS):
            self.free.put(Slot())

    # The consumer's side ------------------------------------------------------------------------------------

    def start(self) -> None:
        sys.setswitchinterval(SWITCH_INTERVAL)
        self.thread.start()

    def next(self) -> tuple[int, Batch] | None:
        """The next batch with its sights; None at the end. What the one before pointed to is void."""
        if self.used is not None:
            self.free.put(self.used)
            self.used = None
        item = self.full.get()
        if isinstance(item, BaseException):
            raise item
        if item is None:
            return None
        number, batch, self.used = item
        return number, batch

    def stop(self) -> None:
        """Ends the thread; nothing more is read."""
        self.stopping = True
        if self.used is not None:
            self.free.put(self.used)
            self.used = None
        if self.thread.ident is not None:
            while self.thread.is_alive():
                self.free.put(Slot.__new__(Slot))  # whatever it waits for, it wakes and sees `stopping`
                self.thread.join(0.05)
        sys.setswitchinterval(self.switch_interval)

    # The thread's side --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Fills slots until the source ends."""
        try:
            while not self.stopping:
                self.slot = self.free.get()
                if self.stopping:
                    return
                item = self.source()
                if item is None:
                    self.full.put(None)
                    return
                number, batch = item
                if batch.sights is None:
                    batch = self.looked_at(batch)
                self.full.put((number, batch, self.slot))
        except BaseException as error:  # noqa: BLE001 - raised again where it belongs, in the consumer
            self.full.put(error)

    def looked_at(self, batch: Batch) -> Batch:
        """A batch that came another way, in memory of its own and with its sights."""
        own = batch.copy()
        own.sights = array("Q", bytes(8 * SIGHT_WORDS * batch.count))
        self.scout.attach(own.data)
        self.scout.look(own.records, 0, own.count, own.sights, 0)
        return own

    def next_batch(self, reader: CaptureReader) -> Batch | None:
        """What `reader.next_batch()` gives, found in the slot at hand if it is a plain file."""
        descriptor = reader.descriptor
        if descriptor is None or self.slot is None:
            return reader.next_batch()
        slot = self.slot
        if self.reader is not reader:
            self.reader = reader
            reader.read_with(self.scan)
        self.descriptor = descriptor
        reader.move_to(slot.data, slot.records)
        batch = reader.next_batch()
        if batch is not None:
            slot.data = batch.data if isinstance(batch.data, bytearray) else slot.data
            batch.sights = slot.sights
        return batch

    def scan(self, scanner: Scanner, window: Window, records: array[int], count: int) -> int:
        """A Scan of a CaptureReader: reads as much as the slot holds, and looks at the packets."""
        assert self.slot is not None
        assert self.reader is not None
        self.classic = scanner if isinstance(scanner, PcapScanner) else None
        self.blocks = scanner if isinstance(scanner, PcapngScanner) else None
        self.data, self.records, self.sights = window.data, records, self.slot.sights
        self.scout.attach(window.data)
        self.at, self.end, self.count = window.at, window.end, count
        self.got = self.error = 0
        self._fill(self.classic is not None)
        self.data = bytearray()  # a buffer that somebody looks at cannot grow
        window.at, window.end = self.at, self.end
        self.reader.count_read(self.got)
        if self.error:
            raise OSError(self.error, os.strerror(self.error))
        return self.count

    def _fill(self, classic: bool) -> int:
        """Scan, look, read the next piece, until there is no room for it or something else than packets comes."""
        # One scanner is there, `classic` says which: no assertions where the lock is not held.
        with cython.nogil:
            while True:
                before = self.count
                if classic:
                    self.count = self.classic.scan(self.data, self.at, self.end, self.records, self.count)  # type: ignore[union-attr]
                    self.at = self.classic.position  # type: ignore[union-attr]
                    stop = self.classic.stop  # type: ignore[union-attr]
                else:
                    self.count = self.blocks.scan(self.data, self.at, self.end, self.records, self.count)  # type: ignore[union-attr]
                    self.at = self.blocks.position  # type: ignore[union-attr]
                    stop = self.blocks.stop  # type: ignore[union-attr]
                if self.count > before:
                    self.scout.look(self.records, before, self.count, self.sights, before)
                if stop != _MORE or self.end == len(self.data):
                    break
                size = min(len(self.data) - self.end, PIECE)
                done = read_file(self.descriptor, cython.address(self.data[self.end]), size)  # type: ignore[name-defined]  # noqa: F821 - pump.pxd
                if done < 0:
                    self.error = last_error()  # type: ignore[name-defined]  # noqa: F821 - pump.pxd
                if done <= 0:
                    break
                self.end += done
                self.got += done
        return 0
