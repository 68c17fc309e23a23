"""What `check` tells an administrator, and that it stays silent about a good document."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.device import Device
from agent.policy.lint import Finding, Severity, lint
from tests.policy.builders import NOTEPAD, device, rules, settings

ERROR, WARNING, INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
TEAMS = "MSTeams_8wekyb3d8bbwe"
NARROW = {"remote_ips": "203.0.113.20", "direction": "Outbound"}


def findings(*windows: dict[str, Any], host: Device | None = None, **options: Any) -> list[Finding]:
    chosen = options.pop("settings", settings())
    return lint(rules(*windows, **options), host, chosen)


def told(*windows: dict[str, Any], **options: Any) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.code) for finding in findings(*windows, **options)]


def test_nothing_is_said_of_a_narrow_rule_that_works() -> None:
    host = device(executables=[NOTEPAD], services=["velociraptor"])
    assert told({"process_path": NOTEPAD, **NARROW}, {"service_name": "Velociraptor", **NARROW}, host=host) == []


@pytest.mark.parametrize(
    ("rule", "host", "said"),
    [
        pytest.param({"remote_ips": "0.0.0.0/0"}, {}, [(WARNING, "unbounded_rule")], id="all IPv4"),
        pytest.param({"remote_ips": "0.0.0.0/1,128.0.0.0/1"}, {}, [
            (WARNING, "unbounded_rule"), (INFO, "mergeable_remotes"),
            (WARNING, "wide_remote"), (WARNING, "wide_remote"),
        ], id="all IPv4 in halves"),
        pytest.param({}, {}, [(WARNING, "unbounded_rule"), (WARNING, "dns_open")], id="no condition"),
        pytest.param({"direction": "Inbound"}, {}, [(WARNING, "unbounded_rule")], id="inbound only"),
        pytest.param({"process_path": NOTEPAD}, {}, [(WARNING, "dns_open")], id="DNS to anywhere"),
        pytest.param({"process_path": NOTEPAD, "direction": "Inbound"}, {}, [], id="inbound opens no DNS"),
        pytest.param({"process_path": NOTEPAD, **NARROW}, {"executables": []}, [(ERROR, "executable_missing")],
                     id="X10 executable that the device lacks"),
        pytest.param({"process_path": r"%APPDATA%\a.exe", **NARROW}, {}, [(ERROR, "path_unusable")],
                     id="a user's variable"),
        pytest.param({"package_family_name": TEAMS, **NARROW}, {"os_version": "21H2"},
                     [(ERROR, "packages_unsupported")], id="X13 package rule without support"),
        pytest.param({"package_family_name": TEAMS, **NARROW}, {"os_version": "23H2"}, [(INFO, "update_assumed")],
                     id="X13 update nobody sees"),
        pytest.param({"package_family_name": TEAMS, **NARROW}, {"packages": []}, [(WARNING, "package_missing")],
                     id="package that the device lacks"),
        pytest.param({"service_name": "abc", **NARROW}, {"services": []}, [(WARNING, "service_missing")],
                     id="service that the device lacks"),
        pytest.param({"service_name": "TermService", **NARROW}, {}, [(WARNING, "shared_service")],
                     id="X12 service that shares a process"),
        pytest.param({"process_path": r"C:\Program Files\Google\Chrome\Application\chrome.exe", **NARROW}, {},
                     [(WARNING, "children_not_covered")], id="X11 browser"),
        pytest.param({"process_path": r"C:\x\Teams.exe", **NARROW}, {}, [(WARNING, "children_not_covered")],
                     id="X11 web view"),
        pytest.param({"process_path": r"C:\Windows\System32\cmd.exe", **NARROW}, {}, [(WARNING, "runs_anything")],
                     id="shell"),
        pytest.param({"process_path": r"C:\PROGRA~1\a.exe", **NARROW}, {}, [(WARNING, "short_name")], id="8.3 name"),
        pytest.param({"process_path": NOTEPAD, "service_name": "abc", **NARROW}, {}, [(INFO, "several_owners")],
                     id="process and service"),
        pytest.param({"remote_ips": "8.0.0.0/7"}, {}, [(WARNING, "wide_remote")], id="wide IPv4"),
        pytest.param({"remote_ips": "8.0.0.0/8"}, {}, [], id="a /8 is still somebody's"),
        pytest.param({"remote_ips": "2000::/3"}, {}, [(WARNING, "wide_remote")], id="wide IPv6"),
        pytest.param({"remote_ips": "fc00::/7"}, {}, [], id="private IPv6"),
        pytest.param({"remote_ips": "1.1.1.1, 1.1.1.1/32"}, {}, [(INFO, "duplicate_remote")], id="duplicate"),
        pytest.param({"remote_ips": "1.1.1.0/25, 1.1.1.128/25"}, {}, [(INFO, "mergeable_remotes")], id="mergeable"),
        pytest.param({"remote_ips": "1.1.1.0/24, 1.1.1.7"}, {}, [(INFO, "mergeable_remotes")], id="one in another"),
    ],
)  # fmt: skip
def test_findings_about_one_rule(rule: dict[str, Any], host: dict[str, Any], said: list[Any]) -> None:
    assert told(rule, host=device(**host)) == said


def test_a_finding_names_the_rule_as_errors_do() -> None:
    (finding,) = findings({"name": "Good", **NARROW}, {"name": "Help desk", "service_name": "WinRM", **NARROW})[:1]
    assert finding.rule == "windows_rules[1] 'Help desk'"


def test_an_unbounded_rule_is_an_error_where_it_would_be_refused() -> None:
    strict = settings(policy__reject_unbounded_rules=True)
    assert told({"remote_ips": "::/0"}, settings=strict) == [(ERROR, "unbounded_rule")]


def test_a_rule_that_another_covers() -> None:
    wide = {"name": "Subnet", "remote_ips": "10.0.0.0/24", "direction": "Outbound"}
    narrow = {"name": "Host", "remote_ips": "10.0.0.7", "direction": "Outbound", "process_path": NOTEPAD}
    (finding,) = findings(narrow, wide)
    assert (finding.code, finding.rule) == ("covered_rule", "windows_rules[0] 'Host'")
    assert "windows_rules[1] 'Subnet'" in finding.text


def test_an_ignored_rule_covers_nothing() -> None:
    gone = {"name": "Gone", "process_path": r"C:\gone.exe", "remote_ips": "10.0.0.0/24"}
    here = {"name": "Here", "process_path": r"C:\gone.exe", "remote_ips": "10.0.0.1"}
    assert told(gone, here, host=device(executables=[])) == [(ERROR, "executable_missing")] * 2


def test_the_feature_switch() -> None:
    assert told(NARROW, feature=False) == [(WARNING, "feature_off")]
    assert told(NARROW, feature=None) == [(WARNING, "feature_off")]
    assert told(feature=True) == [(INFO, "no_rules")]


def test_lists_the_device_does_not_use() -> None:
    mac = {"name": "m", "remote_ips": "1.1.1.1"}
    assert told(NARROW, mac_rules=[dict(mac)], host=device()) == [(INFO, "unused_list")]
    assert told(NARROW, mac_rules=[dict(mac)]) == []


def test_without_a_device_every_list_is_judged_on_one_of_its_own() -> None:
    both = told({"remote_ips": "0.0.0.0/0"}, mac_rules=[{"remote_ips": "::/0"}])
    assert both == [(WARNING, "unbounded_rule")] * 2


def test_linux_rules_are_for_the_lab() -> None:
    rule = {"process_path": "/bin/bash", "remote_ips": "1.1.1.1"}
    lab = settings(platform__limits="lab")
    linux = device(platform="Linux", os_version=None)
    assert told(linux_rules=[dict(rule)]) == [(WARNING, "lab_only"), (WARNING, "runs_anything")]
    assert told(linux_rules=[dict(rule)], settings=lab) == [(WARNING, "runs_anything")]
    assert told(linux_rules=[dict(rule)], host=linux) == [(ERROR, "rules_unsupported"), (WARNING, "runs_anything")]


def test_a_platform_without_rules_ignores_them_all() -> None:
    assert told(NARROW, host=device(platform="Windows7", os_version=None)) == [(ERROR, "rules_unsupported")]


def test_every_text_is_one_line() -> None:
    rule = {
        "name": "x",
        "process_path": r"C:\PROGRA~1\chrome.exe",
        "remote_ips": "0.0.0.0/1, 0.0.0.0/1",
        "service_name": "bits",
    }
    for finding in findings(rule, {"name": "y"}, host=device(executables=[])):
        assert finding.text
        assert "\n" not in finding.text
