"""Several captures as one, by time."""

from __future__ import annotations

import heapq
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agent.capture.merge import MergedReader
from agent.capture.reader import open_capture
from tests.capture.crafted import SECOND, pcap_header, record

Merged = list[tuple[int, int, bytes]]


def merge(folder: Path, captures: Sequence[Sequence[int]], padding: int = 0) -> Merged:
    """(source, seconds, frame) of every packet of captures whose packets have these times, in merged order."""
    readers = []
    for source, times in enumerate(captures):
        path = folder / str(source)
        frames = (f"{source}:{place}".encode() + bytes(padding) for place in itertools.count())
        path.write_bytes(pcap_header(link=source) + b"".join(map(_record, times, frames)))
        readers.append(open_capture(str(path)))
    merged, packets = MergedReader(readers), []
    while (batch := merged.next_batch()) is not None:
        assert batch.count > 0
        for index in range(batch.count):
            assert batch.link_type(index) == batch.source
            frame = bytes(batch.frame(index)).rstrip(b"\0")
            packets.append((batch.source, batch.time(index) // SECOND, frame))
    assert merged.next_batch() is None
    merged.close()
    return packets


def _record(seconds: int, frame: bytes) -> bytes:
    return record(frame, seconds=seconds)


def expected(captures: Sequence[Sequence[int]]) -> Merged:
    """The same by the definition: each capture in its order, keyed by its latest time, ties to the first named."""
    keyed = [
        [(latest, source, place, seconds) for place, (seconds, latest) in enumerate(zip(times, running, strict=True))]
        for source, times in enumerate(captures)
        for running in [list(itertools.accumulate(times, max))]
    ]
    return [(source, seconds, f"{source}:{place}".encode()) for _, source, place, seconds in heapq.merge(*keyed)]


@given(captures=st.lists(st.lists(st.integers(0, 20), max_size=12), max_size=5))
def test_merging_is_by_time_and_keeps_each_captures_order(captures: list[list[int]]) -> None:
    """Also where a capture goes back in time."""
    with tempfile.TemporaryDirectory() as folder:
        assert merge(Path(folder), captures) == expected(captures)


def test_captures_of_many_batches(tmp_path: Path) -> None:
    """What was handed out holds until the next call, although buffers are refilled."""
    captures = [list(range(0, 3000, 2)), list(range(1, 3000, 2)), [1500] * 400, [2999]]
    assert merge(tmp_path, captures, padding=1400) == expected(captures)


def test_captures_one_after_another_come_in_large_batches(tmp_path: Path) -> None:
    paths = []
    for source, start in enumerate((0, 10_000)):
        path = tmp_path / str(source)
        path.write_bytes(pcap_header() + b"".join(record(b"", seconds=start + n) for n in range(1000)))
        paths.append(str(path))
    merged = MergedReader([open_capture(path) for path in reversed(paths)])
    counts = []
    while (batch := merged.next_batch()) is not None:
        counts.append((batch.source, batch.count))
    merged.close()
    assert counts == [(1, 1000), (0, 1000)]


def test_progress_is_that_of_all_captures(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(pcap_header() + record())
    (tmp_path / "two").write_bytes(pcap_header() + record() * 3)
    merged = MergedReader([open_capture(str(tmp_path / "one")), open_capture(str(tmp_path / "two"))])
    while merged.next_batch() is not None:
        pass
    merged.close()
    assert merged.bytes_read == merged.bytes_total == 24 + 76 + 24 + 3 * 76


def test_nothing_to_merge() -> None:
    assert MergedReader([]).next_batch() is None
