"""`replay`: judges every packet of captures.

Knows the options and how they become ReplayOptions. Must not know how packets are judged, or how tables look
(replay_view.py does).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agent.cli.options import require_own_names
from agent.cli.output import emit_json, note, show
from agent.cli.when import parse_faults, parse_speed, parse_switch, parse_when
from agent.model.errors import UsageError
from agent.model.settings import Settings
from agent.model.vocabulary import Mode
from agent.replay.options import ReplayOptions, ReplayResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.sinks.partial import PartialFile

INTERRUPTED = 130

_Text = str | None
_SCOPE, _FACTS, _TIME, _OUTPUT, _RUN = "What is isolated", "What is known", "When", "Output", "Running"


def command(
    captures: Annotated[list[str], typer.Argument(metavar="CAPTURE...", help="pcap or pcapng files, - for stdin.")],
    mode: Annotated[Mode, typer.Option(help="The isolation to replay.")] = Mode.FULL,
    rules: Annotated[_Text, typer.Option(metavar="FILE", help="Isolation exclusion rules.")] = None,
    exclusions: Annotated[
        _Text, typer.Option(metavar="on|off", help="The feature switch; overrides the rules document.")
    ] = None,
    no_exclusions: Annotated[
        bool, typer.Option("--no-exclusions", help="Selective isolation without the box 'use exclusions'.")
    ] = False,
    device: Annotated[_Text, typer.Option(metavar="FILE", help="The device document.")] = None,
    local: Annotated[
        list[str] | None, typer.Option(metavar="IP|CIDR", help="Addresses of the device; repeatable.")
    ] = None,
    names: Annotated[_Text, typer.Option(metavar="FILE", help="Host names of addresses, known beforehand.")] = None,
    attribution: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Who owned the sockets; repeatable.")
    ] = None,
    attribution_format: Annotated[
        _Text, typer.Option(metavar="FORMAT", help="Format of --attribution files; detected if absent.")
    ] = None,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Use the good lines of --attribution files however many are broken.")
    ] = False,
    cloud_channel: Annotated[
        _Text, typer.Option(metavar="FILE", help="Cloud channel list instead of the built-in one.")
    ] = None,
    isolate_at: Annotated[
        _Text, typer.Option(metavar="WHEN", help="Seconds from the first packet or RFC 3339 time; none before.")
    ] = None,
    release_at: Annotated[_Text, typer.Option(metavar="WHEN", help="The moment of release; none after.")] = None,
    time_from: Annotated[_Text, typer.Option("--from", metavar="WHEN", help="Skip what is earlier.")] = None,
    time_to: Annotated[_Text, typer.Option("--to", metavar="WHEN", help="Skip what is later.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, metavar="N", help="Judge at most N packets.")] = None,
    compare: Annotated[
        _Text, typer.Option(metavar="OTHER_RULES", help="What would change under these rules instead.")
    ] = None,
    decisions: Annotated[
        _Text, typer.Option(metavar="FILE", help="Decision records: .jsonl, .jsonl.zst or .parquet.")
    ] = None,
    events: Annotated[str, typer.Option(metavar="flow|all", help="Which events --decisions gets.")] = "flow",
    format_name: Annotated[str, typer.Option("--format", metavar="native", help="Form of the records.")] = "native",
    allowed: Annotated[_Text, typer.Option(metavar="FILE.pcapng", help="Write the allowed packets.")] = None,
    denied: Annotated[_Text, typer.Option(metavar="FILE.pcapng", help="Write the denied packets.")] = None,
    summary_json: Annotated[
        _Text, typer.Option(metavar="FILE|-", help="The summary as JSON; - instead of the tables.")
    ] = None,
    summary_timing: Annotated[
        bool, typer.Option("--summary-timing", help="Engine and elapsed time in the JSON as well.")
    ] = False,
    speed: Annotated[str, typer.Option(metavar="max|real|Nx", help="As fast as possible, or as recorded.")] = "max",
    merge: Annotated[bool, typer.Option("--merge", help="Order the packets of all captures by time.")] = False,
    fail_on_deny: Annotated[bool, typer.Option("--fail-on-deny", help="Exit with 1 if any packet was denied.")] = False,
    simulate: Annotated[
        list[str] | None, typer.Option(metavar="FAULT=N", help="Force a fault, such as flow_table_full=1000.")
    ] = None,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="Default: on a terminal, after a second.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")
    ] = None,
) -> int:
    """Judge every packet of captures. Shows verdicts, reasons, what each program kept and lost."""
    options = ReplayOptions(
        captures=tuple(captures),
        mode=mode,
        rules=rules,
        exclusions=parse_switch("--exclusions", exclusions),
        use_exclusions=not no_exclusions,
        device=device,
        local=tuple(local or ()),
        names=names,
        attribution=tuple(attribution or ()),
        attribution_format=attribution_format,
        lenient=lenient,
        cloud_channel=cloud_channel,
        isolate_at=parse_when("--isolate-at", isolate_at),
        release_at=parse_when("--release-at", release_at),
        time_from=parse_when("--from", time_from),
        time_to=parse_when("--to", time_to),
        limit=limit,
        compare=compare,
        decisions=decisions,
        events=events,
        format=format_name,
        allowed=allowed,
        denied=denied,
        summary_json=summary_json,
        summary_timing=summary_timing,
        speed=parse_speed("--speed", speed),
        merge=merge,
        fail_on_deny=fail_on_deny,
        simulate=parse_faults("--simulate", simulate or ()),
        settings=Settings.from_pairs(settings or ()),
    )
    check_options(options)
    result = _replay(options, progress)
    if result.interrupted:
        return INTERRUPTED
    return 1 if fail_on_deny and result.denied else 0


def check_options(options: ReplayOptions) -> None:
    """Raises UsageError for what can be seen to be wrong before anything is opened."""
    from agent.sinks.decisions import check_decisions

    if options.captures.count("-") > 1:
        raise UsageError("-: standard input can be read once only")
    if "-" in options.captures and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("-: standard input is a terminal; pipe a capture into it")
    check_decisions(options.decisions or "x.jsonl", options.format, options.events)
    require_own_names(_outputs(options), _inputs(options))


def _inputs(options: ReplayOptions) -> Iterator[str]:
    documents = (options.rules, options.compare, options.device, options.names, options.cloud_channel)
    for path in (*options.captures, *options.attribution, *documents):
        if path is not None and path != "-":
            yield path


def _outputs(options: ReplayOptions) -> Iterator[tuple[str, str]]:
    pairs = (
        ("--decisions", options.decisions),
        ("--allowed", options.allowed),
        ("--denied", options.denied),
        ("--summary-json", options.summary_json if options.summary_json != "-" else None),
    )
    for option, path in pairs:
        if path is not None and not path.startswith("/dev/"):
            yield option, path


def _replay(options: ReplayOptions, progress: bool | None) -> ReplayResult:
    """Runs and reports. The summary's file is opened first: nobody shall wait an hour to learn that it cannot be."""
    from agent.cli.progress import ProgressBar
    from agent.replay.run import run
    from agent.sinks.partial import PartialFile

    file = None
    if options.summary_json is not None and options.summary_json != "-":
        file = PartialFile(options.summary_json)
    try:
        with ProgressBar(forced=progress) as bar:
            result = run(options, bar.callback)
        _report(options, result, file)
    finally:
        if file is not None:
            file.abandon()  # does nothing to a file that is whole
    return result


def _report(options: ReplayOptions, result: ReplayResult, file: PartialFile | None) -> None:
    """The summary: to its file, and to people or as JSON to standard output."""
    from agent.cli.replay_view import parts, speed_line
    from agent.sinks.summary import dump_json

    document = dict(result.summary)
    if result.comparison is not None:
        document["comparison"] = result.comparison
    if options.summary_timing:
        document["timing"] = {"engine": result.engine, "elapsed_seconds": round(result.elapsed, 6)}
    if file is not None:
        file.write(dump_json(document))
        file.close()
    if options.summary_json == "-":
        emit_json(document)
    else:
        show(parts(options, result))
    note(speed_line(result))
