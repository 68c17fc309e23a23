"""`sockets`: turns whatever shows sockets and their owners into socket records.

Knows the options. Must not know formats.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import require_own_names
from agent.cli.output import Line, count, emit_json, show, warning_lines
from agent.cli.sources import Asked, DeviceFile, Format, Host, Inputs, Lenient, Local, attribution_of
from agent.model.errors import UsageError
from agent.model.moment import format_time

if TYPE_CHECKING:
    from agent.attribution.values import SocketRecord


def command(
    inputs: Inputs,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT.jsonl", help="The records.")] = None,
    format_name: Format = None,
    device: DeviceFile = None,
    host: Host = None,
    local: Local = None,
    lenient: Lenient = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Default: on a terminal, after a second.")
    ] = None,
) -> int:
    """Turn logs, snapshots and captures into socket records. With a capture, times are by its clock."""
    if output in (None, "-", ""):
        raise UsageError("sockets: give -o OUT.jsonl")
    from agent.attribution.written import record_line
    from agent.cli.progress import ProgressBar
    from agent.replay.sockets import rank_of, socket_records
    from agent.sinks.partial import PartialFile

    asked = Asked(
        inputs=inputs, format=format_name, device=device, host=host, local=tuple(local or ()), lenient=lenient
    )
    require_own_names([("-o", str(output))], [*inputs, *([device] if device else [])])
    file = PartialFile(str(output))
    try:
        with ProgressBar(forced=progress) as bar:
            attribution, own = attribution_of(asked, bar.callback)
        records = socket_records(attribution)
        ranks = {source.name: source.rank for source in attribution.sources}
        for record in records:
            file.write(
                record_line(
                    record,
                    complete=attribution.complete,
                    own=not own or record.local.address is None or record.local.address in own,
                    rank=rank_of(ranks, record),
                )
            )
        file.close()
    finally:
        file.abandon()  # does nothing to a file that is whole
    answer = _answer(records, str(output), attribution.warnings)
    if as_json:
        emit_json(answer)
    else:
        show([_line(answer), *warning_lines(answer["warnings"])])
    return 0


def _answer(records: Sequence[SocketRecord], output: str, warnings: Sequence[tuple[str, str]]) -> dict[str, Any]:
    owned = [record for record in records if record.subject.source]  # others say that an owner is no more
    sources = Counter(record.subject.source for record in owned)
    return {
        "version": 1,
        "records": len(records),
        "processes": len({(record.subject.pid, record.subject.image) for record in owned}),
        "first": format_time(min(record.start for record in records)) if records else None,
        "last": format_time(max(record.start for record in records)) if records else None,
        "by_source": dict(sorted(sources.items())),
        "file": output,
        "warnings": [{"code": code, "text": text} for code, text in warnings],
    }


def _line(answer: dict[str, Any]) -> Line:
    sources = ", ".join(f"{count(number)} by {name}" for name, number in answer["by_source"].items())
    span = f" from {answer['first']} to {answer['last']}" if answer["first"] is not None else ""
    text = f"{answer['file']}: {count(answer['records'])} records of {count(answer['processes'])} processes{span}"
    return Line(text=f"{text} ({sources})" if sources else text)
