"""`generate`: plays a scenario into a capture, socket records and a device document.

Knows the options. Must not know how packets are made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from agent.cli.output import Line, Table, count, emit_json, show
from agent.model.errors import UsageError
from agent.model.moment import format_time


def command(
    scenario: Annotated[
        str | None, typer.Argument(metavar="SCENARIO", help="A scenario file or the name of a built-in one.")
    ] = None,
    output: Annotated[str | None, typer.Option("-o", "--output", metavar="OUT.pcapng", help="The capture.")] = None,
    sockets: Annotated[str | None, typer.Option(metavar="OUT.jsonl", help="Who owned the sockets.")] = None,
    device: Annotated[str | None, typer.Option(metavar="OUT.yaml", help="The device document.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=(1 << 63) - 1, metavar="N", help="Instead of the scenario's.")
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="List the built-in scenarios.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> int:
    """Generate a capture from a scenario. Also writes its socket records and the device document."""
    if list_them:
        return _list(as_json=as_json)
    if scenario is None:
        raise UsageError("generate: give a scenario file or name; --list shows the built-in ones")
    if output is None:
        raise UsageError("generate: give -o OUT.pcapng")
    for option, path in (("-o", output), ("--sockets", sockets), ("--device", device)):
        if path in ("-", ""):
            raise UsageError(f"{option} {path}: give a file name")
    from agent.traffic.generate import generate
    from agent.traffic.output import write
    from agent.traffic.scenario import load_scenario

    loaded = load_scenario(scenario)
    if seed is not None:
        loaded = replace(loaded, seed=seed)
    generated = generate(loaded)
    write(generated, output, sockets, device)
    times = [packet.time_ns for packet in generated.packets]
    answer = {
        "version": 1,
        "scenario": scenario,
        "description": loaded.description,
        "seed": loaded.seed,
        "packets": len(generated.packets),
        "sockets": len(generated.sockets),
        "first": format_time(min(times)) if times else None,
        "last": format_time(max(times)) if times else None,
        "files": {"capture": output, "sockets": sockets, "device": device},
    }
    if as_json:
        emit_json(answer)
    else:
        show([_line(answer)])
    return 0


def _line(answer: dict[str, Any]) -> Line:
    files = ", ".join(path for path in answer["files"].values() if path)
    text = f"{answer['scenario']} (seed {answer['seed']}): {count(answer['packets'])} packets"
    if answer["first"] is not None:
        text += f" from {answer['first']} to {answer['last']}"
    return Line(text=f"{text}, {count(answer['sockets'])} socket records: {files}")


def _list(*, as_json: bool) -> int:
    from agent.traffic.scenario import builtin_names

    names = builtin_names()
    if as_json:
        emit_json({"version": 1, "scenarios": [{"name": name, "description": text} for name, text in names]})
    else:
        show([Table(title="Built-in scenarios", columns=("name", "what happens"), rows=names)])
    return 0
