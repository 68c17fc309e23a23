"""Services judged message by message: DNS questions, the DHCP client, neighbour discovery (semantics.md section 7)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent.model.address import parse_address
from tests.support import dns
from tests.support import frames as f
from tests.support.lab import AGENT, CLOUD_HOST, INBOUND, OUTBOUND, RESOLVER, Lab, everybody

US, EVIL, SERVER = "10.0.0.5", "evil.example.net", "10.0.0.2"
CLOUD_IP = "198.51.100.20"
FULL, NO_MATCH = ("deny", "full_isolation"), ("deny", "no_matching_exclusion")
ESSENTIAL, ALLOWED, FREE = ("allow", "essential"), ("allow", "exclusion"), ("allow", "not_isolated")
CLOUD = ("allow", "cloud_channel")


def only(lab: Lab) -> SimpleNamespace:
    [flow] = lab.finish()
    return flow


# DNS --------------------------------------------------------------------------------------------------------------


def ask(host: str = CLOUD_HOST, number: int = 1, *, port: int = 50000, resolver: str = RESOLVER, **facts: Any) -> bytes:
    return f.udp_frame(f"{US}:{port}", f"{resolver}:53", dns.question(number, host, **facts))


def tell(
    host: str = CLOUD_HOST,
    number: int = 1,
    *,
    port: int = 50000,
    resolver: str = RESOLVER,
    address: str = CLOUD_IP,
    seconds: int = 300,
    records: list[dns.Record] | None = None,
    **facts: Any,
) -> bytes:
    records = [(host, "A", seconds, address)] if records is None else records
    return f.udp_frame(f"{resolver}:53", f"{US}:{port}", dns.answer(number, host, records, **facts))


def syn(address: str = CLOUD_IP, port: int = 443) -> bytes:
    return f.tcp_frame(f"{US}:51000", f"{address}:{port}", flags=f.SYN)


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        (CLOUD_HOST, ESSENTIAL),
        (CLOUD_HOST.upper(), ESSENTIAL),
        ("a.b.channel.example.test", ESSENTIAL),
        ("crl.example.test", ESSENTIAL),
        ("channel.example.test", FULL),
        (f"x.{CLOUD_HOST}", FULL),
        (EVIL, FULL),
        ("", FULL),
    ],
)
def test_under_cloud_names_only_names_of_the_channel_may_be_asked(host: str, verdict: tuple[str, str]) -> None:
    lab = Lab("full")
    assert lab.send(ask(host)) == verdict
    assert lab.send(tell(host)) == verdict  # an answer passes against an outstanding allowed question only


def test_each_question_of_a_flow_is_judged_on_its_own() -> None:
    lab = Lab("full")
    for host, verdict in ((CLOUD_HOST, ESSENTIAL), (EVIL, FULL), ("a.channel.example.test", ESSENTIAL)):
        assert lab.send(ask(host, 7)) == verdict
        assert lab.send(tell(host, 7)) == verdict
    flow = only(lab)
    assert (flow.verdict.label, flow.reason.label, flow.service) == ("mixed", "essential", "dns")
    assert (flow.mixed_allowed, flow.mixed_denied) == (4, 2)
    assert (flow.packets_original, flow.packets_reply) == (3, 3)


def test_a_flow_of_allowed_questions_only_is_allowed() -> None:
    lab = Lab("full")
    lab.send(ask())
    lab.send(tell())
    flow = only(lab)
    assert (flow.verdict.label, flow.reason.label, flow.service, flow.attempted) == ("allow", "essential", "dns", None)


def test_a_flow_of_denied_questions_only_is_denied() -> None:
    lab = Lab("full")
    lab.send(ask(EVIL))
    flow = only(lab)
    assert (flow.verdict.label, flow.reason.label, flow.attempted) == ("deny", "full_isolation", 1)


CARRIERS = [
    pytest.param(ask(tail=b"stolen data"), id="bytes-behind-the-question"),
    pytest.param(ask(kind="TXT"), id="a-type-no-client-needs"),
    pytest.param(ask(resolver="203.0.113.53"), id="a-resolver-nobody-configured"),
    pytest.param(f.tcp_frame(f"{US}:50000", f"{RESOLVER}:53", flags=f.SYN), id="tcp"),
    pytest.param(f.udp_frame(f"{US}:50000", f"{RESOLVER}:53", b"stolen data, no dns at all"), id="no-dns"),
    pytest.param(f.udp_frame(f"{US}:50000", f"{RESOLVER}:53", dns.answer(1, CLOUD_HOST, [])), id="an-answer-sent-out"),
    pytest.param(f.udp_frame(f"{US}:50000", f"{RESOLVER}:5353", dns.question(1, CLOUD_HOST)), id="another-port"),
    pytest.param(f.udp_frame(f"{US}:53", f"{RESOLVER}:50000", dns.question(1, CLOUD_HOST)), id="from-port-53"),
    pytest.param(ask()[:-3], id="cut"),
]


@pytest.mark.parametrize("frame", CARRIERS)
def test_a_permitted_name_carries_nothing_else(frame: bytes) -> None:
    verdict, reason = Lab("full").send(frame)
    assert verdict == "deny"
    assert reason in ("full_isolation", "undecodable")


@pytest.mark.parametrize("kind", ["A", "AAAA", "CNAME", "HTTPS"])
def test_the_types_that_lead_to_addresses_may_be_asked(kind: str) -> None:
    assert Lab("full").send(ask(kind=kind)) == ESSENTIAL


def test_a_question_may_say_that_it_speaks_edns() -> None:
    assert Lab("full").send(ask(edns=True)) == ESSENTIAL


def test_bytes_behind_the_udp_datagram_are_not_the_question_and_nobodys() -> None:
    """They lie inside the IP packet: what is longer than its UDP length says is cut off by every receiver."""
    lab = Lab("full")
    datagram = f.udp(50000, 53, dns.question(1, CLOUD_HOST))
    frame = f.ethernet(f.ipv4(US, RESOLVER, datagram + b"stolen data", f.UDP))
    assert lab.send(frame) == ESSENTIAL


def test_a_question_in_fragments_is_denied() -> None:
    """Its first fragment is a whole permitted question; what follows could be anything."""
    lab = Lab("full")
    names = ("a" * size + ".channel.example.test" for size in range(1, 9))
    message = next(one for one in (dns.question(1, name) for name in names) if len(one) % 8 == 0)
    first = f.udp(50000, 53, message, length=8 + len(message) + 400)
    size = len(first)
    assert lab.send(f.ethernet(f.ipv4(US, RESOLVER, first, f.UDP, more=True))) == FULL
    assert lab.send(f.ethernet(f.ipv4(US, RESOLVER, b"stolen data", f.UDP, offset=size))) == FULL


def test_a_long_answer_may_come_in_fragments() -> None:
    lab = Lab("full")
    assert lab.send(ask()) == ESSENTIAL
    message = dns.answer(1, CLOUD_HOST, [(CLOUD_HOST, "A", 300, CLOUD_IP)] * 40)
    datagram = f.udp(53, 50000, message)
    pieces = [datagram[at : at + 512] for at in range(0, len(datagram), 512)]
    for number, piece in enumerate(pieces):
        more = number < len(pieces) - 1
        frame = f.ethernet(f.ipv4(RESOLVER, US, piece, f.UDP, offset=512 * number, more=more))
        assert lab.send(frame) == ESSENTIAL
    assert only(lab).verdict.label == "allow"


FORGED = [
    pytest.param(tell(number=2), id="another-number"),
    pytest.param(tell(host="a.channel.example.test"), id="another-name"),
    pytest.param(tell(kind="AAAA"), id="another-type"),
    pytest.param(tell(port=50001), id="another-port"),
    pytest.param(tell(resolver="10.0.0.66"), id="another-resolver"),
    pytest.param(f.udp_frame(f"{RESOLVER}:53", f"{US}:50000", dns.question(1, CLOUD_HOST)), id="a-question"),
]


@pytest.mark.parametrize("frame", FORGED)
def test_an_answer_nobody_asked_for_is_denied_and_teaches_nothing(frame: bytes) -> None:
    lab = Lab("full", attribution=everybody(AGENT))
    assert lab.send(ask()) == ESSENTIAL
    assert lab.send(frame) == FULL
    assert lab.send(syn()) == FULL


def test_an_answer_long_after_its_question_is_denied() -> None:
    lab = Lab("full")
    assert lab.send(ask(), 0) == ESSENTIAL
    assert lab.send(tell(), 60) == ESSENTIAL
    lab = Lab("full")
    assert lab.send(ask(), 0) == ESSENTIAL
    assert lab.send(tell(), 61) == FULL
    flow = lab.finish()[1]
    assert flow.direction.value == "inbound"


def test_answers_open_the_channel_for_the_time_they_live() -> None:
    lab = Lab("full", attribution=everybody(AGENT))
    assert lab.send(syn(), 0) == FULL
    lab.send(ask(), 1)
    lab.send(tell(seconds=5), 1)
    lab.send(f.tcp_frame(f"{CLOUD_IP}:443", f"{US}:51000", flags=f.RST), 1)
    assert lab.send(f.tcp_frame(f"{US}:51001", f"{CLOUD_IP}:443", flags=f.SYN), 61) == CLOUD
    assert lab.send(f.tcp_frame(f"{US}:51002", f"{CLOUD_IP}:443", flags=f.SYN), 61.1) == FULL
    assert lab.send(f.tcp_frame(f"{US}:51001", f"{CLOUD_IP}:443"), 62) == CLOUD  # a flow keeps what it had


def test_the_alias_of_an_asked_name_counts_as_the_name() -> None:
    lab = Lab("full", attribution=everybody(AGENT))
    records = [(CLOUD_HOST, "CNAME", 300, "edge.cdn.test"), ("edge.cdn.test", "A", 300, CLOUD_IP)]
    lab.send(ask())
    assert lab.send(tell(records=records)) == ESSENTIAL
    assert lab.send(syn()) == CLOUD
    assert lab.finish()[1].names == (CLOUD_HOST,)


def test_addresses_slipped_into_an_answer_are_not_learned() -> None:
    lab = Lab("full", attribution=everybody(AGENT))
    lab.send(ask())
    lab.send(tell(records=[(CLOUD_HOST, "A", 300, "198.51.100.21"), ("a.channel.example.test", "A", 300, CLOUD_IP)]))
    assert lab.send(syn()) == FULL


def test_an_answer_to_a_denied_question_teaches_nothing() -> None:
    lab = Lab("full", names={}, attribution=everybody(AGENT))
    lab.send(ask(EVIL))
    lab.send(tell(EVIL))
    assert len(lab.engine.names) == 0


def test_answers_heard_before_the_isolation_count() -> None:
    lab = Lab("none", attribution=everybody(AGENT))
    assert lab.send(ask(), 0) == FREE
    assert lab.send(tell(), 0) == FREE
    lab.isolate()
    assert lab.send(syn(), 1) == CLOUD


def test_a_resolver_nobody_configured_teaches_nothing_even_while_free() -> None:
    lab = Lab("none", attribution=everybody(AGENT))
    lab.send(ask(resolver="203.0.113.53"), 0)
    lab.send(tell(resolver="203.0.113.53"), 0)
    lab.isolate()
    assert lab.send(syn(), 1) == FULL


def test_an_answer_to_a_question_from_before_the_isolation_is_judged_by_the_question() -> None:
    lab = Lab("none")
    lab.send(ask(CLOUD_HOST, 1), 0)
    lab.send(ask(EVIL, 2), 0)
    lab.isolate()
    assert lab.send(tell(EVIL, 2), 1) == FULL
    assert lab.send(tell(CLOUD_HOST, 1), 1) == ESSENTIAL


def test_dns_switched_off_denies_the_channels_names_too() -> None:
    lab = Lab("full", settings={"essential.dns": "off"})
    assert lab.send(ask()) == FULL
    assert lab.send(tell()) == FULL


def test_open_dns_counts_the_questions_for_other_names() -> None:
    lab = Lab("full", settings={"essential.dns": "configured_resolvers"})
    for number, host in enumerate((CLOUD_HOST, EVIL, "x.test")):
        assert lab.send(ask(host, number)) == ESSENTIAL
        assert lab.send(tell(host, number)) == ESSENTIAL
    assert lab.engine.essentials.open_questions == 2
    assert only(lab).verdict.label == "allow"


def test_dns_that_a_rule_allows_is_the_rules() -> None:
    """But a question for the channel is essential first."""
    lab = Lab("selective", rules=[{"name": "dns", "remote_ips": [RESOLVER]}])
    assert lab.send(ask(EVIL)) == ALLOWED
    assert lab.send(ask(CLOUD_HOST)) == ESSENTIAL
    flow = only(lab)
    assert (flow.verdict.label, flow.reason.label, flow.rules) == ("allow", "exclusion", ("dns",))


def test_selective_opens_dns_only_for_rules_that_may_go_anywhere() -> None:
    anywhere = [{"name": "tool", "process_path": "C:\\x.exe", "direction": "Outbound"}]
    assert Lab("selective", rules=anywhere).send(ask(EVIL)) == ESSENTIAL
    somewhere = [{"name": "tool", "process_path": "C:\\x.exe", "remote_ips": ["203.0.113.1"]}]
    assert Lab("selective", rules=somewhere).send(ask(EVIL)) == NO_MATCH
    inbound = [{"name": "tool", "process_path": "C:\\x.exe", "direction": "Inbound"}]
    assert Lab("selective", rules=inbound).send(ask(EVIL)) == NO_MATCH
    assert Lab("selective", feature=None).send(ask(EVIL)) == ESSENTIAL  # the embedded list


def test_nothing_unsolicited_changes_anything() -> None:
    """Answers, offers and advertisements that nobody asked for leave a device as it was."""
    lab = Lab("full", local=(US, "2001:db8::5"), attribution=everybody(AGENT))
    for frame in (
        tell(),
        f.udp_frame("10.0.0.66:67", f"{US}:68", dns.dhcp4(5, 7, reply=True, resolvers=("10.0.0.66",))),
        f.udp_frame("[2001:db8::66]:547", "[2001:db8::5]:546", dns.dhcp6(7, 7, resolvers=("2001:db8::66",))),
    ):
        assert lab.send(frame) == FULL
    assert len(lab.engine.names) == 0
    assert lab.engine.essentials.resolvers == {parse_address(RESOLVER)}


# DHCP -------------------------------------------------------------------------------------------------------------


def discover(kind: int = 1, number: int = 7, *, source: str = "0.0.0.0", to: str = "255.255.255.255") -> bytes:
    mac = f.BROADCAST_MAC if to == "255.255.255.255" else f.THEIR_MAC
    return f.ethernet(f.ip(source, to, f.udp(68, 67, dns.dhcp4(kind, number)), f.UDP), destination=mac)


def offer(kind: int = 2, number: int = 7, *, source: str = SERVER, to: str = "255.255.255.255", **facts: Any) -> bytes:
    body = f.udp(67, 68, dns.dhcp4(kind, number, reply=True, **facts))
    mac = f.BROADCAST_MAC if to == "255.255.255.255" else f.OUR_MAC
    return f.ethernet(f.ip(source, to, body, f.UDP), source=f.THEIR_MAC, destination=mac)


def test_the_dhcp_client_gets_its_address_and_resolvers_while_isolated() -> None:
    lab = Lab("full", local=("10.0.0.77",), resolvers=())
    assert lab.send(discover(1), flag=OUTBOUND) == ESSENTIAL
    assert lab.send(offer(2), flag=INBOUND) == ESSENTIAL
    assert lab.send(discover(3), flag=OUTBOUND) == ESSENTIAL
    assert lab.send(offer(5, resolvers=("10.0.0.53",)), flag=INBOUND) == ESSENTIAL
    question = f.udp_frame("10.0.0.77:50000", "10.0.0.53:53", dns.question(1, CLOUD_HOST))
    assert lab.send(question) == ESSENTIAL
    assert {flow.service for flow in lab.finish()} == {"dhcp", "dns"}


def test_an_offer_alone_configures_nothing() -> None:
    lab = Lab("full", resolvers=())
    lab.send(discover(1), flag=OUTBOUND)
    assert lab.send(offer(2, resolvers=("10.0.0.53",)), flag=INBOUND) == ESSENTIAL
    assert lab.engine.essentials.resolvers == set()


def test_a_lease_is_renewed_with_the_server_that_gave_it_and_no_other() -> None:
    lab = Lab("full")
    assert lab.send(discover(3, source=US, to=SERVER)) == FULL
    lab.send(discover(3), flag=OUTBOUND)
    lab.send(offer(5), flag=INBOUND)
    assert lab.send(discover(3, 8, source=US, to=SERVER)) == ESSENTIAL
    assert lab.send(offer(5, 8, to=US)) == ESSENTIAL
    assert lab.send(discover(3, 9, source=US, to="10.0.0.66")) == FULL


def test_a_dhcp_answer_needs_its_transaction_and_a_minute() -> None:
    lab = Lab("full")
    lab.send(discover(1), 0, flag=OUTBOUND)
    assert lab.send(offer(2, 8), 1, flag=INBOUND) == FULL
    assert lab.send(offer(2, 7), 60, flag=INBOUND) == ESSENTIAL
    assert lab.send(offer(2, 7), 61, flag=INBOUND) == FULL


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(discover(source=US, to="203.0.113.9"), id="to-any-host"),
        pytest.param(offer(source=US, to="255.255.255.255"), id="an-answer-sent-out"),
        pytest.param(f.udp_frame(f"{US}:68", "255.255.255.255:67", b"stolen data"), id="no-dhcp"),
        pytest.param(f.udp_frame(f"{US}:50000", "255.255.255.255:67", dns.dhcp4(1, 7)), id="from-another-port"),
        pytest.param(f.udp_frame(f"{US}:67", "255.255.255.255:68", dns.dhcp4(1, 7, reply=True)), id="as-a-server"),
    ],
)
def test_only_a_dhcp_client_talks_dhcp(frame: bytes) -> None:
    assert Lab("full").send(frame) == FULL


def test_whoever_answers_a_transaction_that_was_confirmed_was_not_asked() -> None:
    """Its number was broadcast: a second server could have heard it."""
    lab = Lab("full", resolvers=())
    lab.send(discover(3), flag=OUTBOUND)
    assert lab.send(offer(5, resolvers=("10.0.0.53",)), flag=INBOUND) == ESSENTIAL
    assert lab.send(offer(5, source="10.0.0.66", resolvers=("10.0.0.66",)), flag=INBOUND) == FULL
    assert lab.engine.essentials.resolvers == {parse_address("10.0.0.53")}


def test_resolvers_that_dhcp_hands_out_are_bounded() -> None:
    lab = Lab("none", resolvers=())
    for number in range(100):
        lab.send(discover(3, number), flag=OUTBOUND)
        lab.send(offer(5, number, resolvers=(f"10.1.0.{number}", "10.0.0.53")), flag=INBOUND)
    assert 2 < len(lab.engine.essentials.resolvers) < 100


def test_dhcp_that_something_else_allows_is_not_essential() -> None:
    lab = Lab("none")
    assert lab.send(discover(1), flag=OUTBOUND) == FREE
    assert lab.send(offer(2), flag=INBOUND) == FREE
    lab = Lab("selective", rules=[{"name": "server", "remote_ips": [SERVER]}])
    assert lab.send(discover(3, source=US, to=SERVER)) == ALLOWED
    assert lab.send(offer(2, 99, to=US)) == ALLOWED


def test_dhcp_can_be_switched_off() -> None:
    lab = Lab("full", settings={"essential.dhcp": False})
    assert lab.send(discover(1), flag=OUTBOUND) == FULL
    assert lab.send(offer(2), flag=INBOUND) == FULL


def test_dhcpv6_goes_to_its_group_and_learns_from_the_reply() -> None:
    lab = Lab("full", local=("fe80::5",), resolvers=())
    assert lab.send(f.udp_frame("[fe80::5]:546", "[ff02::1:2]:547", dns.dhcp6(1, 7))) == ESSENTIAL
    assert lab.send(f.udp_frame("[fe80::2]:547", "[fe80::5]:546", dns.dhcp6(2, 7))) == ESSENTIAL
    reply = dns.dhcp6(7, 7, resolvers=("2001:db8::53",))
    assert lab.send(f.udp_frame("[fe80::2]:547", "[fe80::5]:546", reply)) == ESSENTIAL
    assert lab.engine.essentials.resolvers == {parse_address("2001:db8::53")}
    assert lab.send(f.udp_frame("[fe80::5]:546", "[fe80::2]:547", dns.dhcp6(3, 8))) == ESSENTIAL
    assert lab.send(f.udp_frame("[fe80::5]:546", "[fe80::3]:547", dns.dhcp6(3, 9))) == FULL


# Neighbour discovery and multicast listeners ----------------------------------------------------------------------


def icmp6(kind: int, hops: int, *, source: str = "fe80::99", to: str = "fe80::5", code: int = 0) -> bytes:
    return f.icmp_frame(source, to, f.icmp(kind, code, 0, bytes(16)), hop_limit=hops)


@pytest.fixture
def lab() -> Lab:
    return Lab("full", local=("fe80::5", "2001:db8::5"))


def test_a_router_speaks_from_a_link_local_address(lab: Lab) -> None:
    """RFC 4861 section 4.2: an advertisement from a global address is no router's."""
    assert lab.send(icmp6(134, 255, source="2001:db8::99")) == FULL


@pytest.mark.parametrize(
    ("kind", "source"),
    [(133, "fe80::99"), (134, "fe80::99"), (135, "fe80::99"), (136, "fe80::99"), (135, "2001:db8::99")],
)
def test_neighbour_discovery_has_a_hop_limit_of_255(lab: Lab, kind: int, source: str) -> None:
    """A router would have taken one: whoever sent it is on the link."""
    assert lab.send(icmp6(kind, 255, source=source)) == ESSENTIAL
    for hops in (254, 64, 1, 0):
        assert lab.send(icmp6(kind, hops, source=source)) == FULL
    flow = only(lab)
    assert (flow.verdict.label, flow.service, flow.mixed_allowed, flow.mixed_denied) == (
        "mixed",
        "neighbour_discovery",
        1,
        4,
    )


@pytest.mark.parametrize("kind", [130, 131, 132, 143])
def test_listener_messages_have_a_hop_limit_of_one_from_the_link(lab: Lab, kind: int) -> None:
    assert lab.send(icmp6(kind, 1, to="ff02::1")) == ESSENTIAL
    assert lab.send(icmp6(kind, 255, to="ff02::1")) == FULL
    assert lab.send(icmp6(kind, 1, to="ff02::1", source="2001:db8::99")) == FULL
    assert lab.finish()[0].service == "multicast_listener"


@pytest.mark.parametrize("kind", [137, 127, 138, 139, 144, 1, 128])
def test_redirects_and_other_messages_are_no_neighbour_discovery(lab: Lab, kind: int) -> None:
    for hops in (255, 1):
        assert lab.send(icmp6(kind, hops)) == FULL


def test_the_links_edge_of_fe80_is_ten_bits(lab: Lab) -> None:
    assert lab.send(icmp6(143, 1, to="ff02::16", source="febf::1")) == ESSENTIAL
    assert lab.send(icmp6(143, 1, to="ff02::16", source="fec0::1")) == FULL


@pytest.mark.parametrize(("kind", "hops"), [(135, 255), (143, 1)])
def test_both_can_be_switched_off(kind: int, hops: int) -> None:
    lab = Lab(
        "full",
        local=("fe80::5",),
        settings={"essential.neighbour_discovery": False, "essential.multicast_listener": False},
    )
    assert lab.send(icmp6(kind, hops)) == FULL


def test_while_free_they_are_flows_like_others() -> None:
    lab = Lab("none", local=("fe80::5",))
    assert lab.send(icmp6(135, 64)) == FREE
    assert only(lab).reason.label == "not_isolated"
