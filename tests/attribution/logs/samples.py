"""One small, realistic file of each side-file format, spelt as its real writer spells it, and how to load text."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from agent.attribution.collector import Collector
from agent.attribution.evidence import Context
from agent.attribution.logs import firewall, hunting, psutildump, services, ss, zeek
from agent.attribution.textfile import TextFile

HUNTING_ROW: dict[str, Any] = {
    "Timestamp": "2026-01-05T09:00:00.1234567Z",
    "DeviceId": "22bb10ffe3104214b20fc7de339a2b053e915e5c",
    "DeviceName": "lab-win11.contoso.test",
    "ActionType": "ConnectionSuccess",
    "RemoteIP": "203.0.113.9",
    "RemotePort": 443,
    "RemoteUrl": "support.example.test",
    "LocalIP": "10.0.0.5",
    "LocalPort": 50123,
    "Protocol": "Tcp",
    "LocalIPType": "Private",
    "RemoteIPType": "Public",
    "InitiatingProcessFileName": "svchost.exe",
    "InitiatingProcessFolderPath": "c:\\windows\\system32\\svchost.exe",
    "InitiatingProcessId": 1804,
    "InitiatingProcessCommandLine": 'svchost.exe -k netsvcs -p -s "wuauserv"',
    "InitiatingProcessCreationTime": "2026-01-05T08:00:00.5Z",
    "InitiatingProcessAccountDomain": "nt authority",
    "InitiatingProcessAccountName": "system",
    "ReportId": 110313,
    "AppGuardContainerId": None,
    "AdditionalFields": None,
}
PROCESS_ROW: dict[str, Any] = {
    "Timestamp": "2026-01-05T08:30:00.25Z",
    "DeviceId": "22bb10ffe3104214b20fc7de339a2b053e915e5c",
    "DeviceName": "lab-win11.contoso.test",
    "ActionType": "ProcessCreated",
    "FileName": "smartscreen.exe",
    "FolderPath": "C:\\Windows\\System32\\smartscreen.exe",
    "ProcessId": 6412,
    "ProcessCommandLine": "smartscreen.exe -Embedding",
    "ProcessCreationTime": "2026-01-05T08:30:00.0344972Z",
    "AccountDomain": "contoso",
    "AccountName": "ann",
    "InitiatingProcessId": 996,
    "InitiatingProcessFileName": "svchost.exe",
    "InitiatingProcessFolderPath": "c:\\windows\\system32\\svchost.exe",
    "InitiatingProcessCommandLine": "svchost.exe -k DcomLaunch -p",
    "InitiatingProcessCreationTime": "2026-01-05T07:39:34.1193719Z",
    "InitiatingProcessAccountDomain": "nt authority",
    "InitiatingProcessAccountName": "system",
}
STREAMED = {
    "time": "2026-01-05T09:04:35.5577637Z",
    "tenantId": "12345af3-bc0e-4f36-b08e-27759e912345",
    "operationName": "Publish",
    "category": "AdvancedHunting-DeviceNetworkEvents",
    "properties": HUNTING_ROW,
    "Tenant": "DefaultTenant",
}

FIELDS = (
    "#Fields: date time action protocol src-ip dst-ip src-port dst-port size tcpflags tcpsyn tcpack tcpwin icmptype "
    "icmpcode info path"
)
FIREWALL_HEAD = f"#Version: 1.5\r\n#Software: Microsoft Windows Firewall\r\n#Time Format: Local\r\n{FIELDS}"
FIREWALL = (
    f"{FIREWALL_HEAD} pid\r\n\r\n"
    "2026-01-05 09:00:00 ALLOW TCP 10.0.0.5 203.0.113.9 50123 443 0 - 0 0 0 - - - SEND 11188\r\n"
    "2026-01-05 09:00:01 DROP UDP 10.0.0.7 224.0.0.251 5353 5353 59 - - - - - - - RECEIVE 1804\r\n"
)
ZEEK_FIELDS = (
    "ts",
    "uid",
    "id.orig_h",
    "id.orig_p",
    "id.resp_h",
    "id.resp_p",
    "proto",
    "duration",
    "conn_state",
    "history",
)
ZEEK_HEAD = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
    "#open\t2026-01-05-09-00-00\n#fields\t"
    + "\t".join(ZEEK_FIELDS)
    + "\n#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tinterval\tstring\tstring\n"
)
ZEEK = (
    ZEEK_HEAD
    + "1767603600.000123\tCx1\t10.0.0.5\t50123\t203.0.113.9\t443\ttcp\t1.5\tSF\tShADadFf\n#close\t2026-01-05-10-00-00\n"
)
ZEEK_JSON = (
    '{"ts":1767603600.000123,"uid":"Cx1","id.orig_h":"10.0.0.5","id.orig_p":50123,"id.resp_h":"203.0.113.9",'
    '"id.resp_p":443,"proto":"tcp","duration":1.5,"conn_state":"SF","history":"ShADadFf"}\n'
)
SS_HEAD = "Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess" + " " * 40 + "\n"
SS = SS_HEAD + (
    'tcp   LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=612,fd=3))\n'
    'tcp   ESTAB  0      0           10.0.0.5:50123  203.0.113.9:443  users:(("curl",pid=4242,fd=5))\n'
)
PSUTIL = json.dumps(
    [
        [3, 2, 1, ["10.0.0.5", 50123], ["203.0.113.9", 443], "ESTABLISHED", 4242],
        [4, 10, 2, ["::", 5353], [], "NONE", 700],
    ]
)
PSUTIL_DICTS = json.dumps(
    [{"fd": 3, "family": 2, "type": 1, "laddr": ["10.0.0.5", 50123], "raddr": [], "status": "LISTEN", "pid": 4242}],
    indent=1,
)
TASKLIST = (
    '"Image Name","PID","Services"\r\n"System Idle Process","0","N/A"\r\n"System","4","N/A"\r\n'
    '"svchost.exe","948","BrokerInfrastructure,DcomLaunch,PlugPlay,Power"\r\n"chrome.exe","7000","N/A"\r\n'
)
WIN32_SERVICE = json.dumps(
    [
        {
            "Name": "Dnscache",
            "ProcessId": 1500,
            "State": "Running",
            "PathName": r"C:\Windows\system32\svchost.exe -k NetworkService -p",
        },
        {
            "Name": "AJRouter",
            "ProcessId": 0,
            "State": "Stopped",
            "PathName": r"C:\Windows\system32\svchost.exe -k LocalService",
        },
        {
            "Name": "NlaSvc",
            "ProcessId": 1500,
            "State": "Running",
            "PathName": r"C:\Windows\system32\svchost.exe -k NetworkService -p",
        },
    ],
    indent=4,
)


def csv_of(*rows: dict[str, Any], columns: tuple[str, ...] | None = None, quote: str = '"') -> str:
    """As the portal exports: every cell quoted, quotes doubled."""
    names = columns or tuple(rows[0])
    lines = [",".join(names)]
    for row in rows:
        cells = ("" if row.get(name) is None else str(row[name]) for name in names)
        lines.append(",".join(quote + cell.replace('"', '""') + quote for cell in cells))
    return "\r\n".join(lines) + "\r\n"


def lines_of(*rows: Any) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


SAMPLES: dict[str, tuple[ModuleType, str]] = {
    "hunting-csv": (hunting, csv_of(HUNTING_ROW)),
    "hunting-lines": (hunting, lines_of(HUNTING_ROW, PROCESS_ROW)),
    "hunting-processes": (hunting, csv_of(PROCESS_ROW)),
    "hunting-api": (hunting, json.dumps({"Stats": {}, "Schema": [{"Name": "Timestamp"}], "Results": [HUNTING_ROW]})),
    "hunting-graph": (hunting, json.dumps({"schema": [], "results": [HUNTING_ROW]}, indent=2)),
    "hunting-list": (hunting, json.dumps([HUNTING_ROW, PROCESS_ROW], indent=2)),
    "hunting-streamed": (hunting, lines_of(STREAMED)),
    "hunting-event-hub": (hunting, lines_of({"records": [STREAMED]})),
    "firewall": (firewall, FIREWALL),
    "firewall-without-pid": (firewall, FIREWALL.replace(" pid", "").replace(" 11188", "").replace(" 1804", "")),
    "zeek": (zeek, ZEEK),
    "zeek-json": (zeek, ZEEK_JSON),
    "ss": (ss, SS),
    "ss-without-header": (ss, SS.removeprefix(SS_HEAD)),
    "psutil": (psutildump, PSUTIL),
    "psutil-dicts": (psutildump, PSUTIL_DICTS),
    "tasklist": (services, TASKLIST),
    "tasklist-without-header": (services, TASKLIST.partition("\r\n")[2]),
    "win32-service": (services, WIN32_SERVICE),
}


def loaded(module: ModuleType, tmp_path: Path, text: str | bytes, **context: Any) -> list[Collector]:
    """What `load` gives for a file with this text."""
    path = tmp_path / "side.log"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with TextFile(str(path)) as file:
        return list(module.load(file, Context(**context)))


def one(module: ModuleType, tmp_path: Path, text: str | bytes, **context: Any) -> Collector:
    """The only collector."""
    [collector] = loaded(module, tmp_path, text, **context)
    return collector


def warned(collector: Collector) -> dict[str, str]:
    """Its warnings by code."""
    return dict(collector.warnings)
