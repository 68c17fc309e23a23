"""Dumps of psutil's connections, in every way people write them; and a real one of this process."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent.attribution.evidence import FOREVER, Claim, Observation, Rank, Side
from agent.attribution.logs import psutildump
from agent.attribution.textfile import TextFile
from agent.model.address import parse_endpoint
from agent.model.errors import AttributionError
from tests.attribution.logs.samples import PSUTIL, one, warned

ROW: dict[str, Any] = {
    "fd": 3,
    "family": 2,
    "type": 1,
    "laddr": ["10.0.0.5", 50123],
    "raddr": ["203.0.113.9", 443],
    "status": "ESTABLISHED",
    "pid": 4242,
}
EXPECTED = Observation(
    host="",
    time=0,
    protocol=6,
    first=parse_endpoint("10.0.0.5:50123"),
    second=parse_endpoint("203.0.113.9:443"),
    local=Side.FIRST,
    claim=Claim(pid=4242),
    end=FOREVER,
)


def seen(tmp_path: Path, **changes: Any) -> Observation:
    [observation] = one(psutildump, tmp_path, json.dumps([{**ROW, **changes}])).observations
    return observation


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(json.dumps([list(ROW.values())]), id="named-tuples"),
        pytest.param(json.dumps([list(ROW.values())], indent=2), id="named-tuples-indented"),
        pytest.param(json.dumps([ROW]), id="list"),
        pytest.param(json.dumps([ROW], indent=2), id="list-indented"),
        pytest.param(json.dumps(ROW) + "\n", id="lines"),
        pytest.param(json.dumps(ROW, indent=2), id="one-object"),
        pytest.param(
            json.dumps(
                [{**ROW, "laddr": {"ip": "10.0.0.5", "port": 50123}, "raddr": {"ip": "203.0.113.9", "port": 443}}]
            ),
            id="ip-port",
        ),
        pytest.param(json.dumps([{**ROW, "laddr": "10.0.0.5:50123", "raddr": "203.0.113.9:443"}]), id="texts"),
        pytest.param(
            json.dumps([{**ROW, "family": "AddressFamily.AF_INET", "type": "SocketKind.SOCK_STREAM"}]), id="enum-texts"
        ),
        pytest.param(json.dumps([{**ROW, "family": "AF_INET", "type": "SOCK_STREAM"}]), id="enum-names"),
        pytest.param(json.dumps([{**ROW, "type": "tcp"}]), id="protocol"),
    ],
)
def test_the_same_row_however_it_is_dumped(tmp_path: Path, text: str) -> None:
    collector = one(psutildump, tmp_path, text)
    assert collector.observations == [EXPECTED]
    assert (collector.name, collector.rank, collector.timeless) == ("psutil", Rank.SNAPSHOT, True)
    assert collector.warnings == []


@pytest.mark.parametrize(
    ("changes", "first", "second", "listening"),
    [
        ({"raddr": [], "status": "LISTEN"}, "10.0.0.5:50123", None, True),
        ({"raddr": None, "status": "CONN_LISTEN"}, "10.0.0.5:50123", None, True),
        ({"raddr": "", "status": "NONE", "type": 2}, "10.0.0.5:50123", None, False),
        ({"laddr": ["::", 22], "raddr": {}}, "[::]:22", None, False),
        ({"laddr": ["0.0.0.0", 22], "raddr": ["0.0.0.0", 0]}, "0.0.0.0:22", None, False),
        ({"laddr": "::1:22", "raddr": "[::1]:4000"}, "[::1]:22", "[::1]:4000", False),
        ({"laddr": ["::ffff:10.0.0.5", 22], "raddr": ["::ffff:10.0.0.9", 1]}, "10.0.0.5:22", "10.0.0.9:1", False),
        ({"laddr": ["fe80::5%en0", 22]}, "[fe80::5]:22", "203.0.113.9:443", False),
    ],
)
def test_ends(tmp_path: Path, changes: dict[str, Any], first: str, second: str | None, listening: bool) -> None:
    observation = seen(tmp_path, **changes)
    assert (str(observation.first), observation.listening) == (first, listening)
    assert (None if observation.second is None else str(observation.second)) == second


def test_facts_of_the_process_beside_it(tmp_path: Path) -> None:
    facts = {
        "exe": "/usr/bin/curl",
        "name": "curl",
        "create_time": 1767603600.25,
        "username": "ann",
        "cmdline": ["curl", "-s"],
    }
    assert seen(tmp_path, **facts).claim == Claim(
        pid=4242, created=1_767_603_600_250_000_000, image="/usr/bin/curl", command_line="curl -s", user="ann"
    )


@pytest.mark.parametrize(
    ("name", "image"), [("curl", "curl"), ("/usr/bin/curl", None), ("C:\\a.exe", None), ("", None)]
)
def test_a_name_is_no_path(tmp_path: Path, name: str, image: str | None) -> None:
    """Processes choose their names."""
    assert seen(tmp_path, name=name).claim.image == image


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pid": None}, "without a process"),
        ({"pid": 0}, "without a process"),
        ({"family": 1, "laddr": "/run/x.sock"}, "of sockets that are neither TCP nor UDP"),
        ({"family": "AF_UNIX", "laddr": "/run/x.sock"}, "of sockets that are neither TCP nor UDP"),
        ({"type": 5}, "of sockets that are neither TCP nor UDP"),
        ({"type": None}, "of sockets that are neither TCP nor UDP"),
        ({"type": []}, "of sockets that are neither TCP nor UDP"),
        ({"laddr": []}, "of sockets that are not bound"),
    ],
)
def test_rows_that_show_no_owner_are_counted(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    collector = one(psutildump, tmp_path, json.dumps([ROW, {**ROW, **changes}]))
    assert collector.observations == [EXPECTED]
    assert warned(collector)["rows_skipped"].endswith(f"1 {reason}")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"laddr": ["host", 1]}, "'host' is not an IPv4 or IPv6 address"),
        ({"laddr": ["10.0.0.5", -1]}, "-1 is no port"),
        ({"laddr": ["10.0.0.5"]}, "is no address and port"),
        ({"laddr": 5}, "'5' is no address and port"),
        ({"laddr": {"ip": "10.0.0.5"}}, "None is no port"),
        ({"pid": "x"}, "'x' is no pid"),
        ({"exe": 5}, "5 is no text"),
        ({"create_time": "8am"}, "create_time '8am' is no number of seconds"),
        ({"create_time": -5}, "-5 is no time"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(AttributionError) as caught:
        one(psutildump, tmp_path, json.dumps([{**ROW, **changes}]))
    assert f"line 1: {expected}" in str(caught.value) or expected in str(caught.value)


def test_rows_of_another_shape_are_broken(tmp_path: Path) -> None:
    """psutil's older connections of one process have six fields, and no pid."""
    rows = json.loads(PSUTIL)
    with pytest.raises(AttributionError, match="is no row of seven fields"):
        one(psutildump, tmp_path, json.dumps([*rows, rows[0][:6]]))


def test_a_real_dump_of_this_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.bind(("::1", 0))
        ports = {6: server.getsockname()[1], 17: udp.getsockname()[1]}
        own = [row for row in psutil.net_connections("inet") if row.pid == os.getpid()]
    path = tmp_path / "dump.json"
    for text in (json.dumps(own), json.dumps([row._asdict() for row in own])):
        path.write_text(text)
        with TextFile(str(path)) as file:
            assert psutildump.recognises(file)
        found = {
            observation.protocol: (observation.first.port, observation.listening, observation.claim.pid)
            for observation in one(psutildump, tmp_path, text).observations
            if observation.first.port in ports.values()
        }
        assert found == {6: (ports[6], True, os.getpid()), 17: (ports[17], False, os.getpid())}
