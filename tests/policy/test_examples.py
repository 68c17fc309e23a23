"""Every example of policies/examples loads, does what its comments say, and follows its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from agent.model.address import parse_address
from agent.model.device import Device, Family
from agent.model.subject import Subject
from agent.model.vocabulary import Direction, Mode
from agent.policy.document import load_device, load_names, load_rules
from agent.policy.effective import EffectivePolicy
from agent.policy.lint import Severity, lint
from agent.policy.match import Facts, matches
from agent.policy.reserved import load_cloud_channel
from tests.policy.builders import codes, policy, settings

POLICIES = Path(__file__).resolve().parents[2] / "policies"
EXAMPLES = POLICIES / "examples"
RULES = ("three-rules", "remote-support", "teams-by-package", "soc-tooling", "linux-lab")
DEVICES = ("win11-workstation", "windows-server", "mac", "linux-lab")
OTHERS = ("own-cloud-channel", "names")


def example(name: str) -> str:
    return str(EXAMPLES / f"{name}.yaml")


def host(name: str) -> Device:
    return load_device(example(f"devices/{name}"))


def applied(name: str, on: str) -> EffectivePolicy:
    return policy(Mode.SELECTIVE, load_rules(example(name)), device=host(on), settings=settings(platform__limits="lab"))


def test_there_is_no_example_that_nobody_tests() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == {*RULES, *OTHERS}
    assert {path.stem for path in (EXAMPLES / "devices").glob("*.yaml")} == set(DEVICES)


@pytest.mark.parametrize("name", [*RULES, *OTHERS, *(f"devices/{name}" for name in DEVICES)])
def test_every_example_begins_with_what_it_is_for(name: str) -> None:
    text = Path(example(name)).read_text("utf-8")
    assert text.startswith("# ")
    assert "\t" not in text


@pytest.mark.parametrize(
    ("kind", "names"), [("rules", RULES), ("device", tuple(f"devices/{name}" for name in DEVICES))]
)
def test_the_schema_accepts_what_an_editor_sees(kind: str, names: tuple[str, ...]) -> None:
    """As YAML 1.1 types it, which is what editors with schema support do."""
    schema = json.loads((POLICIES / f"{kind}.schema.json").read_text("utf-8"))
    for name in names:
        jsonschema.validate(yaml.safe_load(Path(example(name)).read_text("utf-8")), schema)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("on", DEVICES)
def test_no_example_is_refused_anywhere(name: str, on: str) -> None:
    assert applied(name, on).mode is Mode.SELECTIVE


@pytest.mark.parametrize("name", [name for name in RULES if name != "linux-lab"])
def test_every_windows_rule_is_active_on_the_workstation(name: str) -> None:
    findings = lint(load_rules(example(name)), host("win11-workstation"), settings())
    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []
    built = applied(name, "win11-workstation")
    assert built.snapshot
    assert all(rule.filter is not None for rule in built.snapshot)


def test_the_lab_rules_are_active_on_the_lab_device() -> None:
    assert [rule.ignored_because for rule in applied("linux-lab", "linux-lab").snapshot] == [None] * 3


def allowed(built: EffectivePolicy, direction: Direction, remote: str, **subject: Any) -> list[str]:
    facts = Facts(direction, parse_address(remote), Subject(**subject))
    return [item.name for item in built.filters if matches(item, facts)]


OUT, IN = Direction.OUTBOUND, Direction.INBOUND
EXAMPLE, EXAMPLE_2, OTHER = r"C:\EXAMPLE.EXE", r"C:\EXAMPLE_2.EXE", r"C:\OTHER.EXE"


@pytest.mark.parametrize(
    ("direction", "remote", "image", "names"),
    [
        pytest.param(OUT, "1.1.1.1", EXAMPLE, ["Rule 1"], id="example.exe to 1.1.1.1"),
        pytest.param(OUT, "1.1.1.2", EXAMPLE, [], id="example.exe to another"),
        pytest.param(IN, "1.1.1.1", EXAMPLE, [], id="1.1.1.1 to example.exe"),
        pytest.param(OUT, "203.0.113.9", EXAMPLE_2, ["Rule 2"], id="example_2.exe to any"),
        pytest.param(OUT, "2001:db8::9", EXAMPLE_2, ["Rule 2"], id="example_2.exe to any, IPv6"),
        pytest.param(IN, "203.0.113.9", EXAMPLE_2, [], id="any to example_2.exe"),
        pytest.param(IN, "18.18.18.18", OTHER, ["Rule 3"], id="18.18.18.18 to any program"),
        pytest.param(IN, "18.18.18.18", EXAMPLE, ["Rule 3"], id="18.18.18.18 to example.exe"),
        pytest.param(OUT, "18.18.18.18", OTHER, [], id="another program to 18.18.18.18"),
        pytest.param(OUT, "18.18.18.18", EXAMPLE_2, ["Rule 2"], id="example_2.exe to 18.18.18.18"),
        pytest.param(OUT, "1.1.1.1", OTHER, [], id="another program to 1.1.1.1"),
        pytest.param(OUT, "1.1.1.1", None, [], id="an unknown program to 1.1.1.1"),
    ],
)
def test_the_pages_three_rules_have_its_three_outcomes_and_no_more(
    direction: Direction, remote: str, image: str | None, names: list[str]
) -> None:
    """X22, X21: isolation-exclusions, "Exclusion Logic"."""
    built = applied("three-rules", "win11-workstation")
    assert allowed(built, direction, remote, canonical_image=image) == names


def test_remote_support_lets_the_help_desk_in_and_nobody_else() -> None:
    built = applied("remote-support", "win11-workstation")
    assert allowed(built, IN, "10.20.0.10", services=("termservice",)) == ["Remote desktop from the jump hosts"]
    assert allowed(built, IN, "10.20.0.16", services=("termservice",)) == []
    assert allowed(built, IN, "10.20.0.10", services=("dnscache",)) == []
    assert built.dns == "cloud_names"


def test_new_teams_gets_through_by_its_package_where_that_is_supported() -> None:
    """X13."""
    teams = {"package_family_name": "MSTeams_8wekyb3d8bbwe", "package_known": True}
    assert allowed(applied("teams-by-package", "win11-workstation"), OUT, "52.112.0.1", **teams) == ["Teams"]
    server = applied("teams-by-package", "windows-server")
    assert "package rules are not supported on WindowsServer2019" in str(server.snapshot[0].ignored_because)
    assert allowed(server, OUT, "52.112.0.1", **teams) == []


def test_a_mac_uses_its_own_rules() -> None:
    built = applied("soc-tooling", "mac")
    assert [item.name for item in built.filters] == ["Log collectors", "Vulnerability scanner"]
    assert "exclusions_weaken_isolation" in codes(built)


def test_a_cloud_channel_of_ones_own() -> None:
    for name in DEVICES:
        cloud = load_cloud_channel(host(name), example("own-cloud-channel"))
        assert cloud.tls_name("unitedstates.example.endpoint.test")
        assert not cloud.tls_name("a.blob.core.windows.net")
        assert cloud.agents


def test_known_names_are_the_channels() -> None:
    """Otherwise the examples would show a device that loses its channel."""
    cloud = load_cloud_channel(host("win11-workstation"))
    known = [*load_names(example("names")).values(), *host("win11-workstation").known_names.values()]
    assert all(cloud.tls_name(name) for names in known for name in names)


def test_device_examples_are_of_every_family() -> None:
    assert {host(name).family for name in DEVICES} == set(Family)
    assert len({host(name).id for name in DEVICES}) == len(DEVICES)
