"""One isolated device on a bench: an engine as a replay builds it, fed one frame at a time.

    lab = Lab("selective", rules=[{"name": "web", "remote_ips": ["203.0.113.9"]}])
    assert lab.send(tcp_frame("10.0.0.5:50000", "203.0.113.9:443", flags=SYN)) == ("allow", "exclusion")
    [flow] = lab.finish()

Never: files. What a test does not say is a Windows 11 workstation 10.0.0.5 whose resolver is 10.0.0.1.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from agent.attribution.chain import Attribution
from agent.attribution.evidence import Rank
from agent.attribution.timeline import Timeline
from agent.attribution.values import Owner, SocketRecord
from agent.engine.events import FIELDS, FlowEvent
from agent.model.address import parse_address, parse_endpoint
from agent.model.device import Device
from agent.model.protocols import parse_protocol
from agent.model.rule import Network, RuleDocument
from agent.model.settings import Settings
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence, Mode, Reason, Verdict
from agent.policy.document import load_mapping
from agent.policy.effective import CloudChannel, Filter
from agent.policy.rules import parse_rules
from agent.policy.values import parse_network
from agent.replay.control import Isolation
from agent.replay.options import ReplayOptions
from agent.replay.report import flow_reasons, outcomes
from agent.replay.wiring import World, build_engine, compilers

SECOND = 1_000_000_000
START = 1_767_603_600 * SECOND
"""2026-01-05T09:00:00Z"""
DEVICE, RESOLVER, REMOTE = "10.0.0.5", "10.0.0.1", "203.0.113.9"
AGENT, OTHER = "C:\\Agent\\agent.exe", "C:\\Tools\\other.exe"
CLOUD_HOST, CLOUD_ADDRESS = "cloud.example.test", "192.0.2.250"
INBOUND, OUTBOUND = 1, 2

CLOUD = CloudChannel(
    exact_names=frozenset({CLOUD_HOST}),
    suffixes=(".channel.example.test",),
    networks=(parse_network("192.0.2.240/28"),),
    crl_names=frozenset({"crl.example.test"}),
    tls_ports=frozenset({443}),
    crl_ports=frozenset({80}),
    agents=(
        Filter(index=0, name="agent", image=AGENT.upper(), reserved=True),
        Filter(index=1, name="sense", service="sense", reserved=True),
    ),
)


def rule_document(rules: Iterable[Mapping[str, Any]], *, feature: bool | None = True) -> RuleDocument:
    """Windows rules as an administrator writes them."""
    tree: dict[str, Any] = {"version": 1, "windows_rules": list(rules)}
    if feature is not None:
        tree["isolation_exclusions"] = feature
    return parse_rules(load_mapping(json.dumps(tree).encode(), name="rules.json"), "rules.json")


def program(image: str | None, *, services: tuple[str, ...] | None = None, **facts: Any) -> Subject:
    return Subject(
        image=image, canonical_image=None if image is None else image.upper(), services=services, source="test", **facts
    )


def socket(local: str, remote: str | None = None, subject: Subject | None = None, **facts: Any) -> SocketRecord:
    """A socket record that holds from before the first packet on; `protocol` is tcp unless told."""
    return SocketRecord(
        start=facts.pop("start", START - SECOND),
        end=facts.pop("end", None),
        protocol=parse_protocol(facts.pop("protocol", "tcp")),
        local=parse_endpoint(local),
        remote=None if remote is None else parse_endpoint(remote),
        subject=subject or program(OTHER),
        **facts,
    )


class Records:
    """A source of owners from socket records."""

    name = "test"
    rank = Rank.RECORDS
    misses: Mapping[str, int] = {}
    facts = frozenset({"image", "services", "package"})
    warnings: tuple[tuple[str, str], ...] = ()

    def __init__(self, records: Iterable[SocketRecord], *, complete: bool = False, slack: int = 60) -> None:
        timeline = Timeline(slack * SECOND)
        for record in records:
            timeline.add(record)
        timeline.freeze()
        self.complete = complete
        self.find = timeline.find

    def local_addresses(self) -> tuple[()]:
        return ()


def owners(*records: SocketRecord, complete: bool = False) -> Attribution:
    attribution = Attribution()
    attribution.add(Records(records, complete=complete))
    return attribution


class Everybody:
    """A source for which `subject` owns every socket."""

    name = "test"
    rank = Rank.RECORDS
    misses: Mapping[str, int] = {}
    complete = False
    facts = frozenset({"image", "services", "package"})
    warnings: tuple[tuple[str, str], ...] = ()

    def __init__(self, subject: Subject) -> None:
        self._owner = Owner(subject)

    def find(self, *_: int) -> Owner:
        return self._owner

    def local_addresses(self) -> tuple[()]:
        return ()


def everybody(image: str = OTHER, **facts: Any) -> Attribution:
    attribution = Attribution()
    attribution.add(Everybody(program(image, **facts)))
    return attribution


LOW = Confidence.LOW


class Told:
    """A sink that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[SimpleNamespace] = []

    def flow(self, event: FlowEvent) -> None:
        self.events.append(SimpleNamespace(**{name: getattr(event, name) for name in FIELDS}))

    def isolation(self, record: dict[str, Any]) -> None:
        self.events.append(SimpleNamespace(event_type="isolation", record=record))

    def fault(self, record: dict[str, Any]) -> None:
        self.events.append(SimpleNamespace(event_type="fault", record=record))

    def close(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class Lab:
    """One device, its engine, and everything the engine told. `then`: what isolate() does where it begins free."""

    def __init__(
        self,
        mode: str = "full",
        *,
        then: str = "full",
        rules: Iterable[Mapping[str, Any]] = (),
        feature: bool | None = True,
        local: Iterable[str] = (DEVICE,),
        prefixes: Iterable[str] = (),
        resolvers: Iterable[str] = (RESOLVER,),
        attribution: Attribution | None = None,
        names: Mapping[str, tuple[str, ...]] | None = None,
        settings: Mapping[str, Any] | None = None,
        simulate: Mapping[str, int] | None = None,
        all_events: bool = False,
        sink: Any = None,
    ) -> None:
        networks: list[Network] = [parse_network(text) for text in prefixes]
        world = World(
            device=Device(assumed=True),
            rules=rule_document(rules, feature=feature),
            cloud=CLOUD,
            known_names={parse_address(address): found for address, found in (names or {}).items()},
            attribution=attribution,
            local_exact=[parse_address(text) for text in local],
            local_networks=networks,
            resolvers=[parse_address(text) for text in resolvers],
        )
        self.mode = Mode(mode if mode != "none" else then)
        options = ReplayOptions(
            captures=(),
            mode=self.mode,
            settings=Settings(dict(settings or {})),
            simulate=simulate or {},
            events="all" if all_events else "flow",
        )
        self.told = Told()
        self.engine = build_engine(world, options, sink or self.told)
        self.path = self.engine.datapath
        self.isolation = Isolation(self.engine, *compilers(world, options))
        self.now = START
        self.finished = False
        if mode != "none":
            self.isolate()

    def isolate(self) -> None:
        self.isolation.isolate(self.mode, True, self.now, self.now)

    def release(self) -> None:
        self.isolation.release(self.now, self.now)

    def send(
        self,
        frame: bytes,
        at: float | None = None,
        *,
        flag: int = 0,
        link: int = 1,
        captured: int | None = None,
    ) -> tuple[str, str]:
        """(verdict, reason) of one frame. `at`: seconds after START, the last time again where it is None."""
        if at is not None:
            self.now = START + round(at * SECOND)
        kept = len(frame) if captured is None else captured
        # The frame lies behind something else, as in a file: offsets are not forgotten unnoticed.
        data = b"\xa5" * 3 + frame[:kept]
        words = array("Q", [self.now, 3, kept << 32 | len(frame), link | flag << 32, 0])
        self.path.attach(data)
        self.path.mark(1)
        assert self.path.process(words, 0, 1) == 1
        self.flow_id: int = self.path.marks[0]
        outcome = self.path.marks[1]
        return Verdict(outcome & 1).label, Reason(outcome >> 2 & 31).label

    @property
    def flows(self) -> list[SimpleNamespace]:
        """The flow records told so far."""
        return [event for event in self.told.events if event.event_type == "flow"]

    def finish(self) -> list[SimpleNamespace]:
        """Ends the run: every flow record, in order. What must always add up is checked on the way."""
        self.engine.finish()
        self.finished = True
        self.check()
        return self.flows

    def check(self) -> None:
        """Every packet counted once, every flow under one verdict, every attribution known or not."""
        packets = {key: tally.packets for key, tally in outcomes(self.engine).items()}
        flows = flow_reasons(self.engine)
        if self.finished:
            assert sum(flows.values()) == self.engine.attributed + self.engine.unattributed
            with_flow = sum(count for (_, reason), count in packets.items() if reason in WITH_FLOW)
            recorded = sum(event.packets_original + event.packets_reply for event in self.flows)
            assert recorded <= with_flow <= recorded + self.orphans(packets)
        assert sum(packets.values()) == sum(self.path.packets)

    @staticmethod
    def orphans(packets: Mapping[tuple[Verdict, Reason], int]) -> int:
        """Later fragments without their first may have the reason of a flow, but none of their own."""
        return sum(packets.get((Verdict.ALLOW, reason), 0) for reason in (Reason.NOT_ISOLATED, Reason.LOOPBACK))


WITH_FLOW = frozenset(
    {Reason.NOT_ISOLATED, Reason.LOOPBACK, Reason.CLOUD_CHANNEL, Reason.ESSENTIAL, Reason.EMBEDDED_EXCLUSION}
    | {Reason.EXCLUSION, Reason.FULL_ISOLATION, Reason.NO_MATCHING_EXCLUSION}
)
"""Reasons that semantics.md 11 gives a flow."""
