"""One capture, counted by us and by tshark: where the two agree, and why not where they do not.

Knows both sides' packets, in step, and their sums. Must not know how either side finds a flow. scripts/compare shows
what is found here to people; the tests of the sample captures ask for the same.

    result = compare(Path("day.pcapng"), "tshark")
    result.differences, result.causes, result.packets, result.tuples

Compared: which packets there are (number and bytes), to which flow each belongs, and for each distinct tuple the
packets and bytes of our decision records with those of tshark. A packet that only one side puts into a flow is a
difference, unless causes.py proves from this packet why it is in none of ours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from agent.capture.blocks import PCAP_MAGICS, PCAPNG_MAGIC
from agent.capture.streams import CountedFile, open_stream
from agent.model.errors import CaptureError
from tests.captures.causes import Causes
from tests.captures.replayed import Mark, Replay, ReplayError
from tests.captures.tshark import Dissection, Row, TsharkError
from tests.captures.tuples import Tuple, record_tuple

PIECE = 1 << 16
_GZIP = b"\x1f\x8b"
STEP = 4096
"""Packets between two reports of progress."""

Watcher = Callable[[int, int], None]
"""Called with packets and their captured bytes since the last call."""


class Pair(NamedTuple):
    """The same quantity as each side has it."""

    ours: int
    tshark: int

    def as_dict(self) -> dict[str, int]:
        return {"ours": self.ours, "tshark": self.tshark}


_NONE = Pair(0, 0)


@dataclass(slots=True, kw_only=True)
class Finding:
    """Packets on which the two sides differ in one way. Of a cause `name` is its name, else what is different."""

    name: str
    ours: str = ""
    """What we make of these packets."""
    tshark: str = ""
    """What tshark makes of them."""
    witness: str = ""
    """What either side makes of the first, more exactly."""
    packets: int = 0
    frame: int = 0
    """Number of the first, as Wireshark shows it; 0 for what is not about single packets."""
    flows: set[Tuple] = field(default_factory=set)

    def as_dict(self) -> dict[str, Any]:
        numbers = {"packets": self.packets, "tuples": len(self.flows), "first_frame": self.frame or None}
        words = {"name": self.name, "ours": self.ours, "tshark": self.tshark, "witness": self.witness}
        return {**words, **numbers}


@dataclass(slots=True, kw_only=True)
class Result:
    """What became of one capture."""

    path: str
    packets: Pair = _NONE
    bytes: Pair = _NONE
    """As on the wire."""
    tuples: Pair = _NONE
    """Distinct ones."""
    same_tuples: int = 0
    """Tuples of which both sides have the same packets and bytes."""
    causes: list[Finding] = field(default_factory=list)
    differences: list[Finding] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """What either side says of the file itself."""

    @property
    def equal(self) -> bool:
        """But for proven causes."""
        return not self.differences

    def as_dict(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "equal": self.equal,
            "packets": self.packets.as_dict(),
            "bytes": self.bytes.as_dict(),
            "tuples": {**self.tuples.as_dict(), "same": self.same_tuples},
            "causes": [finding.as_dict() for finding in self.causes],
            "differences": [finding.as_dict() for finding in self.differences],
            "complaints": self.complaints,
        }


def is_capture(path: Path) -> bool:
    """True for pcap and pcapng, also compressed, by their first bytes. Raises CaptureError if it cannot be read."""
    file = CountedFile(str(path))
    try:
        head = bytearray(4)
        length = open_stream(file).readinto(memoryview(head))
    except OSError as error:
        raise CaptureError(str(path), 0, f"cannot read: {error.strerror or error}") from None
    finally:
        file.close()
    return bytes(head[:length]) == PCAPNG_MAGIC or bytes(head[:length]) in PCAP_MAGICS


def compare(path: Path, tshark: str, watch: Watcher | None = None) -> Result:
    """Both sides' view of one capture. A side that fails is a difference. Raises OSError if tshark cannot be run."""
    try:
        return _compare(path, tshark, watch)
    except (ReplayError, TsharkError) as error:
        side = "ours" if isinstance(error, ReplayError) else "tshark"
        failed = Finding(name="failure", witness=str(error), **{side: "fails"})
        return Result(path=str(path), differences=[failed])


def _compare(path: Path, tshark: str, watch: Watcher | None) -> Result:
    with path.open("rb") as file:
        head = file.read(4)
    # tshark reads plain files and gzip on its own; other compression it may not know.
    by_itself = head in PCAP_MAGICS or head == PCAPNG_MAGIC or head.startswith(_GZIP)
    first = _Comparison(path, Dissection(tshark, path, feed=None if by_itself else feeder(path)), watch)
    result = first.run()
    if first.dissection.complaint and first.broken_at is not None and first.rows > result.packets.ours:
        # Behind the damage tshark guesses at other layouts. It gets what lies before the byte that our error names.
        again = _Comparison(path, Dissection(tshark, path, feed=feeder(path, first.broken_at)), None)
        complaints = result.complaints
        rows, result = first.rows, again.run()
        result.complaints = complaints
        if rows > again.rows:
            invented = Finding(name="damaged_file", ours="no packet", tshark="a packet", packets=rows - again.rows)
            result.causes.append(invented)
    return result


def feeder(path: Path, end: int | None = None) -> Callable[[IO[bytes]], None]:
    """What writes the uncompressed capture, up to byte `end`, into a pipe."""

    def feed(pipe: IO[bytes]) -> None:
        file = CountedFile(str(path))
        try:
            stream, left = open_stream(file), end
            piece = memoryview(bytearray(PIECE))
            while left is None or left > 0:
                size = stream.readinto(piece if left is None else piece[: min(left, PIECE)])
                if size == 0:
                    return
                pipe.write(piece[:size])
                left = None if left is None else left - size
        finally:
            file.close()

    return feed


_Key = tuple[int | str, Tuple | None]
"""A flow's number, or the reason of packets without one; and tshark's tuple."""


class _Tally:
    """Packets of one key."""

    __slots__ = ("bytes", "frame", "packets", "stack")

    def __init__(self, frame: int, stack: str) -> None:
        self.packets = 0
        self.bytes = 0
        self.frame = frame
        self.stack = stack


class _Comparison:
    """One pass over a capture: both sides in step, then the records."""

    def __init__(self, path: Path, dissection: Dissection, watch: Watcher | None) -> None:
        self.path = path
        self.dissection = dissection
        self.watch = watch
        self.rows = 0
        """Packets that tshark has."""
        self.broken_at: int | None = None
        self.result = Result(path=str(path))
        self._causes = Causes()
        self._tallies: dict[_Key, _Tally] = {}
        self._proven: dict[str, Finding] = {}
        self._different: dict[tuple[str, str, str], Finding] = {}
        self._surplus: Counter[int | str] = Counter()
        """Packets that only we have, by flow or reason."""
        self._excused: dict[Tuple, list[int]] = defaultdict(lambda: [0, 0])
        """Packets and bytes with a proven cause, by tshark's tuple."""
        self._octets = 0
        """Bytes of tshark's packets."""
        self._odd_bytes = 0
        """Bytes that tshark has more than we for a proven cause."""

    def run(self) -> Result:
        result = self.result
        with Replay(self.path) as replay:
            self._in_step(self.dissection, replay)
            self.broken_at = replay.broken_at
            if replay.refused or (self.dissection.complaint and not self.rows and not replay.summary):
                self._refused(replay.refused)
                return result
            self._file(replay)
            self._sums(replay.records())
        result.causes = list(self._proven.values())
        result.differences = list(self._different.values())
        return result

    def _cause(self, name: str, ours: str, tshark: str, row: Row | None = None) -> Finding:
        """The finding of a proven cause; what either side says is that of its first packet."""
        finding = self._proven.get(name)
        if finding is None:
            frame = row.number if row is not None else 0
            witness = str(row.flow) if row is not None and row.flow is not None else ""
            finding = Finding(name=name, ours=ours, tshark=tshark, witness=witness, frame=frame)
            self._proven[name] = finding
        return finding

    def _difference(self, name: str, ours: str, tshark: str, witness: str = "", frame: int = 0) -> Finding:
        """The finding of a difference of this kind."""
        finding = self._different.get((name, ours, tshark))
        if finding is None:
            finding = Finding(name=name, ours=ours, tshark=tshark, witness=witness, frame=frame)
            self._different[name, ours, tshark] = finding
        return finding

    # Packet by packet -------------------------------------------------------------------------------------------

    def _in_step(self, rows: Iterable[Row], marks: Iterable[tuple[bytes, int, Mark]]) -> None:
        ours, seen, size = iter(marks), 0, 0
        for row in rows:
            if not row.view.packet:
                self._cause("no_packet", "not a packet", "a packet without encapsulation", row).packets += 1
                continue
            self.rows += 1
            self._octets += row.original
            seen, size = seen + 1, size + row.captured
            if seen == STEP and self.watch is not None:
                self.watch(seen, size)
                seen, size = 0, 0
            mine = next(ours, None)
            if mine is None:
                finding = self._difference("packet", "no packet", "a packet", str(row.flow or ""), row.number)
                finding.packets += 1
            else:
                self._packet(row, *mine)
        if self.watch is not None:
            self.watch(seen, size)
        for _, _, mark in ours:
            self._surplus[mark.reason if mark.flow is None else mark.flow] += 1

    def _packet(self, row: Row, frame: bytes, original: int, mark: Mark) -> None:
        octets = row.original
        if (len(frame) != row.captured or original != octets) and self._proven_length(row, frame, original):
            octets = original
        refused = self._causes.note(row, frame) if row.datagram is not None else False
        if mark.flow is None and row.flow is not None:
            cause = self._causes.proven(mark.reason, row, frame, refused)
            if cause is not None:
                finding = self._cause(cause, mark.reason, row.view.stack, row)
                finding.packets += 1
                finding.flows.add(row.flow)
                excused = self._excused[row.flow]
                excused[0] += 1
                excused[1] += octets
                return
        key = (mark.reason if mark.flow is None else mark.flow, row.flow)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally(row.number, row.view.stack)
        tally.packets += 1
        tally.bytes += octets

    def _proven_length(self, row: Row, frame: bytes, original: int) -> bool:
        """False if the two sides have another number of bytes of a packet and nothing proves why."""
        missing = row.original - original
        if row.check_bytes and missing == row.check_bytes and row.captured - len(frame) <= missing:
            cause = "declared_fcs"
        elif row.original < row.captured == original == len(frame):
            cause = "longer_than_wire"
        else:
            witness = f"{len(frame)} of {original} bytes here, {row.captured} of {row.original} there"
            self._difference("length", "a length", "another length", witness, row.number).packets += 1
            return False
        self._odd_bytes += missing
        self._cause(cause, f"{original} bytes", f"{row.original} bytes", row).packets += 1
        return True

    # The file as a whole ----------------------------------------------------------------------------------------

    def _refused(self, refused: str) -> None:
        """A file that one side or both do not read at all."""
        result, complaint = self.result, self.dissection.complaint
        result.packets = Pair(0, self.rows)
        result.complaints = [f"we: {refused}"] if refused else []
        if complaint:
            result.complaints.append(f"tshark: {complaint}")
        if not (refused and complaint and self.rows == 0):
            ours = "no capture" if refused else "a capture"
            tshark = "a capture" if self.rows or not complaint else "no capture"
            witness = refused or complaint
            result.differences = [Finding(name="file", ours=ours, tshark=tshark, witness=witness, packets=self.rows)]

    def _file(self, replay: Replay) -> None:
        """Totals, and what is said of the file."""
        result, summary, complaint = self.result, replay.summary, self.dissection.complaint
        result.complaints = [f"we: {error}" for error in replay.errors]
        if summary["captures"][0]["truncated_tail"]:
            result.complaints.append("we: the file ends early")
        if complaint:
            result.complaints.append(f"tshark: {complaint}")
        result.packets = Pair(summary["packets"]["total"], self.rows)
        result.bytes = Pair(summary["bytes"]["total"], self._octets)
        surplus = self._surplus.total()
        if surplus and complaint and not self.dissection.cut_short and replay.errors:
            self._cause("damaged_file", "a packet", "no packet").packets += surplus
        elif surplus and self.dissection.unable:
            self._cause("unread_by_tshark", "a packet", "no packet").packets += surplus
        elif surplus:
            self._difference("packet", "a packet", "no packet").packets += surplus
        elif self.rows == result.packets.ours and self._octets - self._odd_bytes != result.bytes.ours:
            self._difference("total", "bytes", "other bytes", f"{result.bytes.ours:,} here, {self._octets:,} there")
        marked = sum(tally.packets for tally in self._tallies.values())
        marked += surplus + sum(packets for packets, _ in self._excused.values())
        if marked != result.packets.ours:
            witness = f"{result.packets.ours:,} in the summary, {marked:,} in --denied"
            self._difference("records", "sums", "", witness).packets += abs(marked - result.packets.ours)

    # Sums -------------------------------------------------------------------------------------------------------

    def _sums(self, records: Iterable[dict[str, Any]]) -> None:
        """Our records against tshark's packets: flow by flow, then as sums of each distinct tuple."""
        ours: dict[Tuple, list[int]] = defaultdict(lambda: [0, 0])
        theirs: dict[Tuple, list[int]] = defaultdict(lambda: [0, 0])
        of_flow: dict[int, list[tuple[Tuple | None, _Tally]]] = defaultdict(list)
        for (place, theirs_is), tally in self._tallies.items():
            if theirs_is is not None:
                _add(theirs[theirs_is], tally.packets, tally.bytes)
            if isinstance(place, int):
                of_flow[place].append((theirs_is, tally))
            elif theirs_is is not None:
                self._mismatch(tally, f"no flow: {place}", theirs_is, None)
        recorded = Counter[int]()
        for record in records:
            flow, ours_is = record["flow_id"], record_tuple(record)
            packets = sum(record["packets"].values())
            _add(ours[ours_is], packets, sum(record["bytes"].values()))
            recorded[flow] += packets
            for theirs_is, tally in of_flow.get(flow, ()):
                if theirs_is != ours_is:
                    self._mismatch(tally, "a flow", theirs_is, ours_is)
        self._records_are_whole(recorded, of_flow)
        same = 0
        for ours_is, sums in ours.items():
            other = theirs.get(ours_is, [0, 0])
            same += sums == other
            if sums[0] == other[0] and sums[1] != other[1]:
                witness = f"{ours_is}: {sums[1]:,} here, {other[1]:,} there"
                self._difference("bytes", "bytes of a flow", "other bytes", witness).packets += sums[0]
        self.result.tuples = Pair(len(ours), len(theirs.keys() | self._excused.keys()))
        self.result.same_tuples = same

    def _mismatch(self, tally: _Tally, ours: str, theirs_is: Tuple | None, ours_is: Tuple | None) -> None:
        """Packets in a flow of ours and none or another of tshark's, or the reverse."""
        stack = tally.stack or "no layers"
        if theirs_is is None:
            tshark = f"no flow: {stack}"
        else:
            tshark = f"another flow: {stack}" if ours_is is not None else f"a flow: {stack}"
        witness = " here, ".join(str(one) for one in (ours_is, theirs_is) if one is not None)
        if ours_is is not None:
            witness += " there" if theirs_is is not None else " here"
        finding = self._difference("flow", ours, tshark, witness, tally.frame)
        finding.packets += tally.packets
        finding.flows.update(one for one in (ours_is, theirs_is) if one is not None)

    def _records_are_whole(self, recorded: Counter[int], of_flow: dict[int, list[tuple[Tuple | None, _Tally]]]) -> None:
        """Each packet that says its flow is counted in that flow's record, and no other is."""
        marked = Counter({flow: sum(tally.packets for _, tally in found) for flow, found in of_flow.items()})
        marked.update({flow: packets for flow, packets in self._surplus.items() if isinstance(flow, int)})
        for flow in recorded.keys() | marked.keys():
            if recorded[flow] != marked[flow]:
                witness = f"flow {flow}: {recorded[flow]:,} packets in its records, {marked[flow]:,} in --denied"
                self._difference("records", "sums", "", witness).packets += abs(recorded[flow] - marked[flow])


def _add(sums: list[int], packets: int, octets: int) -> None:
    sums[0] += packets
    sums[1] += octets
