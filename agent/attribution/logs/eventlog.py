"""A file of Windows or Sysmon events, whatever its wrapping, as evidence: the entry for the registry of formats.

Knows which wrapping a file has, and who reads which event. Must not know fields.

    with TextFile("events.jsonl") as file:
        if recognises(file): collectors = load(file, Context(device=device))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.attribution.broken import BrokenLines
from agent.attribution.collector import Collector
from agent.attribution.evidence import Context
from agent.attribution.logs.event import SECURITY, SYSMON, Clock, Event, Pool
from agent.attribution.logs.eventxml import OPENING, EventXml, split_events, syslog_event, syslog_lines
from agent.attribution.logs.evtx import MAGIC, evtx_texts
from agent.attribution.logs.security import SecurityReader
from agent.attribution.logs.sysmon import SysmonReader
from agent.attribution.logs.wrappings import RECORD, JsonRows, is_event_row, json_texts
from agent.attribution.textfile import TextFile

_LOOKED_AT = 20
"""Lines of a JSON file's beginning, of which one must be an event: the first may be damaged."""

_Item = bytes | ValueError | None
_Opened = tuple[Iterator[tuple[int, _Item]], Callable[[bytes], Event | None]]


def recognises(file: TextFile) -> bool:
    """True for a file of events in one of the wrappings. Takes nothing from it."""
    return _open(file) is not None


def load(file: TextFile, context: Context) -> list[Collector]:
    """The collectors `sysmon` and `security`, those that saw anything. Raises AttributionError, EnvironmentFailure."""
    return EventLog(file, context).collectors()


class EventLog:
    """One file, read. Mutable while it is read."""

    def __init__(self, file: TextFile, context: Context) -> None:
        self.skipped = 0
        """Events that say nothing of sockets or processes, and syslog lines of other programs."""
        sysmon, security = (Collector(name, file.path, context=context) for name in (SYSMON, SECURITY))
        pool, clock = Pool(), Clock()
        self.sysmon = SysmonReader(sysmon, pool, clock)
        self.security = SecurityReader(security, pool, clock)
        self._collectors = (sysmon, security)
        self._file = file
        self._broken = BrokenLines(file.path, lenient=context.lenient)
        self._torn = False
        self._read()

    def collectors(self) -> list[Collector]:
        return [collector for collector in self._collectors if collector.observations or collector.starts]

    def _read(self) -> None:
        opened = _open(self._file)
        items, parse = opened if opened is not None else (json_texts(self._file), JsonRows().event)
        reads = {SYSMON: self.sysmon.read, SECURITY: self.security.read}
        total = 0
        for line, item in items:
            if item is None:
                self._torn = True
                continue
            total += 1
            try:
                if isinstance(item, ValueError):
                    raise item
                event = parse(item)
                if event is None:
                    self.skipped += 1
                else:
                    reads[event.source](event)
            except ValueError as error:
                self._broken.note(line, str(error))
        self._broken.judge(total)
        self.sysmon.finish()
        self.security.finish()
        self._warn(total)

    def _warn(self, total: int) -> None:
        """What concerns the file goes to one collector only."""
        to = next(iter(self.collectors()), self._collectors[0])
        for code, text in self._broken.warnings():
            to.warn(code, text)
        if self._torn or self._file.truncated:
            to.warn("attribution_truncated", f"{self._file.path}: ends inside an event; the {total:,} before are used")


def _open(file: TextFile) -> _Opened | None:
    """The file's events and what parses one; None if it holds none in a known wrapping."""
    head = file.head()
    if head.startswith(MAGIC):
        return evtx_texts(file), JsonRows().event
    first = file.first_line()
    lines = [first, *(line for line in head.split(b"\n", _LOOKED_AT)[1:_LOOKED_AT] if line.strip())]
    if first.startswith(b"{") and any(_is_event(line) for line in lines):
        return json_texts(file), JsonRows().event
    records = RECORD.fullmatch(first) is not None
    markup = first.startswith(b"<") and not first[1:2].isdigit()  # <14> is how a line of syslog may begin
    if records and not any(line.lstrip().startswith(b"<") for line in lines[:3]):
        return json_texts(file), JsonRows().event
    if (records or markup) and OPENING.search(head) is not None and b"<Provider " in head:
        return split_events(file), EventXml().event
    if any(syslog_event(line) for line in head.split(b"\n")):
        return syslog_lines(file), EventXml().event
    return None


def _is_event(line: bytes) -> bool:
    import orjson

    try:
        return is_event_row(orjson.loads(line))
    except ValueError:
        return False
