"""One rule on one device: active with its filter, or ignored with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.vocabulary import Direction
from agent.policy.compiled import CompiledRule, compile_rules, is_unbounded, opens_dns
from agent.policy.effective import Filter
from tests.policy.builders import NOTEPAD, device, rules, settings

IMAGE = r"C:\WINDOWS\NOTEPAD.EXE"
TEAMS = "MSTeams_8wekyb3d8bbwe"


def compiled(fields: dict[str, Any], **host: Any) -> CompiledRule:
    (result,) = compile_rules(rules(fields), device(**host), settings())
    return result


def test_every_condition_becomes_one_of_the_filter_in_canonical_form() -> None:
    rule = {
        "name": "All",
        "process_path": r"%WINDIR%\notepad.exe",
        "service_name": "TermService",
        "package_family_name": TEAMS,
        "direction": "Inbound",
        "remote_ips": ["1.1.1.1/24"],
    }
    found = compiled(rule, executables=[NOTEPAD]).filter
    assert found is not None
    assert found.remotes is not None
    assert (found.index, found.name, found.reserved) == (0, "All", False)
    assert (found.image, found.service, found.package) == (IMAGE, "termservice", TEAMS.lower())
    assert found.direction is Direction.INBOUND
    assert [network.text for network in found.remotes] == ["1.1.1.1/24"]


def test_an_undefined_condition_stays_undefined() -> None:
    assert compiled({"name": "Any"}).filter == Filter(index=0, name="Any")


@pytest.mark.parametrize(
    ("fields", "host", "code", "because"),
    [
        pytest.param(
            {"process_path": NOTEPAD},
            {"executables": []},
            "executable_missing",
            rf"{NOTEPAD} does not exist on the device",
            id="X10 the executable does not exist",
        ),
        pytest.param(
            {"process_path": r"%TOOLS%\a.exe"},
            {},
            "path_unusable",
            "the device has no environment variable %TOOLS%",
            id="unknown variable",
        ),
        pytest.param(
            {"process_path": "%TOOLS%name.exe"},
            {"environment": {"TOOLS": "name"}},
            "path_unusable",
            r"'namename.exe' is not an absolute Windows path such as C:\Windows\notepad.exe",
            id="no path once expanded",
        ),
        pytest.param(
            {"package_family_name": TEAMS},
            {"platform": "Windows10", "os_version": "21H2"},
            "packages_unsupported",
            "package rules need Windows10 22H2 or later; the device's os_version is 21H2",
            id="X13 older build",
        ),
        pytest.param(
            {"package_family_name": TEAMS},
            {"platform": "WindowsServer2022", "os_version": None},
            "packages_unsupported",
            "package rules are not supported on WindowsServer2022",
            id="X13 platform without package rules",
        ),
        pytest.param(
            {},
            {"platform": "Windows7", "os_version": None},
            "rules_unsupported",
            "isolation exclusion rules are not supported on Windows7",
            id="X6 platform without rules",
        ),
    ],
)
def test_a_rule_is_ignored_with_its_reason(fields: Any, host: Any, code: str, because: str) -> None:
    result = compiled(fields, **host)
    assert result.filter is None
    assert (result.code, result.because) == (code, because)
    assert result.place == "windows_rules[0] 'Rule 1'"


def test_ignored_rules_leave_no_gap_in_the_numbers() -> None:
    document = rules({"name": "a"}, {"name": "b", "process_path": r"C:\gone.exe"}, {"name": "c"})
    results = compile_rules(document, device(executables=[]), settings())
    assert [result.filter and result.filter.index for result in results] == [0, None, 1]
    assert [result.place for result in results] == [f"windows_rules[{i}] '{name}'" for i, name in enumerate("abc")]


def test_a_live_device_is_asked_for_the_canonical_image() -> None:
    """Only the live agent asks the file system, and only where no document says what exists."""
    asked: list[str] = []

    def exists(image: str) -> bool:
        asked.append(image)
        return False

    document = rules({"process_path": "c:/windows/notepad.exe"})
    (result,) = compile_rules(document, device(), settings(), exists)
    assert (result.code, asked) == ("executable_missing", [IMAGE])
    (result,) = compile_rules(document, device(executables=[NOTEPAD]), settings(), exists)
    assert (result.code, asked) == (None, [IMAGE])


@pytest.mark.parametrize(
    ("fields", "host", "codes"),
    [
        pytest.param({"process_path": NOTEPAD}, {}, ["executables_assumed"], id="executables not described"),
        pytest.param({"process_path": NOTEPAD}, {"executables": [NOTEPAD]}, [], id="described"),
        pytest.param(
            {"process_path": r"%WINDIR%\notepad.exe"},
            {"executables": [NOTEPAD]},
            ["environment_assumed"],
            id="environment not described",
        ),
        pytest.param({"service_name": "a"}, {"services": ["b"]}, ["service_missing"], id="service not on the device"),
        pytest.param({"service_name": "A"}, {"services": ["a"]}, [], id="service on the device"),
        pytest.param({"service_name": "a"}, {}, [], id="services not described"),
        pytest.param(
            {"package_family_name": TEAMS}, {"packages": []}, ["package_missing"], id="package not on the device"
        ),
        pytest.param(
            {"package_family_name": TEAMS}, {"os_version": "23H2"}, ["update_assumed"], id="X13 update not seen"
        ),
        pytest.param({}, {}, [], id="nothing to assume"),
    ],
)
def test_an_active_rule_says_what_was_assumed_or_looks_wrong(fields: Any, host: Any, codes: list[str]) -> None:
    result = compiled(fields, **host)
    assert result.filter is not None
    assert [code for code, _ in result.notes] == codes


@pytest.mark.parametrize(
    ("fields", "unbounded"),
    [
        pytest.param({}, True, id="no condition"),
        pytest.param({"direction": "Outbound"}, True, id="direction only"),
        pytest.param({"remote_ips": "0.0.0.0/0"}, True, id="all IPv4"),
        pytest.param({"remote_ips": "1.1.1.1, ::/0"}, True, id="all IPv6"),
        pytest.param({"remote_ips": "0.0.0.0/1, 128.0.0.0/1"}, True, id="all IPv4 in halves"),
        pytest.param({"remote_ips": "::ffff:0:0/96"}, True, id="all IPv4, mapped"),
        pytest.param({"process_path": NOTEPAD, "remote_ips": "0.0.0.0/0"}, True, id="a process to all IPv4"),
        pytest.param({"process_path": NOTEPAD}, False, id="a process"),
        pytest.param({"service_name": "a", "direction": "Inbound"}, False, id="a service"),
        pytest.param({"remote_ips": "0.0.0.0/1"}, False, id="half of IPv4"),
    ],
)
def test_what_is_unbounded(fields: Any, unbounded: bool) -> None:
    assert is_unbounded(rules(fields).windows_rules[0]) is unbounded


@pytest.mark.parametrize(
    ("fields", "opens"),
    [
        ({"direction": "Outbound"}, True),
        ({}, True),
        ({"direction": "Inbound"}, False),
        ({"remote_ips": "1.1.1.1"}, False),
        ({"remote_ips": "0.0.0.0/0"}, False),
    ],
)
def test_only_outbound_to_undefined_remotes_opens_dns(fields: Any, opens: bool) -> None:
    found = compiled(fields).filter
    assert found is not None
    assert opens_dns(found) is opens


def test_linux_rules_compile_in_the_lab() -> None:
    document = rules(linux_rules=[{"process_path": "/usr/bin/Curl", "service_name": "Ssh.service"}])
    host = device(platform="Linux", os_version=None)
    assert compile_rules(document, host, settings())[0].code == "rules_unsupported"
    found = compile_rules(document, host, settings(platform__limits="lab"))[0].filter
    assert found is not None
    assert (found.image, found.service) == ("/usr/bin/Curl", "Ssh.service")
