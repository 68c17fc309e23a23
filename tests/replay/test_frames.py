"""Captures of a run as one stream: their order, looking ahead without losing a packet, progress."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.model.errors import CaptureError
from agent.replay.frames import Frames, expand
from tests.support import frames as f
from tests.support.captures import pcap

US = "10.0.0.5"


def make(path: Path, count: int, first: int = 0) -> Path:
    packets = [
        (float(first + number), f.udp_frame(f"{US}:{first + number}", "203.0.113.9:9")) for number in range(count)
    ]
    return pcap(path, packets)


def ports(frames: Frames) -> list[tuple[int, int]]:
    """(capture, source port) of every packet that next() gives."""
    seen = []
    while (item := frames.next()) is not None:
        number, batch = item
        for index in range(batch.count):
            seen.append((number, int.from_bytes(batch.frame(index)[34:36], "big")))
    return seen


def opened(*paths: Path, merge: bool = False) -> Frames:
    return Frames(expand(tuple(map(str, paths))), merge=merge)


def test_packets_come_file_after_file(tmp_path: Path) -> None:
    frames = opened(make(tmp_path / "b.pcap", 2, 10), make(tmp_path / "a.pcap", 2))
    assert ports(frames) == [(0, 10), (0, 11), (1, 0), (1, 1)]


def test_merged_packets_come_by_time_and_know_their_capture(tmp_path: Path) -> None:
    late, early = make(tmp_path / "late.pcap", 2, 1), make(tmp_path / "early.pcap", 2)
    merged = ports(opened(late, early, merge=True))
    assert [merged[0], sorted(merged[1:3]), merged[3]] == [(1, 0), [(0, 1), (1, 1)], (0, 2)]
    assert ports(opened(late, merge=True)) == [(0, 1), (0, 2)]


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize("packets", [0, 1, 3, 5, 100])
def test_what_was_looked_ahead_still_comes(tmp_path: Path, packets: int, merge: bool) -> None:
    paths = [make(tmp_path / "a.pcap", 3), make(tmp_path / "b.pcap", 3, 10)]
    frames = opened(*paths, merge=merge)
    ahead = frames.look_ahead(packets)
    assert sum(batch.count for _, batch in ahead) >= min(packets, 6)
    assert frames.look_ahead(packets) == ahead
    assert ports(frames) == [(0, 0), (0, 1), (0, 2), (1, 10), (1, 11), (1, 12)]


def test_a_stream_that_was_cut_gives_what_was_looked_ahead(tmp_path: Path) -> None:
    frames = opened(make(tmp_path / "a.pcap", 3), make(tmp_path / "b.pcap", 3, 10))
    frames.look_ahead(1)
    frames.cut()
    assert ports(frames) == [(0, 0), (0, 1), (0, 2)]


def test_files_of_a_folder_come_by_name_hidden_ones_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    for name in ("z.pcap", "a/2.pcap", "a/10.pcap", "b.pcap", ".git/x.pcap", ".x.pcap"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make(folder / name, 1)
    names = [str(Path(capture.path).relative_to(folder)) for capture in expand((str(folder),))]
    assert names == ["b.pcap", "z.pcap", "a/10.pcap", "a/2.pcap"]


def test_a_file_of_a_folder_may_be_no_capture_but_an_argument_may_not(tmp_path: Path) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    (folder / "a.txt").write_text("no capture")
    make(folder / "b.pcap", 1)
    for merge in (False, True):
        frames = Frames(expand((str(folder),)), merge=merge)
        assert ports(frames) == [(1, 0)]
        assert frames.captures[0].refused is not None
    with pytest.raises(CaptureError, match=r"a\.txt"):
        ports(opened(folder / "a.txt"))


def test_progress_counts_the_bytes_of_all_captures(tmp_path: Path) -> None:
    paths = [make(tmp_path / "a.pcap", 3), make(tmp_path / "b.pcap", 5, 10)]
    frames = opened(*paths)
    total = sum(path.stat().st_size for path in paths)
    read, known = frames.progress()
    assert (read, known) == (0, total)
    ports(frames)
    assert frames.progress() == (total, total)
    frames.close()


def test_interfaces_are_those_of_the_captures_opened(tmp_path: Path) -> None:
    frames = opened(make(tmp_path / "a.pcap", 1), make(tmp_path / "b.pcap", 1))
    assert frames.interfaces == []
    frames.look_ahead(1)
    assert len(frames.interfaces) == 1
