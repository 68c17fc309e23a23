"""Opens a file that says who owned the sockets, whatever its format: told by content, or named.

Knows which formats exist and how each begins. Must not know what they hold.

    sources = open_sources(["sockets.jsonl.zst", "sysmon.evtx"], context=Context(device=device))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent.attribution.chain import Source
from agent.attribution.evidence import Context
from agent.attribution.textfile import TextFile
from agent.model.device import Device
from agent.model.errors import AttributionError, UsageError

if TYPE_CHECKING:
    from agent.attribution.collector import Collector


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format of recorded attribution."""

    name: str
    """What --attribution-format calls it."""
    meaning: str
    """For messages: how to tell it."""
    reader: Callable[[], Reader]
    """Loads what reads it, once a file is held against it."""


class Reader(Protocol):
    """A module that reads one format."""

    def recognises(self, file: TextFile, /) -> bool:
        """By the beginning of the file; takes nothing from it."""

    def load(self, file: TextFile, context: Context, /) -> Sequence[Collector | Source]:
        """What it says: sources, or logs that are still to be joined with those of other files."""


def _sockets() -> Reader:
    from agent.attribution import sockets

    return sockets


def _events() -> Reader:
    from agent.attribution.logs import eventlog

    return eventlog


def _hunting() -> Reader:
    from agent.attribution.logs import hunting

    return hunting


def _firewall() -> Reader:
    from agent.attribution.logs import firewall

    return firewall


def _zeek() -> Reader:
    from agent.attribution.logs import zeek

    return zeek


def _ss() -> Reader:
    from agent.attribution.logs import ss

    return ss


def _psutil() -> Reader:
    from agent.attribution.logs import psutildump

    return psutildump


def _services() -> Reader:
    from agent.attribution.logs import services

    return services


SOCKETS = "sockets"
FORMATS: tuple[Format, ...] = (
    Format(
        name=SOCKETS,
        meaning="socket records, JSON Lines with start, protocol and local",
        reader=_sockets,
    ),
    Format(
        name="events",
        meaning="Windows event logs with Sysmon or Security events: XML, JSON of winlogbeat, NXLog, evtx_dump or "
        "Log Analytics, Sysmon for Linux in syslog, binary .evtx",
        reader=_events,
    ),
    Format(
        name="hunting",
        meaning="Advanced Hunting DeviceNetworkEvents and DeviceProcessEvents, CSV or JSON",
        reader=_hunting,
    ),
    Format(name="firewall", meaning="pfirewall.log of the Windows firewall", reader=_firewall),
    Format(name="zeek", meaning="Zeek conn.log, TSV or JSON: who opened connections, no owners", reader=_zeek),
    Format(name="ss", meaning="what `ss -tunap` prints", reader=_ss),
    Format(name="psutil", meaning="psutil.net_connections() as JSON", reader=_psutil),
    Format(
        name="services",
        meaning="processes and their services: tasklist /svc /fo csv, Win32_Service, psutil",
        reader=_services,
    ),
)
"""In the order they are tried."""

_ALIASES = {"sysmon": "events", "security": "events", "evtx": "events"}
"""What records call the sources that come of a format."""

_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x0a\x0d\x0d\x0a", "a pcapng capture"),
    (b"\xd4\xc3\xb2\xa1", "a pcap capture"),
    (b"\xa1\xb2\xc3\xd4", "a pcap capture"),
    (b"\x4d\x3c\xb2\xa1", "a pcap capture"),
    (b"\xa1\xb2\x3c\x4d", "a pcap capture"),
    (b"ElfFile\0", "a Windows event log (.evtx)"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xfd7zXZ\0", "xz data; gzip and zstd are read"),
    (b"BZh", "bzip2 data; gzip and zstd are read"),
    (b"<", "XML"),
    (b"#Version:", "a firewall log"),
    (b"#separator", "a Zeek log"),
    (b"[", "a JSON list; one object a line is wanted"),
)


def open_sources(paths: Iterable[str], *, format: str | None = None, context: Context | None = None) -> list[Source]:
    """The sources in the files at `paths`, each in the named format or the one its content shows.

    All are read before any is joined: processes may be in one file and their sockets in another. Raises
    AttributionError saying what a file is and what is known.
    """
    from agent.attribution.collector import Collector
    from agent.attribution.processes import Processes

    context = context or Context()
    loaded = [one for path in paths for one in _load(path, format, context)]
    collectors = [one for one in loaded if isinstance(one, Collector)]
    processes = Processes(collectors)
    return [one.source(processes) if isinstance(one, Collector) else one for one in loaded]


def open_source(
    path: str, *, format: str | None = None, device: Device | None = None, slack_ns: int | None = None
) -> Source:
    """The one source in a file, see `open_sources`. `slack_ns`: the setting attribution.slack, None its default."""
    context = Context(device=device or Device(assumed=True))
    if slack_ns is not None:
        context.slack_ns = slack_ns
    return open_sources([path], format=format, context=context)[0]


def _load(path: str, format: str | None, context: Context) -> Sequence[Collector | Source]:
    chosen = [known for known in FORMATS if known.name == _ALIASES.get(str(format), format)]
    if format is not None and not chosen:
        raise UsageError(f"{format!r} is no attribution format; {_nearest(format)}")
    with TextFile(path, context.progress) as file:
        if not file.head().strip() and not any(known.name == SOCKETS for known in chosen):
            # Socket records are complete: of them none is an answer, a host without sockets.
            raise AttributionError(path, 0, f"is empty; known formats: {', '.join(known.name for known in FORMATS)}")
        for known in chosen or FORMATS:
            reader = known.reader()
            if chosen or reader.recognises(file):
                return reader.load(file, context)
        names = ", ".join(known.name for known in FORMATS)
        raise AttributionError(path, 0, f"{describe(file)}: no known attribution format; known formats: {names}")


def _nearest(name: str) -> str:
    import difflib  # only after a mistake

    names = [known.name for known in FORMATS]
    near = difflib.get_close_matches(name, [*names, *_ALIASES], n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"


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
