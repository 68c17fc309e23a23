"""Moments are integers: nanoseconds since 1970-01-01 UTC. Text is RFC 3339 in UTC.

>>> parse_time("2026-01-05T09:00:01.000123Z")
1767603601000123000
>>> format_time(1767603601000123000)
'2026-01-05T09:00:01.000123Z'
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

SECOND = 1_000_000_000

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = 253_402_300_800  # 10000-01-01: the calendar of datetime ends here


def parse_time(text: str) -> int:
    """Nanoseconds since 1970 of an RFC 3339 time. Raises ValueError naming the text."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an RFC 3339 time such as 2026-01-05T09:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction = int((match[7] or "").ljust(9, "0"))
    try:
        zone = UTC if match[8] in "Zz" else _offset(match[8])
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    leap = 1 if second == 60 else 0
    if second > 60:
        raise ValueError(f"{text!r}: second must be in 0..60")
    delta = moment - _EPOCH
    return ((delta.days * 86400 + delta.seconds) + leap) * SECOND + fraction


def _offset(text: str) -> timezone:
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[4:6])))


_day_cache: dict[int, str] = {}


def format_time(ns: int) -> str:
    """RFC 3339 text in UTC with six decimals, or nine where the nanoseconds are not whole microseconds.

    A capture can hold any 64-bit time: one the calendar cannot name is written as `@SECONDS.FRACTION`.
    """
    seconds, fraction = divmod(ns, SECOND)
    decimals = f"{fraction // 1000:06d}" if fraction % 1000 == 0 else f"{fraction:09d}"
    if not 0 <= seconds < _LAST:
        return f"@{seconds}.{decimals}"
    day, rest = divmod(seconds, 86400)
    date = _day_cache.get(day)
    if date is None:
        if len(_day_cache) > 1000:
            _day_cache.clear()
        date = _day_cache[day] = (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%dT")
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return f"{date}{hour:02d}:{minute:02d}:{second:02d}.{decimals}Z"
