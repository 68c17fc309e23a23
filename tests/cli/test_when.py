"""The small languages of options."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.cli.when import parse_faults, parse_speed, parse_switch, parse_when
from agent.model.errors import UsageError
from agent.model.moment import parse_time
from agent.replay.options import When


@pytest.mark.parametrize(
    ("text", "ns"),
    [("0", 0), ("90", 90_000_000_000), ("1.5", 1_500_000_000), ("0.000000001", 1)],
)
def test_seconds_count_from_the_first_packet(text: str, ns: int) -> None:
    when = parse_when("--isolate-at", text)
    assert when == When(ns=ns, absolute=False)
    assert when.resolve(1000) == 1000 + ns


def test_an_rfc_3339_time_is_absolute() -> None:
    text = "2026-01-05T10:00:00+01:00"
    when = parse_when("--from", text)
    assert when == When(ns=parse_time(text), absolute=True)
    assert when.resolve(1000) == parse_time("2026-01-05T09:00:00Z")


def test_an_option_that_is_not_given_is_none() -> None:
    assert parse_when("--to", None) is None
    assert parse_switch("--exclusions", None) is None


@given(st.integers(0, 10**10 - 1), st.integers(0, 10**9 - 1))
def test_no_nanosecond_is_lost(seconds: int, fraction: int) -> None:
    """Decimal digits, never a binary fraction."""
    when = parse_when("--to", f"{seconds}.{fraction:09d}")
    assert when is not None
    assert when.ns == seconds * 10**9 + fraction


def test_speeds() -> None:
    assert parse_speed("--speed", "max") is None
    assert parse_speed("--speed", "real") == 1.0
    assert parse_speed("--speed", "2.5x") == 2.5


def test_faults() -> None:
    assert parse_faults("--simulate", ["flow_table_full=5", "queue_overflow=1"]) == {
        "flow_table_full": 5,
        "queue_overflow": 1,
    }


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *[pytest.param(parse_when, text, id=f"when-{text}") for text in ("-1", "1e3", "soon", "", "1.", "2026-01-05")],
        *[pytest.param(parse_switch, text, id=f"switch-{text}") for text in ("yes", "ON", "")],
        *[pytest.param(parse_speed, text, id=f"speed-{text}") for text in ("0x", "2", "fast", "-1x", "x")],
        *[
            pytest.param(lambda option, text: parse_faults(option, [text]), text, id=f"fault-{text}")
            for text in ("flow_table_full", "=5", "a=-1", "a=b")
        ],
        pytest.param(lambda option, _: parse_faults(option, ["a=1", "a=2"]), "", id="fault-twice"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_options_name(parse: Callable[[str, str], object], text: str) -> None:
    with pytest.raises(UsageError, match=r"^--option: "):
        parse("--option", text)
