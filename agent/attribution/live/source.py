"""The running system as a source of owners: the socket of a flow, its process, the facts of that process.

Knows the order of questions and what an answer is worth. Must not know how any of them is asked. It opens and reads
(/proc, netlink), once for each new flow; nothing waits for another process.

    source = LiveSource()
    owner = source.find(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, OUTBOUND)
    source.process(owner.subject)          # more than rules ask for: parent, command line
    source.refresh()                       # in idle moments

The whole tuple: HIGH. A listener, or a UDP socket without a remote end: MEDIUM. Several processes hold the socket (a
listener and its forked workers), or several sockets share the port: LOW and ambiguous, `candidates` are all of them,
also if they run the same program. Whatever is not certain is nobody's, and counted in
`misses` with its reason. What holds now is what is told: a live answer knows no past, so `now_ns` is not used.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agent.attribution.evidence import Rank
from agent.attribution.live.holders import Holders
from agent.attribution.live.lookup import Lookup, Sockets
from agent.attribution.live.netlink import TCP, UDP, DiagError, SockDiag
from agent.attribution.live.processes import Process, Processes
from agent.attribution.values import Owner
from agent.model.address import Address
from agent.model.image import posix_image
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence

KNOWN_OUTBOUND = 2
SYSTEMD = "/run/systemd/system"
"""Exists where systemd is the manager: elsewhere nothing is known of services (sd_booted(3))."""

_KEPT = 65536
_LISTED_NS = 1_000_000_000


class LiveSource:
    """Mutable: it counts, and keeps what it made. Of one thread."""

    name = "live"
    rank = Rank.RECORDS
    complete = False
    """A socket that closed before it was asked for existed, too."""

    def __init__(self, *, clock: Callable[[], int] = time.monotonic_ns, systemd: bool | None = None) -> None:
        """`clock`: nanoseconds, for how old a list of interfaces is; `systemd`: None finds out."""
        self.warnings: Sequence[tuple[str, str]] = ()
        self.misses: Mapping[str, int]
        self._misses: dict[str, int] = {}
        self.misses = self._misses
        self._clock = clock
        self._systemd = os.path.isdir(SYSTEMD) if systemd is None else systemd
        self._lookup = Lookup(SockDiag())
        self._holders = Holders()
        self._processes = Processes()
        self._owners: dict[tuple[Subject, bool | None, bool], Owner] = {}
        self._known: dict[tuple[int, int], Process] = {}
        self._listed = -_LISTED_NS
        self._holders.start()

    @property
    def facts(self) -> frozenset[str]:
        """Which of `image`, `services`, `package` it can give."""
        return frozenset({"image", "services"} if self._systemd else {"image"})

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
    ) -> Owner | None:
        """The owner of a flow's local end now; None, counted, if it is not certain."""
        answer = self._answer(
            protocol, version, local, local_port, remote, remote_port, outbound=direction == KNOWN_OUTBOUND
        )
        if isinstance(answer, Owner):
            return answer
        self._misses[answer] = self._misses.get(answer, 0) + 1
        return None

    def process(self, subject: Subject) -> Process | None:
        """All that is known of the process of a subject that this source made; None if it was ambiguous."""
        if subject.pid is None or subject.process_created is None:
            return None
        return self._known.get((subject.pid, subject.process_created))

    def refresh(self, links: int = 256) -> None:
        """Looks at some more of what processes hold, in about as many microseconds times ten. For idle moments."""
        self._holders.refresh(links)

    def local_addresses(self) -> Sequence[Address]:
        """The machine's own."""
        import psutil

        from agent.model.address import parse_address

        found = [
            parse_address(address.address)
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family in (socket.AF_INET, socket.AF_INET6)
        ]
        return list(dict.fromkeys(found))

    # Parts ------------------------------------------------------------------------------------------------------

    def _answer(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int, *, outbound: bool
    ) -> Owner | str:
        """The owner, or why there is none."""
        if protocol not in (TCP, UDP):
            return "protocol"
        self._list_interfaces()
        try:
            found = self._lookup.find(protocol, version, local, local_port, remote, remote_port, outbound=outbound)
        except (DiagError, OSError):
            return "refused"
        if not found.sockets:
            return "socket_closed" if found.closed else "no_socket"
        try:
            owners = self._owners_of(found)
        except OSError:
            return "access_denied"
        if not owners:
            return "access_denied" if self._holders.denied else "holder_unknown"
        return self._owner(found, owners)

    def _list_interfaces(self) -> None:
        now = self._clock()
        if now - self._listed >= _LISTED_NS:
            self._listed = now
            self._lookup.interfaces = [index for index, _ in socket.if_nameindex()]

    def _owners_of(self, found: Sockets) -> list[Process]:
        """Every process that holds one of the sockets at this moment."""
        owners: dict[tuple[int, int], Process] = {}
        for one in found.sockets:
            for holder in self._holders.find(one.inode, one.uid):
                process = self._processes.holding(holder.pid, holder.number, one.inode)
                if process is not None:
                    owners[process.pid, process.created] = process
        return list(owners.values())

    def _owner(self, found: Sockets, processes: list[Process]) -> Owner:
        confidence = Confidence.HIGH if found.exact else Confidence.MEDIUM
        subjects = [self._subject(process, confidence) for process in processes]
        subject = subjects[0] if len(subjects) == 1 else _ambiguous(subjects)
        key = (subject, found.initiated, found.listening)
        owner = self._owners.get(key)
        if owner is None:
            if len(self._owners) >= _KEPT:
                self._owners.clear()
            owner = self._owners[key] = Owner(subject, initiated=found.initiated, listening=found.listening)
        return owner

    def _subject(self, process: Process, confidence: Confidence) -> Subject:
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[process.pid, process.created] = process
        services, container = process.membership
        return Subject(
            image=process.image,
            canonical_image=posix_image(process.image) if process.image and process.comparable else None,
            services=services if self._systemd else None,
            pid=process.pid,
            process_created=process.created,
            user=process.user,
            container=container,
            source=self.name,
            confidence=confidence,
        )


def _ambiguous(subjects: list[Subject]) -> Subject:
    """Several processes: which of them is not known. The facts shown are the first's."""
    return replace(
        subjects[0],
        confidence=Confidence.LOW,
        candidates=tuple(replace(subject, confidence=Confidence.LOW) for subject in subjects),
    )
