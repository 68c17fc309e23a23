"""The contract's summary of a run, as one dict that is both printed and written.

Knows the summary's wire names and its order. Must not know how anything was counted. Every packet of the captures is in
exactly one bucket, so the sums add up: `disagreements` says where they do not.

    >>> bucket(Verdict.DENY, Reason.FULL_ISOLATION)
    <Bucket.DENIED: 'denied'>
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.model.address import Address
from agent.model.device import Device
from agent.model.moment import SECOND, format_time
from agent.model.vocabulary import Bucket, Confidence, Mode, Reason, Verdict
from agent.sinks.lines import clean

TOP_DENIED = 10


@dataclass(slots=True)
class Tally:
    """Packets and frame bytes."""

    packets: int = 0
    bytes: int = 0

    def as_dict(self) -> dict[str, int]:
        return {"packets": self.packets, "bytes": self.bytes}


@dataclass(slots=True, kw_only=True)
class CaptureRow:
    """One capture that was read."""

    path: str
    packets: int = 0
    bytes: int = 0
    first: int | None = None
    """Nanoseconds of its earliest packet; None if none has a time."""
    last: int | None = None
    link_types: tuple[str, ...] = ()
    """Names, in order of appearance."""
    truncated_tail: bool = False
    errors: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class RuleRow:
    """One rule of the snapshot with what it let through; a flow counts for every rule that matched it."""

    name: str
    status: str = "active"
    """`active` or `ignored`."""
    ignored_because: str | None = None
    packets: int = 0
    flows: int = 0
    bytes: int = 0


@dataclass(slots=True, kw_only=True)
class ProcessRow:
    """What one program kept and lost. `image` None: traffic that no source could attribute."""

    image: str | None
    allowed: Tally = field(default_factory=Tally)
    denied: Tally = field(default_factory=Tally)


@dataclass(slots=True, kw_only=True)
class AttributionRow:
    """How well the flows' owners are known."""

    sources: tuple[str, ...] = ()
    """In the order in which they are asked."""
    attributed_flows: int = 0
    unattributed_flows: int = 0
    ambiguous_flows: int = 0
    """Attributed flows whose owner may be one of several."""
    usable_flows: int = 0
    """Attributed flows whose owner is sure enough for rules (attribution.minimum_confidence)."""
    by_source: dict[str, int] = field(default_factory=dict)
    """Attributed flows by the source that knew the owner; `a+b` where two agreed."""
    by_confidence: dict[str, int] = field(default_factory=dict)
    unattributed_remotes: Iterable[tuple[Address, int, int]] = ()
    """(remote, packets, bytes) of flows that no source knew."""
    misses: Mapping[str, int] = field(default_factory=dict)
    """Why a source that was asked could not tell, and how often."""
    clock_offsets: list[tuple[str, str, int, int, bool]] = field(default_factory=list)
    """(source, host, nanoseconds the capture's clock shows more, flows that tell it, applied)."""


@dataclass(slots=True, kw_only=True)
class PolicyRow:
    """A policy that was in force, from `at` (nanoseconds; None: from the first packet) on."""

    mode: Mode
    generation: int
    digest: str
    at: int | None = None


@dataclass(slots=True, kw_only=True)
class SummaryInputs:
    """Everything a summary is made of."""

    captures: list[CaptureRow]
    outcomes: Mapping[tuple[Verdict, Reason], Tally]
    """Every packet of the captures once; verdicts are ALLOW and DENY. FOREIGN and allowed LINK have own buckets."""
    flow_reasons: Mapping[tuple[Verdict, Reason], int]
    """Distinct flow ids by their last verdict and its reason."""
    cut: int = 0
    """Flows whose last verdict is denied and that an earlier authorisation allowed."""
    evicted: int = 0
    rules: list[RuleRow] = field(default_factory=list)
    attribution: AttributionRow = field(default_factory=AttributionRow)
    direction_guesses: int = 0
    warnings: list[tuple[str, str]] = field(default_factory=list)
    """(code, text); the first of equal pairs counts."""
    policies: list[PolicyRow] = field(default_factory=list)
    """In order of installation; the summary's `policy` is the last that isolates, else the last."""
    processes: list[ProcessRow] = field(default_factory=list)
    denied_remotes: Iterable[tuple[Address, int, int]] = ()
    """(remote, denied packets, their bytes), in any order."""
    link_frames: Mapping[int, int] = field(default_factory=dict)
    """EtherType to packets of the frames that are not IP."""
    device: Device = field(default_factory=Device)
    local: tuple[str, ...] = ()
    """Addresses and prefixes that counted as the device's."""
    local_basis: str = "none"
    """How they were found: option, device, interfaces, attribution, outbound_frames, look_ahead, none."""
    interrupted: bool = False


def bucket(verdict: Verdict, reason: Reason) -> Bucket:
    """The one bucket a packet with this outcome is in (semantics 11)."""
    if reason is Reason.FOREIGN:
        return Bucket.IGNORED
    if verdict is Verdict.DENY:
        return Bucket.DENIED
    return Bucket.LINK if reason is Reason.LINK else Bucket.ALLOWED


def build_summary(inputs: SummaryInputs) -> dict[str, Any]:
    """The summary, keys in the contract's order, equal inputs giving equal bytes."""
    packets, sizes = dict.fromkeys(Bucket, 0), dict.fromkeys(Bucket, 0)
    for (verdict, reason), tally in inputs.outcomes.items():
        packets[bucket(verdict, reason)] += tally.packets
        sizes[bucket(verdict, reason)] += tally.bytes
    summary = {
        "version": 1,
        "captures": [_capture(row) for row in inputs.captures],
        "packets": {"total": sum(packets.values()), **{name.value: packets[name] for name in Bucket}},
        "bytes": {"total": sum(sizes.values()), **{name.value: sizes[name] for name in Bucket}},
        "flows": _flows(inputs),
        "reasons": _reasons(inputs),
        "outcomes": _outcomes(inputs),
        "rules": [_rule(row) for row in inputs.rules],
        "attribution": _attribution(inputs.attribution),
        "direction_guesses": inputs.direction_guesses,
        "warnings": [{"code": code, "text": text} for code, text in dict.fromkeys(inputs.warnings)],
        **_policies(inputs.policies),
        "processes": _processes(inputs.processes),
        "top_denied": _busiest(inputs.denied_remotes),
        "link_frames": [
            {"ethertype": f"0x{number:04x}", "packets": count} for number, count in sorted(inputs.link_frames.items())
        ],
        "device": {
            "assumed": inputs.device.assumed,
            "name": inputs.device.name,
            "platform": inputs.device.platform,
            "local": list(inputs.local),
            "local_basis": inputs.local_basis,
        },
        "interrupted": inputs.interrupted,
    }
    return clean(summary)  # type: ignore[no-any-return]  # clean() keeps the shape, which its type cannot say


def _capture(row: CaptureRow) -> dict[str, Any]:
    return {
        "path": row.path,
        "packets": row.packets,
        "bytes": row.bytes,
        "first": None if row.first is None else format_time(row.first),
        "last": None if row.last is None else format_time(row.last),
        "link_types": list(row.link_types),
        "truncated_tail": row.truncated_tail,
        "errors": list(row.errors),
    }


def _flows(inputs: SummaryInputs) -> dict[str, int]:
    by_verdict = dict.fromkeys(Verdict, 0)
    for (verdict, _), count in inputs.flow_reasons.items():
        by_verdict[verdict] += count
    return {
        "total": sum(by_verdict.values()),
        "allowed": by_verdict[Verdict.ALLOW],
        "denied": by_verdict[Verdict.DENY],
        "mixed": by_verdict[Verdict.MIXED],
        "cut": inputs.cut,
        "evicted": inputs.evicted,
    }


def _reasons(inputs: SummaryInputs) -> dict[str, dict[str, int]]:
    """Every reason, also those with nothing: the list is closed, and a reader need not ask what may be missing."""
    rows = {reason: {"packets": 0, "bytes": 0, "flows": 0} for reason in Reason}
    for (_, reason), tally in inputs.outcomes.items():
        rows[reason]["packets"] += tally.packets
        rows[reason]["bytes"] += tally.bytes
    for (_, reason), count in inputs.flow_reasons.items():
        rows[reason]["flows"] += count
    return {reason.label: row for reason, row in rows.items()}


_FLOW_BUCKET = {Verdict.ALLOW: "allowed", Verdict.DENY: "denied", Verdict.MIXED: "mixed"}


def _outcomes(inputs: SummaryInputs) -> list[dict[str, Any]]:
    """Each bucket by reason, where there is anything. `mixed` has flows only: its packets are allowed or denied."""
    rows: dict[tuple[str, Reason], dict[str, int]] = {}
    for (verdict, reason), tally in inputs.outcomes.items():
        row = rows.setdefault((bucket(verdict, reason).value, reason), {"packets": 0, "bytes": 0, "flows": 0})
        row["packets"] += tally.packets
        row["bytes"] += tally.bytes
    for (verdict, reason), count in inputs.flow_reasons.items():
        row = rows.setdefault((_FLOW_BUCKET[verdict], reason), {"packets": 0, "bytes": 0, "flows": 0})
        row["flows"] += count
    order = [name.value for name in Bucket] + ["mixed"]
    return [
        {"bucket": name, "reason": reason.label, **row}
        for (name, reason), row in sorted(rows.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
        if any(row.values())
    ]


def _attribution(row: AttributionRow) -> dict[str, Any]:
    """Sources and confidences by name, so that equal runs give equal bytes."""
    return {
        "sources": list(row.sources),
        "attributed_flows": row.attributed_flows,
        "unattributed_flows": row.unattributed_flows,
        "ambiguous_flows": row.ambiguous_flows,
        "usable_flows": row.usable_flows,
        "by_source": {name: count for name, count in sorted(row.by_source.items()) if count},
        "by_confidence": {one.label: row.by_confidence.get(one.label, 0) for one in reversed(Confidence)},
        "top_unattributed": _busiest(row.unattributed_remotes),
        "misses": dict(row.misses),
        "clock_offsets": [
            {"source": source, "host": host, "seconds": offset / SECOND, "flows": flows, "applied": applied}
            for source, host, offset, flows, applied in row.clock_offsets
        ],
    }


def _rule(row: RuleRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "status": row.status,
        "ignored_because": row.ignored_because,
        "packets": row.packets,
        "flows": row.flows,
        "bytes": row.bytes,
    }


def _policies(rows: list[PolicyRow]) -> dict[str, Any]:
    """`policy`, the one the run was about, and `policy_changes`, where it had more than one.

    Of several that were installed before the first packet only the last was ever in force.
    """
    shown = next((row for row in reversed(rows) if row.mode is not Mode.NONE), rows[-1] if rows else None)
    early = [row for row in rows if row.at is None]
    changes = [
        {"at": None if row.at is None else format_time(row.at), "mode": row.mode.value, "generation": row.generation}
        for row in early[-1:] + [row for row in rows if row.at is not None]
    ]
    policy = shown and {"mode": shown.mode.value, "generation": shown.generation, "digest": shown.digest}
    return {"policy": policy, "policy_changes": changes if len(changes) > 1 else []}


def _processes(rows: Iterable[ProcessRow]) -> list[dict[str, Any]]:
    """Busiest first."""
    # By packets, then image, then known before unknown; three times by one value is sooner done than once by three.
    ordered = sorted(rows, key=lambda row: row.image is None)
    ordered.sort(key=lambda row: row.image or "")
    ordered.sort(key=lambda row: -row.allowed.packets - row.denied.packets)
    return [{"image": row.image, "allowed": row.allowed.as_dict(), "denied": row.denied.as_dict()} for row in ordered]


def _busiest(rows: Iterable[tuple[Address, int, int]]) -> list[dict[str, Any]]:
    busiest = sorted(rows, key=lambda row: (-row[1], -row[2], row[0]))[:TOP_DENIED]
    return [{"remote": str(address), "packets": packets, "bytes": size} for address, packets, size in busiest]


def disagreements(summary: Mapping[str, Any]) -> list[str]:
    """What in a summary does not add up; empty for every summary that we write."""
    packets, sizes, flows, reasons = (summary[name] for name in ("packets", "bytes", "flows", "reasons"))
    buckets = [name.value for name in Bucket]
    sums = {
        "packets by bucket": (packets["total"], sum(packets[name] for name in buckets)),
        "bytes by bucket": (sizes["total"], sum(sizes[name] for name in buckets)),
        "packets by reason": (packets["total"], sum(row["packets"] for row in reasons.values())),
        "bytes by reason": (sizes["total"], sum(row["bytes"] for row in reasons.values())),
        "packets of the captures": (packets["total"], sum(row["packets"] for row in summary["captures"])),
        "bytes of the captures": (sizes["total"], sum(row["bytes"] for row in summary["captures"])),
        "flows by verdict": (flows["total"], flows["allowed"] + flows["denied"] + flows["mixed"]),
        "flows by reason": (flows["total"], sum(row["flows"] for row in reasons.values())),
        "flows by attribution": (
            flows["total"],
            sum(summary["attribution"][f"{kind}attributed_flows"] for kind in ("", "un")),
        ),
    }
    for name in buckets:
        found = sum(row["packets"] for row in summary["outcomes"] if row["bucket"] == name)
        sums[f"{name} packets by outcome"] = (packets[name], found)
    wrong = [f"{name}: {total} is not {found}" for name, (total, found) in sums.items() if total != found]
    if flows["cut"] > flows["denied"]:
        wrong.append(f"cut flows: {flows['cut']} of {flows['denied']} denied ones")
    return wrong


def dump_json(value: Any) -> bytes:
    """`value` as indented JSON with a newline at its end."""
    import orjson  # here: a summary that only people see need not load it

    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # half a surrogate pair, or an integer of more than 64 bits
        return json.dumps(clean(value), ensure_ascii=False, indent=2).encode() + b"\n"
