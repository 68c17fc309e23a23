"""Reads the small languages of options: WHEN, on|off, 2x, FAULT=N.

Knows their spelling. Must not know what they are for. Every error names the option and what it takes.

    >>> parse_when("--isolate-at", "1.5")
    When(ns=1500000000, absolute=False)
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent.model.errors import UsageError
from agent.model.moment import SECOND, parse_time
from agent.replay.options import When

_SECONDS = re.compile(r"(\d{1,10})(?:\.(\d{1,9}))?", re.ASCII)
_FACTOR = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)x", re.ASCII)
_FAULT = re.compile(r"([a-z_]+)=(\d{1,12})", re.ASCII)


def parse_when(option: str, text: str | None) -> When | None:
    """Seconds from the first packet, or an RFC 3339 time."""
    if text is None:
        return None
    if match := _SECONDS.fullmatch(text):
        return When(ns=int(match[1]) * SECOND + int((match[2] or "").ljust(9, "0")), absolute=False)
    try:
        return When(ns=parse_time(text), absolute=True)
    except ValueError as error:
        seconds = "seconds from the first packet such as 90 or 1.5"
        raise UsageError(f"{option}: {error}, and not {seconds}") from None


def parse_switch(option: str, text: str | None) -> bool | None:
    """`on` or `off`."""
    if text is None or text in ("on", "off"):
        return None if text is None else text == "on"
    raise UsageError(f"{option}: {text!r} is neither on nor off")


def parse_speed(option: str, text: str) -> float | None:
    """`max` (None), `real` (1.0) or a factor such as 2x."""
    if text == "max":
        return None
    if text == "real":
        return 1.0
    match = _FACTOR.fullmatch(text)
    if match is None or float(match[1]) == 0:
        raise UsageError(f"{option}: {text!r} is not max, real or a factor above 0 such as 2x")
    return float(match[1])


def parse_faults(option: str, texts: Iterable[str]) -> dict[str, int]:
    """FAULT=N, each fault once. The run knows which faults there are."""
    faults: dict[str, int] = {}
    for text in texts:
        match = _FAULT.fullmatch(text)
        if match is None:
            raise UsageError(f"{option}: {text!r} is not FAULT=N such as flow_table_full=1000")
        if match[1] in faults:
            raise UsageError(f"{option}: {match[1]} is given twice")
        faults[match[1]] = int(match[2])
    return faults
