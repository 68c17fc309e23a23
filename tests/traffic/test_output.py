"""Three files or none, and what is in them can be read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.capture.reader import open_capture
from agent.model.errors import EnvironmentFailure, UsageError
from agent.policy.document import load_device, load_mapping
from agent.traffic.generate import Generated
from agent.traffic.output import device_yaml, socket_lines, write
from tests.traffic.builders import DEVICE, EVERY_BUILTIN, play, played

PING = {"kind": "ping", "remote": "203.0.113.9"}


def small() -> Generated:
    return play(PING, {"kind": "tls", "process": "tool", "remote": "203.0.113.9"})


def paths(folder: Path) -> tuple[str, str, str]:
    return str(folder / "out.pcapng"), str(folder / "out.jsonl"), str(folder / "out.yaml")


def test_capture_holds_every_packet_as_generated(tmp_path: Path) -> None:
    generated = small()
    capture, _, _ = paths(tmp_path)
    write(generated, capture, None, None)
    reader = open_capture(capture)
    found = []
    while (batch := reader.next_batch()) is not None:
        for record in range(batch.count):
            time, offset, lengths, bits = batch.records[record * 5 : record * 5 + 4]
            data = bytes(batch.data[offset : offset + (lengths >> 32)])
            found.append((time, data, bits >> 32 & 3))
    assert found == [tuple(packet) for packet in generated.packets]
    (interface,) = reader.interfaces
    assert [str(address) for address in interface.addresses] == DEVICE["addresses"]
    reader.close()


def test_sockets_are_one_json_object_a_line(tmp_path: Path) -> None:
    generated = small()
    capture, sockets, _ = paths(tmp_path)
    write(generated, capture, sockets, None)
    lines = Path(sockets).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == generated.sockets


def test_record_has_the_keys_of_the_contract() -> None:
    (line,) = socket_lines(
        play({"kind": "tcp", "process": "tool", "remote": "203.0.113.9", "port": "443"})
    ).splitlines()
    record = json.loads(line)
    assert list(record) == [
        "start", "end", "protocol", "local", "remote", "initiated", "pid", "process_created", "image", "services",
        "package_family_name", "user", "parent_pid",
    ]  # fmt: skip
    assert record["protocol"] == "tcp"
    assert record["remote"] == "203.0.113.9:443"
    assert record["initiated"] is True
    assert (record["pid"], record["parent_pid"], record["user"]) == (4242, 640, "LAB\\ann")


def test_listener_has_a_state_and_no_remote() -> None:
    generated = play(
        {"kind": "tcp", "process": "tool", "remote": "203.0.113.9", "port": "7000", "direction": "inbound"}
    )
    listener, accepted = generated.sockets
    assert (listener["local"], listener["remote"], listener["state"]) == ("0.0.0.0:7000", None, "LISTEN")
    assert (accepted["local"], accepted["initiated"]) == ("10.20.0.15:7000", False)


@pytest.mark.parametrize("name", EVERY_BUILTIN)
def test_device_document_is_one_that_the_agent_reads(name: str, tmp_path: Path) -> None:
    path = tmp_path / "device.yaml"
    path.write_text(device_yaml(played(name).device), encoding="utf-8")
    device = load_device(str(path))
    assert device.addresses
    assert device.executables


def test_yaml_keeps_every_text() -> None:
    device = {
        "version": "1",
        "name": 'it\'s: a # "test"',
        "tags": ["no", "1:2", " blank ", "- dash", "", "é", "C:\\Windows"],
        "drives": {"\\Device\\HarddiskVolume3": "C:"},
        "environment": {f"VARIABLE{number}": "C:\\Some Folder" for number in range(9)},
        "known_names": {"203.0.113.9": ["a.test", "b.test"]},
        "packages": [],
        "os_version": None,
    }
    assert load_mapping(device_yaml(device).encode(), name="device.yaml") == device  # type: ignore[arg-type]


def test_output_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    capture, sockets, _ = paths(tmp_path)
    missing = str(tmp_path / "missing" / "out.yaml")
    with pytest.raises(EnvironmentFailure, match="missing"):
        write(small(), capture, sockets, missing)
    assert list(tmp_path.iterdir()) == []


def test_capture_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    _, sockets, device = paths(tmp_path)
    with pytest.raises(EnvironmentFailure, match="missing"):
        write(small(), str(tmp_path / "missing" / "out.pcapng"), sockets, device)
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_what_was_there(tmp_path: Path) -> None:
    capture, sockets, _ = paths(tmp_path)
    Path(capture).write_bytes(b"old")
    Path(sockets).write_bytes(b"old")
    with pytest.raises(EnvironmentFailure):
        write(small(), capture, sockets, str(tmp_path / "missing" / "out.yaml"))
    assert (Path(capture).read_bytes(), Path(sockets).read_bytes()) == (b"old", b"old")


def test_two_outputs_need_two_files(tmp_path: Path) -> None:
    capture, sockets, _ = paths(tmp_path)
    with pytest.raises(UsageError, match="named for two outputs"):
        write(small(), capture, sockets, sockets)
    assert list(tmp_path.iterdir()) == []


def test_same_scenario_gives_the_same_files(tmp_path: Path) -> None:
    contents = []
    for attempt in ("a", "b"):
        folder = tmp_path / attempt
        folder.mkdir()
        write(small(), *paths(folder))
        contents.append([Path(path).read_bytes() for path in paths(folder)])
    assert contents[0] == contents[1]
