"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.capture.writer import PcapngWriter
from agent.model.errors import EnvironmentFailure
from agent.record.kept import KeptFile
from agent.sinks.partial import SUFFIX, PartialFile


def write_whole(path: Path, data: bytes) -> None:
    file = PartialFile(str(path))
    file.write(data)
    file.close()


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    file = PartialFile(str(path))
    file.write(b"half")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl.partial"]
    file.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]
    assert path.read_bytes() == b"half"


def test_an_abandoned_file_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"old")
    file = PartialFile(str(path))
    file.write(b"new")
    file.abandon()
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.jsonl"]


def test_abandoning_after_closing_removes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    file = PartialFile(str(path))
    file.close()
    file.abandon()
    file.close()
    assert path.exists()


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """The name stays a link: what it points to is replaced."""
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    write_whole(link, b"text")
    assert link.is_symlink()
    assert target.read_bytes() == b"text"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    """A device is written directly: nothing is created beside it, and it is not replaced."""
    link = tmp_path / "out.jsonl"
    link.symlink_to("/dev/full")
    file = PartialFile(str(link))
    with pytest.raises(EnvironmentFailure, match=r"out\.jsonl: cannot write: No space left on device"):
        file.write(b"text")
    assert file.closed
    assert not os.path.exists("/dev/full.partial")
    assert Path("/dev/full").is_char_device()


def test_a_pipe_is_written_directly(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join(10)
    assert read == [b"through"]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda folder: folder / "absent" / "out", "No such file or directory", id="no-folder"),
        pytest.param(lambda folder: folder, "Is a directory", id="a-folder"),
    ],
)
def test_what_cannot_be_created_is_named(tmp_path: Path, make: object, reason: str) -> None:
    assert callable(make)
    path = str(make(tmp_path))
    with pytest.raises(EnvironmentFailure) as failed:
        PartialFile(path)
    assert str(failed.value) == f"{path}: cannot write: {reason}"
    assert failed.value.exit_code == 3


def test_a_name_taken_meanwhile_fails_without_leftovers(tmp_path: Path) -> None:
    """The rename is the last thing that can fail: then the partial file goes too."""
    path = tmp_path / "out"
    file = PartialFile(str(path))
    path.mkdir()
    with pytest.raises(EnvironmentFailure, match="cannot write"):
        file.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("make", [PartialFile, KeptFile, PcapngWriter], ids=lambda make: make.__name__)
def test_a_link_that_waits_at_the_partial_name_is_not_followed(make: Callable[[str], Any], tmp_path: Path) -> None:
    """In a folder that others write to, whoever guesses the name must not choose what root overwrites."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f"out{SUFFIX}").symlink_to(victim)
    file = make(str(tmp_path / "out"))
    file.close()
    assert victim.read_text() == "precious"
    assert (tmp_path / "out").exists()
    assert not (tmp_path / "out").is_symlink()
