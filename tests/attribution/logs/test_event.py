"""Times, numbers and texts as the writers of Windows' events spell them."""

from __future__ import annotations

import pytest

from agent.attribution.logs.event import SECURITY, SYSMON, Clock, Pool, pid_of, source_of, text, whole_number
from agent.model.address import parse_endpoint
from agent.model.moment import parse_time


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-01-05 09:00:01.250", "2026-01-05T09:00:01.25Z"),
        ("2026-01-05T09:00:01.1234567Z", "2026-01-05T09:00:01.1234567Z"),
        ("2026-01-05T09:00:01.399931000Z", "2026-01-05T09:00:01.399931Z"),
        ("2026-01-05T09:00:01.1234567891Z", "2026-01-05T09:00:01.123456789Z"),
        ("2026-01-05 04:00:01", "2026-01-05T04:00:01Z"),
        ("2026-01-05T04:00:01.5-05:00", "2026-01-05T09:00:01.5Z"),
    ],
)
def test_every_spelling_of_a_time_is_read(written: str, meant: str) -> None:
    clock = Clock()
    assert clock.ns(written) == parse_time(meant)
    assert clock.ns(written) == parse_time(meant)  # once more, now that it is known
    assert clock.ns("2026-01-05 09:00:01.250") == parse_time("2026-01-05T09:00:01.25Z")


@pytest.mark.parametrize("written", [None, "", "-", "now", "2026-01-05", "2026-02-30 00:00:00", "5.1.2026 09:00:00"])
def test_what_is_no_time_is_named(written: str | None) -> None:
    with pytest.raises(ValueError, match=r"^the time |^'2026-02-30"):
        Clock().ns(written)


def test_the_clock_remembers_a_bounded_number_of_times() -> None:
    clock = Clock()
    for n in range(20_000):
        clock.ns(f"2026-01-05 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}.{n % 1000:03}")
    assert max(len(cache) for cache in vars(clock).values()) <= 4096
    assert clock.ns("2026-01-05 00:00:00.000") == parse_time("2026-01-05T00:00:00Z")


@pytest.mark.parametrize(
    ("value", "number"),
    [("980", 980), (980, 980), ("0x3d4", 980), ("0X3D4", 980), ("0", 0)]
    + [(value, None) for value in ("", "-", "x", "0x", "0xg", "-1", "٣", "9" * 5000, None, True, 1.5, [], {})],
)
def test_numbers_are_decimal_or_hexadecimal(value: object, number: int | None) -> None:
    assert whole_number(value) == number


@pytest.mark.parametrize("value", ["0", 0, "0x0", "-", None, -5, 1 << 32, True])
def test_nobody_is_no_pid(value: object) -> None:
    """Pid 0 stands for a process that is not known; a truth value is not pid 1."""
    assert pid_of(value) is None


@pytest.mark.parametrize(
    ("value", "meant"),
    [("a", "a"), (5, "5"), (True, "true"), (False, "false")]
    + [(value, None) for value in ("", "-", None, 1.5, [], {})],
)
def test_a_dash_is_nothing(value: object, meant: str | None) -> None:
    assert text(value) == meant


@pytest.mark.parametrize(
    ("provider", "channel", "number", "source"),
    [
        ("Microsoft-Windows-Sysmon", "", 3, SYSMON),
        ("Linux-Sysmon", "", 22, SYSMON),
        ("microsoft-windows-sysmon", "", 4, None),
        ("", "Microsoft-Windows-Sysmon/Operational", 1, SYSMON),
        ("", "security", 5156, SECURITY),
        ("Microsoft-Windows-Security-Auditing", "Security", 5152, None),
        ("Microsoft-Windows-Security-Auditing", "Security", 3, None),
        ("Somebody", "Security", 5156, None),
    ],
)
def test_the_provider_says_whose_number_it_is(provider: str, channel: str, number: int, source: str | None) -> None:
    assert source_of(provider, channel, number) == source


@pytest.mark.parametrize(
    ("address", "port", "endpoint"),
    [
        ("10.0.0.5", "443", "10.0.0.5:443"),
        ("10.0.0.5", 443, "10.0.0.5:443"),
        ("0:0:0:0:0:0:0:1", "389", "[::1]:389"),
        ("0:0:0:0:0:ffff:aa0:29a5", "8081", "10.160.41.165:8081"),
        ("fe80::1%12", "546", "[fe80::1]:546"),
        ("0.0.0.0", "53", "0.0.0.0:53"),
        ("0:0:0:0:0:0:0:0", "53", "[::]:53"),
    ],
)
def test_every_spelling_of_an_address_is_read(address: str, port: object, endpoint: str) -> None:
    assert Pool().endpoint("source", address, port) == parse_endpoint(endpoint)
