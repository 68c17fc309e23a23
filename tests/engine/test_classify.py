"""The order of the permits (semantics.md section 5, step 9) and the cloud channel (section 6), flow by flow."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from agent.attribution.chain import Attribution
from agent.model.subject import Subject
from tests.support import frames as f
from tests.support.lab import AGENT, CLOUD_ADDRESS, CLOUD_HOST, LOW, OTHER, Lab, everybody, owners, program, socket

US, PEER = "10.0.0.5", "203.0.113.9"
FULL, NO_MATCH = ("deny", "full_isolation"), ("deny", "no_matching_exclusion")
CLOUD, ALLOWED, ESSENTIAL = ("allow", "cloud_channel"), ("allow", "exclusion"), ("allow", "essential")


def syn(remote: str = CLOUD_ADDRESS, port: int = 443, local_port: int = 50000) -> bytes:
    return f.tcp_frame(f"{US}:{local_port}", f"{remote}:{port}", flags=f.SYN)


def only(lab: Lab) -> SimpleNamespace:
    [flow] = lab.finish()
    return flow


# The cloud channel ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["full", "selective"])
def test_the_agent_reaches_its_cloud_in_every_mode(mode: str) -> None:
    lab = Lab(mode, attribution=everybody(AGENT))
    assert lab.send(syn()) == CLOUD
    assert lab.send(f.tcp_frame(f"{CLOUD_ADDRESS}:443", f"{US}:50000", flags=f.SYN | f.ACK)) == CLOUD
    assert only(lab).evidence is None


def test_an_agent_may_be_known_by_its_service() -> None:
    lab = Lab("full", attribution=everybody("C:\\Windows\\System32\\svchost.exe", services=("sense",)))
    assert lab.send(syn()) == CLOUD


def test_another_process_to_the_same_address_is_denied() -> None:
    lab = Lab("full", attribution=everybody(OTHER))
    assert lab.send(syn()) == FULL
    assert lab.engine.agent_denied == 0


def test_a_process_known_by_its_services_only_is_another_process() -> None:
    source = owners(socket(f"{US}:50000", f"{CLOUD_ADDRESS}:443", program(None, services=("dnscache",))))
    assert Lab("full", attribution=source).send(syn()) == FULL


def test_the_agent_to_another_address_is_denied_and_counted() -> None:
    lab = Lab("full", attribution=everybody(AGENT))
    assert lab.send(syn(PEER)) == FULL
    assert lab.engine.agent_denied == 1


def test_the_agent_to_ports_that_are_not_the_channels_is_denied_like_anybody() -> None:
    lab = Lab("full", attribution=everybody(AGENT))
    assert lab.send(syn(CLOUD_ADDRESS, 8443)) == FULL
    assert lab.send(f.udp_frame(f"{US}:50000", f"{CLOUD_ADDRESS}:443")) == FULL
    assert lab.engine.agent_denied == 0


def test_the_agent_may_still_be_excluded_by_a_rule() -> None:
    lab = Lab("selective", rules=[{"name": "r", "remote_ips": [PEER]}], attribution=everybody(AGENT))
    assert lab.send(syn(PEER)) == ALLOWED


@pytest.mark.parametrize(
    ("remote", "port", "verdict"),
    [
        (CLOUD_ADDRESS, 443, CLOUD),
        ("192.0.2.240", 443, CLOUD),
        ("192.0.2.255", 443, CLOUD),
        ("192.0.2.239", 443, FULL),
        (CLOUD_ADDRESS, 80, FULL),
        (CLOUD_ADDRESS, 444, FULL),
        ("198.51.100.1", 443, CLOUD),
        ("198.51.100.1", 80, FULL),
        ("198.51.100.2", 443, CLOUD),
        ("198.51.100.3", 443, FULL),
        ("198.51.100.4", 443, FULL),
        ("198.51.100.5", 80, CLOUD),
        ("198.51.100.5", 443, FULL),
        ("198.51.100.6", 443, CLOUD),
    ],
)
def test_destinations_are_names_suffixes_and_networks_each_on_its_ports(
    remote: str, port: int, verdict: tuple[str, str]
) -> None:
    names = {
        "198.51.100.1": (CLOUD_HOST,),
        "198.51.100.2": ("a.b.channel.example.test",),
        "198.51.100.3": ("channel.example.test",),  # a suffix is not meant itself
        "198.51.100.4": ("evilchannel.example.test",),  # whole labels
        "198.51.100.5": ("crl.example.test",),
        "198.51.100.6": ("other.test", CLOUD_HOST, "zzz.test"),
    }
    assert Lab("full", names=names, attribution=everybody(AGENT)).send(syn(remote, port)) == verdict


def test_the_channel_is_outbound() -> None:
    lab = Lab("full", attribution=everybody(AGENT))
    assert lab.send(f.tcp_frame(f"{CLOUD_ADDRESS}:443", f"{US}:50000", flags=f.SYN)) == FULL


def test_a_guessed_direction_opens_the_channel_only_if_guesses_are_trusted() -> None:
    frame = f.tcp_frame(f"{US}:50000", f"{CLOUD_ADDRESS}:443")
    assert Lab("full").send(frame) == CLOUD
    assert Lab("full", settings={"direction.trust_guesses": False}).send(frame) == FULL


def unknown(complete: bool) -> Attribution:
    """A source that knows some other socket."""
    return owners(socket(f"{US}:40000", f"{PEER}:443"), complete=complete)


@pytest.mark.parametrize(
    ("evidence", "attribution", "verdict"),
    [
        ("auto", None, CLOUD),
        ("auto", False, CLOUD),
        ("auto", True, FULL),
        ("required", None, FULL),
        ("required", False, FULL),
        ("destination", True, CLOUD),
        ("destination", None, CLOUD),
    ],
)
def test_an_unknown_process_is_judged_by_what_evidence_there_could_be(
    evidence: str, attribution: bool | None, verdict: tuple[str, str]
) -> None:
    """Denied where a source that knows every socket does not know this one."""
    source = None if attribution is None else unknown(attribution)
    lab = Lab("full", attribution=source, settings={"cloud_channel.process_evidence": evidence})
    assert lab.send(syn()) == verdict
    assert lab.engine.agent_denied == (verdict == FULL)
    assert only(lab).evidence == ("destination_only" if verdict == CLOUD else None)


@pytest.mark.parametrize("image", [AGENT, OTHER])
def test_a_doubtful_owner_counts_as_unknown(image: str) -> None:
    lab = Lab("full", attribution=everybody(image, confidence=LOW))
    assert lab.send(syn()) == CLOUD
    assert only(lab).evidence == "destination_only"


@pytest.mark.parametrize(
    ("images", "verdict"),
    [
        pytest.param((OTHER, r"C:\Tools\more.exe"), FULL, id="strangers all"),
        pytest.param((OTHER, AGENT), CLOUD, id="one may be the agent"),
        pytest.param((OTHER, None), CLOUD, id="one is unknown"),
    ],
)
def test_several_that_are_all_strangers_do_not_open_the_channel(
    images: tuple[str | None, ...], verdict: tuple[str, str]
) -> None:
    """A process can make its socket ambiguous by forking: that must not get it what it would not get alone."""
    candidates = tuple(
        Subject(image=image, canonical_image=image and image.upper(), pid=number, source="test")
        for number, image in enumerate(images)
    )
    shown = replace(candidates[0], confidence=LOW, candidates=candidates)
    lab = Lab("full", attribution=owners(socket(f"{US}:50000", f"{CLOUD_ADDRESS}:443", shown)))
    assert lab.send(syn()) == verdict


def test_an_image_that_cannot_be_compared_is_a_known_process() -> None:
    """Of a volume without a drive letter: which program it is to a rule is unknown, but it is no unknown process."""
    shown = Subject(image=r"\device\harddiskvolume2\users\eve\a.exe", pid=7, source="test")
    lab = Lab("full", attribution=owners(socket(f"{US}:50000", f"{CLOUD_ADDRESS}:443", shown)))
    assert lab.send(syn()) == FULL


def test_an_owner_whose_image_and_services_are_unknown_is_unknown() -> None:
    source = owners(socket(f"{US}:50000", f"{CLOUD_ADDRESS}:443", Subject(pid=7, source="test")))
    lab = Lab("full", attribution=source)
    assert lab.send(syn()) == CLOUD


# The order --------------------------------------------------------------------------------------------------------


def test_the_cloud_channel_comes_before_rules() -> None:
    lab = Lab("selective", rules=[{"name": "all", "direction": "Outbound"}], attribution=everybody(AGENT))
    assert lab.send(syn()) == CLOUD
    assert only(lab).rules == ()


def test_essential_services_come_before_rules() -> None:
    lab = Lab("selective", rules=[{"name": "all", "direction": "Outbound"}], settings={"essential.ntp": True})
    assert lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:123")) == ESSENTIAL
    assert (only(lab).service, lab.flows[0].rules) == ("ntp", ())


def test_loopback_comes_before_everything() -> None:
    lab = Lab("none")
    assert lab.send(f.udp_frame("127.0.0.1:1", "127.0.0.1:2")) == ("allow", "loopback")


@pytest.mark.parametrize(
    ("mode", "feature", "verdict"),
    [
        ("none", True, ("allow", "not_isolated")),
        ("full", True, FULL),
        ("selective", True, NO_MATCH),
        ("selective", None, NO_MATCH),
    ],
)
def test_what_nothing_permits_has_its_modes_reason(mode: str, feature: bool | None, verdict: tuple[str, str]) -> None:
    assert Lab(mode, feature=feature).send(syn(PEER)) == verdict


# Essential services judged flow by flow ---------------------------------------------------------------------------


def udp(remote: str, port: int, *, local_port: int = 50000) -> bytes:
    return f.udp_frame(f"{US}:{local_port}", f"{remote}:{port}")


SERVICES = [
    pytest.param("ntp", udp(PEER, 123), id="ntp"),
    pytest.param("kerberos", udp("10.0.0.2", 88), id="kerberos-udp"),
    pytest.param("kerberos", syn("10.0.0.2", 88), id="kerberos-tcp"),
    pytest.param("llmnr", udp("224.0.0.252", 5355), id="llmnr"),
    pytest.param("mdns", udp("224.0.0.251", 5353, local_port=5353), id="mdns"),
    pytest.param("netbios", udp("10.0.0.255", 137, local_port=137), id="netbios-name"),
    pytest.param("netbios", udp("10.0.0.255", 138, local_port=138), id="netbios-datagram"),
    pytest.param("ssdp", udp("239.255.255.250", 1900), id="ssdp"),
    pytest.param("icmp_echo", f.icmp_frame(US, PEER, f.icmp(8, 0, 7 << 16)), id="ping"),
    pytest.param("icmp_echo", f.icmp_frame(PEER, US, f.icmp(8, 0, 7 << 16)), id="pinged"),
    pytest.param("icmp_echo", f.icmp_frame(PEER, US, f.icmp(0, 0, 7 << 16)), id="only-the-answer"),
]


@pytest.mark.parametrize(("name", "frame"), SERVICES)
def test_an_essential_service_is_off_until_its_setting_is_on(name: str, frame: bytes) -> None:
    assert Lab("full").send(frame) == FULL
    lab = Lab("full", settings={f"essential.{name}": True})
    assert lab.send(frame) == ESSENTIAL
    assert only(lab).service == name


NOT_SERVED = [
    pytest.param("ntp", f.udp_frame(f"{PEER}:50000", f"{US}:123"), id="an-inbound-ntp-client"),
    pytest.param("ntp", syn(PEER, 123), id="ntp-over-tcp"),
    pytest.param("ntp", udp(PEER, 124), id="another-port"),
    pytest.param("ntp", udp(PEER, 50000, local_port=123), id="from-port-123"),
    pytest.param("mdns", udp("224.0.0.252", 5353), id="mdns-to-another-group"),
    pytest.param("mdns", udp(PEER, 5353), id="mdns-to-one-host"),
    pytest.param("mdns", f.udp_frame(f"{PEER}:5353", f"{US}:5353"), id="mdns-from-one-host"),
    pytest.param("ssdp", f.udp_frame(f"{PEER}:50000", "239.255.255.250:1900"), id="ssdp-inbound"),
    pytest.param("icmp_echo", f.icmp_frame(US, PEER, f.icmp(13, 0, 7 << 16)), id="timestamp"),
    pytest.param("icmp_echo", f.icmp_frame(PEER, US, f.icmp(5, 0)), id="redirect"),
]


@pytest.mark.parametrize(("name", "frame"), NOT_SERVED)
def test_a_service_is_its_direction_ports_and_remotes(name: str, frame: bytes) -> None:
    assert Lab("full", settings={f"essential.{name}": True}).send(frame) == FULL


def test_a_neighbours_multicast_question_is_served_where_any_direction_is() -> None:
    frame = f.ethernet(f.ip("10.0.0.7", "224.0.0.251", f.udp(5353, 5353, b"x"), f.UDP), source=f.THEIR_MAC)
    assert Lab("full", settings={"essential.mdns": True}).send(frame) == ESSENTIAL


def test_ping_works_in_both_versions() -> None:
    lab = Lab("full", local=("2001:db8::5",), settings={"essential.icmp_echo": True})
    assert lab.send(f.icmp_frame("2001:db8::5", "2001:db8:1::9", f.icmp(128, 0, 7 << 16))) == ESSENTIAL
    assert lab.send(f.icmp_frame("2001:db8:1::9", "2001:db8::5", f.icmp(129, 0, 7 << 16))) == ESSENTIAL
    [flow] = lab.finish()
    assert (flow.packets_original, flow.packets_reply) == (1, 1)


def served(**settings: Any) -> Lab:
    return Lab("full", settings={key.replace("__", "."): value for key, value in settings.items()})


@pytest.mark.parametrize(
    ("dns", "frame", "verdict"),
    [
        ("any", udp(PEER, 53), ESSENTIAL),
        ("any", syn(PEER, 53), ESSENTIAL),
        ("any", f.udp_frame(f"{PEER}:53", f"{US}:50000"), FULL),
        ("configured_resolvers", udp("10.0.0.1", 53), ESSENTIAL),
        ("configured_resolvers", udp(PEER, 53), FULL),
        ("configured_resolvers", syn("10.0.0.1", 53), FULL),
        ("off", udp("10.0.0.1", 53), FULL),
        ("cloud_names", udp("10.0.0.1", 53), FULL),
        ("cloud_names", syn("10.0.0.1", 53), FULL),
    ],
)
def test_open_dns_is_a_flow_like_others(dns: str, frame: bytes, verdict: tuple[str, str]) -> None:
    lab = served(essential__dns=dns)
    assert lab.send(frame) == verdict
    if verdict == ESSENTIAL:
        assert only(lab).service == "dns"
