"""Rules documents: which field may hold what, and how an error names the culprit."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.device import Family
from agent.model.errors import PolicyError
from agent.model.rule import MAX_REMOTES, RuleDocument
from agent.model.vocabulary import Direction
from agent.policy.document import load_mapping
from agent.policy.rules import FIELDS, list_name, parse_rules, rules_of


def parse(tree: Any) -> RuleDocument:
    return parse_rules(load_mapping(json.dumps(tree).encode(), name="rules.yaml"), "rules.yaml")


def one(**fields: Any) -> Any:
    """The only windows rule of a document that has it."""
    return parse({"version": 1, "windows_rules": [{"name": "R", **fields}]}).windows_rules[0]


def refusal(tree: Any) -> PolicyError:
    with pytest.raises(PolicyError) as caught:
        parse(tree)
    assert "\n" not in str(caught.value)
    assert caught.value.path == "rules.yaml"
    return caught.value


def test_every_field_of_a_rule_arrives() -> None:
    """X8."""
    rule = one(
        description="Two\nlines",
        process_path=r"%WINDIR%\notepad.exe",
        service_name="TermService",
        package_family_name="MSTeams_8wekyb3d8bbwe",
        direction="Outbound",
        remote_ips=["1.1.1.1/24", "2001:db8::7"],
    )
    assert rule.name == "R"
    assert rule.description == "Two\nlines"
    assert rule.process_path == r"%WINDIR%\notepad.exe"
    assert rule.service_name == "TermService"
    assert rule.package_family_name == "MSTeams_8wekyb3d8bbwe"
    assert rule.direction is Direction.OUTBOUND
    assert [network.text for network in rule.remotes] == ["1.1.1.1/24", "2001:db8::7"]


@pytest.mark.parametrize(
    "key", ["description", "process_path", "service_name", "package_family_name", "direction", "remote_ips"]
)
def test_null_is_as_good_as_left_out(key: str) -> None:
    assert one(**{key: None}) == one()


def test_the_lists_of_the_platforms_are_separate() -> None:
    """X7."""
    document = parse(
        {"version": 1, "windows_rules": [{"name": "w"}], "mac_rules": [{"name": "m"}], "linux_rules": [{"name": "l"}]}
    )
    assert [[rule.name for rule in rules_of(document, family)] for family in Family] == [["w"], ["m"], ["l"]]


@pytest.mark.parametrize(
    ("value", "on"),
    [(True, True), (False, False), ("on", True), ("No", False), ("true", True), (None, None)],
)
def test_the_feature_switch(value: Any, on: bool | None) -> None:
    assert parse({"version": 1, "isolation_exclusions": value}).isolation_exclusions is on
    assert parse({"version": 1}).isolation_exclusions is None


@pytest.mark.parametrize("version", [1, "1"])
def test_version_one_is_read(version: Any) -> None:
    assert parse({"version": version}).windows_rules == ()


@pytest.mark.parametrize(
    ("written", "count"),
    [
        pytest.param("1.1.1.1", 1, id="one text"),
        pytest.param("1.1.1.1,2.2.2.2 , 2001:db8::/32", 3, id="comma-separated"),
        pytest.param(["1.1.1.1", "1.1.1.1"], 2, id="duplicates are allowed"),
        pytest.param([f"10.0.0.{i}" for i in range(MAX_REMOTES)], MAX_REMOTES, id="twenty"),
        pytest.param(", ".join(f"10.0.0.{i}" for i in range(MAX_REMOTES)), MAX_REMOTES, id="twenty in one text"),
    ],
)
def test_remote_ips_are_a_list_or_one_text(written: Any, count: int) -> None:
    """X16."""
    assert len(one(remote_ips=written).remotes) == count


RULE = {"name": "Remote support"}
WHERE = "windows_rules[1] 'Remote support'"


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        pytest.param({"process_path": ""}, "process_path", "is empty", id="empty path"),
        pytest.param({"process_path": "  "}, "process_path", "is empty", id="blank path"),
        pytest.param({"process_path": "notepad.exe"}, "process_path", "not an absolute Windows path", id="relative"),
        pytest.param({"process_path": ["C:\\a.exe"]}, "process_path", "is a list, not text", id="list of paths"),
        pytest.param({"service_name": ""}, "service_name", "is empty", id="empty service"),
        pytest.param({"service_name": "a, b"}, "service_name", "not one short service name", id="two services"),
        pytest.param({"package_family_name": "Teams"}, "package_family_name", "<Name>_<PublisherId>", id="package"),
        pytest.param({"direction": ""}, "direction", "is empty", id="empty direction"),
        pytest.param({"direction": "Both"}, "direction", "allowed: Inbound, Outbound", id="direction"),
        pytest.param({"remote_ips": []}, "remote_ips", "is an empty list", id="empty list"),
        pytest.param({"remote_ips": ""}, "remote_ips", "is empty", id="empty text"),
        pytest.param({"remote_ips": "1.1.1.1,"}, "remote_ips[1]", "is empty", id="comma at the end"),
        pytest.param({"remote_ips": [None]}, "remote_ips[0]", "is nothing, not text", id="null inside"),
        pytest.param({"remote_ips": {"a": "1.1.1.1"}}, "remote_ips", "is a mapping, not a list", id="mapping"),
        pytest.param({"remote_ips": ["1.1.1.1", "1.1.1"]}, "remote_ips[1]", "'1.1.1' is not an IPv4", id="short"),
        pytest.param({"remote_ips": ["1.1.1.1"] * 21}, "remote_ips", "has 21 addresses; at most 20", id="X16 21"),
        pytest.param({"remote_ips": ",".join(["1.1.1.1"] * 21)}, "remote_ips", "at most 20", id="X16 21 in one text"),
        pytest.param({"description": ["a"]}, "description", "is a list, not text", id="description"),
        pytest.param({"remote_ip": "1.1.1.1"}, None, "unknown key 'remote_ip'; did you mean remote_ips?", id="near"),
        pytest.param({"xyz": "1"}, None, "unknown key 'xyz'; allowed: name, description, process_path", id="unknown"),
        pytest.param({"process_path": "C:\\a\u202eexe.txt"}, "process_path", "not allowed", id="text direction mark"),
    ],
)
def test_an_error_names_list_rule_field_and_what_is_allowed(fields: Any, field: str | None, said: str) -> None:
    error = refusal({"version": 1, "windows_rules": [{"name": "Good"}, {**RULE, **fields}]})
    assert (error.rule, error.field) == (WHERE, field)
    assert said in error.message
    assert str(error).startswith(f"rules.yaml: {WHERE}: ")


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        pytest.param({}, "rules.yaml: version is missing", id="no version"),
        pytest.param(
            {"version": 2}, "rules.yaml: version: '2' is not a version this program reads; allowed: 1", id="2"
        ),
        pytest.param({"version": "1.0"}, "rules.yaml: version: '1.0' is not a version", id="1.0"),
        pytest.param({"version": [1]}, "rules.yaml: version: a list is not a version", id="list"),
        pytest.param({"version": None}, "rules.yaml: version: nothing is not a version", id="null"),
        pytest.param({"version": 1, "window_rules": []}, "did you mean windows_rules?", id="unknown list"),
        pytest.param({"version": 1, "isolation_exclusions": "maybe"}, "neither true nor false", id="switch"),
        pytest.param({"version": 1, "windows_rules": {}}, "windows_rules: is a mapping, not a list", id="mapping"),
        pytest.param({"version": 1, "windows_rules": ["a"]}, "windows_rules[0]: is text, not a mapping", id="text"),
        pytest.param({"version": 1, "windows_rules": [{}]}, "windows_rules[0]: name is missing", id="no name"),
        pytest.param({"version": 1, "windows_rules": [None]}, "windows_rules[0]: name is missing", id="null rule"),
        pytest.param({"version": 1, "windows_rules": [{"name": " "}]}, "name: is empty", id="blank name"),
        pytest.param({"version": 1, "windows_rules": [{"name": "a\nb"}]}, "line breaks", id="two lines"),
        pytest.param({"version": 1, "windows_rules": [{"name": "\x1b[2J"}]}, "control characters", id="terminal"),
        pytest.param({"version": 1, "windows_rules": [{"name": "x" * 257}]}, "longer than 256", id="long name"),
    ],
)
def test_what_is_no_document_is_refused(tree: Any, said: str) -> None:
    assert said in str(refusal(tree))


def test_names_are_unique_in_their_list_only() -> None:
    rules = [{"name": "a"}, {"name": "b"}, {"name": " a "}]
    error = refusal({"version": 1, "windows_rules": rules})
    assert error.rule == "windows_rules[2] 'a'"
    assert "taken by windows_rules[0]" in error.message
    both = parse({"version": 1, "windows_rules": [{"name": "a"}], "mac_rules": [{"name": "a"}]})
    assert both.windows_rules[0].name == both.mac_rules[0].name


@pytest.mark.parametrize(
    ("family", "field", "value"),
    [
        pytest.param(Family.MAC, "process_path", "/usr/bin/curl", id="X7 path on a Mac"),
        pytest.param(Family.MAC, "service_name", "x", id="X7 service on a Mac"),
        pytest.param(Family.MAC, "package_family_name", "MSTeams_8wekyb3d8bbwe", id="X7 package on a Mac"),
        pytest.param(Family.MAC, "process_path", None, id="even without a value"),
        pytest.param(Family.LINUX, "package_family_name", "MSTeams_8wekyb3d8bbwe", id="package on Linux"),
    ],
)
def test_a_field_that_the_platform_lacks_is_refused(family: Family, field: str, value: Any) -> None:
    error = refusal({"version": 1, list_name(family): [{"name": "R", field: value}]})
    assert error.message == f"{list_name(family)} have no {field}; allowed: {', '.join(FIELDS[family])}"


def test_linux_paths_and_units_have_their_own_form() -> None:
    rule = {"name": "R", "process_path": "/usr/sbin/sshd", "service_name": "ssh.service"}
    assert parse({"version": 1, "linux_rules": [rule]}).linux_rules[0].process_path == "/usr/sbin/sshd"
    assert refusal({"version": 1, "linux_rules": [{"name": "R", "process_path": "C:\\a.exe"}]}).field == "process_path"
    assert refusal({"version": 1, "windows_rules": [rule]}).field == "process_path"


def test_one_bad_rule_rejects_the_whole_document() -> None:
    rules = [{"name": f"Good {index}"} for index in range(50)] + [{"name": "Bad", "direction": "Sideways"}]
    assert refusal({"version": 1, "mac_rules": rules}).rule == "mac_rules[50] 'Bad'"


def test_a_long_value_does_not_make_a_long_error() -> None:
    error = refusal({"version": 1, "windows_rules": [{"name": "R", "process_path": "x" * 1_000_000}]})
    assert len(str(error)) < 1000


ADDRESSES = st.ip_addresses().map(str)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "description": st.none() | st.text(max_size=30),
        "process_path": st.none() | st.sampled_from([r"C:\a.exe", r"%WINDIR%\b.exe", "d:/c"]),
        "service_name": st.none() | st.from_regex(r"[A-Za-z0-9$._-]{1,20}", fullmatch=True),
        "package_family_name": st.none() | st.from_regex(r"[A-Za-z.]{1,9}_[0-9a-hjkmnp-tv-z]{13}", fullmatch=True),
        "direction": st.sampled_from([None, "Inbound", "Outbound"]),
        "remote_ips": st.none()
        | st.lists(ADDRESSES, min_size=1, max_size=20)
        | st.lists(ADDRESSES, min_size=1, max_size=20).map(", ".join),
    },
)


@given(st.lists(RULES, max_size=5), st.sampled_from([None, True, False]))
def test_every_valid_document_says_what_it_was_made_of(rows: list[dict[str, Any]], feature: bool | None) -> None:
    tree = {"version": 1, "windows_rules": [{"name": str(index), **row} for index, row in enumerate(rows)]}
    document = parse({**tree, "isolation_exclusions": feature})
    assert document.isolation_exclusions is feature
    assert len(document.windows_rules) == len(rows)
    for rule, row in zip(document.windows_rules, rows, strict=True):
        for key in ("process_path", "service_name", "package_family_name"):
            assert getattr(rule, key) == row.get(key)
        assert rule.description == (row.get("description") or "")
        assert (rule.direction and rule.direction.value.capitalize()) == row.get("direction")
        remotes = row.get("remote_ips")
        spelled = remotes.split(", ") if isinstance(remotes, str) else remotes
        assert (rule.remotes and [network.text for network in rule.remotes]) == spelled


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([*FIELDS[Family.WINDOWS], "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["version", "windows_rules", "mac_rules", "isolation_exclusions"]), ANYTHING))
def test_no_tree_raises_anything_but_policy_error(tree: dict[str, Any]) -> None:
    with suppress(PolicyError):
        assert parse({"version": 1, **tree}).path == "rules.yaml"
