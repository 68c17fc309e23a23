"""Host names of addresses, learned only from DNS answers this host asked for and was allowed to hear.

Knows the DNS wire format as far as questions and address answers, and who asked what. Never: which names a policy
likes, verdicts. Content never raises: a message that cannot be read teaches nothing.

An address keeps a name for the answer's time to live, at least FLOOR: a program may cache longer than it should, and
a channel cut by a five-second record would flap.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.model.address import Address, canonical_address

FLOOR = 60_000_000_000
"""Nanoseconds a learned name lasts at least."""
PENDING_LIFETIME = 60_000_000_000
"""Nanoseconds a question stays open: longer than its flow lives, so that a late answer is told from a forged one."""
MAX_PENDING = 4096
MAX_ADDRESSES = 100_000
MAX_NAMES = 16
MAX_RECORDS = 256
MAX_POINTERS = 32

A, CNAME, AAAA, OPT = 1, 5, 28, 41
IN = 1
FOREVER = 1 << 63
M64 = 0xFFFFFFFFFFFFFFFF
SPREAD = 0x9E3779B97F4A7C15

_steps = 0


class Question(NamedTuple):
    """One DNS question."""

    identifier: int
    name: str
    """Lower case, without the final dot."""
    kind: int
    plain: bool
    """The message holds nothing but this question (and EDNS options): no place to hide data beside it."""


class Answer(NamedTuple):
    """An answer to `question`. Its addresses are read only if it turns out that somebody asked (`read_addresses`)."""

    question: Question
    at: int
    """Where the answer records begin."""
    records: int
    """How many there are; 0 for an error, which answers but teaches nothing."""


def parse_dns(message: bytes) -> Question | Answer | None:
    """What a DNS message asks or answers; None if it is neither, or damaged."""
    try:
        return _parse(message)
    except (IndexError, ValueError):
        return None


def _parse(message: bytes) -> Question | Answer | None:
    if len(message) < 12:
        return None
    flags = message[2] << 8 | message[3]
    questions = message[4] << 8 | message[5]
    answers = message[6] << 8 | message[7]
    if questions != 1 or flags & 0x7800:
        return None
    name, at = _name(message, 12)
    if at + 4 > len(message) or message[at + 2] << 8 | message[at + 3] != IN:
        return None
    kind = message[at] << 8 | message[at + 1]
    plain = answers == 0 and message[8] | message[9] | message[10] == 0 and flags & 0x000F == 0
    plain = plain and _ends(message, at + 4, message[11])
    # Made as tuples are: the constructors of named ones are interpreted, and every DNS packet comes by here.
    question = tuple.__new__(Question, (message[0] << 8 | message[1], name, kind, bool(plain)))
    if not flags & 0x8000:
        return question
    return tuple.__new__(Answer, (question, at + 4, 0 if flags & 0x000F else min(answers, MAX_RECORDS)))


def _ends(message: bytes, at: int, additional: int) -> bool:
    """True if nothing follows the question but the one EDNS record that the header counts."""
    if additional == 0:
        return at == len(message)
    if additional > 1 or at + 11 > len(message) or message[at] != 0 or message[at + 1] << 8 | message[at + 2] != OPT:
        return False
    return at + 11 + (message[at + 9] << 8 | message[at + 10]) == len(message)


def read_addresses(message: bytes, answer: Answer) -> tuple[tuple[Address, int], ...]:
    """(address, seconds to live) of each address that the CNAME chain from the question's name leads to."""
    try:
        return _addresses(message, answer.at, answer.records, answer.question.name)
    except (IndexError, ValueError):
        return ()


def _addresses(message: bytes, at: int, records: int, asked: str) -> tuple[tuple[Address, int], ...]:
    """Address records whose owner the CNAME chain from `asked` reaches, in whatever order the records stand."""
    aliases: dict[str, tuple[str, int]] = {}
    found: list[tuple[str, Address, int]] = []
    for _ in range(records):
        owner, at = _name(message, at)
        if at + 10 > len(message):
            break
        kind = message[at] << 8 | message[at + 1]
        group = message[at + 2] << 8 | message[at + 3]
        size = message[at + 8] << 8 | message[at + 9]
        seconds = int.from_bytes(message[at + 4 : at + 8], "big")
        at += 10
        if at + size > len(message):
            break
        if group == IN and kind == CNAME:
            aliases.setdefault(owner, (_name(message, at)[0], seconds))
        elif group == IN and kind == A and size == 4:
            found.append((owner, Address(4, int.from_bytes(message[at : at + size], "big")), seconds))
        elif group == IN and kind == AAAA and size == 16:
            address = canonical_address(6, int.from_bytes(message[at : at + size], "big"))
            found.append((owner, address, seconds))
        at += size
    if not aliases:
        return tuple([(address, seconds) for owner, address, seconds in found if owner == asked])
    chain = {asked: FOREVER}
    current, least = asked, FOREVER
    while current in aliases:
        current, seconds = aliases[current]
        least = min(least, seconds)
        if current in chain:
            break
        chain[current] = least
    return tuple([(address, min(seconds, chain[owner])) for owner, address, seconds in found if owner in chain])


def _name(message: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends. Raises ValueError for a damaged one; only so many pointers are followed."""
    labels = []
    end = -1
    pointers = 0
    length = 0
    global _steps  # noqa: PLW0603 - a count of this process's work, which decides nothing
    while True:
        _steps += 1
        size = message[at]
        if size >= 0xC0:
            pointers += 1
            if pointers > MAX_POINTERS:
                raise ValueError("pointer loop")
            if end < 0:
                end = at + 2
            at = (size & 0x3F) << 8 | message[at + 1]
            continue
        if size > 63:
            raise ValueError("label type")
        at += 1
        if size == 0:
            break
        length += size + 1
        if length > 254 or at + size > len(message):
            raise ValueError("name too long")
        labels.append(message[at : at + size])
        at += size
    joined = b".".join(labels)
    if joined.count(b".") != len(labels) - 1 and labels:
        # A dot inside a label must not look like a label boundary: written as RFC 1035 section 5.1 has it.
        joined = b".".join([label.replace(b".", b"\\046") for label in labels])
    # latin-1 keeps every byte apart.
    return joined.lower().decode("latin-1"), at if end < 0 else end


def steps() -> int:
    """Labels and pointers read by this process so far: fuzzing asserts that they are linear in its input."""
    return _steps


class NameTable:
    """Which names each address was found under, and the questions still open."""

    def __init__(self, known: Mapping[Address, tuple[str, ...]]) -> None:
        """`known`: names given with the device or by --names; they never expire."""
        # Ordered: a dict looks for its first key among all that were taken out before it.
        # By packed address: the hash of bytes has a secret, and who chooses numbers could make theirs meet.
        self._names: OrderedDict[bytes, dict[str, int]] = OrderedDict(
            (address.packed, {name.lower().rstrip("."): FOREVER for name in names}) for address, names in known.items()
        )
        self._given = len(self._names)
        self._marks = bytearray(1 << 16)
        for address in known:
            self._mark(address)
        self._pending: dict[tuple[int, int, str, int], tuple[int, bool]] = {}
        self._taught: set[tuple[int, int, str, int]] = set()
        """Questions whose answer was learned: a second, different one for the same question may be forged."""

    def __len__(self) -> int:
        return len(self._names)

    def may_know(self, high: int, low: int) -> bool:
        """False if no address with these words ever had a name: most flows need not ask further."""
        return self._marks[(((high * SPREAD) & M64 ^ low) * SPREAD & M64) >> 48] != 0

    def _mark(self, address: Address) -> None:
        high, low = address.value >> 64, address.value & M64
        self._marks[(((high * SPREAD) & M64 ^ low) * SPREAD & M64) >> 48] = 1

    def lookup(self, address: Address, now: int) -> tuple[str, ...]:
        """Names of `address` at `now`, sorted."""
        names = self._names.get(address.packed)
        if names is None:
            return ()
        return tuple(sorted(name for name, until in names.items() if until >= now))

    def asked(self, flow: int, question: Question, allowed: bool, now: int) -> None:
        """This host sent `question` in flow `flow`; `allowed`: because of the question itself."""
        key = (flow, question.identifier, question.name, question.kind)
        self._pending.pop(key, None)
        self._taught.discard(key)
        if len(self._pending) >= MAX_PENDING:
            oldest = next(iter(self._pending))
            self._pending.pop(oldest)
            self._taught.discard(oldest)
        self._pending[key] = (now, allowed)

    def answers(self, flow: int, answer: Answer, now: int) -> bool | None:
        """None if nobody asked; else whether the question itself was allowed. The question stays open for copies."""
        question = answer.question
        pending = self._pending.get((flow, question.identifier, question.name, question.kind))
        if pending is None or now - pending[0] > PENDING_LIFETIME:
            return None
        return pending[1]

    def first_answer(self, flow: int, question: Question) -> bool:
        """True once for each time a question is asked: only that answer teaches; copies of it merely pass."""
        key = (flow, question.identifier, question.name, question.kind)
        if key in self._taught:
            return False
        self._taught.add(key)
        return True

    def _make_room(self) -> None:
        """Forget the oldest learned address if there are too many; what was given beforehand stays."""
        while len(self._names) - self._given >= MAX_ADDRESSES:
            oldest, names = self._names.popitem(last=False)
            if FOREVER in names.values():
                self._names[oldest] = names
            else:
                return

    def learn(self, name: str, addresses: Iterable[tuple[Address, int]], now: int) -> None:
        """Take in the (address, seconds) of an answer that passed, to a question for `name`."""
        for address, seconds in addresses:
            key = address.packed
            names = self._names.get(key)
            if names is None:
                self._make_room()
                names = self._names[key] = {}
                self._mark(address)
            until = now + max(FLOOR, seconds * 1_000_000_000)
            if name not in names and len(names) >= MAX_NAMES:
                stale = min(names, key=lambda one: names[one])
                if names[stale] >= until:
                    continue
                del names[stale]
            names[name] = max(names.get(name, 0), until)
