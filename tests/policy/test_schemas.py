"""The published JSON Schemas: valid themselves, true to the loader, and true to the vocabulary."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.errors import PolicyError
from agent.model.vocabulary import Confidence, Direction, DirectionBasis, FlowEnd, Mode, Reason, Verdict
from agent.policy.device import KEYS, parse_device
from agent.policy.document import load_mapping
from agent.policy.match import CONDITIONS
from agent.policy.platforms import platforms
from agent.policy.rules import FIELDS, LISTS, parse_rules

NAMES = ("rules", "device", "socket-record", "decision", "summary")
POLICIES = Path(__file__).resolve().parents[2] / "policies"
Schema = dict[str, Any]


def schema_of(name: str) -> Schema:
    schema = json.loads((POLICIES / f"{name}.schema.json").read_text("utf-8"))
    assert isinstance(schema, dict)
    return schema


SCHEMAS = {name: jsonschema.Draft202012Validator(schema_of(name)) for name in NAMES}


def accepts(name: str, value: Any) -> bool:
    return bool(SCHEMAS[name].is_valid(value))


def loads(parse: Callable[[Any, str], object], tree: Any) -> bool:
    with suppress(PolicyError):
        parse(load_mapping(json.dumps(tree).encode(), name="x"), "x")
        return True
    return False


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_draft_2020_12_schema_that_explains_itself(name: str) -> None:
    schema = schema_of(name)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"{name}.schema.json"
    assert schema["title"]
    assert schema["description"]
    jsonschema.Draft202012Validator.check_schema(schema)


def test_the_folder_holds_no_other_schema() -> None:
    assert {path.name for path in POLICIES.glob("*.schema.json")} == {f"{name}.schema.json" for name in NAMES}


def test_rules_schema_has_the_loaders_fields() -> None:
    schema = schema_of("rules")
    assert set(schema["properties"]) == {"version", "isolation_exclusions", *LISTS}
    for name, family in LISTS.items():
        definition = schema["$defs"][name.removesuffix("s")]
        assert set(definition["properties"]) == set(FIELDS[family])


def test_device_schema_has_the_loaders_keys_and_platforms() -> None:
    schema = schema_of("device")
    assert tuple(schema["properties"]) == KEYS
    assert set(schema["properties"]["platform"]["enum"]) == set(platforms())


def test_decision_schema_has_the_vocabulary() -> None:
    schema = schema_of("decision")["$defs"]["flow"]["properties"]
    near = schema["near_misses"]["items"]["properties"]
    assert schema["reason"]["enum"] == [reason.label for reason in Reason]
    assert schema["verdict"]["enum"] == [verdict.label for verdict in Verdict]
    assert schema["direction"]["enum"] == [direction.value for direction in Direction]
    assert schema["direction_basis"]["enum"] == [basis.label for basis in DirectionBasis]
    assert schema["end"]["enum"] == [end.label for end in FlowEnd]
    assert schema["policy"]["properties"]["mode"]["enum"] == [mode.value for mode in Mode]
    assert schema["process"]["anyOf"][1]["properties"]["confidence"]["enum"] == [level.label for level in Confidence]
    assert near["condition"]["enum"] == list(CONDITIONS)


VALUES: dict[str, list[Any]] = {
    "description": ["", "text", "two\nlines", None, ["a"], {"a": "b"}],
    "process_path": [
        r"C:\a.exe", r"%WINDIR%\Notepad.exe.", "c:/a/b.exe", r"\\server\share\a.exe", r"\\?\C:\a.exe", "%TOOL%",
        r"\\?\UNC\server\share\a.exe", r"\??\C:\a.exe", r"\Device\HarddiskVolume3\a.exe", r"C:\100%\a.exe", None, "",
        "  ", "notepad.exe", r"\Windows\a.exe", "C:a.exe", '"C:\\a.exe"', r"C:\a.exe:stream", r"C:\a, C:\b", r"C:\*\a",
        r"C:\a?", "C:\\", "C:/a/", ["C:\\a.exe"],
    ],
    "service_name": ["termservice", "MSSQL$X", "a b", "a,b", "a/b", "", None, "x" * 256, "x" * 257],
    "package_family_name": ["MSTeams_8wekyb3d8bbwe", "Teams", "A_8wekyb3d8bbwi", "A_8wekyb3d8bbw", "", None],
    "direction": ["Inbound", "Outbound", "inbound", "outbound", "Both", "OUTBOUND", "", None],
    "remote_ips": [
        "1.1.1.1", "1.1.1.1/24", "2001:db8:85a3::8a2e:370:7334", "::ffff:1.2.3.4/120", "::/0", "0.0.0.0/0", " 1.1.1.1 ",
        "1.1.1.1,2.2.2.2", "1.1.1.1, 2001:db8::/32", ["1.1.1.1"], ["1.1.1.1"] * 20, ["1.1.1.1"] * 21, [], "", None,
        ",".join(["1.1.1.1"] * 20), ",".join(["1.1.1.1"] * 21), "1.1.1", "1.1.1.256", "01.1.1.1", "1.1.1.1/33",
        "1.1.1.1/255.255.255.0", "1.1.1.1/", "::1/129", "fe80::1%eth0", "host.test", "1.1.1.1,", [None], [["1.1.1.1"]],
        "::ffff:1.2.3.256", "1.1.1.1/024",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in VALUES.items() for value in values])
def test_rules_schema_and_loader_agree_on_every_value(key: str, value: Any) -> None:
    tree = {"version": 1, "windows_rules": [{"name": "R", key: value}]}
    assert accepts("rules", tree) is loads(parse_rules, tree)


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"version": 1},
        {"version": "1"},
        {"version": 2},
        {"version": 1, "other": 1},
        {"version": 1, "isolation_exclusions": True},
        {"version": 1, "isolation_exclusions": "Off"},
        {"version": 1, "isolation_exclusions": "maybe"},
        {"version": 1, "windows_rules": None},
        {"version": 1, "windows_rules": {}},
        {"version": 1, "windows_rules": [{}]},
        {"version": 1, "windows_rules": [{"name": ""}]},
        {"version": 1, "windows_rules": [{"name": "x" * 257}]},
        {"version": 1, "windows_rules": [{"name": "R", "remote_ip": "1.1.1.1"}]},
        {"version": 1, "mac_rules": [{"name": "R", "remote_ips": "1.1.1.1"}]},
        {"version": 1, "mac_rules": [{"name": "R", "process_path": "/a"}]},
        {"version": 1, "linux_rules": [{"name": "R", "process_path": "/a/b", "service_name": "a@b.service"}]},
        {"version": 1, "linux_rules": [{"name": "R", "process_path": "a"}]},
        {"version": 1, "linux_rules": [{"name": "R", "process_path": "/a/"}]},
        {"version": 1, "linux_rules": [{"name": "R", "process_path": "/a/*"}]},
        {"version": 1, "linux_rules": [{"name": "R", "package_family_name": "MSTeams_8wekyb3d8bbwe"}]},
    ],
    ids=str,
)
def test_rules_schema_and_loader_agree_on_documents(tree: Any) -> None:
    assert accepts("rules", tree) is loads(parse_rules, tree)


DEVICE_VALUES: dict[str, list[Any]] = {
    "id": ["1e5bc9d7e413ddd7902c2932e418702b84d0cc07", "1e5b", "", None],
    "name": ["a", "", None, ["a"]],
    "platform": ["macOS", "Windows 11", None],
    "os_version": ["24H2", None, ["a"]],
    "kind": ["server", "laptop", None],
    "addresses": [["10.0.0.5", "fe80::5", "fe80::5%1"], ["10.0.0.5/24"], "10.0.0.5", [], None, [None]],
    "resolvers": [["10.0.0.1"], ["dns.test"]],
    "environment": [{"A": "b"}, {"ProgramFiles(x86)": "b"}, {"%A%": "b"}, {"A": ""}, {"A": None}, {}, None, []],
    "drives": [{r"\Device\HarddiskVolume3": "C:"}, {"C:": "D:"}, {r"\Device\X": "CD:"}, None],
    "executables": [[r"C:\a.exe"], [], None, [""], "C:\\a.exe"],
    "services": [["a"], [], None, [None]],
    "packages": [["MSTeams_8wekyb3d8bbwe"], [], None],
    "known_names": [{"1.1.1.1": ["a.test"]}, {"::1:2": "a"}, {"a.test": ["a"]}, {"1.1.1.1": ["a b"]}, None],
    "onboarded": [True, "no", "maybe", None],
    "tags": [["a"], [""], None],
    "other": ["x"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in DEVICE_VALUES.items() for value in values])
def test_device_schema_and_loader_agree_on_every_value(key: str, value: Any) -> None:
    tree = {"version": 1, "platform": "Windows11", key: value}
    assert accepts("device", tree) is loads(parse_device, tree)


TEXTS = st.text(max_size=12) | st.sampled_from([text for texts in VALUES.values() for text in texts if text])


@given(st.fixed_dictionaries({}, optional={key: TEXTS for key in VALUES if key != "description"}))
def test_what_the_loader_takes_the_schema_takes(fields: dict[str, Any]) -> None:
    """The other way round a schema cannot: it knows no rules about two keys."""
    tree = {"version": 1, "windows_rules": [{"name": "R", **fields}]}
    if loads(parse_rules, tree):
        assert accepts("rules", tree)


CONTRACT_SOCKET: dict[str, Any] = {
    "start": "2026-01-05T09:00:00.000000Z", "end": None, "protocol": "tcp", "local": "10.0.0.5:50123",
    "remote": "203.0.113.9:443", "initiated": True, "pid": 4242, "process_created": "2026-01-05T08:59:59Z",
    "image": r"C:\Program Files\Support\support.exe", "services": [], "package_family_name": None,
    "user": r"CONTOSO\ann", "parent_pid": 640,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        pytest.param({}, True, id="the contract's example"),
        pytest.param({"local": "[2001:db8::5]:443", "remote": None, "state": "LISTEN"}, True, id="listener"),
        pytest.param({"local": "[::]:53", "protocol": 17}, True, id="wildcard"),
        pytest.param({"later": "a key of a later version"}, True, id="unknown keys are ignored"),
        pytest.param({"local": "2001:db8::5:443"}, False, id="IPv6 without brackets"),
        pytest.param({"local": "10.0.0.5"}, False, id="no port"),
        pytest.param({"local": None}, False, id="no local end"),
        pytest.param({"start": "yesterday"}, False, id="no time"),
        pytest.param({"protocol": "http"}, False, id="no protocol"),
        pytest.param({"pid": "4242"}, False, id="pid as text"),
    ],
)
def test_socket_records(change: dict[str, Any], valid: bool) -> None:
    assert accepts("socket-record", {**CONTRACT_SOCKET, **change}) is valid
    for key in ("start", "protocol", "local"):
        assert not accepts("socket-record", {name: CONTRACT_SOCKET[name] for name in CONTRACT_SOCKET if name != key})


CONTRACT_DECISION: dict[str, Any] = {
    "schema": "decision/1", "event_type": "flow", "timestamp": "2026-01-05T09:00:01.000123Z", "flow_id": 17,
    "authorisation": 1, "community_id": "1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "protocol": "tcp", "direction": "outbound",
    "direction_basis": "tcp_syn", "local": {"ip": "10.0.0.5", "port": 50123},
    "remote": {"ip": "203.0.113.9", "port": 443, "names": ["support.example.test"]},
    "process": {"pid": 4242, "image": "C:\\a.exe", "services": [], "package_family_name": None, "source": "sockets",
                "confidence": "high"},
    "verdict": "allow", "reason": "exclusion", "rules": ["Remote support"], "near_misses": [],
    "policy": {"generation": 2, "mode": "selective", "digest": "sha256:" + "0" * 64}, "enforcement": "simulated",
    "packets": {"original": 3, "reply": 2}, "bytes": {"original": 180, "reply": 120},
    "first_seen": "2026-01-05T09:00:01.000123Z", "last_seen": "2026-01-05T09:00:01.000123456Z", "end": "fin",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "valid"),
    [
        pytest.param({}, True, id="the contract's example"),
        pytest.param({"process": None, "verdict": "deny", "attempted": 1}, True, id="unattributed, denied"),
        pytest.param({"verdict": "mixed", "mixed": {"allowed": 1, "denied": 2}}, True, id="mixed"),
        pytest.param({"verdict": "mixed"}, False, id="mixed without its counts"),
        pytest.param({"mixed": {"allowed": 1, "denied": 2}}, False, id="counts without mixed"),
        pytest.param({"icmp_type": 8, "icmp_code": 0}, True, id="ICMP"),
        pytest.param({"icmp_type": 8}, False, id="ICMP without code"),
        pytest.param({"evidence": "destination_only"}, True, id="evidence"),
        pytest.param({"reason": "because"}, False, id="reasons are a closed list"),
        pytest.param({"end": None}, False, id="a flow record has an end"),
        pytest.param({"extra": 1}, False, id="no other key"),
        pytest.param({"timestamp": "@18446744073.709551615"}, True, id="a time no calendar has"),
        pytest.param({"policy": {"generation": 2, "mode": "selective", "digest": "sha256:00"}}, False, id="digest"),
    ],
)
def test_flow_records(change: dict[str, Any], valid: bool) -> None:
    assert accepts("decision", {**CONTRACT_DECISION, **change}) is valid


def test_events_at_the_moment_of_authorisation_have_no_end() -> None:
    begun = {key: value for key, value in CONTRACT_DECISION.items() if key != "end"}
    for event_type in ("decision", "reverdict"):
        assert accepts("decision", {**begun, "event_type": event_type})
        assert not accepts("decision", {**CONTRACT_DECISION, "event_type": event_type})
    assert not accepts("decision", begun)


@pytest.mark.parametrize("key", [key for key in CONTRACT_DECISION if key != "end"])
def test_every_key_of_a_flow_record_is_there(key: str) -> None:
    assert not accepts("decision", {name: value for name, value in CONTRACT_DECISION.items() if name != key})


@pytest.mark.parametrize(
    ("record", "valid"),
    [
        ({"event_type": "fault", "name": "flow_table_full", "text": "t", "count": 3}, True),
        ({"event_type": "fault", "text": "t"}, False),
        ({"event_type": "isolation", "timestamp": "2026-01-05T09:00:01.000123Z", "action": "isolate"}, True),
        ({"event_type": "isolation", "timestamp": "2026-01-05T09:00:01.000123Z", "action": "contain"}, False),
        ({"event_type": "party"}, False),
    ],
)
def test_other_events(record: dict[str, Any], valid: bool) -> None:
    assert accepts("decision", {"schema": "decision/1", **record}) is valid


def test_the_contracts_summary() -> None:
    buckets = {"total": 1000, "allowed": 10, "denied": 900, "ignored": 80, "link": 10}
    tally = {"packets": 5, "bytes": 300}
    summary: dict[str, Any] = {
        "version": 1,
        "captures": [
            {"path": "a", "packets": 1000, "bytes": 1, "first": None, "last": "2026-01-05T09:00:01.000123Z",
             "link_types": ["ethernet"], "truncated_tail": False, "errors": []}
        ],
        "packets": buckets,
        "bytes": buckets,
        "flows": {"total": 50, "allowed": 2, "denied": 48, "mixed": 0, "cut": 0, "evicted": 0},
        "reasons": {"cloud_channel": {"packets": 0, "flows": 0}},
        "rules": [
            {"name": "R", "status": "active", "ignored_because": None, "packets": 5, "flows": 1, "bytes": 300}
        ],
        "attribution": {"sources": ["sockets"], "attributed_flows": 48, "unattributed_flows": 2},
        "direction_guesses": 1,
        "warnings": [{"code": "cloud_channel_unreachable", "text": "..."}],
        "policy": {"mode": "selective", "generation": 2, "digest": "sha256:" + "0" * 64},
        "processes": [{"image": None, "allowed": tally, "denied": tally}],
        "top_denied": [{"remote": "...", "packets": 9}],
        "device": {"assumed": False, "local": ["10.0.0.5"], "local_basis": "device"},
        "interrupted": False,
    }  # fmt: skip
    assert accepts("summary", summary)
    for key in summary:
        assert not accepts("summary", {name: value for name, value in summary.items() if name != key}), key
    assert not accepts("summary", {**summary, "reasons": {"because": {"packets": 0, "flows": 0}}})
    assert accepts("summary", {**summary, "added": "later"})
