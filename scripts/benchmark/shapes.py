"""What a capture is made from, where it lies, and whether the disk has room. Never: what is in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BENCH = ROOT / ".bench"
"""All that is made; ignored by git, and can be deleted."""

ZIPF, CONSTANT = "zipf", "constant"
FLOW_SIZES = (ZIPF, CONSTANT)

PACKET_BYTES = 225
"""Of the file, a little more than the mean of any shape."""
FLOW_BYTES = 1300
"""Of a decision record, likewise."""
RECORD_BYTES, RULE_BYTES = 400, 1500
SPARE = 500_000_000
"""Left free on the disk whatever is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The same shape gives the same bytes, and captures that differ in their documents only share the packets."""

    packets: int
    flows: int
    rules: int = 20
    records: int = 10_000
    """Socket records."""
    flow_size: str = ZIPF
    """`zipf`: the n-th largest flow has about 1/n of the packets of the largest; `constant`: all have the same."""
    seed: int = 1
    root: Path = BENCH

    def traffic(self) -> Path:
        """The folder of the capture."""
        return self.root / f"{self.packets}-packets-{self.flows}-flows-{self.flow_size}-{self.seed}-v3"

    def folder(self) -> Path:
        """The folder of the documents, with a link to the capture."""
        return self.traffic() / f"{self.rules}-rules-{self.records}-records"

    def capture(self) -> Path:
        return self.traffic() / "traffic.pcap"

    def missing_bytes(self) -> int:
        """About so many are yet to be written."""
        documents = 0 if self.folder().is_dir() else self.records * RECORD_BYTES + self.rules * RULE_BYTES
        return documents + (0 if self.capture().exists() else self.packets * PACKET_BYTES)

    def describe(self) -> str:
        size = f", {self.packets // self.flows} packets each" if self.flow_size == CONSTANT else ""
        return (
            f"{self.packets:,} packets, {self.flows:,} flows{size}, {self.capture().stat().st_size / 1e6:,.0f} MB, "
            f"{self.rules:,} rules, {min(self.records, self.flows):,} socket records"
        )


def missing_bytes(shapes: Iterable[Shape]) -> int:
    """About what all of `shapes` need; a capture of several is counted once."""
    captures = {shape.traffic(): shape.missing_bytes() for shape in shapes}
    return sum(captures.values())


def output_bytes(shapes: Iterable[Shape]) -> int:
    """About what runs write beside the captures: records of every flow, before those of the last run are replaced."""
    return sum(2 * FLOW_BYTES * shape.flows for shape in shapes)


def refusal(needed: int, folder: Path) -> str | None:
    """Why `needed` bytes cannot be written to `folder`, None if they can."""
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed + SPARE <= free:
        return None
    return (
        f"{folder} would get {amount(needed)} and the disk has {amount(free)} free: make room there, "
        "or choose fewer packets"
    )


def amount(octets: float) -> str:
    """`6.2 GB`, `615 MB`."""
    return f"{octets / 1e9:.1f} GB" if octets >= 1e9 else f"{octets / 1e6:.0f} MB"
