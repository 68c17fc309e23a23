"""Zeek's conn.log: who opened a connection, as far as Zeek saw it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.attribution.evidence import NOBODY, Context, Observation, Side
from agent.attribution.logs import zeek
from agent.attribution.textfile import TextFile
from agent.model.address import parse_endpoint
from agent.model.errors import AttributionError
from agent.model.moment import parse_time
from tests.attribution.logs.samples import ZEEK, ZEEK_HEAD, ZEEK_JSON, one, warned

T0 = parse_time("2026-01-05T09:00:00Z")
EXPECTED = Observation(
    host="",
    time=T0 + 123_000,
    protocol=6,
    first=parse_endpoint("10.0.0.5:50123"),
    second=parse_endpoint("203.0.113.9:443"),
    local=Side.UNSURE,
    claim=NOBODY,
    end=T0 + 1_500_123_000,
    proves_address=False,
)


def row(**changes: str) -> str:
    fields = {
        "ts": "1767603600.000123",
        "uid": "C",
        "id.orig_h": "10.0.0.5",
        "id.orig_p": "50123",
        "id.resp_h": "203.0.113.9",
        "id.resp_p": "443",
        "proto": "tcp",
        "duration": "1.5",
        "conn_state": "SF",
        "history": "ShADadFf",
    }
    return "\t".join((fields | {key.replace("id_", "id."): value for key, value in changes.items()}).values()) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(ZEEK, id="tabs"),
        pytest.param(ZEEK.replace("\t", "|").replace("\\x09", "|"), id="other-separator"),
        pytest.param(ZEEK.replace("#path\tconn\n", ""), id="without-path"),
        pytest.param(ZEEK_JSON, id="json"),
        pytest.param(json.dumps({"_path": "conn", **json.loads(ZEEK_JSON)}) + "\n", id="json-with-path"),
        pytest.param(ZEEK_JSON.replace("1767603600.000123", '"2026-01-05T09:00:00.000123Z"'), id="json-iso-8601"),
    ],
)
def test_the_originator_is_first(tmp_path: Path, text: str) -> None:
    witness = one(zeek, tmp_path, text)
    assert witness.observations == [EXPECTED]
    assert (witness.name, witness.witness, witness.warnings) == ("zeek", True, [])


def test_nested_ids(tmp_path: Path) -> None:
    value = json.loads(ZEEK_JSON)
    ids: dict[str, Any] = {key.removeprefix("id."): value.pop(key) for key in list(value) if key.startswith("id.")}
    path = tmp_path / "nested.log"
    path.write_text(json.dumps({**value, "id": ids}) + "\n")
    with TextFile(str(path)) as file:
        assert zeek.recognises(file)
        assert zeek.load(file, Context())[0].observations == [EXPECTED]


@pytest.mark.parametrize(
    ("proto", "history", "used"),
    [
        ("tcp", "ShADadFf", True),
        ("tcp", "S", True),
        ("tcp", "^hadr", True),
        ("tcp", "Sr", True),
        ("tcp", "^r", False),
        ("tcp", "^S", False),
        ("tcp", "R", False),
        ("tcp", "DadA", False),
        ("tcp", "-", False),
        ("udp", "D", True),
        ("udp", "Dd", True),
        ("udp", "^d", False),
        ("udp", "^dD", False),
        ("udp", "-", False),
        ("icmp", "-", False),
        ("unknown_transport", "-", False),
    ],
)
def test_what_zeek_guessed_is_no_evidence(tmp_path: Path, proto: str, history: str, used: bool) -> None:
    """A guess is never presented as a fact, even where it is somebody else's."""
    witness = one(zeek, tmp_path, ZEEK + row(proto=proto, history=history))
    assert len(witness.observations) == 1 + used
    assert ("rows_skipped" in warned(witness)) == (not used)


def test_unset_fields(tmp_path: Path) -> None:
    witness = one(zeek, tmp_path, ZEEK_HEAD + row(duration="-"))
    assert (witness.observations[0].time, witness.observations[0].end) == (T0 + 123_000, T0 + 123_000)


def test_headers_recur(tmp_path: Path) -> None:
    assert len(one(zeek, tmp_path, ZEEK + ZEEK).observations) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ZEEK_HEAD + row(id_orig_h="host"), "'host' is not an IPv4 or IPv6 address"),
        (ZEEK_HEAD + row(id_orig_p="x"), "'x' is no port"),
        (ZEEK_HEAD + row(id_orig_p="-"), "id.orig_p is missing"),
        (ZEEK_HEAD + row(ts="soon"), "'soon' is not an RFC 3339 time"),
        (ZEEK_HEAD + row(ts="99999999999.5"), "is no time"),
        (ZEEK_HEAD + row(duration="-1"), "'-1' is no time"),
        (ZEEK_HEAD + row()[:-1] + "\tmore\n", "has 11 columns, the header 10"),
        (row(), "has 10 columns, the header 1"),
        (ZEEK.replace("id.resp_h", "resp"), "line 7: is no conn.log: it has no field id.resp_h"),
        (ZEEK_JSON.replace("1767603600.000123", "true"), "'True' is no time"),
        (ZEEK_JSON.replace("1767603600.000123", "null"), "ts is missing"),
    ],
)
def test_broken_rows_are_named(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(AttributionError) as caught:
        one(zeek, tmp_path, "#\n" + text if text == row() else text)
    assert expected in str(caught.value)


def test_a_real_log_row_by_row(sample_capture: Callable[[str], Path]) -> None:
    """Its capture holds one side only, so Zeek turned most directions; of TCP a SYN+ACK backs nearly all."""
    with TextFile(str(sample_capture("otrf-lsass01.zeek-conn.log"))) as file:
        assert zeek.recognises(file)
        [witness] = zeek.load(file, Context())
    assert len(witness.observations) == 44
    assert sum(observation.protocol == 6 for observation in witness.observations) == 35
    assert warned(witness)["rows_skipped"].endswith(
        "68 rows were not used: 67 whose direction Zeek did not see either, 1 of protocols without ports"
    )
    assert {str(observation.second) for observation in witness.observations} >= {"10.0.5.13:80"}
