r"""Socket records (JSON Lines, our own format) as a source of owners.

Knows the records' fields and what their values mean for a subject. Must not know rules or packets. Compiled where a C
compiler exists (types in sockets.pxd), else interpreted, same answers.

    source = load_socket_records("sockets.jsonl", drives={r"\Device\HarddiskVolume3": "C:"})
    source.find(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, 2)

An unknown key is ignored, a wrong value of a known one makes its line a broken one. What the host recorded as an
image is never wrong: a program may run from any path, and one that is not a path meets no process condition.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson

from agent.attribution.broken import BrokenLines
from agent.attribution.evidence import Context, Rank
from agent.attribution.subjects import PACKAGES_ROOT, SubjectMaker, packages_folder
from agent.attribution.textfile import TextFile
from agent.attribution.timeline import Timeline
from agent.model.address import Address, is_unicast, parse_endpoint
from agent.model.device import Family
from agent.model.moment import SECOND, parse_time
from agent.model.protocols import parse_protocol
from agent.model.settings import BY_NAME
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Confidence

NAME = "sockets"
MANDATORY = ("start", "protocol", "local")
LISTENING = frozenset({"LISTEN", "LISTENING"})

DEFAULT_SLACK_NS = int(BY_NAME["attribution.slack"].default) * SECOND

_RANKS = {one.name.lower(): one for one in Rank}
_CONFIDENCES = {one.label: one for one in Confidence}
_CACHED = 4096
"""Entries after which the cache of parsed times is emptied."""

# Characters by their numbers: compiled code compares nothing else.
ZERO, NINE, DOT, COLON, OPENING, CLOSING, ZULU = 0x30, 0x39, 0x2E, 0x3A, 0x5B, 0x5D, 0x5A
LETTER_A, LETTER_F, LOWER = 0x61, 0x66, 0x20
MIN_ENDPOINT = len("[::1]:1")
WORD = (1 << 64) - 1
MAPPED = 0xFFFF  # before the 32 bits of an IPv4 address in an IPv6 one
_LOW_HALF = (1 << 64) - 1  # as WORD, but kept a Python integer: it cuts 128-bit ones


def recognises(file: TextFile) -> bool:
    """Two of the three mandatory keys: a record that lacks one gets the loader's message, which is more exact."""
    try:
        row = orjson.loads(file.first_line())
    except ValueError:
        return False
    return isinstance(row, dict) and sum(key in row for key in MANDATORY) >= 2


def load(file: TextFile, context: Context) -> list[SocketRecords]:
    """As the formats' registry wants it."""
    device = context.device
    return [
        load_socket_records(
            file,
            family=device.family,
            drives=device.drives,
            packages_root=packages_folder(device),
            slack_ns=context.slack_ns,
            lenient=context.lenient,
        )
    ]


class SocketRecords:
    """A loaded file of socket records. Complete, unless a record says otherwise: what is not in it did not exist."""

    name = NAME
    misses: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self,
        timeline: Timeline,
        *,
        path: str = "",
        complete: bool = True,
        rank: Rank = Rank.RECORDS,
        facts: frozenset[str] = frozenset(),
        addresses: tuple[Address, ...] = (),
        warnings: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """`timeline`: frozen; `addresses`: local ends of the records; `warnings`: (code, text)."""
        self.path = path
        self.complete = complete
        self.rank = rank
        self.facts = facts
        self.warnings = warnings
        self.timeline = timeline
        self.find = timeline.find
        self._addresses = addresses

    def __len__(self) -> int:
        return len(self.timeline)

    def local_addresses(self) -> tuple[Address, ...]:
        return self._addresses


def load_socket_records(
    source: str | TextFile,
    *,
    family: Family = Family.WINDOWS,
    drives: Mapping[str, str] | None = None,
    packages_root: str = PACKAGES_ROOT,
    slack_ns: int = DEFAULT_SLACK_NS,
    lenient: bool = False,
) -> SocketRecords:
    """Read a file of socket records.

    `family`, `drives`, `packages_root`: of the device, see SubjectMaker; `slack_ns`: see Timeline. Broken lines are
    left out with a warning; if they are more than a tenth and not `lenient`, AttributionError names the first and what
    is allowed. A last line without newline that breaks off inside is left out with a warning of its own: its writer was
    interrupted.
    """
    if isinstance(source, str):
        with TextFile(source) as file:
            return load_socket_records(
                file, family=family, drives=drives, packages_root=packages_root, slack_ns=slack_ns, lenient=lenient
            )
    maker = SubjectMaker(NAME, family=family, drives=drives or {}, packages_root=packages_root)
    timeline = Timeline(slack_ns)
    parser = RecordParser(maker, timeline)
    broken = BrokenLines(source.path, lenient=lenient)
    torn = False
    loads = orjson.loads
    for number, line, whole in source.lines(broken.note):
        try:
            row = loads(line)
        except ValueError as error:
            if not whole and line.lstrip().startswith(b"{"):
                torn = True
            else:
                broken.note(number, f"is not JSON ({error})")
            continue
        try:
            parser.add(row)
        except ValueError as error:
            broken.note(number, str(error))
    broken.judge(len(timeline) + broken.count)
    timeline.freeze()
    warnings = [*maker.warnings(source.path), *broken.warnings()]
    if torn or source.truncated:
        text = f"{source.path}: the file ends inside a record; the {len(timeline)} before it are used"
        warnings.append(("attribution_truncated", text))
    return SocketRecords(
        timeline, path=source.path, complete=parser.complete, rank=parser.rank, facts=maker.facts,
        addresses=tuple(parser.addresses), warnings=tuple(warnings),
    )  # fmt: skip


class End:
    """The local or the remote end of the record at hand. Mutable: one object is read into again and again."""

    def __init__(self) -> None:
        self.version = 0
        self.anywhere = False
        """No address is named: any of `version`."""
        self.high = 0
        """The upper 64 bits of the address; IPv4: 0."""
        self.low = 0
        self.port = 0
        self.groups = array("H", bytes(2 * 8))

    def read(self, key: str, value: Any) -> None:
        """Takes ADDRESS:PORT; `key` is whose value it is, for messages."""
        if type(value) is not str:
            raise ValueError(f"{key} must be a text such as 10.0.0.5:443, not {_kind(value)}")
        text: str = value
        self.anywhere = False
        if len(text) >= MIN_ENDPOINT and (self._ipv6(text) if ord(text[0]) == OPENING else self._ipv4(text)):
            return
        try:
            address, port, version = parse_endpoint(text)  # everything rarer, and every error
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
        self.anywhere = address is None
        self.version, value = (version, 0) if address is None else address
        self.high, self.low, self.port = value >> 64, value & _LOW_HALF, port

    def _ipv4(self, text: str) -> bool:
        """True if it was 1.2.3.4:5, not 0.0.0.0; a spelling that anyone could doubt is left to `parse_endpoint`."""
        value = part = digits = dots = 0
        for index in range(len(text)):
            code = ord(text[index])
            if ZERO <= code <= NINE:
                if digits != 0 and part == 0:
                    return False
                part = part * 10 + code - ZERO
                digits += 1
                if part > 255:
                    return False
            elif digits == 0:
                return False
            elif code == DOT and dots < 3:
                value, part, digits, dots = value << 8 | part, 0, 0, dots + 1
            elif code == COLON and dots == 3:
                self.version, self.high, self.low = 4, 0, value << 8 | part
                return self.low != 0 and self._port(text, index + 1)
            else:
                return False
        return False

    def _ipv6(self, text: str) -> bool:
        """As `_ipv4`, for [2001:db8::5]:443; not [::] or an IPv4-mapped address."""
        size = len(text)
        count = group = digits = 0
        gap = -1
        index = 1
        while index < size:
            code = ord(text[index])
            if digits < 4 and ZERO <= code <= NINE:
                group, digits = group << 4 | code - ZERO, digits + 1
            elif digits < 4 and LETTER_A <= code | LOWER <= LETTER_F:
                group, digits = group << 4 | (code | LOWER) - LETTER_A + 10, digits + 1
            elif code in (COLON, CLOSING):
                if digits != 0:
                    if count == 8:
                        return False
                    self.groups[count] = group
                    count, group = count + 1, 0
                if code == CLOSING:
                    break
                if index + 1 < size and ord(text[index + 1]) == COLON and gap < 0 and (digits != 0 or index == 1):
                    gap = count
                    index += 1
                elif digits == 0:
                    return False
                digits = 0
            else:
                return False
            index += 1
        if index + 1 >= size or ord(text[index + 1]) != COLON or (digits == 0 and gap != count):
            return False
        if count != 8 if gap < 0 else count == 8:
            return False
        high = low = 0
        for place in range(8):
            high = (high << 16 | low >> 48) & WORD
            low = (low << 16) & WORD
            if gap < 0 or place < gap:
                low |= self.groups[place]
            elif place >= gap + 8 - count:
                low |= self.groups[place + count - 8]
        self.version, self.high, self.low = 6, high, low
        return (high != 0 or (low != 0 and low >> 32 != MAPPED)) and self._port(text, index + 2)

    def _port(self, text: str, begin: int) -> bool:
        """True if from `begin` on there is a port in decimal digits."""
        size = len(text)
        if not begin < size <= begin + 5:
            return False
        port = 0
        for index in range(begin, size):
            code = ord(text[index])
            if not ZERO <= code <= NINE:
                return False
            port = port * 10 + code - ZERO
        self.port = port
        return port <= 65535


class RecordParser:
    """Puts decoded lines into a timeline. Holds caches only, and `addresses`: local ends in order of appearance."""

    def __init__(self, maker: SubjectMaker, timeline: Timeline) -> None:
        self.maker = maker
        self.timeline = timeline
        self.addresses: dict[Address, None] = {}
        self._local = End()
        self._remote = End()
        self._last4 = End()
        self._last6 = End()
        self._seconds: dict[str, int] = {}
        self._processes: dict[str, int] = {}
        self._protocols: dict[Any, int] = {}
        self._doubtful: dict[tuple[Subject, str], Subject] = {}
        self.rank = Rank.RECORDS
        self.complete = True
        """No record says that there were sockets that nobody saw."""

    def add(self, value: Any) -> None:
        """Adds the record that one line holds. Raises ValueError saying which key is wrong and what is allowed."""
        if type(value) is not dict:
            raise ValueError(f"a socket record is a JSON object, not {_kind(value)}")
        row: dict[str, Any] = value
        start_text, protocol_value, local_text = row.get("start"), row.get("protocol"), row.get("local")
        if start_text is None or protocol_value is None or local_text is None:
            missing = [key for key in MANDATORY if row.get(key) is None]
            raise ValueError(f"{missing[0]} is missing; a socket record needs {', '.join(MANDATORY)}")
        start = self._time("start", start_text)
        end_text = row.get("end")
        end = None if end_text is None else self._time("end", end_text)
        if end is not None and end < start:
            raise ValueError(f"end {end_text!r} lies before start {start_text!r}")
        local, remote = self._local, self._remote
        local.read("local", local_text)
        remote_text = row.get("remote")
        connected = self._connected(remote_text, local_text)
        state = row.get("state")
        listening = False if state is None else self._listening(state, connected, remote_text)
        initiated = row.get("initiated")
        if initiated is not None and type(initiated) is not bool:
            raise ValueError(f"initiated must be true, false or null, not {_kind(initiated)}")
        protocol = self._protocol(protocol_value)
        created_text = row.get("process_created")
        subject = self.maker.subject(
            row.get("image"), row.get("services"), row.get("package_family_name", ...), row.get("pid"),
            row.get("user"), None if created_text is None else self._created(created_text), row.get("container"),
        )  # fmt: skip
        confidence = row.get("confidence")
        if confidence is not None:
            subject = self._less_sure(subject, confidence)
        elif subject.pid is None and subject.image is None and subject.services is None:
            subject = UNATTRIBUTED  # whoever had the ports before has them no longer
        complete = row.get("complete")
        if complete is not None:
            if type(complete) is not bool:
                raise ValueError(f"complete must be true, false or null, not {_kind(complete)}")
            self.complete = self.complete and complete
        if "rank" in row or "own_address" in row:
            self._provenance(row)
        if not local.anywhere and row.get("own_address") is not False:
            self._note(local)  # nothing below can find the line broken
        if connected:
            self.timeline.take(
                start, end, protocol, remote.version, local.anywhere, local.high, local.low, local.port,
                True, remote.high, remote.low, remote.port, subject, initiated, listening,
            )  # fmt: skip
        else:
            self.timeline.take(
                start, end, protocol, local.version, local.anywhere, local.high, local.low, local.port,
                False, 0, 0, 0, subject, None, listening,
            )  # fmt: skip

    def _provenance(self, row: dict[str, Any]) -> None:
        """Of records that were made from other sources: the file is believed as much as the least of them."""
        own, rank = row.get("own_address"), row.get("rank")
        if own is not None and type(own) is not bool:
            raise ValueError(f"own_address must be true, false or null, not {_kind(own)}")
        if rank is not None:
            if type(rank) is not str or rank not in _RANKS:
                raise ValueError(f"rank must be {', '.join(_RANKS)} or null, not {_kind(rank)}")
            self.rank = max(self.rank, _RANKS[rank])

    def _less_sure(self, subject: Subject, value: Any) -> Subject:
        """The subject as its recorder was sure of it."""
        if type(value) is not str or value not in _CONFIDENCES:
            raise ValueError(f"confidence must be {', '.join(_CONFIDENCES)} or null, not {_kind(value)}")
        known = self._doubtful.get((subject, value))
        if known is None:
            known = self._doubtful[subject, value] = replace(subject, confidence=_CONFIDENCES[value])
        return known

    def _time(self, key: str, value: Any) -> int:
        """RFC 3339; the whole seconds of UTC times are parsed once each."""
        if type(value) is not str:
            raise ValueError(f"{key} must be an RFC 3339 time, not {_kind(value)}")
        text: str = value
        size = len(text)
        if 20 <= size <= 30 and ord(text[size - 1]) == ZULU:
            second = self._seconds.get(text[:19])
            if second is not None:
                if size == 20:
                    return second
                nanoseconds = _fraction(text)
                if nanoseconds >= 0:
                    return second + nanoseconds
        try:
            ns = parse_time(text)
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
        if text.endswith("Z"):
            if len(self._seconds) >= _CACHED:
                self._seconds.clear()
            self._seconds[text[:19]] = ns // SECOND * SECOND
        return ns

    def _created(self, value: Any) -> int:
        """`process_created`: a host has few processes beside its sockets, so whole texts are parsed once each."""
        known = self._processes.get(value) if type(value) is str else None
        if known is None:
            known = self._time("process_created", value)
            if len(self._processes) >= _CACHED:
                self._processes.clear()
            self._processes[value] = known
        return known

    def _connected(self, text: Any, local_text: str) -> bool:
        """False for null and for 0.0.0.0:0, which is how some tools write it."""
        if text is None:
            return False
        local, remote = self._local, self._remote
        remote.read("remote", text)
        if remote.anywhere:
            if remote.port == 0:
                return False
            raise ValueError(f"remote {text!r} names no address; write null for a socket without a remote end")
        # A socket at [::] may also take IPv4.
        if local.version != remote.version and not (local.anywhere and local.version == 6):
            ends = f"local {str(parse_endpoint(local_text))!r} and remote {str(parse_endpoint(text))!r}"
            raise ValueError(f"{ends} are of different IP versions")
        return True

    def _listening(self, state: Any, connected: bool, remote_text: Any) -> bool:
        """Only LISTEN means anything here; other words are other tools' names for what `remote` says already."""
        if type(state) is not str:
            raise ValueError(f'state must be "LISTEN" or absent, not {_kind(state)}')
        if state.upper() not in LISTENING:
            return False
        if connected:
            remote = str(parse_endpoint(remote_text))
            raise ValueError(f"state {state} with remote {remote!r}: a listening socket has none; write null")
        return True

    def _note(self, local: End) -> None:
        """Keeps an address of this host; most records have that of the record before."""
        last = self._last4 if local.version == 4 else self._last6
        if local.low == last.low and local.high == last.high:
            return
        last.low, last.high = local.low, local.high
        wide = local.high  # a Python integer (sockets.pxd): 128 bits fit no C type
        address = Address(local.version, wide << 64 | local.low)
        if address not in self.addresses and is_unicast(address):
            self.addresses[address] = None

    def _protocol(self, value: Any) -> int:
        known = self._protocols.get(value) if type(value) is str or type(value) is int else None
        if known is None:
            if type(value) is not str and type(value) is not int:
                raise ValueError(f"protocol must be a name or number, not {_kind(value)}")
            try:
                known = parse_protocol(str(value))
            except ValueError as error:
                raise ValueError(f"protocol {error}") from None
            self._protocols[value] = known
        return known


def _fraction(text: str) -> int:
    """The nanoseconds of a time such as 2026-01-05T09:00:00.25Z; -1 if they are not spelt so."""
    if ord(text[19]) != DOT or len(text) == 21:
        return -1
    nanoseconds = 0
    for index in range(20, 29):
        nanoseconds *= 10
        if index < len(text) - 1:
            code = ord(text[index])
            if not ZERO <= code <= NINE:
                return -1
            nanoseconds += code - ZERO
    return nanoseconds


def _kind(value: Any) -> str:
    """What a JSON value is called in a message."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else f"the text {value!r}"
