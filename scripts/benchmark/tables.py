"""What was measured, as ratios beside goals, for people and for programs. Knows no tool and measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmark.processes import Sample

COLD = 0.01
"""A run that got more than this part of its file from the disk had no warm cache ..."""
LITTLE = 4_000_000
"""... but for these bytes, which programs and libraries may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound that something measured is held against."""

    bound: float
    at_most: bool = False
    """The measured value must not be above the bound; else not below it."""

    def reached(self, value: float) -> bool:
        return value <= self.bound if self.at_most else value >= self.bound

    def text(self, unit: str = "") -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.bound:g}{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row: a command on a capture."""

    name: str
    samples: tuple[Sample, ...]
    """Empty if the tool is not installed."""
    packets: int
    bytes: int
    """Of the capture."""
    goal: Goal | None = None
    """Of the ratio."""
    label: str = ""
    """What the goal is called in the list of goals, if not `name`."""
    base: Line | None = None
    """The line that the ratio compares with; None: this is one that others are compared with."""

    @property
    def seconds(self) -> float:
        return statistics.median(sample.seconds for sample in self.samples)

    @property
    def cpu(self) -> float:
        return statistics.median(sample.cpu for sample in self.samples)

    @property
    def peak(self) -> int:
        return max(sample.peak for sample in self.samples)

    @property
    def rate(self) -> float:
        """Packets per second."""
        return self.packets / self.seconds

    @property
    def cost(self) -> float:
        """Seconds of the whole process per packet."""
        return self.seconds / self.packets

    @property
    def cold(self) -> int:
        """Bytes that the usual run got from the disk, if that is too many."""
        usual = int(statistics.median_low([sample.disk for sample in self.samples] or [0]))
        return usual if usual > COLD * self.bytes + LITTLE else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Lines that were measured in turn."""

    title: str
    note: str
    """What was measured: captures, rounds, and what the ratio is."""
    lines: tuple[Line, ...]
    by_cost: bool = False
    """The ratio is of costs per packet, where less is better; else of packets per second."""
    floor: int = 0
    """Peaks of memory up to this many bytes cannot be told apart."""

    def ratio(self, line: Line) -> float | None:
        if line.base is None or not line.samples or not line.base.samples:
            return None
        return line.cost / line.base.cost if self.by_cost else line.rate / line.base.rate

    def as_json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "note": self.note,
            "ratio_of": "seconds per packet" if self.by_cost else "packets per second",
            "lines": [self._line_json(line) for line in self.lines],
        }

    def _line_json(self, line: Line) -> dict[str, Any]:
        row: dict[str, Any] = {"name": line.name, "packets": line.packets, "installed": bool(line.samples)}
        if not line.samples:
            return row
        ratio = self.ratio(line)
        judged = line.goal is not None and ratio is not None
        return row | {
            "seconds": line.seconds,
            "cpu_seconds": line.cpu,
            "packets_per_second": line.rate,
            "nanoseconds_per_packet": 1e9 * line.cost,
            "peak_bytes": line.peak,
            "compared_with": None if line.base is None else line.base.name,
            "ratio": ratio,
            "goal": None if line.goal is None else asdict(line.goal),
            "reached": line.goal.reached(ratio) if judged and line.goal is not None and ratio is not None else None,
            "cold_bytes": line.cold,
            "samples": [asdict(sample) for sample in line.samples],
        }

    def text(self) -> list[str]:
        speed = "ns/packet" if self.by_cost else "Mpkt/s"
        heads = ("tool", "median s", "min-max s", "cpu s", speed, "ratio", "goal", "reached", "peak MB")
        parts = [self.title, self.note, "", *columns([heads, *map(self._row, self.lines)])]
        for line in self.lines:
            if line.cold:
                parts.append(f"NOT A WARM CACHE: {line.name} got {line.cold / 1e6:,.0f} MB from the disk")
        return parts

    def _row(self, line: Line) -> tuple[str, ...]:
        if not line.samples:
            return (line.name, "not installed", *[""] * 7)
        seconds = [sample.seconds for sample in line.samples]
        ratio = self.ratio(line)
        judged = line.goal is not None and ratio is not None
        low = line.peak <= self.floor
        return (
            line.name,
            f"{line.seconds:.3f}",
            f"{min(seconds):.3f}-{max(seconds):.3f}",
            f"{line.cpu:.3f}",
            f"{1e9 * line.cost:.0f}" if self.by_cost else f"{line.rate / 1e6:.2f}",
            "" if ratio is None else f"{ratio:.2f}",
            "" if line.goal is None else line.goal.text(),
            yes_or_no(line.goal.reached(ratio)) if judged and line.goal is not None and ratio is not None else "",
            f"{'under ' if low else ''}{line.peak / 1e6:.0f}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A goal and what was measured, in the list at the end."""

    name: str
    value: float | bool | None
    """None: could not be measured, since a tool is not installed."""
    goal: Goal | None = None
    """None: the value says yes or no itself."""
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        if self.value is None:
            return None
        return bool(self.value) if self.goal is None else self.goal.reached(float(self.value))

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"reached": self.reached}

    def row(self) -> tuple[str, ...]:
        value = "not measured" if self.value is None else "" if self.goal is None else f"{self.value:.2f}{self.unit}"
        goal = "" if self.goal is None else self.goal.text(self.unit)
        return (self.name, value, goal, "" if self.reached is None else yes_or_no(self.reached))


def checks_of(table: Table) -> list[Check]:
    """One for each line of a table that has a goal."""
    return [
        Check(name=line.label or f"{table.title}: {line.name}", value=table.ratio(line), goal=line.goal, unit=" x")
        for line in table.lines
        if line.goal is not None and line.base is not None
    ]


@dataclass(slots=True, kw_only=True)
class Report:
    """All that one run of scripts/bench found."""

    date: str
    machine: str
    versions: dict[str, str]
    rounds: int
    tables: list[Table] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    stages: dict[str, Any] | None = None
    """Where the time goes, as breakdown.py gives it."""
    owners: dict[str, Any] | None = None
    """What finding a socket's owner costs, as owners.py gives it."""

    def as_json(self) -> dict[str, Any]:
        return {
            "date": self.date,
            "machine": self.machine,
            "versions": self.versions,
            "rounds": self.rounds,
            "tables": [table.as_json() for table in self.tables],
            "stages": self.stages,
            "owners": self.owners,
            "goals": [check.as_json() for check in self.checks],
        }

    def text(self) -> str:
        parts = [f"{self.date}, {self.machine}", ", ".join(f"{name} {text}" for name, text in self.versions.items())]
        for table in self.tables:
            parts += ["", *table.text()]
        if self.stages is not None:
            from benchmark.breakdown import text

            parts += ["", *text(self.stages)]
        if self.owners is not None:
            from benchmark import attribution

            parts += ["", *attribution.text(self.owners)]
        if self.checks:
            heads = ("goals", "measured", "goal", "reached")
            parts += ["", *columns([heads, *(check.row() for check in self.checks)])]
        return "\n".join(parts)


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows of equal length, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [(f"{row[0]:<{widths[0]}}  " + "  ".join(map(str.rjust, row[1:], widths[1:]))).rstrip() for row in rows]


def yes_or_no(reached: bool) -> str:
    return "yes" if reached else "NO"
