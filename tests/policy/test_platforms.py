"""The platform table: who supports what, in the order of versions, and what older pages said instead."""

from __future__ import annotations

import pytest

from agent.model.errors import UsageError
from agent.model.vocabulary import Mode
from agent.policy.data import read_data
from agent.policy.document import load_mapping
from agent.policy.platforms import FEATURES, Feature, ephemeral_ports, platforms, require_mode, support
from tests.policy.builders import device, settings

ALL = "full selective rules"


@pytest.mark.parametrize(
    ("platform", "os_version", "supported"),
    [
        pytest.param("Windows11", "21H2", ALL, id="X6 Windows 11"),
        pytest.param("Windows11", "22H2", ALL + " packages", id="X13 Windows 11 22H2"),
        pytest.param("Windows11", "24H2", ALL + " packages", id="X13 Windows 11 24H2"),
        pytest.param("Windows10", "1607", "", id="X6 Windows 10 before 1703"),
        pytest.param("Windows10", "1703", ALL, id="X6 Windows 10 1703"),
        pytest.param("Windows10", "1709", ALL, id="D4 Windows 10 1709"),
        pytest.param("Windows10", "20H2", ALL, id="20H2 is later than 2004"),
        pytest.param("Windows10", "21H2", ALL, id="X13 Windows 10 21H2"),
        pytest.param("Windows10", "22H2", ALL + " packages", id="X13 Windows 10 22H2"),
        pytest.param("WindowsServer2012R2", None, ALL, id="X6 2012 R2"),
        pytest.param("WindowsServer2016", None, ALL, id="X6 2016"),
        pytest.param("WindowsServer2019", None, ALL, id="X6 2019"),
        pytest.param("WindowsServer2022", None, ALL, id="X6 2022"),
        pytest.param("WindowsServer2025", None, ALL + " packages", id="X6 X13 2025"),
        pytest.param("WindowsServer", "23H2", ALL + " packages", id="X13 Server 23H2"),
        pytest.param("WindowsServer", "20H2", "", id="older annual channel"),
        pytest.param("AzureStackHCI", "22H2", "", id="Azure Stack HCI 22H2"),
        pytest.param("AzureStackHCI", "23H2", ALL + " packages", id="Azure Stack HCI 23H2"),
        pytest.param("macOS", "15.1", ALL, id="X6 D7 macOS"),
        pytest.param("Linux", None, "full", id="I6 D7 Linux"),
        pytest.param("Windows7", None, "", id="Windows 7"),
    ],
)
def test_who_supports_what(platform: str, os_version: str | None, supported: str) -> None:
    host = device(platform=platform, os_version=os_version)
    found = [feature for feature in FEATURES if support(host, feature, settings()).supported]
    assert found == supported.split()


@pytest.mark.parametrize("os_version", [None, "99H9"], ids=["not given", "not in the table"])
def test_an_unknown_version_costs_no_isolation_and_gains_no_rule(os_version: str | None) -> None:
    host = device(platform="Windows10", os_version=os_version)
    full = support(host, "full", settings())
    assert full.supported
    assert "taken to be 1703 or later" in (full.assumption or "")
    packages = support(host, "packages", settings())
    assert packages.because == (
        f"package rules need Windows10 22H2 or later; the device's os_version is {os_version or 'not given'}"
    )


@pytest.mark.parametrize(
    ("platform", "os_version", "update"),
    [("Windows11", "23H2", "KB5050092"), ("Windows10", "22H2", "KB5050081"), ("Windows11", "24H2", None)],
)
def test_an_update_that_nobody_can_see_is_assumed_aloud(platform: str, os_version: str, update: str | None) -> None:
    """X13."""
    assumption = support(device(platform=platform, os_version=os_version), "packages", settings()).assumption
    assert (update is None) if assumption is None else (update is not None and update in assumption)


@pytest.mark.parametrize(
    ("platform", "mode", "said"),
    [
        pytest.param(
            "Linux", Mode.SELECTIVE, "Selective isolation is not supported on Linux; allowed here: full", id="Linux"
        ),
        pytest.param("Windows7", Mode.FULL, "Full isolation is not supported on Windows7; allowed here: no", id="old"),
    ],
)
def test_an_unsupported_mode_is_refused_by_the_products_word(platform: str, mode: Mode, said: str) -> None:
    host = device(platform=platform, os_version=None)
    with pytest.raises(UsageError) as caught:
        require_mode(host, mode, settings())
    assert str(caught.value).startswith("OsPlatformNotSupported: ")
    assert said in str(caught.value)
    assert require_mode(host, Mode.NONE, settings()).supported


def test_the_refusal_names_the_version_that_would_do() -> None:
    with pytest.raises(
        UsageError, match="Full isolation needs Windows10 1703 or later; the device's os_version is 1607"
    ):
        require_mode(device(platform="Windows10", os_version="1607"), Mode.FULL, settings())


@pytest.mark.parametrize("feature", ["full", "selective", "rules"])
def test_the_lab_lifts_the_products_limits(feature: Feature) -> None:
    lab = settings(platform__limits="lab")
    assert support(device(platform="Linux", os_version=None), feature, lab).supported
    assert support(device(platform="Windows7", os_version=None), feature, lab).supported


def test_the_lab_gives_no_build_packages_it_lacks() -> None:
    """A build without package rules could not enforce one: the lab changes policy, not Windows."""
    lab = settings(platform__limits="lab")
    assert not support(device(platform="WindowsServer2019", os_version=None), "packages", lab).supported


@pytest.mark.parametrize(
    ("platform", "ports"),
    [("Windows11", (49152, 65535)), ("macOS", (49152, 65535)), ("Linux", (32768, 60999))],
)
def test_ephemeral_ports(platform: str, ports: tuple[int, int]) -> None:
    assert ephemeral_ports(platform) == ports


def test_every_superseded_statement_cites_both_sides() -> None:
    """D7: the older "not supported for macOS and Linux" is kept, with what replaced it."""
    tree = load_mapping(read_data("platforms.yaml"), name="platforms.yaml")
    rows = tree["superseded"]
    assert isinstance(rows, list)
    for row in rows:
        assert isinstance(row, dict)
        assert set(row) == {"says", "source", "now", "by"}
        assert all(row.values())
    assert any(isinstance(row, dict) and "macOS and Linux" in str(row["says"]) for row in rows)


def test_versions_that_a_row_names_are_in_its_order() -> None:
    for platform in platforms().values():
        for since in (*platform.since.values(), *platform.updates):
            assert since == "any" or since in platform.versions, platform.name
