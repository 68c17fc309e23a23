"""Events written as XML: Windows' own rendering, Sysmon for Linux in syslog, and the pieces of it inside JSON rows.

Knows the XML of events and how to cut a stream into them. Must not know what an event means.

    with TextFile("security.xml") as file:
        reader = EventXml()
        for line, xml in split_events(file):
            if xml is not None: event = reader.event(xml)

A file is cut at <Event> and </Event>, which event data cannot hold unescaped: one broken event costs itself only, one
document of any size needs the memory of one event, and no prolog ever reaches the XML parser. That one is defusedxml
all the same: neither a document type nor an entity is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler

from agent.attribution.logs.event import ANY_NUMBER, Event, source_of
from agent.attribution.textfile import MAX_LINE, TextFile
from agent.model.errors import AttributionError

OPENING = re.compile(rb"<Event[\s>]")
_CLOSING = b"</Event>"
_EVENT_ID = re.compile(rb"<EventID(?:\s[^<>]*)?>\s*(\d{1,9})\s*</EventID>")
_DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")
_ROOT = b"<Events>"
_BARE = re.compile(rb"&(?:(quot|apos|lt|gt|amp)(?!\w*;)|(?!#?\w{1,32};))")
"""Ampersands that are no reference: Sysmon for Linux forgets to escape some, and writes `&quot` without semicolon."""

_TAG_ROOM = 200
_TAG = re.compile(rb"\bsysmon\b[^<>]*\Z")
"""Before the event stands who wrote the line: `sysmon: `, `sysmon[1590]: `, or `sysmon 1590 - - `."""

MAX_DEPTH = 16
"""Elements inside elements; an event of these logs has 4."""

_SECTIONS = frozenset({"System", "EventData"})
_SYSTEM = frozenset({"EventID", "Channel", "Computer"})
"""Elements of <System> whose text is wanted."""
_ATTRIBUTES = {"Provider": "Name", "TimeCreated": "SystemTime"}
"""Elements of <System> of which an attribute is wanted."""


def split_events(file: TextFile) -> Iterator[tuple[int, bytes | None]]:
    """(line on which it begins, one event from <Event> to </Event>); None for an event that the file ends inside.

    What stands between events (a root, syslog's own words) is skipped. Raises AttributionError for an event longer
    than MAX_LINE and for a document type before the first event.
    """
    rest, line, first = b"", 1, True
    for chunk in file.chunks():
        text, done = rest + chunk, 0
        while (found := OPENING.search(text, done)) is not None:
            begin = found.start()
            if first:
                _refuse_declarations(file.path, text[:begin])
                first = False
            end = text.find(_CLOSING, begin)
            if end < 0:
                break
            end += len(_CLOSING)
            line += text.count(b"\n", done, begin)
            yield from _whole(text[begin:end], line)
            line += text.count(b"\n", begin, end)
            done = end
        keep = found.start() if found is not None else max(done, len(text) - len("<Event"))
        line += text.count(b"\n", done, keep)
        rest = text[keep:]
        if first and found is None:
            _refuse_declarations(file.path, text)
        if len(rest) > MAX_LINE:
            raise AttributionError(file.path, line, f"holds an event longer than {MAX_LINE} bytes")
    if OPENING.match(rest):
        yield line, None


def _whole(text: bytes, line: int) -> Iterator[tuple[int, bytes]]:
    """The event, after any before it that breaks off inside (syslog cuts long lines)."""
    inner = max(text.rfind(b"<Event>"), text.rfind(b"<Event "))
    if inner > 0:
        yield line, text[:inner]
        line += text.count(b"\n", 0, inner)
        text = text[inner:]
    yield line, text


def _refuse_declarations(path: str, prolog: bytes) -> None:
    for declaration in _DECLARATIONS:
        if declaration in prolog:
            word = declaration.decode()
            raise AttributionError(path, 0, f"begins with {word}, which no event log does: it is not read")


def syslog_lines(file: TextFile) -> Iterator[tuple[int, bytes]]:
    """(number of a syslog line, the event in it); b"" for a line that another program wrote."""
    for number, line, _ in file.lines():
        yield number, syslog_event(line)


def syslog_event(line: bytes) -> bytes:
    """The event that Sysmon for Linux wrote in this line of syslog, b"" if it did not."""
    begin = line.find(b"<Event>")
    if begin < 0 or _TAG.search(line[max(0, begin - _TAG_ROOM) : begin]) is None:
        return b""
    return line[begin:].rstrip()


class EventXml:
    """Parses one event after the other, with one parser: making one takes longer than parsing an event."""

    def __init__(self) -> None:
        from defusedxml.expatreader import create_parser

        self._handler = _Handler()
        self._parser: Any = create_parser(forbid_dtd=True)
        self._parser.setContentHandler(self._handler)
        self._begun = False

    def event(self, xml: bytes) -> Event | None:
        """The event in `xml`; None for one that says nothing of sockets. Raises ValueError saying what is wrong."""
        number = _EVENT_ID.search(xml)
        if not xml or (number is not None and int(number[1]) not in ANY_NUMBER):
            return None
        system, fields = self._parse(xml)
        written = system.get("EventID", "").strip()
        if not written.isascii() or not written.isdigit() or len(written) > 9:
            raise ValueError("is an event without an EventID")
        provider, channel = system.get("Provider", ""), system.get("Channel", "")
        source = source_of(provider, channel, int(written))
        if source is None:
            return None
        logged = system.get("TimeCreated")
        return Event(source, int(written), provider, system.get("Computer", ""), logged, fields)

    def fields(self, xml: str) -> dict[str, str]:
        """The named data in a piece of an event, such as <EventData>. Raises ValueError."""
        return self._parse(xml.encode("utf-8", "replace"))[1]

    def _parse(self, xml: bytes) -> tuple[dict[str, str], dict[str, str]]:
        """(system, data). What breaks off gives what stood whole before: collectors cut long texts at their end."""
        try:
            self._feed(xml)
        except ValueError:
            repaired = _BARE.sub(_reference, xml)
            if repaired == xml:
                raise
            self._feed(repaired)
        return self._handler.system, self._handler.fields

    def _feed(self, xml: bytes) -> None:
        handler = self._handler
        if not self._begun:
            self._parser.reset()
            handler.begin()
            self._parser.feed(_ROOT)
            self._begun = True
        handler.begin()
        try:
            self._parser.feed(xml)
        except SAXException as error:
            self._begun = False
            raise ValueError(f"is not XML ({error.getMessage()})") from None
        except ValueError:
            self._begun = False
            raise
        self._begun = handler.depth == 0


def _reference(found: re.Match[bytes]) -> bytes:
    return b"&" + (found[1] or b"amp") + b";"


class _Handler(ContentHandler):
    """Collects what is wanted of one event."""

    def __init__(self) -> None:
        super().__init__()
        self.begin()

    def begin(self) -> None:
        self.depth = 0
        """Elements open inside the root."""
        self.system: dict[str, str] = {}
        self.fields: dict[str, str] = {}
        self._section = ""
        self._key = ""
        self._text: list[str] = []

    def startElement(self, name: str, attrs: Any) -> None:  # noqa: N802 - SAX names it
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"is XML nested deeper than {MAX_DEPTH}")
        if self._section == "EventData":
            self._key = attrs.get("Name", "") if name == "Data" else ""
            self._text.clear()
        elif self._section == "System":
            if name in _ATTRIBUTES:
                self.system[name] = attrs.get(_ATTRIBUTES[name], "")
            self._key = name if name in _SYSTEM else ""
            self._text.clear()
        elif name in _SECTIONS:
            self._section = name

    def characters(self, content: str) -> None:
        if self._key:
            self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802 - SAX names it
        self.depth -= 1
        if self._key:
            values = self.fields if self._section == "EventData" else self.system
            values[self._key] = "".join(self._text)
            self._key = ""
        if name == self._section:
            self._section = ""
