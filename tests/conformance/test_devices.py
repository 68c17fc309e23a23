"""The page "Exclude devices" as far as it speaks of isolation, through the product: D1 to D7 of the requirements."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.policy.data import read_data
from agent.policy.document import load_mapping
from tests.conformance.lab import CHANNEL, CLOUD, capture, full, outcomes, rules, selective, tls
from tests.scenarios.playing import replay, scenario

MODES = ("full", "selective")


@pytest.mark.parametrize("mode", MODES)
def test_d1_an_isolated_device_keeps_its_connection_to_the_service(tmp_path: Path, mode: str) -> None:
    """exclude-devices, "Exclude devices from the network": "while retaining connectivity to the Defender for Endpoint
    service"; its note: the device remains connected "even if it is isolated"."""
    generated = capture(tls("sense", CHANNEL, at=1, exchanges=9), tls("other", "203.0.113.1", at=2))
    played = replay(tmp_path, generated, "--mode", mode)
    assert [(program, remote, reason) for program, _, remote, reason, _ in outcomes(played)] == [
        ("sense", CLOUD, "cloud_channel"),
        ("other", "203.0.113.1", "full_isolation" if mode == "full" else "no_matching_exclusion"),
    ]
    agent = next(record for record in played.flows if record["reason"] == "cloud_channel")
    assert agent["end"] == "fin", "the whole session, from handshake to close"
    assert agent["remote"]["names"] == [CHANNEL]
    assert "cloud_channel_unreachable" not in played.warnings


def test_d1_a_connection_that_is_open_when_the_device_is_isolated_lives_on(tmp_path: Path) -> None:
    """exclude-devices, "Exclude devices from the network": retained connectivity "continues to monitor the device"."""
    generated = capture(
        tls("sense", CHANNEL, at=0, exchanges=30, gap=2), tls("other", "203.0.113.1", at=0, exchanges=30, gap=2)
    )
    played = replay(tmp_path, generated, "--mode", "full", "--isolate-at", "20")
    found = [
        (record["process"]["image"].rpartition("\\")[2], record["reason"], record["end"]) for record in played.flows
    ]
    assert sorted(one for one in found if one[0] in ("MsSense.exe", "other.exe")) == [
        ("MsSense.exe", "cloud_channel", "fin"),
        ("MsSense.exe", "not_isolated", "reauthorised"),
        ("other.exe", "full_isolation", "fin"),
        ("other.exe", "not_isolated", "cut"),
    ]


def test_d2_the_channel_needs_the_process_and_the_destination(tmp_path: Path) -> None:
    """exclude-devices, important: "When isolating a device, only certain processes and destinations are allowed"."""
    generated = capture(
        tls("sense", CHANNEL, at=1),
        tls("other", CLOUD, at=3),  # a certain destination, another process
        tls("sense", "203.0.113.1", at=4),  # a certain process, another destination
        tls("sense", CLOUD, at=5, port=8443),  # and another port of the right one
        tls("sense", CLOUD, at=6, direction="inbound"),  # the cloud does not call
    )
    assert [
        (program, way, remote, reason) for program, way, remote, reason, _ in outcomes(full(tmp_path, generated))
    ] == [
        ("sense", "outbound", CLOUD, "cloud_channel"),
        ("other", "outbound", CLOUD, "full_isolation"),
        ("sense", "outbound", "203.0.113.1", "full_isolation"),
        ("sense", "outbound", CLOUD, "full_isolation"),
        ("sense", "inbound", CLOUD, "full_isolation"),
    ]


def test_d3_behind_a_full_vpn_tunnel_the_cloud_is_out_of_reach(tmp_path: Path) -> None:
    """exclude-devices, important: "devices that are behind a full VPN tunnel won't be able to reach the Microsoft
    Defender for Endpoint cloud service after the device is isolated"."""
    played = replay(tmp_path, scenario("full-vpn-tunnel"), "--mode", "full", "--isolate-at", "60")
    assert "cloud_channel_unreachable" in played.warnings
    assert played.reason("cloud_channel")["packets"] == 0
    tunnel = [record for record in played.flows if record["remote"]["port"] == 51820]
    assert [record["reason"] for record in tunnel] == ["full_isolation"]


def test_d3_split_tunnelling_keeps_the_cloud(tmp_path: Path) -> None:
    """exclude-devices, important: "We recommend using a split-tunneling VPN for Microsoft Defender for Endpoint"."""
    played = replay(tmp_path, scenario("split-vpn-tunnel"), "--mode", "full", "--isolate-at", "60")
    assert "cloud_channel_unreachable" not in played.warnings
    heartbeats = [record for record in played.flows if record["reason"] == "cloud_channel"]
    assert {record["process"]["image"].rpartition("\\")[2] for record in heartbeats} == {"MsSense.exe"}
    assert len(heartbeats) == 23  # one each minute but the first, which was before the isolation
    tunnel = [record for record in played.flows if record["remote"]["port"] == 51820]
    assert [record["reason"] for record in tunnel] == ["full_isolation"]


@pytest.mark.parametrize(("platform", "version"), [("Windows10", "1709"), ("Windows10", "22H2"), ("Windows11", "24H2")])
def test_d4_legacy_selective_isolation_is_for_outlook_and_teams(tmp_path: Path, platform: str, version: str) -> None:
    """exclude-devices, "Exclude devices from the network": "You can also choose to enable Outlook, Microsoft Teams, and
    Skype for Business connectivity (a.k.a 'Selective Isolation')", on Windows 10 1709 or later and Windows 11.

    Skype is out of it by the newer page. The feature switch is off; no document is needed.
    """
    generated = capture(
        tls("outlook", "198.51.100.30", at=1),
        tls("teams", "198.51.100.20", at=2),
        tls("skype_for_business", "198.51.100.41", at=3),
        tls("other", "198.51.100.20", at=4),
        tls("outlook", "198.51.100.30", at=5, direction="inbound"),
        device={"platform": platform, "os_version": version},
    )
    reasons = [(program, reason) for program, _, _, reason, _ in outcomes(selective(tmp_path, generated))]
    assert reasons == [
        ("outlook", "embedded_exclusion"),
        ("teams", "embedded_exclusion"),
        ("skype_for_business", "no_matching_exclusion"),
        ("other", "no_matching_exclusion"),
        ("outlook", "embedded_exclusion"),
    ]
    assert {reason for _, _, _, reason, _ in outcomes(full(tmp_path, generated))} == {"full_isolation"}


@pytest.mark.parametrize(("platform", "mode"), [("macOS", "full"), ("macOS", "selective"), ("Linux", "full")], ids=str)
def test_d7_macos_and_linux_are_supported_although_an_older_page_says_no(
    tmp_path: Path, platform: str, mode: str
) -> None:
    """exclude-devices, important: "This action is not currently supported for macOS and Linux" - superseded by
    isolation-exclusions ("and macOS") and isolate-machine-api ("Microsoft Defender for Endpoint on Linux")."""
    generated = capture(tls("other", "203.0.113.1"), device={"platform": platform, "os_version": None})
    played = replay(tmp_path, generated, "--mode", mode, *rules(tmp_path))
    assert played.code == 0
    assert played.summary["policy"]["mode"] == mode
    assert [row["verdict"] for row in played.flows] == ["deny"]


def test_d7_the_platform_table_cites_both_sides() -> None:
    """exclude-devices, important, beside the pages that supersede it: the table names source and successor."""
    table = load_mapping(read_data("platforms.yaml"), name="platforms.yaml")
    rows = table["superseded"]
    assert isinstance(rows, list)
    row = next(row for row in rows if isinstance(row, dict) and "macOS and Linux" in str(row["says"]))
    assert row["source"] == "exclude-devices"
    assert isinstance(row["by"], list)
    assert {"exclusions-2025", "isolate-api"} <= set(row["by"])
