"""What a run found, gathered from the engine's counters for the summary. Never: decides or formats anything."""

from __future__ import annotations

from typing import Any

from agent.attribution.chain import Attribution, Source
from agent.engine.engine import Engine
from agent.model.address import Address
from agent.model.moment import format_time
from agent.model.vocabulary import Confidence, Reason, Verdict
from agent.policy.effective import EffectivePolicy
from agent.sinks.summary import TOP_DENIED, AttributionRow, ProcessRow, RuleRow, Tally


def outcomes(engine: Engine) -> dict[tuple[Verdict, Reason], Tally]:
    """Packets and bytes by verdict and reason."""
    path = engine.datapath
    return {
        (verdict, reason): Tally(path.packets[32 * verdict + reason], path.octets[32 * verdict + reason])
        for verdict in (Verdict.DENY, Verdict.ALLOW)
        for reason in Reason
        if path.packets[32 * verdict + reason]
    }


def flow_reasons(engine: Engine) -> dict[tuple[Verdict, Reason], int]:
    """Flows by their last verdict and its reason."""
    return {
        (verdict, reason): engine.flow_outcomes[32 * verdict + reason]
        for verdict in Verdict
        for reason in Reason
        if engine.flow_outcomes[32 * verdict + reason]
    }


def rule_rows(engine: Engine, policy: EffectivePolicy) -> list[RuleRow]:
    """Each rule of the snapshot (or filter of the embedded list) with what it let through."""
    if policy.embedded:
        rows = [RuleRow(name=one.name) for one in policy.filters]
    else:
        rows = [
            RuleRow(
                name=rule.name,
                status="active" if rule.filter is not None else "ignored",
                ignored_because=rule.ignored_because,
            )
            for rule in policy.snapshot
        ]
    by_name = {row.name: row for row in rows}
    for number, found in enumerate(engine.verdicts.classes):
        if 3 * number + 3 > len(engine.class_counts):
            break
        for name in found.rules:
            row = by_name.get(name)
            if row is not None:
                row.packets += engine.class_counts[3 * number]
                row.bytes += engine.class_counts[3 * number + 1]
                row.flows += engine.class_counts[3 * number + 2]
    return rows


def process_rows(engine: Engine) -> list[ProcessRow]:
    """What each program kept and lost, one row per image as the sources spell it."""
    rows: dict[str | None, ProcessRow] = {}  # by what is compared, so that spellings of one path are one program
    for number, subject in enumerate(engine.subjects):
        if 5 * number + 5 > len(engine.subject_counts):
            break
        counts = list(engine.subject_counts[5 * number : 5 * number + 4])
        if any(counts):
            image = subject.image
            if image is None and subject.pid is not None:
                image = f"(pid {subject.pid})"  # its program is not known, but it is somebody
            row = rows.setdefault(subject.canonical_image or image, ProcessRow(image=image))
            row.allowed.packets += counts[0]
            row.allowed.bytes += counts[1]
            row.denied.packets += counts[2]
            row.denied.bytes += counts[3]
    return list(rows.values())


def denied_remotes(engine: Engine) -> list[tuple[Address, int, int]]:
    """(remote, packets, bytes) of the remotes that lost most."""
    return engine.denied_remotes.most(TOP_DENIED)


def attribution_row(engine: Engine, minimum: Confidence) -> AttributionRow:
    """How the flows were attributed: by source, by confidence, and who the rest talked to.

    `minimum`: the setting attribution.minimum_confidence.
    """
    row = AttributionRow(attributed_flows=engine.attributed, unattributed_flows=engine.unattributed)
    for number, subject in enumerate(engine.subjects):
        if number == 0 or 5 * number + 5 > len(engine.subject_counts):
            continue
        flows = engine.subject_counts[5 * number + 4]
        row.by_source[subject.source] = row.by_source.get(subject.source, 0) + flows
        label = subject.confidence.label
        row.by_confidence[label] = row.by_confidence.get(label, 0) + flows
        row.ambiguous_flows += flows if subject.ambiguous else 0
        row.usable_flows += flows if subject.confidence >= minimum else 0
    attribution = engine.attribution
    if attribution is not None:
        row.sources = tuple(attribution.source_names)
        row.unattributed_remotes = engine.unattributed_remotes.most(TOP_DENIED)
        row.misses = attribution.misses
        for source in attribution.sources:
            for found in getattr(source, "offsets", ()):
                row.clock_offsets.append((found.source, found.host, found.offset, found.hits, found.applied))
    return row


def source_rows(attribution: Attribution) -> list[dict[str, Any]]:
    """What each source holds, host by host."""
    rows = []
    for source in sorted(attribution.sources, key=_rank):
        answering = getattr(source, "answering", ())
        timelines = [(host.name, host.timeline, host in answering) for host in getattr(source, "hosts", ())]
        if not timelines and (timeline := getattr(source, "timeline", None)) is not None:
            timelines = [("", timeline, True)]
        for host, timeline, used in timelines:
            first, last = timeline.span()
            rows.append(
                {
                    "source": source.name,
                    "path": getattr(source, "path", "(in the captures)"),
                    "host": host,
                    "used": used,
                    "rank": source.rank.name.lower(),
                    "sockets": len(timeline),
                    "facts": sorted(source.facts),
                    "witness": getattr(source, "witness", False),
                    "complete": source.complete,
                    "first": None if first is None else format_time(first),
                    "last": None if last is None else format_time(last),
                }
            )
    return rows


def _rank(source: Source) -> int:
    return source.rank
