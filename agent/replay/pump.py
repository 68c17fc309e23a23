"""Reads and looks at packets in a second thread, while those before them are judged: the second core of a replay.

Knows buffers and their order. Never: what becomes of a packet. What it does depends on nothing that judging changes
(datapath/scout.py), and the batches come out in the order they went in, so no output depends on it.

Of a plain file the thread reads a piece that fits the second-level cache, finds its records and looks at the packets,
again and again until a slot is full, goes on in the next slot, and needs the interpreter's lock for none of that: only
for what a file declares, and at its ends. Slots change hands by a pair of locks each, `vacant` and `filled`. Batches
that come another way (compressed files, merged ones) take a place in the same order. Memory: SLOTS slots of 3.2 MB,
and a copy of each of those other batches, of at most 16 MB, while it waits.

Compiled only: without the C types of pump.pxd nothing here would be faster, and replay/run.py does not ask for it.
"""

from __future__ import annotations

import threading
from array import array
from typing import Any

try:
    import cython  # resolved when this module is compiled, where the lock has a meaning
except ModuleNotFoundError:
    from agent.model import uncompiled as cython

from agent.capture.batch import RECORD_WORDS, Batch, Words
from agent.capture.reader import CaptureReader, Scanner, scan_window
from agent.capture.scan import PcapngScanner, PcapScanner
from agent.capture.window import Window
from agent.datapath.layout import SIGHT_WORDS
from agent.datapath.scout import Scout
from agent.replay.frames import Frames

SLOTS = 4
SLOT_BYTES = 2 << 20
SLOT_PACKETS = 10_240
PIECE = 256 << 10
"""Bytes read at a time: records and sights of them fit the second-level cache beside them."""

PATIENCE = 50
"""Tenths of a second that a thread gets to end."""

_MORE, _FULL = 0, 1


class Pump:
    """One thread reading ahead of one consumer. `frames` belongs to the thread once it runs, as does `scout`."""

    def __init__(self, frames: Frames, scout: Scout) -> None:
        self.frames = frames
        self.scout = scout
        self.thread = threading.Thread(target=self.run, name="capture-reader", daemon=True)
        # One array each; slot number n has the n-th part. Views of the parts, for who holds the interpreter's lock.
        self.data = bytearray(SLOTS * SLOT_BYTES)
        self.records = array("Q", [0]) * (SLOTS * SLOT_PACKETS * RECORD_WORDS)
        self.sights = array("Q", [0]) * (SLOTS * SLOT_PACKETS * SIGHT_WORDS)
        self.parts = [memoryview(self.data)[n * SLOT_BYTES : (n + 1) * SLOT_BYTES] for n in range(SLOTS)]
        self.record_parts = _parts(self.records, SLOT_PACKETS * RECORD_WORDS)
        self.sight_parts = _parts(self.sights, SLOT_PACKETS * SIGHT_WORDS)
        self.items: list[Any] = [None] * SLOTS
        """What a slot holds if it is no batch of its own: another batch, an error, or END."""
        self.counts = array("q", [0]) * SLOTS
        self.numbers = array("q", [0]) * SLOTS
        self.orders = array("q", [0]) * SLOTS
        self.slot = 0
        """The thread's."""
        self.following = 0
        """The one the consumer comes to next."""
        self.taken = -1
        """The consumer's, -1 for none."""
        self.ended = False
        self.stopping = False
        # Of the plain file being read.
        self.classic: PcapScanner | None = None
        self.blocks: PcapngScanner | None = None
        self.reader: CaptureReader | None = None
        self.descriptor = -1
        self.at = 0
        self.end = 0
        self.count = 0
        self.got = 0
        self.passed = 0
        """Bytes that were behind when a slot was left."""
        self.told = False
        self._make_locks()

    # The consumer's side ------------------------------------------------------------------------------------

    def start(self) -> None:
        self.thread.start()

    def next(self) -> tuple[int, Batch] | None:
        """The next batch with its sights and its capture's number; None at the end. The one before is void."""
        if self.ended:
            return None
        if self.taken >= 0:
            self._give_back(self.taken)
            self.taken = -1
        self._await_filled(self.following, -1)
        self.taken = self.following
        self.following = (self.taken + 1) % SLOTS
        item = self.items[self.taken]
        if item is None:
            batch = Batch(
                self.parts[self.taken],
                self.record_parts[self.taken],
                self.counts[self.taken],
                big_endian=self.orders[self.taken] != 0,
            )
            batch.sights = self.sight_parts[self.taken]
            return self.numbers[self.taken], batch
        self.items[self.taken] = None
        if isinstance(item, tuple):
            return item
        self.ended = True
        self.thread.join()
        self._free_locks()
        if isinstance(item, BaseException):
            raise item
        return None

    def read_since(self) -> int:
        """Bytes read that the reader has not been told of yet."""
        return self.got

    def stop(self) -> None:
        """Ends the thread; what it had read ahead is forgotten. One that a file has stalled is left to itself."""
        if self.ended:
            return
        self.stopping = True
        while not self.ended:
            if self.taken >= 0:
                self._give_back(self.taken)
                self.taken = -1
            if not self._await_filled(self.following, PATIENCE):
                self.ended = True
                return
            self.taken, self.following = self.following, (self.following + 1) % SLOTS
            item = self.items[self.taken]
            self.ended = item is not None and not isinstance(item, tuple)
        self.thread.join()
        self._free_locks()

    # The thread's side --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Fills slots until the captures end."""
        last: object = END
        try:
            self._await_vacant(self.slot)
            self.frames.next_batch = self.next_batch
            while not self.stopping and (item := self.frames.next()) is not None:
                number, batch = item
                if batch.sights is None:
                    self._publish((number, self.looked_at(batch)), 0)
                else:
                    self._publish(None, batch.count)
        except BaseException as error:  # noqa: BLE001 - raised again where it belongs, in the consumer
            last = error
        self.items[self.slot] = last
        self._hand_over(self.slot)

    def looked_at(self, batch: Batch) -> Batch:
        """A batch that came another way, in memory of its own and with its sights."""
        own = batch.copy()
        own.sights = array("Q", [0]) * (SIGHT_WORDS * batch.count)
        self.scout.attach(own.data)
        self.scout.look(own.records, 0, own.count, own.sights, 0)
        return own

    def next_batch(self, reader: CaptureReader) -> Batch | None:
        """What is left of `reader.next_batch()` once whole slots were handed over: the last packets before an event."""
        descriptor = reader.descriptor
        if descriptor is None:
            return reader.next_batch()
        if self.reader is not reader:
            self.reader = reader
            self.told = False
            reader.read_with(self.scan)
        self.descriptor = descriptor
        if not reader.move_to(self.parts[self.slot], self.record_parts[self.slot]):
            return reader.next_batch()  # what is unread is longer than a slot
        batch = reader.next_batch()
        if batch is not None and batch.data is self.parts[self.slot]:
            batch.sights = self.sight_parts[self.slot]
        return batch

    def scan(self, scanner: Scanner, window: Window, records: Words, count: int) -> int:
        """A Scan of a CaptureReader: fills slot after slot until something else than packets comes."""
        if window.data is not self.parts[self.slot]:
            return scan_window(scanner, window, records, count)  # a block longer than a slot has memory of its own
        assert self.reader is not None
        self.classic = scanner if isinstance(scanner, PcapScanner) else None
        self.blocks = scanner if isinstance(scanner, PcapngScanner) else None
        self.at, self.end, self.count = window.at, window.end, count
        self.numbers[self.slot] = self.frames.number
        self.orders[self.slot] = 1 if self.reader.big_endian else 0
        self.got = self.passed = 0
        self.scout.attach(self.data)
        self._fill(self.classic is not None)
        self.reader.count_read(self.got)
        self.got = 0
        window.go_on(self.parts[self.slot], self.at, self.end, self.passed)
        self.reader.move_records(self.record_parts[self.slot])
        return self.count

    def _fill(self, classic: bool) -> int:
        """Read, scan, look; the next slot when one is full. Back at an event, an error or the end of the file."""
        with cython.nogil:
            while True:
                stop = self._scan_piece(classic)
                room = SLOT_BYTES - self.end
                if not classic and not self.told and self.blocks.undeclared > 0:  # type: ignore[union-attr]
                    self.told = True  # the reader notes where the first one stands
                    break
                if stop == _FULL or (stop == _MORE and room == 0 and self.count > 0):
                    if self.stopping:
                        break
                    self._next_slot()
                    continue
                if stop != _MORE or room == 0:
                    break
                place = self.slot * SLOT_BYTES + self.end
                size = min(room, PIECE)
                done = read_file(self.descriptor, cython.address(self.data[place]), size)  # type: ignore[name-defined]  # noqa: F821 - pump.pxd
                if done <= 0:
                    break  # the end or an error: the reader finds it again, and has words for it
                self.end += done
                self.got += done
        return 0

    def _scan_piece(self, classic: bool) -> int:
        """Records and sights of the unread bytes in the slot; why the scanner came back."""
        before = self.count
        base = self.slot * SLOT_BYTES
        first = self.slot * SLOT_PACKETS
        data = self.data[base : base + SLOT_BYTES]
        records = self.records[first * RECORD_WORDS : (first + SLOT_PACKETS) * RECORD_WORDS]
        # One scanner is there, `classic` says which.
        if classic:
            self.count = self.classic.scan(data, self.at, self.end, records, before)  # type: ignore[union-attr]
            self.at = self.classic.position  # type: ignore[union-attr]
            stop = self.classic.stop  # type: ignore[union-attr]
        else:
            self.count = self.blocks.scan(data, self.at, self.end, records, before)  # type: ignore[union-attr]
            self.at = self.blocks.position  # type: ignore[union-attr]
            stop = self.blocks.stop  # type: ignore[union-attr]
        if self.count > before:
            self.scout.look_at(base, records, before, self.count, self.sights, first + before)
        return stop

    def _next_slot(self) -> int:
        """Hands the full slot over and goes on in the next, with the bytes that are not used up."""
        full = self.slot
        following = full + 1 if full + 1 < SLOTS else 0
        self.counts[full] = self.count
        take(self.vacant[following])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd
        # Only now: until then the consumer may read what is noted there.
        self.numbers[following] = self.numbers[full]
        self.orders[following] = self.orders[full]
        left = self.end - self.at
        for offset in range(left):
            self.data[following * SLOT_BYTES + offset] = self.data[full * SLOT_BYTES + self.at + offset]
        self.passed += self.at
        self.at = 0
        self.end = left
        self.count = 0
        self.slot = following
        give(self.filled[full])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd
        return 0

    def _publish(self, item: tuple[int, Batch] | None, count: int) -> None:
        """Hands the slot over, with `item` or `count` packets of its own, and waits for the next."""
        self.items[self.slot] = item
        self.counts[self.slot] = count
        full, self.slot = self.slot, (self.slot + 1) % SLOTS
        self._hand_over(full)
        self._await_vacant(self.slot)

    # Locks: `vacant` is free while nobody uses a slot, `filled` while it waits for the consumer -------------------

    def _make_locks(self) -> None:
        for slot in range(SLOTS):
            self.vacant[slot] = new_lock()  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd
            self.filled[slot] = new_lock()  # type: ignore[attr-defined, name-defined]  # noqa: F821
            take(self.filled[slot])  # type: ignore[attr-defined, name-defined]  # noqa: F821

    def _await_vacant(self, slot: int) -> None:
        with cython.nogil:
            take(self.vacant[slot])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd

    def _hand_over(self, slot: int) -> None:
        give(self.filled[slot])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd

    def _await_filled(self, slot: int, tries: int) -> bool:
        """True once the slot is filled; False after `tries` tenths of a second. With -1 only Ctrl-C ends the wait."""
        done = 0
        while done == 0 and tries != 0:
            with cython.nogil:
                done = take_soon(self.filled[slot])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd
            if tries > 0:
                tries -= 1
            elif done == 0:
                check_signals()  # type: ignore[name-defined]  # noqa: F821 - pump.pxd
        return done != 0

    def _give_back(self, slot: int) -> None:
        give(self.vacant[slot])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd

    def _free_locks(self) -> None:
        for slot in range(SLOTS):
            free_lock(self.vacant[slot])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd
            free_lock(self.filled[slot])  # type: ignore[attr-defined, name-defined]  # noqa: F821 - pump.pxd


END = "end"


def _parts(words: array[int], size: int) -> list[memoryview]:
    return [memoryview(words)[n * size : (n + 1) * size] for n in range(SLOTS)]
