"""Capture files and documents on the disk, and a whole replay of them. Never: what the replay should say.

path = pcap(tmp_path / "one.pcap", [(0.0, frame), (1.5, frame)])
outcome = replay(tmp_path, path, local=("10.0.0.5",))
outcome.summary["packets"], outcome.records
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.replay.options import ReplayOptions, ReplayResult, When
from agent.replay.run import run
from agent.sinks.summary import disagreements

SECOND = 1_000_000_000
START_SECONDS = 1_767_603_600

Packet = tuple[float, bytes]
"""Seconds after START_SECONDS, frame."""


class Outcome(NamedTuple):
    """What a replay gave."""

    result: ReplayResult
    records: list[dict[str, Any]]
    """The decision records, in the file's order."""

    @property
    def summary(self) -> dict[str, Any]:
        return self.result.summary

    @property
    def flows(self) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event_type"] == "flow"]

    def codes(self) -> set[str]:
        """Codes of the warnings."""
        return {warning["code"] for warning in self.summary["warnings"]}


def after(seconds: float) -> When:
    """Seconds from the first packet."""
    return When(ns=round(seconds * SECOND), absolute=False)


def at(seconds: float) -> When:
    """Seconds after START_SECONDS, as an absolute time."""
    return When(ns=START_SECONDS * SECOND + round(seconds * SECOND), absolute=True)


def pcap_bytes(packets: Iterable[Packet], *, link: int = 1) -> bytes:
    """A pcap with nanoseconds."""
    parts = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, link)]
    for seconds, frame in packets:
        ns = START_SECONDS * SECOND + round(seconds * SECOND)
        parts.append(struct.pack("<IIII", ns // SECOND, ns % SECOND, len(frame), len(frame)) + frame)
    return b"".join(parts)


def pcap(path: Path, packets: Iterable[Packet], *, link: int = 1) -> Path:
    path.write_bytes(pcap_bytes(packets, link=link))
    return path


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def pcapng(path: Path, packets: Iterable[tuple[float | None, bytes, int]], *, link: int = 1) -> Path:
    """(seconds or None for a simple packet, which has no time; frame; direction flag 0 to 2)."""
    section = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    resolution = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
    parts = [section, _block(1, struct.pack("<HHI", link, 0, 0) + resolution)]
    for seconds, frame, flag in packets:
        if seconds is None:
            parts.append(_block(3, struct.pack("<I", len(frame)) + _padded(frame)))
            continue
        ns = START_SECONDS * SECOND + round(seconds * SECOND)
        options = struct.pack("<HHIHH", 2, 4, flag, 0, 0) if flag else b""
        head = struct.pack("<IIIII", 0, ns >> 32, ns & 0xFFFFFFFF, len(frame), len(frame))
        parts.append(_block(6, head + _padded(frame) + options))
    path.write_bytes(b"".join(parts))
    return path


def rules_file(path: Path, *rules: dict[str, Any], feature: bool = True) -> Path:
    """A rules document with Windows rules."""
    path.write_text(json.dumps({"version": 1, "isolation_exclusions": feature, "windows_rules": list(rules)}))
    return path


def sockets_file(path: Path, *records: dict[str, Any]) -> Path:
    """Socket records that hold from before the first packet on, where they do not say otherwise."""
    start = {"start": "2026-01-05T08:59:00Z", "protocol": "tcp"}
    path.write_text("".join(json.dumps({**start, **record}) + "\n" for record in records))
    return path


def replay_options(*captures: Path | str, settings: dict[str, Any] | None = None, **options: Any) -> ReplayOptions:
    """Full isolation of 10.0.0.5 unless told otherwise; paths may be Path objects."""
    values: dict[str, Any] = {"mode": Mode.FULL, "local": ("10.0.0.5",), **options}
    for name in ("rules", "compare", "device", "names", "cloud_channel", "decisions", "allowed", "denied"):
        if values.get(name) is not None:
            values[name] = str(values[name])
    values["attribution"] = tuple(str(path) for path in values.get("attribution", ()))
    return ReplayOptions(
        captures=tuple(str(path) for path in captures), settings=Settings(dict(settings or {})), **values
    )


def replay(folder: Path, *captures: Path | str, **options: Any) -> Outcome:
    """One replay with decision records, its sums checked."""
    decisions = folder / "decisions.jsonl"
    result = run(replay_options(*captures, decisions=decisions, **options))
    assert disagreements(result.summary) == []
    return Outcome(result, [json.loads(line) for line in decisions.read_text("utf-8").splitlines()])
