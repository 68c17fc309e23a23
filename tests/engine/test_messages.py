"""DHCP messages, as far as a packet filter reads them; none raises."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.engine.messages import Dhcp, parse_dhcp4, parse_dhcp6
from agent.model.address import parse_address
from tests.support import dns

RESOLVERS = ("10.0.0.1", "10.0.0.2")
ADDRESSES = tuple(parse_address(text) for text in RESOLVERS)


def test_who_sends_and_who_confirms() -> None:
    assert parse_dhcp4(dns.dhcp4(1, 0xDEADBEEF)) == Dhcp(0xDEADBEEF, False, False, ())
    assert parse_dhcp4(dns.dhcp4(2, 7, reply=True)) == Dhcp(7, True, False, ())
    assert parse_dhcp4(dns.dhcp4(5, 7, reply=True, resolvers=RESOLVERS)) == Dhcp(7, True, True, ADDRESSES)


def test_a_client_that_says_ack_confirms_nothing() -> None:
    parsed = parse_dhcp4(dns.dhcp4(5, 7, resolvers=RESOLVERS))
    assert parsed is not None
    assert not parsed.confirms


def test_dhcpv6_messages_by_their_type() -> None:
    for kind in (1, 3, 4, 5, 6, 8, 9, 11):
        assert parse_dhcp6(dns.dhcp6(kind, 0xABCDEF)) == Dhcp(0xABCDEF, False, False, ())
    for kind in (2, 10):
        assert parse_dhcp6(dns.dhcp6(kind, 7)) == Dhcp(7, True, False, ())
    six = (parse_address("2001:db8::1"),)
    assert parse_dhcp6(dns.dhcp6(7, 7, resolvers=("2001:db8::1",))) == Dhcp(7, True, True, six)


def test_relays_are_nobodys_client() -> None:
    for kind in (0, 12, 13, 14, 255):
        assert parse_dhcp6(bytes([kind]) + bytes(30)) is None


def test_padding_and_the_end_option_are_no_options() -> None:
    message = dns.dhcp4(1, 7)
    assert parse_dhcp4(message[:240] + b"\0\0\0" + message[240:]) == parse_dhcp4(message)
    behind = message + bytes([6, 4]) + parse_address("10.0.0.66").packed
    assert parse_dhcp4(behind) == parse_dhcp4(message)


def test_options_that_lie_about_their_length_end_the_reading() -> None:
    message = dns.dhcp4(5, 7, reply=True)[:-1]
    assert parse_dhcp4(message + bytes([6, 200, 1, 2, 3, 4])) == Dhcp(7, True, True, ())
    assert parse_dhcp4(message + bytes([6])) == Dhcp(7, True, True, ())
    assert parse_dhcp4(message + bytes([6, 5, 1, 2, 3, 4, 5])) == Dhcp(7, True, True, ())
    assert parse_dhcp6(dns.dhcp6(7, 7) + b"\0\x17\0\x20abc") == Dhcp(7, True, True, ())


def test_options_stand_in_any_order() -> None:
    resolvers = dns.dhcp6(7, 7, resolvers=("2001:db8::1",))[4:]
    others = b"\0\1\0\x03abc" + b"\0\2\0\0"
    for message in (dns.dhcp6(7, 7) + others + resolvers, dns.dhcp6(7, 7) + resolvers + others):
        assert parse_dhcp6(message) == Dhcp(7, True, True, (parse_address("2001:db8::1"),))
    message = dns.dhcp4(5, 7, reply=True)[:240] + bytes([12, 3]) + b"abc" + bytes([6, 4, 10, 0, 0, 1, 53, 1, 5, 255])
    assert parse_dhcp4(message) == Dhcp(7, True, True, ADDRESSES[:1])


def test_what_is_no_dhcp_is_nothing() -> None:
    message = dns.dhcp4(1, 7)
    for wrong in (b"", message[:239], b"\3" + message[1:], message[:236] + b"cook" + message[240:]):
        assert parse_dhcp4(wrong) is None
    assert parse_dhcp6(b"\1\0\0") is None


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_are_survived(tail: bytes, framed: bool) -> None:
    message = (dns.dhcp4(5, 7, reply=True)[:240] if framed else b"") + tail
    for parsed in (parse_dhcp4(message), parse_dhcp6(message)):
        assert parsed is None or 0 <= parsed.transaction < 1 << 32
