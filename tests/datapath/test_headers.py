"""What decode() reads of a frame, and that no content makes it raise or read on behind its end."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.datapath.headers import Header
from agent.datapath.links import SUPPORTED_LINKS
from tests.support import frames as f

IP, NOT_IP, UNDECODABLE, CUT = 0, 1, 2, 3
ETHERNET, NULL, LOOP, RAW, SLL, SLL2 = 1, 0, 108, 101, 113, 276
A4, B4 = "10.0.0.5", "203.0.113.9"
A6, B6 = "2001:db8::5", "2001:db8:1::9"


def decode(frame: bytes, link: int = ETHERNET, captured: int | None = None) -> tuple[int, Header]:
    """The status, and the header; behind the captured bytes lies what would be read as the rest of the frame."""
    header = Header()
    header.attach(b"\xee" * 5 + frame)
    return header.decode(5, len(frame) if captured is None else captured, link), header


def decoded(frame: bytes, link: int = ETHERNET) -> Header:
    status, header = decode(frame, link)
    assert status == IP
    return header


def addresses(header: Header) -> tuple[int, int]:
    return header.source_high << 64 | header.source_low, header.destination_high << 64 | header.destination_low


def ports(header: Header) -> tuple[int, int]:
    return header.source_port, header.destination_port


PACKET4 = f.ipv4(A4, B4, f.tcp(50000, 443, b"hello", flags=f.SYN, sequence=0xFEDCBA98))
PACKET6 = f.ipv6(A6, B6, f.tcp(50000, 443, b"hello", flags=f.SYN, sequence=0xFEDCBA98))


# Link -------------------------------------------------------------------------------------------------------------

LINKS = [
    pytest.param(ETHERNET, f.ethernet, id="ethernet"),
    pytest.param(ETHERNET, lambda packet: f.ethernet(packet, tags=(f.VLAN,)), id="vlan"),
    pytest.param(ETHERNET, lambda packet: f.ethernet(packet, tags=(f.QINQ, f.VLAN)), id="qinq"),
    pytest.param(ETHERNET, lambda packet: f.ethernet(packet, tags=(0x9100, f.QINQ, f.VLAN)), id="three-tags"),
    pytest.param(ETHERNET, lambda packet: f.ethernet(packet, tags=(f.VLAN,) * 8), id="eight-tags"),
    pytest.param(SLL, f.sll, id="sll"),
    pytest.param(SLL2, f.sll2, id="sll2"),
    pytest.param(NULL, f.null, id="null-little"),
    pytest.param(NULL, lambda packet: f.null(packet, order=">"), id="null-big"),
    pytest.param(LOOP, lambda packet: f.null(packet, order=">"), id="loop"),
    pytest.param(RAW, lambda packet: packet, id="raw"),
    pytest.param(12, lambda packet: packet, id="raw-12"),
    pytest.param(14, lambda packet: packet, id="raw-14"),
]


@pytest.mark.parametrize("packet", [PACKET4, PACKET6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("link", "wrap"), LINKS)
def test_the_same_packet_is_found_behind_every_link_header(link: int, wrap, packet: bytes) -> None:
    header = decoded(wrap(packet), link)
    ends = (A4, B4) if packet is PACKET4 else (A6, B6)
    assert addresses(header) == (f.number(ends[0]), f.number(ends[1]))
    assert (header.version, header.protocol, ports(header)) == (4 if packet is PACKET4 else 6, 6, (50000, 443))
    assert (header.tcp_flags, header.tcp_sequence) == (f.SYN, 0xFEDCBA98)
    assert header.message() == b"hello"
    assert header.ether_type == (f.IPV4 if packet is PACKET4 else f.IPV6)


@pytest.mark.parametrize(("link", "packet"), [(228, PACKET4), (229, PACKET6)], ids=["ipv4-only", "ipv6-only"])
def test_a_link_type_of_one_version_reads_that_version_only(link: int, packet: bytes) -> None:
    assert decode(packet, link)[0] == IP
    assert decode(PACKET6 if packet is PACKET4 else PACKET4, link)[0] == UNDECODABLE


@pytest.mark.parametrize("kind", [f.ARP, 0x888E, 0x88CC, 0x8863, 0x88E5, 0x0600, 0xFFFF], ids=hex)
@pytest.mark.parametrize("tags", [(), (f.VLAN,)], ids=["plain", "tagged"])
def test_other_ethertypes_are_told_apart_and_listed_by_their_number(kind: int, tags: tuple[int, ...]) -> None:
    status, header = decode(f.ethernet(b"x" * 46, kind, tags=tags))
    assert (status, header.ether_type) == (NOT_IP, kind)


def test_an_ethertype_is_not_believed_over_the_version_nibble() -> None:
    assert decode(f.ethernet(PACKET6, f.IPV4))[0] == UNDECODABLE
    assert decode(f.ethernet(PACKET4 + bytes(20), f.IPV6))[0] == UNDECODABLE


def test_a_ninth_vlan_tag_is_undecodable() -> None:
    assert decode(f.ethernet(PACKET4, tags=(f.VLAN,) * 9))[0] == UNDECODABLE


@pytest.mark.parametrize(("first", "version"), [(0x50, 5), (0x00, 0), (0xF5, 15)])
def test_a_raw_packet_of_another_version_is_undecodable(first: int, version: int) -> None:
    assert first >> 4 == version
    assert decode(bytes([first]) + PACKET4[1:], RAW)[0] == UNDECODABLE


@pytest.mark.parametrize("family", [24, 28, 30], ids=["netbsd", "freebsd", "darwin"])
def test_each_systems_number_of_ipv6_is_known(family: int) -> None:
    assert decode(f.null(PACKET6, family=family), NULL)[0] == IP


def test_another_address_family_is_no_ip() -> None:
    assert decode(f.null(PACKET4, family=7), NULL)[0] == NOT_IP


@pytest.mark.parametrize("link", [*sorted(set(range(300)) - SUPPORTED_LINKS), 0xFFFF])
def test_an_unsupported_link_type_is_undecodable(link: int) -> None:
    assert decode(f.ethernet(PACKET4), link)[0] == UNDECODABLE


@pytest.mark.parametrize("build", [f.sll, f.sll2], ids=["sll", "sll2"])
@pytest.mark.parametrize(
    ("packet_type", "flag", "group"),
    [(0, 1, False), (1, 1, True), (2, 1, True), (3, 0, False), (4, 2, False), (6, 0, False)],
)
def test_a_cooked_header_says_which_way_a_packet_went(build, packet_type: int, flag: int, group: bool) -> None:
    header = decoded(build(PACKET4, packet_type=packet_type), SLL if build is f.sll else SLL2)
    assert (header.link_direction, header.link_group, header.on_loopback()) == (flag, group, False)
    assert header.source_mac() == int.from_bytes(f.THEIR_MAC, "big")


@pytest.mark.parametrize("build", [f.sll, f.sll2], ids=["sll", "sll2"])
def test_the_loopback_device_is_known_by_its_hardware_type(build) -> None:
    assert decoded(build(PACKET4, hardware=772, source=bytes(6)), SLL if build is f.sll else SLL2).on_loopback()


def test_a_hardware_address_of_another_length_is_no_mac() -> None:
    header = decoded(f.sll(PACKET4, source=b"\1\2\3\4"), SLL)
    assert header.source_mac() == 0


@pytest.mark.parametrize("build", [f.sll, f.sll2], ids=["sll", "sll2"])
def test_vlan_tags_behind_a_cooked_header_are_read(build) -> None:
    link = SLL if build is f.sll else SLL2
    tagged = build(struct.pack(">HH", 7, f.IPV4) + PACKET4)
    # The protocol field names the tag; its place differs between the two forms.
    place = 14 if link == SLL else 0
    tagged = tagged[:place] + struct.pack(">H", f.VLAN) + tagged[place + 2 :]
    assert ports(decoded(tagged, link)) == (50000, 443)


def test_group_macs_and_the_loopback_device_are_told_on_ethernet() -> None:
    assert decoded(f.ethernet(PACKET4, destination=f.BROADCAST_MAC)).link_group
    assert not decoded(f.ethernet(PACKET4)).link_group
    assert decoded(f.ethernet(PACKET4, source=bytes(6), destination=bytes(6))).on_loopback()
    assert not decoded(f.ethernet(PACKET4, source=bytes(6))).on_loopback()


# Network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 20, 40])
def test_ipv4_options_are_stepped_over(size: int) -> None:
    header = decoded(f.ethernet(f.ipv4(A4, B4, f.udp(1, 2, b"abc"), f.UDP, options=b"\1" * size)))
    assert (ports(header), header.message()) == ((1, 2), b"abc")


def test_a_total_length_of_zero_is_left_to_the_network_card() -> None:
    header = decoded(f.ethernet(f.ipv4(A4, B4, f.tcp(1, 2, b"large send"), total=0)))
    assert header.message() == b"large send"


def test_ethernet_padding_is_not_payload() -> None:
    header = decoded(f.ethernet(f.ipv4(A4, B4, f.udp(1, 2, b"abc"), f.UDP) + b"\0secret"))
    assert header.message() == b"abc"


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2), header=16), id="header-too-short"),
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2), header=0), id="header-zero"),
        pytest.param(f.ipv4(A4, B4, b"", header=60), id="header-behind-the-frame"),
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2), total=19), id="total-inside-the-header"),
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2), total=39), id="total-inside-tcp"),
        pytest.param(f.ipv4(A4, B4, f.udp(1, 2), f.UDP, total=27), id="total-inside-udp"),
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2, header=16)), id="data-offset-too-small"),
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2, header=0)), id="data-offset-zero"),
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2, header=24)), id="data-offset-behind-the-packet"),
        pytest.param(f.ipv4(A4, B4, f.tcp(1, 2, b"1234", header=60)), id="data-offset-of-sixty"),
        pytest.param(f.ipv4(A4, B4, f.udp(1, 2, length=7), f.UDP), id="udp-length-inside-its-header"),
        pytest.param(f.ipv4(A4, B4, f.udp(1, 2, length=9), f.UDP), id="udp-length-behind-the-packet"),
        pytest.param(f.ipv6(A6, B6, f.udp(1, 2), f.UDP, length=7), id="ipv6-length-inside-udp"),
        pytest.param(f.ipv6(A6, B6, f.extension(f.TCP, 2048)[:64], f.HOP_BY_HOP), id="extension-behind-the-packet"),
        pytest.param(f.ipv6(A6, B6, b"", f.HOP_BY_HOP, length=8), id="extension-missing"),
    ],
)
def test_a_length_that_lies_makes_the_packet_cut_with_its_addresses_known(packet: bytes) -> None:
    """Not undecodable outright: whose packet it is comes first."""
    status, header = decode(f.ethernet(packet))
    assert status == CUT
    version6 = packet[0] >> 4 == 6
    assert addresses(header) == ((f.number(A6), f.number(B6)) if version6 else (f.number(A4), f.number(B4)))


def test_a_second_fragment_header_is_one_too_many() -> None:
    chain = f.fragment6(f.FRAGMENT, more=True) + f.fragment6(f.TCP) + f.tcp(1, 2)
    assert decode(f.ethernet(f.ipv6(A6, B6, chain, f.FRAGMENT)))[0] == CUT


def test_a_total_length_beyond_the_frame_is_what_a_snap_length_does() -> None:
    frame = f.ethernet(f.ipv4(A4, B4, f.tcp(1, 2, b"x" * 1000)))
    status, header = decode(frame, captured=60)
    assert status == IP
    assert header.message() == b"", "what was not captured could say anything"


EXTENSIONS = [
    pytest.param(f.extension(f.UDP), f.HOP_BY_HOP, id="hop-by-hop"),
    pytest.param(f.extension(f.UDP, 24), f.DESTINATION, id="destination"),
    pytest.param(f.extension(f.UDP), f.ROUTING, id="routing"),
    pytest.param(f.extension(f.UDP), f.MOBILITY, id="mobility"),
    pytest.param(f.extension(f.UDP), 139, id="hip"),
    pytest.param(f.extension(f.UDP), 140, id="shim6"),
    pytest.param(f.authentication(f.UDP, 24), f.AH, id="authentication"),
    pytest.param(f.fragment6(f.UDP), f.FRAGMENT, id="atomic-fragment"),
    pytest.param(
        f.extension(f.DESTINATION) + f.extension(f.ROUTING, 16) + f.extension(f.AH) + f.authentication(f.UDP),
        f.HOP_BY_HOP,
        id="chain",
    ),
    pytest.param(f.extension(f.HOP_BY_HOP) * 15 + f.extension(f.UDP), f.HOP_BY_HOP, id="sixteen"),
]


@pytest.mark.parametrize(("chain", "following"), EXTENSIONS)
def test_ipv6_extension_headers_are_stepped_over(chain: bytes, following: int) -> None:
    header = decoded(f.ethernet(f.ipv6(A6, B6, chain + f.udp(1, 2, b"abc"), following)))
    assert (header.protocol, ports(header), header.message(), header.fragment) == (f.UDP, (1, 2), b"abc", 0)


def test_a_seventeenth_extension_header_is_too_many() -> None:
    chain = f.extension(f.HOP_BY_HOP) * 16 + f.extension(f.UDP)
    assert decode(f.ethernet(f.ipv6(A6, B6, chain + f.udp(1, 2), f.HOP_BY_HOP)))[0] == CUT


@pytest.mark.parametrize("protocol", [f.NO_NEXT, 50, 4, 41, 47, 112, 253, 254, 255])
def test_what_is_no_known_transport_has_a_protocol_and_no_ports(protocol: int) -> None:
    """Tunnels are judged by their outer flow; encrypted payloads have nothing to read."""
    for frame in (
        f.ethernet(f.ipv4(A4, B4, b"\x11\x22\x33\x44", protocol)),
        f.ethernet(f.ipv6(A6, B6, b"\x11\x22\x33\x44", protocol)),
    ):
        header = decoded(frame)
        assert (header.protocol, ports(header), header.icmp_key) == (protocol, (0, 0), 0)


def test_each_versions_icmp_is_its_own() -> None:
    """ICMPv6 in IPv4 is a protocol like any other, and the reverse."""
    assert decoded(f.ethernet(f.ipv4(A4, B4, f.icmp(128, 0, 7), f.ICMPV6))).icmp_type == 0
    assert decoded(f.ethernet(f.ipv6(A6, B6, f.icmp(8, 0, 7), f.ICMP))).icmp_type == 0


def test_an_ipv6_payload_length_of_zero_takes_what_is_there() -> None:
    """A jumbogram, or large send offload."""
    jumbo = bytes([f.TCP, 0, 0xC2, 4]) + struct.pack(">I", 70_000) + f.tcp(1, 2, b"j" * 69_972)
    header = decoded(f.ethernet(f.ipv6(A6, B6, jumbo, f.HOP_BY_HOP, length=0)))
    assert (header.protocol, ports(header), len(header.message())) == (f.TCP, (1, 2), 69_972)


@pytest.mark.parametrize("following", [50, f.NO_NEXT], ids=["esp", "none"])
def test_an_extension_chain_ends_at_what_is_opaque_or_nothing(following: int) -> None:
    """What follows is not taken for a header, whatever it looks like."""
    rest = f.extension(f.UDP) + f.udp(1, 2, b"abc")
    header = decoded(f.ethernet(f.ipv6(A6, B6, f.extension(following) + rest, f.DESTINATION)))
    assert (header.protocol, ports(header)) == (following, (0, 0))


def test_a_captured_jumbogram_may_be_cut() -> None:
    jumbo = bytes([f.TCP, 0, 0xC2, 4]) + struct.pack(">I", 70_000) + f.tcp(1, 2, b"j" * 1000)
    packet = f.ipv6(A6, B6, jumbo, f.HOP_BY_HOP, length=0)
    assert ports(decoded(f.ethernet(packet))) == (1, 2)
    assert decode(f.ethernet(packet), captured=14 + 40 + 8 + 19)[0] == CUT


# Fragments --------------------------------------------------------------------------------------------------------


def test_the_first_ipv4_fragment_has_its_ports_and_its_extent() -> None:
    header = decoded(f.ethernet(f.ipv4(A4, B4, f.udp(1, 2, bytes(24), length=100), f.UDP, identifier=77, more=True)))
    assert (header.fragment, header.fragment_id, header.fragment_offset, header.fragment_end) == (1, 77, 0, 32)
    assert ports(header) == (1, 2)


@pytest.mark.parametrize("more", [True, False], ids=["middle", "last"])
def test_a_later_ipv4_fragment_has_no_ports(more: bool) -> None:
    header = decoded(f.ethernet(f.ipv4(A4, B4, f.udp(1, 2, bytes(8)), f.UDP, identifier=77, offset=1480, more=more)))
    assert (header.fragment, header.fragment_offset, header.fragment_end) == (2, 1480, 1496)
    assert (ports(header), header.tcp_flags, header.icmp_key) == ((0, 0), 0, 0)


def test_an_unfragmented_packet_that_must_not_be_fragmented_is_whole() -> None:
    packet = bytearray(f.ipv4(A4, B4, f.tcp(1, 2)))
    packet[6] = 0x40
    assert decoded(f.ethernet(bytes(packet))).fragment == 0


def test_ipv6_fragments_are_told_apart() -> None:
    first = f.fragment6(f.UDP, more=True, identifier=0xDEADBEEF) + f.udp(1, 2, bytes(24), length=100)
    header = decoded(f.ethernet(f.ipv6(A6, B6, first, f.FRAGMENT)))
    assert (header.fragment, header.fragment_id, header.fragment_end, ports(header)) == (1, 0xDEADBEEF, 32, (1, 2))
    later = f.fragment6(f.UDP, offset=32, identifier=0xDEADBEEF) + f.udp(3, 4)
    header = decoded(f.ethernet(f.ipv6(A6, B6, later, f.FRAGMENT)))
    assert (header.fragment, header.fragment_offset, header.fragment_end) == (2, 32, 40)
    assert (ports(header), header.protocol) == ((0, 0), f.UDP)


def test_a_later_fragment_holds_nothing_of_the_frame_before_it() -> None:
    """The header is reused: ports of the last frame must not become the fragment's."""
    header = Header()
    first = f.ethernet(f.ipv6(A6, B6, f.udp(53, 53, b"before"), f.UDP))
    later = f.ethernet(f.ipv6(A6, B6, f.fragment6(f.UDP, offset=8) + bytes(8), f.FRAGMENT))
    header.attach(first + later)
    assert header.decode(0, len(first), ETHERNET) == IP
    assert header.decode(len(first), len(later), ETHERNET) == IP
    assert (ports(header), header.icmp_key, header.tcp_flags, header.message()) == ((0, 0), 0, 0, bytes(8))


# Transport --------------------------------------------------------------------------------------------------------


def test_tcp_options_are_no_payload() -> None:
    header = decoded(f.ethernet(f.ipv4(A4, B4, f.tcp(1, 2, b"data", options=b"\1" * 12))))
    assert header.message() == b"data"


def test_the_options_of_a_cut_tcp_header_are_not_needed() -> None:
    frame = f.ethernet(f.ipv4(A4, B4, f.tcp(1, 2, b"data", options=b"\1" * 12, flags=f.SYN)))
    status, header = decode(frame, captured=14 + 20 + 20)
    assert (status, header.tcp_flags, header.message()) == (IP, f.SYN, b"")


def test_a_udp_length_bounds_the_message() -> None:
    """What lies between it and the end of the packet is nobody's message."""
    header = decoded(f.ethernet(f.ipv4(A4, B4, f.udp(1, 2, b"abcTRAILER", length=11), f.UDP)))
    assert header.message() == b"abc"


@pytest.mark.parametrize("build", [f.ipv4, f.ipv6])
def test_a_udp_length_of_zero_is_a_jumbogram_or_a_large_send(build) -> None:
    ends = (A4, B4) if build is f.ipv4 else (A6, B6)
    header = decoded(f.ethernet(build(*ends, f.udp(1, 2, b"abc", length=0), f.UDP)))
    assert (ports(header), header.message()) == ((1, 2), b"abc")


@pytest.mark.parametrize("build", [f.ipv4, f.ipv6])
def test_udp_lite_and_sctp_have_ports(build) -> None:
    """The length of UDP-Lite is what its checksum covers, so it is held against nothing."""
    ends = (A4, B4) if build is f.ipv4 else (A6, B6)
    for covered in (0, 3, 8, 4000):
        header = decoded(f.ethernet(build(*ends, f.udp(1, 2, b"abc", length=covered), 136)))
        assert (ports(header), header.message()) == ((1, 2), b"abc")
    assert ports(decoded(f.ethernet(build(*ends, f.sctp(3, 4, b"abc"), f.SCTP)))) == (3, 4)
    assert decode(f.ethernet(build(*ends, f.sctp(3, 4)[:11], f.SCTP)))[0] == CUT
    assert decode(f.ethernet(build(*ends, f.udp(3, 4)[:7], 136)))[0] == CUT


@pytest.mark.parametrize(
    ("version", "kind", "key"),
    [
        (4, 8, 8),
        (4, 0, 8),
        (4, 13, 13),
        (4, 14, 13),
        (4, 15, 15),
        (4, 16, 15),
        (4, 17, 17),
        (4, 18, 17),
        (6, 128, 128),
        (6, 129, 128),
    ],
)
def test_an_icmp_query_and_its_answer_share_a_key_and_the_identifier(version: int, kind: int, key: int) -> None:
    message = f.icmp(kind, 0, 0xBEEF0001)
    packet = f.ipv4(A4, B4, message, f.ICMP) if version == 4 else f.ipv6(A6, B6, message, f.ICMPV6)
    header = decoded(f.ethernet(packet))
    assert (header.icmp_type, header.icmp_key, ports(header)) == (kind, key << 8, (0xBEEF, 0xBEEF))


@pytest.mark.parametrize(
    ("version", "kind", "code"),
    [
        *((4, kind, 0) for kind in (3, 5, 7, 9, 11, 12, 19)),
        (4, 255, 255),
        *((6, kind, 4) for kind in (1, 127, 130, 135, 137)),
    ],
)
def test_other_icmp_messages_are_told_apart_by_type_and_code(version: int, kind: int, code: int) -> None:
    message = f.icmp(kind, code, 0xBEEF0001)
    packet = f.ipv4(A4, B4, message, f.ICMP) if version == 4 else f.ipv6(A6, B6, message, f.ICMPV6)
    header = decoded(f.ethernet(packet))
    assert (header.icmp_type, header.icmp_code, header.icmp_key, ports(header)) == (
        kind,
        code,
        kind << 8 | code,
        (0, 0),
    )


# Anything ---------------------------------------------------------------------------------------------------------

EVERY_KIND = [
    pytest.param(ETHERNET, f.ethernet(PACKET4, tags=(f.QINQ, f.VLAN)), id="tcp4-qinq"),
    pytest.param(ETHERNET, f.ethernet(f.ipv4(A4, B4, f.udp(1, 2, b"x"), f.UDP, options=b"\1" * 8)), id="udp4-options"),
    pytest.param(
        ETHERNET, f.ethernet(f.ipv6(A6, B6, f.extension(f.AH) + f.authentication(f.TCP) + f.tcp(1, 2), 0)), id="ah6"
    ),
    pytest.param(ETHERNET, f.ethernet(f.ipv6(A6, B6, f.fragment6(f.UDP, more=True) + f.udp(1, 2), 44)), id="first6"),
    pytest.param(ETHERNET, f.ethernet(f.ipv6(A6, B6, f.fragment6(f.UDP, offset=8) + bytes(8), 44)), id="later6"),
    pytest.param(ETHERNET, f.ethernet(f.ipv6(A6, B6, f.icmp(135, 0, 0, bytes(24)), f.ICMPV6)), id="neighbour"),
    pytest.param(ETHERNET, f.ethernet(f.ipv4(A4, B4, f.icmp(8, 0, 1), f.ICMP)), id="echo"),
    pytest.param(SLL, f.sll(PACKET4), id="sll"),
    pytest.param(SLL2, f.sll2(PACKET6), id="sll2"),
    pytest.param(NULL, f.null(PACKET4), id="null"),
    pytest.param(RAW, PACKET6, id="raw"),
]


@pytest.mark.parametrize(("link", "frame"), EVERY_KIND)
def test_cut_at_any_byte_a_frame_is_never_read_beyond_the_cut(link: int, frame: bytes) -> None:
    """Each cut is decoded with two different continuations behind it: no result may tell them apart."""
    whole, _ = decode(frame, link)
    assert whole == IP
    statuses = []
    for kept in range(len(frame) + 1):
        seen = []
        for rest in (b"\x00" * 200, b"\xff" * 200):
            header = Header()
            header.attach(frame[:kept] + rest)
            status = header.decode(0, kept, link)
            assert header.end <= kept
            facts = (header.protocol, addresses(header), ports(header), header.tcp_flags, header.icmp_type)
            known = (header.hop_limit, header.fragment, header.fragment_id, header.message())
            seen.append((status, header.ether_type, *(facts + known if status == IP else ())))
        assert seen[0] == seen[1]
        statuses.append(seen[0][0])
    # Once whole enough to be judged, more bytes never make it less so; before that it is never taken for IP.
    first = statuses.index(IP)
    assert set(statuses[:first]) <= {UNDECODABLE, CUT}
    assert set(statuses[first:]) == {IP}
    header = decoded(frame, link)
    assert first >= header.transport - 5


@given(
    st.binary(max_size=200),
    st.sampled_from([*sorted(SUPPORTED_LINKS), 10, 195, 0xFFFF]),
    st.integers(-3, 210),
    st.integers(-3, 210),
)
def test_any_bytes_at_any_place_give_a_status(data: bytes, link: int, offset: int, captured: int) -> None:
    header = Header()
    header.attach(data)
    status = header.decode(offset, captured, link)
    assert status in (IP, NOT_IP, UNDECODABLE, CUT)
    if offset < 0 or captured < 0 or offset + captured > len(data):
        assert status == UNDECODABLE
    assert isinstance(header.message(), bytes)


@given(
    st.sampled_from([PACKET4, PACKET6, f.ipv6(A6, B6, f.extension(44) + f.fragment6(6, more=True) + f.tcp(1, 2), 0)]),
    st.data(),
)
def test_any_change_of_a_packet_gives_a_status(packet: bytes, data: st.DataObject) -> None:
    """Random bytes rarely get past the version; a packet with a few of them wrong gets everywhere."""
    changed = bytearray(packet)
    for place in data.draw(st.lists(st.integers(0, len(packet) - 1), max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    status, header = decode(bytes(changed), RAW, data.draw(st.integers(0, len(changed))))
    assert status in (IP, UNDECODABLE, CUT)
    if status == IP:
        assert 0 <= header.transport <= header.payload
        assert header.fragment in (0, 1, 2)


@given(st.binary(max_size=120), st.integers(-5, 130), st.integers(-5, 130))
def test_a_quoted_packet_is_read_inside_its_bounds(data: bytes, position: int, end: int) -> None:
    header = Header()
    header.attach(data)
    assert header.network(position, end, 1) in (IP, UNDECODABLE, CUT)


def test_a_quote_of_eight_transport_bytes_has_its_ports() -> None:
    """RFC 792: the internet header and 64 bits; a whole TCP header is not there."""
    for quote in (f.ipv4(A4, B4, f.tcp(5, 6)[:8], total=1500), f.ipv6(A6, B6, f.tcp(5, 6)[:8], length=1460)):
        header = Header()
        header.attach(quote)
        assert header.network(0, len(quote), 1) == IP
        assert ports(header) == (5, 6)
        assert header.network(0, len(quote) - 1, 1) == CUT


def test_a_quote_of_a_later_fragment_has_no_ports() -> None:
    """What stands where ports would be is payload, which somebody else chose."""
    later6 = f.ipv6(A6, B6, f.fragment6(f.UDP, offset=64) + f.udp(5, 6), f.FRAGMENT)
    for quote in (f.ipv4(A4, B4, f.udp(5, 6), f.UDP, offset=64), later6):
        header = Header()
        header.attach(quote)
        assert header.network(0, len(quote), 1) != IP
