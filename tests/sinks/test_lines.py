"""Decision records: exact bytes, any text, the same compiled and interpreted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import communityid
import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.engine.direction import Directions
from agent.model.address import Address, canonical_address
from agent.model.moment import format_time
from agent.model.protocols import WITH_PORTS
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import (
    ConditionState,
    Confidence,
    Direction,
    DirectionBasis,
    FlowEnd,
    Mode,
    Reason,
    Verdict,
)
from agent.policy.explain import NearMiss
from agent.sinks import lines
from agent.sinks.buffer import Buffer
from agent.sinks.lines import LineRenderer, record_line, text
from tests.sinks.builders import POLICY, START, SUPPORT, make_event, make_policy
from tests.sinks.interpreted import interpreted

GOLDEN = (
    '{"schema":"decision/1","event_type":"flow","timestamp":"2026-01-05T09:00:01.000123Z","flow_id":17,'
    '"authorisation":1,"community_id":"1:u4r+PTmXNv87wAbVU70UKHIF9a8=","protocol":"tcp","direction":"outbound",'
    '"direction_basis":"tcp_syn","local":{"ip":"10.0.0.5","port":50123},'
    '"remote":{"ip":"203.0.113.9","port":443,"names":["support.example.test"]},'
    '"process":{"pid":4242,"image":"C:\\\\Program Files\\\\Support\\\\support.exe","services":[],'
    '"package_family_name":null,"source":"sockets","confidence":"high"},'
    '"verdict":"allow","reason":"exclusion","rules":["Remote support"],"near_misses":[],'
    '"policy":{"generation":2,"mode":"selective","digest":"sha256:' + "ab" * 32 + '"},"enforcement":"simulated",'
    '"packets":{"original":3,"reply":2},"bytes":{"original":180,"reply":120},'
    '"first_seen":"2026-01-05T09:00:01.000123Z","last_seen":"2026-01-05T09:00:03.500123Z","end":"fin"}\n'
)

TEXTS = st.text(st.characters(), max_size=20)  # surrogates included
NAMES = st.lists(TEXTS, max_size=3).map(tuple)


def render(**changes: Any) -> dict[str, Any]:
    """The record of an event, read back."""
    line = LineRenderer().flow(make_event(**changes))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    record: dict[str, Any] = orjson.loads(line)
    return record


def test_the_contracts_example_byte_for_byte() -> None:
    assert LineRenderer().flow(make_event()).decode() == GOLDEN


def test_a_denied_flow_says_what_was_attempted_and_what_nearly_matched() -> None:
    miss = NearMiss(rule="Remote support", condition="direction", state=ConditionState.NOT_MET)
    line = LineRenderer().flow(
        make_event(
            verdict=Verdict.DENY,
            reason=Reason.NO_MATCHING_EXCLUSION,
            rules=(),
            near_misses=(miss,),
            near_miss_count=1,
            attempted=3,
            end=FlowEnd.EOF,
        )
    )
    assert (
        b'"verdict":"deny","reason":"no_matching_exclusion","rules":[],'
        b'"near_misses":[{"rule":"Remote support","condition":"direction","state":"not_met"}],"policy":' in line
    )
    assert b'"bytes":{"original":180,"reply":120},"attempted":3,"first_seen":' in line


def test_more_than_eight_near_misses_are_counted() -> None:
    """The count says what the list leaves out; eight need none."""
    misses = tuple(
        NearMiss(rule=f"rule {number}", condition="remote_ips", state=ConditionState.UNKNOWN) for number in range(8)
    )
    many = render(near_misses=misses, near_miss_count=11)
    assert len(many["near_misses"]) == 8
    assert many["near_miss_count"] == 11
    assert "near_miss_count" not in render(near_misses=misses, near_miss_count=8)


def test_an_unattributed_flow_has_no_process() -> None:
    assert render(subject=UNATTRIBUTED, subject_id=0)["process"] is None


def test_unknown_services_differ_from_none() -> None:
    """Null is what nobody knows, an empty list is a fact."""
    unknown = Subject(image="/usr/bin/curl", source="psutil", confidence=Confidence.MEDIUM)
    assert render(subject=unknown)["process"] == {
        "pid": None,
        "image": "/usr/bin/curl",
        "services": None,
        "package_family_name": None,
        "source": "psutil",
        "confidence": "medium",
    }
    assert render()["process"]["services"] == []


def test_a_mixed_flow_counts_both_verdicts() -> None:
    record = render(verdict=Verdict.MIXED, reason=Reason.ESSENTIAL, service="dns", mixed_allowed=3, mixed_denied=2)
    assert record["verdict"] == "mixed"
    assert record["mixed"] == {"allowed": 3, "denied": 2}
    assert record["service"] == "dns"
    assert "mixed" not in render()


@pytest.mark.parametrize("event_type", ["decision", "reverdict"])
def test_only_flow_events_say_how_they_ended(event_type: str) -> None:
    assert "end" not in render(event_type=event_type)


@pytest.mark.parametrize("end", FlowEnd, ids=lambda end: end.label)
def test_every_end_has_its_word(end: FlowEnd) -> None:
    assert render(end=end)["end"] == end.label


def test_evidence_stands_where_the_destination_alone_decided() -> None:
    assert render(reason=Reason.CLOUD_CHANNEL, evidence="destination_only")["evidence"] == "destination_only"
    assert "evidence" not in render()


def test_icmp_has_type_and_code_instead_of_ports() -> None:
    line = LineRenderer().flow(
        make_event(protocol=1, local_port=None, remote_port=None, icmp_type=8, icmp_code=0, names=())
    )
    assert b'"remote":{"ip":"203.0.113.9","port":null,"names":[]},"icmp_type":8,"icmp_code":0,"process":' in line


@pytest.mark.parametrize("protocol", [1, 58], ids=["icmp", "icmpv6"])
@pytest.mark.parametrize("out", [True, False], ids=["sent", "received"])
def test_the_icmp_community_id_is_that_of_the_packet_on_the_wire(protocol: int, out: bool) -> None:
    """For every type: direction.py says who initiated, and the id still has the recorded packet's sender first."""
    version, width = (4, 4) if protocol == 1 else (6, 16)
    local, remote = Address(version, 5), Address(version, 9)
    source, destination = (5, 9) if out else (9, 5)
    for icmp_type in range(256):
        outbound, basis = Directions((49152, 65535)).decide(protocol, out, 0, 0, 0, icmp_type, 0, None, False)
        record = render(
            protocol=protocol,
            direction=Direction.OUTBOUND if outbound else Direction.INBOUND,
            direction_basis=DirectionBasis(basis),
            local=local,
            remote=remote,
            local_port=None,
            remote_port=None,
            icmp_type=icmp_type,
            icmp_code=0,
        )
        packet = communityid.FlowTuple(
            protocol, source.to_bytes(width, "big"), destination.to_bytes(width, "big"), icmp_type, 0
        )
        assert record["community_id"] == communityid.CommunityID().calc(packet), icmp_type


@given(value=TEXTS)
def test_any_text_becomes_a_json_string(value: str) -> None:
    """As orjson writes it; half a surrogate pair, which it refuses, becomes U+FFFD."""
    sound = "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
    assert text(value).encode() == orjson.dumps(sound)


@given(
    names=NAMES,
    rules=NAMES,
    image=st.none() | TEXTS,
    services=st.none() | NAMES,
    package=st.none() | TEXTS,
    rule=TEXTS,
)
def test_no_text_breaks_a_record(
    names: tuple[str, ...],
    rules: tuple[str, ...],
    image: str | None,
    services: tuple[str, ...] | None,
    package: str | None,
    rule: str,
) -> None:
    """Host names and paths come from packets and logs: whatever they hold, the line is one JSON object."""
    subject = Subject(image=image, services=services, package_family_name=package, source="sockets")
    miss = NearMiss(rule=rule, condition="process_path", state=ConditionState.UNKNOWN)
    record = render(names=names, rules=rules, subject=subject, near_misses=(miss,), near_miss_count=1)
    assert len(record["rules"]) == len(rules)
    assert len(record["remote"]["names"]) == len(names)


@given(ns=st.integers(0, (1 << 64) - 1001) | st.integers(START - 10**10, START + 10**10))
def test_times_are_those_of_the_model(ns: int) -> None:
    """The renderer keeps the text of each second; the result is format_time's, beyond the calendar too."""
    record = render(timestamp=ns, first_seen=ns + 1, last_seen=ns + 1000)
    assert record["timestamp"] == format_time(ns)
    assert record["first_seen"] == format_time(ns + 1)
    assert record["last_seen"] == format_time(ns + 1000)


def test_caches_do_not_mix_up_equal_numbers() -> None:
    """One renderer, many events: another subject under a known id, another policy, another classification."""
    renderer = LineRenderer()
    events = [
        make_event(),
        make_event(subject=Subject(image="/bin/sh", source="psutil")),
        make_event(policy=make_policy(generation=3, mode=Mode.FULL)),
        make_event(enforcement="enforced"),
        make_event(rules=("Other",)),
        make_event(names=("other.test",)),
        make_event(),
    ]
    assert [renderer.flow(event) for event in events] == [LineRenderer().flow(event) for event in events]


def test_caches_are_emptied_before_they_grow_without_end() -> None:
    """A scan of 70,000 addresses: the line after the cache was emptied is still right."""
    renderer = LineRenderer()
    event = make_event()
    for value in range(70_000):
        event.remote_low = value
        event.names = (f"host{value}.test",)
        line = renderer.flow(event)
    assert json.loads(line)["remote"] == {"ip": "0.1.17.111", "port": 443, "names": ["host69999.test"]}


def test_an_event_that_cannot_be_rendered_leaves_no_piece_of_a_line() -> None:
    """The engine's last guard lets a run go on after a bug: the lines before and after it must be whole."""
    buffer = Buffer()
    renderer = LineRenderer(buffer)
    renderer.add(make_event())
    with pytest.raises(KeyError):
        renderer.add(make_event(event_type="unheard of"))
    with pytest.raises(AttributeError):
        renderer.add(make_event(subject="no subject", subject_id=7))
    renderer.add(make_event())
    assert buffer.take().decode() == 2 * GOLDEN


def test_a_fault_record_keeps_its_keys_in_order() -> None:
    line = record_line({"event_type": "fault", "name": "flow_table_full", "text": "a\ud800b"})
    assert line.decode() == (
        '{"schema":"decision/1","event_type":"fault","name":"flow_table_full","text":"a\ufffdb"}\n'
    )


@pytest.fixture(scope="module")
def schema(root: Path) -> Any:
    path = root / "policies" / "decision.schema.json"
    return json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="allowed"),
        pytest.param({"subject": UNATTRIBUTED, "verdict": Verdict.DENY, "attempted": 1}, id="denied"),
        pytest.param({"verdict": Verdict.MIXED, "service": "dns", "mixed_allowed": 1, "mixed_denied": 1}, id="mixed"),
        pytest.param(
            {"protocol": 58, "icmp_type": 135, "icmp_code": 0, "local_port": None, "remote_port": None}, id="icmp"
        ),
        pytest.param({"event_type": "decision", "end": None}, id="decision"),
        pytest.param({"protocol": 47, "local_port": None, "remote_port": None}, id="gre"),
        pytest.param({"near_miss_count": 9, "evidence": "destination_only"}, id="all-optional"),
        pytest.param({"timestamp": (1 << 64) - 1}, id="absurd-time"),
    ],
)
def test_records_follow_the_published_schema(schema: Any, changes: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(render(**changes))


EVENTS = st.fixed_dictionaries(
    {
        "event_type": st.sampled_from(["flow", "decision", "reverdict"]),
        "timestamp": st.integers(0, (1 << 64) - 1),
        "first_seen": st.integers(0, (1 << 64) - 1),
        "last_seen": st.integers(0, (1 << 64) - 1),
        "flow_id": st.integers(0, (1 << 63) - 1),
        "authorisation": st.integers(1, 1 << 40),
        "protocol": st.integers(0, 255),
        "direction": st.sampled_from(Direction),
        "direction_basis": st.sampled_from(DirectionBasis),
        "remote": st.integers(0, (1 << 128) - 1).map(lambda value: canonical_address(6, value)),
        "names": NAMES,
        "subject": st.sampled_from([UNATTRIBUTED, SUPPORT]),
        "verdict": st.sampled_from(Verdict),
        "reason": st.sampled_from(Reason),
        "rules": NAMES,
        "service": st.none() | TEXTS,
        "packets_original": st.integers(0, (1 << 64) - 1),
        "bytes_reply": st.integers(0, (1 << 64) - 1),
        "attempted": st.none() | st.integers(0, (1 << 63) - 1),
        "mixed_denied": st.integers(0, (1 << 64) - 1),
        "end": st.none() | st.sampled_from(FlowEnd),
        "policy": st.sampled_from([POLICY, make_policy(generation=9)]),
    }
)


@given(several=st.lists(EVENTS, min_size=1, max_size=5))
def test_compiled_and_interpreted_lines_are_equal(several: list[dict[str, Any]]) -> None:
    """Byte for byte, with the caches of one renderer, numbers of 64 bits included."""
    if lines.__file__.endswith(".py"):
        pytest.skip("not compiled")
    one, other = LineRenderer(), interpreted()["lines"].LineRenderer()
    for changes in several:
        ports = {} if changes["protocol"] in WITH_PORTS else {"local_port": None, "remote_port": None}
        event = make_event(**changes, **ports, local=changes["remote"])
        assert one.flow(event) == other.flow(event)
