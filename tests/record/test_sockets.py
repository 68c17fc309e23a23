"""Socket records of a recording: what our own reader makes of them, and what stays when a disk is full."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

from agent.attribution.sockets import load_socket_records
from agent.attribution.values import Owner
from agent.model.address import parse_address, parse_endpoint
from agent.model.device import Family
from agent.model.errors import EnvironmentFailure
from agent.model.moment import SECOND
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence
from agent.record.kept import KeptFile
from agent.record.owners import Conversation
from agent.record.processes import ProcessFacts
from agent.record.sockets import SocketBook

START = 1_767_603_600 * SECOND
US, PEER = parse_address("10.0.0.5").value, parse_address("203.0.113.9").value
WEB = Subject(
    image="/usr/sbin/nginx",
    canonical_image="/usr/sbin/nginx",
    services=("nginx.service",),
    pid=812,
    process_created=START - SECOND,
    user="www",
    source="live",
)


def conversation(owner: Owner | None, *, start: int = START, protocol: int = 6) -> Conversation:
    known = Conversation(protocol, 4, US, 50000, PEER, 443, start)
    known.owner = owner
    known.initiated = True
    return known


def book(path: Path) -> SocketBook:
    return SocketBook(str(path), ProcessFacts(lambda subject: SimpleNamespace(parent=640, name="web", uid=33)))


def written(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_path_that_is_another_file_here_is_not_written(tmp_path: Path) -> None:
    """In a mount namespace of one's own a file may lie at the path of any program."""
    path = tmp_path / "s.jsonl"
    records = book(path)
    records.add(conversation(Owner(replace(WEB, canonical_image=None))), None)
    records.close()
    assert written(path)[0]["image"] is None
    owner = load_socket_records(str(path), family=Family.LINUX).find(6, 4, US, 50000, PEER, 443, START, 2)
    assert owner is not None
    assert (owner.subject.pid, owner.subject.canonical_image) == (812, None)


def test_a_record_says_all_that_is_known(tmp_path: Path, root: Path) -> None:
    path = tmp_path / "s.jsonl"
    records = book(path)
    records.add(conversation(Owner(WEB)), START + 5)
    records.listener(START, 6, parse_endpoint("[::]:443"), Owner(WEB, listening=True))
    records.close()
    first, second = written(path)
    assert first == {
        "start": "2026-01-05T09:00:00.000000Z",
        "end": "2026-01-05T09:00:00.000000005Z",
        "protocol": "tcp",
        "local": "10.0.0.5:50000",
        "remote": "203.0.113.9:443",
        "initiated": True,
        "pid": 812,
        "process_created": "2026-01-05T08:59:59.000000Z",
        "image": "/usr/sbin/nginx",
        "services": ["nginx.service"],
        "user": "www",
        "parent_pid": 640,
    }
    assert (second["local"], second["remote"], second["end"], second["state"]) == ("[::]:443", None, None, "LISTEN")
    schema = json.loads((root / "policies" / "socket-record.schema.json").read_text("utf-8"))
    for record in (first, second):
        jsonschema.validate(record, schema)


def test_our_reader_finds_the_same_owner(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    records = book(path)
    records.add(conversation(Owner(WEB)), None)
    records.close()
    owner = load_socket_records(str(path), family=Family.LINUX, slack_ns=0).find(6, 4, US, 50000, PEER, 443, START, 2)
    assert owner is not None
    found = owner.subject
    assert (found.pid, found.image, found.canonical_image, found.services, found.user, owner.initiated) == (
        812, "/usr/sbin/nginx", "/usr/sbin/nginx", ("nginx.service",), "www", True
    )  # fmt: skip


def test_several_that_it_may_be_stay_several(tmp_path: Path) -> None:
    """A reader takes none of them for the owner."""
    other = replace(WEB, pid=813, confidence=Confidence.LOW)
    doubtful = replace(WEB, confidence=Confidence.LOW, candidates=(replace(WEB, confidence=Confidence.LOW), other))
    path = tmp_path / "s.jsonl"
    records = book(path)
    records.add(conversation(Owner(doubtful)), None)
    records.close()
    assert [record["pid"] for record in written(path)] == [812, 813]
    owner = load_socket_records(str(path), family=Family.LINUX).find(6, 4, US, 50000, PEER, 443, START, 2)
    assert owner is not None
    assert owner.subject.confidence is Confidence.LOW


def test_who_had_the_ports_before_is_not_taken_for_their_owner_now(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    records = book(path)
    records.add(conversation(Owner(WEB)), START + SECOND)
    records.add(conversation(None, start=START + 2 * SECOND), None)
    records.close()
    source = load_socket_records(str(path), family=Family.LINUX)
    later = source.find(6, 4, US, 50000, PEER, 443, START + 3 * SECOND, 2)
    assert later is not None
    assert (later.subject.pid, later.subject.canonical_image, later.subject.services) == (None, None, None)


def test_an_image_that_is_another_file_here_meets_no_rule_elsewhere(tmp_path: Path) -> None:
    """A container's /usr/sbin/nginx is not the host's."""
    path = tmp_path / "s.jsonl"
    records = book(path)
    records.add(conversation(Owner(replace(WEB, canonical_image=None, container="docker:1f"))), None)
    records.close()
    [record] = written(path)
    assert (record["image"], record["container"]) == (None, "docker:1f")


def test_a_full_disk_keeps_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    file = KeptFile(str(path))
    file.write(b'{"whole":1}\n')

    def full(data: memoryview) -> int:
        # Half of it arrives: what a disk that fills up does.
        if len(data) > 4:
            return raw.write(data[:4])
        raise OSError(28, "No space left on device")

    raw = file._file
    file._file = SimpleNamespace(write=full, truncate=raw.truncate, close=raw.close, closed=False)  # type: ignore[assignment]
    with pytest.raises(EnvironmentFailure, match="No space left on device; what was written before is kept"):
        file.write(b'{"torn":12}\n')
    assert path.read_bytes() == b'{"whole":1}\n'
    assert list(tmp_path.iterdir()) == [path]
