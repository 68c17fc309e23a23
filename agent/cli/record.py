"""`record`: captures live traffic with the process of each packet, replayable elsewhere (Linux, root).

Knows the options, signals and the terminal. Must not know how packets are captured or owners found.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.output import Line, Table, count, emit_json, note, show, size, warning_lines
from agent.model.errors import EnvironmentFailure, UsageError
from agent.model.moment import format_time
from agent.sinks.partial import SUFFIX

if TYPE_CHECKING:
    from types import FrameType

    from agent.record.run import Counts, Recording, Report

INTERRUPTED = 130
_SIZE = re.compile(r"(\d+)\s*([kMG]?)i?B?", re.ASCII)
_UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


def command(
    interfaces: Annotated[
        list[str] | None, typer.Option("-i", "--interface", metavar="IFACE", help="Repeatable; any: all of them.")
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT.pcapng", help="The capture.")] = None,
    duration: Annotated[
        str | None, typer.Option(metavar="S", help="Seconds, or 10m, 2h; without it until Ctrl-C.")
    ] = None,
    filter_text: Annotated[
        str, typer.Option("--filter", metavar="BPF", help="What to record, such as 'tcp port 443'.")
    ] = "",
    rotate: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Begin the next file after SIZE: bytes, 64MB, 1GB. OUT-00001.pcapng, ..."),
    ] = None,
    sockets: Annotated[str | None, typer.Option(metavar="OUT.jsonl", help="Who owned the sockets.")] = None,
    device: Annotated[str | None, typer.Option(metavar="OUT.yaml", help="This machine's device document.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> int:
    """Record live traffic with the process of each packet. Needs Linux and root."""
    if not interfaces:
        raise UsageError("record: give -i IFACE, such as eth0, or any for all interfaces")
    if output is None:
        raise UsageError("record: give -o OUT.pcapng")
    _require_files({"-o": output, "--sockets": sockets, "--device": device}, rotated=rotate is not None)
    from agent.record.run import RecordOptions

    options = RecordOptions(
        interfaces=tuple(interfaces),
        output=output,
        duration=None if duration is None else parse_duration(duration),
        filter_text=filter_text,
        rotate=None if rotate is None else parse_size(rotate),
        sockets=sockets,
        device=device,
    )
    recording = _open(options)
    screen = _Screen()
    with _signals(recording) as told:
        until = "Ctrl-C" if options.duration is None else f"Ctrl-C or {options.duration:g} s"
        note(f"recording on {', '.join(recording.interfaces)}; {until} ends it")
        try:
            report = recording.run(screen.update if screen.wanted else None)
        finally:
            screen.clear()
    return _tell(report, options.sockets, options.device, interrupted=bool(told), as_json=as_json)


def parse_size(text: str) -> int:
    """`64MB`, `1GB`, `65536`: thousands, as the terminal shows sizes. Raises UsageError."""
    from agent.record.output import SMALLEST

    match = _SIZE.fullmatch(text.strip())
    value = int(match[1]) * _UNITS[match[2]] if match else 0
    if value < SMALLEST:
        raise UsageError(f"--rotate {text}: give a size from {SMALLEST} bytes on, such as 64MB or 1GB")
    return value


def parse_duration(text: str) -> float:
    """`30`, `30s`, `10m`, `2h` in seconds. Raises UsageError."""
    match = _DURATION.fullmatch(text.strip())
    value = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < value < 1e9:
        raise UsageError(f"--duration {text}: give seconds, or a time such as 30s, 10m, 2h")
    return value


def _require_files(paths: dict[str, str | None], *, rotated: bool) -> None:
    """Raises UsageError for outputs that would meet, EnvironmentFailure for a folder that is not there."""
    met: dict[str, str] = {}
    stem, extension = os.path.splitext(os.path.realpath(paths["-o"] or ""))
    row = re.compile(re.escape(stem) + r"-\d{5,}" + re.escape(extension))
    for option, path in paths.items():
        if path is None:
            continue
        if path in ("-", ""):
            raise UsageError(f"{option} {path}: give a file name")
        whole = os.path.realpath(path)
        if whole in met or (rotated and option != "-o" and row.fullmatch(whole)):
            raise UsageError(f"{option} {path}: named for {met.get(whole, '-o')} already; give each its own file")
        if not os.path.isdir(os.path.dirname(whole)):
            raise EnvironmentFailure(
                f"{path}: cannot write: No such file or directory; give a place that can be written"
            )
        met[whole] = met[whole + SUFFIX] = option


def _open(options: Any) -> Recording:
    from agent.capture.live import obstacle

    if (reason := obstacle()) is not None:
        raise EnvironmentFailure(f"record {reason}")
    from agent.attribution.live.source import LiveSource
    from agent.record.run import Recording

    return Recording(options, LiveSource())


@contextmanager
def _signals(recording: Recording) -> Iterator[list[int]]:
    """The signals that came. The first ends the recording in order; the same again ends it at once."""
    told: list[int] = []
    wanted = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        told.append(number)
        for one in wanted:
            signal.signal(one, before[one])
        recording.stop()

    before = {one: signal.signal(one, stop) for one in wanted}
    try:
        yield told
    finally:
        for one in wanted:
            signal.signal(one, before[one])


class _Screen:
    """One line on a terminal that is written again and again."""

    def __init__(self) -> None:
        self.wanted = sys.stderr is not None and sys.stderr.isatty()
        self._drawn = False

    def update(self, counts: Counts) -> None:
        sys.stderr.write("\r\x1b[K" + state(counts))
        sys.stderr.flush()
        self._drawn = True

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def state(counts: Counts) -> str:
    """`1,234 packets, 1.2 MB, 0 dropped, 98 % attributed`: of those that some process here must own."""
    ours = counts.packets - counts.not_ours - counts.portless
    share = f"{100 * counts.attributed // ours} % attributed" if ours else "nothing to attribute"
    return f"{count(counts.packets)} packets, {size(counts.octets)}, {count(counts.dropped)} dropped, {share}"


def _tell(report: Report, sockets: str | None, device: str | None, *, interrupted: bool, as_json: bool) -> int:
    if as_json:
        emit_json(as_dict(report, sockets, device, interrupted=interrupted))
    else:
        show(_lines(report, sockets, device))
    if report.vanished:
        gone = ", ".join(report.vanished)
        raise EnvironmentFailure(f"-i {gone}: the interface is gone; what passed before is in {report.files[-1]}")
    return INTERRUPTED if interrupted else 0


def as_dict(report: Report, sockets: str | None, device: str | None, *, interrupted: bool) -> dict[str, Any]:
    counts = report.counts
    return {
        "version": 1,
        "interfaces": list(report.interfaces),
        "first": None if report.first is None else format_time(report.first),
        "last": None if report.last is None else format_time(report.last),
        "packets": {
            "total": counts.packets,
            "attributed": counts.attributed,
            "ambiguous": counts.ambiguous,
            "unattributed": counts.unattributed,
            "portless": counts.portless,
            "not_ours": counts.not_ours,
            "dropped": counts.dropped,
        },
        "bytes": counts.octets,
        "written": counts.written,
        "sockets": report.sockets,
        "misses": dict(report.misses),
        "files": {"captures": list(report.files), "sockets": sockets, "device": device},
        "vanished": list(report.vanished),
        "warnings": [{"code": code, "text": text} for code, text in report.warnings],
        "interrupted": interrupted,
    }


def _lines(report: Report, sockets: str | None, device: str | None) -> list[Table | Line]:
    counts = report.counts
    files = ", ".join([_named(report.files), *(path for path in (sockets, device) if path is not None)])
    rows = [
        ("attributed", count(counts.attributed), "the process is known"),
        ("ambiguous", count(counts.ambiguous), "several processes may own the socket"),
        ("unattributed", count(counts.unattributed), "a socket of this host; its process was not found"),
        ("portless", count(counts.portless), "ICMP and the like: the kernel tells no owner"),
        ("not ours", count(counts.not_ours), "other hosts' traffic, ARP and the like"),
    ]
    lines: list[Table | Line] = [
        Line(text=f"{', '.join(report.interfaces)}: {state(counts)}, {count(report.sockets)} socket records: {files}"),
        Table(title="Packets by owner", columns=("owner", "packets", "means"), rows=rows, right=frozenset({"packets"})),
    ]
    return lines + warning_lines({"code": code, "text": text} for code, text in report.warnings)


def _named(files: tuple[str, ...]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} to {files[-1]} ({len(files)} files)"
