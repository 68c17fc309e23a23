r"""Processes that logs saw begin, and the services they host: what a socket's claim is completed with.

Knows when two rows mean one process: the same guid, the same pid and creation, or the pid of a start in the same log
before it and the same program. Never a bare pid: pids are given again. Must not know formats or sockets.

    >>> hosted_services(Claim(image=r"C:\Windows\System32\svchost.exe", command_line="svchost.exe -k netsvcs -s BITS"))
    ('BITS',)
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.attribution.agreement import CREATION_SLACK, same_image
from agent.attribution.evidence import Claim, HostedServices, ProcessStart
from agent.attribution.recorded import same_host
from agent.attribution.subjects import SubjectMaker
from agent.model.image import image_name
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence

if TYPE_CHECKING:
    from agent.attribution.collector import Collector

_SERVICE = re.compile(r"(?:^|\s)-s\s+(?:\"([^\"\s]+)\"|([^\"\s]+))(?=\s|$)")
SERVICE_HOST = "svchost.exe"
_SERVICE_HOST_PATH = re.compile(
    r"(?:(?:\\\\[?.]\\)?C:|\\Device\\HarddiskVolume\d+)\\Windows\\(?:System32|SysWOW64)\\svchost\.exe",
    re.IGNORECASE | re.ASCII,
)
"""Windows' own. Any user may put a program of that name elsewhere, with any command line."""


def hosted_services(claim: Claim) -> tuple[str, ...] | None:
    """The one service that a service host was started for; None if its command line does not say (-k names a group)."""
    if claim.command_line is None or not is_service_host(claim.image):
        return None
    found = _SERVICE.search(claim.command_line)
    return (found[1] or found[2],) if found else None


def is_service_host(image: str | None) -> bool:
    """True for Windows' own service host, by its whole path."""
    return image is not None and _SERVICE_HOST_PATH.fullmatch(image.replace("/", "\\")) is not None


def subject_of(maker: SubjectMaker, claim: Claim, services: tuple[str, ...] | None, confidence: Confidence) -> Subject:
    """The subject that a claim describes; `services` where the claim itself does not say."""
    known = claim.services if claim.services is not None else services
    package = ... if claim.package_family_name is None else claim.package_family_name
    made = maker.subject(
        claim.image,
        None if known is None else list(known),
        package,
        claim.pid,
        claim.user,
        claim.created,
        claim.container,
    )
    return made if made.confidence is confidence else replace(made, confidence=confidence)


def seen_from_outside(subject: Subject) -> Subject:
    """Without what a container's own word would be: what it calls so is another program, service and package."""
    if subject.container is None:
        return subject
    return replace(subject, canonical_image=None, services=None, package_family_name=None, package_known=False)


class Processes:
    """What all logs of a run say of processes. Built once."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._by_guid: dict[str, Claim] = {}
        self._by_creation: dict[tuple[str, int, int], Claim] = {}
        self._by_pid: dict[tuple[int, str, int], list[ProcessStart]] = {}
        self._services: dict[int, list[HostedServices]] = {}
        for collector in collectors:
            for start in collector.starts:
                self._take(collector, start)
            for row in collector.services:
                self._services.setdefault(row.pid, []).append(row)
        for starts in self._by_pid.values():
            starts.sort(key=_created)

    def _take(self, collector: Collector, start: ProcessStart) -> None:
        claim = start.claim
        if claim.created is None:
            claim = claim._replace(created=start.created)
            start = start._replace(claim=claim)
        if claim.guid is not None:
            self._by_guid.setdefault(claim.guid, claim)
        if claim.pid is not None:
            self._by_creation.setdefault((_short(start.host), claim.pid, start.created), claim)
            self._by_pid.setdefault((id(collector), start.host, claim.pid), []).append(start)

    def complete(self, collector: Collector, host: str, claim: Claim, time: int) -> Claim:
        """`claim` with what its process's start says where it says nothing itself. `time` by the collector's clock."""
        start = None
        if claim.guid is not None:
            start = self._by_guid.get(claim.guid)
        if start is None and claim.pid is not None:
            if claim.created is not None:
                start = self._by_creation.get((_short(host), claim.pid, claim.created))
            elif claim.guid is None:
                start = self._latest(collector, host, claim, time)
        if start is None:
            return claim
        return Claim._make(own if own is not None else known for own, known in zip(claim, start, strict=True))

    def _latest(self, collector: Collector, host: str, claim: Claim, time: int) -> Claim | None:
        """The last start of that pid before `time` in the same log, if it is the same program.

        Only for logs that have no guids: where starts have one, a claim without has lost it, and Sysmon's times of
        starts and of connections are by different clocks.
        """
        starts = None if claim.pid is None else self._by_pid.get((id(collector), host, claim.pid))
        if starts is None or claim.image is None:
            return None
        place = bisect_right(starts, time, key=_created)
        found = starts[place - 1].claim if place else None
        if found is None or found.guid is not None or found.image is None:
            return None
        return found if same_image(found.image, claim.image) else None

    def services_of(self, host: str, claim: Claim) -> tuple[tuple[str, ...] | None, Confidence]:
        """(services, how sure at most) from a table of pids: HIGH if it proves to mean this very process.

        A table without times is taken for the program of that pid it names: MEDIUM for Windows' own service host,
        of which nobody else can start one under its path, LOW for any other. (None, HIGH): no table says.
        """
        if claim.pid is None:
            return None, Confidence.HIGH
        for row in self._services.get(claim.pid, ()):
            if row.host and host and not same_host(row.host, host):
                continue
            if row.created is not None and claim.created is not None:
                if abs(row.created - claim.created) <= CREATION_SLACK:
                    return row.services, Confidence.HIGH
            elif claim.image is not None and _is_program(row.image or SERVICE_HOST, claim.image):
                if row.taken is None or claim.created is None:
                    return row.services, Confidence.MEDIUM if is_service_host(claim.image) else Confidence.LOW
                if claim.created <= row.taken:
                    return row.services, Confidence.HIGH
        return None, Confidence.HIGH


def _is_program(listed: str, image: str) -> bool:
    """A table names svchost without its folder, which can be one place only."""
    return is_service_host(image) if image_name(listed).lower() == SERVICE_HOST else same_image(listed, image)


def _created(start: ProcessStart) -> int:
    return start.created


def _short(host: str) -> str:
    return host.lower().partition(".")[0]
