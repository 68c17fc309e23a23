"""What lies between the start of a frame and its IP packet, for every link type, and what the headers say beside it."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.datapath.headers import Header
from agent.datapath.links import SUPPORTED_LINKS
from tests.support import frames as f
from tests.support import links as l

IP, NOT_IP, UNDECODABLE, CUT = 0, 1, 2, 3
IN, OUT = 1, 2
LLC, WIFI_CONTROL, PPP_CONTROL = 0x0004, 0x0019, 0x880B
PACKET4 = f.ipv4("10.0.0.5", "203.0.113.9", f.tcp(50000, 443, b"hello", flags=f.SYN))
PACKET6 = f.ipv6("2001:db8::5", "2001:db8:1::9", f.udp(50000, 443, b"hello"), f.UDP)
WAYS = [pytest.param(*way, id=name) for name, way in l.WAYS.items()]


def decode(frame: bytes, link: int = 1, captured: int | None = None) -> tuple[int, Header]:
    """The status, and the header; around the frame lies what must not be read."""
    header = Header()
    header.attach(b"\xee" * 5 + frame + b"\xee" * 40)
    return header.decode(5, len(frame) if captured is None else captured, link), header


def status(frame: bytes, link: int = 1) -> int:
    return decode(frame, link)[0]


def listed(frame: bytes, link: int = 1) -> int:
    """What a frame without IP is listed by."""
    found, header = decode(frame, link)
    assert found == NOT_IP
    return header.ether_type


def read(frame: bytes, link: int = 1) -> Header:
    """The header of a frame that holds PACKET4 or PACKET6."""
    found, header = decode(frame, link)
    assert found == IP
    assert (header.source_port, header.destination_port, header.message()) == (50000, 443, b"hello")
    return header


# Every way of carrying IP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", [PACKET4, PACKET6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("link", "wrap"), WAYS)
def test_the_packet_is_found(link: int, wrap: l.Wrap, packet: bytes) -> None:
    header = read(wrap(packet), link)
    assert header.version == (4 if packet is PACKET4 else 6)
    assert header.ether_type == (f.IPV4 if packet is PACKET4 else f.IPV6)


def test_every_link_type_that_is_read_is_in_these_tests() -> None:
    elsewhere = {0, 12, 14, 101, 108, 113, 228, 229, 276}  # test_headers.py
    assert {link for link, _ in l.WAYS.values()} | elsewhere == SUPPORTED_LINKS


@pytest.mark.parametrize("packet", [PACKET4, PACKET6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize(("link", "wrap"), WAYS)
def test_cut_at_any_byte_a_frame_is_never_read_beyond_the_cut(link: int, wrap: l.Wrap, packet: bytes) -> None:
    """Two different continuations give the same; before a packet is readable the frame is not taken for one without."""
    frame = wrap(packet)
    found = []
    for kept in range(len(frame) + 1):
        seen = []
        for rest in (b"\x00" * 300, b"\xff" * 300):
            header = Header()
            header.attach(frame[:kept] + rest)
            outcome = header.decode(0, kept, link)
            ends = (header.source_low, header.destination_low, header.source_port, header.message())
            evidence = (header.link_direction, header.link_group, header.on_loopback(), header.source_mac())
            seen.append((outcome, *((*ends, *evidence) if outcome == IP else ())))
        assert seen[0] == seen[1], kept
        found.append(seen[0][0])
    first = found.index(IP)
    assert set(found[:first]) <= {UNDECODABLE, CUT}
    assert set(found[first:]) == {IP}


# Ethernet ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", [0x42, 0xE0, 0xF0, 0xFE, 0xFF], ids=hex)
def test_llc_without_ip_is_a_link_frame(service: int) -> None:
    """Spanning tree, IPX, NetBEUI, IS-IS, Novell's raw frames: one number, not one for each length."""
    assert listed(l.dot3(l.llc(b"x" * 40, service))) == LLC
    assert listed(l.dot3(l.llc(b"x" * 40, service), tags=(f.VLAN,))) == LLC


def test_llc_has_a_service_access_point_for_ip() -> None:
    read(l.dot3(l.llc(PACKET4, 0x06)))


def test_only_unnumbered_information_carries_packets() -> None:
    assert listed(l.dot3(l.llc(bytes(3) + struct.pack(">H", f.IPV4) + PACKET4, control=0xAF))) == LLC


@pytest.mark.parametrize("organisation", [b"\0\0\x0c", b"\0\x80\xc2", b"\x08\0\x07"], ids=["cisco", "802.1", "apple"])
def test_the_numbers_of_another_organisation_are_no_ethertypes(organisation: bytes) -> None:
    assert listed(l.dot3(l.snap(PACKET4, organisation=organisation))) == LLC


def test_a_snap_ethertype_is_listed_like_any_other() -> None:
    assert listed(l.dot3(l.snap(b"x" * 28, f.ARP))) == f.ARP
    assert listed(l.dot3(l.snap(PACKET4, 100))) == LLC, "a length has no place there"


def test_an_802_3_length_bounds_the_packet() -> None:
    """What lies behind is padding; where a large send left the length of the packet open it is all there is to tell."""
    packet = f.ipv4("10.0.0.5", "203.0.113.9", f.udp(50000, 443, b"hello", length=0), f.UDP, total=0)
    read(l.dot3(l.snap(packet)) + b"padding")
    found, header = decode(l.dot3(l.snap(PACKET4), length=8 + 40))
    assert (found, header.message()) == (IP, b"")
    assert status(l.dot3(l.snap(PACKET4), length=8 + 39)) == CUT


def test_numbers_between_lengths_and_ethertypes_are_neither() -> None:
    assert listed(f.ethernet(l.snap(PACKET4), 1501)) == 1501


@pytest.mark.parametrize("length", [0, 1, 2, 7])
def test_less_than_a_header_of_llc_is_undecodable(length: int) -> None:
    assert status(l.dot3(l.snap(PACKET4), length=length)) == UNDECODABLE


def test_tags_are_counted_over_the_whole_frame() -> None:
    """Four in front of SNAP and four behind it are all there may be."""

    def behind(tags: int) -> bytes:
        inner = b"".join(struct.pack(">HH", 7, f.VLAN) for _ in range(tags - 1)) + struct.pack(">HH", 7, f.IPV4)
        return l.dot3(l.snap(inner + PACKET4, f.VLAN), tags=(f.VLAN,) * 4)

    assert status(behind(4)) == IP
    assert status(behind(5)) == UNDECODABLE


@pytest.mark.parametrize(("kind", "wrap"), [(l.VN_TAG, l.vn_tag), (l.E_TAG, l.e_tag)], ids=["vn-tag", "e-tag"])
def test_port_extender_tags_are_tags(kind: int, wrap) -> None:
    frame = wrap(PACKET4)
    for _ in range(7):
        frame = wrap(frame, kind)
    read(l.typed(kind, frame))
    assert status(l.typed(kind, wrap(frame, kind))) == UNDECODABLE
    assert status(l.typed(kind, frame[:3])) == UNDECODABLE


# PPPoE and PPP ----------------------------------------------------------------------------------------------------


def session(payload: bytes, **options: int) -> bytes:
    return l.typed(l.PPPOE, l.pppoe(payload, **options))


@pytest.mark.parametrize("protocol", [0x8021, 0x8057, 0xC021, 0xC023, 0xC223, 0xC025], ids=hex)
def test_what_negotiates_a_ppp_link_is_a_link_frame(protocol: int) -> None:
    message = l.ppp_protocol(b"\1\1\0\4", protocol)
    assert listed(session(message)) == l.PPPOE
    assert listed(b"\xff\3" + message, 9) == PPP_CONTROL


@pytest.mark.parametrize("protocol", [0x002D, 0x002F, 0x003D, 0x0053, 0x00FB, 0x00FD, 0x0031, 0x2065], ids=hex)
def test_ip_in_a_form_that_is_not_read_is_undecodable(protocol: int) -> None:
    """Compressed, encrypted, in bundles, bridged: it must not pass as something without IP."""
    assert status(session(l.ppp_protocol(PACKET4, protocol))) == UNDECODABLE
    assert status(b"\xff\3" + l.ppp_protocol(PACKET4, protocol), 9) == UNDECODABLE


@pytest.mark.parametrize("code", [0x09, 0x07, 0x19, 0x65, 0xA7], ids=hex)
def test_pppoe_discovery_is_a_link_frame_under_either_ethertype(code: int) -> None:
    assert listed(l.typed(l.PPPOE_DISCOVERY, l.pppoe(bytes(40), code=code))) == l.PPPOE_DISCOVERY
    assert listed(session(bytes(40), code=code)) == l.PPPOE_DISCOVERY
    assert listed(l.pppoe(bytes(40), code=code), 51) == l.PPPOE_DISCOVERY


def test_a_pppoe_length_bounds_the_packet() -> None:
    read(session(l.ppp_protocol(PACKET4)) + b"padding")
    assert status(session(l.ppp_protocol(PACKET4), length=2 + 19)) == UNDECODABLE
    assert status(session(l.ppp_protocol(PACKET4), length=2 + 39)) == CUT
    assert status(session(l.ppp_protocol(PACKET4), length=1)) == UNDECODABLE
    assert status(session(l.ppp_protocol(PACKET4), length=0)) == UNDECODABLE
    read(session(l.ppp_protocol(PACKET4), length=0xFFFF))


@pytest.mark.parametrize(("link", "first", "way"), [(204, 0, IN), (204, 1, OUT), (166, 0, IN), (166, 1, OUT)])
def test_a_serial_lines_direction_byte_is_evidence(link: int, first: int, way: int) -> None:
    assert (
        read(bytes([first]) + (b"\3" if link == 166 else b"\xff\3") + l.ppp_protocol(PACKET4), link).link_direction
        == way
    )
    assert status(b"", link) == UNDECODABLE


def test_ciscos_keepalives_are_link_frames() -> None:
    assert listed(l.cisco(bytes(14), 0x8035, address=0x8F), 104) == 0x8035
    assert listed(l.cisco(bytes(14), 0x2000), 50) == 0x2000
    assert status(b"\x0f\0\x08", 104) == UNDECODABLE


# MPLS -------------------------------------------------------------------------------------------------------------


def labelled(payload: bytes, labels: int = 1) -> bytes:
    return l.typed(l.MPLS, l.mpls(payload, labels))


def test_a_label_stack_is_bounded() -> None:
    read(labelled(PACKET4, 16))
    assert status(labelled(PACKET4, 17)) == UNDECODABLE


def test_a_stack_without_a_bottom_or_without_a_payload_is_undecodable() -> None:
    assert status(l.typed(l.MPLS, bytes(8))) == UNDECODABLE
    assert status(labelled(b"")) == UNDECODABLE
    assert status(l.typed(l.MPLS, b"\0\0\1")) == UNDECODABLE


@pytest.mark.parametrize("nibble", [2, 3, 5, 7, 15])
def test_a_payload_that_cannot_be_guessed_is_undecodable(nibble: int) -> None:
    """It may be a pseudowire, whose packets must not pass as frames without IP."""
    assert status(labelled(bytes([nibble << 4]) + PACKET4[1:])) == UNDECODABLE


def test_an_associated_channel_is_a_link_frame() -> None:
    assert listed(labelled(b"\x10\0\0\x07" + bytes(20))) == l.MPLS


def test_a_pseudowires_own_addresses_count() -> None:
    """Those of the outer frame are routers'. All-zero ones are no loopback device's here."""
    inner = f.ethernet(PACKET4, source=b"\2\0\0\0\0\7", destination=f.BROADCAST_MAC)
    header = read(l.typed(l.MPLS, l.pseudowire(inner)))
    assert (header.source_mac(), header.link_group) == (0x020000000007, True)
    spoofed = f.ethernet(PACKET4, source=bytes(6), destination=bytes(6))
    assert not read(l.typed(l.MPLS, l.pseudowire(spoofed))).on_loopback()
    assert listed(l.typed(l.MPLS, l.pseudowire(f.ethernet(bytes(28), f.ARP)))) == f.ARP


def test_headers_that_hold_each_other_end_somewhere() -> None:
    """Ethernet in MPLS in Ethernet and so on, and the same with PPP between: nine layers are too many."""
    nested = f.ethernet(PACKET4)
    for _ in range(8):
        nested = l.typed(l.MPLS, l.pseudowire(nested))
    read(nested)
    assert status(l.typed(l.MPLS, l.pseudowire(nested))) == UNDECODABLE
    nested = l.mpls(PACKET4)
    for _ in range(3):
        nested = l.mpls(bytes(4) + session(l.ppp_protocol(nested, 0x0281)))
    read(nested, 219)
    assert status(l.mpls(bytes(4) + session(l.ppp_protocol(nested, 0x0281))), 219) == UNDECODABLE
    snapped = l.snap(PACKET4)
    for _ in range(12):
        snapped = l.snap(l.pppoe(l.ppp_protocol(l.mpls(bytes(4) + l.dot3(snapped)), 0x0281)), l.PPPOE)
    assert status(l.dot3(snapped)) == UNDECODABLE


# IEEE 802.11 ------------------------------------------------------------------------------------------------------


def test_encrypted_frames_and_later_fragments_are_undecodable() -> None:
    assert status(l.wifi(l.snap(PACKET4), flags=l.PROTECTED), 105) == UNDECODABLE
    assert status(l.radiotap(l.wifi(l.snap(PACKET4), qos=b"\0\0", flags=l.PROTECTED)), 127) == UNDECODABLE
    assert status(l.wifi(l.snap(PACKET4), fragment=1), 105) == UNDECODABLE
    read(l.wifi(l.snap(PACKET4), flags=l.MORE_FRAGMENTS), 105)


@pytest.mark.parametrize("kind", [0x80, 0x40, 0xB0, 0xC4, 0xD4, 0x48, 0xC8, 0x0C], ids=hex)
def test_frames_without_data_are_link_frames(kind: int) -> None:
    """Beacons, probes, acknowledgements, null data: listed by the number that Linux has for them."""
    assert listed(bytes([kind]) + l.wifi(bytes(30))[1:], 105) == WIFI_CONTROL
    assert status(bytes([kind | 1]) + l.wifi(bytes(30))[1:], 105) == UNDECODABLE, "of another version"


def test_llc_of_a_wireless_frame_is_read_as_on_a_wire() -> None:
    assert listed(l.wifi(l.llc(b"x" * 35, 0x42)), 105) == LLC
    assert listed(l.wifi(l.snap(bytes(28), f.ARP)), 105) == f.ARP


@pytest.mark.parametrize("from_ds", [False, True], ids=["", "from"])
@pytest.mark.parametrize("to_ds", [False, True], ids=["", "to"])
def test_the_source_stands_where_the_flags_say_and_no_way_does(to_ds: bool, from_ds: bool) -> None:
    """Which side the access point is on is not which side this host is on."""
    source, group = b"\2\0\0\0\0\7", b"\1\0\x5e\0\0\1"
    frame = l.wifi(l.snap(PACKET4), to_ds=to_ds, from_ds=from_ds, source=source, destination=group)
    header = read(frame, 105)
    assert (header.source_mac(), header.link_group, header.link_direction) == (0x020000000007, True, 0)
    assert not read(l.wifi(l.snap(PACKET4), to_ds=to_ds, from_ds=from_ds), 105).link_group


def aggregate(*frames: bytes) -> bytes:
    return l.wifi(b"".join(frames), qos=b"\x80\0")


def test_an_aggregate_is_read_if_it_holds_one_packet_for_certain() -> None:
    """One verdict cannot speak for several packets: the others would pass unseen."""
    one = l.subframe(l.snap(PACKET4))
    read(aggregate(one), 105)
    read(aggregate(one + bytes(3)), 105)
    assert status(aggregate(one + bytes(-len(one) % 4), one), 105) == UNDECODABLE
    assert status(aggregate(l.subframe(l.snap(PACKET4), length=len(PACKET4) + 9)), 105) == UNDECODABLE
    assert decode(aggregate(one), 105)[1].source_mac() == int.from_bytes(f.OUR_MAC, "big")


def test_a_checksum_is_taken_off_where_flags_say_it_is_there() -> None:
    """It shows where the packet's own length is left open."""
    open_end = f.ipv4("10.0.0.5", "203.0.113.9", f.udp(50000, 443, b"hello", length=0), f.UDP, total=0)
    frame = l.wifi(l.snap(open_end)) + b"CRC!"
    read(l.radiotap(frame, flags=0x10), 127)
    assert decode(l.radiotap(frame, flags=0), 127)[1].message() == b"helloCRC!"
    read(l.ppi(frame, fields=l.ppi_field(30002, bytes(5)) + l.ppi_common(1)), 192)
    read(l.ppi(frame, fields=l.ppi_field(30002, bytes(5) + bytes(3)) + l.ppi_common(1), aligned=True), 192)
    assert decode(l.ppi(frame, fields=l.ppi_common(0)), 192)[1].message() == b"helloCRC!"


@pytest.mark.parametrize("size", [0, 7, 1000, 0xFFFF])
def test_a_lying_header_length_is_undecodable(size: int) -> None:
    frame = l.wifi(l.snap(PACKET4))
    assert status(l.radiotap(frame, size=size), 127) == UNDECODABLE
    assert status(l.ppi(frame, size=size), 192) == UNDECODABLE
    assert status(struct.pack("<II", 0x44, size).ljust(144, b"\0") + frame, 119) == UNDECODABLE
    assert status(struct.pack(">II", 0x80211001, size).ljust(64, b"\0") + frame, 163) == UNDECODABLE


def test_words_of_radiotap_are_bounded() -> None:
    frame = l.wifi(l.snap(PACKET4))
    read(l.radiotap(frame, words=32), 127)
    assert status(l.radiotap(frame, words=33), 127) == UNDECODABLE
    assert status(b"\0\0\x08\0\0\0\0\x80" + frame, 127) == UNDECODABLE, "more words than the header has room for"
    assert status(b"\0\0\x08\0\2\0\0\0" + frame, 127) == UNDECODABLE, "flags without room for them"


def test_prism_has_the_byte_order_of_its_host() -> None:
    read(l.prism(l.wifi(l.snap(PACKET4)), order=">"), 119)


def test_fields_of_ppi_may_be_anything() -> None:
    frame = l.wifi(l.snap(PACKET4))
    read(l.ppi(frame, fields=l.ppi_field(2, b"")), 192)
    read(l.ppi(frame, fields=struct.pack("<HH", 7, 0xFFFF)), 192)
    read(l.ppi(frame, fields=l.ppi_field(7, b"") * 100), 192)


# What hosts put around their own packets --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("hook", "way"), [(0, IN), (1, IN), (2, 0), (3, OUT), (4, OUT), (9, 0)])
def test_a_netfilter_hook_is_a_direction(hook: int, way: int, order: str) -> None:
    header = read(l.nflog(PACKET4, hook=hook, order=order), 239)
    assert (header.link_direction, header.on_loopback()) == (way, False)
    assert read(l.nflog(PACKET4, hook=hook, device=1, order=order), 239).on_loopback()


@pytest.mark.parametrize("family", [5, 7], ids=["netdev", "bridge"])
def test_hooks_of_other_families_have_other_meanings(family: int) -> None:
    assert read(l.nflog(PACKET6, hook=1, family=family), 239).link_direction == 0


def test_netfilter_logs_frames_that_are_not_ip() -> None:
    header = l.attribute(1, struct.pack(">HBB", f.ARP, 0, 0))
    assert listed(struct.pack(">BBH", 7, 0, 5) + header + l.attribute(9, bytes(28)), 239) == f.ARP


@pytest.mark.parametrize("size", [0, 1, 3])
@pytest.mark.parametrize("kind", [1, 9, 11])
def test_an_attribute_shorter_than_its_head_ends_the_reading(kind: int, size: int) -> None:
    assert status(l.nflog(PACKET4, before=l.attribute(kind, bytes(4), size=size)), 239) == UNDECODABLE


def test_an_attribute_behind_the_end_ends_the_reading() -> None:
    assert status(l.nflog(PACKET4, before=l.attribute(11, bytes(4), size=4000)), 239) == UNDECODABLE
    assert status(struct.pack(">BBH", 2, 0, 5), 239) == UNDECODABLE, "no packet at all"
    assert status(struct.pack(">BBH", 2, 0, 5) + l.attribute(11, b""), 239) == UNDECODABLE


def test_a_packet_attribute_longer_than_the_frame_is_what_a_snap_length_does() -> None:
    found, header = decode(l.nflog(PACKET4 + bytes(1000))[: 52 + len(PACKET4)], 239)
    assert (found, header.source_port) == (IP, 50000)


def test_attributes_are_bounded() -> None:
    read(l.nflog(PACKET4, before=l.attribute(11, b"") * 60), 239)
    assert status(l.nflog(PACKET4, before=l.attribute(11, b"") * 61), 239) == UNDECODABLE


@pytest.mark.parametrize(("flags", "way"), [(0, 0), (1, IN), (2, OUT), (3, 0), (0x2000 | 2, OUT)])
@pytest.mark.parametrize("build", [l.pktap, l.pktap2])
def test_pktaps_flags_are_a_direction_and_its_device_tells_loopback(build, flags: int, way: int) -> None:
    """A tunnel's frames begin with a family alone, as the loopback's do."""
    null = struct.pack("<I", 2) + PACKET4
    header = read(build(null, 0, flags=flags), 258)
    assert (header.link_direction, header.on_loopback()) == (way, False)
    assert read(build(null, 0, flags=flags, device=24), 258).on_loopback()
    assert read(build(f.ethernet(PACKET4), flags=flags), 258).source_mac() == int.from_bytes(f.OUR_MAC, "big")


@pytest.mark.parametrize("link", [149, 192, 258, 4000, 0x10001])
def test_a_wrapper_holds_no_wrapper(link: int) -> None:
    """No frame says for ever that the next one is inside."""
    inside = l.pktap(f.ethernet(PACKET4))
    assert status(l.pktap(inside, link), 258) == UNDECODABLE
    assert status(l.ppi(inside, link), 192) == UNDECODABLE


@pytest.mark.parametrize("claimed", [0, 107, 1000, 0xFFFFFFFF])
def test_a_lying_length_of_pktap_is_undecodable(claimed: int) -> None:
    assert status(l.pktap(f.ethernet(PACKET4), claimed=claimed), 258) == UNDECODABLE
    assert status(l.pktap(f.ethernet(PACKET4), claimed=claimed), 149) == UNDECODABLE


def test_the_second_layout_has_a_length_of_its_own() -> None:
    whole = l.pktap2(f.ethernet(PACKET4))
    read(whole, 258)
    assert status(b"\x27" + whole[1:], 258) == UNDECODABLE
    assert status(b"\xff" + whole[1:], 258) == UNDECODABLE
    assert status(whole[:39], 258) == UNDECODABLE


@pytest.mark.parametrize("following", [0, 2])
def test_pktap_without_a_packet_is_undecodable(following: int) -> None:
    assert status(l.pktap(f.ethernet(PACKET4), following=following), 258) == UNDECODABLE


@pytest.mark.parametrize(
    "lie",
    [{"flags": 3}, {"name": b""}, {"name": b"\xff"}, {"name": b"n" * 24}, {"size": 1100}, {"following": 0}],
    ids=["both-ways", "no-name", "no-text", "endless-name", "long", "no-packet"],
)
def test_anyones_link_type_is_pktap_only_if_all_of_its_header_fits(lie: dict) -> None:
    read(l.pktap(f.ethernet(PACKET4)), 149)
    assert status(l.pktap(f.ethernet(PACKET4), **lie), 149) == UNDECODABLE
    assert status(f.ethernet(PACKET4) + bytes(200), 149) == UNDECODABLE


@pytest.mark.parametrize(("way", "direction"), [(0, 0), (1, IN), (2, OUT), (3, 0)])
def test_pflog_says_which_way(way: int, direction: int) -> None:
    assert read(l.pflog(PACKET4, way=way), 117).link_direction == direction
    read(l.pflog(PACKET6, way=way, size=100), 117)


def test_pflog_lies_and_other_families() -> None:
    assert status(l.pflog(PACKET4, size=60), 117) == UNDECODABLE
    assert status(b"\xff" + l.pflog(PACKET4)[1:], 117) == UNDECODABLE
    assert status(l.pflog(PACKET4, family=7), 117) == NOT_IP


def test_enc_has_the_byte_order_of_its_host() -> None:
    read(l.enc(PACKET4, order=">"), 109)
    assert not read(l.enc(PACKET4), 109).on_loopback()


def test_a_cooked_header_may_hold_llc_radiotap_or_netlink() -> None:
    def cooked(number: int, payload: bytes, hardware: int = 1) -> bytes:
        return struct.pack(">HHH8sH", 4, hardware, 6, f.OUR_MAC, number) + payload

    def cooked2(number: int, payload: bytes, hardware: int = 1) -> bytes:
        return struct.pack(">HHIHBB8s", number, 0, 2, hardware, 4, 6, f.OUR_MAC) + payload

    for build, link in ((cooked, 113), (cooked2, 276)):
        read(build(LLC, l.snap(PACKET4)), link)
        assert listed(build(LLC, l.llc(bytes(40), 0x42)), link) == LLC
        assert listed(build(1, b"\xff\xff" + bytes(40)), link) == 1
        assert read(build(0, l.radiotap(l.wifi(l.snap(PACKET4))), 803), link).link_direction == OUT
        assert listed(build(LLC, l.snap(PACKET4), 824), link) == 0
        assert read(build(l.PPPOE, l.pppoe(l.ppp_protocol(PACKET4))), link).source_mac() == 0x020000000001


# Anything ---------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(l.WAYS)), st.sampled_from([PACKET4, PACKET6]), st.data())
def test_any_change_of_any_frame_gives_a_status(name: str, packet: bytes, data: st.DataObject) -> None:
    """Random bytes rarely get past the first header; frames with a few of them wrong get everywhere."""
    link, wrap = l.WAYS[name]
    changed = bytearray(wrap(packet))
    head = len(changed) - len(packet)
    for place in data.draw(st.lists(st.integers(0, head + 3), max_size=4)):
        changed[place] = data.draw(st.sampled_from([0, 1, 2, 4, 8, 0x7F, 0x80, 0x81, 0xFE, 0xFF]) | st.integers(0, 255))
    kept = data.draw(st.just(len(changed)) | st.integers(0, len(changed)))
    header = Header()
    header.attach(bytes(changed))
    outcome = header.decode(0, kept, link)
    assert outcome in (IP, NOT_IP, UNDECODABLE, CUT)
    assert isinstance(header.message(), bytes)
    assert 0 <= header.source_mac() < 1 << 48
    if outcome in (IP, CUT):
        assert header.ether_type in (f.IPV4, f.IPV6)


@given(
    st.sampled_from(sorted(SUPPORTED_LINKS)),
    st.lists(
        st.sampled_from(
            [
                b"\0",
                b"\xff",
                b"\x88\x64",
                b"\x88\x47",
                b"\x81\0",
                b"\xaa\xaa\x03\0\0\0",
                b"\0\0\1\1",
                b"\x11\0\0\7\xff\xff",
                b"\2\x81",
                b"\x89\x26",
            ]
        ),
        max_size=60,
    ),
)
def test_headers_in_any_order_give_a_status(link: int, parts: list[bytes]) -> None:
    frame = bytes(12) + b"".join(parts)
    assert status(frame, link) in (IP, NOT_IP, UNDECODABLE, CUT)


def test_one_headers_frames_leave_nothing_to_the_next() -> None:
    """What a frame says of its way, its addresses and its device is forgotten with it."""
    frames = [
        (1, f.ethernet(PACKET4), (0, False, int.from_bytes(f.OUR_MAC, "big"))),
        (258, l.pktap(struct.pack("<I", 2) + PACKET4, 0, flags=2, device=24), (OUT, True, 0)),
        (101, PACKET4, (0, False, 0)),
        (239, l.nflog(PACKET4, device=1), (IN, True, 0)),
        (105, l.wifi(l.snap(PACKET4), destination=f.BROADCAST_MAC), (0, False, int.from_bytes(f.OUR_MAC, "big"))),
        (9, l.ppp(PACKET4), (0, False, 0)),
    ]
    header = Header()
    for (link, frame, evidence), (before_link, before, _) in pairwise([*frames, *frames]):
        header.attach(before + frame)
        assert header.decode(0, len(before), before_link) == IP
        assert header.decode(len(before), len(frame), link) == IP
        assert (header.link_direction, header.on_loopback(), header.source_mac()) == evidence
