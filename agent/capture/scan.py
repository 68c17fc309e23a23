"""Bytes of a capture file to record words: the framing of pcap and pcapng, compiled where possible.

Knows: record and block framing and its lies, times in nanoseconds, direction flags, declared frame check sequences.
Must not know: files, what is inside a frame, what section and interface blocks say (`blocks.py` reads those).

One packet becomes five words of a flat array (see `batch.py`): no Python object exists per packet. Uncompiled, the
same source gives the same words: nothing here rests on wrap-around.

    >>> scanner = PcapScanner(False, 1000, 16, 1, 0, 262_144)
    >>> words = array("Q", bytes(5 * 8))
    >>> scanner.scan(bytes.fromhex("01000000 02000000 01000000 3c000000 ff"), 0, 17, words, 0)
    1
    >>> list(words) == [1_000_002_000, 16, 1 << 32 | 60, 1, 0]
    True
"""

from __future__ import annotations

from array import array

from agent.capture.batch import Memory, Words

# Why scan() came back: it needs more bytes, the array is full, a block for blocks.py stands at `position`, a lie, or a
# block for notes.py.
MORE, FULL, SECTION, INTERFACE, BAD, PROCESS = range(6)

_FAULTS = (
    "",
    "a record claims {} captured bytes; at most {} are believed",
    "a section header without its byte-order magic 1a2b3c4d",
    "a block claims {} bytes; a multiple of 4 in 12..{} is believed",
    "a block of {} bytes ends with the length {}",
    "a packet block of only {} bytes",
    "a packet block of {} bytes claims {} captured bytes",
    "a packet claims {} captured bytes; at most {} are believed",
    "a simple packet block of only {} bytes",
)
"""What can be wrong, by number: scanning makes no text, since it runs without the interpreter's lock."""

# Typed in scan.pxd and therefore invisible to other modules.
_MORE, _FULL, _SECTION, _INTERFACE, _BAD, _PROCESS = range(6)
_RECORD, _NO_MAGIC, _BLOCK, _TRAILER, _SHORT_PACKET, _OVERLONG_PACKET, _PACKET_LIMIT, _SHORT_SIMPLE = range(1, 9)
_WORDS = 5
_MAX_BLOCK = 16 << 20
_SECTION_BLOCK = 0x0A0D0D0A
_ORDER_MAGIC = 0x1A2B3C4D
_ORDER_MAGIC_SWAPPED = 0x4D3C2B1A
_INTERFACE_BLOCK = 1
_OLD_PACKET_BLOCK = 2
_SIMPLE_PACKET_BLOCK = 3
_PACKET_BLOCK = 6
# Blocks that name processes: Wireshark's custom block with its number and entry type, Apple's, Hone's two.
_CUSTOM_BLOCK = 0x00000BAD
_CUSTOM_BLOCK_KEPT = 0x40000BAD
_WIRESHARK = 32622
_PROCESS_ENTRY = 3
_APPLE_BLOCK = 0x80000001
_HONE_PROCESS = 0x101
_HONE_CONNECTION = 0x102
_NO_TIME = 1 << 34
_SECOND = 1_000_000_000
_LAST_TIME = 0xFFFFFFFFFFFFFFFF
_LAST_SECOND = _LAST_TIME // _SECOND
_LOW_HALF = 0xFFFFFFFF
# How a pcap file orders its two lengths: as the format says, exchanged, or exchanged where the captured is the greater.
IN_ORDER, SWAPPED, MAYBE_SWAPPED = range(3)
_SWAPPED, _MAYBE_SWAPPED = SWAPPED, MAYBE_SWAPPED
# Columns of a row of the interface table. The last six serve times that one multiplication does not give: units a
# second (0: more than 64 bits hold), of binary ones the exponent, what makes decimal ones nanoseconds by multiplication
# or else by division (0: nothing is left), and seconds to add or to subtract.
_ROW = 12
_LINK, _MULTIPLIER, _EXACT, _FCS, _SNAPLEN, _LIMIT, _UNITS, _SHIFT, _TIMES, _DIVISOR, _AHEAD, _BACK = range(12)


def _join(first: int, second: int, third: int, fourth: int, big: bool) -> int:
    """Four bytes as an unsigned number. It takes bytes, not a buffer and a place: only that form is inlined (3x)."""
    if big:
        return first << 24 | second << 16 | third << 8 | fourth
    return fourth << 24 | third << 16 | second << 8 | first


def _outside(at: int, end: int) -> int:
    raise ValueError(f"cannot scan bytes {at} to {end}: they are not in the buffer")


class PcapScanner:
    """The records of one classic pcap file, which has one interface."""

    def __init__(
        self, big_endian: bool, unit_ns: int, header: int, link_bits: int, fcs: int, limit: int, order: int = IN_ORDER
    ) -> None:
        """`unit_ns`: of the sub-second field; `header`: bytes before a frame; `link_bits`: word 3 of every record;
        `fcs`: bytes of frame check sequence at the end of every frame; `limit`: the longest frame believed;
        `order`: of the two lengths, IN_ORDER, SWAPPED or MAYBE_SWAPPED."""
        self.big_endian = big_endian
        self.order = order
        self.unit_ns = unit_ns
        self.header = header
        self.link_bits = link_bits
        self.fcs = fcs
        self.limit = limit
        self.undeclared = 0
        """None: the one interface is that of the file. So with `undeclared_at`; see PcapngScanner."""
        self.undeclared_at = 0
        self.position = 0
        self.need = 0
        self.stop = MORE
        self.wrong = self.claimed = self.allowed = 0

    @property
    def fault(self) -> str:
        """What was wrong, where `stop` is BAD."""
        return _FAULTS[self.wrong].format(self.claimed, self.allowed)

    def scan(self, data: Memory, at: int, end: int, records: Words, count: int) -> int:
        """Writes the records of data[at:end] behind the first `count` of `records`; returns the new count.

        Sets `stop`, `position` (the first byte not used), `need` (bytes known to belong to what stands there) and,
        where `stop` is BAD, `fault`. Needs no lock of the interpreter.
        """
        big, header, fcs = self.big_endian, self.header, self.fcs
        unit, limit, link_bits, order = self.unit_ns, self.limit, self.link_bits, self.order
        room = len(records) // _WORDS
        if at < 0 or count < 0 or end > len(data):
            return _outside(at, end)
        stop, need = _FULL, header
        while count < room:
            frame = at + header
            if frame > end:
                stop, need = _MORE, header
                break
            captured = _join(data[at + 8], data[at + 9], data[at + 10], data[at + 11], big)
            original = _join(data[at + 12], data[at + 13], data[at + 14], data[at + 15], big)
            if order == _SWAPPED or (order == _MAYBE_SWAPPED and captured > original):
                captured, original = original, captured
            if captured > limit:
                stop = _BAD
                self.wrong, self.claimed, self.allowed = _RECORD, captured, limit
                break
            need = captured
            need += header
            if need > end - at:
                stop = _MORE
                break
            seconds = _join(data[at], data[at + 1], data[at + 2], data[at + 3], big)
            subsecond = _join(data[at + 4], data[at + 5], data[at + 6], data[at + 7], big)
            if original < captured:
                original = captured
            if fcs > 0:
                original = original - fcs if original > fcs else 0
                captured = original if captured > original else captured
            word = count * _WORDS
            # A sub-second field of a second or more carries over by itself, and 2^32 of either fit.
            records[word] = seconds * _SECOND + subsecond * unit
            records[word + 1] = frame
            records[word + 2] = captured << 32 | original
            records[word + 3] = link_bits
            records[word + 4] = 0
            count += 1
            at += need
        self.position, self.need, self.stop = at, need, stop
        return count


class PcapngScanner:
    """The packet blocks of pcapng sections; comes back for section and interface blocks, and for those that name
    processes while it is `watching`; skips all others."""

    def __init__(self) -> None:
        self.big_endian = False
        self.understood = False
        self.watching = False
        self.unwatched = 0
        """Blocks that name processes, skipped because nobody watches for them."""
        self.declared = 0
        """Interfaces of the section so far."""
        self.table = array("Q", bytes(8 * _ROW * 16))
        self.data: Memory = b""
        self.records: Words = array("Q")
        self.count = 0
        self.kind = 0
        self.last_time = 0
        self.steps = 0
        """Blocks skipped and options looked at."""
        self.undeclared = 0
        """Packets skipped because no block declares the interface they name."""
        self.undeclared_at = 0
        """Where the first of them stood in the bytes then scanned."""
        self.position = 0
        self.need = 0
        self.stop = MORE
        self.wrong = self.claimed = self.allowed = 0

    @property
    def fault(self) -> str:
        """What was wrong, where `stop` is BAD."""
        return _FAULTS[self.wrong].format(self.claimed, self.allowed)

    def begin_section(self, big_endian: bool, understood: bool) -> None:
        """Interface numbers and byte order begin anew; a section not `understood` is skipped block by block."""
        self.big_endian = big_endian
        self.understood = understood
        self.declared = 0

    def add_interface(self, link_bits: int, resolution: int, offset: int, fcs: int, snaplen: int, limit: int) -> None:
        """The section's next interface: `link_bits` go to word 3, `resolution` and `offset` are its if_tsresol byte
        and if_tsoffset seconds, `fcs` bytes end each frame, `snaplen` 0 means no limit for simple packets."""
        row = self.declared * _ROW
        if row + _ROW > len(self.table):
            table = array("Q", bytes(16 * len(self.table)))
            for index in range(row):
                table[index] = self.table[index]
            self.table = table
        # Decimal units of a nanosecond or more without an offset (nearly all files) need one multiplication.
        multiplier = 10 ** (9 - resolution) if resolution <= 9 and offset == 0 else 0
        self.table[row + _LINK] = link_bits
        self.table[row + _MULTIPLIER] = multiplier
        self.table[row + _EXACT] = 0xFFFFFFFFFFFFFFFF // multiplier if multiplier else 0
        self.table[row + _FCS] = fcs
        self.table[row + _SNAPLEN] = snaplen
        self.table[row + _LIMIT] = limit
        binary = resolution >= 128
        units = 1 << resolution - 128 if binary else 10**resolution
        divisor = 10 ** max(resolution - 9, 0)
        self.table[row + _UNITS] = units if units <= _LAST_TIME else 0
        self.table[row + _SHIFT] = resolution - 128 if binary else 0
        self.table[row + _TIMES] = 10 ** max(9 - resolution, 0)
        self.table[row + _DIVISOR] = divisor if divisor <= _LAST_TIME else 0
        self.table[row + _AHEAD] = max(offset, 0)
        self.table[row + _BACK] = max(-offset, 0)
        self.declared += 1

    def scan(self, data: Memory, at: int, end: int, records: Words, count: int) -> int:
        """As PcapScanner.scan. At SECTION, INTERFACE and PROCESS the whole block of `need` bytes is at `position`."""
        room = len(records) // _WORDS
        if at < 0 or count < 0 or end > len(data):
            return _outside(at, end)
        self.data, self.records, self.count = data, records, count
        self.stop = _FULL
        while self.count < room:
            if not self._whole_block(at, end):
                break
            kind = self.kind
            if kind == _SECTION_BLOCK:
                self.stop = _SECTION
                break
            if self.understood:
                if kind in (_PACKET_BLOCK, _OLD_PACKET_BLOCK):
                    if not self._packet(at):
                        break
                elif kind == _SIMPLE_PACKET_BLOCK:
                    if not self._simple_packet(at):
                        break
                elif kind == _INTERFACE_BLOCK:
                    self.stop = _INTERFACE
                    break
                elif self._names_process(at):
                    if self.watching:
                        self.stop = _PROCESS
                        break
                    self.unwatched += 1
                    self.steps += 1
                else:
                    self.steps += 1
            else:
                self.steps += 1
            at += self.need
        self.position = at
        return self.count

    def _whole_block(self, at: int, end: int) -> bool:
        """True if a block with honest lengths lies in at..end: `kind` and `need` say which and how long."""
        self.need = 12
        if end - at < 12:
            self.stop = _MORE
            return False
        big = self.big_endian
        self.kind = _join(self.data[at], self.data[at + 1], self.data[at + 2], self.data[at + 3], big)
        if self.kind == _SECTION_BLOCK:
            order = _join(self.data[at + 8], self.data[at + 9], self.data[at + 10], self.data[at + 11], False)
            if order not in (_ORDER_MAGIC, _ORDER_MAGIC_SWAPPED):
                return self._bad(_NO_MAGIC, 0, 0)
            big = order == _ORDER_MAGIC_SWAPPED
        length = _join(self.data[at + 4], self.data[at + 5], self.data[at + 6], self.data[at + 7], big)
        if length < 12 or length & 3 or length > _MAX_BLOCK:
            return self._bad(_BLOCK, length, _MAX_BLOCK)
        self.need = length
        if self.need > end - at:
            self.stop = _MORE
            return False
        last = at + self.need - 4
        trailer = _join(self.data[last], self.data[last + 1], self.data[last + 2], self.data[last + 3], big)
        if trailer != length:
            return self._bad(_TRAILER, length, trailer)
        return True

    def _names_process(self, at: int) -> bool:
        """True for the block at `at` if processes are named in blocks of its kind."""
        if self.kind in (_APPLE_BLOCK, _HONE_PROCESS, _HONE_CONNECTION):
            return True
        if self.kind not in (_CUSTOM_BLOCK, _CUSTOM_BLOCK_KEPT) or self.need < 24:
            return False
        # The number in the section's byte order; what stands in the entry is little-endian in any section.
        number = _join(self.data[at + 8], self.data[at + 9], self.data[at + 10], self.data[at + 11], self.big_endian)
        entry = _join(self.data[at + 12], self.data[at + 13], self.data[at + 14], self.data[at + 15], False)
        return number == _WIRESHARK and entry == _PROCESS_ENTRY

    def _packet(self, at: int) -> bool:
        """Records the enhanced or obsolete packet block at `at`. False if it lies."""
        big = self.big_endian
        last = at + self.need - 4
        frame = at + 28
        if last < frame:
            return self._bad(_SHORT_PACKET, self.need, 0)
        interface = _join(self.data[at + 8], self.data[at + 9], self.data[at + 10], self.data[at + 11], big)
        if self.kind == _OLD_PACKET_BLOCK:  # two bytes of interface, then two of a drop count
            interface = interface >> 16 if big else interface & 0xFFFF
        captured = _join(self.data[at + 20], self.data[at + 21], self.data[at + 22], self.data[at + 23], big)
        original = _join(self.data[at + 24], self.data[at + 25], self.data[at + 26], self.data[at + 27], big)
        size = last - frame
        if captured > size:
            return self._bad(_OVERLONG_PACKET, self.need, captured)
        if interface >= self.declared:
            return self._without_interface(at)
        row = interface * _ROW
        limit = self.table[row + _LIMIT]
        if captured > limit:
            return self._bad(_PACKET_LIMIT, captured, limit)
        stamp = _join(self.data[at + 16], self.data[at + 17], self.data[at + 18], self.data[at + 19], big)
        stamp |= _join(self.data[at + 12], self.data[at + 13], self.data[at + 14], self.data[at + 15], big) << 32
        if self.table[row + _MULTIPLIER] > 0 and stamp <= self.table[row + _EXACT]:
            self.last_time = stamp * self.table[row + _MULTIPLIER]
        else:
            self.last_time = self._nanoseconds(row, stamp)
        options = frame + ((captured + 3) >> 2 << 2)
        flags = self._flags(options, last) if last - options >= 8 else 0
        self._record(row, frame, captured, original, flags)
        if options < last:
            self.records[self.count * _WORDS - 1] = options << 32 | (last - options)
        return True

    def _simple_packet(self, at: int) -> bool:
        """Records the simple packet block at `at`: interface 0, no time of its own. False if it lies."""
        big = self.big_endian
        frame = at + 12
        if self.need < 16:
            return self._bad(_SHORT_SIMPLE, self.need, 0)
        if self.declared == 0:
            return self._without_interface(at)
        original = _join(self.data[at + 8], self.data[at + 9], self.data[at + 10], self.data[at + 11], big)
        captured = self.need - 16
        snaplen = self.table[_SNAPLEN]
        if captured > original:
            captured = original
        if captured > snaplen > 0:
            captured = snaplen
        limit = self.table[_LIMIT]
        if captured > limit:
            return self._bad(_PACKET_LIMIT, captured, limit)
        self._record(0, frame, captured, original, 0)
        self.records[self.count * _WORDS - 2] |= _NO_TIME
        return True

    def _without_interface(self, at: int) -> bool:
        """Counts the packet at `at`, which cannot be read for lack of a declaration. That is no lie of its block."""
        if self.undeclared == 0:
            self.undeclared_at = at
        self.undeclared += 1
        return True

    def _record(self, row: int, frame: int, captured: int, original: int, flags: int) -> int:
        """Writes one record, at `last_time`, of the interface in `row`; returns the new count."""
        fcs = self.table[row + _FCS]
        if flags & 0x1E0:  # the packet's own word on its frame check sequence overrides the interface's
            fcs = flags >> 5 & 15
        if original < captured:
            original = captured
        if fcs > 0:
            original = original - fcs if original > fcs else 0
            captured = original if captured > original else captured
        direction = flags & 3
        if direction == 3:
            direction = 0
        word = self.count * _WORDS
        self.records[word] = self.last_time
        self.records[word + 1] = frame
        self.records[word + 2] = captured << 32 | original
        self.records[word + 3] = self.table[row + _LINK] | direction << 32
        self.records[word + 4] = 0
        self.count += 1
        return self.count

    def _flags(self, at: int, end: int) -> int:
        """The flags word among the options in at..end, 0 if there is none. An option that overruns ends the search."""
        big = self.big_endian
        while end - at >= 8:
            code = _join(self.data[at], self.data[at + 1], 0, 0, False)
            size = _join(self.data[at + 2], self.data[at + 3], 0, 0, False)
            if big:
                code = code >> 8 | (code & 255) << 8
                size = size >> 8 | (size & 255) << 8
            if code == 0:
                break
            self.steps += 1
            if code == 2 and size == 4:
                return _join(self.data[at + 4], self.data[at + 5], self.data[at + 6], self.data[at + 7], big)
            at += 4 + ((size + 3) >> 2 << 2)
        return 0

    def _nanoseconds(self, row: int, stamp: int) -> int:
        """The time of `stamp` for any resolution and offset of the interface in `row`, clamped to 64 bits.

        Exact: whole seconds and their rest apart, for no 64 bits hold `stamp` times a thousand million.
        """
        units, shift = self.table[row + _UNITS], self.table[row + _SHIFT]
        seconds, rest = 0, stamp
        if units > 0:
            seconds = stamp // units
            rest = stamp - seconds * units
        if shift >= 32:
            high = (rest >> 32) * _SECOND + ((rest & _LOW_HALF) * _SECOND >> 32)
            rest = high >> (shift - 32) if shift < 96 else 0
        elif shift > 0:
            rest = rest * _SECOND >> shift
        elif self.table[row + _DIVISOR] == 1:
            rest = rest * self.table[row + _TIMES]
        else:
            rest = rest // self.table[row + _DIVISOR] if self.table[row + _DIVISOR] > 0 else 0
        if seconds < self.table[row + _BACK]:
            return 0
        seconds -= self.table[row + _BACK]
        ahead = self.table[row + _AHEAD]
        if seconds > _LAST_SECOND or ahead > _LAST_SECOND or seconds + ahead > _LAST_SECOND:
            return _LAST_TIME
        seconds = (seconds + ahead) * _SECOND
        return seconds + rest if rest <= _LAST_TIME - seconds else _LAST_TIME

    def _bad(self, wrong: int, claimed: int, allowed: int) -> bool:
        self.wrong, self.claimed, self.allowed = wrong, claimed, allowed
        self.stop = _BAD
        return False
