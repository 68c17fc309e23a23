"""The running system as a source of owners: the socket of a flow, its process, the facts of that process.

Knows what an answer is worth, and which way to find one this system has. Must not know how any of them asks. It opens
and reads (/proc, netlink), once for each new flow; nothing waits for another process.

    source = LiveSource()
    owner = source.find(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, OUTBOUND)
    source.process(owner.subject)          # more than rules ask for: parent, command line
    source.refresh()                       # in idle moments

The whole tuple: HIGH. A listener, a UDP socket without a remote end, or psutil's list instead of the kernel's answer:
MEDIUM. Several processes hold the socket (a listener and its forked workers), or several sockets share the port: LOW
and ambiguous, `candidates` are all of them, also if they run the same program. Whatever is not certain is nobody's,
and counted in `misses` with its reason (MISSES). What holds now is what is told: `now_ns` is not used.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from agent.attribution.evidence import Rank
from agent.attribution.live.found import Found, Process
from agent.attribution.live.sockets import TCP, UDP
from agent.attribution.subjects import SubjectMaker
from agent.attribution.values import Owner
from agent.model.address import Address, parse_address
from agent.model.device import Family
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence

SYSTEMD = "/run/systemd/system"
"""Exists where systemd is the manager: elsewhere nothing is known of services (sd_booted(3))."""

MISSES: Mapping[str, str] = {
    "protocol": "neither TCP nor UDP: nobody can say whose raw sockets and ICMP are",
    "no_socket": "the system has no such socket (any more)",
    "no_socket_in_this_namespace": "as no_socket, but there are network namespaces beside ours that may have it",
    "socket_closed": "the connection is known, but no process holds it any more",
    "holder_unknown": "a socket that no process was found to hold: the kernel's own, or looked for in vain too long",
    "process_gone": "whoever held it let go of it, or ended, while being looked at, and another has its place",
    "access_denied": "not enough rights to see who holds it",
    "refused": "the kernel refused to answer",
}
"""Why a socket has no owner."""

_FAMILIES = {"linux": Family.LINUX, "darwin": Family.MAC, "win32": Family.WINDOWS}
_KEPT = 65536


class Finder(Protocol):
    """A way to find who holds a socket."""

    def find(
        self, protocol: int, version: int, local: int, local_port: int, remote: int, remote_port: int, *, direction: int
    ) -> Found | str:
        """Who holds it, or a key of MISSES; `direction` as for LiveSource.find."""

    def refresh(self, links: int) -> None:
        """Work for idle moments."""


class LiveSource:
    """Mutable: it counts, and keeps what it made. Of one thread."""

    name = "live"
    rank = Rank.RECORDS
    complete = False
    """A socket that closed before it was asked for existed, too."""

    def __init__(
        self, *, ask: bool | None = None, systemd: bool | None = None, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        """`ask`: the kernel for each socket (Linux), or else read psutil's list; None: whatever this system can.

        `systemd`: None finds out; `clock`: nanoseconds, for how old a list is. Raises OSError if `ask` cannot be.
        """
        self.warnings: list[tuple[str, str]] = []
        self._misses: dict[str, int] = {}
        self._systemd = os.path.isdir(SYSTEMD) if systemd is None else systemd
        self._family = _FAMILIES.get(sys.platform, Family.LINUX)
        self._asks = False
        self._finder = self._choose(ask, clock)
        self._makers: dict[Confidence, SubjectMaker] = {}
        self._owners: dict[tuple[Subject, bool | None, bool], Owner] = {}
        self._known: dict[tuple[int, int], Process] = {}

    @property
    def facts(self) -> frozenset[str]:
        """Which of `image`, `services`, `package` it can give."""
        if self._family is Family.WINDOWS:
            return frozenset({"image", "services", "package"})
        return frozenset({"image", "services"} if self._systemd else {"image"})

    @property
    def misses(self) -> Mapping[str, int]:
        """How often there was no answer, by reason."""
        return self._misses

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
        answer: Found | str = "protocol"
        if protocol in (TCP, UDP):
            answer = self._finder.find(protocol, version, local, local_port, remote, remote_port, direction=direction)
        if isinstance(answer, Found):
            return self._owner(answer)
        self._misses[answer] = self._misses.get(answer, 0) + 1
        return None

    def process(self, subject: Subject) -> Process | None:
        """All that is known of the process of a subject that this source made; None if it was long ago."""
        if subject.pid is None or subject.process_created is None:
            return None
        return self._known.get((subject.pid, subject.process_created))

    def refresh(self, links: int = 256) -> None:
        """Looks at some more of what processes hold: some milliseconds. For idle moments; answers get better by it."""
        self._finder.refresh(links)

    def local_addresses(self) -> Sequence[Address]:
        """The machine's own."""
        import psutil

        wanted = (socket.AF_INET, socket.AF_INET6)
        interfaces = psutil.net_if_addrs().values()
        found = [parse_address(one.address) for addresses in interfaces for one in addresses if one.family in wanted]
        return list(dict.fromkeys(found))

    # Parts ------------------------------------------------------------------------------------------------------

    def _choose(self, ask: bool | None, clock: Callable[[], int]) -> Finder:
        if ask is not False and (ask or sys.platform == "linux"):
            from agent.attribution.live.asking import Asking

            try:
                finder = Asking(clock=clock)
            except OSError as error:
                if ask:
                    raise
                why = f"{error}: sockets that are closed soon are missed, and who shares one is not seen"
                self.warnings.append(("live_polling", why))
            else:
                self._asks = True
                return finder
        from agent.attribution.live.polling import Polling

        if sys.platform == "linux":
            from agent.attribution.live.processes import Processes

            return Polling(clock=clock, processes=Processes().of)
        from agent.attribution.live.described import Described
        from agent.attribution.live.windows import HostedServices

        if self._family is Family.WINDOWS:
            hosted = HostedServices(clock=time.time_ns)
            return Polling(clock=clock, processes=Described(services=hosted.of).of, dual=False)
        return Polling(clock=clock, processes=Described().of)

    def _owner(self, found: Found) -> Owner:
        confidence = Confidence.HIGH if found.exact and self._asks else Confidence.MEDIUM
        if len(found.processes) > 1:
            confidence = Confidence.LOW
        subjects = [self._subject(process, confidence) for process in found.processes]
        subject = subjects[0] if len(subjects) == 1 else replace(subjects[0], candidates=tuple(subjects))
        key = (subject, found.initiated, found.listening)
        owner = self._owners.get(key)
        if owner is None:
            if len(self._owners) >= _KEPT:
                self._owners.clear()
            owner = self._owners[key] = Owner(subject, initiated=found.initiated, listening=found.listening)
        return owner

    def _subject(self, process: Process, confidence: Confidence) -> Subject:
        if len(self._known) >= _KEPT:  # a year of new processes must not fill the memory
            self._known.clear()
            self._makers.clear()
        self._known[process.pid, process.created] = process
        maker = self._makers.get(confidence)
        if maker is None:
            maker = self._makers[confidence] = SubjectMaker(self.name, family=self._family, confidence=confidence)
        services = process.membership.services
        known = services is not None and (self._systemd or self._family is Family.WINDOWS)
        made = maker.subject(process.image, list(services or ()) if known else None, ..., process.pid, process.user)
        return replace(
            made,
            canonical_image=made.canonical_image if process.comparable else None,
            process_created=process.created,
            container=process.membership.container,
        )
