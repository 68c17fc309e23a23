"""Where the time of a replay goes: stages.py's seconds as what each packet and each flow costs, and as a table.

Knows what each stage depends on, so that several shapes tell packets from flows. Never: the agent's inside.
"""

from __future__ import annotations

import json
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmark.fit import least_squares
from benchmark.processes import ToolFailedError
from benchmark.shapes import CONSTANT, Shape
from benchmark.tables import columns

STAGES_FILE = Path(__file__).with_name("stages.py")

DEPENDS: dict[str, tuple[str, ...]] = {
    "load documents": (),
    "read the file": ("bytes",),
    "find packets": ("packets",),
    "decode headers": ("packets",),
    "flow lookup": ("packets", "flows"),
    "authorise": ("flows",),
    "end and summary": ("flows",),
    "make events": ("flows",),
    "write records": ("flows",),
}
"""What the time of each stage grows with: columns of `sizes`."""

SUMMARY_ENDS = "end and summary"
"""The last stage of a replay without --decisions."""


def shapes_for(shape: Shape) -> tuple[Shape, ...]:
    """The shape itself, one of few long flows, and one of as many flows as short as they get."""
    few = max(10, shape.flows // 100)
    return (
        shape,
        replace(shape, packets=max(8 * few, shape.packets // 3), flows=few),
        replace(shape, packets=8 * shape.flows, flow_size=CONSTANT),
    )


def measure(python: Path, shapes: Sequence[Shape], rounds: int) -> dict[str, Any]:
    """What stages.py prints for the shapes. Raises ToolFailedError."""
    cases = [{"folder": str(shape.folder()), "packets": shape.packets} for shape in shapes]
    asked = json.dumps({"rounds": rounds, "cases": cases})
    # -P: what lies beside the file is not for it to import.
    command = [str(python), "-P", str(STAGES_FILE), asked]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode:
        raise ToolFailedError(f"{STAGES_FILE.name}: exit {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def break_down(
    measured: dict[str, Any], shapes: Sequence[Shape], start_up: float, whole: float, recording: float
) -> dict[str, Any]:
    """The stages of the first shape; `start_up`, `whole`, `recording`: processor seconds of whole processes."""
    by_shape = [increments(case, measured["less"]) for case in measured["cases"]]
    lines: list[dict[str, Any]] = [{"name": "start-up", "seconds": start_up, "of": "summary"}]
    of = "summary"
    for name, seconds in by_shape[0].items():
        units = DEPENDS[name]
        factors: list[float] = []
        if units:
            rows = [[sizes(shape)[unit] for unit in units] for shape in shapes]
            factors = least_squares(rows, [times[name] for times in by_shape])
        per = {f"nanoseconds_per_{unit[:-1]}": 1e9 * factor for unit, factor in zip(units, factors, strict=True)}
        if "bytes" in units:  # a packet of this shape's mean size
            here = sizes(shapes[0])
            per["nanoseconds_per_packet"] = per["nanoseconds_per_byte"] * here["bytes"] / here["packets"]
        lines.append({"name": name, "seconds": seconds, "of": of, **per})
        if name == SUMMARY_ENDS:
            of = "decisions"
    return {
        "shape": shapes[0].describe(),
        "fitted_over": [shape.describe() for shape in shapes],
        "lines": lines,
        "whole": {"summary": whole, "decisions": recording},
        "samples": measured,
    }


def sizes(shape: Shape) -> dict[str, float]:
    """How much there is of what a stage can depend on."""
    return {
        "packets": float(shape.packets),
        "flows": float(shape.flows),
        "bytes": float(shape.capture().stat().st_size),
    }


def increments(case: dict[str, list[list[float]]], less: dict[str, str | None]) -> dict[str, float]:
    """Processor seconds of each stage without the stage that it contains, as medians."""
    medians = {name: statistics.median(cpu for cpu, _ in samples) for name, samples in case.items()}
    return {
        name: seconds - (0.0 if (without := less[name]) is None else medians[without])
        for name, seconds in medians.items()
    }


def text(result: dict[str, Any]) -> list[str]:
    """The table, for people."""
    lines = result["lines"]
    summary = sum(line["seconds"] for line in lines if line["of"] == "summary")
    decisions = sum(line["seconds"] for line in lines)
    rows: list[tuple[str, ...]] = [("stage", "cpu ms", "% of summary", "% with --decisions", "ns/packet", "ns/flow")]
    for number, line in enumerate(lines):
        rows.append(_row(line, summary, decisions))
        if line["of"] == "summary" and lines[number + 1]["of"] != "summary":
            rows += _sums("summary", summary, result["whole"]["summary"])
    rows += _sums("with --decisions", decisions, result["whole"]["decisions"])
    few, short = result["fitted_over"][1:]
    return [
        "where the time goes",
        result["shape"],
        "processor time; a stage is what a run with it takes more than one without it, medians of runs in one process",
        "per packet and per flow: least squares over this capture and two others:",
        f"  {few}",
        f"  {short}",
        "",
        *columns(rows),
    ]


def _row(line: dict[str, Any], summary: float, decisions: float) -> tuple[str, ...]:
    seconds = line["seconds"]
    packet, flow = (line.get(f"nanoseconds_per_{unit}") for unit in ("packet", "flow"))
    return (
        line["name"],
        f"{1e3 * seconds:.0f}",
        f"{100 * seconds / summary:.0f}" if line["of"] == "summary" else "",
        f"{100 * seconds / decisions:.0f}",
        "" if packet is None else f"{packet:.1f}",
        "" if flow is None else f"{flow:.0f}",
    )


def _sums(name: str, total: float, whole: float) -> list[tuple[str, ...]]:
    return [
        (f"= {name}", f"{1e3 * total:.0f}", "", "", "", ""),
        ("  the whole process took", f"{1e3 * whole:.0f}", "", "", "", ""),
    ]
