"""scripts/bench as a whole, on a capture too small to measure anything: that it measures all it promises."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def bench(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts/bench"), f"--root={root}", f"--python={sys.executable}"]
    small = ["--packets=600", "--flows=20", "--records=10", "--timeline=300", "--sockets=60", "--rounds=1"]
    return subprocess.run([*command, *small, *options], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump absent")
def test_everything_is_measured_and_held_against_its_goal(tmp_path: Path) -> None:
    """Whatever the times are: each part is there, and each goal says whether it is reached."""
    done = bench(tmp_path, "--all", "--json", "--argus=no-such-argus")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    titles = ["beside tcpdump", "start-up", "beside argus", "beside nfstream", "a large capture", "what a packet costs"]
    assert [table["title"] for table in found["tables"]] == titles
    goals = {goal["name"]: goal for goal in found["goals"]}
    assert goals["replay of 100 packets: scapy is not imported"]["reached"] is True
    assert goals["beside argus: replay, summary"]["reached"] is None
    bounds = {
        "beside tcpdump: replay, summary": (1.0, False),
        "beside tcpdump: replay, summary and --decisions": (0.5, False),
        "replay of 100 packets": (0.3, True),
        "owners: 1 M records loaded": (10.0, True),
        "owners: resolve, recorded": (1.0, True),
        "owners: live lookup, p99": (1000.0, True),
        "beside argus: replay, summary": (10.0, False),
        "beside nfstream: replay, summary": (50.0, False),
        "a large capture: replay, summary": (1.3, False),
        "a large capture: replay, summary: peak memory": (400.0, True),
        "what a packet costs with 10 x the packets": (1.1, True),
        "what a packet costs with 100 x the rules": (1.3, True),
        "what a packet costs with 10 x the flows": (1.6, True),
    }
    assert {name: tuple(goals[name]["goal"].values()) for name in bounds} == bounds
    large = found["tables"][titles.index("a large capture")]["lines"]
    assert [line["packets"] for line in large] == [6000] * 3
    assert all(line["peak_bytes"] > 0 for line in large)
    assert found["stages"]["lines"][0]["name"] == "start-up"
    assert found["owners"]["timeline"]["records"] == 300


@pytest.mark.slow
def test_the_table_says_what_is_not_installed(tmp_path: Path) -> None:
    """Without other tools the rest is measured."""
    done = bench(tmp_path, "--only=start-up,meters", "--argus=no-such-argus")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["argus", "-r", "FILE", "-w", "/dev/null", "not", "installed"] in rows
    assert done.stdout.splitlines()[-1].startswith("beside nfstream")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param(["--only=speeed"], "no section 'speeed'", id="section"),
        pytest.param(["--rounds=0"], "must be 1 or more", id="rounds"),
        pytest.param(["--packets=900000000000", "--all"], "the disk has", id="no room"),
        pytest.param(["--python=/no/python"], "run scripts/setup first", id="agent"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, options: list[str], text: str) -> None:
    """Before anything is written."""
    done = bench(tmp_path / "folder", *options)
    assert done.returncode in (1, 2)
    assert text in done.stderr.splitlines()[-1]
    assert not (tmp_path / "folder").exists()


@pytest.mark.slow
def test_owners_of_sockets_are_measured_without_captures(tmp_path: Path) -> None:
    """Recorded and, on Linux, live: every lookup has found its owner, or it would have failed."""
    done = bench(tmp_path, "--only=owners")
    assert done.returncode == 0, done.stderr
    assert "recorded: 300 records" in done.stdout
    if sys.platform == "linux":
        assert "live: 60 sockets in 6 processes" in done.stdout
    assert list(tmp_path.iterdir()) == []
