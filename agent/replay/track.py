"""One engine over the captures with its own policy, control events and outputs; --compare runs two side by side.

Knows when the isolation changes and which sinks listen. Never: files of captures, how a policy is built.
"""

from __future__ import annotations

from typing import Any

from agent.capture.batch import Batch
from agent.engine.events import EventSink, FlowEvent
from agent.model.moment import SECOND
from agent.model.vocabulary import Confidence, Mode, Reason, Verdict
from agent.policy.effective import EffectivePolicy
from agent.replay import report
from agent.replay.control import Isolation
from agent.replay.options import ReplayOptions
from agent.replay.wiring import World, build_engine, compilers
from agent.sinks.decisions import DecisionWriter, open_decisions
from agent.sinks.split import SplitWriter
from agent.sinks.summary import CaptureRow, PolicyRow, SummaryInputs, build_summary

FOREVER = 0xFFFFFFFFFFFFFFFF
FOREIGN_SHARE = 0.05
"""More foreign packets than this part are a warning: the local addresses may be wrong."""


_CARRIERS = {0x88E5: "MACsec", 0x88E7: "provider backbone bridging"}
"""EtherTypes of frames that hold IP packets this version does not look into."""


class Track:
    """One judgement of the run's packets."""

    def __init__(self, world: World, options: ReplayOptions, first: int, listener: EventSink | None = None) -> None:
        """`first`: time of the first packet, ns; `listener`: a sink beside the decision log."""
        self.world = world
        self.options = options
        self.writer: DecisionWriter | None = None
        self.split: SplitWriter | None = None
        try:
            if options.decisions is not None:
                self.writer = open_decisions(options.decisions, options.format, options.events)
            if options.allowed is not None or options.denied is not None:
                self.split = SplitWriter(options.allowed, options.denied)
            sink: EventSink | None = self.writer
            if listener is not None:
                sink = listener if self.writer is None else _Both(self.writer, listener)
            self.engine = build_engine(world, options, sink)
            self.path = self.engine.datapath
            self.isolation = Isolation(self.engine, *compilers(world, options))
            self._schedule(first)
        except BaseException:
            self.abandon()
            raise
        self._first = first

    def _schedule(self, first: int) -> None:
        options = self.options
        self._events: list[tuple[int, str]] = []
        if options.isolate_at is not None:
            self._events.append((options.isolate_at.resolve(first), "isolate"))
        elif options.mode is not Mode.NONE:
            self.isolation.isolate(options.mode, options.use_exclusions, first, None)
        if options.release_at is not None:
            self._events.append((options.release_at.resolve(first), "release"))
        self._events.sort()
        self.path.stop_at = _clock(self._events[0][0]) if self._events else FOREVER
        if options.time_from is not None:
            self.path.begin = _clock(options.time_from.resolve(first))
        if options.time_to is not None:
            self.path.until = _clock(options.time_to.resolve(first))

    # Packets --------------------------------------------------------------------------------------------------------

    def attach(self, batch: Batch) -> None:
        """The next records lie in `batch`."""
        self.path.attach(batch.data)
        self.path.earliest, self.path.latest = FOREVER, 0

    def process(self, batch: Batch, start: int, end: int) -> None:
        """Judge records `start`..`end`, isolating and releasing where their time comes."""
        if self.split is not None:
            self.path.mark(batch.count)
        position = start
        while (position := self._judge(batch, position, end)) < end:
            moment, action = self._events.pop(0)
            if action == "isolate":
                self.isolation.isolate(self.options.mode, self.options.use_exclusions, moment, moment)
            else:
                self.isolation.release(moment, moment)
            self.path.stop_at = _clock(self._events[0][0]) if self._events else FOREVER
        if self.split is not None:
            self._write_packets(batch, start, end)

    def _judge(self, batch: Batch, start: int, end: int) -> int:
        """The first packet not judged, because something happens before it; else `end`."""
        if batch.sights is None:
            return self.path.process(batch.records, start, end)
        return self.path.judge(batch.records, start, end, batch.sights, start)

    def _write_packets(self, batch: Batch, start: int, end: int) -> None:
        assert self.split is not None
        marks = self.path.marks
        for number in range(start, end):
            flow, outcome = marks[2 * number], marks[2 * number + 1]
            if outcome == FOREVER:
                continue  # outside --from and --to
            reason = Reason((outcome >> 2) & 31)
            if reason is Reason.FOREIGN or (reason is Reason.LINK and outcome & 1):
                continue
            self.split.packet(
                batch.time(number),
                batch.link_type(number),
                batch.frame(number),
                batch.original_length(number),
                Verdict(outcome & 1),
                reason,
                flow or None,
                self.engine.verdicts.classes[outcome >> 32].rules if flow else (),
                batch.direction_flag(number),
            )

    def packets(self) -> int:
        return sum(self.path.packets)

    def totals(self) -> tuple[int, int]:
        """(packets, bytes) judged so far."""
        return sum(self.path.packets), sum(self.path.octets)

    def times(self) -> tuple[int, int]:
        """(earliest, latest) packet time since attach(); earliest > latest if there was none."""
        return self.path.earliest, self.path.latest

    # The end ------------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Every live flow gets its record, and the outputs their names."""
        attribution = self.world.attribution
        if attribution is not None and attribution.failures:
            self.engine.fault("attribution_failed", attribution.first_failure or "")
            self.engine.faults["attribution_failed"] = attribution.failures
        self.engine.finish()
        if self.writer is not None:
            self.writer.close()
        if self.split is not None:
            self.split.close()

    def abandon(self) -> None:
        """Leave no output behind."""
        for output in (self.writer, self.split):
            if output is not None:
                output.abandon()

    def faults(self) -> tuple[dict[str, Any], ...]:
        return tuple({"name": name, "count": count, "text": ""} for name, count in self.engine.faults.items())

    @property
    def policy(self) -> EffectivePolicy:
        """The policy of the isolation, or of the device that never was isolated."""
        policy = self.isolation.isolated or self.engine.policy
        assert policy is not None
        return policy

    def policy_row(self) -> PolicyRow:
        policy = self.policy
        return PolicyRow(mode=policy.mode, generation=policy.generation, digest=policy.digest)

    def summary(self, rows: list[CaptureRow], warnings: list[tuple[str, str]], *, interrupted: bool) -> dict[str, Any]:
        """The contract's summary of this track."""
        engine, world = self.engine, self.world
        outcomes = report.outcomes(engine)
        return build_summary(
            SummaryInputs(
                captures=rows,
                outcomes=outcomes,
                flow_reasons=report.flow_reasons(engine),
                cut=engine.cut,
                evicted=engine.flows.evicted,
                rules=report.rule_rows(engine, self.policy),
                attribution=report.attribution_row(
                    engine, Confidence[self.options.settings.word("attribution.minimum_confidence").upper()]
                ),
                direction_guesses=engine.guesses,
                warnings=[*self.policy.warnings, *warnings, *self._warnings(outcomes)],
                policies=self.isolation.policies,
                processes=report.process_rows(engine),
                denied_remotes=report.denied_remotes(engine),
                link_frames=self.path.ether_types,
                device=world.device,
                local=(
                    *(str(address) for address in world.local_exact),
                    *(network.text for network in world.local_networks),
                ),
                local_basis=world.local_basis,
                interrupted=interrupted,
            )
        )

    def _warnings(self, outcomes: dict[tuple[Verdict, Reason], Any]) -> list[tuple[str, str]]:
        engine = self.engine
        found: list[tuple[str, str]] = []
        total = self.packets()
        foreign = outcomes.get((Verdict.ALLOW, Reason.FOREIGN))
        if foreign is not None and foreign.packets > FOREIGN_SHARE * total:
            share = 100 * foreign.packets / total
            found.append(
                ("many_foreign_packets", f"{share:.0f} % of the packets are between other hosts: check --local")
            )
        if engine.counterfactual:
            found.append(
                (
                    "counterfactual",
                    f"{engine.counterfactual:,} denied flows have recorded answers that isolation would have prevented",
                )
            )
        if self._events:
            waiting = " and ".join(f"--{action}-at" for _, action in self._events)
            found.append(("never_reached", f"{waiting}: no packet is so late, so it never happened"))
        if self.isolation.released_free:
            found.append(("release_before_isolation", "--release-at came while the device was not isolated"))
        if self.options.rules is not None and self.options.mode is Mode.FULL:
            found.append(("rules_unused", "full isolation applies no exclusions: --mode selective uses the rules"))
        if self.path.isolated or self.isolation.intervals:
            found += self._isolation_warnings()
        attribution = self.world.attribution
        if attribution is not None:
            found += attribution.warnings
        for name, count in sorted(engine.faults.items()):
            text = f"fault {name} acted {count:,} times"
            if name == "attribution_failed" and attribution is not None:
                text = f"a source failed {count:,} times ({attribution.first_failure}): owners unknown"
            found.append((name, text))
        return found

    def _isolation_warnings(self) -> list[tuple[str, str]]:
        engine, policy = self.engine, self.policy
        found = []
        facts = self.world.attribution.facts if self.world.attribution else frozenset()
        if not policy.embedded:
            found += _not_evaluable(policy, facts)
        elif "image" not in facts:
            text = "the embedded list asks for the process, which no loaded source can tell: it lets nothing through"
            found.append(("rule_not_evaluable", text))
        if engine.essentials.learned_resolvers:
            learned = ", ".join(str(address) for address in engine.essentials.learned_resolvers)
            found.append(("resolvers_learned", f"DHCP handed out resolvers beyond the configured ones: {learned}"))
        unread = [name for number, name in _CARRIERS.items() if number in self.path.ether_types]
        if unread:
            text = f"frames of {', '.join(unread)} carry traffic that is not looked into: they count as link frames"
            found.append(("link_frames_carry_traffic", text))
        if engine.essentials.open_questions:
            text = f"{engine.essentials.open_questions:,} DNS questions for other names passed: an exfiltration path"
            found.append(("open_dns_queries", text))
        window = self.options.settings.number("cloud_channel.watch_window") * SECOND
        start, end = self.isolation.intervals[-1]
        end = self.path.now if end < 0 else end
        silent = end - max(start, engine.cloud_last) >= window
        if engine.agent_denied or silent:
            why = (
                f"{engine.agent_denied:,} attempts of the Defender agent were denied"
                if engine.agent_denied
                else f"no cloud-channel traffic left in the last {window // SECOND:,} s of the isolation"
            )
            found.append(("cloud_channel_unreachable", f"{why}: the device may be cut off from its release"))
        return found


def _clock(moment: int) -> int:
    """A moment on the packets' clock, which has 64 bits: an RFC 3339 time may lie before 1970 or after 2554."""
    return min(max(moment, 0), FOREVER)


def _not_evaluable(policy: EffectivePolicy, facts: frozenset[str]) -> list[tuple[str, str]]:
    """Rules with a condition that no loaded source can ever answer."""
    found = []
    for one in policy.filters:
        missing = [
            what
            for what, fact, value in (
                ("process", "image", one.image),
                ("service", "services", one.service),
                ("package", "package", one.package),
            )
            if value is not None and fact not in facts
        ]
        if missing:
            text = f"rule {one.name!r} asks for the {' and the '.join(missing)}, which no loaded source can tell"
            found.append(("rule_not_evaluable", text))
    return found


class _Both:
    """Two sinks as one."""

    def __init__(self, first: EventSink, second: EventSink) -> None:
        self._sinks = (first, second)

    def flow(self, event: FlowEvent) -> None:
        for sink in self._sinks:
            sink.flow(event)

    def isolation(self, record: dict[str, Any]) -> None:
        for sink in self._sinks:
            sink.isolation(record)

    def fault(self, record: dict[str, Any]) -> None:
        for sink in self._sinks:
            sink.fault(record)
