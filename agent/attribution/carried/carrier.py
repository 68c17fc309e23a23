"""What a capture has said of its processes so far, and what that makes of the next packet.

Knows: that numbering restarts with each section, and which carrier is believed where several speak. Must not know: how
a capture is read, what a frame holds. Fed in file order; its memory is bounded (processes.py).

    carrier = Carrier()
    carrier.section(section_body, big_endian=False)
    carrier.block(0x00000BAD, block_body, big_endian=False)
    fact = carrier.fact(options, big_endian=False, time_ns=now)
    if fact is not None: fact.claim.image, fact.source, fact.rank

Facts are settled once their section is over: a block may follow the packets it explains. Packets of a process have the
same options nearly always: the answer is remembered by their bytes.
"""

from __future__ import annotations

from agent.attribution.carried import blocks
from agent.attribution.carried.comments import read_etl2pcapng, read_ptcpdump
from agent.attribution.carried.facts import (
    APPLE,
    ETL2PCAPNG,
    HONE,
    OPTION_8,
    PIB,
    PKTAP,
    PTCPDUMP,
    Fact,
    bare_name,
    process_claim,
)
from agent.attribution.carried.options import PacketOptions, read_packet_options
from agent.attribution.carried.pktap import read_pktap
from agent.attribution.carried.processes import MAX_PROCESSES, Found, ProcessTable
from agent.attribution.evidence import Claim

_REMEMBERED = 8192
_LONG = 4096
"""Bytes of options from which on the answer is not remembered."""


def speaks(options: bytes, *, big_endian: bool) -> bool:
    """True if a packet's options say whose it is, as far as that can be told without the blocks and sections."""
    said = read_packet_options(options, big_endian=big_endian)
    if said.pid or said.hone_pid or said.apple is not None:
        return True
    return read_ptcpdump(said.comments) is not None or read_etl2pcapng(said.comments) is not None


class Carrier:
    """One capture being read. Mutable."""

    def __init__(self) -> None:
        self.information_blocks = False
        """There was a Process Information Block."""
        self.dropped = 0
        """Blocks more than are kept, of the sections that are over."""
        self.contradicted = 0
        """Times that a packet's pid was only that of processes that started later; likewise."""
        self._known: dict[bytes, Found] = {}
        self._facts: dict[tuple[str, Claim, Claim | None], Fact] = {}
        self._start(blocks.Section())

    def section(self, body: bytes, *, big_endian: bool) -> None:
        """A section begins: the body of its header block."""
        self._end()
        self._start(blocks.read_section(body, big_endian=big_endian))

    def lost(self) -> None:
        """Blocks are left out from here on: whose a pid is, nobody knows."""
        self._end()
        self._start(blocks.Section())

    def block(self, kind: int, body: bytes, *, big_endian: bool) -> None:
        """A block that names a process, or tries to."""
        said = blocks.read_process_block(kind, body, big_endian=big_endian)
        self._known.clear()
        if kind == blocks.APPLE_BLOCK:
            self._take_apple(said)
        elif isinstance(said, blocks.Connection):
            if len(self._connections) < MAX_PROCESSES:
                self._connections[said.number] = said.pid
        elif said is not None and said.pid and not said.ended:
            hone = kind == blocks.HONE_PROCESS_BLOCK
            self.information_blocks |= not hone
            (self._hone if hone else self._pib).add(process_claim(said, own=self._own and not hone))

    def fact(self, options: bytes, *, big_endian: bool, time_ns: int, header: bytes | None = None) -> Fact | None:
        """Who owns the socket of the next packet, None if nothing is said. `header`: its PKTAP header, if it has one.

        Equal answers are the same object.
        """
        if options:
            known = self._known.get(options)
            if known is None or not known[1] <= time_ns < known[2]:
                known = self._find(read_packet_options(options, big_endian=big_endian), time_ns)
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()
                if len(options) < _LONG:
                    self._known[options] = known
            if known[0] is not None:
                return known[0]
        return self._tapped(header) if header is not None else None

    def _start(self, section: blocks.Section) -> None:
        writer = section.application.partition(" ")[0].lower()
        self._own, self._by_ptcpdump, self._by_etl2pcapng = (
            writer == name for name in ("isolation-agent", "ptcpdump", "etl2pcapng")
        )
        self._known.clear()
        self._facts.clear()
        self._pib, self._hone = ProcessTable(PIB), ProcessTable(HONE)
        self._apple: list[Claim | None] = []
        self._connections: dict[int, int] = {}

    def _end(self) -> None:
        for table in (self._pib, self._hone):
            self.dropped += table.dropped
            self.contradicted += table.contradicted

    def _take_apple(self, said: blocks.Process | blocks.Connection | None) -> None:
        """One that cannot be read takes a number, too: those after it keep theirs."""
        if len(self._apple) < MAX_PROCESSES:
            self._apple.append(process_claim(said, own=False) if isinstance(said, blocks.Process) else None)
        else:
            self.dropped += 1

    def _find(self, said: PacketOptions, time_ns: int) -> Found:
        """By the carrier that is believed most of those that speak: a named process before a pid."""
        named = self._pib.find(said.pid, time_ns, in_order=self._own) if said.pid else None
        if named is not None and named.fact is not None:
            return named
        hone = said.hone_pid or self._connections.get(-1 if said.hone_connection is None else said.hone_connection)
        if hone:
            named = self._hone.find(hone, time_ns, in_order=True) or named
        fact = self._of_apple(said) or self._of_comments(said)
        if fact is None and hone:
            fact = named.fact if named is not None and named.fact is not None else self._bare(self._hone, hone, time_ns)
        if fact is None and said.pid:
            fact = self._bare(self._pib, said.pid, time_ns)
        return Found(fact) if named is None else Found(fact, named.since, named.until)

    def _of_apple(self, said: PacketOptions) -> Fact | None:
        """The socket is that of 0x8001; whom it serves (0x8003) stands beside it, and alone says nothing of sockets.

        Unless the former is the kernel, pid 0: it opens MPTCP's connections for a process, and half of their packets
        are marked with that process itself.
        """
        owner, effective = self._apple_claim(said.apple), self._apple_claim(said.apple_effective)
        if owner is not None and owner.pid == 0 and effective is not None:
            owner, effective = effective, None
        if owner is None or (owner.pid == 0 and owner.image is None):
            return None
        key = (APPLE, owner, effective)
        return self._facts.get(key) or self._keep(key, Fact(APPLE, owner, effective))

    def _apple_claim(self, number: int | None) -> Claim | None:
        return self._apple[number] if number is not None and number < len(self._apple) else None

    def _of_comments(self, said: PacketOptions) -> Fact | None:
        if not said.comments:
            return None
        if self._by_ptcpdump:
            claim = read_ptcpdump(said.comments)
            return self._same(PTCPDUMP, claim) if claim is not None else None
        logged = read_etl2pcapng(said.comments)
        if logged is not None and said.pid in (None, 0, logged.pid):
            return self._same(ETL2PCAPNG, logged)
        return None

    def _bare(self, table: ProcessTable, pid: int, time_ns: int) -> Fact:
        """Nothing but the pid is known, or nothing yet."""
        unnamed = ETL2PCAPNG if self._by_etl2pcapng else OPTION_8
        source = HONE if table is self._hone else unnamed
        if table.knows(pid):
            table.contradicted += 1
            return self._same(source, Claim(pid=pid))
        return table.await_block(pid, time_ns, Fact(source, Claim(pid=pid)))

    def _tapped(self, header: bytes) -> Fact | None:
        """The process of 52 and after owns the socket; the effective one stands beside it, as with Apple's blocks."""
        said = read_pktap(header)
        if said is None or said.pid is None:
            return None
        claim = Claim(pid=said.pid, image=bare_name(said.name))
        effective = None
        if said.effective_pid is not None:
            effective = Claim(pid=said.effective_pid, image=bare_name(said.effective_name))
        key = (PKTAP, claim, effective)
        return self._facts.get(key) or self._keep(key, Fact(PKTAP, claim, effective))

    def _same(self, source: str, claim: Claim) -> Fact:
        """Equal claims of one source are one fact."""
        key = (source, claim, None)
        return self._facts.get(key) or self._keep(key, Fact(source, claim))

    def _keep(self, key: tuple[str, Claim, Claim | None], fact: Fact) -> Fact:
        if len(self._facts) >= _REMEMBERED:
            self._facts.clear()
        self._facts[key] = fact
        return fact
