"""Texts of logs as values: every spelling that is used, and nothing guessed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.attribution.logs.reading import Ends, Times, is_own, nanoseconds, pid_of, port_of, text_of
from agent.model.address import parse_endpoint
from agent.model.moment import format_time, parse_time


@given(st.integers(0, 253_402_300_799), st.integers(0, 999_999_999), st.integers(0, 9))
def test_times_are_those_of_parse_time(seconds: int, fraction: int, digits: int) -> None:
    text = format_time(seconds * 1_000_000_000)[:19] + (f".{fraction:09d}"[: digits + 1] if digits else "")
    expected = parse_time(text + "Z")
    times = Times()
    for spelling in (text + "Z", text, text.replace("T", " ") + "Z", text + "+00:00", text + "Z"):
        assert times.parse(spelling) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        [],
        "",
        "x" * 5000,
        "2026-01-05",
        "2026-01-05T09:00",
        "2026-13-05T09:00:00Z",
        "2026-02-30T09:00:00Z",
        "2026-01-05T24:00:00Z",
        "2026-01-05T09:60:00",
        "2026-01-05T09:00:61",
        "2026-01-05T09:00:00.Z",
        "2026-01-05T09:00:00.1234567890",
        "2026-01-05x09:00:00",
        "2026-01-05T09.00.00",
        "2026-01-05T-9:00:00",
        "2026-01-05T+9:00:00Z",
        "2026-01-05T0\u0661:00:00",
        "2026-01-05T09:00:00 AM",
        "0000-01-05T09:00:00",
    ],
)
def test_what_is_no_time_is_named(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is no time|is not an RFC 3339 time|in 0\.\.|out of range|must be in"):
        Times().parse(value)


def test_a_leap_second_is_the_next_minutes_first() -> None:
    assert Times().parse("2016-12-31T23:59:60Z") == parse_time("2017-01-01T00:00:00Z")


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [
        ("10.0.0.5", 443, "10.0.0.5:443"),
        ("10.0.0.5", "443", "10.0.0.5:443"),
        ("::ffff:10.0.0.5", "0", "10.0.0.5:0"),
        ("fe80::5%eth0", 1, "[fe80::5]:1"),
        ("0.0.0.0", 53, "0.0.0.0:53"),
        ("::", 53, "[::]:53"),
        ("10.0.0.5", "443.0", "10.0.0.5:443"),
    ],
)
def test_endpoints(address: str, port: Any, expected: str) -> None:
    ends = Ends()
    assert ends.endpoint(address, port) == parse_endpoint(expected)
    assert ends.endpoint(address, port) is ends.endpoint(address, port)


@pytest.mark.parametrize(
    ("address", "port"),
    [
        (None, 1),
        ("", 1),
        ("host", 1),
        (5, 1),
        ([], 1),
        ({}, {}),
        ("10.0.0.5", -1),
        ("10.0.0.5", 65536),
        ("10.0.0.5", "http"),
        ("10.0.0.5", None),
        ("10.0.0.5", True),
        ("10.0.0.5", 1.5),
        ("10.0.0.5", "\u0661"),
        ("10.0.0.5", []),
        ("10.0.0.5\0", 1),
        ("1" * 5000, 1),
    ],
)
def test_what_is_no_endpoint_is_an_error(address: Any, port: Any) -> None:
    with pytest.raises(ValueError, match=r"^.{1,70} (is no|is not) "):
        Ends().endpoint(address, port)


@pytest.mark.parametrize(
    ("value", "number"),
    [("TCP", 6), ("UdpV6", 17), (6, 6), ("17", 17), ("ICMPv6", 58), ("icmp", 1), ("2", 2), (255, 255)],
)
def test_protocols(value: Any, number: int) -> None:
    assert Ends.protocol(value) == number


@pytest.mark.parametrize("value", ["", "tpc", 256, -1, None, [], "1e1", 1.5])
def test_what_is_no_protocol_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="is no protocol"):
        Ends.protocol(value)


@pytest.mark.parametrize(
    ("value", "pid"), [(None, None), ("", None), ("-", None), (0, None), ("0", None), ("42", 42), (42.0, 42)]
)
def test_pids(value: Any, pid: int | None) -> None:
    """0 owns nothing: it stands for unknown, in every format."""
    assert pid_of(value) == pid


@pytest.mark.parametrize("value", [-1, "x", 1 << 32, True, [], "1 "])
def test_what_is_no_pid_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="is no pid"):
        pid_of(value)


def test_ports_texts_and_seconds() -> None:
    assert (port_of("0"), port_of(65535)) == (0, 65535)
    assert (text_of(""), text_of(None), text_of("a")) == (None, None, "a")
    assert nanoseconds(1767603600.123456) == 1_767_603_600_123_456_000
    for wrong in (float("nan"), float("inf"), -1.0, 1e300):
        with pytest.raises(ValueError, match="is no time"):
            nanoseconds(wrong)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        ("10.0.0.5:1", True),
        ("[fe80::5]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("127.3.2.1:1", False),
        ("[::1]:1", False),
        ("224.0.0.251:1", False),
        ("255.255.255.255:1", False),
        ("[ff02::fb]:1", False),
    ],
)
def test_addresses_that_only_one_host_has(text: str, own: bool) -> None:
    assert is_own(parse_endpoint(text)) == own
    assert not is_own(None)
