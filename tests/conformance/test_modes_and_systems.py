"""The page "Isolation exclusions": modes, the feature and its systems, and whose rules apply - X1 to X7, and X17."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.model.errors import PolicyError
from agent.policy.document import load_rules
from tests.conformance.lab import (
    BY_ADDRESS,
    BY_PACKAGE,
    BY_PROCESS,
    BY_SERVICE,
    CHANNEL,
    CLOUD,
    NOBODY,
    OFFICE,
    capture,
    excluded,
    full,
    outcomes,
    rules,
    selective,
    tls,
)

FOUR = (BY_PROCESS, BY_SERVICE, BY_PACKAGE, BY_ADDRESS)

EVERYONE = (
    tls("tool", "203.0.113.1", at=1),
    tls("desktop", "203.0.113.1", at=2, direction="inbound"),
    tls("packaged", "203.0.113.1", at=3),
    tls("other", "198.51.100.7", at=4),
    tls("other", "203.0.113.1", at=5),
    tls("printing", "203.0.113.1", at=6),
    tls("sense", CHANNEL, at=7),
)
"""One flow for each way to be excluded, two that no rule names, and the Defender agent's own."""


def test_x1_exclusions_by_process_service_package_and_address_pass(tmp_path: Path) -> None:
    """isolation-exclusions, introduction: "exclude specific processes, IP addresses, or services".

    The package is the fourth way (table of step 1). Each lets its own flow through, and no other.
    """
    played = selective(tmp_path, capture(*EVERYONE), *rules(tmp_path, *FOUR))
    assert outcomes(played) == [
        ("tool", "outbound", "203.0.113.1", "exclusion", ["By process"]),
        ("desktop", "inbound", "203.0.113.1", "exclusion", ["By service"]),
        ("packaged", "outbound", "203.0.113.1", "exclusion", ["By package"]),
        ("other", "outbound", "198.51.100.7", "exclusion", ["By address"]),
        ("other", "outbound", "203.0.113.1", NOBODY, []),
        ("printing", "outbound", "203.0.113.1", NOBODY, []),
        ("sense", "outbound", CLOUD, "cloud_channel", []),
    ]


def test_x2_full_isolation_blocks_all_but_the_agents_essential_communication(tmp_path: Path) -> None:
    """isolation-exclusions, "Isolation modes": all traffic is blocked; exclusions aren't applied."""
    played = full(tmp_path, capture(*EVERYONE), *rules(tmp_path, *FOUR))
    assert [(program, reason, listed) for program, _, _, reason, listed in outcomes(played)] == [
        ("tool", "full_isolation", []),
        ("desktop", "full_isolation", []),
        ("packaged", "full_isolation", []),
        ("other", "full_isolation", []),
        ("other", "full_isolation", []),
        ("printing", "full_isolation", []),
        ("sense", "cloud_channel", []),
    ]
    assert {row["name"]: (row["status"], row["packets"]) for row in played.summary["rules"]} == {
        rule["name"]: ("ignored", 0) for rule in FOUR
    }
    # Beside the channel only what finds it: the question for its name (both address types) and the answers.
    essential = played.reason("essential")
    assert (essential["packets"], essential["flows"]) == (4, 2)


def test_x3_selective_isolation_applies_exclusions_and_isolates_otherwise(tmp_path: Path) -> None:
    """isolation-exclusions, "Isolation modes": critical tools can still function, "while maintaining the device's
    isolated state": the same capture loses what Full costs, less what the rules name."""
    generated = capture(*EVERYONE)
    applied = selective(tmp_path, generated, *rules(tmp_path, *FOUR))
    isolated = full(tmp_path, generated)
    by_rules = applied.reason("exclusion")["packets"]
    assert by_rules > 0
    assert applied.summary["packets"]["denied"] == isolated.summary["packets"]["denied"] - by_rules
    assert applied.summary["packets"]["denied"] == applied.reason(NOBODY)["packets"] > 0


def test_x5_enabling_the_feature_empties_the_list_and_skype_is_in_none(tmp_path: Path) -> None:
    """isolation-exclusions, "Prerequisites", note: once enabled, the embedded exclusions no longer apply and the list
    starts empty; Skype "is no longer included in any default exclusions"."""
    generated = capture(*OFFICE)
    before = outcomes(selective(tmp_path, generated, *rules(tmp_path, isolation_exclusions=False)))
    assert [(program, reason) for program, _, _, reason, _ in before] == [
        ("outlook", "embedded_exclusion"),
        ("teams", "embedded_exclusion"),
        ("skype", NOBODY),
        ("skype_for_business", NOBODY),
    ]
    after = selective(tmp_path, generated, *rules(tmp_path))
    assert {reason for _, _, _, reason, _ in outcomes(after)} == {NOBODY}
    assert after.summary["rules"] == []
    assert after.reason("embedded_exclusion")["packets"] == 0


@pytest.mark.parametrize("platform", ["macOS", "Linux", "WindowsServer2022"])
def test_x5_the_list_starts_empty_across_all_platforms(tmp_path: Path, platform: str) -> None:
    """isolation-exclusions, "Prerequisites", note: "the exclusions list will start empty across all platforms"."""
    generated = capture(*OFFICE, device={"platform": platform, "os_version": None})
    played = selective(tmp_path, generated, *rules(tmp_path), "--set", "platform.limits=lab")
    assert {reason for _, _, _, reason, _ in outcomes(played)} == {NOBODY}
    assert played.summary["rules"] == []


SUPPORTED = [
    ("Windows11", "21H2"),
    ("Windows11", "24H2"),
    ("Windows10", "1703"),
    ("Windows10", "22H2"),
    ("WindowsServer2025", None),
    ("WindowsServer2022", None),
    ("WindowsServer2019", None),
    ("WindowsServer2016", None),
    ("WindowsServer2012R2", None),
    ("macOS", "15.1"),
]


@pytest.mark.parametrize(("platform", "version"), SUPPORTED, ids=[f"{one} {two or ''}" for one, two in SUPPORTED])
def test_x6_isolation_exclusion_works_on_every_supported_system(
    tmp_path: Path, platform: str, version: str | None
) -> None:
    """isolation-exclusions, "Prerequisites": the list of systems that isolation exclusion is available on."""
    generated = capture(
        tls("other", "198.51.100.7"), tls("other", "203.0.113.1"), device={"platform": platform, "os_version": version}
    )
    played = selective(tmp_path, generated, *rules(tmp_path, BY_ADDRESS, mac_rules=[BY_ADDRESS]))
    assert played.code == 0
    assert excluded(played) == [("other", "outbound", "198.51.100.7")]
    assert played.reason(NOBODY)["flows"] == 1


@pytest.mark.parametrize(
    ("platform", "version"),
    [("Windows10", "1607"), ("Windows8.1", None), ("WindowsServer2008R2", None), ("Linux", None)],
    ids=["Windows 10 before 1703", "Windows 8.1", "Windows Server 2008 R2", "Linux"],
)
def test_x6_other_systems_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], platform: str, version: str | None
) -> None:
    """isolation-exclusions, "Prerequisites": what is not in the list has no selective isolation with exclusions."""
    generated = capture(tls("other", "198.51.100.7"), device={"platform": platform, "os_version": version})
    played = selective(tmp_path, generated, *rules(tmp_path, BY_ADDRESS))
    assert played.code == 2
    assert "OsPlatformNotSupported" in capsys.readouterr().err


def test_x7_windows_and_mac_rules_are_separate(tmp_path: Path) -> None:
    """isolation-exclusions, step 1: "Select the relevant OS tab (Windows rules or Mac rules)"."""
    here = {"name": "Windows only", "remote_ips": "198.51.100.7"}
    there = {"name": "Mac only", "remote_ips": "198.51.100.8"}
    found = {}
    for platform in ("Windows11", "macOS"):
        generated = capture(
            tls("other", "198.51.100.7"),
            tls("other", "198.51.100.8", at=2),
            device={"platform": platform, "os_version": None},
        )
        played = selective(tmp_path, generated, *rules(tmp_path, here, mac_rules=[there]))
        found[platform] = (excluded(played), [row["name"] for row in played.summary["rules"]])
    assert found == {
        "Windows11": ([("other", "outbound", "198.51.100.7")], ["Windows only"]),
        "macOS": ([("other", "outbound", "198.51.100.8")], ["Mac only"]),
    }


@pytest.mark.parametrize("rule", [BY_PROCESS, BY_SERVICE, BY_PACKAGE], ids=["process", "service", "package"])
def test_x7_process_service_and_package_are_windows_only(tmp_path: Path, rule: Mapping[str, Any]) -> None:
    """isolation-exclusions, step 1, table: the three parameters are marked "(Windows only)"."""
    _, path = rules(tmp_path, mac_rules=[rule])
    field = next(key for key in rule if key != "name")
    with pytest.raises(PolicyError, match=f"mac_rules have no {field}"):
        load_rules(path)


def test_x17_global_rules_apply_to_every_device_that_is_isolated_selectively(tmp_path: Path) -> None:
    """isolation-exclusions, step 1: "These global rules apply whenever selective isolation is enabled for a device."

    The same document, unchanged, on three devices; a rule cannot name a device or a group.
    """
    document = rules(tmp_path, BY_ADDRESS)
    for number, platform in enumerate(("Windows11", "Windows10", "WindowsServer2019")):
        generated = capture(
            tls("other", "198.51.100.7"),
            device={"platform": platform, "os_version": None, "id": f"{number:040x}", "tags": [platform]},
        )
        assert excluded(selective(tmp_path, generated, *document)) == [("other", "outbound", "198.51.100.7")]
    for key in ("device", "devices", "device_group", "tags"):
        with pytest.raises(PolicyError, match="unknown key"):
            load_rules(rules(tmp_path, {**BY_ADDRESS, key: "finance"})[1])
