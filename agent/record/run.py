"""One recording: packets come, owners are found, files are written, until it is told to stop.

Knows the order of things and what is counted. Must not know terminals, signals, or how packets, owners and files work.

    recording = Recording(RecordOptions(interfaces=("eth0",), output="out.pcapng"))
    report = recording.run(on_progress=print)
    # elsewhere, in a signal handler or another thread:  recording.stop()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from agent.attribution.values import Owner
from agent.capture.batch import RECORD_WORDS, Batch
from agent.capture.live import LiveReader
from agent.capture.packetsocket import SNAPLEN
from agent.datapath.headers import Header
from agent.model.protocols import WITH_PORTS
from agent.model.subject import Subject
from agent.record.device import write_device
from agent.record.listeners import listeners, owner_of_listener
from agent.record.output import Output
from agent.record.owners import Finder, Owners
from agent.record.processes import Details, ProcessFacts, created_offset, members
from agent.record.sockets import SocketBook

_IP = 0  # what Header.decode says of a packet it could read; a C constant where it is compiled
_TICK = 1.0
"""Seconds between what is done now and then: files flushed, the kernel's losses counted, progress told."""
_IDLE = 0.05
"""Seconds without a packet after which the source may look ahead."""
_DRAIN = 2.0
"""Seconds at the end in which what already waits is read, at most."""


class OwnerSource(Finder, Protocol):
    """The live system, as far as a recording asks it."""

    @property
    def misses(self) -> Mapping[str, int]:
        """Why owners were not found, with counts."""

    def process(self, subject: Subject, /) -> Details | None: ...

    def refresh(self) -> None:
        """Looks ahead while nothing else is to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """What a recording is asked for."""

    interfaces: tuple[str, ...]
    output: str
    duration: float | None = None
    """Seconds; None: until it is stopped."""
    filter_text: str = ""
    rotate: int | None = None
    """Bytes after which the next file begins."""
    sockets: str | None = None
    device: str | None = None
    snaplen: int = SNAPLEN


@dataclass(slots=True, kw_only=True)
class Counts:
    """Packets so far. Every one is in `packets`, and in one of the next five."""

    packets: int = 0
    attributed: int = 0
    ambiguous: int = 0
    """Several processes may own it: in the capture they stand in a comment."""
    unattributed: int = 0
    portless: int = 0
    """ICMP and the like: of their sockets, if they have one, the kernel tells no owner."""
    not_ours: int = 0
    """Other hosts' traffic, and what is not IP: no process here owns it."""
    octets: int = 0
    """As they were on the wire."""
    written: int = 0
    """Bytes of the capture files."""
    dropped: int = 0
    """Packets that the kernel had no room for: they are missing in the files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a recording did."""

    interfaces: tuple[str, ...]
    counts: Counts
    files: tuple[str, ...]
    sockets: int
    """Socket records."""
    first: int | None
    last: int | None
    """Times of the first and the last packet."""
    misses: Mapping[str, int]
    vanished: tuple[str, ...]
    """Interfaces that were asked for and are gone."""
    warnings: tuple[tuple[str, str], ...]
    """(code, text)."""


class Recording:
    """Opens everything when it is made: run() then only works. Raises UsageError and EnvironmentFailure."""

    def __init__(self, options: RecordOptions, source: OwnerSource) -> None:
        self.options = options
        self.counts = Counts()
        self._source = source
        self._stopped = False
        self._first: int | None = None
        self._last: int | None = None
        self._looked = 0.0
        self._header = Header()
        self._reader = LiveReader(options.interfaces, filter_text=options.filter_text, snaplen=options.snaplen)
        try:
            self._facts = ProcessFacts(source.process)
            self._output = Output(options.output, rotate=options.rotate)
            try:
                self._book = SocketBook(options.sockets, self._facts)
            except BaseException:
                self._output.abandon()
                raise
        except BaseException:
            self._reader.close()
            raise
        self._owners = Owners(source, ended=self._book.add, created_offset=created_offset())
        self._owners.set_addresses(self._reader.own, self._reader.broadcasts)

    @property
    def interfaces(self) -> tuple[str, ...]:
        """The names it records on."""
        return self._reader.names

    def stop(self) -> None:
        """Makes run() end soon, with everything written that had come. For signal handlers and other threads."""
        self._stopped = True
        self._reader.wake()

    def run(self, on_progress: Callable[[Counts], None] | None = None) -> Report:
        """Records until the duration is over, stop() was called, or every interface is gone.

        Raises EnvironmentFailure if a file cannot be written any more; what was written before is kept.
        """
        try:
            if self.options.device is not None:
                write_device(self.options.device, sorted(self._reader.own))
            self._output.declare(self._reader.interfaces)
            self._output.flush()
            if self.options.sockets is not None:
                self._note_listeners()
            self._loop(on_progress)
            self._owners.finish()
            self._output.close()
            self._book.close()
            self._count()
        finally:
            self._output.keep()
            self._book.keep()
            self._reader.close()
        return self._report()

    def _loop(self, on_progress: Callable[[Counts], None] | None) -> None:
        began = ticked = time.monotonic()
        end = None if self.options.duration is None else began + self.options.duration
        while not self._stopped:
            now = time.monotonic()
            if end is not None and now >= end:
                break
            batch = self._reader.next_batch(_IDLE if end is None else min(_IDLE, end - now))
            if batch is None:
                return
            if batch.count:
                self._take(batch)
            else:
                self._source.refresh()
            if now - ticked >= _TICK:
                ticked = now
                self._tick()
                if on_progress is not None:
                    on_progress(self.counts)
        self._drain()

    def _drain(self) -> None:
        """What had passed before the end and still waits to be read."""
        last = time.time_ns()
        until = time.monotonic() + _DRAIN
        while time.monotonic() < until and (batch := self._reader.next_batch(0)) is not None and batch.count:
            if batch.time(0) > last:
                return
            self._take(batch)

    def _tick(self) -> None:
        self._output.flush()
        self._book.flush()
        self._count()
        if self._last is not None:
            self._owners.sweep(self._last)

    def _count(self) -> None:
        self.counts.dropped = self._reader.dropped
        self.counts.written = self._output.size

    def _take(self, batch: Batch) -> None:
        """Finds the owner of each packet and writes it."""
        header, owners, output, counts = self._header, self._owners, self._output, self.counts
        interfaces = self._reader.interfaces
        header.attach(batch.data)
        records = batch.records
        for index in range(batch.count):
            time_ns, offset, lengths, bits = records[index * RECORD_WORDS : index * RECORD_WORDS + 4]
            if self._first is None:
                self._first = time_ns
            self._last = time_ns
            counts.packets += 1
            counts.octets += lengths & 0xFFFFFFFF
            conversation = None
            if header.decode(offset, lengths >> 32, bits & 0xFFFF) == _IP:
                conversation = owners.conversation(header, bits >> 32 & 3, time_ns)
            if conversation is None:
                counts.not_ours += 1
                output.write(batch, index, interfaces, None)
            elif (owner := conversation.owner) is None:
                if conversation.protocol in WITH_PORTS:
                    counts.unattributed += 1
                else:
                    counts.portless += 1
                output.write(batch, index, interfaces, None)
            elif owner.subject.candidates:
                counts.ambiguous += 1
                output.write(batch, index, interfaces, None, self._candidates(owner))
            else:
                counts.attributed += 1
                output.write(batch, index, interfaces, self._facts.of(owner.subject))
        if owners.stranger:
            self._look_again()

    def _candidates(self, owner: Owner) -> str:
        """For people: nobody may take one of them for the owner."""
        named = [f"{one.pid} ({one.image or 'unknown image'})" for one in members(owner.subject)]
        return "process not certain, candidates: " + ", ".join(named)

    def _look_again(self) -> None:
        """Somebody else's traffic, or an address that this host got since: at most once a tick it is looked up."""
        self._owners.stranger = False
        now = time.monotonic()
        if now - self._looked >= _TICK:
            self._looked = now
            self._reader.look_at_addresses()
            self._owners.set_addresses(self._reader.own, self._reader.broadcasts)

    def _note_listeners(self) -> None:
        """Who waits for connections and datagrams now: a flow from outside may come before its socket is seen."""
        now = time.time_ns()
        for protocol, local in listeners():
            owner = owner_of_listener(self._source, protocol, local, self._reader.own, now)
            if owner is not None:
                self._book.listener(now, protocol, local, owner)

    def _report(self) -> Report:
        reader = self._reader
        return Report(
            interfaces=reader.names,
            counts=self.counts,
            files=tuple(self._output.files),
            sockets=self._book.count,
            first=self._first,
            last=self._last,
            misses=dict(sorted(self._source.misses.items())),
            vanished=tuple(reader.vanished),
            warnings=tuple(self._warnings()),
        )

    def _warnings(self) -> Iterator[tuple[str, str]]:
        reader, counts = self._reader, self.counts
        if counts.dropped:
            text = f"{counts.dropped} packets passed and are missing: the machine was too slow for them; try --filter"
            yield "packets_dropped", text
        if reader.unreadable:
            yield "packets_left_out", f"{reader.unreadable} packets of unknown links were not IP and are left out"
        for name in reader.went_down:
            yield "interface_down", f"{name} was down for a time; nothing passes then"
