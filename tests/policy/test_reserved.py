"""What no rule has to allow: the cloud channel, essential services, the embedded list, time-outs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.device import Device, Family
from agent.model.errors import PolicyError
from agent.model.protocols import ICMP, ICMPV6, TCP, UDP
from agent.model.settings import TABLE
from agent.model.vocabulary import Direction
from agent.policy.document import load_mapping
from agent.policy.reserved import (
    load_cloud_channel,
    load_embedded,
    load_essential,
    load_timeouts,
    parse_cloud_channel,
)
from tests.policy.builders import device, settings

FAMILIES = {
    Family.WINDOWS: Device(),
    Family.MAC: Device(platform="macOS", family=Family.MAC),
    Family.LINUX: Device(platform="Linux", family=Family.LINUX),
}


@pytest.mark.parametrize("family", Family)
def test_every_family_has_a_channel(family: Family) -> None:
    """D1, D2: destinations and processes."""
    cloud = load_cloud_channel(FAMILIES[family])
    assert cloud.agents
    assert all(agent.reserved and (agent.image is None) is not (agent.service is None) for agent in cloud.agents)
    assert [agent.index for agent in cloud.agents] == list(range(len(cloud.agents)))
    assert cloud.tls_ports == {443}
    assert cloud.crl_ports == {80}
    assert cloud.admits_name("unitedstates.x.cp.endpoint.security.microsoft.com")


@pytest.mark.parametrize(
    ("name", "tls", "crl"),
    [
        pytest.param("a.endpoint.security.microsoft.com", True, False, id="suffix"),
        pytest.param("a.b.c.endpoint.security.microsoft.com", True, False, id="suffix, several labels"),
        pytest.param("endpoint.security.microsoft.com", False, False, id="the suffix itself"),
        pytest.param("evilendpoint.security.microsoft.com", False, False, id="no whole label"),
        pytest.param("endpoint.security.microsoft.com.evil.test", False, False, id="suffix in front"),
        pytest.param("winatp-gw-weu.microsoft.com", True, False, id="exact"),
        pytest.param("x.winatp-gw-weu.microsoft.com", False, False, id="below an exact one"),
        pytest.param("crl.microsoft.com", False, True, id="revocation list"),
        pytest.param("ussus1eastprod.blob.core.windows.net", False, False, id="storage: anyone may register"),
        pytest.param("login.microsoftonline.com", False, False, id="sign-in of every tenant"),
        pytest.param("client.wns.windows.com", False, False, id="push notifications of every app"),
        pytest.param("www.example.test", False, False, id="anything else"),
    ],
)
def test_which_names_are_the_channels(name: str, tls: bool, crl: bool) -> None:
    cloud = load_cloud_channel(Device())
    assert cloud.tls_name(name) is tls
    assert (name in cloud.crl_names) is crl


def test_images_come_from_the_devices_environment_or_windows_defaults() -> None:
    agent = r"\WINDOWS DEFENDER ADVANCED THREAT PROTECTION\MSSENSE.EXE"
    images = {item.image for item in load_cloud_channel(device(environment={"ProgramFiles": r"E:\Apps"})).agents}
    assert r"E:\APPS" + agent in images
    assert r"C:\PROGRAMDATA\MICROSOFT\WINDOWS DEFENDER\PLATFORM\*\MSMPENG.EXE" in images
    assert r"C:\PROGRAM FILES" + agent in {item.image for item in load_cloud_channel(Device()).agents}


def test_services_compare_as_the_family_does() -> None:
    assert "sense" in {agent.service for agent in load_cloud_channel(Device()).agents}
    assert "mdatp.service" in {agent.service for agent in load_cloud_channel(FAMILIES[Family.LINUX]).agents}


def test_static_ranges_are_documentation_addresses_only() -> None:
    """The real ranges are not copied; these are RFC 5737's and RFC 3849's."""
    documentation = {4: (parse_address("192.0.2.0"), 24), 6: (parse_address("2001:db8::"), 32)}
    for network in load_cloud_channel(Device()).networks:
        base, length = documentation[network.version]
        width = 32 if network.version == 4 else 128
        assert network.first >> (width - length) == base.value >> (width - length) == network.last >> (width - length)


OWN: dict[str, Any] = {
    "version": "1",
    "tls_ports": ["8443"],
    "crl_ports": [],
    "hosts": [
        {"name": "*.Lab.test."},
        {"name": "one.test", "families": ["mac"]},
        {"name": "*.off.test", "enabled": "false", "reason": "r"},
    ],
    "networks": [{"network": "198.51.100.0/24"}],
    "agents": {"windows": [{"service": "Sense"}], "linux": [{"image": "/opt/*/agent"}]},
}


def test_a_document_of_ones_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "cloud.yaml"
    path.write_text("version: 1\ntls_ports: [8443]\nhosts: [{name: '*.lab.test'}]\nagents: {windows: [{service: a}]}")
    cloud = load_cloud_channel(Device(), str(path))
    assert (cloud.suffixes, cloud.tls_ports, cloud.crl_names) == ((".lab.test",), frozenset({8443}), frozenset())
    assert [agent.service for agent in cloud.agents] == ["a"]


def test_entries_are_for_their_families_and_only_while_enabled() -> None:
    windows = parse_cloud_channel(OWN, "c.yaml", Device())
    mac = parse_cloud_channel(OWN, "c.yaml", FAMILIES[Family.MAC])
    linux = parse_cloud_channel(OWN, "c.yaml", FAMILIES[Family.LINUX])
    assert windows.suffixes == mac.suffixes == (".lab.test",)
    assert (windows.exact_names, mac.exact_names) == (frozenset(), frozenset({"one.test"}))
    assert mac.agents == ()
    assert [agent.image for agent in linux.agents] == ["/opt/*/agent"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"hosts": [{"name": "a*.test"}]}, "'*' may stand for whole labels", id="part of a label"),
        pytest.param({"hosts": [{"name": "a.*.test"}]}, "'*' may stand for whole labels", id="in the middle"),
        pytest.param({"hosts": [{"name": "*.com"}]}, "top-level domain", id="a whole top level"),
        pytest.param({"hosts": [{"name": "*"}]}, "'*' may stand", id="every name"),
        pytest.param({"hosts": [{"name": "a b"}]}, "is not a host name", id="no name"),
        pytest.param({"hosts": [{"name": "a.test", "enabled": "off"}]}, "without a reason", id="off without reason"),
        pytest.param({"hosts": [{"name": "a.test", "families": ["bsd"]}]}, "'bsd' is not allowed", id="family"),
        pytest.param({"hosts": [{"host": "a.test"}]}, "unknown key 'host'", id="unknown key"),
        pytest.param({"crl_hosts": [{"name": "*.a.test"}]}, "wildcards are for hosts", id="wildcard for lists"),
        pytest.param({"networks": [{"network": "0.0.0.0/0"}]}, "every address", id="everything"),
        pytest.param({"networks": [{"network": "::/0"}]}, "every address", id="everything, IPv6"),
        pytest.param({"tls_ports": ["0"]}, "from 1 to 65535", id="port"),
        pytest.param({"agents": {"windows": [{}]}}, "an image or a service, and not both", id="agent of nothing"),
        pytest.param(
            {"agents": {"windows": [{"image": r"C:\a.exe", "service": "a"}]}}, "and not both", id="agent of both"
        ),
        pytest.param({"agents": {"windows": [{"image": "a.exe"}]}}, "not an absolute", id="relative image"),
        pytest.param({"agents": {"windows": [{"image": r"C:\a*\b.exe"}]}}, "whole component", id="part of a component"),
        pytest.param({"agents": {"linux": [{"image": "a"}]}}, "agents.linux[0].image", id="another family's agent"),
        pytest.param({"version": "2"}, "allowed: 1", id="version"),
    ],
)
def test_a_wrong_channel_is_refused_whatever_the_device(change: dict[str, Any], said: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_cloud_channel({**OWN, **change}, "c.yaml", Device())
    assert said in str(caught.value)
    assert str(caught.value).startswith("c.yaml: ")


def test_essential_services_are_off_until_a_setting_says_otherwise() -> None:
    assert load_essential(settings()) == ()


FLOW_WISE = {"icmp_echo", "ntp", "kerberos", "llmnr", "mdns", "netbios", "ssdp"}


def test_every_flow_wise_service_has_its_switch() -> None:
    everything = settings(**{f"essential__{name}": True for name in FLOW_WISE})
    assert {service.name for service in load_essential(everything)} == FLOW_WISE
    packet_wise = {"dns", "neighbour_discovery", "multicast_listener", "dhcp"}
    names = {setting.name.removeprefix("essential.") for setting in TABLE if setting.name.startswith("essential.")}
    assert names == FLOW_WISE | packet_wise


@pytest.mark.parametrize(
    ("name", "protocols", "direction", "ports", "groups"),
    [
        ("ntp", {UDP}, Direction.OUTBOUND, {123}, False),
        ("kerberos", {TCP, UDP}, Direction.OUTBOUND, {88}, False),
        ("netbios", {UDP}, Direction.OUTBOUND, {137, 138}, False),
        ("llmnr", {UDP}, None, {5355}, True),
        ("mdns", {UDP}, None, {5353}, True),
        ("ssdp", {UDP}, Direction.OUTBOUND, {1900}, True),
        ("icmp_echo", {ICMP, ICMPV6}, None, set(), False),
    ],
)
def test_what_each_service_allows(
    name: str, protocols: set[int], direction: Direction | None, ports: set[int], groups: bool
) -> None:
    (service,) = load_essential(settings(**{f"essential__{name}": True}))
    assert (service.protocols, service.direction, service.remote_ports) == (protocols, direction, ports)
    assert bool(service.remotes) is groups
    assert all(network.first == network.last for network in service.remotes or ())
    assert service.icmp_types == ({0, 8, 128, 129} if name == "icmp_echo" else set())


def test_the_embedded_list_is_outlook_and_classic_teams_on_windows_only() -> None:
    """D4, X5: Skype is in no default list any more."""
    found = load_embedded(Device())
    assert {name.split()[0] for name in (item.name for item in found)} == {"Outlook", "Teams"}
    assert {str(item.image).rpartition("\\")[2] for item in found} == {"OUTLOOK.EXE", "TEAMS.EXE"}
    assert all(item.reserved and item.remotes is None for item in found)
    assert r"C:\USERS\*\APPDATA\LOCAL\MICROSOFT\TEAMS\CURRENT\TEAMS.EXE" in {item.image for item in found}
    assert load_embedded(FAMILIES[Family.MAC]) == load_embedded(FAMILIES[Family.LINUX]) == ()


@pytest.mark.parametrize("load", [load_embedded, load_cloud_channel])
def test_shipped_paths_follow_the_system_drive(load: Callable[[Device], Any]) -> None:
    host = device(environment={"SystemDrive": "D:", "ProgramData": r"D:\ProgramData", "ProgramFiles": r"D:\P"})
    loaded = load(host)
    images = {item.image for item in getattr(loaded, "agents", loaded) if item.image}
    assert {image[:3] for image in images} <= {"D:\\", "C:\\"}
    assert any(image.startswith("D:\\") for image in images)


@pytest.mark.parametrize(
    ("profile", "family", "udp", "multicast"),
    [
        ("auto", Family.WINDOWS, (60, 60), 4),
        ("auto", Family.MAC, (30, 120), 0),
        ("auto", Family.LINUX, (30, 120), 0),
        ("conntrack", Family.WINDOWS, (30, 120), 0),
        ("wfp", Family.LINUX, (60, 60), 4),
    ],
)
def test_time_outs_by_profile(profile: str, family: Family, udp: tuple[int, int], multicast: int) -> None:
    seconds = load_timeouts(profile, family)
    assert (seconds["udp_unreplied"], seconds["udp_replied"]) == udp
    assert seconds["multicast_reply"] == multicast
    assert seconds["established"] == 432_000
    assert seconds["other"] == 600


def test_both_profiles_name_the_same_states() -> None:
    assert list(load_timeouts("wfp", Family.WINDOWS)) == list(load_timeouts("conntrack", Family.WINDOWS))


@pytest.mark.parametrize("name", ["cloud_channel.yaml", "essential.yaml", "embedded_exclusions.yaml"])
def test_every_shipped_entry_says_where_it_is_from(name: str, root: Path) -> None:
    """A `source`, or `assumed: true`: nobody takes a guess for a documented fact."""
    entries: list[dict[str, Any]] = []

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            if {"name", "image", "service", "network"} & set(node):
                entries.append(node)
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(load_mapping(str(root / "policies" / name)))
    assert entries
    assert [entry for entry in entries if "source" not in entry and entry.get("assumed") != "true"] == []
