"""One pass over captures for what they themselves say of the processes of their packets, before anything is judged.

Knows: how capture reader, header decoder and carrier fit together, and which end of a packet is the host's own. Must
not know: how facts are written (agent/attribution/carried), what becomes of the packets.

    sources = carried_sources(paths, device, local_addresses, slack_ns)
    for source in sources: attribution.add(source)

Which end: the capture's direction flag, else the link layer's; else the end that is one of the device's addresses; else
the sender of a packet that has epb_processid_threadid, which is by its definition the process that originated it; else
either, and then each end has a record. A capture of a loopback device shows packets twice, out and in, each with the
process of its own end.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from agent.attribution.carried.carrier import Carrier, speaks
from agent.attribution.carried.facts import ETL2PCAPNG, OPTION_8, PIB, Fact
from agent.attribution.carried.pktap import read_pktap
from agent.attribution.carried.records import CarriedRecords, CarriedSource
from agent.capture.batch import RECORD_WORDS, Batch
from agent.capture.notes import LOST, SECTION, Note
from agent.capture.reader import CaptureReader, open_capture
from agent.capture.sections import PROCESSES_IGNORED
from agent.datapath.headers import Header
from agent.model.address import Address
from agent.model.device import Device
from agent.model.errors import CaptureError
from agent.replay.options import Progress, ProgressCallback

LOOK_AHEAD = 10_000
_IP = 0  # what Header.decode says of a frame that it can read
_TAPPED = frozenset((149, 258))
"""Link types whose frames may begin with a PKTAP header; Header tells whether those of the first, USER2, do."""
_PKTAP_BYTES = 256
_INBOUND, _OUTBOUND = 1, 2
_SYN, _ACK = 2, 16
_TCP = 6
_WITH_PORTS = frozenset((6, 17, 33, 132, 136))
_OPENED = {0: (0, 0), _SYN: (2, 1), _SYN | _ACK: (1, 2), _ACK: (0, 0)}
"""By the flags of a TCP segment: what its sender and its receiver are told, see CarriedRecords.seen."""
_LOW = (1 << 64) - 1


def carried_sources(
    paths: Sequence[str],
    device: Device,
    local_addresses: Sequence[Address],
    slack_ns: int,
    progress: ProgressCallback | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[CarriedSource]:
    """What the captures at `paths` say, those that name processes before those that give a pid only; [] if nothing.

    Only regular files are read, and to the end only those that say something in their first LOOK_AHEAD packets: a file
    that cannot be read is left to whoever reads it next. `local_addresses`: the device's, as far as known; `stopped`:
    asked now and then, True ends the reading early.
    """
    return carried_records(paths, device, local_addresses, progress, stopped).sources(slack_ns)


def carried_records(
    paths: Sequence[str],
    device: Device,
    local_addresses: Sequence[Address] = (),
    progress: ProgressCallback | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> CarriedRecords:
    """As carried_sources, as records."""
    records = CarriedRecords(device)
    local = frozenset((address.version, address.value >> 64, address.value & _LOW) for address in local_addresses)
    for path in paths:
        if os.path.isfile(path) and not stopped():
            try:
                with open_capture(path, notes=True) as reader:
                    _Pass(reader, records, local).read(progress, stopped)
            except CaptureError:
                continue
    return records


def carries(batches: Iterable[tuple[int, Batch]]) -> bool:
    """True if a packet among the first LOOK_AHEAD says whose it is, as far as packets tell without blocks.

    For captures that can be read only once: what they carry is not used, and somebody should be told.
    """
    seen: set[bytes] = set()
    packets = 0
    for _, batch in batches:
        for index in range(min(batch.count, LOOK_AHEAD - packets)):
            options = bytes(batch.options(index))
            if options and options not in seen:
                seen.add(options)
                if speaks(options, big_endian=batch.big_endian):
                    return True
            if batch.link_type(index) in _TAPPED and (header := read_pktap(batch.frame(index))) and header.pid:
                return True
        packets += batch.count
        if packets >= LOOK_AHEAD:
            break
    return False


class _Pass:
    """One capture being read."""

    def __init__(self, reader: CaptureReader, records: CarriedRecords, local: frozenset[tuple[int, int, int]]) -> None:
        self.reader = reader
        self.records = records
        self.local = local
        self.carrier = Carrier()
        self.header = Header()
        self.notes: deque[Note] = deque()
        self.packets = 0
        """Of the batches before."""
        self.said = False
        """A packet or block says something."""

    def read(self, progress: ProgressCallback | None, stopped: Callable[[], bool]) -> None:
        reader = self.reader
        while not stopped() and (batch := reader.next_batch()) is not None:
            self.notes += reader.take_notes()
            self._batch(batch)
            self.packets += batch.count
            if not self.said and self.packets >= LOOK_AHEAD:
                break
            if progress is not None:
                progress(
                    Progress(
                        bytes_read=reader.bytes_read,
                        bytes_total=reader.bytes_total,
                        packets=self.packets,
                        path=reader.path,
                    )
                )
        self.notes += reader.take_notes()
        while self.notes:
            self._note(self.notes.popleft())
        self._finish()

    def _batch(self, batch: Batch) -> None:
        """Packets and notes in the order of the file."""
        self.header.attach(batch.data)
        done = 0
        while self.notes and self.notes[0].packets < self.packets + batch.count:
            note = self.notes.popleft()
            self._run(batch, done, note.packets - self.packets)
            done = note.packets - self.packets
            self._note(note)
        self._run(batch, done, batch.count)

    def _note(self, note: Note) -> None:
        if note.kind == SECTION:
            self.carrier.section(note.body, big_endian=note.big_endian)
        elif note.kind == LOST:
            self.carrier.lost()
        else:
            self.carrier.block(note.kind, note.body, big_endian=note.big_endian)
            self.said = True

    def _run(self, batch: Batch, first: int, last: int) -> None:
        """Packets between two notes."""
        records, view, big_endian = batch.records, memoryview(batch.data), batch.big_endian
        fact_of = self.carrier.fact
        for base in range(first * RECORD_WORDS, last * RECORD_WORDS, RECORD_WORDS):
            word, bits = records[base + 4], records[base + 3]
            link = bits & 0xFFFF
            header = None
            if link in _TAPPED:
                offset = records[base + 1]
                header = bytes(view[offset : offset + min(records[base + 2] >> 32, _PKTAP_BYTES)])
            elif not word:
                continue
            start = word >> 32
            options = bytes(view[start : start + (word & 0xFFFFFFFF)])
            fact = fact_of(options, big_endian=big_endian, time_ns=records[base], header=header)
            if fact is not None:
                self._packet(fact, records[base], records[base + 1], records[base + 2] >> 32, link, bits >> 32 & 3)

    def _packet(self, fact: Fact, time_ns: int, offset: int, captured: int, link: int, flag: int) -> None:
        """Notes whose packet it is, if it belongs to a socket."""
        header = self.header
        # What stands behind a cut header, and in a later fragment, has no ports; its flow is that of other packets.
        if header.decode(offset, captured, link) != _IP or header.fragment == 2:
            return
        self.said = True
        version, protocol = header.version, header.protocol
        source_high, source_low = header.source_high, header.source_low
        target_high, target_low = header.destination_high, header.destination_low
        source_port = target_port = 0
        if protocol in _WITH_PORTS:
            source_port, target_port = header.source_port, header.destination_port
        way = flag or header.link_direction
        if way == _OUTBOUND:
            self.records.note_local(version, source_high, source_low)
        elif way == 0:
            way = self._way(fact, (version, source_high, source_low), (version, target_high, target_low))
        if fact.source == ETL2PCAPNG and way != _OUTBOUND:
            return  # the process that was interrupted by the packet: measured, right in 9 %
        sender, receiver = _OPENED[header.tcp_flags & (_SYN | _ACK) if protocol == _TCP else 0]
        if way != _INBOUND:
            self.records.seen(
                fact, time_ns, protocol, version,
                source_high, source_low, source_port, target_high, target_low, target_port, sender,
            )  # fmt: skip
        if way != _OUTBOUND:
            self.records.seen(
                fact, time_ns, protocol, version,
                target_high, target_low, target_port, source_high, source_low, source_port, receiver,
            )  # fmt: skip

    def _way(self, fact: Fact, source: tuple[int, int, int], target: tuple[int, int, int]) -> int:
        """Which way the packet goes if nothing in the capture says so; 0 if nobody can tell."""
        ours, theirs = source in self.local, target in self.local
        if ours != theirs:
            return _OUTBOUND if ours else _INBOUND
        return _OUTBOUND if fact.source in (PIB, OPTION_8) else 0

    def _finish(self) -> None:
        """Tells of what was left out."""
        records, carrier, path = self.records, self.carrier, self.reader.path
        carrier.lost()  # the last section is over
        records.information_blocks |= carrier.information_blocks
        if carrier.contradicted:
            records.misses["process_started_later"] += carrier.contradicted
        for text in self.reader.errors:
            if PROCESSES_IGNORED in text:
                records.warnings.append(("carried_truncated", f"{path}: {text}"))
        if carrier.dropped:
            text = f"{carrier.dropped:,} blocks that name processes are more than are kept"
            records.warnings.append(("carried_truncated", f"{path}: {text}; packets of theirs have a pid at most"))
