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

from agent.model.address import format_address
from agent.model.moment import format_time
from agent.model.protocols import ICMP, ICMPV6, protocol_name
from agent.model.subject import Subject
from agent.model.vocabulary import Direction, DirectionBasis, FlowEnd, Reason, Verdict
from agent.sinks.community import community_id

if TYPE_CHECKING:
    from agent.engine.events import FlowEvent
    from agent.model.address import Address
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
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {clean(key): clean(item) for key, item in value.items()}
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
    pid = "null" if subject.pid is None else str(subject.pid)
    services = "null" if subject.services is None else texts(subject.services)
    return (
        f'{{"pid":{pid},"image":{optional(subject.image)},"services":{services},'
        f'"package_family_name":{optional(subject.package_family_name)},"source":{text(subject.source)},'
        f'"confidence":"{subject.confidence.label}"}}'
    )


def _policy_json(policy: EffectivePolicy, enforcement: str) -> str:
    return (
        f'"policy":{{"generation":{policy.generation},"mode":"{policy.mode.value}","digest":{text(policy.digest)}}},'
        f'"enforcement":{text(enforcement)},"packets":{{"original":'
    )


def _why_json(event: FlowEvent) -> str:
    """From `rules` to what precedes `policy`: equal for all flows of one classification."""
    parts = []
    for miss in event.near_misses[:NEAR_MISSES_SHOWN]:
        parts.append(f'{{"rule":{text(miss.rule)},"condition":{text(miss.condition)},"state":"{miss.state.value}"}}')
    why = f'"rules":{texts(event.rules)},"near_misses":[{",".join(parts)}],'
    if event.near_miss_count > NEAR_MISSES_SHOWN:
        why += f'"near_miss_count":{event.near_miss_count},'
    if event.service is not None:
        why += f'"service":{text(event.service)},'
    if event.evidence is not None:
        why += f'"evidence":{text(event.evidence)},'
    return why


_OUTBOUND = Direction.OUTBOUND
_MIXED = Verdict.MIXED
_BY_TYPE = DirectionBasis.ICMP_TYPE
_ICMP_ANSWERS = {ICMP: frozenset({0, 14, 16, 18}), ICMPV6: frozenset({129, 131, 132, 134, 136})}
"""Types whose sender did not initiate the flow, where the direction rests on the type: as engine.direction has them."""

_PROTOCOLS = [f'","protocol":"{protocol_name(number)}","direction":"' for number in range(256)]
_OUTBOUND_BY = [f'outbound","direction_basis":"{basis.label}","local":{{"ip":"' for basis in DirectionBasis]
_INBOUND_BY = [f'inbound","direction_basis":"{basis.label}","local":{{"ip":"' for basis in DirectionBasis]
_VERDICTS = [[f',"verdict":"{verdict.label}","reason":"{reason.label}",' for reason in Reason] for verdict in Verdict]
_ENDS = [f',"end":"{end.label}"}}\n' for end in FlowEnd]


class LineRenderer:
    """Renders flow events. Holds only caches of rendered text: the same event always gives the same bytes."""

    def __init__(self) -> None:
        self.seconds: dict[int, str] = {}
        self.addresses: dict[bytes, tuple[str, bytes]] = {}
        self.names: dict[tuple[str, ...], str] = {(): "[]"}
        self.subjects: dict[int, tuple[Subject, str]] = {}
        self.reasons: dict[int, tuple[object, str]] = {}
        self.policy: EffectivePolicy | None = None
        self.enforcement = ""
        self.policy_json = ""

    def flow(self, event: FlowEvent) -> bytes:
        """The line of one flow, decision or reverdict event, with its newline."""
        protocol: int = event.protocol
        directions = _OUTBOUND_BY if event.direction is _OUTBOUND else _INBOUND_BY
        basis = event.direction_basis
        event_type: str = event.event_type
        timestamp = event.timestamp
        first_seen = event.first_seen
        last_seen = event.last_seen
        local_port = event.local_port
        remote_port = event.remote_port
        policy = event.policy
        enforcement: str = event.enforcement
        verdict = event.verdict
        local = self.address(event.local)
        remote_address = event.remote
        remote = format_address(remote_address[0], remote_address[1])
        remote_packed = remote_address[1].to_bytes(4 if remote_address[0] == 4 else 16, "big")
        timestamp_text = self.time(timestamp)
        first_text = timestamp_text if first_seen == timestamp else self.time(first_seen)
        last_text = first_text if last_seen == first_seen else self.time(last_seen)
        if policy is not self.policy or enforcement != self.enforcement:
            self.policy = policy
            self.enforcement = enforcement
            self.policy_json = _policy_json(policy, enforcement)

        icmp = ""
        if event.icmp_type is None:
            community = community_id(protocol, local[1], remote_packed, local_port, remote_port)
        else:
            community = self.icmp_community(event, local[1], remote_packed)
            code = "null" if event.icmp_code is None else str(int(event.icmp_code))
            icmp = f'"icmp_type":{int(event.icmp_type)},"icmp_code":{code},'
        if event.attempted is None:
            tail = f',"first_seen":"{first_text}","last_seen":"{last_text}"'
        else:
            tail = f',"attempted":{event.attempted},"first_seen":"{first_text}","last_seen":"{last_text}"'
        if verdict == _MIXED:
            tail = f',"mixed":{{"allowed":{event.mixed_allowed},"denied":{event.mixed_denied}}}' + tail
        end = event.end
        end_json = "}\n" if end is None or event_type != "flow" else _ENDS[end]
        line = (
            f'{{"schema":"{SCHEMA}","event_type":"{event_type}","timestamp":"{timestamp_text}",'
            f'"flow_id":{event.flow_id},"authorisation":{event.authorisation},'
            f'"community_id":"{community}{_PROTOCOLS[protocol]}{directions[basis]}'
            f'{local[0]}","port":{"null" if local_port is None else local_port}}},'
            f'"remote":{{"ip":"{remote}","port":{"null" if remote_port is None else remote_port},'
            f'"names":{self.names_json(event.names)}}},'
            f'{icmp}"process":{self.process(event)}{_VERDICTS[verdict][event.reason]}{self.why(event)}'
            f'{self.policy_json}{event.packets_original},"reply":{event.packets_reply}}},'
            f'"bytes":{{"original":{event.bytes_original},"reply":{event.bytes_reply}}}{tail}{end_json}'
        )
        return line.encode()

    def time(self, ns: int) -> str:
        """As model.moment.format_time, with the text of each second kept."""
        second = ns // 1_000_000_000
        fraction = ns - second * 1_000_000_000
        prefix = self.seconds.get(second)
        if prefix is None:
            if len(self.seconds) >= _CACHED:
                self.seconds.clear()
            whole = format_time(second * 1_000_000_000)
            prefix = self.seconds[second] = "" if whole.startswith("@") else whole[:20]
        if not prefix:
            return format_time(ns)
        if fraction % 1000:
            return f"{prefix}{fraction:09d}Z"
        return f"{prefix}{fraction // 1000:06d}Z"

    def address(self, address: Address) -> tuple[str, bytes]:
        """Text and packed form of a local address: there are few. Remote ones are not worth remembering."""
        packed = address.packed  # the key: numbers could be chosen to meet in a dict, and groups count as local
        known = self.addresses.get(packed)
        if known is None:
            if len(self.addresses) >= _CACHED:
                self.addresses.clear()
            known = self.addresses[packed] = (str(address), packed)
        return known

    def names_json(self, names: tuple[str, ...]) -> str:
        known = self.names.get(names)
        if known is None:
            if len(self.names) >= _CACHED:
                self.names.clear()
            known = self.names[names] = texts(names)
        return known

    def process(self, event: FlowEvent) -> str:
        subject = event.subject
        known = self.subjects.get(event.subject_id)
        if known is None or known[0] is not subject:
            if len(self.subjects) >= _CACHED:
                self.subjects.clear()
            known = self.subjects[event.subject_id] = (subject, process_json(subject))
        return known[1]

    def why(self, event: FlowEvent) -> str:
        key = event.classification
        if key is None:
            return _why_json(event)
        known = self.reasons.get(id(key))
        if known is None:
            if len(self.reasons) >= _CACHED:
                self.reasons.clear()
            # The object itself is kept beside its text, so that its id cannot be given to another.
            known = self.reasons[id(key)] = (key, _why_json(event))
        return known[1]

    def icmp_community(self, event: FlowEvent, local: bytes, remote: bytes) -> str:
        """The id wants the sender of the recorded type first: the initiator, unless that type answered him."""
        protocol: int = event.protocol
        from_local = event.direction is _OUTBOUND
        if event.direction_basis == _BY_TYPE and event.icmp_type in _ICMP_ANSWERS.get(protocol, ()):
            from_local = not from_local
        source, destination = (local, remote) if from_local else (remote, local)
        return community_id(protocol, source, destination, event.icmp_type, event.icmp_code)
