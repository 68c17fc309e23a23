"""scripts/compare as people and programs run it: what it takes, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.samples import ROOT, office, pcap

SCRIPT = ROOT / "scripts" / "compare"
CHANGING = """#!{python}
import subprocess, sys
for line in subprocess.run(["{tshark}", *sys.argv[1:]], stdout=subprocess.PIPE, text=True).stdout.splitlines():
    print(line.replace("\\t50001\\t", "\\t50009\\t"))
"""
"""A tshark that shows another port in place of 50001."""


def compare(*arguments: str, cwd: Path, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": os.environ["PATH"] if path is None else path}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, env=environment, timeout=120)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two captures, one of them in a folder of its own under another name, and what is no capture."""
    (tmp_path / "captures" / "deep").mkdir(parents=True)
    (tmp_path / "captures" / "office.pcap").write_bytes(office())
    (tmp_path / "captures" / "deep" / "notes.bin").write_bytes(office())
    (tmp_path / "captures" / "README.md").write_text("two captures")
    (tmp_path / "captures" / ".hidden.pcap").write_bytes(office())
    return tmp_path


@pytest.mark.slow
def test_a_folder_of_equal_captures_ends_with_0(tshark: str, folder: Path) -> None:
    """JSON on standard output, nothing else anywhere."""
    done = compare("captures", "--json", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert (found["version"], found["equal"], found["captures"], found["other_files"]) == (1, True, 2, 1)
    assert found["packets"] == {"ours": 12, "tshark": 12}
    assert found["bytes"] == {"ours": 12 * 54, "tshark": 12 * 54}
    assert found["tuples"] == {"ours": 6, "tshark": 6, "same": 6}
    assert [file["path"] for file in found["files"]] == ["captures/office.pcap", "captures/deep/notes.bin"]
    assert all(file["equal"] and not file["causes"] and not file["differences"] for file in found["files"])


def test_a_changed_tuple_is_shown_and_ends_with_1(tshark: str, folder: Path) -> None:
    """One of three connections has another port in tshark's eyes."""
    tools = folder / "tools"
    tools.mkdir()
    (tools / "tshark").write_text(CHANGING.format(python=sys.executable, tshark=tshark))
    (tools / "tshark").chmod(0o755)
    done = compare("captures/office.pcap", "--verbose", cwd=folder, path=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert (done.returncode, done.stderr) == (1, "")
    assert "1 capture: 1 DIFFERENT" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "another flow" in line)
    assert "captures/office.pcap, frame 3" in row
    assert "tcp 10.0.0.5:50001 - 198.51.100.7:443 here, tcp 10.0.0.5:50009 - 198.51.100.7:443 there" in row
    assert row.split()[:7] == ["a", "flow", "another", "flow:", "eth:ethertype:ip", "2", "1"]


def test_causes_are_shown_beside_an_equal_verdict(tshark: str, tmp_path: Path) -> None:
    """Exit 0: a packet that ends inside its TCP header."""
    whole = office()[24 + 16 : 24 + 16 + 54]
    short = whole[:16] + b"\0\x24" + whole[18:50]
    (tmp_path / "short.pcap").write_bytes(pcap([short, whole]))
    done = compare("short.pcap", cwd=tmp_path)
    assert done.returncode == 0
    assert "short_packet" in done.stdout
    assert "1 capture: equal but for 1 packet with a proven cause" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["missing.pcap"], "missing.pcap: does not exist", id="missing"),
        pytest.param(["captures/README.md"], "captures/README.md: is no pcap or pcapng file", id="no-capture"),
        pytest.param(["empty"], "empty: no capture in there", id="empty-folder"),
    ],
)
def test_bad_usage_is_one_line_and_ends_with_2(tshark: str, folder: Path, arguments: list[str], says: str) -> None:
    (folder / "empty").mkdir()
    done = compare(*arguments, cwd=folder)
    assert done.returncode == 2
    assert says in one_line(done)


@pytest.mark.parametrize("arguments", [[], ["captures", "--jobs", "0"], ["captures", "--nonsense"]])
def test_wrong_options_end_with_2(folder: Path, arguments: list[str]) -> None:
    done = compare(*arguments, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: compare")


def test_without_tshark_it_says_so_and_ends_with_3(folder: Path) -> None:
    done = compare("captures", cwd=folder, path=str(folder))
    assert done.returncode == 3
    assert "tshark is not installed" in one_line(done)


def test_without_the_agent_it_says_what_to_run(folder: Path) -> None:
    """A fresh clone: no .venv, and a Python that has none of the packages."""
    clone = folder / "clone"
    (clone / "scripts").mkdir(parents=True)
    shutil.copy(SCRIPT, clone / "scripts" / "compare")
    command = [sys.executable, "-I", "-S", str(clone / "scripts" / "compare"), "captures"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.returncode == 3
    assert one_line(done) == "compare: agent is not installed: run scripts/setup dev first"
