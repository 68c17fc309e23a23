"""Addresses and endpoints: one canonical form, one spelling."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.address import Address, _format_ipv6, format_address, parse_address, parse_endpoint

GROUPS = st.lists(st.sampled_from([0, 0, 1, 0xFFFF, 0xABC]), min_size=8, max_size=8)


@given(GROUPS)
def test_ipv6_is_spelled_as_rfc_5952_has_it(groups: list[int]) -> None:
    """Both ways of formatting agree with each other and with the standard library."""
    value = int("".join(f"{group:04x}" for group in groups), 16)
    text = format_address(6, value)
    assert text == _format_ipv6(value)
    if value >> 32 not in (0, 0xFFFF):
        assert text == ipaddress.IPv6Address(value).compressed


@given(st.integers(0, (1 << 32) - 1))
def test_ipv4_survives_the_way_to_text_and_back(value: int) -> None:
    assert parse_address(format_address(4, value)) == Address(4, value)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("::ffff:10.0.0.5", "10.0.0.5"), ("fe80::5%eth0", "fe80::5"), ("2001:DB8::0:5", "2001:db8::5")],
)
def test_one_address_has_one_form(text: str, canonical: str) -> None:
    assert str(parse_address(text)) == canonical


@pytest.mark.parametrize("text", ["", "10.0.0", "10.0.0.256", "010.0.0.1", "1.2.3.4/24", "::g", "1:2:3:4:5:6:7:8:9"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not an IPv4 or IPv6 address"):
        parse_address(text)


@pytest.mark.parametrize("text", ["10.0.0.5:443", "[2001:db8::5]:443", "0.0.0.0:53", "[::]:53"])
def test_endpoints_survive_the_way_to_text_and_back(text: str) -> None:
    assert str(parse_endpoint(text)) == text


@pytest.mark.parametrize("text", ["10.0.0.5", "10.0.0.5:65536", "2001:db8::5:443", "10.0.0.5:-1", "[::1]"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_endpoint(text)
