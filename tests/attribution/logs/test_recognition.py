"""Every side-file format is told by its content, by one module only, however it is encoded; and broken ones say so."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import ModuleType

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.attribution.collector import Collector
from agent.attribution.evidence import Context
from agent.attribution.logs import firewall, hunting, psutildump, services, ss, zeek
from agent.attribution.textfile import MAX_LINE, TextFile
from agent.model.errors import AttributionError
from tests.attribution.logs.samples import HUNTING_ROW, SAMPLES, csv_of, loaded, warned

MODULES: tuple[ModuleType, ...] = (hunting, firewall, zeek, ss, psutildump, services)
ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "utf-16-le": lambda text: ("\ufeff" + text).encode("utf-16-le"),
    "utf-16-be": lambda text: ("\ufeff" + text).encode("utf-16-be"),
    "gzip": lambda text: gzip.compress(text.encode()),
    "zstd": lambda text: zstandard.ZstdCompressor().compress(("\ufeff" + text).encode("utf-16-le")),
    "blank-lines-before": lambda text: ("\r\n \r\n" + text).encode(),
}


def recognising(tmp_path: Path, data: bytes) -> list[ModuleType]:
    path = tmp_path / "side.log"
    path.write_bytes(data)
    with TextFile(str(path)) as file:
        found = [module for module in MODULES if module.recognises(file)]
        assert b"".join(file.chunks()), "looking takes nothing"
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_sample_is_recognised_by_its_own_module_only_and_loads(tmp_path: Path, sample: str, encoding: str) -> None:
    module, text = SAMPLES[sample]
    data = ENCODINGS[encoding](text)
    assert recognising(tmp_path, data) == [module]
    collectors = loaded(module, tmp_path, data)
    assert any(found.observations or found.services or found.starts for found in collectors)
    assert not {"lines_broken", "attribution_truncated"} & set(warned(collectors[0]))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("hello, world\n", id="prose"),
        pytest.param("[]", id="empty-list"),
        pytest.param("[1,2,3]", id="numbers"),
        pytest.param("{}", id="empty-object"),
        pytest.param(
            '{"start":"2026-01-05T09:00:00Z","protocol":"tcp","local":"10.0.0.5:1","pid":4}\n', id="socket-records"
        ),
        pytest.param(
            '{"EventID":3,"Image":"C:\\\\a.exe","Hostname":"a","EventTime":"2026-01-05 09:00:00"}\n', id="nxlog"
        ),
        pytest.param("<Events></Events>", id="xml"),
        pytest.param("\0" * 5000, id="nul"),
        pytest.param("\ufffd\u202e\x07\x1b[31m", id="control-characters"),
        pytest.param(
            "#Software: Microsoft Internet Information Services 10.0\n#Fields: date time s-ip cs-method\n", id="iis"
        ),
        pytest.param("#separator \\x09\n#path\tdns\n#fields\tts\tuid\tid.orig_h\tproto\n", id="zeek-dns"),
        pytest.param('{"ts":1.0,"id.orig_h":"1.2.3.4","proto":"udp","query":"a"}\n', id="zeek-dns-json"),
        pytest.param("Name,ProcessId,CommandLine\nsvchost.exe,948,svchost.exe\n", id="win32-process"),
        pytest.param('[{"pid":4,"name":"System","status":"running","username":null}]', id="psutil-processes"),
        pytest.param(
            '"Image Name","PID","Session Name","Session#","Mem Usage"\n"System","4","Services","0","8 K"\n',
            id="tasklist",
        ),
        pytest.param(
            "Timestamp,DeviceName,ActionType,AccountName\n2026-01-05T09:00:00Z,a,LogonSuccess,ann\n",
            id="hunting-logons",
        ),
        pytest.param("Timestamp,Computer\n1,2\n", id="other-csv"),
        pytest.param("Proto Recv-Q Send-Q Local Address  Foreign Address State PID/Program name\n", id="netstat"),
        pytest.param('{"a":' * 5000, id="deep-json"),
        pytest.param("[" * 100_000, id="deep-lists"),
        pytest.param("x" * (3 * MAX_LINE), id="one-long-line"),
    ],
)
def test_nothing_else_is_recognised(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other"
    path.write_bytes(text.encode())
    with TextFile(str(path)) as file:
        assert [module.__name__ for module in MODULES if module.recognises(file)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.NAME if hasattr(module, "NAME") else "hunting")
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"hello\nworld, again\n", id="text"),
        pytest.param(bytes(range(256)) * 40, id="binary"),
        pytest.param(b"\0" * 100_000, id="nul"),
        pytest.param(b"{" * 100_000, id="braces"),
        pytest.param(b'{"a":' * 100_000, id="deep-objects"),
        pytest.param(b"[" * 1_000_000, id="deep-lists"),
        pytest.param(b"x" * (2 * MAX_LINE), id="long-line"),
        pytest.param(b'"' * 10_000 + b"\n" * 50 + b'"\n', id="quotes"),
        pytest.param(b'[{"a":1},\n', id="cut-list"),
        pytest.param(b'[{"pid":1e999},{"pid":NaN}]', id="no-numbers"),
        pytest.param(b'[{"a":' + b"9" * 10_000 + b"}]", id="long-number"),
        pytest.param(b"\xff\xfe" + b"\x00\xd8" * 999, id="surrogates"),
        pytest.param(b"#separator\n#fields\n#Fields:\n\n1\n", id="empty-headers"),
        pytest.param(b"\x1f\x8b\x08\x00garbage", id="damaged-gzip"),
    ],
)
@pytest.mark.parametrize("lenient", [False, True], ids=["strict", "lenient"])
def test_another_format_by_force_is_one_line_of_error_or_nothing(
    tmp_path: Path, module: ModuleType, data: bytes, lenient: bool
) -> None:
    """Never another exception; and never an observation out of nothing."""
    path = tmp_path / "side.log"
    path.write_bytes(data)
    collectors: list[Collector] = []
    text = ""
    try:
        with TextFile(str(path)) as file:
            collectors = module.load(file, Context(lenient=lenient))
    except AttributionError as error:
        text = str(error)
    else:
        assert not any(found.observations or found.starts or found.services for found in collectors)
        assert collectors[0].warnings, "it cannot be missed"
    assert text.startswith(str(path)) == (not collectors)
    assert "\n" not in text
    assert len(text) < len(str(path)) + 500


@pytest.mark.parametrize("sample", SAMPLES)
def test_any_beginning_of_a_file_loads_or_is_an_error(tmp_path: Path, sample: str) -> None:
    """Whatever an interrupted copy leaves."""
    module, text = SAMPLES[sample]
    data = text.encode()
    errors = []
    for size in range(0, len(data), 7):
        try:
            loaded(module, tmp_path, data[:size])
        except AttributionError as error:
            errors.append(str(error))
    assert "\n" not in "".join(errors)


def test_a_broken_line_among_good_ones_is_counted_and_the_rest_used(tmp_path: Path) -> None:
    text = csv_of(*({**HUNTING_ROW, "LocalPort": port} for port in range(1, 61)))
    lines = text.splitlines(keepends=True)
    lines[30] = "nonsense\r\n"
    lines[31] = lines[31].replace('"10.0.0.5"', '"10.0.0.555"')
    [collector] = loaded(hunting, tmp_path, "".join(lines))
    assert len(collector.observations) == 58
    text = warned(collector)["lines_broken"]
    assert (
        "2 lines could not be used: line 31: has 1 columns, the header 22; line 32: '10.0.0.555' is not an IPv4" in text
    )


def test_more_than_a_tenth_broken_names_the_first(tmp_path: Path) -> None:
    rows = [{**HUNTING_ROW, "LocalPort": port} for port in (*range(1, 8), 70_000)]
    with pytest.raises(AttributionError, match=r"line 8: 70000 is no port \(1 of 8 lines are broken; --lenient"):
        loaded(hunting, tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    [collector] = loaded(hunting, tmp_path, "".join(json.dumps(row) + "\n" for row in rows), lenient=True)
    assert len(collector.observations) == 7


@settings(max_examples=300)
@given(
    sample=st.sampled_from(sorted(SAMPLES)),
    edits=st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4), st.integers(0, 9)), max_size=4),
    lenient=st.booleans(),
)
def test_damage_anywhere_gives_one_line_of_error_at_most(
    sample: str, edits: list[tuple[int, bytes, int]], lenient: bool
) -> None:
    """What log content raises is AttributionError, and nothing else."""
    module, text = SAMPLES[sample]
    data = bytearray(text.encode())
    for place, new, removed in edits:
        begin = place % (len(data) + 1)
        data[begin : begin + removed] = new
    message = ""
    with NamedTemporaryFile(suffix=".log") as written:
        written.write(data)
        written.flush()
        try:
            with TextFile(written.name) as file:
                assert len([other for other in MODULES if other.recognises(file)]) <= 1
                module.load(file, Context(lenient=lenient))
        except AttributionError as error:
            message = str(error)
    assert "\n" not in message
