"""What the packets of captures say of their sockets' owners, as socket records and as sources for the chain.

Knows tuples, facts and intervals. Must not know how captures are read, or which end of a packet is the host's own.

    records = CarriedRecords(device)
    records.seen(fact, now_ns, protocol, 4, 0, 0x0A000005, 50123, 0, 0xCB007109, 443)
    for source in records.sources(slack_ns): attribution.add(source)

Packets of one tuple and one fact that follow each other are one record, from the first to the last. Memory: 64 bytes a
record, MAX_RECORDS of them, and MAX_OPEN tuples that are being extended; one forgotten begins another record. A tuple
that goes to and fro between processes gets CHANGES records, then its old ones grow: they overlap, and are ambiguous.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from agent.attribution.carried.facts import ETL2PCAPNG, OPTION_8, PIB, PTCPDUMP, Fact
from agent.attribution.evidence import Claim, Rank
from agent.attribution.processes import hosted_services, seen_from_outside, subject_of
from agent.attribution.subjects import SubjectMaker, packages_folder
from agent.attribution.timeline import Timeline
from agent.attribution.values import SocketRecord
from agent.model.address import Address, Endpoint
from agent.model.device import Device
from agent.model.subject import Subject

MAX_RECORDS = 8 << 20
MAX_OPEN = 1 << 18
MAX_ADDRESSES = 4096
MAX_FACTS, MAX_TEXT = 1 << 18, 64 << 20
"""Different facts, and characters in them."""
CHANGES = 64
_WORDS = 8
_FACT, _START, _END, _TUPLE, _LOCAL, _REMOTE = 0, 1, 2, 3, 4, 6
_INITIATED = (None, False, True)

_Tuple = tuple[int, int, int, int, int]


class CarriedSource:
    """One carrier's records as a source of owners."""

    def __init__(
        self, name: str, rank: Rank, timeline: Timeline, *, complete: bool, facts: frozenset[str],
        addresses: tuple[Address, ...], warnings: tuple[tuple[str, str], ...], misses: Mapping[str, int],
    ) -> None:  # fmt: skip
        """`timeline`: frozen; the rest: see chain.Source."""
        self.name = name
        self.rank = rank
        self.complete = complete
        self.facts = facts
        self.warnings = warnings
        self.misses = misses
        self.timeline = timeline
        self.find = timeline.find
        self._addresses = addresses

    def __len__(self) -> int:
        return len(self.timeline)

    def local_addresses(self) -> tuple[Address, ...]:
        return self._addresses


class CarriedRecords:
    """Takes what packets say, in file order. Mutable."""

    def __init__(self, device: Device) -> None:
        """`device`: where the captures were made (path form, drive map)."""
        self.information_blocks = False
        """A Process Information Block was met: who is not named had no socket."""
        self.warnings: list[tuple[str, str]] = []
        self.misses: Counter[str] = Counter()
        """Why packets that say something have no owner, with their count."""
        self._device = device
        self._facts: list[Fact] = []
        self._text = 0
        self._numbers: dict[tuple[str, Claim], int] = {}
        self._words = array("Q")
        self._open: dict[_Tuple, int] = {}
        self._changes: Counter[_Tuple] = Counter()
        self._restless: dict[tuple[_Tuple, int], int] = {}
        self._addresses: dict[tuple[int, int, int], None] = {}

    def __len__(self) -> int:
        return len(self._words) // _WORDS

    def seen(
        self, fact: Fact, time_ns: int, protocol: int, version: int,
        local_high: int, local_low: int, local_port: int, remote_high: int, remote_low: int, remote_port: int,
        opened: int = 0,
    ) -> None:  # fmt: skip
        """A packet. Addresses in two words (IPv4: the high one 0); `opened`: 0 unknown, 1 by the peer, 2 by us."""
        if fact.number < 0 and not self._count(fact):
            return
        ends = protocol | version << 8 | local_port << 16 | remote_port << 32
        key = (ends, local_high, local_low, remote_high, remote_low)
        row = self._open.get(key, -1)
        # etl2pcapng's pid is that of the owner where a process sends, not where the system answers or tries again:
        # measured beside a host's log: right in the first outbound packet of 116 of 117 flows, in 62 % of all of them.
        if row < 0 or (self._words[row] != fact.number and fact.source != ETL2PCAPNG):
            row = self._begin(key, fact.number, time_ns, row >= 0)
            if row < 0:
                return
        words = self._words
        if time_ns > words[row + _END]:
            words[row + _END] = time_ns
        elif time_ns < words[row + _START]:
            words[row + _START] = time_ns
        if opened:
            words[row + _TUPLE] = ends | opened << 48

    def note_local(self, version: int, high: int, low: int) -> None:
        """An address that is the host's own for certain, unless it is one of every host's."""
        if (version, high, low) not in self._addresses and len(self._addresses) < MAX_ADDRESSES:
            own = low != 0 and low >> 24 != 127 and low >> 28 < 14 if version == 4 else high != 0 and high >> 56 != 0xFF
            if own:
                self._addresses[version, high, low] = None

    def records(self) -> Iterator[SocketRecord]:
        """In the order of the first packets of each, once all captures have been read."""
        subjects = self._subjects(self._makers())
        words = self._words
        for row in range(0, len(words), _WORDS):
            ends = words[row + _TUPLE]
            version = ends >> 8 & 0xFF
            yield SocketRecord(
                start=words[row + _START],
                end=words[row + _END],
                protocol=ends & 0xFF,
                local=_endpoint(version, words[row + _LOCAL], words[row + _LOCAL + 1], ends >> 16 & 0xFFFF),
                remote=_endpoint(version, words[row + _REMOTE], words[row + _REMOTE + 1], ends >> 32 & 0xFFFF),
                subject=subjects[words[row + _FACT]],
                initiated=_INITIATED[ends >> 48],
            )

    def sources(self, slack_ns: int) -> list[CarriedSource]:
        """One for each carrier and rank, those that name processes first, once all captures have been read."""
        makers = self._makers()
        subjects = self._subjects(makers)
        timelines = {key: Timeline(slack_ns) for key in makers}
        targets = [timelines[fact.source, fact.rank] for fact in self._facts]
        words = self._words
        for row in range(0, len(words), _WORDS):
            number, ends = words[row + _FACT], words[row + _TUPLE]
            targets[number].take(
                words[row + _START], words[row + _END], ends & 0xFF, ends >> 8 & 0xFF,
                False, words[row + _LOCAL], words[row + _LOCAL + 1], ends >> 16 & 0xFFFF,
                True, words[row + _REMOTE], words[row + _REMOTE + 1], ends >> 32 & 0xFFFF,
                subjects[number], _INITIATED[ends >> 48], False,
            )  # fmt: skip
        return [self._source(*key, timelines[key], makers[key]) for key in sorted(makers, key=lambda key: key[1])]

    def _source(self, name: str, rank: Rank, timeline: Timeline, maker: SubjectMaker) -> CarriedSource:
        timeline.freeze()
        warnings = [*maker.warnings(f"the {name} facts of the capture"), *self.warnings]
        self.warnings = []  # they are told once
        addresses = tuple(Address(version, high << 64 | low) for version, high, low in self._addresses)
        complete = self.information_blocks and name in (PIB, OPTION_8)
        return CarriedSource(
            name, rank, timeline, complete=complete, facts=maker.facts, addresses=addresses,
            warnings=tuple(warnings), misses=self.misses,
        )  # fmt: skip

    def _count(self, fact: Fact) -> bool:
        """Gives the fact its number; those that say the same of the owner share one, unless they may yet change.

        False if there is no room for it.
        """
        claim = fact.claim
        if fact.rank is Rank.CARRIED and (known := self._numbers.get((fact.source, claim))) is not None:
            fact.number = known
            return True
        text = sum(len(part) for part in (claim.image, claim.command_line, claim.user, claim.container) if part)
        if len(self._facts) >= MAX_FACTS or self._text + text > MAX_TEXT:
            self.misses["facts_full"] += 1
            return False
        self._text += text
        fact.number = len(self._facts)
        self._facts.append(fact)
        if fact.rank is Rank.CARRIED:
            self._numbers[fact.source, claim] = fact.number
        return True

    def _begin(self, key: _Tuple, number: int, time_ns: int, changed: bool) -> int:
        """The row that this packet's record is in from here on; -1 if there is no room for another."""
        restless = False
        if changed:
            self._changes[key] += 1
            restless = self._changes[key] > CHANGES
            row = self._restless.get((key, number), -1) if restless else -1
            if row >= 0:
                self._open[key] = row
                return row
        if len(self) >= MAX_RECORDS:
            self.misses["records_full"] += 1
            return -1
        if len(self._open) >= MAX_OPEN:
            self._forget()
        row = len(self._words)
        self._words.extend((number, time_ns, time_ns, *key))
        self._open[key] = row
        if restless:
            self._restless[key, number] = row
        return row

    def _forget(self) -> None:
        """The half of the open tuples that began first: should they go on, another record begins."""
        for key in list(islice(self._open, MAX_OPEN // 2)):
            del self._open[key]
        self._changes.clear()
        self._restless.clear()

    def _makers(self) -> dict[tuple[str, Rank], SubjectMaker]:
        device = self._device
        root = packages_folder(device)
        return {
            (fact.source, fact.rank): SubjectMaker(
                fact.source, family=device.family, drives=device.drives, packages_root=root, confidence=fact.confidence
            )
            for fact in self._facts
        }

    def _subjects(self, makers: Mapping[tuple[str, Rank], SubjectMaker]) -> list[Subject]:
        """Of each fact."""
        found: dict[Subject, Subject] = {}
        subjects = []
        for fact in self._facts:
            maker = makers[fact.source, fact.rank]
            subject = subject_of(maker, fact.claim, hosted_services(fact.claim), fact.confidence)
            if fact.source == PTCPDUMP:
                subject = seen_from_outside(subject)
            subjects.append(found.setdefault(subject, subject))
        return subjects


def _endpoint(version: int, high: int, low: int, port: int) -> Endpoint:
    return Endpoint(Address(version, high << 64 | low), port)
