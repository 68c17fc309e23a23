"""Captures of a run as one stream: their order, looking ahead without losing a packet, progress."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from agent.model.errors import CaptureError
from agent.replay import frames as frames_module
from agent.replay.frames import Capture, Frames, expand
from tests.capture.crafted import interface, packet, section
from tests.support import frames as f
from tests.support.captures import pcap

US = "10.0.0.5"
ALLOWED = "give a pcap or pcapng file, also compressed by gzip, xz or zstd"


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


def test_what_cannot_be_read_in_a_folder_is_listed_with_the_reason(tmp_path: Path) -> None:
    """And nothing of it is opened that would block or never end."""
    folder = tmp_path / "captures"
    (folder / "sub").mkdir(parents=True)
    good = make(folder / "good.pcap", 1)
    (folder / "cut.pcap").write_bytes(good.read_bytes()[:10])
    (folder / "dangling").symlink_to("nowhere")
    (folder / "empty").touch()
    (folder / "link").symlink_to("good.pcap")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    (folder / "sub" / "up").symlink_to("..")
    (folder / "x.json.partial").touch()
    frames = opened(folder)
    assert ports(frames) == [(3, 0), (4, 0)]
    told = {Path(one.path).name: one.refused for one in frames.captures}
    reasons = {name: reason.removeprefix(f"{folder}/") for name, reason in told.items() if reason is not None}
    assert list(told) == ["cut.pcap", "dangling", "empty", "good.pcap", "link", "loop", "pipe", "up"]
    assert reasons == {
        "cut.pcap": f"cut.pcap: at byte 10: the file ends inside its header; {ALLOWED}",
        "dangling": "dangling: cannot open: No such file or directory",
        "empty": f"empty: at byte 0: the file is empty; {ALLOWED}",
        "loop": "loop: cannot open: Too many levels of symbolic links",
        "pipe": "pipe: no regular file; name it as an argument if it shall be read",
        "up": "sub/up: a link to a folder is not followed; name the folder as well if it is wanted",
    }


def test_what_may_not_be_read_in_a_folder_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so it becomes somebody else for a moment; the working directory is open to all."""
    (tmp_path / "closed").mkdir()
    make(tmp_path / "closed" / "a.pcap", 1)
    (tmp_path / "closed").chmod(0)
    make(tmp_path / "good.pcap", 1)
    make(tmp_path / "secret.pcap", 1).chmod(0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        frames = Frames(expand((".",)), merge=False)
        assert ports(frames) == [(0, 0)]
    finally:
        os.seteuid(user)
        (tmp_path / "closed").chmod(0o755)
    assert [capture.refused for capture in frames.captures] == [
        None,
        "./secret.pcap: at byte 0: cannot open: Permission denied; give a readable capture file or -",
        "./closed: cannot open: Permission denied",
    ]


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file here that fails when it is read")
def test_a_file_that_opens_and_fails_when_read_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.pcap").symlink_to("/proc/self/mem")
    make(tmp_path / "b.pcap", 1)
    frames = opened(tmp_path)
    assert ports(frames) == [(1, 0)]
    assert "at byte 0: cannot read: Input/output error" in (frames.captures[0].refused or "")


@pytest.mark.parametrize("bad", ["absent", "text", "empty"])
def test_of_several_arguments_a_bad_one_is_found_before_the_first_is_read(tmp_path: Path, bad: str) -> None:
    """Who names a thousand files shall not learn of the last one's fault hours later."""
    (tmp_path / "text").write_text("no capture")
    (tmp_path / "empty").touch()
    with pytest.raises(CaptureError, match=bad):
        expand((str(make(tmp_path / "a.pcap", 1)), str(tmp_path / bad)))


def test_captures_are_open_one_at_a_time_and_nothing_large_is_kept(tmp_path: Path) -> None:
    for number in range(30):
        make(tmp_path / f"{number:02}.pcap", 200, 200 * number)
    tracemalloc.start()
    try:
        frames = opened(tmp_path)
        count = 0
        while frames.next() is not None:
            count += 1
        assert count == 30
        assert tracemalloc.get_traced_memory()[0] < 100_000
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()
    assert [len(capture.interfaces) for capture in frames.captures] == [1] * 30


def test_what_is_looked_ahead_has_a_bound_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "LOOK_AHEAD_BYTES", 100)
    frames = opened(*(make(tmp_path / f"{number}.pcap", 1, number) for number in range(5)))
    assert len(frames.look_ahead(100)) == 2
    assert [port for _, port in ports(frames)] == [0, 1, 2, 3, 4]


def test_a_closed_capture_keeps_its_addresses_and_link_types(tmp_path: Path) -> None:
    capture = Capture(str(tmp_path / "a"), optional=False)
    addresses = bytes.fromhex("0400 0800 0a000005 ff000000")
    same = interface(options=addresses) + interface(1) + interface(101) + interface(1, snaplen=9)
    (tmp_path / "a").write_bytes(section() + same + packet(number=3) + packet(number=9))
    reader = capture.open()
    assert reader is not None
    while reader.next_batch() is not None:
        pass
    assert len(capture.interfaces) == 4
    capture.close()
    assert [one.link_type for one in capture.interfaces] == [1, 1, 101]
    assert [len(one.addresses) for one in capture.interfaces] == [1, 0, 0]
    assert len(capture.errors) == 1


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
