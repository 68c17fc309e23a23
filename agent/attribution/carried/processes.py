"""The processes that the blocks of one section name, by pid, and which of several a packet means.

Knows: pids are used again. Must not know: block formats, packets. Memory: MAX_PROCESSES blocks, MAX_OF_ONE_PID of each.

A block says who has a pid from its place in the file on. Of several before the packet, the one that started last
counts among those that had started by the packet's time; of equals, and where no start is known, the last in the file
(Wireshark goes by start times, too: in a file that it saved all blocks stand at the head). Systems count process
starts coarsely, so where none had started one counts that did within two seconds. In a file of this agent the blocks
stand where they became true: there the last in the file counts, within the same two seconds. If blocks of a pid come
only behind the packet, the first is meant. A process that started later than its packet is no answer: then only the
pid is known.

    table = ProcessTable()
    table.add(812, claim, in_order=False)
    found = table.find(812, now_ns)
"""

from __future__ import annotations

from typing import NamedTuple

from agent.attribution.carried.facts import Fact
from agent.attribution.evidence import Claim

MAX_PROCESSES = 1 << 18
MAX_OF_ONE_PID = 16
COARSE_NS = 2_000_000_000
FOREVER = 1 << 65
ALWAYS = -1


class Found(NamedTuple):
    """An answer, and the packet times from `since` to before `until` for which it holds while no block is added."""

    fact: Fact | None
    since: int = ALWAYS
    until: int = FOREVER


class ProcessTable:
    """Mutable; one section's."""

    def __init__(self, source: str) -> None:
        self.source = source
        """What facts found here are called."""
        self.dropped = 0
        """Blocks beyond what is kept."""
        self.contradicted = 0
        """Packets, or runs of them, whose pid had only processes that started later."""
        self._facts: dict[int, list[Fact]] = {}
        self._waiting: dict[int, tuple[Fact, int]] = {}
        """Of pids that no block has named yet: what was said of their packets, and the time of the first."""
        self._count = 0

    def add(self, claim: Claim) -> None:
        """The next block, as the file has them."""
        pid = claim.pid
        if pid is None or self._count >= MAX_PROCESSES:
            self.dropped += 1
            return
        self._count += 1
        fact = Fact(self.source, claim)
        waiting = self._waiting.pop(pid, None)
        if waiting is not None and _start(fact) <= waiting[1] + COARSE_NS:
            fact = waiting[0]
            fact.become(self.source, claim)
        facts = self._facts.setdefault(pid, [])
        facts.append(fact)
        if len(facts) > MAX_OF_ONE_PID:
            del facts[0]
            self.dropped += 1

    def find(self, pid: int, time_ns: int, *, in_order: bool) -> Found | None:
        """The process; None if no block has named the pid yet. `in_order`: blocks stand where they became true."""
        facts = self._facts.get(pid)
        if facts is None:
            return None
        starts = [fact.claim.created for fact in facts]
        edges = [edge for start in starts if start is not None for edge in (start - COARSE_NS, start)]
        since = max((edge for edge in edges if edge <= time_ns), default=ALWAYS)
        until = min((edge for edge in edges if edge > time_ns), default=FOREVER)
        return Found(_choose(facts, time_ns, in_order), since, until)

    def knows(self, pid: int) -> bool:
        """Some block has named the pid."""
        return pid in self._facts

    def await_block(self, pid: int, time_ns: int, bare: Fact) -> Fact:
        """The fact of a pid that no block has named yet: `bare`, or what an earlier packet of it got."""
        if pid not in self._waiting and len(self._waiting) < MAX_PROCESSES:
            self._waiting[pid] = bare, time_ns
        return self._waiting.get(pid, (bare, 0))[0]


def _choose(facts: list[Fact], time_ns: int, in_order: bool) -> Fact | None:
    if in_order:
        return next((fact for fact in reversed(facts) if _start(fact) <= time_ns + COARSE_NS), None)
    running = [fact for fact in facts if _start(fact) <= time_ns]
    if running:
        last = running[-1]
        return last if last.claim.created is None else max(reversed(running), key=_start)
    soon = [fact for fact in facts if _start(fact) <= time_ns + COARSE_NS]
    return min(soon, key=_start) if soon else None


def _start(fact: Fact) -> int:
    return ALWAYS if fact.claim.created is None else fact.claim.created
