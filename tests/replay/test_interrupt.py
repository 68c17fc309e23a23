"""Ctrl-C, really sent: outputs are whole, hold what was judged, and the code is 130."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from agent.sinks.summary import disagreements
from tests.support import frames as f
from tests.support.captures import pcap_bytes

ROOT = Path(__file__).resolve().parent.parent.parent
US = "10.0.0.5"
FRAMES = [
    (number * 0.001, f.tcp_frame(f"{US}:{20000 + number}", "203.0.113.9:443", flags=f.SYN)) for number in range(50)
]

# Tells on standard error, and then keeps still, whenever the run has judged all that it was given.
PROGRAM = """
import sys
from agent.cli.main import main
from agent.replay import run as runner
from agent.replay.frames import Frames
read = Frames._batches
def told(self):
    source = read(self)
    while True:
        print("waiting", file=sys.stderr, flush=True)
        item = next(source, None)
        if item is None:
            return
        yield item
Frames._batches = told
sys.argv[0] = "isolation-agent"
main()
"""


class Run:
    """A replay of a pipe in another process."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        os.mkfifo(folder / "live.pcap")
        outputs = [
            "--decisions",
            "out.jsonl",
            "--denied",
            "denied.pcapng",
            "--summary-json",
            "out.json",
            "--no-progress",
        ]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "replay", "live.pcap", *outputs, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.pipe: IO[bytes] = open(folder / "live.pcap", "wb", buffering=0)  # noqa: SIM115 - held open over the run

    def wait_until_it_waits(self, times: int) -> None:
        assert self.process.stderr is not None
        for _ in range(times):
            assert self.process.stderr.readline() == b"waiting\n"

    def interrupt(self) -> tuple[dict, list[dict]]:
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 130, err
        assert b"Traceback" not in err
        assert b"interrupted" in out
        summary = json.loads((self.folder / "out.json").read_text("utf-8"))
        assert summary["interrupted"] is True
        assert disagreements(summary) == []
        assert sorted(path.name for path in self.folder.iterdir()) == [
            "denied.pcapng",
            "live.pcap",
            "out.json",
            "out.jsonl",
        ]
        return summary, [json.loads(line) for line in (self.folder / "out.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Run]]:
    runs: list[Run] = []
    yield runs
    for run in runs:
        run.pipe.close()
        run.process.kill()
        run.process.wait()


pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")


def test_a_run_whose_pipe_stalls_ends_with_what_was_judged(tmp_path: Path, started: list[Run]) -> None:
    """Resolvers are known, so nothing is looked ahead but one batch."""
    device = tmp_path / "device.yaml"
    device.write_text(f"version: 1\nplatform: Windows11\nos_version: 24H2\naddresses: [{US}]\nresolvers: [10.0.0.1]\n")
    folder = tmp_path / "run"
    folder.mkdir()
    started.append(run := Run(folder, "--device", str(device)))
    data = pcap_bytes(FRAMES)
    run.pipe.write(data)
    run.wait_until_it_waits(2)  # for the first batch, and for more behind it
    summary, records = run.interrupt()
    assert summary["packets"]["total"] == summary["packets"]["denied"] == len(FRAMES)
    assert [record["flow_id"] for record in records] == list(range(1, len(FRAMES) + 1))
    assert {record["end"] for record in records} == {"eof"}
    assert summary["captures"][0]["packets"] == len(FRAMES)


def test_what_was_only_looked_at_yet_is_judged(tmp_path: Path, started: list[Run]) -> None:
    """`tcpdump -w - | isolation-agent replay -` is ended by Ctrl-C: the look-ahead must not be lost."""
    started.append(run := Run(tmp_path, "--local", US))
    run.pipe.write(pcap_bytes(FRAMES[:20]))
    run.wait_until_it_waits(2)
    summary, records = run.interrupt()
    assert summary["packets"]["total"] == len(records) == 20


def test_a_pipe_that_gave_nothing_yet_leaves_empty_outputs(tmp_path: Path, started: list[Run]) -> None:
    started.append(run := Run(tmp_path, "--local", US))
    run.pipe.write(pcap_bytes([]))
    run.wait_until_it_waits(1)
    summary, records = run.interrupt()
    assert summary["packets"]["total"] == len(records) == 0


def test_standard_input_that_stalls_is_interrupted_too(tmp_path: Path) -> None:
    arguments = [
        "replay",
        "-",
        "--local",
        US,
        "--decisions",
        "out.jsonl",
        "--summary-json",
        "out.json",
        "--no-progress",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    try:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(pcap_bytes(FRAMES))
        for _ in range(2):
            assert process.stderr.readline() == b"waiting\n"
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert code == 130
    assert json.loads((tmp_path / "out.json").read_text("utf-8"))["packets"]["total"] == len(FRAMES)
    assert len((tmp_path / "out.jsonl").read_text("utf-8").splitlines()) == len(FRAMES)
