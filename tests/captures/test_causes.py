"""Each cause is granted for a packet that shows it, and not for one that does not: an excuse needs its proof."""

from __future__ import annotations

import pytest

from tests.captures.causes import CAUSES, MAX_EXTENSIONS, MAX_TAGS, Causes
from tests.captures.tshark import Row, View
from tests.captures.tuples import folded
from tests.support.frames import (
    DESTINATION,
    FRAGMENT,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    authentication,
    ethernet,
    extension,
    fragment6,
    icmp,
    ipv4,
    ipv6,
    sctp,
    tcp,
    udp,
)

A, B = "10.0.0.5", "203.0.113.9"
A6, B6 = "2001:db8::5", "2001:db8::9"


def row(
    frame: bytes,
    *,
    stack: str = "",
    cut: int = 0,
    later: bool = False,
    orphan: bool = False,
    datagram: str = "",
    source: str = "",
) -> Row:
    """A packet between A and B as tshark would show it; `cut`: bytes that were on the wire and not captured."""
    six = frame[12:14] == b"\x86\xdd"
    ends = (source or (A6 if six else A)), (B6 if six else B)
    flow = folded(TCP, (ends[0], 50000), (ends[1], 443))
    stack = stack or ("eth:ethertype:ipv6" if six else "eth:ethertype:ip")
    view = View(packet=True, stack=stack, flow=flow, source=ends[0], destination=ends[1], later=later)
    key = (*ends, datagram) if datagram else None
    return Row(1, len(frame) + cut, len(frame), "", 0, view, flow, orphan, key)


def proven(frame: bytes, *, reason: str = "undecodable", refused: bool = False, **facts: object) -> str | None:
    return Causes().proven(reason, row(frame, **facts), frame, refused)  # type: ignore[arg-type]  # forwarded as given


def frame4(payload: bytes, protocol: int = TCP, **claims: int) -> bytes:
    return ethernet(ipv4(A, B, payload, protocol, **claims))  # type: ignore[arg-type]  # none of them is a flag


def frame6(payload: bytes, following: int = TCP, **claims: int) -> bytes:
    return ethernet(ipv6(A6, B6, payload, following, **claims))


WHOLE = tcp(50000, 443)


@pytest.mark.parametrize(
    ("frame", "kept"),
    [
        pytest.param(frame4(WHOLE), 53, id="tcp"),
        pytest.param(frame6(WHOLE), 73, id="tcp-ipv6"),
        pytest.param(frame4(udp(1, 2), UDP), 41, id="udp"),
        pytest.param(frame4(sctp(1, 2), SCTP), 45, id="sctp"),
        pytest.param(frame4(icmp(8), 1), 41, id="icmp"),
        pytest.param(frame6(icmp(128), ICMPV6), 61, id="icmpv6-echo"),
        pytest.param(frame6(extension(TCP, 16) + WHOLE, DESTINATION), 65, id="extension"),
        pytest.param(frame6(authentication(TCP, 24) + WHOLE, 51), 90, id="authentication"),
    ],
)
def test_a_cut_header_is_proven_by_bytes_that_were_on_the_wire_and_are_not_there(frame: bytes, kept: int) -> None:
    """In a record that claims to be whole it is the frame that is short; and headers that are there prove nothing."""
    assert proven(frame[:kept], cut=len(frame) - kept) == "cut_header"
    assert proven(frame[:kept]) == "short_packet"
    assert proven(frame, cut=100) is None


def test_one_byte_decides_between_a_cut_header_and_a_whole_one() -> None:
    frame = frame4(WHOLE + b"data")
    assert proven(frame[:53], cut=len(frame) - 53) == "cut_header"
    assert proven(frame[:54], cut=len(frame) - 54) is None


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        pytest.param(frame4(WHOLE[:19]), "short_packet", id="tcp"),
        pytest.param(frame4(WHOLE, total=39), "short_packet", id="tcp-by-its-length"),
        pytest.param(frame4(WHOLE, total=40), None, id="tcp-exact"),
        pytest.param(frame6(WHOLE, length=19), "short_packet", id="tcp-ipv6"),
        pytest.param(frame4(udp(1, 2)[:7], UDP), "short_packet", id="udp"),
        pytest.param(frame4(icmp(3)[:7], 1), "short_packet", id="icmp"),
        pytest.param(frame6(icmp(1)[:4], ICMPV6), None, id="icmpv6-error"),
        pytest.param(frame6(icmp(129)[:4], ICMPV6), "short_packet", id="icmpv6-echo"),
        pytest.param(frame6(extension(TCP), DESTINATION, length=7), "short_packet", id="extension"),
        pytest.param(frame4(b"", 50), None, id="no-header-needed"),
        pytest.param(frame4(b"", ICMPV6), None, id="not-of-this-version"),
    ],
)
def test_a_short_packet_is_proven_by_its_own_length(frame: bytes, cause: str | None) -> None:
    assert proven(frame) == cause


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        pytest.param(frame4(tcp(1, 2, header=16)), "impossible_length", id="tcp-offset-below-5"),
        pytest.param(frame4(tcp(1, 2, header=24)), "impossible_length", id="tcp-offset-past-the-end"),
        pytest.param(frame4(tcp(1, 2, b"data", header=24)), None, id="tcp-offset-at-the-end"),
        pytest.param(frame4(udp(1, 2, length=7), UDP), "impossible_length", id="udp-below-8"),
        pytest.param(frame4(udp(1, 2, length=9), UDP), "impossible_length", id="udp-past-the-end"),
        pytest.param(frame4(udp(1, 2, length=0), UDP), None, id="udp-zero"),
        pytest.param(frame4(udp(1, 2, b"x", length=8), UDP), None, id="udp-shorter"),
        pytest.param(frame4(udp(1, 2, length=500), UDP, more=True), None, id="udp-first-fragment"),
        pytest.param(frame4(WHOLE, header=16), "impossible_length", id="ip-header-below-20"),
        pytest.param(frame4(WHOLE, total=19), "impossible_length", id="ip-total-below-its-header"),
        pytest.param(frame4(WHOLE, total=0), None, id="ip-total-zero"),
    ],
)
def test_an_impossible_length_is_proven_by_the_header_that_claims_it(frame: bytes, cause: str | None) -> None:
    assert proven(frame) == cause


def test_a_long_chain_is_proven_by_its_headers() -> None:
    """More tags or extensions than are followed, or a second fragment header; as many as are followed is none."""
    most = frame6(extension(DESTINATION) * (MAX_EXTENSIONS - 1) + extension(TCP) + WHOLE, DESTINATION)
    longer = frame6(extension(DESTINATION) * MAX_EXTENSIONS + extension(TCP) + WHOLE, DESTINATION)
    assert (proven(most), proven(longer)) == (None, "long_chain")
    once = frame6(fragment6(TCP, more=True) + WHOLE, FRAGMENT)
    twice = frame6(fragment6(FRAGMENT, more=True) + fragment6(TCP, more=True) + WHOLE, FRAGMENT)
    assert (proven(once), proven(twice)) == (None, "long_chain")
    tags = [":".join(["eth", *["vlan"] * number, "ip"]) for number in (MAX_TAGS, MAX_TAGS + 1)]
    assert [proven(frame4(WHOLE), stack=stack) for stack in tags] == [None, "long_chain"]


@pytest.mark.parametrize(
    "stack", ["eth:ethertype:ip:ipv6", "eth:llc:ip:ipv6", "ppp:ip:ipv6", "null:ip:ipv6", "ip:ipv6"]
)
def test_another_version_is_proven_by_a_link_that_announces_ipv4(stack: str) -> None:
    assert proven(frame6(WHOLE), stack=stack) == "version_mismatch"
    assert proven(frame6(WHOLE), stack=stack.replace("ip:ipv6", "ipv6")) is None


def test_nflog_announces_a_version_in_its_own_header() -> None:
    """tshark shows the same layers for either family."""
    for family, cause in ((2, "version_mismatch"), (10, None)):
        frame = frame6(WHOLE)
        whole = row(frame, stack="nflog:ip:ipv6")
        assert Causes().proven("undecodable", whole, bytes([family]) + frame, False) == cause


def test_an_orphan_is_proven_by_the_absence_of_its_first_fragment() -> None:
    """Or by a first that has no flow itself; and only where fragments are what we say."""
    later = frame4(b"x" * 8, offset=1480)
    assert proven(later, reason="fragment", later=True, orphan=True, datagram="1") == "orphan_fragment"
    assert proven(later, reason="fragment", later=True, datagram="1") is None
    assert proven(later, reason="undecodable", later=True, orphan=True, datagram="1") is None
    causes, first = Causes(), frame4(WHOLE[:16], more=True)
    assert causes.proven("undecodable", row(first, datagram="1"), first, False) == "short_packet"
    assert causes.proven("fragment", row(later, later=True, datagram="1"), later, False) == "orphan_fragment"
    assert causes.proven("fragment", row(later, later=True, datagram="2"), later, False) is None
    whole = frame4(WHOLE + b"data", more=True)
    causes.note(row(whole, datagram="1"), whole)
    assert causes.proven("fragment", row(later, later=True, datagram="1"), later, False) is None


def pieces(*places: tuple[int, int], six: bool) -> list[bool]:
    """What note() says of fragments of one datagram, given as places and sizes; the first is UDP."""
    causes, found = Causes(), []
    for place, size in places:
        payload = (udp(1, 2) if place == 0 else b"").ljust(size, b"x")
        if six:
            frame = frame6(fragment6(UDP, offset=place, more=True) + payload, FRAGMENT)
        else:
            frame = ethernet(ipv4(A, B, payload, UDP, offset=place, more=True))
        found.append(causes.note(row(frame, datagram="1", later=place > 0), frame))
    return found


def test_a_refused_fragment_is_proven_by_the_places_of_the_others() -> None:
    """Overlaps of IPv6 (RFC 5722); of either version a piece inside the transport header. A copy overlaps nothing."""
    assert pieces((0, 64), (64, 64), (128, 64), six=True) == [False] * 3
    assert pieces((0, 64), (64, 64), (64, 64), six=True) == [False] * 3
    assert pieces((0, 64), (56, 64), (128, 64), six=True) == [False, True, True]
    assert pieces((0, 64), (56, 64), six=False) == [False, False]
    later = frame4(b"x" * 8, offset=8)
    assert proven(later, reason="fragment", refused=True, later=True, datagram="1") == "refused_fragment"
    assert proven(later, reason="undecodable", refused=True, later=True, datagram="1") is None


def test_a_piece_inside_the_transport_header_is_refused() -> None:
    causes = Causes()
    first = ethernet(ipv4(A, B, WHOLE + b"data", TCP, more=True))
    inside, behind = (ethernet(ipv4(A, B, b"x" * 8, TCP, offset=place)) for place in (16, 24))
    assert causes.note(row(first, datagram="1"), first) is False
    assert causes.note(row(inside, datagram="1", later=True), inside) is True
    assert causes.note(row(behind, datagram="1", later=True), behind) is False


def test_a_martian_is_proven_by_its_source() -> None:
    loop, plain = (ethernet(ipv4(source, B, WHOLE)) for source in ("127.0.0.1", A))
    assert proven(loop, reason="martian", source="127.0.0.1") == "martian"
    assert proven(plain, reason="martian") is None


@pytest.mark.parametrize("reason", ["link", "fragment", "martian", "policy_error", "flow_table_full", "undecodable"])
def test_a_sound_packet_without_a_flow_has_no_excuse(reason: str) -> None:
    assert proven(frame4(WHOLE), reason=reason) is None
    assert proven(frame6(WHOLE), reason=reason) is None


def test_a_packet_whose_addresses_are_not_in_the_frame_proves_nothing() -> None:
    """What tshark shows must be there to be looked at."""
    frame = frame4(WHOLE[:10])
    assert proven(frame) == "short_packet"
    assert proven(frame, source="192.0.2.77") is None


def test_every_cause_is_one_line() -> None:
    assert all(text and "\n" not in text and len(text) < 100 for text in CAUSES.values())
