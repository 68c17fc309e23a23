"""Socket records as they are written: what is read back is what was meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agent.attribution.formats import open_source
from agent.attribution.values import SocketRecord
from agent.attribution.written import record_line
from agent.model.address import parse_endpoint
from agent.model.device import Device, Family
from agent.model.moment import SECOND
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Confidence

T0 = 1_700_000_000 * SECOND
OWNER = Subject(
    image="/usr/sbin/nginx", canonical_image="/usr/sbin/nginx", services=("nginx.service",), pid=812,
    process_created=T0 - SECOND, user="www", source="live",
)  # fmt: skip
LINUX = Device(assumed=True, family=Family.LINUX)


def record(subject: Subject = OWNER, **changes: Any) -> SocketRecord:
    plain = SocketRecord(
        T0, T0 + SECOND, 6, parse_endpoint("10.0.0.5:443"), parse_endpoint("[2001:db8::7]:50000"), subject, False
    )
    return plain._replace(**changes)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(record(remote=parse_endpoint("192.0.2.7:50000")), id="connection"),
        pytest.param(
            record(local=parse_endpoint("[::]:443"), remote=None, initiated=None, listening=True), id="listener"
        ),
        pytest.param(
            record(protocol=17, local=parse_endpoint("10.0.0.5:53"), remote=None, initiated=None), id="unbound"
        ),
        pytest.param(record(local=parse_endpoint("[2001:db8::5]:443"), end=T0 + 2 * SECOND), id="ipv6"),
    ],
)  # fmt: skip
def test_what_is_written_is_read_back(written: SocketRecord, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(record_line(written, parent_pid=1))
    schema = json.loads((root / "policies" / "socket-record.schema.json").read_text("utf-8"))
    row = json.loads(path.read_bytes())
    jsonschema.Draft202012Validator(schema).validate(row)
    assert row["parent_pid"] == 1
    source = open_source(str(path), device=LINUX)
    assert source.complete
    (read,) = source.timeline.records()  # type: ignore[attr-defined]
    subject = written.subject
    assert read._replace(subject=subject) == written
    assert (read.subject.pid, read.subject.process_created) == (812, T0 - SECOND)
    assert (read.subject.services, read.subject.user) == (subject.services, "www")
    assert read.subject.confidence is Confidence.HIGH


@pytest.mark.parametrize("confidence", list(Confidence))
def test_who_was_not_sure_is_not_sure_when_read(confidence: Confidence, tmp_path: Path) -> None:
    """A pid that a driver guessed must not become a fact by being written down."""
    path = tmp_path / "r.jsonl"
    subject = Subject(pid=9, source="etl2pcapng", confidence=confidence)
    path.write_bytes(record_line(record(subject, remote=parse_endpoint("192.0.2.7:50000"))))
    (read,) = open_source(str(path)).timeline.records()  # type: ignore[attr-defined]
    assert read.subject.confidence is confidence


def test_records_of_an_incomplete_source_do_not_become_complete(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    one = record(remote=parse_endpoint("192.0.2.7:50000"))
    path.write_bytes(record_line(one) + record_line(one, complete=False))
    assert not open_source(str(path)).complete


def test_a_path_inside_a_container_is_not_written_as_the_hosts(tmp_path: Path) -> None:
    inside = Subject(image="/usr/bin/curl", pid=9, container="docker:1", source="live")
    row = json.loads(record_line(record(inside)))
    assert (row["image"], row["container"]) == (None, "docker:1")


def test_a_record_without_an_owner_attributes_nobody(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(record_line(record(UNATTRIBUTED, remote=parse_endpoint("192.0.2.7:50000"))))
    (read,) = open_source(str(path)).timeline.records()  # type: ignore[attr-defined]
    assert read.subject is UNATTRIBUTED


def test_half_a_surrogate_pair_in_a_path_can_be_written() -> None:
    row = json.loads(record_line(record(Subject(image="/tmp/\ud800", pid=1, source="live"))))
    assert row["image"] == "/tmp/?"
