"""Values as bytes: as the model's own functions write them, compiled and interpreted."""

from __future__ import annotations

from ipaddress import IPv6Address
from types import ModuleType

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.model.address import format_address
from agent.model.moment import format_time
from agent.sinks import buffer as as_installed
from tests.sinks.interpreted import interpreted

FORMS = pytest.mark.parametrize("form", [as_installed, interpreted()["buffer"]], ids=["installed", "interpreted"])
M64 = (1 << 64) - 1
GROUPS = st.lists(st.sampled_from([0, 0, 0, 1, 0xF, 0x10, 0xFF, 0x100, 0xFFF, 0x1000, 0xFFFF]), min_size=8, max_size=8)
"""Of an IPv6 address: zeros in runs, and every number of digits."""


@FORMS
@pytest.mark.parametrize("digits", range(20))
def test_numbers_of_every_length_are_decimal(form: ModuleType, digits: int) -> None:
    """At both ends of each length, where a digit too many or too few would show."""
    numbers = [number for number in (10**digits - 1, 10**digits, 10**digits + 1, M64) if number <= M64]
    buffer = form.Buffer()
    for number in numbers:
        buffer.number(number)
        assert buffer.take() == str(number).encode()


@FORMS
@given(number=st.integers(0, M64))
def test_any_number_is_decimal(form: ModuleType, number: int) -> None:
    buffer = form.Buffer()
    buffer.put(b"<")
    buffer.number(number)
    buffer.put(b">")
    assert buffer.take() == f"<{number}>".encode()


@FORMS
@given(value=st.integers(0, 0xFFFFFFFF))
def test_ipv4_addresses_are_the_models(form: ModuleType, value: int) -> None:
    buffer = form.Buffer()
    buffer.address(4, 0, value)
    assert buffer.take().decode() == format_address(4, value)


@FORMS
def test_every_byte_of_an_ipv4_address_is_written(form: ModuleType) -> None:
    buffer = form.Buffer()
    for byte in range(256):
        value = byte << 24 | (255 - byte) << 16 | (byte ^ 0x55) << 8 | byte
        buffer.address(4, 0, value)
        assert buffer.take().decode() == format_address(4, value)


def check_ipv6(form: ModuleType, value: int) -> None:
    """Equal to the model's text, and to what the standard library reads back."""
    buffer = form.Buffer()
    buffer.address(6, value >> 64, value & M64)
    shown = buffer.take().decode()
    assert shown == format_address(6, value)
    assert int(IPv6Address(shown)) == value


@FORMS
@given(groups=GROUPS)
@example(groups=[0] * 8)
@example(groups=[0] * 5 + [0xFFFF, 0x0A00, 5])  # IPv4-mapped, which an event never has: hexadecimal as in the model
@example(groups=[0] * 6 + [0x0A00, 5])  # IPv4-compatible, likewise
@example(groups=[1, 0, 0, 1, 0, 0, 0, 0])
@example(groups=[1, 0, 0, 2, 0, 0, 3, 4])  # of equal runs the first
@example(groups=[1, 0, 2, 3, 4, 5, 6, 7])  # a single zero is no run
def test_ipv6_addresses_are_the_models(form: ModuleType, groups: list[int]) -> None:
    check_ipv6(form, int.from_bytes(b"".join(group.to_bytes(2, "big") for group in groups), "big"))


@FORMS
def test_zeros_anywhere_in_an_ipv6_address_are_the_models(form: ModuleType) -> None:
    """All 256 ways to have zero groups."""
    for mask in range(256):
        groups = [(0xA0 + place) if mask >> place & 1 else 0 for place in range(8)]
        check_ipv6(form, int.from_bytes(b"".join(group.to_bytes(2, "big") for group in groups), "big"))


@FORMS
@given(value=st.integers(0, (1 << 128) - 1) | st.integers(0, 1 << 50))
def test_any_ipv6_address_is_the_models(form: ModuleType, value: int) -> None:
    check_ipv6(form, value)


@FORMS
@given(moments=st.lists(st.integers(0, M64) | st.integers(0, 10**15), min_size=1, max_size=5))
@example(moments=[0, 86_400 * 10**9 - 1, 86_400 * 10**9, 0, M64])  # the day is remembered, and must be the right one
def test_times_are_the_models(form: ModuleType, moments: list[int]) -> None:
    buffer = form.Buffer()
    for ns in moments:
        for moment in (ns, ns // 1000 * 1000):
            buffer.time(moment)
            assert buffer.take().decode() == format_time(moment)


@FORMS
def test_growing_keeps_what_is_there(form: ModuleType) -> None:
    """Past the first room at every kind of value: each must ask for its room itself."""
    buffer, expected = form.Buffer(), []
    longest = format_address(6, M64 << 64 | M64) + format_time(M64)
    for number in range(5_000):
        buffer.put(b"-" * (number % 7))
        buffer.number(number)
        buffer.address(4, 0, number)
        buffer.address(6, M64, M64)
        buffer.time(M64)
        expected.append("-" * (number % 7) + f"{number}{format_address(4, number)}" + longest)
    assert bytes(buffer.view()) == "".join(expected).encode()


@FORMS
def test_one_value_larger_than_twice_the_room_fits(form: ModuleType) -> None:
    buffer = form.Buffer()
    buffer.put(b"a")
    buffer.put(b"b" * 1_000_000)
    buffer.put(b"c")
    assert buffer.take() == b"a" + b"b" * 1_000_000 + b"c"
    assert buffer.take() == b""


@FORMS
def test_what_is_cut_off_is_gone(form: ModuleType) -> None:
    buffer = form.Buffer()
    buffer.put(b"kept, not kept")
    buffer.cut(4)
    buffer.cut(100)
    buffer.put(b".")
    assert buffer.take() == b"kept."
