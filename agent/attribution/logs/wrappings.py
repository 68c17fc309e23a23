"""Events as JSON rows, each way a collector wraps them, as Event.

Knows where evtx_dump, winlogbeat, NXLog and Log Analytics put things. Must not know what an event means.

    rows = JsonRows()
    rows.event(b'{"EventID":3,"SourceName":"Microsoft-Windows-Sysmon","Hostname":"WS5","SourceIp":"10.0.0.5",...}')

The wrappings, by what only they have: `Event` (evtx_dump), `winlog` (winlogbeat, also with its module's own names),
`EventData` beside `EventID` (Log Analytics: JSON or XML inside JSON), `EventID` alone (NXLog: everything in one row),
`SyslogMessage` or `MESSAGE` (syslog rows that carry the XML of Sysmon for Linux).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from agent.attribution.logs.event import ANY_NUMBER, Event, source_of, whole_number
from agent.attribution.logs.eventxml import EventXml
from agent.attribution.textfile import MAX_LINE, TextFile
from agent.model.errors import AttributionError

RECORD = re.compile(rb"\s*Record \d{1,20}\s*")
"""What evtx_dump writes between events unless asked for JSON Lines."""

_FLAT_MARKS = ("Channel", "SourceName", "Provider", "ProviderGuid", "Source", "EventData")
_SYSLOG_TEXTS = ("SyslogMessage", "MESSAGE", "message")

_ECS = {
    "UtcTime": ("@timestamp",),
    "ProcessGuid": ("process", "entity_id"),
    "ProcessId": ("process", "pid"),
    "Image": ("process", "executable"),
    "CommandLine": ("process", "command_line"),
    "Protocol": ("network", "transport"),
    "Initiated": ("network", "direction"),
    "SourceIp": ("source", "ip"),
    "SourcePort": ("source", "port"),
    "DestinationIp": ("destination", "ip"),
    "DestinationPort": ("destination", "port"),
    "QueryName": ("dns", "question", "name"),
}
"""Sysmon's fields under the names that winlogbeat's module moves them to. `winlog.process` is Sysmon's own process."""

_ECS_SECURITY = {
    "NewProcessId": ("process", "pid"),
    "NewProcessName": ("process", "executable"),
    "CommandLine": ("process", "command_line"),
}
"""Likewise of event 4688, by its Security module."""

_INITIATED = {"egress": "true", "outbound": "true", "ingress": "false", "inbound": "false"}


def json_texts(file: TextFile) -> Iterator[tuple[int, bytes | None]]:
    """(line on which it begins, one JSON text): a line each, or all between two `Record N` lines.

    None for a text that the file ends inside. Raises AttributionError for one longer than MAX_LINE.
    """
    begin, size = 0, 0
    parts: list[bytes] = []
    for number, line, whole in file.lines():
        if RECORD.fullmatch(line):
            if parts:
                yield begin, b"\n".join(parts)
            begin, size, parts = number + 1, 0, []
        elif begin:
            parts.append(line)
            size += len(line) + 1
            if size > MAX_LINE:
                raise AttributionError(file.path, begin, f"holds an event longer than {MAX_LINE} bytes")
        else:
            torn = not whole and not line.rstrip().endswith(b"}")
            yield number, None if torn else line
    if parts:
        last = parts[-1].rstrip()
        yield begin, b"\n".join(parts) if last == b"}" or (len(parts) == 1 and last.endswith(b"}")) else None


class JsonRows:
    """Unwraps one row after the other. Mutable: it keeps an XML parser for rows that hold XML."""

    def __init__(self) -> None:
        self._xml: EventXml | None = None

    def event(self, line: bytes) -> Event | None:
        """The event in a line; None for one that says nothing of sockets. Raises ValueError saying what is wrong."""
        try:
            row = orjson.loads(line)
        except ValueError as error:
            raise ValueError(f"is not JSON ({error})") from None
        if type(row) is not dict:
            raise ValueError("is no JSON object")
        return self.unwrap(row)

    def unwrap(self, row: dict[str, Any]) -> Event | None:
        """As `event`, for a parsed row."""
        if "EventID" in row:
            return self._tabled(row) if "EventData" in row else _flat(row)
        if type(event := row.get("Event")) is dict:
            return _dumped(event)
        if type(winlog := row.get("winlog")) is dict:
            return _beat(row, winlog)
        if type(inner := row.get("_source")) is dict and "_source" not in inner:
            return self.unwrap(inner)
        written = next((row[key] for key in _SYSLOG_TEXTS if key in row), None)
        if written is None:
            raise ValueError("is no event of a Windows event log")
        if type(written) is not str or not written.startswith("<Event>") or not _is_sysmons(row):
            return None
        return self._parser().event(written.encode("utf-8", "replace"))

    def _tabled(self, row: dict[str, Any]) -> Event | None:
        """Log Analytics: tables WindowsEvent (JSON in a text, or an object), Event and SecurityEvent (XML)."""
        number, provider = _event_id(row["EventID"]), _text(row.get("Provider") or row.get("Source"))
        source = source_of(provider, _text(row.get("Channel") or row.get("EventLog")), number)
        if source is None:
            return None
        data = row["EventData"]
        if type(data) is str and data.lstrip().startswith("<"):
            data = self._parser().fields(data)
        elif type(data) is str:
            try:
                data = orjson.loads(data)
            except ValueError as error:
                raise ValueError(f"has EventData that is not JSON ({error})") from None
        elif data is None and type(raw := row.get("RawEventData")) is str:
            data = self._parser().fields(raw)
        if type(data) is not dict:
            raise ValueError("has EventData that is no object")
        host, logged = _text(row.get("Computer")), _text(row.get("TimeGenerated"))
        return Event(source, number, provider, host, logged or None, data)

    def _parser(self) -> EventXml:
        if self._xml is None:
            self._xml = EventXml()
        return self._xml


def _is_sysmons(row: dict[str, Any]) -> bool:
    """False for what another program wrote: any program can write such a text."""
    tag = row.get("ProcessName", row.get("SYSLOG_IDENTIFIER"))
    return tag is None or tag == "sysmon"


def is_event_row(row: object) -> bool:
    """True if a parsed JSON row is an event in one of the wrappings."""
    if type(row) is not dict:
        return False
    if type(inner := row.get("_source")) is dict:
        row = inner
    if "EventID" in row:
        return any(mark in row for mark in _FLAT_MARKS)
    if type(event := row.get("Event")) is dict:
        return "System" in event
    if type(winlog := row.get("winlog")) is dict:
        return "event_id" in winlog
    written = row.get("SyslogMessage", row.get("MESSAGE"))
    return "SyslogMessage" in row or (type(written) is str and written.startswith("<Event><System>"))


def _flat(row: dict[str, Any]) -> Event | None:
    """NXLog: the event's fields beside its own. TimeCreated is UTC; EventTime is local and names no zone."""
    number, provider = _event_id(row["EventID"]), _text(row.get("SourceName"))
    source = source_of(provider, _text(row.get("Channel")), number)
    if source is None:
        return None
    if type(row.get("ProcessID")) is int:
        del row["ProcessID"]  # older ones call the logging process so; the event's own data are texts
    logged = row.get("TimeCreated") or row.get("EventTime") or row.get("@timestamp")
    host = _text(row.get("Hostname") or row.get("Computer"))
    return Event(source, number, provider, host, _text(logged) or None, row)


def _dumped(event: dict[str, Any]) -> Event | None:
    """evtx_dump: attributes under `#attributes`, or beside under NAME_attributes; some ports leave the step out."""
    system = event.get("System")
    if type(system) is not dict:
        raise ValueError("has an Event without System")
    number = _event_id(system.get("EventID"))
    if number not in ANY_NUMBER:
        return None
    provider = _text(_attributes(system, "Provider").get("Name"))
    source = source_of(provider, _text(system.get("Channel")), number)
    if source is None:
        return None
    data = event.get("EventData")
    if type(data) is not dict:
        raise ValueError("has an Event without EventData")
    logged = _text(_attributes(system, "TimeCreated").get("SystemTime"))
    return Event(source, number, provider, _text(system.get("Computer")), logged or None, data)


def _attributes(system: dict[str, Any], name: str) -> dict[str, Any]:
    beside, value = system.get(f"{name}_attributes"), system.get(name)
    if type(value) is dict and type(value.get("#attributes")) is dict:
        value = value["#attributes"]
    found = beside if type(beside) is dict else value
    return found if type(found) is dict else {}


def _beat(row: dict[str, Any], winlog: dict[str, Any]) -> Event | None:
    """winlogbeat: `winlog.event_data`, and what its modules moved from there to the names of ECS."""
    number, provider = _event_id(winlog.get("event_id")), _text(winlog.get("provider_name"))
    source = source_of(provider, _text(winlog.get("channel")), number)
    if source is None:
        return None
    data = winlog.get("event_data")
    fields: dict[str, Any] = dict(data) if type(data) is dict else {}
    for name, path in (_ECS_SECURITY if number == 4688 else _ECS if source == "sysmon" else {}).items():
        if name not in fields and (value := _dig(row, path)) is not None:
            fields[name] = _INITIATED.get(value, value) if type(value) is str else value
    if source == "sysmon":
        _user(row, fields)
        _answers(row, fields)
    host = _text(winlog.get("computer_name")) or _text(_dig(row, ("host", "name")))
    return Event(source, number, provider, host, _text(row.get("@timestamp")) or None, fields)


def _user(row: dict[str, Any], fields: dict[str, Any]) -> None:
    name, domain = _text(_dig(row, ("user", "name"))), _text(_dig(row, ("user", "domain")))
    if name and "User" not in fields:
        fields["User"] = f"{domain}\\{name}" if domain else name


def _answers(row: dict[str, Any], fields: dict[str, Any]) -> None:
    """dns.resolved_ip as Sysmon writes QueryResults."""
    found = _dig(row, ("dns", "resolved_ip"))
    if "QueryResults" not in fields and type(found) is list:
        fields["QueryResults"] = ";".join(address for address in found if type(address) is str)


def _dig(row: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = row
    for key in path:
        value = value.get(key) if type(value) is dict else None
    return value


def _event_id(value: Any) -> int:
    """Raises ValueError. evtx_dump writes an object where the event has qualifiers."""
    number = whole_number(value.get("#text") if type(value) is dict else value)
    if number is None:
        raise ValueError("is an event without an EventID")
    return number


def _text(value: Any) -> str:
    return value if type(value) is str else ""
