"""One log of one host or several, collected, then turned into a source of owners: joined, oriented, indexed.

Knows how evidence becomes records: a process is joined by its guid or by pid and creation, never by a bare pid; the
local end is told by the host's own addresses where a row does not say. Must not know any format.

    collector = Collector("sysmon", path, context=context)
    collector.started(ProcessStart(...)); collector.saw(Observation(...))
    source = collector.source(Processes([collector]))          # once every file of the run has been read
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.attribution.evidence import NOBODY, Claim, Context, HostedServices, Observation, ProcessStart, Rank, Side
from agent.attribution.processes import Processes, hosted_services, seen_from_outside, subject_of
from agent.attribution.recorded import Host, Recorded
from agent.attribution.subjects import SubjectMaker, packages_folder
from agent.attribution.timeline import Timeline
from agent.attribution.values import SocketRecord
from agent.model.address import Address, Endpoint, is_unicast
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Confidence

_TCP = 6


class Collector:
    """Takes what one source (one format in one file) says. Mutable; used up by `source`."""

    def __init__(
        self,
        name: str,
        path: str,
        *,
        context: Context,
        rank: Rank = Rank.LOG,
        confidence: Confidence = Confidence.HIGH,
        witness: bool = False,
    ) -> None:
        """`name`: what records call it: `sysmon`, `security`, ...; `confidence`: of an exact tuple inside its time.

        `witness`: it knows no processes, only who opened connections; the first end of a row is who did.
        """
        self.name = name
        self.path = path
        self.context = context
        self.rank = rank
        self.confidence = confidence
        self.witness = witness
        self.observations: list[Observation] = []
        self.starts: list[ProcessStart] = []
        self.services: list[HostedServices] = []
        self.warnings: list[tuple[str, str]] = []
        self.timeless = False
        """True: its observations have no time of their own (time 0, end FOREVER), and no clock to compare."""

    def saw(self, observation: Observation) -> None:
        """A socket, in the log's own order."""
        self.observations.append(observation)

    def started(self, start: ProcessStart) -> None:
        """A process."""
        self.starts.append(start)

    def hosts(self, row: HostedServices) -> None:
        """A process and the services in it."""
        self.services.append(row)

    def warn(self, code: str, text: str) -> None:
        """For the summary."""
        self.warnings.append((code, text))

    def source(self, processes: Processes) -> Recorded:
        """The source it makes, with process facts of every log of the run. The observations are given up."""
        device = self.context.device
        maker = SubjectMaker(
            self.name,
            family=device.family,
            drives=device.drives,
            packages_root=packages_folder(device),
            confidence=self.confidence,
        )
        subjects = _Subjects(self, maker, processes)
        observations, self.observations = self.observations, []
        own = _own_addresses(observations)
        timelines: dict[str, Timeline] = {}
        for row in observations:
            timeline = timelines.get(row.host)
            if timeline is None:
                timeline = timelines[row.host] = Timeline(self.context.slack_ns, moments=not self.timeless)
            subject = subjects.of(row)
            for record in self._oriented(row, subject, own[row.host]):
                timeline.add(record)
        hosts = []
        for name, timeline in timelines.items():
            timeline.freeze()
            hosts.append(Host(name=name, timeline=timeline, addresses=tuple(own[name])))
        return Recorded(
            self.name,
            self.path,
            hosts,
            device=device,
            rank=self.rank,
            facts=maker.facts,
            witness=self.witness,
            timeless=self.timeless,
            warnings=[*self.warnings, *maker.warnings(self.path)],
            slack_ns=self.context.slack_ns,
        )

    def _oriented(self, row: Observation, subject: Subject, own: dict[Address, None]) -> Iterator[SocketRecord]:
        """The row's socket, seen from its local end; from both where nothing tells which end that is.

        Only an address of the device is ever asked for, so the other way round answers nobody.
        """
        second = row.second
        if second is None:
            yield self._record(row, row.first, None, subject, None)
            return
        side = row.local
        if side is Side.UNSURE:
            first_own, second_own = row.first.address in own, second.address in own
            side = Side.UNSURE if first_own == second_own else Side.FIRST if first_own else Side.SECOND
        if side is not Side.SECOND:
            yield self._record(row, row.first, second, subject, True if self.witness else row.initiated)
        if side is not Side.FIRST:
            initiated = False if self.witness else row.initiated if side is Side.SECOND else _other(row.initiated)
            yield self._record(row, second, row.first, subject, initiated)

    def _record(
        self, row: Observation, local: Endpoint, remote: Endpoint | None, subject: Subject, initiated: bool | None
    ) -> SocketRecord:
        return SocketRecord(
            start=row.time,
            end=row.end,
            protocol=row.protocol,
            local=local,
            remote=remote,
            subject=subject,
            initiated=initiated if row.protocol == _TCP else None,
            listening=row.listening,
        )


def _other(initiated: bool | None) -> bool | None:
    return None if initiated is None else not initiated


def _own_addresses(observations: list[Observation]) -> dict[str, dict[Address, None]]:
    """By host, in order of first appearance: the addresses that rows prove to be its own."""
    own: dict[str, dict[Address, None]] = {}
    for row in observations:
        found = own.setdefault(row.host, {})
        if row.local is Side.UNSURE or not row.proves_address:
            continue
        end = row.first if row.local is Side.FIRST else row.second
        if end is not None and end.address is not None and is_unicast(end.address):
            found[end.address] = None
    return own


class _Subjects:
    """The subjects of one log's claims: each made once, with what process starts and service tables add."""

    def __init__(self, collector: Collector, maker: SubjectMaker, processes: Processes) -> None:
        self._collector = collector
        self._maker = maker
        self._processes = processes
        self._known: dict[tuple[str, Claim], Subject] = {}

    def of(self, row: Observation) -> Subject:
        claim = row.claim
        if claim is NOBODY or claim == NOBODY:
            return UNATTRIBUTED
        full = self._processes.complete(self._collector, row.host, claim, row.time)
        known = self._known.get((row.host, full))
        if known is None:
            known = self._known[row.host, full] = self._make(row, full)
        return known

    def _make(self, row: Observation, claim: Claim) -> Subject:
        confidence = self._collector.confidence
        services = hosted_services(claim)
        if services is None and claim.services is None:
            services, most = self._processes.services_of(row.host, claim)
            confidence = min(confidence, most)
        return seen_from_outside(subject_of(self._maker, claim, services, confidence))
