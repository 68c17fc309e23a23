"""What the engine tells the sinks: one `FlowEvent` per authorisation of a flow, and records of isolations and faults.

Plain attributes rather than a frozen value: a capture of a million flows makes a million of these, and the sinks
only read them. Never: formats, files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent.engine.classify import Classification
    from agent.model.address import Address
    from agent.model.subject import Subject
    from agent.model.vocabulary import Direction, DirectionBasis, FlowEnd, Reason, Verdict
    from agent.policy.effective import EffectivePolicy
    from agent.policy.explain import NearMiss


class FlowEvent:
    """One authorisation of a flow, with its counts so far. Times are nanoseconds, sizes frame bytes on the wire."""

    __slots__ = (
        "attempted",
        "authorisation",
        "bytes_original",
        "bytes_reply",
        "classification",
        "direction",
        "direction_basis",
        "end",
        "enforcement",
        "event_type",
        "evidence",
        "first_seen",
        "flow_id",
        "icmp_code",
        "icmp_type",
        "last_seen",
        "local",
        "local_port",
        "mixed_allowed",
        "mixed_denied",
        "names",
        "near_miss_count",
        "near_misses",
        "packets_original",
        "packets_reply",
        "policy",
        "protocol",
        "reason",
        "remote",
        "remote_port",
        "rules",
        "service",
        "subject",
        "subject_id",
        "timestamp",
        "verdict",
    )

    event_type: str
    timestamp: int
    flow_id: int
    authorisation: int
    protocol: int
    direction: Direction
    direction_basis: DirectionBasis
    local: Address
    local_port: int | None
    remote: Address
    remote_port: int | None
    names: tuple[str, ...]
    subject: Subject
    subject_id: int
    verdict: Verdict
    reason: Reason
    rules: tuple[str, ...]
    near_misses: tuple[NearMiss, ...]
    near_miss_count: int
    service: str | None
    evidence: str | None
    policy: EffectivePolicy
    enforcement: str
    packets_original: int
    packets_reply: int
    bytes_original: int
    bytes_reply: int
    attempted: int | None
    mixed_allowed: int
    mixed_denied: int
    first_seen: int
    last_seen: int
    end: FlowEnd | None
    icmp_type: int | None
    icmp_code: int | None
    classification: Classification


class EventSink(Protocol):
    """Whoever writes events down."""

    def flow(self, event: FlowEvent) -> None:
        """One flow event; the object may be used again afterwards, so keep copies, not references."""

    def isolation(self, record: dict[str, Any]) -> None:
        """Isolate, release or snapshot, with the action's id."""

    def fault(self, record: dict[str, Any]) -> None:
        """A named exception policy acted."""
