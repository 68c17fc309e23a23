"""A file's format is told by its content, and a wrong guess is impossible to miss."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from agent.attribution.formats import FORMATS, open_source
from agent.model.device import Device, Family
from agent.model.errors import AttributionError, UsageError
from agent.model.moment import SECOND, parse_time

RECORD = '{"start":"2026-01-05T09:00:00Z","end":"2026-01-05T09:00:00Z","protocol":"tcp","local":"10.0.0.5:1"}\n'
T0 = parse_time("2026-01-05T09:00:00Z")


def file(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "log.dat"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(RECORD, id="plain"),
        pytest.param("\n  \n" + RECORD, id="after-blank-lines"),
        pytest.param(b"\xef\xbb\xbf" + RECORD.encode(), id="byte-order-mark"),
        pytest.param(gzip.compress(RECORD.encode()), id="gzip"),
        pytest.param(("\ufeff" + RECORD.replace("\n", "\r\n")).encode("utf-16-le"), id="utf-16"),
        pytest.param(RECORD.rstrip("\n"), id="without-newline"),
    ],
)
def test_socket_records_are_told_by_content(tmp_path: Path, content: str | bytes) -> None:
    source = open_source(file(tmp_path, content))
    assert (source.name, source.complete) == ("sockets", True)
    assert source.find(6, 4, 0x0A000005, 1, 9, 9, T0, 1) is not None


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\n\n \n", "is empty", id="blank"),
        pytest.param(gzip.compress(b""), "is empty", id="empty-inside-gzip"),
        pytest.param(b"\x0a\x0d\x0d\x0a\x1c\0\0\0", "is a pcapng capture", id="pcapng"),
        pytest.param(b"\xd4\xc3\xb2\xa1\2\0\4\0", "is a pcap capture", id="pcap"),
        pytest.param('<?xml version="1.0"?><Events>', "is XML", id="xml"),
        pytest.param("#Version: 1.5\n#Software: Microsoft", "is a firewall log", id="pfirewall"),
        pytest.param("#separator \\x09\n", "is a Zeek log", id="zeek"),
        pytest.param('[{"start":1}]', "is a JSON list; one object a line is wanted", id="json-list"),
        pytest.param("\ufeff{}".encode("utf-16-le"), "first object has no keys", id="utf-16"),
        pytest.param('{"EventID":3,"Image":"C:\\\\a.exe"}\n', "first object has the keys EventID, Image", id="sysmon"),
        pytest.param('{"start":"2026-01-05T09:00:00Z"}\n', "first object has the keys start", id="one-key-of-three"),
        pytest.param("{}\n", "first object has no keys", id="no-keys"),
        pytest.param("{not json}\n", "first line begins like JSON but is not", id="not-json"),
        pytest.param("tcp LISTEN 0 128\n", "is text that begins with 'tcp LISTEN 0 128'", id="text"),
        pytest.param(b"\xfd7zXZ\0\0", "is xz data; gzip and zstd are read", id="xz"),
        pytest.param(bytes(range(1, 30)), "is binary data that begins with 01 02 03", id="binary"),
    ],
)
def test_an_unknown_format_says_what_was_seen_and_what_is_known(
    tmp_path: Path, content: str | bytes, seen: str
) -> None:
    path = file(tmp_path, content)
    with pytest.raises(AttributionError) as caught:
        open_source(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert seen in text
    assert text.endswith("known formats: sockets, events, hunting, firewall, zeek, ss, psutil, services")
    assert "\n" not in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("missing", ["start", "protocol", "local"])
def test_a_record_that_lacks_one_key_gets_the_loaders_message(tmp_path: Path, missing: str) -> None:
    """Two of three mandatory keys are our format, written wrongly."""
    content = RECORD.replace(f'"{missing}"', '"other"')
    with pytest.raises(AttributionError, match=f"line 1: {missing} is missing"):
        open_source(file(tmp_path, content))


def test_a_named_format_is_not_guessed(tmp_path: Path) -> None:
    """Then an empty file is a host without sockets, which no log can say, and another format is a broken line."""
    assert open_source(file(tmp_path, ""), format="sockets").complete
    with pytest.raises(AttributionError, match="is empty"):
        open_source(file(tmp_path, ""), format="events")
    with pytest.raises(AttributionError, match="line 1: start is missing"):
        open_source(file(tmp_path, '{"EventID":3}\n'), format="sockets")


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'nothing' is no attribution format; known: sockets, events"):
        open_source(file(tmp_path, RECORD), format="nothing")
    with pytest.raises(UsageError, match=r"'sysmn' is no attribution format; did you mean sysmon\?"):
        open_source(file(tmp_path, RECORD), format="sysmn")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AttributionError, match=r"absent\.jsonl: cannot be read: No such file"):
        open_source(str(tmp_path / "absent.jsonl"))


def test_format_names_are_unique() -> None:
    names = [known.name for known in FORMATS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("device", "image", "canonical"),
    [
        (None, r"C:\\a.exe", r"C:\A.EXE"),
        (Device(family=Family.LINUX), "/usr/bin/a", "/usr/bin/a"),
        (Device(drives={r"\Device\HarddiskVolume3": "C:"}), r"\\Device\\HarddiskVolume3\\a.exe", r"C:\A.EXE"),
    ],
    ids=["assumed-windows", "linux", "drive-map"],
)
def test_the_device_gives_images_their_form(tmp_path: Path, device: Device | None, image: str, canonical: str) -> None:
    content = RECORD.replace("}", f',"image":"{image}"}}')
    owner = open_source(file(tmp_path, content), device=device).find(6, 4, 0x0A000005, 1, 9, 9, T0, 1)
    assert owner is not None
    assert owner.subject.canonical_image == canonical


@pytest.mark.parametrize(
    ("environment", "known"),
    [({}, True), ({"programfiles": r"C:\Program Files"}, True), ({"ProgramFiles": r"D:\Programs"}, False)],
    ids=["not-described", "described", "elsewhere"],
)
def test_packages_lie_below_the_devices_program_files(tmp_path: Path, environment: dict[str, str], known: bool) -> None:
    image = r"C:\\Program Files\\WindowsApps\\MSTeams_1.2.3.4_x64__8wekyb3d8bbwe\\a.exe"
    path = file(tmp_path, RECORD.replace("}", f',"image":"{image}"}}'))
    assert ("package" in open_source(path, device=Device(environment=environment)).facts) == known


def test_slack_is_the_settings(tmp_path: Path) -> None:
    path = file(tmp_path, RECORD)
    late = T0 + 60 * SECOND
    assert open_source(path).find(6, 4, 0x0A000005, 1, 9, 9, late, 1) is not None
    assert open_source(path, slack_ns=59 * SECOND).find(6, 4, 0x0A000005, 1, 9, 9, late, 1) is None
