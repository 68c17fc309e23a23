"""What the engine tells the sinks: one `FlowEvent` per authorisation of a flow, and records of isolations and faults.

A capture of a million flows makes a million of these, so an event holds numbers, and the values that most sinks never
ask for (addresses, enumerations) are made when they are read. Never: formats, files. Compiled where a C compiler exists
(types in events.pxd), else interpreted with the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from agent.model.address import Address
from agent.model.vocabulary import Direction, DirectionBasis, FlowEnd, Reason, Verdict

if TYPE_CHECKING:
    from agent.engine.classify import Classification
    from agent.model.subject import Subject
    from agent.policy.effective import EffectivePolicy
    from agent.policy.explain import NearMiss

FIELDS = (
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
"""What an event says, by the names under which it is read."""

_BASES = tuple(DirectionBasis)
_ENDS = tuple(FlowEnd)
_REASONS = tuple(Reason)
_VERDICTS = tuple(Verdict)


class FlowEvent:
    """One authorisation of a flow, with its counts so far. Times are nanoseconds, sizes frame bytes on the wire."""

    __slots__ = (
        "attempted_count",
        "authorisation",
        "basis_number",
        "bytes_original",
        "bytes_reply",
        "classification",
        "end_number",
        "enforcement",
        "event_type",
        "first_seen",
        "flow_id",
        "icmp_code_number",
        "icmp_type_number",
        "last_seen",
        "local_high",
        "local_low",
        "local_port_number",
        "mixed_allowed",
        "mixed_denied",
        "names",
        "outbound",
        "packets_original",
        "packets_reply",
        "policy",
        "protocol",
        "reason_number",
        "remote_high",
        "remote_low",
        "remote_port_number",
        "subject",
        "subject_id",
        "timestamp",
        "verdict_number",
        "version",
    )

    event_type: str
    timestamp: int
    flow_id: int
    authorisation: int
    version: int
    """Of both addresses: 4 or 6."""
    protocol: int
    outbound: bool
    basis_number: int
    local_high: int
    local_low: int
    local_port_number: int
    """This and the four other numbers of what may be absent are -1 then: `local_port` and so on say None."""
    remote_high: int
    remote_low: int
    remote_port_number: int
    icmp_type_number: int
    icmp_code_number: int
    attempted_count: int
    end_number: int
    names: tuple[str, ...]
    subject: Subject
    subject_id: int
    verdict_number: int
    reason_number: int
    classification: Classification
    policy: EffectivePolicy
    enforcement: str
    packets_original: int
    packets_reply: int
    bytes_original: int
    bytes_reply: int
    mixed_allowed: int
    mixed_denied: int
    first_seen: int
    last_seen: int

    @property
    def local(self) -> Address:
        return _address(self.version, self.local_high, self.local_low)

    @property
    def remote(self) -> Address:
        return _address(self.version, self.remote_high, self.remote_low)

    @property
    def local_port(self) -> int | None:
        return None if self.local_port_number < 0 else self.local_port_number

    @property
    def remote_port(self) -> int | None:
        return None if self.remote_port_number < 0 else self.remote_port_number

    @property
    def icmp_type(self) -> int | None:
        return None if self.icmp_type_number < 0 else self.icmp_type_number

    @property
    def icmp_code(self) -> int | None:
        return None if self.icmp_code_number < 0 else self.icmp_code_number

    @property
    def direction(self) -> Direction:
        return Direction.OUTBOUND if self.outbound else Direction.INBOUND

    @property
    def direction_basis(self) -> DirectionBasis:
        return _BASES[self.basis_number]

    @property
    def verdict(self) -> Verdict:
        """Of the whole flow: packets judged apart can make it another than the classification's."""
        return _VERDICTS[self.verdict_number]

    @property
    def reason(self) -> Reason:
        return _REASONS[self.reason_number]

    @property
    def attempted(self) -> int | None:
        """Packets of a denied flow before its first reply."""
        return None if self.attempted_count < 0 else self.attempted_count

    @property
    def end(self) -> FlowEnd | None:
        return None if self.end_number < 0 else _ENDS[self.end_number]

    @property
    def rules(self) -> tuple[str, ...]:
        return self.classification.rules

    @property
    def near_misses(self) -> tuple[NearMiss, ...]:
        return self.classification.near_misses

    @property
    def near_miss_count(self) -> int:
        return self.classification.near_miss_count

    @property
    def service(self) -> str | None:
        return self.classification.service

    @property
    def evidence(self) -> str | None:
        return self.classification.evidence


def _address(version: int, high: int, low: int) -> Address:
    return Address(version, high << 64 | low)


class EventSink(Protocol):
    """Whoever writes events down."""

    def flow(self, event: FlowEvent) -> None:
        """One flow event; the object may be used again afterwards, so keep copies, not references."""

    def isolation(self, record: dict[str, Any]) -> None:
        """Isolate, release or snapshot, with the action's id."""

    def fault(self, record: dict[str, Any]) -> None:
        """A named exception policy acted."""
