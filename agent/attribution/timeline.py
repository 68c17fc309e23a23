"""The index of socket records: who owned this local end, towards that remote end, at that time.

Knows tuples, intervals and how sure an answer is (semantics.md 8, recorded). Must not know files, policy, or that
there are other sources. Compiled where a C compiler exists (types in timeline.pxd), else interpreted, same answers.

    timeline = Timeline(60 * SECOND)
    timeline.add(SocketRecord(...))
    timeline.freeze()
    owner = timeline.find(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, 2)

Records of one tuple form a group, found by a hash of the tuple; inside a group they lie in order of their start. The
tuple is looked up first and time last: clocks of a log and a capture differ, ports do not. Columns of integers and
not a dict of tuples: a million records take about 85 MB instead of some 350, and no garbage collector walks them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import replace

from agent.attribution.values import Owner, SocketRecord
from agent.model.address import Address, Endpoint
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence

# How much a record says, most specific first; a bit each in `kinds`.
EXACT = 0  # the local and the remote end
REMOTE = 1  # any local address at this port, this remote end
LOCAL = 2  # this local end, any remote
ANY = 3  # any local address at this port, any remote

TCP, UDP = 6, 17
KNOWN_OUTBOUND = 2
OPEN = (1 << 64) - 1  # the end of a record that nothing ends
LATEST = (1 << 64) - 2
WORD = (1 << 64) - 1
FIRST_FACTOR = 0x9E3779B97F4A7C15  # splitmix64's: odd, their bits well spread
SECOND_FACTOR = 0xBF58476D1CE4E5B9

CANDIDATES = 8  # of an ambiguous owner, that are kept: a port may be claimed by thousands
BLOCK = 1024  # records that are collected before the columns grow by them

# As WORD and LATEST, but kept Python integers: one cuts 128-bit integers, the other times of any year.
_LOW_HALF = (1 << 64) - 1
_LATEST = LATEST
_INITIATED = (None, False, True)


class Timeline:
    """Built once: add every record, freeze, then find. Nothing is found before `freeze`."""

    def __init__(self, slack_ns: int, *, moments: bool = False) -> None:
        """`slack_ns`: how far outside its record's interval a flow may begin.

        `moments`: a record tells when a connection was seen to begin, not how long it lasted: the nearest start is
        taken, and one that lies further back than the slack is MEDIUM at most.
        """
        self.moments = moments
        self.slack = min(max(slack_ns, 0), LATEST)
        self.behind = 0  # nanoseconds that the records' clock is behind the asker's, or ahead of it
        self.ahead = 0
        self.count = 0
        self.frozen = False
        self.pending = 0
        self.new_keys = array("Q", bytes(8 * 5 * BLOCK))
        self.new_starts = array("Q", bytes(8 * BLOCK))
        self.new_ends = array("Q", bytes(8 * BLOCK))
        self.new_claims = array("I", bytes(4 * BLOCK))
        self.added_keys = array("Q")
        self.added_starts = array("Q")
        self.added_ends = array("Q")
        self.added_claims = array("I")
        self.subjects: list[Subject] = []
        self.numbers: dict[Subject, int] = {}
        self.numbers_by_id: dict[int, int] = {}
        self.owners: dict[int, Owner] = {}
        self.disputes: dict[tuple[int, ...], Owner] = {}
        # Per local port: which kinds of record exist, four bits for each class of protocols. Most misses end here.
        self.kinds = array("H", bytes(2 * 65536))
        self.keys = array("Q")
        self.table = array("I", [0])
        self.mask = 0
        self.vacant = 0
        self.firsts = array("I")
        self.begins = array("I", [0])
        self.starts = array("Q")
        self.ends = array("Q")
        self.reaches = array("Q")
        self.claims = array("I")

    def __len__(self) -> int:
        return self.count

    def shift(self, offset_ns: int) -> None:
        """From now on `offset_ns` is added to every time of the records: what the asker's clock shows more."""
        self.behind, self.ahead = min(max(offset_ns, 0), _LATEST), min(max(-offset_ns, 0), _LATEST)

    def add(self, record: SocketRecord) -> None:
        """Take one record, in the order of its source."""
        start, end, protocol, local, remote, subject, initiated, listening = record
        address, port, version = local
        local_value = remote_value = remote_port = 0
        if address is not None:
            version, local_value = address
        if remote is not None:
            remote_address, remote_port, version = remote
            if remote_address is not None:
                version, remote_value = remote_address
        self.take(
            start, end, protocol, version, address is None, local_value >> 64, local_value & _LOW_HALF, port,
            remote is not None, remote_value >> 64, remote_value & _LOW_HALF, remote_port,
            subject, initiated, listening,
        )  # fmt: skip

    def take(
        self,
        start: int,
        end: int | None,
        protocol: int,
        version: int,
        anywhere: bool,
        local_high: int,
        local_low: int,
        port: int,
        connected: bool,
        remote_high: int,
        remote_low: int,
        remote_port: int,
        subject: Subject,
        initiated: bool | None,
        listening: bool,
    ) -> None:
        """add() of a record in pieces. Times outside 1970..2554 count as the nearest inside.

        `anywhere`: the local end is any address of `version`; `connected`: there is a remote end. Each address is two
        words of 64 bits (IPv4: the high one 0), 0 where there is none.
        """
        if self.frozen:
            raise RuntimeError("the timeline is frozen: add every record before")
        kind = (1 if anywhere else 0) | (0 if connected else 2)  # EXACT, REMOTE, LOCAL, ANY
        self.kinds[port] |= (1 << kind) << self._shift(protocol)
        place = self.pending
        base = place * 5
        self.new_keys[base] = self._meta(kind, protocol, version, port, remote_port)
        self.new_keys[base + 1] = local_low
        self.new_keys[base + 2] = local_high
        self.new_keys[base + 3] = remote_low
        self.new_keys[base + 4] = remote_high
        self.new_starts[place] = min(max(start, 0), _LATEST)
        self.new_ends[place] = OPEN if end is None else min(max(end, 0), _LATEST)
        # A claim is what a record says of an owner: subject, who opened it, listening.
        opened = 0 if initiated is None else 2 if initiated else 1
        self.new_claims[place] = (self._number(subject) * 3 + opened) * 2 + (1 if listening else 0)
        self.pending = place + 1
        self.count += 1
        if self.pending == BLOCK:
            self._flush()

    def _flush(self) -> int:
        """The records of the block in work behind those of the blocks before."""
        pending = self.pending
        self.added_keys.frombytes(memoryview(self.new_keys)[: 5 * pending].tobytes())
        self.added_starts.frombytes(memoryview(self.new_starts)[:pending].tobytes())
        self.added_ends.frombytes(memoryview(self.new_ends)[:pending].tobytes())
        self.added_claims.frombytes(memoryview(self.new_claims)[:pending].tobytes())
        self.pending = 0
        return 0

    def _number(self, subject: Subject) -> int:
        """Equal subjects have one number. By identity first: hashing nine fields costs as much as all of `add`."""
        number = self.numbers_by_id.get(id(subject))
        if number is None:
            number = self.numbers.get(subject)
        if number is None:
            number = len(self.subjects)
            # Only ids of subjects that are kept: another's id could be given away again.
            self.subjects.append(subject)
            self.numbers[subject] = self.numbers_by_id[id(subject)] = number
        return number

    def freeze(self) -> None:
        """Build the index of what was added."""
        if self.frozen:
            return
        self._flush()
        self.frozen = True
        size = 8
        while size < 2 * self.count:
            size *= 2
        self.mask = size - 1
        self.keys = self.added_keys
        self.table = array("I", bytes(4 * size))
        self.firsts = array("I", bytes(4 * self.count))
        groups = array("I", bytes(4 * self.count))
        self.begins = array("I", bytes(4 * (self._group_all(groups) + 1)))
        self.starts = array("Q", bytes(8 * self.count))
        self.ends = array("Q", bytes(8 * self.count))
        self.reaches = array("Q", bytes(8 * self.count))
        self.claims = array("I", bytes(4 * self.count))
        starts = self.added_starts
        places = range(self.count)
        # Stable: of records with the same start, the first in the file stays first.
        order = array("I", places if self._ascending(starts) else sorted(places, key=starts.__getitem__))
        self._place(groups, order, starts, self.added_ends, self.added_claims)
        self._close()
        self.numbers, self.numbers_by_id = {}, {}
        self.added_keys, self.added_starts, self.added_ends = array("Q"), array("Q"), array("Q")
        self.added_claims = array("I")

    def _ascending(self, starts: array[int]) -> bool:
        """True if the records were added in order of their start, as most sources write them."""
        for place in range(1, self.count):  # noqa: SIM110 - compiled, a loop of integers; all() would be one of objects
            if starts[place] < starts[place - 1]:
                return False
        return True

    def _group_all(self, groups: array[int]) -> int:
        """The group of every record, and how many there are. `firsts` and `table` are filled on the way."""
        used = 0
        for record in range(self.count):
            base = record * 5
            found = self._group(
                self.keys[base], self.keys[base + 1], self.keys[base + 2], self.keys[base + 3], self.keys[base + 4]
            )
            if found == 0:
                self.firsts[used] = record
                used += 1
                self.table[self.vacant] = used
                found = used
            groups[record] = found - 1
        return used

    def _place(
        self, groups: array[int], order: array[int], starts: array[int], ends: array[int], claims: array[int]
    ) -> int:
        """Columns sorted by group, inside it by start: a counting sort, since `order` is sorted by start already."""
        for record in range(self.count):
            self.begins[groups[record] + 1] += 1
        for group in range(len(self.begins) - 1):
            self.begins[group + 1] += self.begins[group]
        cursors = array("I", self.begins)
        for place in range(self.count):
            record = order[place]
            group = groups[record]
            index = cursors[group]
            cursors[group] = index + 1
            self.starts[index] = starts[record]
            self.ends[index] = ends[record]
            self.claims[index] = claims[record]
        return 0

    def _close(self) -> int:
        """Ends where none was given; then `reaches`: the latest end of a group's records up to each.

        A record without an end, or one that ends just where the next begins, ends the nanosecond before it.
        """
        for group in range(len(self.begins) - 1):
            begin, stop = self.begins[group], self.begins[group + 1]
            following = OPEN
            for index in range(stop - 1, begin - 1, -1):
                if index + 1 < stop and self.starts[index + 1] > self.starts[index]:
                    following = self.starts[index + 1]
                if following != OPEN and (self.ends[index] == OPEN or self.ends[index] == following):
                    self.ends[index] = following - 1
            reach = 0
            for index in range(begin, stop):
                if self.ends[index] > reach:
                    reach = self.ends[index]
                self.reaches[index] = reach
        return 0

    def find(
        self,
        protocol: int,
        version: int,
        local: int,
        local_port: int,
        remote: int,
        remote_port: int,
        now_ns: int,
        direction: int,
    ) -> Owner | None:
        """The owner of the local end of a flow that began at `now_ns`; None if no record fits.

        `version` 4 or 6 with addresses of that many bits; ports 0 where the protocol has none; `direction` 0 unknown,
        1 inbound, 2 outbound. An exact tuple inside its interval is HIGH; within the slack only, or a record that
        says less, MEDIUM; several equally good ones that name different subjects LOW.
        """
        if version == 4:
            return self.lookup(protocol, 4, 0, local, local_port, 0, remote, remote_port, now_ns, direction)
        return self.lookup(
            protocol, version, local >> 64, local & _LOW_HALF, local_port,
            remote >> 64, remote & _LOW_HALF, remote_port, now_ns, direction,
        )  # fmt: skip

    def lookup(
        self,
        protocol: int,
        version: int,
        local_high: int,
        local_low: int,
        local_port: int,
        remote_high: int,
        remote_low: int,
        remote_port: int,
        now_ns: int,
        direction: int,
    ) -> Owner | None:
        """find() with each address as two words of 64 bits (IPv4: the high one 0), as flows have them."""
        kinds = (self.kinds[local_port] >> self._shift(protocol)) & 15
        if kinds == 0:
            return None
        if kinds & (1 << EXACT):
            meta = self._meta(EXACT, protocol, version, local_port, remote_port)
            group = self._group(meta, local_low, local_high, remote_low, remote_high)
            if group and (owner := self._choose(group, now_ns, direction, EXACT)) is not None:
                return owner
        if kinds & (1 << REMOTE):
            meta = self._meta(REMOTE, protocol, version, local_port, remote_port)
            group = self._group(meta, 0, 0, remote_low, remote_high)
            if group and (owner := self._choose(group, now_ns, direction, REMOTE)) is not None:
                return owner
        if kinds & (1 << LOCAL):
            group = self._group(self._meta(LOCAL, protocol, version, local_port, 0), local_low, local_high, 0, 0)
            if group and (owner := self._choose(group, now_ns, direction, LOCAL)) is not None:
                return owner
        if kinds & (1 << ANY):
            group = self._group(self._meta(ANY, protocol, version, local_port, 0), 0, 0, 0, 0)
            if group and (owner := self._choose(group, now_ns, direction, ANY)) is not None:
                return owner
            if version == 4:
                # A socket at [::] may also take IPv4; one at 0.0.0.0 says it more plainly, and was asked first.
                group = self._group(self._meta(ANY, protocol, 6, local_port, 0), 0, 0, 0, 0)
                if group:
                    return self._choose(group, now_ns, direction, ANY)
        return None

    def _shift(self, protocol: int) -> int:
        return 0 if protocol == TCP else 4 if protocol == UDP else 8

    def _meta(self, kind: int, protocol: int, version: int, local_port: int, remote_port: int) -> int:
        """The part of a tuple's key that is no address, in one word."""
        head = (kind << 16) | (protocol << 8) | version
        return (head << 32) | (local_port << 16) | remote_port

    def _group(self, meta: int, local_low: int, local_high: int, remote_low: int, remote_high: int) -> int:
        """The group of this tuple plus one; 0 if there is none, and `vacant` is where its entry would go."""
        mixed = (meta * FIRST_FACTOR) & WORD
        mixed = ((mixed ^ (mixed >> 32) ^ local_low) * SECOND_FACTOR) & WORD
        mixed = ((mixed ^ (mixed >> 29) ^ local_high) * FIRST_FACTOR) & WORD
        mixed = ((mixed ^ (mixed >> 32) ^ remote_low) * SECOND_FACTOR) & WORD
        mixed = ((mixed ^ (mixed >> 29) ^ remote_high) * FIRST_FACTOR) & WORD
        slot = (mixed ^ (mixed >> 32)) & self.mask
        while True:
            entry = self.table[slot]
            if entry == 0:
                self.vacant = slot
                return 0
            base = self.firsts[entry - 1] * 5
            if (
                self.keys[base] == meta
                and self.keys[base + 1] == local_low
                and self.keys[base + 2] == local_high
                and self.keys[base + 3] == remote_low
                and self.keys[base + 4] == remote_high
            ):
                return entry
            slot = (slot + 1) & self.mask

    def _choose(self, group: int, now: int, direction: int, kind: int) -> Owner | None:
        """The owner by the group's nearest record within the slack; `group` as `_group` returns it.

        Left from `now`, no record ends later than `reaches`; right, none starts earlier than the one at hand: each
        walk stops where nothing nearer can follow.
        """
        begin, stop = self.begins[group - 1], self.begins[group]
        if self.behind:
            now = now - self.behind if now > self.behind else 0
        elif self.ahead:
            now = now + self.ahead if now < LATEST - self.ahead else LATEST
        after, high = begin, stop
        while after < high:
            middle = (after + high) >> 1
            if self.starts[middle] <= now:
                after = middle + 1
            else:
                high = middle
        found, mixed, claim, best = False, False, 0, self.slack
        index = after
        while index > begin:
            index -= 1
            if self.reaches[index] < now and now - self.reaches[index] > best:
                break
            away = self._away(index, now)
            if away > best or (direction == KNOWN_OUTBOUND and self.claims[index] & 1):
                continue
            if not found or away < best:
                found, mixed, claim, best = True, False, self.claims[index], away
            elif self.claims[index] != claim:
                mixed = True
        index = after
        while index < stop and self.starts[index] - now <= best:
            away = self.starts[index] - now
            if direction != KNOWN_OUTBOUND or not self.claims[index] & 1:
                if not found or away < best:
                    found, mixed, claim, best = True, False, self.claims[index], away
                elif self.claims[index] != claim:
                    mixed = True
            index += 1
        if not found:
            return None
        confidence = 1
        if kind == EXACT and (best < self.slack if self.moments else best == 0):
            confidence = 2
        if mixed:
            return self._reconcile(begin, stop, now, direction, best, confidence)
        return self._owner(claim, confidence)

    def _away(self, index: int, now: int) -> int:
        """Nanoseconds between `now` and the interval of a record; 0 inside. Of a moment to it, the slack at most."""
        if self.starts[index] > now:
            return self.starts[index] - now
        if self.moments and self.ends[index] >= now:
            return min(now - self.starts[index], self.slack)
        return now - self.ends[index] if self.ends[index] < now else 0

    def _reconcile(self, begin: int, stop: int, now: int, direction: int, best: int, confidence: int) -> Owner:
        """One owner of several equally good claims: what they do not agree on is unknown, another subject is LOW.

        The subject shown is the one whose record started last, of those the first in the source's order; all of them
        are its candidates.
        """
        places = []
        for index in range(begin, stop):
            if self._away(index, now) == best and not (direction == KNOWN_OUTBOUND and self.claims[index] & 1):
                places.append(index)
        claims = [self.claims[index] for index in places]
        shown = self.claims[max(places, key=lambda index: (self.starts[index], -index))] // 6
        opened = {claim // 2 % 3 for claim in claims}
        initiated = opened.pop() if len(opened) == 1 else 0
        listening = min(claim & 1 for claim in claims)
        claim = (shown * 3 + initiated) * 2 + listening
        meant = tuple(dict.fromkeys(claim // 6 for claim in claims))
        if len(meant) == 1:
            return self._owner(claim, confidence)
        known = self.disputes.get((claim, *meant))
        if known is None:
            subject = replace(
                self.subjects[shown],
                confidence=Confidence.LOW,
                candidates=tuple(self.subjects[number] for number in meant[:CANDIDATES]),
            )
            known = Owner(subject, initiated=_INITIATED[initiated], listening=bool(listening))
            self.disputes[claim, *meant] = known
        return known

    def _owner(self, claim: int, confidence: int) -> Owner:
        """The one object for this claim and confidence (or the subject's own, if lower)."""
        known = self.owners.get(claim * 4 + confidence)
        if known is None:
            subject = self.subjects[claim // 6]
            if subject.confidence > confidence:
                subject = replace(subject, confidence=Confidence(confidence))
            known = Owner(subject, initiated=_INITIATED[claim // 2 % 3], listening=bool(claim & 1))
            self.owners[claim * 4 + confidence] = known
        return known

    def span(self) -> tuple[int | None, int | None]:
        """The first and the last start, as `find` compares times; a snapshot's have none."""
        first = last = None
        for index in range(len(self.starts)):
            start = self.starts[index]
            if start and (first is None or start < first):
                first = start
            if start and (last is None or start > last):
                last = start
        return (None, None) if first is None or last is None else (self._shifted(first), self._shifted(last))

    def exact_times(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int
    ) -> list[tuple[int, int]]:
        """(start, end) of the records of exactly this tuple, by the records' own clock; addresses as for `find`."""
        meta = self._meta(EXACT, protocol, version, local_port, remote_port)
        group = self._group(meta, local & _LOW_HALF, local >> 64, remote & _LOW_HALF, remote >> 64)
        if group == 0:
            return []
        return [(self.starts[index], self.ends[index]) for index in range(self.begins[group - 1], self.begins[group])]

    def records(self) -> Iterator[SocketRecord]:
        """What it holds, by tuple and start, times as `find` compares them; an end that nothing gave stays None."""
        for group in range(len(self.begins) - 1):
            for index in range(self.begins[group], self.begins[group + 1]):
                yield self._record(group, index)

    def _record(self, group: int, index: int) -> SocketRecord:
        base = self.firsts[group] * 5
        meta, claim = self.keys[base], self.claims[index]
        kind, protocol, version = (meta >> 48) & 255, (meta >> 40) & 255, (meta >> 32) & 255
        wide_local, wide_remote = self._wide(base + 1), self._wide(base + 3)
        local = Address(version, wide_local) if kind in (EXACT, LOCAL) else None
        remote = Endpoint(Address(version, wide_remote), meta & 0xFFFF) if kind in (EXACT, REMOTE) else None
        return SocketRecord(
            start=self._shifted(self.starts[index]),
            end=None if self.ends[index] == OPEN else self._shifted(self.ends[index]),
            protocol=protocol,
            local=Endpoint(local, (meta >> 16) & 0xFFFF, 0 if local is not None else version),
            remote=remote,
            subject=self.subjects[claim // 6],
            initiated=_INITIATED[claim // 2 % 3],
            listening=bool(claim & 1),
        )

    def _wide(self, base: int) -> int:
        wide = self.keys[base + 1]  # a Python integer (timeline.pxd): 128 bits fit no C type
        return wide << 64 | self.keys[base]

    def _shifted(self, time: int) -> int:
        return min(max(time + self.behind - self.ahead, 0), _LATEST)
