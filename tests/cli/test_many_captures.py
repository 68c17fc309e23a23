"""`replay` of folders: thousands of captures on few file descriptors, and what cannot be read beside them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from agent.cli import main
from tests.cli.samples import LOCAL, ROOT
from tests.support import frames as f
from tests.support.captures import pcap

DESCRIPTORS = 40
"""What the process gets; an interpreter with its libraries takes a dozen."""


def captures(folder: Path, count: int, *, length: float = 1.0) -> Path:
    """Captures of two packets each, one begun every second."""
    folder.mkdir()
    for number in range(count):
        ends = f"{LOCAL}:{1000 + number}", f"203.0.113.{number % 250}:443"
        times = number, number + length
        pcap(folder / f"{number:04}.pcap", [(time, f.tcp_frame(*ends, flags=f.SYN)) for time in times])
    return folder


def limited(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command with few file descriptors."""
    return subprocess.run(
        [sys.executable, "-m", "agent.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS)),
    )


@pytest.mark.slow
@pytest.mark.parametrize("merge", [[], ["--merge"]], ids=["one after another", "merged"])
@pytest.mark.parametrize("local", [["--local", LOCAL], []], ids=["local given", "local found"])
def test_a_folder_of_more_captures_than_file_descriptors(tmp_path: Path, merge: list[str], local: list[str]) -> None:
    folder = captures(tmp_path / "day", 150)
    done = limited("replay", str(folder), *local, *merge, "--summary-json", "-", "--no-progress")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["packets"]["total"] == 300
    assert [capture["packets"] for capture in summary["captures"]] == [2] * 150
    assert [capture["errors"] for capture in summary["captures"]] == [[]] * 150


def test_more_captures_at_one_time_than_merging_holds_open_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = captures(tmp_path / "day", 130, length=500)
    decisions = tmp_path / "decisions.jsonl"
    arguments = ["replay", str(folder), "--local", LOCAL, "--merge", "--decisions", str(decisions)]
    assert main.run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("isolation-agent: error: --merge: more than 128 captures overlap in time at 2026-")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == [folder]
    assert main.run([one for one in arguments if one != "--merge"]) == 0


def test_people_see_the_first_of_many_and_programs_see_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = captures(tmp_path / "day", 1)
    for number in range(50):
        (folder / f"note-{number:02}.txt").write_text("no capture")
    assert main.run(["replay", str(folder), "--local", LOCAL]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].endswith("note-03.txt and 46 more")
    assert shown.count("not a capture, it begins with the bytes 6e 6f 20 63") == 20
    assert "warning: 30 more of this kind in --summary-json (capture_refused)\n" in shown
    assert main.run(["replay", str(folder), "--local", LOCAL, "--summary-json", "-"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert len([1 for warning in summary["warnings"] if warning["code"] == "capture_refused"]) == 50
    assert len([1 for capture in summary["captures"] if capture["errors"]]) == 50


def test_a_folder_without_any_capture_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("no capture")
    for name, text in (("empty", "no files in there"), ("notes", "no capture in there; the first file:")):
        assert main.run(["replay", str(tmp_path / name), "--local", LOCAL]) == 2
        captured = capsys.readouterr()
        assert text in captured.err
        assert captured.err.count("\n") == 1
