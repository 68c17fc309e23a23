"""What a replay of `isolation-agent` says of each packet of a capture, and the records of its flows.

Knows the command line, the comments on the packets that --allowed and --denied write, and decision records. Must not
know tshark. The replay is a real one, as a process, of a device that is everybody and may nothing: every address is
local, Full isolation, each choice of what still passes is off. So every packet is denied, and --denied is the whole
capture in its order, each packet with its reason and flow. It comes through a pipe: nothing is copied to the disk.

    with Replay(path) as replay:
        for frame, original, mark in replay: ...
        replay.summary["packets"], list(replay.records())
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
EVERYONE = ("--local", "0.0.0.0/0", "--local", "::/0")
_NOTHING_PASSES = {
    "link.other": "deny",
    "loopback": "off",
    "related.rate": 0,
    "essential.dns": "off",
    "essential.neighbour_discovery": "off",
    "essential.multicast_listener": "off",
    "essential.dhcp": "off",
    # A capture full of fragments is no reason to forget one: what is forgotten could not be proven.
    "fragment_table.size": 10_000_000,
}
_NO_CHANNEL = {"version": 1, "tls_ports": [443], "crl_ports": [80], "hosts": [], "networks": [], "agents": {}}
_REFUSED = 2
_COMMENT = re.compile(rb"verdict=(allow|deny) reason=(\w+)(?: flow=(\d+))? rules=\[.*\]")
_PACKET = struct.Struct("<IIIII")
_BLOCK = struct.Struct("<II")
_REMEMBERED = 1 << 16


class Mark(NamedTuple):
    """What the comment on one packet says."""

    verdict: str
    reason: str
    flow: int | None


class ReplayError(Exception):
    """The replay failed with something that is no capture's fault."""


def marked(file: IO[bytes]) -> Iterator[tuple[bytes, int, Mark]]:
    """(captured bytes, original length, mark) of each packet of a file that --allowed or --denied wrote."""
    known: dict[bytes, Mark] = {}
    while len(head := file.read(_BLOCK.size)) == _BLOCK.size:
        kind, length = _BLOCK.unpack(head)
        body = file.read(length - _BLOCK.size)
        if kind != 6:
            continue
        _, _, _, captured, original = _PACKET.unpack_from(body)
        options = 20 + captured + -captured % 4
        code, size = struct.unpack_from("<HH", body, options)
        assert code == 1, "each packet carries one comment"
        text = body[options + 4 : options + 4 + size]
        mark = known.get(text)
        if mark is None:
            found = _COMMENT.fullmatch(text)
            assert found is not None, text
            if len(known) >= _REMEMBERED:
                known.clear()
            flow = int(found[3]) if found[3] else None
            mark = known[text] = Mark(found[1].decode(), found[2].decode(), flow)
        yield body[20 : 20 + captured], original, mark


def marks(path: Path) -> Iterator[tuple[str, Mark]]:
    """(MD5 of the frame, mark) of each packet of a file that --allowed or --denied wrote."""
    with path.open("rb") as file:
        for frame, _, mark in marked(file):
            yield hashlib.md5(frame).hexdigest(), mark


class Replay:
    """The packets of a capture as an iterator like marked(), and afterwards the summary and the records."""

    def __init__(self, path: Path) -> None:
        self.refused = ""
        """Why the file is no capture; "" for one that was read."""
        self.summary: dict[str, Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="compare-")
        folder = Path(self._folder.name)
        self._records, self._summary, self._errors = (folder / name for name in ("d.jsonl", "s.json", "errors"))
        (folder / "channel.yaml").write_text(json.dumps(_NO_CHANNEL))  # JSON is YAML
        reading, writing = os.pipe()
        settings = [part for name, value in _NOTHING_PASSES.items() for part in ("--set", f"{name}={value}")]
        command = [
            sys.executable, "-m", "agent.cli", "replay", str(path), *EVERYONE, "--mode", "full", *settings,
            "--cloud-channel", str(folder / "channel.yaml"), "--no-progress", "--denied", f"/dev/fd/{writing}",
            "--decisions", str(self._records), "--summary-json", str(self._summary),
        ]  # fmt: skip
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, pass_fds=(writing,),
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        os.close(writing)
        self._pipe = os.fdopen(reading, "rb", buffering=1 << 18)

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._pipe.close()
        self._folder.cleanup()

    def __iter__(self) -> Iterator[tuple[bytes, int, Mark]]:
        yield from marked(self._pipe)
        code = self._process.wait()
        if code == _REFUSED:
            self.refused = self._errors.read_text("utf-8", "replace").strip().removeprefix("isolation-agent: error: ")
        elif code:
            said = self._errors.read_text("utf-8", "replace").strip().splitlines()
            raise ReplayError(said[-1] if said else f"replay ended with exit code {code}")
        else:
            self.summary = json.loads(self._summary.read_bytes())
            assert self.summary["packets"]["allowed"] == 0, "nothing passes a device that may nothing"

    def records(self) -> Iterator[dict[str, Any]]:
        """The decision record of each flow, one after the other."""
        if not self.summary:
            return
        with self._records.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                if record["event_type"] == "flow":
                    yield record

    @property
    def broken_at(self) -> int | None:
        """The byte, uncompressed, from which the capture could not be read; None where it merely ends early."""
        found = [match[1] for error in self.errors if (match := re.match(r"at byte (\d+): ", error))]
        return int(found[-1]) if found else None

    @property
    def errors(self) -> list[str]:
        """What the replay says is wrong with the file."""
        return list(self.summary["captures"][0]["errors"]) if self.summary else []
