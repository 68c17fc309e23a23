"""`attribution`: how good the sources are: what they hold, and of a capture's flows how many owners they know.

Knows the options and the report's shape. Must not know formats, or how flows are found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from agent.cli.output import Line, Table, count, emit_json, show, warning_lines
from agent.cli.sources import Asked, DeviceFile, Format, Host, Inputs, Lenient, Local, attribution_of


def command(
    inputs: Inputs,
    format_name: Format = None,
    device: DeviceFile = None,
    host: Host = None,
    local: Local = None,
    lenient: Lenient = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Default: on a terminal, after a second.")
    ] = None,
) -> int:
    """Report how well owners are known. With captures among the inputs: of their flows; else what the sources hold."""
    asked = Asked(
        inputs=inputs,
        format=format_name,
        device=device,
        host=host,
        local=tuple(local or ()),
        lenient=lenient,
        settings=tuple(settings or ()),
    )
    report = _of_captures(asked, progress) if asked.replay().captures else _of_sources(asked, progress)
    if as_json:
        emit_json(report)
    else:
        show(_parts(report))
    return 0


def _of_captures(asked: Asked, progress: bool | None) -> dict[str, Any]:
    """By a replay that isolates nothing."""
    from agent.cli.progress import ProgressBar
    from agent.replay.report import source_rows
    from agent.replay.run import run

    with ProgressBar(forced=progress) as bar:
        result = run(asked.replay(), bar.callback)
    summary = result.summary
    return {
        "version": 1,
        "sources": source_rows(result.attribution) if result.attribution is not None else [],
        "captures": [row["path"] for row in summary["captures"]],
        "flows": summary["flows"]["total"],
        "local": summary["device"]["local"],
        "attribution": summary["attribution"],
        "processes": [
            {"image": row["image"], "packets": row["allowed"]["packets"] + row["denied"]["packets"]}
            for row in summary["processes"]
        ],
        "warnings": summary["warnings"],
    }


def _of_sources(asked: Asked, progress: bool | None) -> dict[str, Any]:
    from agent.cli.progress import ProgressBar
    from agent.replay.report import source_rows

    with ProgressBar(forced=progress) as bar:
        attribution, _ = attribution_of(asked, bar.callback)
    warnings = [{"code": code, "text": text} for code, text in attribution.warnings]
    return {"version": 1, "sources": source_rows(attribution), "captures": [], "warnings": warnings}


def _parts(report: dict[str, Any]) -> Iterator[Table | Line]:
    from agent.cli.replay_view import attribution_parts

    if report["sources"]:
        yield _sources(report["sources"])
    if report["captures"]:
        if not report["sources"]:
            yield Line(text="No source of owners: give a log, a snapshot or socket records beside the capture.")
        yield Line(text=f"Local addresses: {', '.join(report['local']) or 'none'}")
        yield from attribution_parts(report["attribution"], talkers=True)
        yield _processes(report["processes"])
    yield from warning_lines(report["warnings"])


def _sources(rows: list[dict[str, Any]]) -> Table:
    return Table(
        title="Sources, the most believed first",
        columns=("source", "file", "host", "sockets", "knows", "first", "last"),
        rows=[
            (
                row["source"],
                row["path"],
                (row["host"] or "-") + ("" if row["used"] else " (not the device)"),
                count(row["sockets"]),
                ", ".join(row["facts"]) or ("direction" if row["witness"] else "pid"),
                row["first"] or "-",
                row["last"] or "-",
            )
            for row in rows
        ],
        right=frozenset({"sockets"}),
    )


def _processes(rows: list[dict[str, Any]]) -> Table:
    return Table(
        title="Packets by process",
        columns=("process", "packets"),
        rows=[(row["image"] or "(not attributed)", count(row["packets"])) for row in rows],
        right=frozenset({"packets"}),
    )
