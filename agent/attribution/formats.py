"""Opens a file that says who owned the sockets, whatever its format: told by content, or named.

Knows which formats exist and how each begins. Must not know what they hold.

    source = open_source("sockets.jsonl.zst", device=device)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent.attribution.chain import Source
from agent.attribution.textfile import TextFile
from agent.model.device import Device
from agent.model.errors import AttributionError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format of recorded attribution."""

    name: str
    """What --attribution-format calls it."""
    meaning: str
    """For messages: how to tell it."""
    recognises: Callable[[TextFile], bool]
    """By the beginning of the file; takes nothing from it."""
    load: Callable[[TextFile, Device, int | None], Source]
    """(file, device it was recorded on, slack in ns or None for the default)."""


def _is_sockets(file: TextFile) -> bool:
    """Two of the three mandatory keys: a record that lacks one gets the loader's message, which is more exact."""
    import orjson

    from agent.attribution.sockets import MANDATORY

    try:
        row = orjson.loads(file.first_line())
    except ValueError:
        return False
    return isinstance(row, dict) and sum(key in row for key in MANDATORY) >= 2


def _load_sockets(file: TextFile, device: Device, slack_ns: int | None) -> Source:
    from agent.attribution.sockets import DEFAULT_SLACK_NS, load_socket_records
    from agent.attribution.subjects import PACKAGES_ROOT

    programs = {name.upper(): value for name, value in device.environment.items()}.get("PROGRAMFILES")
    return load_socket_records(
        file,
        family=device.family,
        drives=device.drives,
        packages_root=f"{programs}\\WindowsApps" if programs else PACKAGES_ROOT,
        slack_ns=DEFAULT_SLACK_NS if slack_ns is None else slack_ns,
    )


FORMATS: tuple[Format, ...] = (
    Format(
        name="sockets",
        meaning="socket records, JSON Lines with start, protocol and local",
        recognises=_is_sockets,
        load=_load_sockets,
    ),
)

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x0a\x0d\x0d\x0a", "a pcapng capture"),
    (b"\xd4\xc3\xb2\xa1", "a pcap capture"),
    (b"\xa1\xb2\xc3\xd4", "a pcap capture"),
    (b"\x4d\x3c\xb2\xa1", "a pcap capture"),
    (b"\xa1\xb2\x3c\x4d", "a pcap capture"),
    (b"ElfFile\0", "a Windows event log (.evtx)"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"PK\x03\x04", "a zip archive"),
    (b"<", "XML"),
    (b"#Version:", "a firewall log"),
    (b"#separator", "a Zeek log"),
    (b"[", "a JSON list; one object a line is wanted"),
)


def open_source(
    path: str, *, format: str | None = None, device: Device | None = None, slack_ns: int | None = None
) -> Source:
    """The source in the file at `path`, in the named format or the one its content shows.

    `device`: where it was recorded (path form, drive map); None stands for an assumed Windows workstation.
    `slack_ns`: the setting attribution.slack. Raises AttributionError saying what the file is and what is known.
    """
    chosen = [known for known in FORMATS if known.name == format]
    if format is not None and not chosen:
        raise UsageError(f"{format!r} is no attribution format; known: {', '.join(known.name for known in FORMATS)}")
    with TextFile(path) as file:
        for known in chosen or FORMATS:
            if chosen or known.recognises(file):
                return known.load(file, device or Device(assumed=True), slack_ns)
        formats = "; ".join(f"{known.name} ({known.meaning})" for known in FORMATS)
        raise AttributionError(path, 0, f"{describe(file)}: no known attribution format; known: {formats}")


def describe(file: TextFile) -> str:
    """What a file of no known format looks like, in a few words."""
    head = file.head()
    if not head.strip():
        return "is empty"
    for beginning, meaning in _BEGINNINGS:
        if head.startswith(beginning):
            return f"is {meaning}"
    line = file.first_line()
    if line.startswith(b"{"):
        return _describe_json(line)
    if any(byte < 9 for byte in line[:256]):
        return f"is binary data that begins with {head[:8].hex(' ')}"
    return f"is text that begins with {line[:40].decode('utf-8', 'replace')!r}"


def _describe_json(line: bytes) -> str:
    import orjson

    try:
        keys = list(orjson.loads(line))
    except ValueError as error:
        return f"its first line begins like JSON but is not ({error})"
    shown = ", ".join(keys[:8]) + (", ..." if len(keys) > 8 else "")
    return f"is JSON Lines whose first object has {f'the keys {shown}' if keys else 'no keys'}"
