"""Binary event logs: read through the library, and every way in which that can fail is one line."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest

from agent.attribution.evidence import Context
from agent.attribution.logs.eventlog import EventLog, load, recognises
from agent.attribution.logs.evtx import evtx_texts
from agent.attribution.textfile import TextFile
from agent.model.errors import AttributionError, EnvironmentFailure
from tests.attribution.logs.evtxwriter import CHUNK_HEADER, FILE_HEADER, Element, evtx
from tests.attribution.logs.wrapped import CONNECTION, evtx_file


def file(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "Security.evtx"
    path.write_bytes(content)
    return str(path)


def test_records_come_in_their_order(tmp_path: Path) -> None:
    with TextFile(file(tmp_path, evtx([Element(name="Event", text=f"number {n}") for n in range(50)]))) as opened:
        texts = list(evtx_texts(opened))
    assert [number for number, _ in texts] == list(range(1, 51))
    assert all(isinstance(text, bytes) and f"number {n}".encode() in text for n, (_, text) in enumerate(texts))


def test_a_log_without_events_gives_none(tmp_path: Path) -> None:
    with TextFile(file(tmp_path, evtx([]))) as opened:
        assert load(opened, Context()) == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"ElfFile\0", id="only-the-mark"),
        pytest.param(evtx_file(CONNECTION)[:2000], id="cut-in-the-header"),
        pytest.param(evtx_file(CONNECTION)[: FILE_HEADER + CHUNK_HEADER + 100], id="cut-in-a-record"),
    ],
)
def test_a_damaged_file_is_an_error_of_one_line(tmp_path: Path, content: bytes) -> None:
    with TextFile(file(tmp_path, content)) as opened:
        assert recognises(opened)
        with pytest.raises(AttributionError, match=r"Security\.evtx: .*(is no readable|breaks off)") as raised:
            EventLog(opened, Context())
    assert "\n" not in str(raised.value)


def test_a_file_that_breaks_off_says_so(tmp_path: Path) -> None:
    """Two chunks promised, one there: its events are used."""
    content = bytearray(evtx_file(CONNECTION))
    content[42] = 2
    with TextFile(file(tmp_path, bytes(content))) as opened:
        [collector] = EventLog(opened, Context(lenient=True)).collectors()
    assert len(collector.observations) == 1
    [(_, text)] = collector.warnings
    assert "line 2: is missing: the file breaks off after 69,632 of 135,168 bytes" in text


def test_a_damaged_record_is_noted_if_leniently_read(tmp_path: Path) -> None:
    content = bytearray(evtx_file(CONNECTION))
    content[FILE_HEADER + CHUNK_HEADER + 24 + 4] = 0xEE  # no token of binary XML
    with TextFile(file(tmp_path, bytes(content))) as opened:
        assert EventLog(opened, Context(lenient=True)).collectors() == []


def test_a_compressed_log_is_to_be_expanded(tmp_path: Path) -> None:
    with TextFile(file(tmp_path, gzip.compress(evtx_file(CONNECTION)))) as opened:
        assert recognises(opened)
        with pytest.raises(AttributionError, match="file, which cannot be read in place: expand it"):
            load(opened, Context())


def test_without_the_library_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evtx", None)
    advice = r"needs the evtx package: pip install 'isolation-agent\[evtx\]'"
    with TextFile(file(tmp_path, evtx_file(CONNECTION))) as opened, pytest.raises(EnvironmentFailure, match=advice):
        load(opened, Context())
