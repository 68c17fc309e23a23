"""The page "Isolation exclusions", step 1: what each parameter of a rule means - X8 to X16."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.model.errors import PolicyError
from agent.policy.document import load_rules
from tests.conformance.lab import BY_PACKAGE, BY_PROCESS, BY_SERVICE, capture, excluded, rules, selective, tls

EVERY_FIELD = {
    "name": "All of them",
    "description": "The only flow that meets all five conditions",
    "process_path": r"C:\Lab\tool.exe",
    "service_name": "Everything",
    "package_family_name": "Lab.Everything_8wekyb3d8bbwe",
    "direction": "Outbound",
    "remote_ips": ["203.0.113.1"],
}
OWNER = {"image": r"C:\Lab\tool.exe", "services": ["Everything"], "package_family_name": "Lab.Everything_8wekyb3d8bbwe"}


@pytest.mark.parametrize(
    ("owner", "remote", "direction", "verdict"),
    [
        (OWNER, "203.0.113.1", "outbound", "allow"),
        ({**OWNER, "image": r"C:\Lab\other.exe"}, "203.0.113.1", "outbound", "deny"),
        ({**OWNER, "services": []}, "203.0.113.1", "outbound", "deny"),
        ({**OWNER, "package_family_name": None}, "203.0.113.1", "outbound", "deny"),
        (OWNER, "203.0.113.2", "outbound", "deny"),
        (OWNER, "203.0.113.1", "inbound", "deny"),
    ],
    ids=["all met", "process", "service", "package", "remote IP", "direction"],
)
def test_x8_a_rule_has_the_documented_parameters(
    tmp_path: Path, owner: Mapping[str, Any], remote: str, direction: str, verdict: str
) -> None:
    """isolation-exclusions, step 1, table: name, description, process path, service name, package family name,
    direction, remote IP. Each of the five conditions alone keeps the rule from matching."""
    generated = capture(tls("tool", remote, direction=direction))
    owned = replace(generated, sockets=[{**record, **owner} for record in generated.sockets])
    played = selective(tmp_path, owned, *rules(tmp_path, EVERY_FIELD), device={"services": None, "packages": None})
    assert [record["verdict"] for record in played.flows] == [verdict]
    assert [(row["name"], row["status"]) for row in played.summary["rules"]] == [("All of them", "active")]


@pytest.mark.parametrize("key", ["remote_port", "protocol", "url", "user", "processes"])
def test_x8_a_rule_has_no_other_parameter(tmp_path: Path, key: str) -> None:
    """isolation-exclusions, step 1, table: what the dialog does not have is an error, never ignored."""
    with pytest.raises(PolicyError, match="unknown key"):
        load_rules(rules(tmp_path, {**EVERY_FIELD, key: "443"})[1])


def test_x9_a_process_path_may_hold_environment_variables(tmp_path: Path) -> None:
    r"""isolation-exclusions, step 1, "Process path": `C:\Windows\System\Notepad.exe`, `%WINDIR%\Notepad.exe`.

    The variable is the device's own: with Windows on D: the rule means D:.
    """
    generated = capture(tls("tool", "203.0.113.1", at=1), tls("other", "203.0.113.2", at=2))
    images = {r"C:\Lab\tool.exe": r"d:\windows\NOTEPAD.EXE", r"C:\Lab\other.exe": r"C:\Windows\Notepad.exe"}
    moved = [{**one, "image": images.get(str(one["image"]), one["image"])} for one in generated.sockets]
    device = {"environment": {"WINDIR": r"D:\Windows"}, "executables": [r"D:\Windows\Notepad.exe"]}
    document = rules(tmp_path, {"name": "Notepad", "process_path": r"%WINDIR%\Notepad.exe"})
    played = selective(tmp_path, replace(generated, sockets=moved), *document, device=device)
    assert [record["remote"]["ip"] for record in played.flows if record["reason"] == "exclusion"] == ["203.0.113.1"]
    plain = rules(tmp_path, {"name": "Notepad", "process_path": r"C:\Windows\System\Notepad.exe"})
    assert load_rules(plain[1]).windows_rules[0].process_path == r"C:\Windows\System\Notepad.exe"


@pytest.mark.parametrize(
    "value",
    [[r"C:\Lab\tool.exe", r"C:\Lab\other.exe"], r"C:\Lab\*.exe", "tool.exe", ""],
    ids=["two", "a pattern", "a name", "nothing"],
)
def test_x9_a_rule_has_one_executable(tmp_path: Path, value: object) -> None:
    """isolation-exclusions, step 1, "Process path": "You can define one executable to be used in each rule"."""
    with pytest.raises(PolicyError, match="process_path"):
        load_rules(rules(tmp_path, {"name": "Not one", "process_path": value})[1])


def test_x10_a_rule_for_an_executable_that_does_not_exist_is_ignored(tmp_path: Path) -> None:
    """isolation-exclusions, step 1, "Process path": "The executable must exist when isolation is applied, otherwise the
    exclusion rule will be ignored." Ignored is shown with its reason; other rules are not touched."""
    generated = capture(tls("tool", "203.0.113.1", at=1), tls("other", "203.0.113.1", at=2))
    two = (BY_PROCESS, {"name": "Other", "process_path": r"C:\Lab\other.exe"})
    both = selective(tmp_path, generated, *rules(tmp_path, *two))
    assert excluded(both) == [("tool", "outbound", "203.0.113.1"), ("other", "outbound", "203.0.113.1")]
    one = selective(tmp_path, generated, *rules(tmp_path, *two), device={"executables": [r"C:\Lab\other.exe"]})
    assert excluded(one) == [("other", "outbound", "203.0.113.1")]
    row = one.summary["rules"][0]
    assert (row["name"], row["status"], row["flows"]) == ("By process", "ignored", 0)
    assert "does not exist" in row["ignored_because"]
    assert "rule_ignored" in one.warnings


def test_x11_a_child_of_an_excluded_process_is_not_excluded(tmp_path: Path) -> None:
    """isolation-exclusions, step 1, "Process path": "Exclusion won't apply to any child processes created by the
    specified process.\""""
    generated = capture(tls("tool", "203.0.113.1", at=1), tls("child", "203.0.113.1", at=2))
    parents = {str(record["image"]): record["parent_pid"] for record in generated.sockets}
    pids = {str(record["image"]): record["pid"] for record in generated.sockets}
    assert parents[r"C:\Windows\System32\cmd.exe"] == pids[r"C:\Lab\tool.exe"]
    assert excluded(selective(tmp_path, generated, *rules(tmp_path, BY_PROCESS))) == [
        ("tool", "outbound", "203.0.113.1")
    ]


def test_x12_a_service_is_named_by_its_short_name_and_is_no_application(tmp_path: Path) -> None:
    """isolation-exclusions, step 1, "Service name": "a service (not an application)", "Example: termservice".

    Both services live in svchost.exe: the rule tells them apart, and the names' case does not matter.
    """
    generated = capture(
        tls("desktop", "203.0.113.1", direction="inbound", at=1),
        tls("printing", "203.0.113.1", at=2),
        tls("tool", "203.0.113.1", at=3),
    )
    application = {r"C:\Lab\tool.exe": r"C:\Lab\termservice.exe"}
    renamed = [{**one, "image": application.get(str(one["image"]), one["image"])} for one in generated.sockets]
    played = selective(tmp_path, replace(generated, sockets=renamed), *rules(tmp_path, BY_SERVICE))
    assert excluded(played) == [("desktop", "inbound", "203.0.113.1")]


@pytest.mark.parametrize("value", [["termservice", "winrm"], "Remote Desktop Services", "termservice,winrm", ""])
def test_x12_one_service_a_rule(tmp_path: Path, value: object) -> None:
    """isolation-exclusions, step 1, "Service name": "You can define one service to be used in each rule"."""
    with pytest.raises(PolicyError, match="service_name"):
        load_rules(rules(tmp_path, {"name": "Not one short name", "service_name": value})[1])


BUILDS = [
    ("Windows11", "24H2", True),
    ("Windows11", "23H2", True),
    ("Windows11", "22H2", True),
    ("Windows11", "21H2", False),
    ("Windows10", "22H2", True),
    ("Windows10", "21H2", False),
    ("WindowsServer2025", None, True),
    ("WindowsServer", "23H2", True),
    ("WindowsServer2022", None, False),
    ("WindowsServer2019", None, False),
]


@pytest.mark.parametrize(
    ("platform", "version", "supported"), BUILDS, ids=[f"{one} {two or ''}" for one, two, _ in BUILDS]
)
def test_x13_package_rules_work_on_the_listed_builds(
    tmp_path: Path, platform: str, version: str | None, supported: bool
) -> None:
    """isolation-exclusions, step 1, "Package family name", "Supported on"; elsewhere the rule is ignored."""
    generated = capture(tls("packaged", "203.0.113.1"), device={"platform": platform, "os_version": version})
    played = selective(tmp_path, generated, *rules(tmp_path, BY_PACKAGE))
    assert excluded(played) == ([("packaged", "outbound", "203.0.113.1")] if supported else [])
    row = played.summary["rules"][0]
    assert row["status"] == ("active" if supported else "ignored")
    assert (row["ignored_because"] is None) == supported


@pytest.mark.parametrize(
    "value",
    [
        "MSTeams", "MSTeams_8wekyb3d8bbw", "MSTeams_8wekyb3d8bbwex", "MSTeams_8wekyb3d8bbwu", "_8wekyb3d8bbwe",
        "a b_8wekyb3d8bbwe",
    ],
    ids=["no publisher", "12 characters", "14 characters", "not the alphabet", "no name", "a space"],
)  # fmt: skip
def test_x13_a_package_family_name_is_a_name_and_a_publisher_id(tmp_path: Path, value: str) -> None:
    """isolation-exclusions, step 1, "Package family name": "this structure: `<Name>_<PublisherId>`"."""
    assert load_rules(rules(tmp_path, BY_PACKAGE)[1]).windows_rules[0].package_family_name == "MSTeams_8wekyb3d8bbwe"
    with pytest.raises(PolicyError, match="package_family_name"):
        load_rules(rules(tmp_path, {"name": "Wrong", "package_family_name": value})[1])


def test_x14_reply_needs_no_inbound_rule(tmp_path: Path) -> None:
    """isolation-exclusions, step 1, "Direction": "no inbound rule is needed, as the response from the server is
    automatically accepted as part of the connection". What the server begins itself is another connection."""
    out = {"name": "Outbound", "remote_ips": "1.1.1.1", "direction": "Outbound"}
    generated = capture(
        tls("tool", "1.1.1.1", at=1, exchanges=5),
        {"kind": "udp", "at": 2, "process": "tool", "remote": "1.1.1.1", "port": 5000, "exchanges": 3},
        tls("tool", "1.1.1.1", at=3, direction="inbound"),
    )
    played = selective(tmp_path, generated, *rules(tmp_path, out))
    for record in played.flows:
        allowed = record["direction"] == "outbound"
        assert record["rules"] == (["Outbound"] if allowed else [])
        assert record["verdict"] == ("allow" if allowed else "deny")
        assert record["packets"]["reply"] > 0
    assert [record["direction"] for record in played.flows].count("outbound") == 2
    assert played.reason("exclusion")["packets"] == sum(
        sum(record["packets"].values()) for record in played.flows if record["direction"] == "outbound"
    )


def test_x15_an_inbound_rule_is_for_a_device_that_listens(tmp_path: Path) -> None:
    """isolation-exclusions, step 1, "Direction": "If the device is listening to incoming connections, define an inbound
    rule." The host's answers belong to the connection; what it initiates does not."""
    into = {"name": "Inbound", "remote_ips": "1.1.1.1", "direction": "Inbound"}
    generated = capture(
        tls("tool", "1.1.1.1", at=1, direction="inbound"),
        tls("tool", "1.1.1.2", at=2, direction="inbound"),
        tls("tool", "1.1.1.1", at=3),
    )
    played = selective(tmp_path, generated, *rules(tmp_path, into))
    assert excluded(played) == [("tool", "inbound", "1.1.1.1")]
    assert next(record for record in played.flows if record["verdict"] == "allow")["packets"]["reply"] > 0


def datagrams(*remotes: str) -> list[dict[str, Any]]:
    """One outbound UDP exchange with each."""
    return [
        {"kind": "udp", "at": at, "process": "tool", "remote": remote, "port": 5000}
        for at, remote in enumerate(remotes, 1)
    ]


REMOTES = [
    ("1.1.1.1", ["1.1.1.1"], ["1.1.1.0", "1.1.1.2", "2001:db8::1:1"]),
    ("1.1.1.1/24", ["1.1.1.0", "1.1.1.1", "1.1.1.255"], ["1.1.0.255", "1.1.2.0"]),
    (
        "2001:db8:85a3::8a2e:370:7334",
        ["2001:db8:85a3::8a2e:370:7334"],
        ["2001:db8:85a3::8a2e:370:7333", "2001:db8:85a3::8a2e:370:7335"],
    ),
    (
        "2001:db8:85a3::8a2e:370:7334/64",
        ["2001:db8:85a3::", "2001:db8:85a3:0:ffff:ffff:ffff:ffff"],
        ["2001:db8:85a2:ffff:ffff:ffff:ffff:ffff", "2001:db8:85a3:1::"],
    ),
    ("1.1.1.1, 1.1.1.4/31,2001:db8:1::1", ["1.1.1.1", "1.1.1.4", "1.1.1.5", "2001:db8:1::1"], ["1.1.1.3", "1.1.1.6"]),
]


@pytest.mark.parametrize(("written", "inside", "outside"), REMOTES, ids=[written for written, _, _ in REMOTES])
def test_x16_remote_ips_are_addresses_blocks_and_comma_separated_lists(
    tmp_path: Path, written: str, inside: list[str], outside: list[str]
) -> None:
    """isolation-exclusions, step 1, "Remote IP": the page's examples; 1.1.1.1/24 "includes all IPs from 1.1.1.0 to
    1.1.1.255"."""
    generated = capture(*datagrams(*inside, *outside))
    played = selective(tmp_path, generated, *rules(tmp_path, {"name": "Addresses", "remote_ips": written}))
    passed = {record["remote"]["ip"]: record["verdict"] == "allow" for record in played.flows}
    assert passed == {**dict.fromkeys(inside, True), **dict.fromkeys(outside, False)}


def test_x16_at_most_20_addresses_a_rule(tmp_path: Path) -> None:
    """isolation-exclusions, step 1, "Remote IP": "Up to 20 IP addresses can be defined per rule"."""
    addresses = [f"198.51.100.{last}" for last in range(1, 22)]
    for spelled in (addresses[:20], ",".join(addresses[:20])):
        rule = load_rules(rules(tmp_path, {"name": "Twenty", "remote_ips": spelled})[1]).windows_rules[0]
        assert len(rule.remotes or ()) == 20
    for spelled in (addresses, ",".join(addresses)):
        with pytest.raises(PolicyError, match="at most 20"):
            load_rules(rules(tmp_path, {"name": "Twenty-one", "remote_ips": spelled})[1])


@pytest.mark.parametrize(
    "value", ["example.com", "1.1.1", "1.1.1.1/33", "1.1.1.1/255.255.255.0", "1.1.1.1-1.1.1.9", ""]
)
def test_x16_what_is_no_address_is_refused(tmp_path: Path, value: str) -> None:
    """isolation-exclusions, step 1, "Remote IP", "Supported IP formats": IPv4/IPv6, with optional CIDR notation."""
    with pytest.raises(PolicyError, match="remote_ips"):
        load_rules(rules(tmp_path, {"name": "No address", "remote_ips": value})[1])
