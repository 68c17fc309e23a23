"""One event as each collector writes it down: spelt as the real programs spell it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from agent.model.moment import parse_time
from tests.attribution.logs.evtxwriter import Element, Value, boolean, evtx, filetime, guid, hexadecimal, unsigned

NAMESPACE = "http://schemas.microsoft.com/win/2004/08/events/event"
SYSMON = "Microsoft-Windows-Sysmon"
SECURITY = "Microsoft-Windows-Security-Auditing"
GUIDS = {SYSMON: "{5770385F-C22A-43E0-BF4C-06F5698FFBD9}", SECURITY: "{54849625-5478-4994-A5BA-3E3B0328C30D}"}
CHANNELS = {SYSMON: "Microsoft-Windows-Sysmon/Operational", SECURITY: "Security"}

HOST = "WS5.contoso.test"
LOGGER = 3392
"""The process that logs: Sysmon itself, or the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An event as the host's log holds it."""

    provider: str = SYSMON
    number: int
    fields: dict[str, str]
    logged: str = "2026-01-05T09:00:03.1234560Z"
    host: str = HOST

    @property
    def channel(self) -> str:
        return CHANNELS[self.provider]


CONNECTION = Sample(
    number=3,
    fields={
        "RuleName": "-",
        "UtcTime": "2026-01-05 09:00:01.250",
        "ProcessGuid": "{81056205-565c-64dc-2304-000000000800}",
        "ProcessId": "7448",
        "Image": "C:\\Program Files\\A & B\\app.exe",
        "User": "CONTOSO\\ann",
        "Protocol": "tcp",
        "Initiated": "true",
        "SourceIsIpv6": "false",
        "SourceIp": "10.0.0.5",
        "SourceHostname": "-",
        "SourcePort": "50123",
        "SourcePortName": "-",
        "DestinationIsIpv6": "false",
        "DestinationIp": "203.0.113.9",
        "DestinationHostname": "-",
        "DestinationPort": "443",
        "DestinationPortName": "https",
    },
)

START = Sample(
    number=1,
    fields={
        "UtcTime": "2026-01-05 08:59:59.750",
        "ProcessGuid": "{81056205-565c-64dc-2304-000000000800}",
        "ProcessId": "7448",
        "Image": "C:\\Program Files\\A & B\\app.exe",
        "CommandLine": '"C:\\Program Files\\A & B\\app.exe" -x <y>',
        "User": "CONTOSO\\ann",
        "ParentProcessId": "4544",
        "ParentImage": "C:\\Windows\\explorer.exe",
    },
)

ALLOWED = Sample(
    provider=SECURITY,
    number=5156,
    fields={
        "ProcessID": "1048",
        "Application": "\\device\\harddiskvolume2\\windows\\system32\\svchost.exe",
        "Direction": "%%14593",
        "SourceAddress": "10.0.0.5",
        "SourcePort": "63829",
        "DestAddress": "203.0.113.9",
        "DestPort": "443",
        "Protocol": "6",
        "FilterRTID": "69388",
        "LayerName": "%%14611",
        "LayerRTID": "48",
        "RemoteUserID": "S-1-0-0",
        "RemoteMachineID": "S-1-0-0",
    },
)

CREATED = Sample(
    provider=SECURITY,
    number=4688,
    fields={
        "SubjectUserSid": "S-1-5-18",
        "SubjectUserName": "WS5$",
        "SubjectDomainName": "CONTOSO",
        "NewProcessId": "0x1d18",
        "NewProcessName": "C:\\Windows\\System32\\svchost.exe",
        "ProcessId": "0x2b0",
        "CommandLine": "C:\\Windows\\System32\\svchost.exe -k netsvcs -p -s Schedule",
        "TargetUserName": "-",
        "TargetDomainName": "-",
        "ParentProcessName": "C:\\Windows\\System32\\services.exe",
    },
)


def xml_of(sample: Sample, *, provider: str | None = None, namespace: bool = True) -> str:
    """The event on one line, as wevtutil and EventLogRecord.ToXml() write it."""
    data = "".join(f"<Data Name={quoteattr(key)}>{escape(value)}</Data>" for key, value in sample.fields.items())
    return (
        f"<Event{f' xmlns={quoteattr(NAMESPACE)}' if namespace else ''}><System>"
        f"<Provider Name={quoteattr(provider or sample.provider)} Guid={quoteattr(GUIDS[sample.provider])}/>"
        f"<EventID>{sample.number}</EventID><Version>5</Version><Level>4</Level><Task>3</Task><Opcode>0</Opcode>"
        f"<Keywords>0x8000000000000000</Keywords><TimeCreated SystemTime={quoteattr(sample.logged)}/>"
        f"<EventRecordID>4711</EventRecordID><Correlation/><Execution ProcessID='{LOGGER}' ThreadID='5524'/>"
        f"<Channel>{sample.channel}</Channel><Computer>{sample.host}</Computer><Security UserID='S-1-5-18'/></System>"
        f"<EventData>{data}</EventData></Event>"
    )


def xml_lines(sample: Sample) -> bytes:
    return f"{xml_of(sample)}\r\n".encode()


def xml_document(sample: Sample) -> bytes:
    """As Event Viewer saves it: all on one line."""
    return f'<?xml version="1.0" encoding="utf-8" standalone="yes"?><Events>{xml_of(sample)}</Events>'.encode()


def xml_indented(sample: Sample) -> bytes:
    """As evtx_dump -o xml prints it."""
    event = xml_of(sample).replace("><", ">\n  <")
    return f'Record 1\n<?xml version="1.0" encoding="utf-8"?>\n{event}\n'.encode()


def _typed(key: str, value: str) -> Any:
    """As the binary log holds Sysmon's data: numbers, truths, and GUIDs without braces."""
    if key in ("ProcessId", "SourcePort", "DestinationPort", "ParentProcessId"):
        return int(value) if value.isdigit() else value
    if value in ("true", "false"):
        return value == "true"
    return value.strip("{}").upper() if key.endswith("Guid") else value


def dumped(sample: Sample) -> dict[str, Any]:
    """evtx_dump's JSON."""
    system = {
        "Provider": {"#attributes": {"Name": sample.provider, "Guid": GUIDS[sample.provider].strip("{}")}},
        "EventID": sample.number,
        "Version": 5,
        "TimeCreated": {"#attributes": {"SystemTime": sample.logged}},
        "Correlation": None,
        "Execution": {"#attributes": {"ProcessID": LOGGER, "ThreadID": 5524}},
        "Channel": sample.channel,
        "Computer": sample.host,
    }
    data = {key: _typed(key, value) for key, value in sample.fields.items()}
    return {"Event": {"#attributes": {"xmlns": NAMESPACE}, "System": system, "EventData": data}}


def dumped_aside(sample: Sample) -> dict[str, Any]:
    """evtx_dump --separate-json-attributes; an event with qualifiers."""
    event = dumped(sample)["Event"]
    system = event["System"]
    for name in ("Provider", "TimeCreated", "Execution"):
        system[f"{name}_attributes"] = system.pop(name)["#attributes"]
    system["EventID"] = {"#attributes": {"Qualifiers": 0}, "#text": sample.number}
    return {"Event": event, "Event_attributes": {"xmlns": NAMESPACE}}


def _winlog(sample: Sample) -> dict[str, Any]:
    return {
        "channel": sample.channel,
        "computer_name": sample.host,
        "event_id": str(sample.number),
        "process": {"pid": LOGGER, "thread": {"id": 5524}},
        "provider_guid": GUIDS[sample.provider],
        "provider_name": sample.provider,
        "record_id": "4711",
    }


def winlogbeat(sample: Sample) -> dict[str, Any]:
    winlog = {**_winlog(sample), "event_data": sample.fields}
    event = {"code": str(sample.number), "provider": sample.provider}
    return {"@timestamp": sample.logged, "event": event, "host": {"name": sample.host}, "winlog": winlog}


def winlogbeat_module(sample: Sample) -> dict[str, Any]:
    """As winlogbeat's modules leave it: names of ECS, the rest in event_data or gone; the time is Sysmon's."""
    data = sample.fields
    row: dict[str, Any] = {"host": {"name": sample.host.lower()}, "winlog": _winlog(sample)}
    if sample.provider == SECURITY:
        moved = {"NewProcessId", "NewProcessName", "CommandLine"} if sample.number == 4688 else set()
        row["@timestamp"] = sample.logged
        row["winlog"]["event_data"] = {key: value for key, value in data.items() if key not in moved}
        if moved:
            executable, pid = data["NewProcessName"], int(data["NewProcessId"], 16)
            row["process"] = {"pid": pid, "executable": executable, "command_line": data["CommandLine"]}
        return row
    row["@timestamp"] = data["UtcTime"].replace(" ", "T") + "Z"
    domain, name = data["User"].split("\\")
    row["user"] = {"domain": domain, "name": name, "id": "S-1-5-18"}
    row["process"] = {"entity_id": data["ProcessGuid"], "executable": data["Image"], "pid": int(data["ProcessId"])}
    if sample.number == 1:
        row["process"]["command_line"] = data["CommandLine"]
    else:
        way = "egress" if data["Initiated"] == "true" else "ingress"
        row["network"] = {"direction": way, "transport": data["Protocol"], "type": "ipv4"}
        row["source"] = {"ip": data["SourceIp"], "port": int(data["SourcePort"])}
        row["destination"] = {"ip": data["DestinationIp"], "port": int(data["DestinationPort"])}
    return row


def elasticsearch(sample: Sample) -> dict[str, Any]:
    """A document exported from Elasticsearch."""
    return {"_index": "winlogbeat-7", "_id": "x", "_source": winlogbeat(sample)}


def nxlog(sample: Sample) -> dict[str, Any]:
    """NXLog's im_msvistalog as JSON, with the UTC time that newer ones give."""
    return {
        "SourceName": sample.provider,
        "ProviderGuid": GUIDS[sample.provider],
        "Channel": sample.channel,
        "Hostname": sample.host,
        "TimeCreated": sample.logged,
        "EventTime": "2026-01-05 04:00:03",
        "@timestamp": "2026-01-05T09:00:09.000Z",
        "EventID": sample.number,
        "ExecutionProcessID": LOGGER,
        "ThreadID": 5524,
        "host": "wec.internal.example",
        "port": 64545,
        "Message": "Network connection detected:\r\nProcessId: 1\r\n",
        **sample.fields,
    }


def log_analytics(sample: Sample) -> dict[str, Any]:
    """Table WindowsEvent."""
    return {
        "TenantId": "redacted",
        "TimeGenerated": sample.logged,
        "Computer": sample.host,
        "EventID": sample.number,
        "Provider": sample.provider,
        "Channel": sample.channel,
        "SystemProcessId": LOGGER,
        "EventData": json.dumps(sample.fields),
        "Type": "WindowsEvent",
    }


def log_analytics_event(sample: Sample) -> dict[str, Any]:
    """Table Event: the data are XML."""
    data = "".join(f"<Data Name={quoteattr(key)}>{escape(value)}</Data>" for key, value in sample.fields.items())
    item = f'<DataItem type="System.XmlData"><EventData xmlns="{NAMESPACE}">{data}</EventData></DataItem>'
    row = {**log_analytics(sample), "Source": sample.provider, "EventLog": sample.channel, "EventData": item}
    return {key: value for key, value in row.items() if key not in ("Provider", "Channel")}


def syslog_row(sample: Sample) -> dict[str, Any]:
    """Sysmon for Linux, in Log Analytics' table Syslog."""
    text = xml_of(sample, provider="Linux-Sysmon", namespace=False)
    return {"Computer": sample.host, "EventTime": "2026-01-05T09:00:03Z", "SyslogMessage": text, "Type": "Syslog"}


def journal_row(sample: Sample) -> dict[str, Any]:
    """journalctl -o json."""
    text = xml_of(sample, provider="Linux-Sysmon", namespace=False)
    return {"_HOSTNAME": sample.host, "SYSLOG_IDENTIFIER": "sysmon", "MESSAGE": text}


def syslog_text(sample: Sample) -> bytes:
    """A syslog file, with other programs' lines."""
    text = xml_of(sample, provider="Linux-Sysmon", namespace=False)
    return (
        "Jan  5 09:00:00 ws5 CRON[4712]: (root) CMD (run <Event nothing>)\n"
        f"Jan  5 09:00:03 ws5 sysmon: {text}\n"
        "Jan  5 09:00:04 ws5 systemd[1]: Started session.\n"
    ).encode()


def _stored_sysmon(key: str, value: str) -> Value:
    """As the binary log holds Sysmon's data."""
    typed = _typed(key, value)
    if isinstance(typed, bool):
        return boolean(typed)
    if isinstance(typed, int):
        return unsigned(typed, 2 if key.endswith("Port") else 4)
    return guid(value) if key.endswith("Guid") else value


def _stored_security(key: str, value: str) -> Value:
    """As the binary log holds the Security log's data: ports are texts there."""
    if value.startswith("0x"):
        return hexadecimal(int(value, 16))
    sizes = {"ProcessID": 8, "Protocol": 4, "FilterRTID": 8, "LayerRTID": 8}
    return unsigned(int(value), sizes[key]) if key in sizes else value


def evtx_file(sample: Sample) -> bytes:
    """The binary log itself, with typed values."""
    logged = filetime(parse_time(sample.logged))
    execution = {"ProcessID": unsigned(LOGGER, 4), "ThreadID": unsigned(5524, 4)}
    provider = {"Name": sample.provider, "Guid": guid(GUIDS[sample.provider])}
    system = Element(
        name="System",
        children=(
            Element(name="Provider", attributes=provider),
            Element(name="EventID", text=unsigned(sample.number, 2)),
            Element(name="TimeCreated", attributes={"SystemTime": logged}),
            Element(name="Correlation"),
            Element(name="Execution", attributes=execution),
            Element(name="Channel", text=sample.channel),
            Element(name="Computer", text=sample.host),
        ),
    )
    stored = _stored_sysmon if sample.provider == SYSMON else _stored_security
    data = tuple(
        Element(name="Data", attributes={"Name": key}, text=stored(key, value)) for key, value in sample.fields.items()
    )
    event = Element(
        name="Event", attributes={"xmlns": NAMESPACE}, children=(system, Element(name="EventData", children=data))
    )
    return evtx([event])


def _lines(row: Callable[[Sample], dict[str, Any]]) -> Callable[[Sample], bytes]:
    return lambda sample: json.dumps(row(sample)).encode() + b"\n"


WRAPPINGS: dict[str, Callable[[Sample], bytes]] = {
    "xml-lines": xml_lines,
    "xml-document": xml_document,
    "xml-indented": xml_indented,
    "evtx-dump": _lines(dumped),
    "evtx-dump-attributes-aside": _lines(dumped_aside),
    "evtx-dump-records": lambda sample: b"Record 1\n" + json.dumps(dumped(sample), indent=2).encode() + b"\n",
    "winlogbeat": _lines(winlogbeat),
    "winlogbeat-module": _lines(winlogbeat_module),
    "elasticsearch": _lines(elasticsearch),
    "nxlog": _lines(nxlog),
    "log-analytics": _lines(log_analytics),
    "log-analytics-xml": _lines(log_analytics_event),
    "evtx": evtx_file,
}
"""Of every event."""

LINUX_WRAPPINGS: dict[str, Callable[[Sample], bytes]] = {
    "syslog-row": _lines(syslog_row),
    "journal-row": _lines(journal_row),
    "syslog-text": syslog_text,
}
"""Of Sysmon for Linux only."""
