"""Deciding one packet, in the order of semantics.md section 5: what has no flow, whose it is, what follows what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import frames as f
from tests.support import links
from tests.support.lab import DEVICE, INBOUND, LOW, OTHER, OUTBOUND, REMOTE, Lab, everybody, program

US, PEER, PREFIX = "10.0.0.5", "203.0.113.9", "10.9.0.0/16"
US6, PEER6, LINK_LOCAL = "2001:db8::5", "2001:db8:1::9", "fe80::5"
WEB = {"name": "web", "remote_ips": [PEER, PEER6]}
FULL = ("deny", "full_isolation")
FREE = ("allow", "not_isolated")
ALLOWED = ("allow", "exclusion")
MODES = ["none", "full", "selective"]

assert US == DEVICE
assert PEER == REMOTE


def both_families(mode: str = "selective", **options: Any) -> Lab:
    return Lab(mode, rules=[WEB], local=(US, US6, LINK_LOCAL), **options)


# Link -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [f.ARP, 0x888E, 0x88CC, 0x8863, 0x88E5], ids=hex)
def test_what_is_not_ip_is_in_its_own_bucket_by_ethertype(mode: str, kind: int) -> None:
    lab = Lab(mode)
    for _ in range(2):
        assert lab.send(f.ethernet(b"x" * 46, kind)) == ("allow", "link")
    assert dict(lab.path.ether_types) == {kind: 2}
    assert lab.finish() == []


def test_other_link_frames_can_be_denied_while_isolated() -> None:
    lab = Lab("full", settings={"link.other": "deny"})
    assert lab.send(f.ethernet(b"x" * 46, f.ARP)) == ("deny", "link")
    lab.release()
    assert lab.send(f.ethernet(b"x" * 46, f.ARP)) == ("allow", "link")


# Whose ------------------------------------------------------------------------------------------------------------


def one(lab: Lab, **facts: Any) -> None:
    """The lab's only flow record has these facts."""
    [flow] = lab.finish()
    got = {
        name: str(value) if name in ("local", "remote", "direction") else value for name, value in vars(flow).items()
    }
    assert {name: got[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("source", "destination", "direction"),
    [
        (f"{US}:50000", f"{PEER}:443", "outbound"),
        (f"{PEER}:50000", f"{US}:443", "inbound"),
        (f"[{US6}]:50000", f"[{PEER6}]:443", "outbound"),
        (f"[{PEER6}]:50000", f"[{LINK_LOCAL}]:443", "inbound"),
    ],
)
def test_the_end_that_is_an_address_of_the_device_is_local(source: str, destination: str, direction: str) -> None:
    lab = both_families("none")
    assert lab.send(f.tcp_frame(source, destination, flags=f.SYN)) == FREE
    ends = [source, destination] if direction == "outbound" else [destination, source]
    hosts = [f.endpoint(end) for end in ends]
    one(
        lab, direction=direction, local=hosts[0][0], local_port=hosts[0][1], remote=hosts[1][0], remote_port=hosts[1][1]
    )  # fmt: skip


def test_a_prefix_makes_its_addresses_local() -> None:
    lab = Lab("none", local=(), prefixes=(PREFIX, "2001:db8:9::/48"))
    assert lab.send(f.tcp_frame("10.9.255.255:1", f"{PEER}:2", flags=f.SYN)) == FREE
    assert lab.send(f.tcp_frame(f"{PEER}:1", "10.9.0.0:2", flags=f.SYN)) == FREE
    assert lab.send(f.tcp_frame("[2001:db8:9:ffff::1]:1", f"[{PEER6}]:2", flags=f.SYN)) == FREE
    assert lab.send(f.tcp_frame("10.10.0.0:1", f"{PEER}:2", flags=f.SYN)) == ("allow", "foreign")
    assert lab.send(f.tcp_frame("10.8.255.255:1", f"{PEER}:2", flags=f.SYN)) == ("allow", "foreign")
    assert lab.send(f.tcp_frame("[2001:db8:a::]:1", f"[{PEER6}]:2", flags=f.SYN)) == ("allow", "foreign")
    assert [str(flow.local) for flow in lab.finish()] == ["10.9.255.255", "10.9.0.0", "2001:db8:9:ffff::1"]


def test_the_same_number_in_the_other_version_is_another_address() -> None:
    lab = Lab("none", local=("10.0.0.5", "::a00:6"))
    assert lab.send(f.tcp_frame("[::a00:5]:1", f"[{PEER6}]:2", flags=f.SYN)) == ("allow", "foreign")
    assert lab.send(f.tcp_frame("10.0.0.6:1", f"{PEER}:2", flags=f.SYN)) == ("allow", "foreign")


@pytest.mark.parametrize("mode", MODES)
def test_packets_between_others_are_ignored_in_every_mode(mode: str) -> None:
    lab = Lab(mode)
    assert lab.send(f.tcp_frame("10.0.0.6:50000", f"{PEER}:443", flags=f.SYN)) == ("allow", "foreign")
    assert lab.finish() == []


def test_whose_packet_comes_before_whether_it_can_be_read() -> None:
    lab = Lab("full")
    cut = f.ethernet(f.ipv4("10.0.0.6", PEER, f.tcp(1, 2), total=30))
    assert lab.send(cut) == ("allow", "foreign")
    assert lab.send(f.ethernet(f.ipv4(US, PEER, f.tcp(1, 2), total=30))) == ("deny", "undecodable")


@pytest.mark.parametrize(
    ("destination", "mac"),
    [
        ("224.0.0.251", f.THEIR_MAC),
        ("239.255.255.250", f.THEIR_MAC),
        ("255.255.255.255", f.THEIR_MAC),
        ("ff02::fb", f.THEIR_MAC),
        ("10.0.0.255", f.BROADCAST_MAC),
        ("198.51.100.7", b"\1\0\x5e\0\0\1"),
    ],
)
def test_a_multicast_or_broadcast_destination_is_local_inbound(destination: str, mac: bytes) -> None:
    source = "fe80::99" if ":" in destination else "10.0.0.6"
    packet = f.ip(source, destination, f.udp(5353, 5353, b"x"), f.UDP)
    lab = Lab("full")
    assert lab.send(f.ethernet(packet, source=f.THEIR_MAC, destination=mac)) == FULL
    one(lab, direction="inbound", local=destination, remote=source)


def test_what_the_device_sends_to_a_group_is_outbound() -> None:
    lab = both_families("full")
    assert lab.send(f.udp_frame(f"{US}:5353", "224.0.0.251:5353")) == FULL
    one(lab, direction="outbound", local=US, remote="224.0.0.251")


def test_a_cooked_broadcast_is_for_everybody() -> None:
    lab = Lab("full")
    packet = f.ip("10.0.0.6", "10.0.0.255", f.udp(137, 137, b"x"), f.UDP)
    assert lab.send(f.sll(packet, packet_type=1), link=113) == FULL
    assert lab.send(f.sll(packet, packet_type=3), link=113) == ("allow", "foreign")


DISCOVER = f.ethernet(f.ip("0.0.0.0", "255.255.255.255", f.udp(68, 67, b"x"), f.UDP), destination=f.BROADCAST_MAC)


def test_a_host_without_an_address_is_ours_if_the_capture_says_that_it_sent() -> None:
    lab = Lab("full")
    assert lab.send(DISCOVER, flag=OUTBOUND) == FULL
    one(lab, direction="outbound", local="0.0.0.0", remote="255.255.255.255")


def test_a_host_without_an_address_is_ours_if_its_mac_is() -> None:
    lab = Lab("none")
    assert lab.send(f.udp_frame(f"{US}:1", f"{PEER}:2")) == FREE  # from OUR_MAC
    assert lab.send(DISCOVER) == FREE
    assert [str(flow.local) for flow in lab.finish()] == [US, "0.0.0.0"]


@pytest.mark.parametrize("flag", [0, INBOUND], ids=["unknown", "in"])
def test_another_host_without_an_address_broadcasts_to_us(flag: int) -> None:
    """A neighbour's DHCP discover is an inbound broadcast, not ours."""
    lab = Lab("full")
    assert lab.send(DISCOVER, flag=flag) == FULL
    one(lab, direction="inbound", local="255.255.255.255", remote="0.0.0.0")


def test_an_unspecified_ipv6_source_is_ours_if_the_capture_says_so() -> None:
    """Duplicate address detection."""
    probe = f.icmp_frame("::", "ff02::1:ff00:5", f.icmp(135, 0, 0, bytes(16)), hop_limit=255)
    lab = both_families("full")
    assert lab.send(probe, flag=OUTBOUND) == ("allow", "essential")
    one(lab, local="::", direction="outbound")


def test_of_two_ends_local_by_prefix_the_initiator_is_the_local_one() -> None:
    lab = Lab("none", local=(), prefixes=(PREFIX,))
    for flags, source, destination in (
        (f.SYN, "10.9.0.1:50000", "10.9.0.2:445"),
        (f.SYN | f.ACK, "10.9.0.2:445", "10.9.0.1:50000"),
        (f.ACK, "10.9.0.1:50000", "10.9.0.2:445"),
    ):
        assert lab.send(f.tcp_frame(source, destination, flags=flags)) == FREE
    one(lab, local="10.9.0.1", remote="10.9.0.2", direction="outbound", packets_original=2, packets_reply=1)


def test_of_two_ends_local_by_prefix_an_answer_seen_first_turns_the_flow() -> None:
    lab = Lab("none", local=(), prefixes=(PREFIX,))
    lab.send(f.tcp_frame("10.9.0.2:445", "10.9.0.1:50000", flags=f.SYN | f.ACK))
    lab.send(f.tcp_frame("10.9.0.1:50000", "10.9.0.2:445", flags=f.ACK))
    one(lab, local="10.9.0.1", remote="10.9.0.2", direction="outbound", packets_original=1, packets_reply=1)


def test_a_syn_the_other_way_between_two_local_ends_is_another_flow() -> None:
    lab = Lab("none", local=(), prefixes=(PREFIX,))
    lab.send(f.tcp_frame("10.9.0.1:445", "10.9.0.2:445", flags=f.SYN))
    lab.send(f.tcp_frame("10.9.0.2:445", "10.9.0.1:445", flags=f.SYN))
    assert [str(flow.local) for flow in lab.finish()] == ["10.9.0.1", "10.9.0.2"]


# Undecodable ------------------------------------------------------------------------------------------------------

UNREADABLE = [
    pytest.param(b"", 1, id="empty"),
    pytest.param(b"\0" * 13, 1, id="cut-link-header"),
    pytest.param(f.ethernet(b"\x45" + b"\0" * 10), 1, id="cut-ip-header"),
    pytest.param(f.ethernet(f.ipv4(US, PEER, f.tcp(1, 2)[:19])), 1, id="cut-tcp-header"),
    pytest.param(f.ethernet(f.ipv4(US, PEER, f.udp(1, 2)[:7], f.UDP)), 1, id="cut-udp-header"),
    pytest.param(f.ethernet(f.ipv4(US, PEER, f.icmp(8)[:7], f.ICMP)), 1, id="cut-icmp-header"),
    pytest.param(f.ethernet(f.ipv6(US6, PEER6, f.extension(6)[:7], f.HOP_BY_HOP)), 1, id="cut-extension"),
    pytest.param(f.ethernet(f.ipv4(US, PEER, f.tcp(1, 2, header=16))), 1, id="lying-data-offset"),
    pytest.param(b"\0" * 60, 195, id="unsupported-link-type"),
    pytest.param(links.wifi(links.snap(f.ip(US, PEER, f.tcp(1, 2))), flags=links.PROTECTED), 105, id="encrypted"),
    pytest.param(b"\xff\3" + links.ppp_protocol(f.ip(US, PEER, f.tcp(1, 2)), 0x00FD), 9, id="compressed"),
]


@pytest.mark.parametrize(("frame", "link"), UNREADABLE)
def test_what_cannot_be_read_passes_while_free_and_is_denied_while_isolated(frame: bytes, link: int) -> None:
    lab = both_families("none")
    assert lab.send(frame, link=link) == ("allow", "undecodable")
    lab.isolate()
    assert lab.send(frame, link=link) == ("deny", "undecodable")
    assert lab.finish() == []


def test_a_frame_cut_inside_its_headers_belongs_to_no_flow() -> None:
    """Not even to an allowed one that its addresses would fit."""
    lab = both_families()
    frame = f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN)
    assert lab.send(frame) == ALLOWED
    assert lab.send(frame, captured=14 + 20 + 19) == ("deny", "undecodable")
    assert lab.send(frame, captured=14 + 20 + 20) == ALLOWED


# Loopback and martians --------------------------------------------------------------------------------------------

LOOPS = [
    pytest.param("127.0.0.1", "127.8.9.1", id="ipv4"),
    pytest.param("::1", "::1", id="ipv6"),
    pytest.param(US, US, id="own-address"),
    pytest.param(US6, LINK_LOCAL, id="two-own-addresses"),
]


@pytest.mark.parametrize("flag", [0, OUTBOUND], ids=["unknown", "out"])
@pytest.mark.parametrize(("source", "destination"), LOOPS)
def test_the_host_may_talk_to_itself(source: str, destination: str, flag: int) -> None:
    for mode in MODES:
        lab = both_families(mode)
        frame = f.ethernet(f.ip(source, destination, f.udp(50000, 53, b"x"), f.UDP))
        assert lab.send(frame, flag=flag) == ("allow", "loopback")
        answer = f.ethernet(f.ip(destination, source, f.udp(53, 50000, b"x"), f.UDP))
        assert lab.send(answer, flag=flag) == ("allow", "loopback")
        one(lab, packets_original=1, packets_reply=1)


def test_loopback_is_a_setting() -> None:
    lab = Lab("full", settings={"loopback": False})
    assert lab.send(f.udp_frame("127.0.0.1:1", "127.0.0.1:2")) == FULL


@pytest.mark.parametrize(
    ("source", "destination"),
    [("127.0.0.1", US), (US, "127.0.0.1"), ("127.0.0.1", PEER), (US, "10.9.0.1"), ("10.9.0.1", "10.9.0.2")],
)
def test_only_one_kind_of_end_at_both_ends_is_loopback(source: str, destination: str) -> None:
    lab = Lab("full", prefixes=(PREFIX,))
    assert lab.send(f.ethernet(f.ip(source, destination, f.udp(1, 2, b"x"), f.UDP))) == FULL


@pytest.mark.parametrize("source", ["127.0.0.1", "127.255.255.254", US])
@pytest.mark.parametrize("destination", [US, "127.0.0.1", "224.0.0.1"])
def test_an_address_of_the_host_from_the_wire_is_a_martian(source: str, destination: str) -> None:
    lab = Lab("full")
    frame = f.ethernet(f.ip(source, destination, f.udp(1, 2, b"x"), f.UDP))
    assert lab.send(frame, flag=INBOUND) == ("deny", "martian")
    assert lab.finish() == []


@pytest.mark.parametrize("source", ["::1", US6, LINK_LOCAL])
def test_a_martian_may_be_of_either_version(source: str) -> None:
    lab = both_families()
    frame = f.ethernet(f.ip(source, US6, f.udp(1, 2, b"x"), f.UDP))
    assert lab.send(frame, flag=INBOUND) == ("deny", "martian")


def test_a_martian_is_known_by_the_cooked_header_as_well() -> None:
    lab = Lab("full")
    packet = f.ip(US, US, f.udp(1, 2, b"x"), f.UDP)
    assert lab.send(f.sll(packet, packet_type=0), link=113) == ("deny", "martian")
    assert lab.send(f.sll(packet, packet_type=4), link=113) == ("allow", "loopback")


def test_what_the_loopback_device_receives_comes_from_no_wire() -> None:
    """It shows every packet twice, the second time as received."""
    lab = Lab("full")
    packet = f.ip("127.0.0.1", "127.0.0.1", f.udp(1, 2, b"x"), f.UDP)
    assert lab.send(f.sll(packet, packet_type=0, hardware=772, source=bytes(6)), link=113) == ("allow", "loopback")
    assert lab.send(f.null(packet), link=0, flag=INBOUND) == ("allow", "loopback")
    zero = f.ethernet(packet, source=bytes(6), destination=bytes(6))
    assert lab.send(zero, flag=INBOUND) == ("allow", "loopback")


def test_an_address_that_is_local_by_prefix_is_no_martian() -> None:
    """Hosts behind a prefix talk to each other over the wire."""
    lab = Lab("full", local=(), prefixes=(PREFIX,))
    assert lab.send(f.udp_frame("10.9.0.1:1", "10.9.0.2:2"), flag=INBOUND) == FULL


def test_a_martian_passes_while_nothing_is_isolated() -> None:
    lab = Lab("none")
    assert lab.send(f.udp_frame("127.0.0.1:1", f"{US}:2"), flag=INBOUND) == FREE


# Fragments --------------------------------------------------------------------------------------------------------


def piece4(
    offset: int,
    *,
    size: int = 64,
    more: bool = True,
    identifier: int = 7,
    source: str = US,
    destination: str = PEER,
    first: bytes | None = None,
    protocol: int = f.UDP,
) -> bytes:
    payload = (first or f.udp(50000, 443, length=8 + 1000)).ljust(size, b"\0") if offset == 0 else bytes(size)
    return f.ethernet(f.ipv4(source, destination, payload, protocol, identifier=identifier, offset=offset, more=more))


def piece6(
    offset: int,
    *,
    size: int = 64,
    more: bool = True,
    identifier: int = 7,
    source: str = US6,
    destination: str = PEER6,
    first: bytes | None = None,
    chain: bytes = b"",
    protocol: int = f.UDP,
) -> bytes:
    payload = bytes(size)
    if offset == 0:
        payload = (chain + (first or f.udp(50000, 443, length=8 + 1000))).ljust(size, b"\0")
    head = f.fragment6(f.DESTINATION if chain else protocol, offset=offset, more=more, identifier=identifier)
    return f.ethernet(f.ipv6(source, destination, head + payload, f.FRAGMENT))


PIECES = [pytest.param(piece4, id="ipv4"), pytest.param(piece6, id="ipv6")]


@pytest.mark.parametrize("piece", PIECES)
def test_a_later_fragment_follows_its_first(piece) -> None:
    lab = both_families()
    assert lab.send(piece(0)) == ALLOWED
    flow = lab.flow_id
    assert lab.send(piece(64)) == ALLOWED
    assert lab.flow_id == flow
    assert lab.send(piece(128, more=False)) == ALLOWED
    one(lab, packets_original=3, packets_reply=0, rules=("web",))


@pytest.mark.parametrize("piece", PIECES)
def test_fragments_of_a_denied_flow_are_denied_with_it(piece) -> None:
    lab = both_families("full")
    assert lab.send(piece(0)) == lab.send(piece(64)) == FULL
    one(lab, packets_original=2, attempted=2)


@pytest.mark.parametrize("piece", PIECES)
def test_a_replys_fragments_count_as_replies(piece) -> None:
    lab = both_families()
    there, back = ((US, PEER), (PEER, US)) if piece is piece4 else ((US6, PEER6), (PEER6, US6))
    assert lab.send(f.ethernet(f.ip(*there, f.udp(50000, 443, b"x"), f.UDP))) == ALLOWED
    facts = {"source": back[0], "destination": back[1], "first": f.udp(443, 50000, length=1008)}
    assert lab.send(piece(0, **facts)) == ALLOWED
    assert lab.send(piece(64, **facts)) == ALLOWED
    one(lab, packets_original=1, packets_reply=2)


@pytest.mark.parametrize("piece", PIECES)
def test_an_orphan_is_denied_while_isolated_also_when_its_first_comes_later(piece) -> None:
    lab = both_families()
    assert lab.send(piece(64)) == ("deny", "fragment")
    assert lab.send(piece(0)) == ALLOWED
    assert lab.send(piece(64)) == ALLOWED
    one(lab, packets_original=2)


@pytest.mark.parametrize("piece", PIECES)
def test_an_orphan_passes_without_a_flow_while_nothing_is_isolated(piece) -> None:
    lab = both_families("none")
    assert lab.send(piece(64)) == FREE
    assert lab.flow_id == 0
    assert lab.finish() == []


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("change", ["identifier", "source", "destination", "protocol"])
def test_what_differs_from_the_first_is_an_orphan(piece, change: str) -> None:
    others = {
        "identifier": 8,
        "source": US6 if piece is piece4 else LINK_LOCAL,
        "destination": PEER if piece is piece4 else "2001:db8:1::a",
        "protocol": f.TCP,
    }
    if piece is piece4 and change in ("source", "destination"):
        others = {"source": "10.0.0.4", "destination": "203.0.113.8"}
    lab = both_families(prefixes=("10.0.0.0/24",))
    assert lab.send(piece(0)) == ALLOWED
    verdict = lab.send(piece(64, **{change: others[change]}))
    if piece is piece6 and change == "protocol":
        assert verdict == ALLOWED  # in IPv6 the key is addresses and number
    else:
        assert verdict == ("deny", "fragment")


@pytest.mark.parametrize("piece", PIECES)
def test_a_fragment_is_an_orphan_after_thirty_seconds(piece) -> None:
    lab = both_families()
    assert lab.send(piece(0), 0) == ALLOWED
    assert lab.send(piece(64), 30) == ALLOWED
    assert lab.send(piece(128), 30.000_000_001) == ("deny", "fragment")


TINY = [
    pytest.param(f.TCP, f.tcp(50000, 443, flags=f.SYN), 16, id="tcp"),
    pytest.param(f.TCP, f.tcp(50000, 443, options=b"\1" * 40, flags=f.SYN), 56, id="tcp-options"),
    pytest.param(f.SCTP, f.sctp(50000, 443), 8, id="sctp"),
]


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize(("protocol", "header", "offset"), TINY)
def test_an_offset_inside_the_transport_header_is_denied(piece, protocol: int, header: bytes, offset: int) -> None:
    """Whoever reassembles may let it rewrite ports or flags that were judged already."""
    lab = both_families()
    assert lab.send(piece(0, first=header, protocol=protocol)) == ALLOWED
    assert lab.send(piece(offset, protocol=protocol)) == ("deny", "fragment")
    assert lab.send(piece(64, protocol=protocol)) == (ALLOWED if piece is piece4 else ("allow", "exclusion"))


def test_an_offset_inside_extension_headers_before_the_transport_is_denied() -> None:
    """In IPv6 the fragmentable part begins before the transport header."""
    lab = both_families()
    assert lab.send(piece6(0, chain=f.extension(f.UDP, 24))) == ALLOWED
    assert lab.send(piece6(24, size=8)) == ("deny", "fragment")


def test_overlapping_ipv6_fragments_are_denied() -> None:
    lab = both_families()
    assert lab.send(piece6(0)) == ALLOWED
    assert lab.send(piece6(64)) == ALLOWED
    assert lab.send(piece6(64)) == ALLOWED  # a copy
    assert lab.send(piece6(120)) == ("deny", "fragment")
    assert lab.send(piece6(256)) == ("deny", "fragment")
    one(lab, packets_original=3)


def test_a_second_first_ipv6_fragment_of_another_flow_is_denied() -> None:
    lab = both_families()
    assert lab.send(piece6(0)) == ALLOWED
    assert lab.send(piece6(0, first=f.udp(50001, 443, length=1008))) == ("deny", "fragment")


def test_a_flow_none_of_whose_packets_was_judged_is_no_flow() -> None:
    """The refused first fragment above had none: it is denied before any flow is asked for."""
    lab = both_families()
    lab.send(piece6(0))
    lab.send(piece6(0, first=f.udp(50001, 443, length=1008)))
    assert [flow.flow_id for flow in lab.finish()] == [1]
    assert sum(lab.engine.flow_outcomes) == lab.engine.unattributed == 1


def test_the_hosts_own_traffic_is_allowed_before_fragments_are_asked_about() -> None:
    lab = both_families()
    for frame in (piece4(64, destination=US), piece6(64, destination=LINK_LOCAL)):
        assert lab.send(frame) == ("allow", "loopback")
        assert lab.send(frame, flag=INBOUND) == ("deny", "martian")
    for offset in (0, 64, 72):
        assert lab.send(piece6(offset, destination=LINK_LOCAL)) == ("allow", "loopback")
    assert lab.send(piece6(64, destination=US6, identifier=9)) == ("allow", "loopback")
    lab = both_families(settings={"loopback": False})
    assert lab.send(piece4(64, destination=US)) == ("deny", "fragment")


def test_overlapping_fragments_pass_while_nothing_is_isolated() -> None:
    lab = both_families("none")
    for offset in (0, 64, 72, 8):
        assert lab.send(piece6(offset)) == FREE
    one(lab, packets_original=4)


def test_a_first_ipv6_fragment_without_its_whole_header_chain_is_cut() -> None:
    """RFC 7112: the ports are in another fragment, so nobody can judge this one."""
    lab = both_families()
    head = f.fragment6(f.DESTINATION, more=True)
    frame = f.ethernet(f.ipv6(US6, PEER6, head + f.extension(f.UDP), f.FRAGMENT))
    assert lab.send(frame) == ("deny", "undecodable")


@pytest.mark.parametrize("piece", PIECES)
def test_fragments_are_judged_anew_after_an_isolation(piece) -> None:
    lab = both_families("none")
    assert lab.send(piece(0), 0) == FREE
    lab.isolate()
    assert lab.send(piece(64), 1) == FULL
    first, second = lab.finish()
    assert (first.end.label, first.packets_original, second.packets_original) == ("cut", 1, 1)


def test_a_number_in_use_again_follows_the_new_first_fragment() -> None:
    lab = both_families()
    assert lab.send(piece4(0)) == ALLOWED
    assert lab.send(piece4(64)) == ALLOWED
    again = {"first": f.udp(50001, 443, length=1008)}
    assert lab.send(piece4(0, **again)) == ALLOWED
    assert lab.send(piece4(64)) == ALLOWED
    assert [flow.packets_original for flow in lab.finish()] == [2, 2]


def test_a_fragment_whose_flow_has_ended_is_an_orphan() -> None:
    lab = both_families(settings={"flow_table.size": 16, "flow_table.reserved": 0})
    assert lab.send(piece4(0), 0) == ALLOWED
    for port in range(16):
        lab.send(f.udp_frame(f"{US}:{40000 + port}", f"{PEER}:443"), 1)
    assert lab.send(piece4(64), 2) == ("deny", "fragment")


def test_a_full_fragment_table_denies_and_says_so() -> None:
    lab = both_families(simulate={"fragment_table_full": 1}, all_events=True)
    assert lab.send(piece4(0, identifier=1)) == ALLOWED
    assert lab.send(piece4(0, identifier=2)) == ALLOWED
    assert lab.send(piece4(64, identifier=1)) == ("deny", "fragment")
    assert lab.send(piece4(64, identifier=2)) == ALLOWED
    assert lab.engine.faults == {"fragment_table_full": 1}
    faults = [event.record for event in lab.told.events if event.event_type == "fault"]
    assert [fault["name"] for fault in faults] == ["fragment_table_full"]


# Related ----------------------------------------------------------------------------------------------------------

UNREACHABLE, EXCEEDED, REDIRECT = 3, 11, 5


def quote(packet: bytes, kind: int = UNREACHABLE, *, source: str = "198.51.100.1", to: str = US) -> bytes:
    """An ICMP error about `packet` from a router."""
    return f.icmp_frame(source, to, f.icmp(kind, 1, 0, packet[:28]))


SENT = f.ip(US, PEER, f.tcp(50000, 443, flags=f.SYN))


@pytest.mark.parametrize("kind", [3, 11, 12])
def test_an_error_about_a_packet_of_an_allowed_flow_passes(kind: int) -> None:
    lab = both_families()
    assert lab.send(f.ethernet(SENT)) == ALLOWED
    assert lab.send(quote(SENT, kind)) == ("allow", "related")
    assert lab.flow_id == 0
    one(lab, packets_original=1, packets_reply=0)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_an_icmpv6_error_about_a_packet_of_an_allowed_flow_passes(kind: int) -> None:
    lab = both_families()
    sent = f.ip(US6, PEER6, f.udp(50000, 443, b"hello"), f.UDP)
    assert lab.send(f.ethernet(sent)) == ALLOWED
    error = f.icmp_frame("2001:db8:2::1", US6, f.icmp(kind, 0, 0, sent))
    assert lab.send(error) == ("allow", "related")


@pytest.mark.parametrize("kind", [4, 5, 0, 8, 13])
def test_other_icmp_types_are_never_related(kind: int) -> None:
    """A redirect (5) would turn the route of an isolated host."""
    lab = both_families()
    lab.send(f.ethernet(SENT))
    assert lab.send(quote(SENT, kind)) == ("deny", "no_matching_exclusion")


@pytest.mark.parametrize("kind", [5, 127, 128, 133, 137])
def test_other_icmpv6_types_are_never_related(kind: int) -> None:
    lab = both_families()
    sent = f.ip(US6, PEER6, f.udp(50000, 443, b"hello"), f.UDP)
    lab.send(f.ethernet(sent))
    assert lab.send(f.icmp_frame("2001:db8:2::1", US6, f.icmp(kind, 0, 0, sent)))[1] != "related"


NOT_OURS = [
    pytest.param(f.ip(US, PEER, f.tcp(50001, 443)), id="another-port"),
    pytest.param(f.ip(US, "203.0.113.8", f.tcp(50000, 443)), id="another-remote"),
    pytest.param(f.ip(US, PEER, f.udp(50000, 443), f.UDP), id="another-protocol"),
    pytest.param(f.ip(PEER, US, f.tcp(443, 50000)), id="turned-round"),
    pytest.param(f.ip("10.0.0.6", PEER, f.tcp(50000, 443)), id="another-host"),
    pytest.param(SENT[:27], id="quote-cut"),
    pytest.param(b"", id="no-quote"),
    pytest.param(f.ipv4(US, PEER, f.tcp(50000, 443), offset=64), id="later-fragment"),
]


@pytest.mark.parametrize("packet", NOT_OURS)
def test_an_error_about_a_packet_this_host_did_not_send_is_denied(packet: bytes) -> None:
    lab = both_families()
    lab.send(f.ethernet(SENT))
    assert lab.send(quote(packet)) == ("deny", "no_matching_exclusion")


def test_an_error_comes_back_to_the_address_that_sent() -> None:
    lab = Lab("selective", rules=[WEB], local=(US, "10.0.0.4", US6, LINK_LOCAL))
    sent = f.ip("10.0.0.4", PEER, f.tcp(50000, 443, flags=f.SYN))
    assert lab.send(f.ethernet(sent)) == ALLOWED
    assert lab.send(quote(sent)) == ("deny", "no_matching_exclusion")
    assert lab.send(quote(sent, to="10.0.0.4")) == ("allow", "related")
    sent = f.ip(US6, PEER6, f.udp(50000, 443, b"hello"), f.UDP)
    assert lab.send(f.ethernet(sent)) == ALLOWED
    error = f.icmp(1, 0, 0, sent)
    assert lab.send(f.icmp_frame("2001:db8:2::1", LINK_LOCAL, error)) == ("deny", "no_matching_exclusion")
    assert lab.send(f.icmp_frame("2001:db8:2::1", US6, error)) == ("allow", "related")


def test_an_error_about_a_denied_flow_is_denied() -> None:
    lab = Lab("full")
    assert lab.send(f.ethernet(SENT)) == FULL
    assert lab.send(quote(SENT)) == FULL


def test_an_error_about_an_inbound_flow_that_was_never_answered_is_denied() -> None:
    """This host sent nothing in it that an error could be about."""
    lab = both_families()
    assert lab.send(f.tcp_frame(f"{PEER}:50000", f"{US}:443", flags=f.SYN)) == ALLOWED
    answer = f.ip(US, PEER, f.tcp(443, 50000, flags=f.SYN | f.ACK))
    assert lab.send(quote(answer)) == ("deny", "no_matching_exclusion")
    assert lab.send(f.ethernet(answer)) == ALLOWED
    # The error above was denied as a flow of its own; another router's is not that flow.
    assert lab.send(quote(answer, source="198.51.100.2")) == ("allow", "related")


def test_an_error_the_host_sends_is_judged_like_any_flow() -> None:
    lab = both_families()
    lab.send(f.tcp_frame(f"{PEER}:50000", f"{US}:443", flags=f.SYN))
    error = f.icmp_frame(US, "198.51.100.1", f.icmp(3, 3, 0, f.ip(PEER, US, f.tcp(50000, 443))[:28]))
    assert lab.send(error) == ("deny", "no_matching_exclusion")


def test_a_flow_that_was_cut_has_no_related_errors() -> None:
    lab = both_families("none")
    lab.send(f.ethernet(SENT))
    lab.isolate()
    assert lab.send(quote(SENT)) == FULL


def test_errors_about_a_flow_that_isolation_leaves_alone_still_pass() -> None:
    lab = both_families("none", then="selective")
    lab.send(f.ethernet(SENT))
    lab.isolate()
    assert lab.send(quote(SENT)) == ("allow", "related")


def test_related_errors_are_limited_in_rate() -> None:
    lab = both_families(settings={"related.rate": 3})
    lab.send(f.ethernet(SENT), 0)
    reasons = [lab.send(quote(SENT), 0)[1] for _ in range(4)]
    assert reasons == ["related"] * 3 + ["no_matching_exclusion"]
    # A third of a second earns one more; the error that was denied has become a flow, so another router speaks.
    assert lab.send(quote(SENT, source="198.51.100.2"), 0.34) == ("allow", "related")
    assert lab.send(quote(SENT, source="198.51.100.3"), 0.34) == ("deny", "no_matching_exclusion")
    assert [lab.send(quote(SENT, source="198.51.100.4"), 100)[1] for _ in range(4)].count("related") == 3


def test_while_nothing_is_isolated_errors_are_flows_like_others() -> None:
    lab = both_families("none")
    lab.send(f.ethernet(SENT))
    assert lab.send(quote(SENT)) == FREE


def test_a_fragment_of_an_error_is_not_related() -> None:
    lab = both_families()
    lab.send(f.ethernet(SENT))
    message = f.icmp(3, 1, 0, SENT[:28])
    frame = f.ethernet(f.ipv4("198.51.100.1", US, message.ljust(64, b"\0"), f.ICMP, more=True))
    assert lab.send(frame) == ("deny", "no_matching_exclusion")


# Flows ------------------------------------------------------------------------------------------------------------


def test_replies_of_an_allowed_flow_pass_and_inherit_its_verdict() -> None:
    lab = both_families(settings={})
    assert lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN)) == ALLOWED
    assert lab.send(f.tcp_frame(f"{PEER}:443", f"{US}:50000", flags=f.SYN | f.ACK)) == ALLOWED


def test_a_syn_sent_again_is_the_same_flow() -> None:
    lab = Lab("full")
    for _ in range(3):
        lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN, sequence=7))
    one(lab, packets_original=3)


def test_a_syn_with_another_sequence_number_is_another_flow() -> None:
    lab = Lab("full")
    lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN, sequence=7))
    lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN, sequence=8))
    first, second = lab.finish()
    assert (first.end.label, first.flow_id, second.flow_id) == ("superseded", 1, 2)


def test_a_syn_on_a_flow_that_began_in_the_middle_is_another_flow() -> None:
    lab = Lab("full")
    lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.ACK))
    lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN))
    assert [flow.direction_basis.label for flow in lab.finish()] == ["ports", "tcp_syn"]


def test_a_syn_the_other_way_is_another_flow_in_its_own_direction() -> None:
    lab = Lab("full")
    lab.send(f.tcp_frame(f"{US}:445", f"{PEER}:445", flags=f.SYN))
    lab.send(f.tcp_frame(f"{PEER}:445", f"{US}:445", flags=f.SYN))
    assert [flow.direction.value for flow in lab.finish()] == ["outbound", "inbound"]


def test_the_tuple_of_a_closed_connection_can_be_used_again() -> None:
    lab = Lab("full")
    lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN, sequence=7))
    lab.send(f.tcp_frame(f"{PEER}:443", f"{US}:50000", flags=f.RST | f.ACK))
    lab.send(f.tcp_frame(f"{US}:50000", f"{PEER}:443", flags=f.SYN, sequence=8))
    assert [flow.end.label for flow in lab.finish()] == ["rst", "eof"]


@pytest.mark.parametrize(
    ("profile", "replied", "seconds"),
    [("conntrack", False, 30), ("conntrack", True, 120), ("wfp", False, 60), ("wfp", True, 60)],
)
def test_udp_flows_end_after_their_profiles_time(profile: str, replied: bool, seconds: int) -> None:
    lab = Lab("full", settings={"timeouts.profile": profile})
    lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:4500"), 0)
    if replied:
        lab.send(f.udp_frame(f"{PEER}:4500", f"{US}:50000"), 0)
    lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:4500"), seconds)
    lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:4500"), 2 * seconds + 0.000_000_001)
    first, second = lab.finish()
    assert (first.end.label, first.packets_original, second.flow_id) == ("timeout", 2, 2)


@pytest.mark.parametrize(("profile", "seconds"), [("conntrack", 30), ("wfp", 60)])
def test_icmp_flows_end_after_their_profiles_time(profile: str, seconds: int) -> None:
    lab = both_families("full", settings={"timeouts.profile": profile})
    for source, destination, kind in ((US, PEER, 8), (US6, PEER6, 128)):
        for at in (0, seconds, 2 * seconds + 1):
            lab.send(f.icmp_frame(source, destination, f.icmp(kind, 0, 0x00070001)), at)
    assert [flow.packets_original for flow in lab.finish()] == [2, 2, 1, 1]


@pytest.mark.parametrize("protocol", [47, 50, 136])
def test_other_protocols_end_after_ten_minutes(protocol: int) -> None:
    lab = Lab("full")
    frame = f.ethernet(f.ip(US, PEER, f.udp(1, 2, bytes(8)), protocol))
    for at in (0, 600, 1200.000_000_001):
        lab.send(frame, at)
    assert [flow.packets_original for flow in lab.finish()] == [2, 1]


def test_windows_devices_have_wfps_times_by_default() -> None:
    lab = Lab("full")
    lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:4500"), 0)
    lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:4500"), 59)
    one(lab, packets_original=2)


def test_packets_out_of_order_leave_the_last_time_alone() -> None:
    lab = Lab("full")
    for at in (100, 40, 159):
        lab.send(f.udp_frame(f"{US}:50000", f"{PEER}:4500"), at)
    one(lab, packets_original=3)


def test_ping_and_its_answer_are_one_flow_and_another_identifier_is_another() -> None:
    lab = Lab("none")
    lab.send(f.icmp_frame(US, PEER, f.icmp(8, 0, 0x00070001)))
    lab.send(f.icmp_frame(PEER, US, f.icmp(0, 0, 0x00070001)))
    lab.send(f.icmp_frame(US, PEER, f.icmp(8, 0, 0x00080001)))
    flows = lab.finish()
    assert [(flow.packets_original, flow.packets_reply, flow.icmp_type) for flow in flows] == [(1, 1, 8), (1, 0, 8)]
    assert {flow.local_port for flow in flows} == {None}


def test_different_icmp_errors_are_different_flows() -> None:
    lab = Lab("none")
    for code in (0, 1, 1):
        lab.send(f.icmp_frame(PEER, US, f.icmp(3, code)))
    assert [(flow.icmp_code, flow.packets_original) for flow in lab.finish()] == [(0, 1), (1, 2)]


# A full table -----------------------------------------------------------------------------------------------------


def test_a_full_table_denies_while_isolated_and_allows_else() -> None:
    """fail closed"""
    lab = both_families(simulate={"flow_table_full": 2}, all_events=True)
    frames = [f.tcp_frame(f"{US}:{50000 + number}", f"{PEER}:443", flags=f.SYN) for number in range(3)]
    assert [lab.send(frame) for frame in frames] == [ALLOWED, ALLOWED, ("deny", "flow_table_full")]
    assert lab.send(frames[0]) == ALLOWED
    lab.release()
    assert lab.send(frames[2]) == ("allow", "flow_table_full")
    assert lab.engine.faults == {"flow_table_full": 2}
    faults = [event.record["name"] for event in lab.told.events if event.event_type == "fault"]
    assert faults == ["flow_table_full"]  # told once, counted always
    assert len({flow.flow_id for flow in lab.finish()}) == 2


def test_denied_flows_make_room_before_allowed_ones() -> None:
    lab = both_families(settings={"flow_table.size": 16, "flow_table.reserved": 0})
    for number in range(8):
        lab.send(f.tcp_frame(f"{US}:{50000 + number}", f"{PEER}:443", flags=f.SYN))
    for number in range(20):
        lab.send(f.tcp_frame(f"{US}:{51000 + number}", "198.51.100.7:443", flags=f.SYN))
    assert {flow.verdict.label for flow in lab.flows} == {"deny"}
    assert {flow.end.label for flow in lab.flows} == {"evicted"}
    assert len(lab.finish()) == 28


def test_cloud_channel_flows_survive_a_flood() -> None:
    lab = Lab("full", settings={"flow_table.size": 16, "flow_table.reserved": 4})
    for number in range(4):
        verdict = lab.send(f.tcp_frame(f"{US}:{50000 + number}", "192.0.2.250:443", flags=f.SYN))
        assert verdict == ("allow", "cloud_channel")
    for number in range(100):
        lab.send(f.tcp_frame(f"{US}:{51000 + number}", f"{PEER}:443", flags=f.SYN))
    assert {flow.reason.label for flow in lab.flows} == {"full_isolation"}
    lab.finish()


# Anything ---------------------------------------------------------------------------------------------------------

MACS = st.sampled_from([f.OUR_MAC, f.THEIR_MAC, f.BROADCAST_MAC, bytes(6)])
HOSTS4 = st.sampled_from([US, PEER, "127.0.0.1", "0.0.0.0", "224.0.0.251", "255.255.255.255", "10.0.0.1", "10.9.0.1"])
HOSTS6 = st.sampled_from([US6, LINK_LOCAL, PEER6, "::1", "::", "ff02::fb", "ff02::1:2", "2001:db8:c10d::1"])
SERVICES = st.sampled_from([0, 53, 67, 68, 80, 443, 445, 546, 547, 5353, 50000, 65535])


@st.composite
def nearly_packets(draw: st.DrawFn) -> bytes:
    """Packets between interesting ends, with a few bytes changed and a few cut off."""
    hosts = HOSTS4 if draw(st.booleans()) else HOSTS6
    source, destination = draw(hosts), draw(hosts)
    protocol = draw(st.sampled_from([f.TCP, f.UDP, f.ICMP, f.ICMPV6, f.SCTP, 47]))
    data = draw(st.binary(max_size=40))
    ports = draw(SERVICES), draw(SERVICES)
    if protocol == f.TCP:
        body = f.tcp(*ports, data, flags=draw(st.integers(0, 63)), sequence=draw(st.integers(0, 3)))
    elif protocol in (f.ICMP, f.ICMPV6):
        body = f.icmp(draw(st.sampled_from([0, 3, 5, 8, 128, 129, 130, 134, 135, 137, 1, 143])), 0, 7 << 16, data)
    else:
        body = f.udp(*ports, data)
    if draw(st.integers(0, 4)) == 0 and ":" not in source:
        offset, more = draw(st.sampled_from([(0, True), (8, True), (64, True), (64, False)]))
        packet = f.ipv4(
            source, destination, body, protocol, offset=offset, more=more, identifier=draw(st.integers(0, 2))
        )
    elif draw(st.integers(0, 4)) == 0 and ":" in source:
        offset, more = draw(st.sampled_from([(0, True), (8, True), (64, True), (64, False)]))
        head = f.fragment6(protocol, offset=offset, more=more, identifier=draw(st.integers(0, 2)))
        packet = f.ipv6(source, destination, head + body, f.FRAGMENT)
    else:
        packet = f.ip(source, destination, body, protocol, hop_limit=draw(st.sampled_from([1, 64, 255])))
    frame = bytearray(f.ethernet(packet, source=draw(MACS), destination=draw(MACS)))
    for place in draw(st.lists(st.integers(0, len(frame) - 1), max_size=2)):
        frame[place] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.one_of(st.just(len(frame)), st.integers(0, len(frame))))])


steps = st.lists(
    st.tuples(
        st.one_of(nearly_packets(), st.binary(max_size=100)),
        st.integers(0, 2),  # direction flag
        st.sampled_from([1, 1, 1, 1, 0, 101, 113, 276, 127]),
        st.floats(0, 200),
        st.sampled_from(["", "", "", "", "", "isolate", "release"]),
    ),
    max_size=25,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=150)
@given(
    mode=st.sampled_from(MODES),
    packets=steps,
    tweaks=st.sampled_from(
        [
            {},
            {"essential.icmp_echo": True, "essential.mdns": True, "essential.dns": "any"},
            {"loopback": False, "reauthorise": False, "direction.trust_guesses": False},
            {"flow_table.size": 16, "fragment_table.size": 1, "related.rate": 1, "link.other": "deny"},
            {"timeouts.profile": "conntrack", "essential.dhcp": False, "essential.neighbour_discovery": False},
        ]
    ),
)
def test_no_packet_raises_and_the_sums_add_up(mode: str, packets: list[Any], tweaks: dict[str, Any]) -> None:
    """Through a whole engine, in every mode, with isolations and releases in between and time going anywhere."""
    lab = Lab(
        mode,
        rules=[
            WEB,
            {"name": "in", "direction": "Inbound", "process_path": OTHER},
            {"name": "svc", "service_name": "x"},
        ],
        local=(US, US6, LINK_LOCAL),
        prefixes=(PREFIX,),
        settings=tweaks,
        attribution=everybody(confidence=LOW) if tweaks else None,
        all_events=True,
    )
    assert program(OTHER) is not None
    for frame, flag, link, at, action in packets:
        if action == "isolate":
            lab.isolate()
        elif action == "release":
            lab.release()
        verdict, reason = lab.send(frame, at, flag=flag, link=link)
        isolated = lab.engine.policy.isolated
        if reason in ("undecodable", "flow_table_full"):
            assert verdict == ("deny" if isolated else "allow")
        if not isolated:
            assert verdict == "allow" or not lab.engine.reauthorises
        assert lab.flow_id == 0 if reason in NO_FLOW else lab.flow_id or reason in ("not_isolated", "loopback")
    assert "policy_error" not in lab.engine.faults, lab.told.events
    assert sum(lab.path.packets) == len(packets)
    assert sum(lab.path.octets) == sum(len(frame) for frame, *_ in packets)
    flows = lab.finish()
    assert len({(flow.flow_id, flow.authorisation) for flow in flows}) == len(flows)


NO_FLOW = {"link", "foreign", "related", "undecodable", "martian", "fragment", "flow_table_full"}
