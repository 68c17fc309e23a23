"""Which process owns the local end of each packet: asked once for a conversation, and again when it may have changed.

Knows conversations (protocol and both ends) and when an answer grows stale. Must not know how owners are found, or
what a packet becomes of it. Bounded: the longest idle are let go, with what is known of them.

    owners = Owners(source, ended=book.add)
    conversation = owners.conversation(header, OUTBOUND, time_ns)    # None: nobody here owns it
    conversation.owner                                               # None: not known

When it asks:
- at a conversation's first packet, and at each SYN: another socket may have taken the ports;
- TCP: while nobody or only the listener is known, at growing intervals, at most ATTEMPTS times; after a long silence;
- UDP and the rest: at every packet, since ports change hands without a sign. Too many questions a second (QUESTIONS)
  would lose packets: then an answer less than a second old is used again.
An answer is of the moment of the question, which is later than the packet: it holds for what passed in between, too,
unless the process only began after the packet.
A connection keeps its owner when its socket is gone (the last packets of a closed one), an outgoing datagram does not:
nobody can say any more who sent it. An answer to it is for whoever asked, while that is not long ago.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from agent.attribution.values import Owner
from agent.datapath.headers import Header
from agent.model.address import Address
from agent.model.moment import SECOND
from agent.model.protocols import TCP

OUTBOUND = 2
QUESTIONS = 1000
"""How many conversations are asked about again in a second, all together: each takes a tenth of a millisecond."""
ATTEMPTS = 6
FIRST_PAUSE = SECOND // 1000
"""Before asking again for a connection without a known owner; ten times as long each time."""
STALE = SECOND
GRAIN = SECOND // 50
"""A process that seems to have begun so little after a packet may have sent it: the kernel counts in hundredths."""
TCP_SILENCE = 30 * SECOND
CLOSED_FOR, IDLE, TCP_IDLE = 5 * SECOND, 120 * SECOND, 7200 * SECOND
"""How long a conversation is kept after its last packet: closed, not TCP, TCP."""
CONVERSATIONS = 200_000
_FRAGMENTS = 1024
_SWEEP = SECOND
_SYN, _SYN_ACK, _FIN, _RST = 2, 18, 1, 4
_GONE = 3  # both ways have sent a FIN


class Finder(Protocol):
    """Whoever knows the owners of sockets: attribution's Source, as far as it is used here."""

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
        /,
    ) -> Owner | None: ...


class Conversation:
    """Two ends that exchange packets. Mutable. `start` is when the present owner was first seen to have it."""

    __slots__ = (
        "asked", "closing", "had_owner", "initiated", "local", "local_port", "owner", "protocol", "remote",
        "remote_port", "seen", "start", "tries", "version",
    )  # fmt: skip

    def __init__(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int, start: int
    ) -> None:
        self.protocol = protocol
        self.version = version
        self.local = local
        self.local_port = local_port
        self.remote = remote
        self.remote_port = remote_port
        self.owner: Owner | None = None
        self.had_owner = False
        """An owner was known once: what nobody is known to own later must not be taken for theirs."""
        self.start = self.seen = start
        self.asked = 0
        """When the source was asked last: what it said then holds for every packet before that moment, too."""
        self.tries = 0
        self.closing = 0
        """Bit 0 and 1: a FIN went out, came in. 3 also after a reset."""
        self.initiated: bool | None = None
        """TCP: who sent the SYN; None if it was not seen."""


class Owners:
    """The conversations of the present, each with its owner."""

    def __init__(
        self,
        source: Finder,
        *,
        ended: Callable[[Conversation, int | None], None],
        clock: Callable[[], int] = time.time_ns,
        created_offset: int = 0,
    ) -> None:
        """`ended(conversation, end)` is told when its present owner no longer has it; end None: it still has.

        `clock`: the one that packets are stamped by; `created_offset`: what times of creation lack by that clock.
        """
        self._find = source.find
        self._clock = clock
        self._created_offset = created_offset
        self._ended = ended
        self._known: dict[tuple[int, int, int, int, int, int], Conversation] = {}
        self._fragments: dict[tuple[int, int, int, int], Conversation | None] = {}
        self._own: frozenset[Address] = frozenset()
        self._broadcasts: frozenset[Address] = frozenset()
        self._questions = float(QUESTIONS)
        self._refilled = self._swept = 0
        self.stranger = False
        """A packet came by whose local end is not this host's: time to look at its addresses again."""
        self.asked = 0

    def set_addresses(self, own: Iterable[Address], broadcasts: Iterable[Address]) -> None:
        """What this host is addressed by."""
        self._own, self._broadcasts = frozenset(own), frozenset(broadcasts)

    def conversation(self, header: Header, direction: int, time_ns: int) -> Conversation | None:
        """That of a decoded IP packet, its owner brought up to date. None: neither end is this host's."""
        if header.fragment:
            return self._fragment(header, direction, time_ns)
        return self._whole(header, direction, time_ns)

    def _whole(self, header: Header, direction: int, time_ns: int) -> Conversation | None:
        out = direction == OUTBOUND
        source = header.source_high << 64 | header.source_low
        destination = header.destination_high << 64 | header.destination_low
        source_port, destination_port = header.source_port, header.destination_port
        if header.icmp_key:
            source_port = destination_port = 0  # an identifier, not a port
        protocol = header.protocol
        if out:
            key = (protocol, source, source_port, destination, destination_port, header.version)
        else:
            key = (protocol, destination, destination_port, source, source_port, header.version)
        known = self._known.get(key)
        opening = protocol == TCP and header.tcp_flags & _SYN_ACK == _SYN
        if known is None:
            if not self._is_local(header.version, key[1]):
                self.stranger = True
                return None
            known = Conversation(protocol, header.version, key[1], key[2], key[3], key[4], time_ns)
            self._make_room(time_ns)
            self._known[key] = known
            self._ask(known, out, time_ns, opening)
        elif opening or self._due(known, out, time_ns):
            self._ask(known, out, time_ns, opening)
        known.seen = time_ns
        if protocol == TCP and header.tcp_flags & (_SYN | _FIN | _RST):
            _follow(known, out, header.tcp_flags)
            # Of the loopback device each packet is seen once, as it leaves; at its other end it arrives.
            arrives = self._known.get((protocol, key[3], key[4], key[1], key[2], header.version))
            if arrives is not None:
                _follow(arrives, not out, header.tcp_flags)
        return known

    def _fragment(self, header: Header, direction: int, time_ns: int) -> Conversation | None:
        """Only the first has ports; those behind it are of the same conversation."""
        key = (header.source_high << 64 | header.source_low, header.destination_high << 64 | header.destination_low)
        name = (*key, header.protocol, header.fragment_id)
        if header.fragment == 2:
            return self._fragments.get(name)
        found = self._whole(header, direction, time_ns)
        if len(self._fragments) >= _FRAGMENTS:
            del self._fragments[next(iter(self._fragments))]
        self._fragments[name] = found
        return found

    def _is_local(self, version: int, value: int) -> bool:
        address = Address(version, value)
        if address in self._own or address in self._broadcasts or value == 0:
            return True
        if version == 4:
            return value >> 24 == 127 or value >> 28 == 14 or value == 0xFFFFFFFF
        return value == 1 or value >> 120 == 0xFF

    def _due(self, known: Conversation, out: bool, time_ns: int) -> bool:
        """Whether the owner known so far must be asked for again."""
        if known.protocol == TCP:
            if known.owner is None or known.owner.listening:
                pause = FIRST_PAUSE * 10 ** max(known.tries - 1, 0)
                return known.tries < ATTEMPTS and time_ns - known.asked >= pause and self._affordable(time_ns)
            return time_ns - known.seen >= TCP_SILENCE
        if time_ns <= known.asked:
            return False
        return time_ns - known.asked >= STALE or self._affordable(time_ns)

    def _affordable(self, time_ns: int) -> bool:
        """Takes one question from those that this second has."""
        passed = max(time_ns - self._refilled, 0)
        self._refilled = max(time_ns, self._refilled)
        self._questions = min(self._questions + passed * QUESTIONS / SECOND, QUESTIONS)
        if self._questions < 1:
            return False
        self._questions -= 1
        return True

    def _ask(self, known: Conversation, out: bool, time_ns: int, opening: bool) -> None:
        opened = out if opening else known.initiated
        hint = 0 if opened is None else 2 if opened else 1
        self.asked += 1
        owner = self._find(
            known.protocol, known.version, known.local, known.local_port, known.remote, known.remote_port,
            time_ns, hint,
        )  # fmt: skip
        known.tries = 1 if opening else known.tries + 1
        before = known.owner
        known.asked = max(self._clock(), time_ns)
        if owner is not None and self._began_later(owner, time_ns):
            owner = None
        if owner is before:
            return
        if owner is None and not opening and (known.protocol == TCP or (not out and time_ns - known.seen < STALE)):
            return
        # A connection has one owner, who may be found late; a port had another before. The same process that first
        # listened and then took the connection: nothing ended.
        found_late = before is None and not known.had_owner and known.protocol == TCP
        first = known.tries == 1 and not known.had_owner
        same = owner is not None and before is not None and owner.subject == before.subject
        if not (found_late or first or same):
            self._ended(known, known.seen)
            known.start = time_ns
        known.owner = owner
        known.had_owner |= owner is not None

    def _began_later(self, owner: Owner, time_ns: int) -> bool:
        """True if it cannot have been the owner then: the ports have changed hands while the packet waited."""
        created = owner.subject.process_created
        return created is not None and created + self._created_offset > time_ns + GRAIN

    def _make_room(self, time_ns: int) -> None:
        """Lets go what is over or long idle, and if that is not enough what came first."""
        if len(self._known) >= CONVERSATIONS:
            key = next(iter(self._known))
            self._let_go(key, self._known[key])
        if time_ns - self._swept >= _SWEEP:
            self.sweep(time_ns)

    def sweep(self, time_ns: int) -> None:
        """Lets go of every conversation that is over or long idle."""
        self._swept = time_ns
        old = []
        for key, known in self._known.items():
            idle = time_ns - known.seen
            if idle >= CLOSED_FOR and (idle >= (TCP_IDLE if known.protocol == TCP else IDLE) or known.closing == _GONE):
                old.append((key, known))
        for key, known in old:
            self._let_go(key, known)

    def _let_go(self, key: tuple[int, int, int, int, int, int], known: Conversation) -> None:
        del self._known[key]
        if known.had_owner:
            self._ended(known, known.seen)

    def finish(self) -> None:
        """The recording is over: what is not closed goes on."""
        for known in self._known.values():
            if known.had_owner:
                self._ended(known, known.seen if known.closing == _GONE else None)
        self._known.clear()


def _follow(known: Conversation, out: bool, flags: int) -> None:
    """Who opened a connection, and who closed it."""
    if flags & _SYN:
        known.initiated = out == (flags & _SYN_ACK == _SYN)
        if flags & _SYN_ACK == _SYN:
            known.closing = 0
    if flags & _FIN:
        known.closing |= 1 if out else 2
    if flags & _RST:
        known.closing = _GONE
