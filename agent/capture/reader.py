"""Reads a capture, pcap or pcapng, compressed or not, in batches of packets.

Knows: the buffer and what the file as a whole said (interfaces, its end, its faults). Framing is `scan.py`'s.
Must not know: what is inside a frame, which packets matter.
Memory: one buffer, which grows only as bytes really arrive, to one block of 16 MiB at most; none once it is closed.

    with open_capture("day.pcapng.gz") as reader:
        while (batch := reader.next_batch()) is not None:
            for index in range(batch.count):
                print(batch.time(index), bytes(batch.frame(index)))
    print(reader.errors, reader.truncated_tail)
"""

from __future__ import annotations

from array import array
from typing import Protocol

from agent.capture import blocks, scan
from agent.capture.batch import RECORD_WORDS, Batch, Interface, Words
from agent.capture.notes import Note, Notes
from agent.capture.sections import PROCESSES_IGNORED, Sections
from agent.capture.streams import CountedFile, PlainStream, open_stream
from agent.capture.variants import evidence, record_header_size
from agent.capture.window import Window
from agent.model.errors import CaptureError

BUFFER = 512 << 10
"""Bytes read at a time: half of a usual second-level cache, so that frames are still in it when they are judged."""
_SMALL_BUFFER = 4096
_LARGEST_BUFFER = (16 << 20) + BUFFER
_BATCH = 16_384
Scanner = scan.PcapScanner | scan.PcapngScanner
_SHORTEST_RECORD = 16
_CONVERTED = "a pcapng file that a transfer in text mode has damaged: copy it again in binary mode"
_ALLOWED = "give a pcap or pcapng file, also compressed by gzip, xz or zstd"


class Scan(Protocol):
    """Records of a window's unread bytes behind the first `count` of `records`; the new count.

    Leaves the window at the scanner's position.
    """

    def __call__(self, scanner: Scanner, window: Window, records: Words, count: int, /) -> int: ...


def scan_window(scanner: Scanner, window: Window, records: Words, count: int, /) -> int:
    """The plain Scan: of what is in the window."""
    count = scanner.scan(window.data, window.at, window.end, records, count)
    window.at = scanner.position
    return count


def open_capture(path: str, *, buffer: int = BUFFER, notes: bool = False) -> CaptureReader:
    """A reader of the capture at `path`, `-` for standard input. Raises CaptureError if that is no capture.

    `buffer`: bytes read at a time; less than the default where many captures are open together. `notes`: keep the
    blocks that name processes for take_notes().
    """
    return CaptureReader(path, buffer, Notes() if notes else None)


class CaptureReader:
    """One capture being read; open_capture() makes it."""

    def __init__(self, path: str, buffer: int = BUFFER, notes: Notes | None = None) -> None:
        self.path = path
        self.interfaces: list[Interface] = []
        """Those declared so far, in any section; records name them by their place here."""
        self.truncated_tail = False
        """The file ended inside a record or block, or in stray bytes."""
        self._faults: dict[str, tuple[int, int]] = {}
        self._sections: Sections | None = None
        self._notes = notes
        self._handed_out = 0
        """Packets of the batches before."""
        self._finished = False
        self._scan: Scan = scan_window
        self._file = CountedFile(path)
        try:
            self._stream = open_stream(self._file)
            self._window, self._records = self._room(buffer)
            self._scanner = self._begin()
        except OSError as error:
            self._file.close()
            raise CaptureError(path, self.bytes_read, f"cannot read: {error.strerror or error}") from None
        except CaptureError:
            self._file.close()
            raise

    @property
    def bytes_read(self) -> int:
        """Of the file as it lies on the disk, compressed or not."""
        return self._file.bytes_read

    @property
    def bytes_total(self) -> int | None:
        """Size of that file; None for a pipe."""
        return self._file.bytes_total

    @property
    def errors(self) -> list[str]:
        """What was wrong so far, each with the place in the uncompressed file where it was first met."""
        return [
            f"at byte {offset}: {text}" + (f" ({count} times)" if count > 1 else "")
            for text, (offset, count) in self._faults.items()
        ]

    @property
    def steps(self) -> int:
        """Work beyond the constant part of each packet: blocks skipped, options looked at, cache lines moved."""
        scanned = self._scanner.steps if isinstance(self._scanner, scan.PcapngScanner) else 0
        return scanned + self._window.moved // 64

    def close(self) -> None:
        """Ends the reading; twice is once. What was said about the capture stays, and the batch handed out last."""
        self._finished = True
        self._file.close()
        # A folder may hold thousands of captures: all that is large goes, also what scanner and decoder keep alive.
        self._stream = PlainStream(self._file, b"")
        self._window, self._records = Window(self._stream, size=0, limit=0), array("Q")
        self._scanner, self._sections = scan.PcapngScanner(), None

    def __enter__(self) -> CaptureReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next_batch(self) -> Batch | None:
        """The next packets, None when there are no more. What the batch before it pointed to is overwritten."""
        window, scanner = self._window, self._scanner
        count = 0
        while not self._finished:
            count = self._scan(scanner, window, self._records, count)
            if scanner.undeclared:
                self._count_undeclared(scanner.undeclared, scanner.undeclared_at)
            if scanner.stop == scan.FULL:
                break
            if scanner.stop == scan.MORE:
                if count:
                    break
                self._fetch(scanner.need)
            elif scanner.stop == scan.BAD:
                converted = blocks.looks_converted(bytes(window.data[window.at : min(window.at + 4, window.end)]))
                self._stop(_CONVERTED if converted else scanner.fault)
            elif scanner.stop == scan.SECTION and count and self._order_changes():
                break  # the options of a batch have one byte order
            else:
                self._declare(scanner.need, self._handed_out + count)
        if self._notes is not None and self._notes.lost:
            self._count_ignored()
        if count == 0:
            return None
        self._handed_out += count
        return Batch(window.data, self._records, count, big_endian=self.big_endian)

    def take_notes(self) -> list[Note]:
        """What was noted since the last time, in file order; the packets of the last batch may lie between.

        Their `packets` count what next_batch() gave: with another scan (read_with) they mean nothing.
        """
        return [] if self._notes is None else self._notes.take()

    def read_with(self, scan: Scan) -> None:
        """Have `scan` find the records from now on; it may read more of the plain file `descriptor` for that."""
        self._scan = scan

    def move_to(self, data: memoryview, records: memoryview) -> bool:
        """Go on in other memory, so that the batches handed out before stay as they are; False if it is too little."""
        window = self._window
        if len(data) < window.end - window.at:
            return False
        if window.data is not data:
            window.move_to(data)
        self.move_records(records)
        return True

    def move_records(self, records: Words) -> None:
        """Where the next records go."""
        self._records = records

    @property
    def big_endian(self) -> bool:
        """Byte order of the packet options that come next."""
        return self._sections is not None and self._sections.big_endian

    @property
    def descriptor(self) -> int | None:
        """Of a plain file whose bytes can be read directly; None for a pipe or compressed data."""
        plain = isinstance(self._stream, PlainStream) and self._stream.begun
        return self._file.descriptor if plain and self._file.bytes_total is not None else None

    def count_read(self, size: int) -> None:
        """So many bytes were read from `descriptor`."""
        self._file.bytes_read += size

    def _room(self, buffer: int) -> tuple[Window, Words]:
        """The buffer and the record words; little of both for a small file, whose start-up they would dominate."""
        total = self._file.bytes_total if isinstance(self._stream, PlainStream) else None
        size = buffer if total is None else max(_SMALL_BUFFER, min(buffer, total))
        records = array("Q", bytes(8 * RECORD_WORDS * min(_BATCH, size // _SHORTEST_RECORD + 1)))
        return Window(self._stream, size=size, limit=_LARGEST_BUFFER), records

    def _begin(self) -> scan.PcapScanner | scan.PcapngScanner:
        """Reads the file header or finds the first section header. Raises CaptureError if there is neither."""
        window = self._window
        window.ensure(4)
        magic = bytes(window.data[: min(4, window.end)])
        if magic == blocks.PCAPNG_MAGIC:
            return self._begin_pcapng()
        if magic in blocks.PCAP_MAGICS:
            return self._begin_pcap()
        if self._stream.fault:
            raise CaptureError(self.path, 0, f"{self._stream.fault}; {_ALLOWED}")
        if blocks.looks_converted(magic):
            raise CaptureError(self.path, 0, _CONVERTED)
        what = f"not a capture, it begins with the bytes {magic.hex(' ')}" if magic else "the file is empty"
        raise CaptureError(self.path, 0, f"{what}; {_ALLOWED}")

    def _begin_pcap(self) -> scan.PcapScanner:
        window = self._window
        if not window.ensure(blocks.PCAP_HEADER_SIZE):
            raise CaptureError(self.path, window.end, f"the file ends inside its header; {_ALLOWED}")
        header = blocks.parse_pcap_header(bytes(window.data[: blocks.PCAP_HEADER_SIZE]))
        if not header.known:
            raise CaptureError(
                self.path, 4, f"pcap version {header.major}.{header.minor} is not known, only version 2; {_ALLOWED}"
            )
        window.at = blocks.PCAP_HEADER_SIZE
        self.interfaces.append(Interface(link_type=header.link_type, snaplen=header.snaplen))
        return scan.PcapScanner(
            header.big_endian,
            header.unit_ns,
            self._record_header(header),
            header.link_type,
            header.fcs,
            blocks.longest_frame(header.snaplen),
            header.length_order,
        )

    def _record_header(self, header: blocks.PcapHeader) -> int:
        """Bytes before each frame of the pcap file, whose first record comes next.

        Of a pipe what the magic number says: the first packet shall not wait for the second.
        """
        window = self._window
        if self.bytes_total is None or not window.ensure(header.record_header):
            return header.record_header
        need = evidence(header, bytes(memoryview(window.data)[window.at : window.at + header.record_header]))
        window.ensure(need)
        return record_header_size(header, bytes(memoryview(window.data)[window.at : min(window.at + need, window.end)]))

    def _begin_pcapng(self) -> scan.PcapngScanner:
        window, scanner = self._window, scan.PcapngScanner()
        self._sections = Sections(scanner, self._notes)
        self.interfaces = self._sections.interfaces
        while scanner.scan(window.data, window.at, window.end, self._records, 0) == 0 and scanner.stop == scan.MORE:
            if not window.ensure(scanner.need):
                raise CaptureError(self.path, window.end, f"the file ends inside its first block; {_ALLOWED}")
        if scanner.stop == scan.BAD:
            raise CaptureError(self.path, 0, f"{scanner.fault}; {_ALLOWED}")
        return scanner

    def _order_changes(self) -> bool:
        """The section header at which the scanner stands is not in the byte order so far."""
        window = self._window
        big_endian = bytes(memoryview(window.data)[window.at + 8 : window.at + 12]) == blocks.BIG_ENDIAN_MAGIC
        return self._sections is None or self._sections.big_endian != big_endian

    def _declare(self, size: int, packets: int) -> None:
        """Takes in the block of `size` bytes, no packet, at which the scanner stands behind so many packets."""
        window = self._window
        assert self._sections is not None, "only the scanner of pcapng stops at blocks"
        try:
            complaint = self._sections.declare(bytes(memoryview(window.data)[window.at : window.at + size]), packets)
        except ValueError as error:
            self._stop(str(error))
            return
        if complaint:
            self._note(complaint, window.at)
        window.at += size

    def _fetch(self, need: int) -> None:
        """Gets `need` bytes into the window, or finishes."""
        window = self._window
        try:
            if window.ensure(need):
                return
        except OSError as error:
            window.at = window.end
            self._stop(f"cannot read: {error.strerror or error}")
            return
        self._finished = True
        self.truncated_tail = window.end > window.at or self._stream.truncated
        if self._stream.fault:
            self._note(self._stream.fault, window.end)

    def _stop(self, text: str) -> None:
        """Notes what makes the rest of the file unreadable."""
        self._note(text, self._window.at)
        self._finished = True

    def _note(self, text: str, position: int) -> None:
        """Counts a complaint about the byte at `position` of the window; equal ones share an entry, so few exist."""
        first, count = self._faults.get(text, (self._window.offset(position), 0))
        self._faults[text] = (first, count + 1)

    def _count_ignored(self) -> None:
        """Keeps the complaint about blocks that are not kept up to date."""
        assert isinstance(self._scanner, scan.PcapngScanner), "only pcapng has blocks"
        first, _ = self._faults.get(PROCESSES_IGNORED, (self._window.offset(self._window.at), 0))
        self._faults[PROCESSES_IGNORED] = (first, 1 + self._scanner.unwatched)

    def _count_undeclared(self, undeclared: int, position: int) -> None:
        """Keeps the complaint about packets of unknown interfaces up to date."""
        text = "a packet that names an interface no block declares is skipped"
        first, _ = self._faults.get(text, (self._window.offset(position), 0))
        self._faults[text] = (first, undeclared)
