"""Which services a process hosts, from three listings; and never from a list of processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.attribution.evidence import HostedServices
from agent.attribution.logs import services
from agent.attribution.textfile import TextFile
from agent.model.errors import AttributionError
from tests.attribution.logs.samples import TASKLIST, WIN32_SERVICE, csv_of, one

DCOM = ("BrokerInfrastructure", "DcomLaunch", "PlugPlay", "Power")


@pytest.mark.parametrize("text", [TASKLIST, TASKLIST.partition("\r\n")[2], TASKLIST.replace("fra,Dcom", "fra, Dcom")])
def test_tasklist(tmp_path: Path, text: str) -> None:
    """With its header, without it, and with blanks after the commas."""
    collector = one(services, tmp_path, text)
    assert collector.services == [
        HostedServices("", 4, (), None, "System"),
        HostedServices("", 948, DCOM, None, "svchost.exe"),
        HostedServices("", 7000, (), None, "chrome.exe"),
    ]
    assert (collector.name, collector.observations, collector.warnings) == ("services", [], [])


SVCHOST = HostedServices("", 1500, ("Dnscache", "NlaSvc"), None, r"C:\Windows\system32\svchost.exe")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(WIN32_SERVICE, id="json"),
        pytest.param(csv_of(*json.loads(WIN32_SERVICE)), id="csv"),
        pytest.param(
            "#TYPE Selected.Microsoft.CimInstance\r\n" + csv_of(*json.loads(WIN32_SERVICE)), id="csv-powershell-5"
        ),
        pytest.param(csv_of(*json.loads(WIN32_SERVICE)).replace('","', '";"').replace(",", ";"), id="csv-semicolons"),
        pytest.param("".join(json.dumps(row) + "\n" for row in json.loads(WIN32_SERVICE)), id="json-lines"),
    ],
)
def test_win32_service(tmp_path: Path, text: str) -> None:
    """A row a service: those of a process are put together, stopped ones left out."""
    assert one(services, tmp_path, text).services == [SVCHOST]


def test_a_path_of_blanks_only_is_none(tmp_path: Path) -> None:
    """Takes hours where the time grows with the square of its length."""
    rows = json.dumps([{"Name": "x", "ProcessId": 5, "State": "Running", "PathName": " " * 1_000_000}])
    assert one(services, tmp_path, rows).services == [HostedServices("", 5, ("x",), None, None)]


def test_only_names_and_pids(tmp_path: Path) -> None:
    rows = csv_of({"Name": "Dnscache", "ProcessId": 1500}, {"Name": "NlaSvc", "ProcessId": 1500})
    assert one(services, tmp_path, rows).services == [SVCHOST._replace(image=None)]


def test_psutil_services(tmp_path: Path) -> None:
    common = {"display_name": "x", "start_type": "automatic", "username": "NT AUTHORITY\\NetworkService"}
    binpath = '"C:\\Program Files\\a b\\agent.exe" -k "x.exe"'
    rows = [
        {**common, "name": "Agent", "status": "running", "pid": 77, "binpath": binpath},
        {**common, "name": "Off", "status": "stopped", "pid": None, "binpath": binpath},
    ]
    program = r"C:\Program Files\a b\agent.exe"
    assert one(services, tmp_path, json.dumps(rows)).services == [HostedServices("", 77, ("Agent",), None, program)]


@pytest.mark.parametrize(
    ("command", "image"),
    [
        (r"C:\Windows\system32\svchost.exe -k netsvcs -p", r"C:\Windows\system32\svchost.exe"),
        (r'"C:\Program Files\A\a.exe" /x', r"C:\Program Files\A\a.exe"),
        (r"C:\Program Files\A B\a.exe /x b.exe", r"C:\Program Files\A B\a.exe"),
        (r"system32\drivers\x.sys", r"system32\drivers\x.sys"),
        ("", None),
        (None, None),
        ('"', '"'),
    ],
)
def test_the_program_of_a_service(tmp_path: Path, command: str | None, image: str | None) -> None:
    text = json.dumps([{"Name": "S", "ProcessId": 5, "PathName": command, "SystemName": "WS5"}])
    assert one(services, tmp_path, text).services == [HostedServices("WS5", 5, ("S",), None, image)]


@pytest.mark.parametrize("name", ["svchost.exe", "System Idle Process", "CHROME.EXE"])
def test_a_list_of_processes_is_refused(tmp_path: Path, name: str) -> None:
    """It looks the same, and would make every program a service."""
    with pytest.raises(AttributionError, match=r"line 2: .* is a program: a list of processes is no list of services"):
        one(services, tmp_path, csv_of({"Name": name, "ProcessId": 948}))


@pytest.mark.parametrize(
    "columns",
    [("Name", "ProcessId", "CommandLine"), ("Name", "ProcessId", "ParentProcessId"), ("name", "pid", "status")],
)
def test_lists_of_processes_are_not_recognised(tmp_path: Path, columns: tuple[str, ...]) -> None:
    path = tmp_path / "processes.csv"
    path.write_text(csv_of(dict.fromkeys(columns, "1")))
    with TextFile(str(path)) as file:
        assert not services.recognises(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"Image Name","PID","Services"\n"a.exe","x","N/A"\n', "line 2: 'x' is no pid"),
        ('"Image Name","PID","Services"\n"a.exe","5"\n', "line 2: has 2 columns, the header 3"),
        (json.dumps([{"Name": "S", "ProcessId": "x", "State": "Running"}]), "line 1: 'x' is no pid"),
        (json.dumps([{"Name": 5, "ProcessId": 5, "State": "Running"}]), "line 1: 5 is no text"),
        (json.dumps([{"Name": None, "ProcessId": 5, "State": "Running"}]), "line 1: has no Name"),
        (json.dumps([{"Name": "S", "ProcessId": 0, "State": "Stopped"}]), "none of its 1 rows is of use"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(AttributionError) as caught:
        one(services, tmp_path, text)
    assert expected in str(caught.value)
