"""JSON Lines and Parquet writers: the same records, whole files, clear errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard

from agent.model.errors import EnvironmentFailure, UsageError
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import ConditionState, Reason, Verdict
from agent.policy.explain import NearMiss
from agent.sinks import parquet as parquet_module
from agent.sinks.decisions import DecisionWriter, open_decisions
from agent.sinks.jsonl import JsonlWriter
from agent.sinks.lines import LineRenderer, record_line
from agent.sinks.parquet import COLUMNS, ParquetWriter, flatten
from agent.sinks.partial import SUFFIX
from tests.sinks.builders import START, make_event
from tests.sinks.interpreted import interpreted

MISS = NearMiss(rule="Remote support", condition="remote_ips", state=ConditionState.NOT_MET)
DENIED: dict[str, Any] = {
    "flow_id": 18,
    "verdict": Verdict.DENY,
    "reason": Reason.NO_MATCHING_EXCLUSION,
    "rules": (),
    "near_misses": (MISS,),
    "near_miss_count": 1,
    "attempted": 2,
    "subject": UNATTRIBUTED,
    "subject_id": 0,
}

Writer = Callable[..., DecisionWriter]


def test_lines_are_the_renderers(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    writer = JsonlWriter(str(path))
    events = [make_event(flow_id=number) for number in range(5000)]
    for event in events:
        writer.flow(event)
    writer.close()
    renderer = LineRenderer()
    assert path.read_bytes() == b"".join(renderer.flow(event) for event in events)


def test_what_is_gathered_is_written_on_the_way(tmp_path: Path) -> None:
    """Memory does not grow with the records, and what is written in pieces is whole."""
    path = tmp_path / "out.jsonl"
    for kind in (JsonlWriter, interpreted()["jsonl"].JsonlWriter):
        writer = kind(str(path))
        event = make_event(names=("n" * 1000,))
        for _ in range(2000):
            writer.flow(event)
        assert (tmp_path / ("out.jsonl" + SUFFIX)).stat().st_size > 2000 * 1000 // 2
        writer.fault({"name": "flow_table_full"})
        writer.close()
        lines = path.read_bytes().splitlines(keepends=True)
        assert lines[:-1] == 2000 * [LineRenderer().flow(event)]
        assert lines[-1] == record_line({"event_type": "fault", "name": "flow_table_full"})


def test_compressed_lines_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl.zst"
    writer = JsonlWriter(str(path))
    for number in range(5000):
        writer.flow(make_event(flow_id=number))
    writer.close()
    with zstandard.open(path, "rt", encoding="utf-8") as file:
        assert [json.loads(line)["flow_id"] for line in file] == list(range(5000))


def test_an_empty_run_leaves_a_valid_file(tmp_path: Path) -> None:
    for name in ("out.jsonl", "out.jsonl.zst", "out.parquet"):
        open_decisions(str(tmp_path / name), "native", "flow").close()
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    with zstandard.open(tmp_path / "out.jsonl.zst") as file:
        assert file.read() == b""
    assert read_parquet(tmp_path / "out.parquet") == []


@pytest.mark.parametrize("kind", [JsonlWriter, ParquetWriter])
def test_flows_only_drops_the_other_events(tmp_path: Path, kind: Writer) -> None:
    path = tmp_path / "out"
    writer = kind(str(path), flows_only=True)
    writer.flow(make_event(event_type="decision", end=None))
    writer.flow(make_event())
    writer.isolation({"action": 1})
    writer.fault({"name": "flow_table_full"})
    writer.close()
    assert [record["event_type"] for record in read(kind, path)] == ["flow"]


@pytest.mark.parametrize("kind", [JsonlWriter, ParquetWriter])
def test_all_events_are_written_in_order(tmp_path: Path, kind: Writer) -> None:
    path = tmp_path / "out"
    writer = kind(str(path))
    writer.isolation({"action": "isolate"})
    writer.flow(make_event(event_type="decision", end=None))
    writer.fault({"name": "flow_table_full"})
    writer.flow(make_event())
    writer.close()
    assert [record["event_type"] for record in read(kind, path)] == ["isolation", "decision", "fault", "flow"]


@pytest.mark.parametrize("kind", [JsonlWriter, ParquetWriter])
def test_an_abandoned_writer_leaves_nothing(tmp_path: Path, kind: Writer) -> None:
    writer = kind(str(tmp_path / "out"))
    writer.flow(make_event())
    writer.abandon()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [JsonlWriter, ParquetWriter])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_clear_error(tmp_path: Path, kind: Writer) -> None:
    path = tmp_path / "out"
    path.symlink_to("/dev/full")

    def fill() -> None:
        writer = kind(str(path))
        writer.flow(make_event())
        writer.close()

    with pytest.raises(EnvironmentFailure, match="out: cannot write: No space left on device"):
        fill()


def test_parquet_holds_the_record_flattened(tmp_path: Path) -> None:
    """Column by column: what is absent in the JSON is null, times are times."""
    path = tmp_path / "out.parquet"
    events = [make_event(), make_event(**DENIED), make_event(verdict=Verdict.MIXED, mixed_allowed=1, mixed_denied=2)]
    writer = ParquetWriter(str(path))
    for event in events:
        writer.flow(event)
    writer.close()
    rows = read_parquet(path)
    for row, event in zip(rows, events, strict=True):
        expected = dict.fromkeys(COLUMNS) | flatten(json.loads(LineRenderer().flow(event)))
        times = {name: row.pop(name) for name in ("timestamp", "first_seen", "last_seen")}
        assert row == {name: value for name, value in expected.items() if name not in times}
        assert times["timestamp"] == datetime.fromisoformat("2026-01-05T09:00:01.000123Z")
        assert times["last_seen"] - times["first_seen"] == timedelta(seconds=2.5)


def test_every_field_of_a_record_has_a_column() -> None:
    """With all optional fields present, nothing is dropped on the way to Parquet."""
    known = Subject(image="/a", source="live", pid=1)
    full = make_event(
        verdict=Verdict.MIXED, evidence="destination_only", service="dns", near_miss_count=9, attempted=1, icmp_type=8,
        subject=replace(known, container="docker:0", candidates=(known, replace(known, pid=2))),
    )  # fmt: skip
    row = flatten(json.loads(LineRenderer().flow(full)))
    assert set(row) | {"record"} == set(COLUMNS)


def test_a_time_beyond_parquet_is_null(tmp_path: Path) -> None:
    """64-bit nanoseconds end in 2262; a capture may hold later ones, and the row must survive."""
    path = tmp_path / "out.parquet"
    writer = ParquetWriter(str(path))
    writer.flow(make_event(timestamp=(1 << 64) - 1, first_seen=START, last_seen=START))
    writer.close()
    assert read_parquet(path)[0]["timestamp"] is None


def test_parquet_never_holds_more_than_a_group_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with the records: few rows are Python values, and a group is written when it is full."""
    monkeypatch.setattr(parquet_module, "ROWS_PER_GROUP", 20)
    monkeypatch.setattr(parquet_module, "ROWS_AS_OBJECTS", 5)
    path = tmp_path / "out.parquet"
    writer = ParquetWriter(str(path))
    for number in range(103):
        writer.flow(make_event(flow_id=number))
        held = len(writer._columns["schema"])
        assert held < 5
        assert held + sum(table.num_rows for table in writer._tables) < 20
    writer.close()
    assert not writer._tables
    metadata = pytest.importorskip("pyarrow.parquet").ParquetFile(path).metadata
    assert [metadata.row_group(place).num_rows for place in range(metadata.num_row_groups)] == [20] * 5 + [3]
    assert [row["flow_id"] for row in read_parquet(path)] == list(range(103))


def test_missing_pyarrow_names_the_extra(tmp_path: Path, root: Path) -> None:
    """In a process of its own, where the import fails as it does without the package."""
    program = (
        "import sys\n"
        "sys.modules['pyarrow'] = None\n"
        "from agent.sinks.parquet import ParquetWriter\n"
        "try:\n    ParquetWriter('out.parquet')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.stdout == (
        "EnvironmentFailure out.parquet: writing Parquet needs pyarrow: pip install 'isolation-agent[parquet]'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out.csv", "native", "flow"), "--decisions out.csv: the name must end in .jsonl, .jsonl.zst or .parquet"),
        (("out.jsonl", "ecs", "flow"), "--format ecs: this version writes native records only"),
        (("out.jsonl", "native", "some"), "--events some: must be one of flow, all"),
    ],
    ids=["suffix", "format", "events"],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, arguments: tuple[str, str, str], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_decisions(*arguments)
    assert str(refused.value) == message


def read(kind: Writer, path: Path) -> list[dict[str, Any]]:
    if kind is ParquetWriter:
        return read_parquet(path)
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def read_parquet(path: Path) -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow absent")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows
