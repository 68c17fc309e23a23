"""Moments: nanoseconds to text and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.moment import format_time, parse_time


@given(st.integers(0, 253_402_300_799 * 10**9))
def test_a_moment_survives_the_way_to_text_and_back(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-05T09:00:01.000123Z", 1_767_603_601_000_123_000),
        ("2026-01-05T10:00:01.000123+01:00", 1_767_603_601_000_123_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
    ],
)
def test_rfc_3339_is_read(text: str, ns: int) -> None:
    assert parse_time(text) == ns


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-05", "2026-13-05T00:00:00Z", "2026-01-05T09:00:61Z"])
def test_what_is_no_time_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=text or "is not an RFC 3339"):
        parse_time(text)


def test_a_time_the_calendar_cannot_name_is_still_text() -> None:
    """A capture can hold any 64-bit time; formatting one never raises."""
    assert format_time(1 << 70).startswith("@")
    assert format_time(1_500_000_001) == "1970-01-01T00:00:01.500000001Z"
