"""Reads the usual command line of `replay` without typer, whose import and parsing take longer than a small replay.

Knows how the options of replay.py are spelled that can be read without a doubt; the tests hold it against typer. Must
not know what is wrong with a line: whatever it is not sure of, help and every mistake among it, is typer's.

    >>> replay_line(["day.pcap", "--mode", "full", "--merge"])
    {'captures': ['day.pcap'], 'mode': <Mode.FULL: 'full'>, 'merge': True}
    >>> replay_line(["day.pcap", "--mode=full"])
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.model.vocabulary import Mode

TEXTS: Final[Mapping[str, str]] = {
    "--rules": "rules",
    "--exclusions": "exclusions",
    "--device": "device",
    "--names": "names",
    "--attribution-format": "attribution_format",
    "--cloud-channel": "cloud_channel",
    "--isolate-at": "isolate_at",
    "--release-at": "release_at",
    "--from": "time_from",
    "--to": "time_to",
    "--compare": "compare",
    "--decisions": "decisions",
    "--events": "events",
    "--format": "format_name",
    "--allowed": "allowed",
    "--denied": "denied",
    "--summary-json": "summary_json",
    "--speed": "speed",
}
"""Options that take one text, with the parameters they set; given twice, typer decides."""
LISTS: Final[Mapping[str, str]] = {
    "--local": "local",
    "--attribution": "attribution",
    "--simulate": "simulate",
    "--set": "settings",
}
"""Those that may be repeated."""
FLAGS: Final[Mapping[str, tuple[str, bool]]] = {
    "--no-exclusions": ("no_exclusions", True),
    "--summary-timing": ("summary_timing", True),
    "--merge": ("merge", True),
    "--fail-on-deny": ("fail_on_deny", True),
    "--progress": ("progress", True),
    "--no-progress": ("progress", False),
}
_MODES = {mode.value: mode for mode in Mode}


def replay_line(arguments: Sequence[str]) -> dict[str, Any] | None:
    """What replay.command is called with; None if it is for typer to say."""
    captures: list[str] = []
    given: dict[str, Any] = {"captures": captures}
    left = iter(arguments)
    for word in left:
        if word == "-" or not word.startswith("-"):
            captures.append(word)
        elif word in FLAGS:
            parameter, value = FLAGS[word]
            if given.setdefault(parameter, value) is not value:
                return None
        elif not _take(given, word, next(left, "")):
            return None
    return given if captures and all(captures) else None


def _take(given: dict[str, Any], option: str, value: str) -> bool:
    """Sets what `option` with `value` sets; False if that is in doubt."""
    if not value or (value.startswith("-") and value != "-"):
        return False
    if option in LISTS:
        given.setdefault(LISTS[option], []).append(value)
        return True
    parameter: str = "mode" if option == "--mode" else TEXTS.get(option, "")
    if not parameter or parameter in given or (option == "--mode" and value not in _MODES):
        return False
    given[parameter] = _MODES[value] if option == "--mode" else value
    return True
