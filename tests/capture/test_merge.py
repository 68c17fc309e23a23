"""Several captures as one, by time."""

from __future__ import annotations

import heapq
import itertools
import os
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture.merge import AT_ONCE, MergedReader
from agent.capture.reader import CaptureReader, open_capture
from agent.model.errors import UsageError
from tests.capture.crafted import SECOND, pcap_header, record

Merged = list[tuple[int, int, bytes]]


class Counted:
    """A capture that knows how many are open; `path` None: one that was refused."""

    now = 0
    most = 0

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.reader: CaptureReader | None = None

    def open(self, buffer: int) -> CaptureReader | None:
        if self.path is not None and self.reader is None:
            self.reader = open_capture(str(self.path), buffer=buffer)
            Counted.now += 1
            Counted.most = max(Counted.most, Counted.now)
        return self.reader

    def close(self) -> None:
        if self.reader is not None:
            self.reader.close()
            self.reader = None
            Counted.now -= 1


@pytest.fixture(autouse=True)
def _none_open() -> None:
    Counted.now = Counted.most = 0


def made(folder: Path, captures: Sequence[Sequence[int]], padding: int = 0) -> list[Counted]:
    """Captures whose packets have these times; the link type is the number of the capture."""
    made = []
    for source, times in enumerate(captures):
        path = folder / str(source)
        frames = (f"{source}:{place}".encode() + bytes(padding) for place in itertools.count())
        path.write_bytes(pcap_header(link=source) + b"".join(map(_record, times, frames)))
        made.append(Counted(path))
    return made


def merge(captures: Sequence[Counted], at_once: int = AT_ONCE) -> Merged:
    """(source, seconds, frame) of every packet in merged order."""
    merged, packets = MergedReader(captures, at_once=at_once), []
    while (batch := merged.next_batch()) is not None:
        assert batch.count > 0
        for index in range(batch.count):
            assert batch.link_type(index) == batch.source
            frame = bytes(batch.frame(index)).rstrip(b"\0")
            packets.append((batch.source, batch.time(index) // SECOND, frame))
    assert merged.next_batch() is None
    assert Counted.now == 0, "each is closed at its end"
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
        assert merge(made(Path(folder), captures)) == expected(captures)


def test_captures_of_many_batches(tmp_path: Path) -> None:
    """What was handed out holds until the next call, although buffers are refilled."""
    captures = [list(range(0, 3000, 2)), list(range(1, 3000, 2)), [1500] * 400, [2999]]
    assert merge(made(tmp_path, captures, padding=1400)) == expected(captures)


def test_captures_one_after_another_come_in_large_batches(tmp_path: Path) -> None:
    captures = made(tmp_path, [range(20_000, 21_000), range(10_000, 11_000)])
    merged, counts = MergedReader(captures), []
    while (batch := merged.next_batch()) is not None:
        counts.append((batch.source, batch.count))
    assert counts == [(1, 1000), (0, 1000)]


def test_any_number_of_captures_that_follow_each_other_needs_one_open_at_a_time(tmp_path: Path) -> None:
    """Whatever order they are named in."""
    captures = [[10 * n, 10 * n + 5] for n in reversed(range(300))]
    assert merge(made(tmp_path, captures), at_once=1) == expected(captures)
    assert Counted.most == 1


def test_as_many_are_open_as_overlap_in_time(tmp_path: Path) -> None:
    captures = [[10 * n, 10 * n + 25] for n in range(100)]
    assert merge(made(tmp_path, captures), at_once=3) == expected(captures)
    assert Counted.most == 3


def test_more_than_can_be_open_is_one_clear_error(tmp_path: Path) -> None:
    """Said before a wrong order is: what does not overlap was handed out rightly."""
    captures = made(tmp_path, [[100 + n, 900] for n in range(4)])
    merged, seen = MergedReader(captures, at_once=3), []
    for _ in range(3):
        batch = merged.next_batch()
        assert batch is not None
        seen += [batch.time(index) // SECOND for index in range(batch.count)]
    with pytest.raises(UsageError, match=r"more than 3 captures overlap in time at 1970-01-01T00:01:43.000000Z"):
        merged.next_batch()
    assert seen == [100, 101, 102]
    merged.close()
    assert Counted.now == 0


def test_a_pipe_is_read_once_and_stays_open(tmp_path: Path) -> None:
    captures = made(tmp_path, [[1, 5], [2, 3, 9]])
    content = captures[1].path.read_bytes()  # type: ignore[union-attr]  # made() gave it
    captures[1].path.unlink()  # type: ignore[union-attr]
    os.mkfifo(tmp_path / "1")
    writer = threading.Thread(target=(tmp_path / "1").write_bytes, args=(content,))
    writer.start()
    assert merge(captures) == expected([[1, 5], [2, 3, 9]])
    writer.join()


def test_captures_that_cannot_be_read_are_passed_over(tmp_path: Path) -> None:
    captures = [Counted(None), *made(tmp_path, [[], [1, 2]])[1:], Counted(None)]
    assert [(source, seconds) for source, seconds, _ in merge(captures)] == [(1, 1), (1, 2)]


def test_progress_is_that_of_all_captures(tmp_path: Path) -> None:
    captures = made(tmp_path, [[1], [1, 2, 3], []])
    merged = MergedReader(captures)
    while merged.next_batch() is not None:
        pass
    assert merged.bytes_read == sum((tmp_path / str(source)).stat().st_size for source in range(3))


def test_nothing_to_merge() -> None:
    assert MergedReader([]).next_batch() is None
