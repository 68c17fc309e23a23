"""Events as lines of JSON: the contract's decision record, byte for byte the same on every machine.

Knows the wire names of a record and their order. Must not know files, or how a verdict came about. Compiled where a C
compiler exists (types in lines.pxd), else interpreted with the same result.

    >>> text("Teams \\"new\\"\\n")
    '"Teams \\\\"new\\\\"\\\\n"'
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from agent.model.protocols import ICMP, ICMPV6, protocol_name
from agent.model.subject import Subject
from agent.model.vocabulary import Direction, DirectionBasis, FlowEnd, Reason, Verdict
from agent.sinks.buffer import Buffer
from agent.sinks.community import put_community

if TYPE_CHECKING:
    from agent.engine.classify import Classification
    from agent.engine.events import FlowEvent
    from agent.policy.effective import EffectivePolicy

SCHEMA = "decision/1"
NEAR_MISSES_SHOWN = 8

_CACHED = 65_536
"""Entries after which a cache is emptied: a scan must not make the writer grow."""

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_SPECIAL = re.compile('[\x00-\x1f"\\\\\ud800-\udfff]')
_SURROGATE = re.compile("[\ud800-\udfff]")


def text(value: str) -> str:
    """`value` as a JSON string. Half a surrogate pair, which UTF-8 cannot carry, becomes U+FFFD."""
    return '"' + _SPECIAL.sub(_escape, value) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character >= "\ud800":
        return "\ufffd"
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"


def clean(value: Any) -> Any:
    """`value` with every text made encodable, for JSON that the standard library writes."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATE.sub("\ufffd", value)
    if isinstance(value, int):  # and bool
        return value
    if isinstance(value, dict | Mapping):  # dict first: asking an abstract class takes a while
        # Keys and numbers are most of a summary: they are taken without a call.
        return {
            key if type(key) is str and key.isascii() else clean(key): item if type(item) is int else clean(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def texts(values: Iterable[str]) -> str:
    """A JSON list of strings."""
    return "[" + ",".join([text(value) for value in values]) + "]"


def optional(value: str | None) -> str:
    return "null" if value is None else text(value)


def record_line(record: Mapping[str, Any]) -> bytes:
    """One line for an event that is no flow: an isolation or fault record, keys as given after `schema`."""
    import json  # rare events only; a replay of a small capture need not load it

    whole = {"schema": SCHEMA, **clean(record)}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def process_json(subject: Subject) -> str:
    """The `process` value of a record: null where no source knew the socket."""
    if not subject.source:
        return "null"
    whole = _process(subject)
    if subject.candidates:
        candidates = ",".join([_process(candidate) for candidate in subject.candidates])
        return f'{whole[:-1]},"candidates":[{candidates}]}}'
    return whole


def _process(subject: Subject) -> str:
    pid = "null" if subject.pid is None else str(subject.pid)
    services = "null" if subject.services is None else texts(subject.services)
    return (
        f'{{"pid":{pid},"image":{optional(subject.image)},"services":{services},'
        f'"package_family_name":{optional(subject.package_family_name)},"source":{text(subject.source)},'
        f'"confidence":"{subject.confidence.label}"'
        + (f',"container":{text(subject.container)}' if subject.container else "")
        + "}"
    )


def _policy_json(policy: EffectivePolicy, enforcement: str) -> str:
    return (
        f'"policy":{{"generation":{policy.generation},"mode":"{policy.mode.value}","digest":{text(policy.digest)}}},'
        f'"enforcement":{text(enforcement)},'
    )


def _why_json(found: Classification) -> str:
    """From `rules` to what precedes `policy`."""
    parts = []
    for miss in found.near_misses[:NEAR_MISSES_SHOWN]:
        parts.append(f'{{"rule":{text(miss.rule)},"condition":{text(miss.condition)},"state":"{miss.state.value}"}}')
    why = f'"rules":{texts(found.rules)},"near_misses":[{",".join(parts)}],'
    if found.near_miss_count > NEAR_MISSES_SHOWN:
        why += f'"near_miss_count":{found.near_miss_count},'
    if found.service is not None:
        why += f'"service":{text(found.service)},'
    if found.evidence is not None:
        why += f'"evidence":{text(found.evidence)},'
    return why


MIXED = int(Verdict.MIXED)
BY_TYPE = int(DirectionBasis.ICMP_TYPE)
_ICMP_ANSWERS = {ICMP: frozenset({0, 14, 16, 18}), ICMPV6: frozenset({129, 131, 132, 134, 136})}
"""Types whose sender did not initiate the flow, where the direction rests on the type: as engine.direction has them."""

# What stands between a record's values, by the numbers that choose it.
_STARTS = {
    kind: f'{{"schema":"{SCHEMA}","event_type":"{kind}","timestamp":"'.encode()
    for kind in ("flow", "decision", "reverdict")
}
_PROTOCOLS = [f'","protocol":"{protocol_name(number)}","direction":"'.encode() for number in range(256)]
_DIRECTIONS = [
    [f'{way.value}","direction_basis":"{basis.label}","local":{{"ip":"'.encode() for basis in DirectionBasis]
    for way in (Direction.INBOUND, Direction.OUTBOUND)
]
_VERDICTS = [
    [f',"verdict":"{verdict.label}","reason":"{reason.label}",'.encode() for reason in Reason] for verdict in Verdict
]
_ENDS = [f'","end":"{end.label}"}}\n'.encode() for end in FlowEnd]


class LineRenderer:
    """Renders flow events. Holds only caches of rendered text: the same event always gives the same bytes."""

    def __init__(self, buffer: Buffer | None = None) -> None:
        """`buffer`: where `add` puts the lines."""
        self.buffer = Buffer() if buffer is None else buffer
        self.names: dict[tuple[str, ...], bytes] = {}
        self.subjects: dict[int, tuple[Subject, bytes]] = {}
        self.reasons: dict[int, tuple[Classification, bytes]] = {}
        self.policy: EffectivePolicy | None = None
        self.enforcement = ""
        self.policy_json = b""

    def flow(self, event: FlowEvent) -> bytes:
        """The line of one flow, decision or reverdict event, with its newline. Not while `add` is in use."""
        self.add(event)
        return self.buffer.take()

    def add(self, event: FlowEvent) -> int:
        """The same at the end of the buffer; if that raises, the buffer is as before."""
        before = self.buffer.length()
        try:
            return self._put(event)
        except BaseException:
            self.buffer.cut(before)
            raise

    def _put(self, event: FlowEvent) -> int:
        """A record from its first field to its last."""
        buffer = self.buffer
        buffer.put(_STARTS[event.event_type])
        buffer.time(event.timestamp)
        buffer.put(b'","flow_id":')
        buffer.number(event.flow_id)
        buffer.put(b',"authorisation":')
        buffer.number(event.authorisation)
        buffer.put(b',"community_id":"')
        self._community(event)
        buffer.put(_PROTOCOLS[event.protocol])
        buffer.put(_DIRECTIONS[event.outbound][event.basis_number])
        buffer.address(event.version, event.local_high, event.local_low)
        buffer.put(b'","port":')
        self._number_or_null(event.local_port_number)
        buffer.put(b'},"remote":{"ip":"')
        buffer.address(event.version, event.remote_high, event.remote_low)
        buffer.put(b'","port":')
        self._number_or_null(event.remote_port_number)
        buffer.put(b',"names":')
        buffer.put(self._names(event.names))
        buffer.put(b"},")
        if event.icmp_type_number >= 0:
            buffer.put(b'"icmp_type":')
            buffer.number(event.icmp_type_number)
            buffer.put(b',"icmp_code":')
            self._number_or_null(event.icmp_code_number)
            buffer.put(b",")
        buffer.put(b'"process":')
        buffer.put(self._process(event))
        buffer.put(_VERDICTS[event.verdict_number][event.reason_number])
        buffer.put(self._why(event.classification))
        if event.policy is not self.policy or event.enforcement != self.enforcement:
            self.policy_json = _policy_json(event.policy, event.enforcement).encode()
            self.policy = event.policy
            self.enforcement = event.enforcement
        buffer.put(self.policy_json)
        buffer.put(b'"packets":{"original":')
        buffer.number(event.packets_original)
        buffer.put(b',"reply":')
        buffer.number(event.packets_reply)
        buffer.put(b'},"bytes":{"original":')
        buffer.number(event.bytes_original)
        buffer.put(b',"reply":')
        buffer.number(event.bytes_reply)
        buffer.put(b"}")
        if event.verdict_number == MIXED:
            buffer.put(b',"mixed":{"allowed":')
            buffer.number(event.mixed_allowed)
            buffer.put(b',"denied":')
            buffer.number(event.mixed_denied)
            buffer.put(b"}")
        if event.attempted_count >= 0:
            buffer.put(b',"attempted":')
            buffer.number(event.attempted_count)
        buffer.put(b',"first_seen":"')
        buffer.time(event.first_seen)
        buffer.put(b'","last_seen":"')
        buffer.time(event.last_seen)
        if event.end_number >= 0 and event.event_type == "flow":
            return buffer.put(_ENDS[event.end_number])
        return buffer.put(b'"}\n')

    def _number_or_null(self, value: int) -> int:
        return self.buffer.put(b"null") if value < 0 else self.buffer.number(value)

    def _community(self, event: FlowEvent) -> int:
        """The id wants the sender of the recorded packet first: of an ICMP type the initiator, unless it answered him.

        Of protocols with ports either order gives the same id.
        """
        first, second = max(event.local_port_number, 0), max(event.remote_port_number, 0)
        from_local = True
        if event.icmp_type_number >= 0:
            first, second = event.icmp_type_number, max(event.icmp_code_number, 0)
            from_local = event.outbound
            if event.basis_number == BY_TYPE and first in _ICMP_ANSWERS.get(event.protocol, ()):
                from_local = not from_local
        if from_local:
            return put_community(
                self.buffer, event.protocol, event.version, event.local_high, event.local_low,
                event.remote_high, event.remote_low, first, second,
            )  # fmt: skip
        return put_community(
            self.buffer, event.protocol, event.version, event.remote_high, event.remote_low,
            event.local_high, event.local_low, first, second,
        )  # fmt: skip

    def _names(self, names: tuple[str, ...]) -> bytes:
        if len(names) == 0:
            return b"[]"
        known = self.names.get(names)
        if known is None:
            if len(self.names) >= _CACHED:
                self.names.clear()
            known = self.names[names] = texts(names).encode()
        return known

    def _process(self, event: FlowEvent) -> bytes:
        subject = event.subject
        known = self.subjects.get(event.subject_id)
        if known is None or known[0] is not subject:
            if len(self.subjects) >= _CACHED:
                self.subjects.clear()
            known = self.subjects[event.subject_id] = (subject, process_json(subject).encode())
        return known[1]

    def _why(self, found: Classification) -> bytes:
        known = self.reasons.get(id(found))
        if known is None:
            if len(self.reasons) >= _CACHED:
                self.reasons.clear()
            # The object itself is kept beside its text, so that its id cannot be given to another.
            known = self.reasons[id(found)] = (found, _why_json(found).encode())
        return known[1]
