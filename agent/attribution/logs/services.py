r"""Which services each process hosts: `tasklist /svc /fo csv`, Win32_Service as CSV or JSON, psutil's win_service_iter.

Knows these listings. Must not know sockets: a row is HostedServices, whose own text says when it holds for a process.

    tasklist /svc /fo csv > services.csv
    Get-CimInstance Win32_Service | Select-Object Name, ProcessId, State, PathName, SystemName | ConvertTo-Json
    json.dumps([service.as_dict() for service in psutil.win_service_iter()])

None of them says when it was taken or when a process began, so `created` is always None. A list of processes looks much
the same, and calls programs Name: it is refused, since it would make each program a service.
"""

from __future__ import annotations

import re

from agent.attribution.collector import Collector
from agent.attribution.evidence import Context, HostedServices, Rank
from agent.attribution.logs.csvtext import Header, header_of, records
from agent.attribution.logs.reading import Reading, pid_of, text_of
from agent.attribution.logs.tables import first_row, names_of, rows
from agent.attribution.textfile import TextFile
from agent.model.errors import AttributionError

NAME = "services"
_TASKLIST = ("image name", "pid", "services")
_BARE = re.compile(r'"[^"]+","\d{1,10}","[^"]*"')
_NONE = frozenset({"N/A", ""})

_NAMES = names_of("Name", "ProcessId", "pid", "PathName", "binpath", "SystemName", "PSComputerName")
_ONLY_SERVICES = frozenset(
    {"startmode", "servicetype", "startname", "started", "displayname", "display_name", "pathname", "binpath"}
)
"""Columns that services have and processes have not. `state` is not one: a process has it, too."""

_PROGRAM = re.compile(r"(?i)\.(?:exe|com|scr)$|^system idle process$")
_FILE_NAME = re.compile(r'(?:"([^"]+)"|(.*?\.exe)(?=\s|$)|(\S+))', re.IGNORECASE)


def recognises(file: TextFile) -> bool:
    """By the columns that only these listings have together."""
    header = header_of(file)
    if header is not None:
        return _is_tasklist(header) or _names_services(set(header.columns))
    row = first_row(file)
    return isinstance(row, dict) and _names_services({key.lower() for key in row})


def _names_services(columns: set[str]) -> bool:
    if "name" not in columns or columns.isdisjoint({"processid", "pid"}) or "laddr" in columns:
        return False
    return not columns.isdisjoint(_ONLY_SERVICES) or {"name", "processid", "state"} >= columns - {"systemname"}


def _is_tasklist(header: Header) -> bool:
    """With its header, in English; or without one (/nh): then the first line is a row."""
    return header.columns == _TASKLIST or bool(_BARE.fullmatch(header.line.decode("utf-8", "replace").strip()))


def load(file: TextFile, context: Context) -> list[Collector]:
    """One collector with `services`, and no observations."""
    reading = Reading(file, context)
    collector = Collector(NAME, file.path, context=context, rank=Rank.LOG)
    header = header_of(file)
    if header is not None and _is_tasklist(header):
        _take_tasklist(file, header, reading, collector)
    else:
        _take_services(file, reading, collector)
    return reading.finish(len(collector.services), [collector])


def _take_tasklist(file: TextFile, header: Header, reading: Reading, collector: Collector) -> None:
    if header.columns != _TASKLIST:
        header = header._replace(line=b"")
    for number, (image, pid_text, hosted) in records(file, header, reading.broken):
        try:
            pid = pid_of(pid_text)
        except ValueError as error:
            reading.broken.note(number, str(error))
            continue
        names = () if hosted.strip() in _NONE else tuple(name.strip() for name in hosted.split(",") if name.strip())
        if pid is not None:
            collector.hosts(HostedServices("", pid, names, None, image.strip() or None))


def _take_services(file: TextFile, reading: Reading, collector: Collector) -> None:
    """A row a service; those of one process are put together, in their order."""
    found: dict[tuple[str, int], tuple[dict[str, None], str | None]] = {}
    stopped = 0
    for number, row in rows(file, _NAMES, reading.broken):
        try:
            name, pid = text_of(row.get("Name")), pid_of(row.get("ProcessId", row.get("pid")))
            host = text_of(row.get("PSComputerName")) or text_of(row.get("SystemName")) or ""
            image = _image(text_of(row.get("PathName")) or text_of(row.get("binpath")))
        except ValueError as error:
            reading.broken.note(number, str(error))
            continue
        if name is None:
            reading.broken.note(number, "has no Name")
        elif _PROGRAM.search(name):
            raise AttributionError(
                file.path, number, f"{name!r} is a program: a list of processes is no list of services"
            )
        elif pid is None:
            stopped += 1
        else:
            found.setdefault((host, pid), ({}, image))[0][name] = None
    for (host, pid), (names, image) in found.items():
        collector.hosts(HostedServices(host, pid, tuple(names), None, image))
    for _ in range(0 if found else stopped):
        reading.skip("of services that do not run")


def _image(command: str | None) -> str | None:
    r"""The program in `C:\Windows\system32\svchost.exe -k netsvcs -p`, with its folder: any user can call one so."""
    match = _FILE_NAME.match(command.lstrip()) if command else None
    return next((part for part in match.groups() if part), None) if match else None
