"""The summary of a replay for people: the same dict that --summary-json writes, as tables.

Knows the summary's keys and how to say them. Must not know where the numbers come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agent.cli.output import Line, Table, count, size, warning_lines
from agent.replay.options import ReplayOptions, ReplayResult

PROCESSES_SHOWN = 20
CAPTURES_SHOWN = 5
WARNINGS_SHOWN = 20
"""Of one kind: a folder may hold thousands of files that are no captures."""
_STYLES = {"allowed": "green", "denied": "red", "mixed": "yellow", "ignored": "yellow", "active": "green"}
_BASES = {
    "option": "given by --local",
    "device": "from the device document",
    "interfaces": "from the capture's interfaces",
    "attribution": "from the local ends of socket records",
    "outbound_frames": "from frames flagged outbound",
    "look_ahead": "inferred from the first packets",
}
_MODES = {"none": "No isolation", "full": "Full isolation", "selective": "Selective isolation"}

Summary = Mapping[str, Any]


def parts(options: ReplayOptions, result: ReplayResult) -> Iterator[Table | Line]:
    """Everything that is printed, in order."""
    summary = result.summary
    yield from _headline(options, summary)
    yield _outcomes(summary)
    if summary["processes"]:
        yield _processes(summary)
    yield from attribution_parts(summary["attribution"])
    if summary["top_denied"]:
        yield _top_denied(summary)
    if summary["rules"]:
        yield _rules(summary)
    if result.comparison is not None:
        yield from _comparison(result.comparison)
    yield from _warnings(summary["warnings"])
    if result.interrupted:
        yield Line(text="interrupted: the numbers cover what was judged until then", style="yellow")


def speed_line(result: ReplayResult) -> str:
    """Engine, time and rate: for standard error, since it differs from run to run."""
    packets = result.summary["packets"]["total"]
    rate = packets / result.elapsed if result.elapsed > 0 else 0.0
    return f"{result.engine} engine: {packets:,} packets in {result.elapsed:.3f} s ({rate:,.0f} packets/s)"


def _headline(options: ReplayOptions, summary: Summary) -> Iterator[Line]:
    device = summary["device"]
    mode = summary["policy"]["mode"] if summary["policy"] else "none"
    described = "assumed device" if device["assumed"] else device["name"]
    where = ", ".join(capture["path"] for capture in summary["captures"][:CAPTURES_SHOWN])
    if len(summary["captures"]) > CAPTURES_SHOWN:
        where += f" and {count(len(summary['captures']) - CAPTURES_SHOWN)} more"
    yield Line(text=f"{_MODES[mode]} of {described} ({device['platform']}), replayed over {where}", style="bold")
    local = ", ".join(device["local"]) or "none"
    yield Line(text=f"Local addresses: {local} ({_BASES.get(device['local_basis'], device['local_basis'])})")
    for change in summary["policy_changes"]:
        yield Line(text=f"  {change['at'] or 'start'}: {_MODES[change['mode']].lower()} in force")
    flows, packets = summary["flows"], summary["packets"]
    cut = f", {count(flows['cut'])} cut" if flows["cut"] else ""
    yield Line(
        text=f"{count(packets['total'])} packets: {count(packets['allowed'])} allowed, "
        f"{count(packets['denied'])} denied, {count(packets['ignored'])} ignored, {count(packets['link'])} link. "
        f"{count(flows['total'])} flows: {count(flows['allowed'])} allowed, {count(flows['denied'])} denied{cut}, "
        f"{count(flows['mixed'])} mixed."
    )


def _warnings(warnings: Sequence[dict[str, str]]) -> Iterator[Line]:
    """A line each; of a kind that comes too often the first, and how many more there are."""
    seen: Counter[str] = Counter()
    for warning in warnings:
        seen[warning["code"]] += 1
        if seen[warning["code"]] <= WARNINGS_SHOWN:
            yield from warning_lines([warning])
    for code, number in seen.items():
        if number > WARNINGS_SHOWN:
            text = f"warning: {count(number - WARNINGS_SHOWN)} more of this kind in --summary-json ({code})"
            yield Line(text=text, style="yellow")


def attribution_parts(row: Mapping[str, Any], *, talkers: bool = False) -> Iterator[Table | Line]:
    """How well the flows' owners are known; nothing if no source was asked. `talkers`: who the others talked to."""
    if not row["sources"]:
        return
    known, unknown = row["attributed_flows"], row["unattributed_flows"]
    shares = [f"{share(number, known + unknown)} by {name}" for name, number in row["by_source"].items()]
    sure = [f"{count(number)} {label}" for label, number in row["by_confidence"].items() if number]
    text = f"Owners known of {count(known)} of {count(known + unknown)} flows"
    text += (
        f": {', '.join(shares)}; confidence {', '.join(sure)}" if shares else f" (asked: {', '.join(row['sources'])})"
    )
    if row["usable_flows"] < known:
        text += f"; sure enough for rules: {count(row['usable_flows'])}"
    if row["ambiguous_flows"]:
        text += f"; {count(row['ambiguous_flows'])} ambiguous"
    yield Line(text=text + ".")
    for offset in row["clock_offsets"]:
        host = f" on {offset['host']}" if offset["host"] else ""
        told = f"by {count(offset['flows'])} flows, {'corrected' if offset['applied'] else 'not corrected'}"
        yield Line(text=f"Clock of {offset['source']}{host}: {offset['seconds']:+.3f} s {told}.")
    for reason, number in row["misses"].items():
        yield Line(text=f"Owner not told {count(number)} times: {reason}.")
    if talkers and row["top_unattributed"]:
        yield Table(
            title="Top remotes of flows without an owner",
            columns=("remote", "packets", "bytes"),
            rows=[(one["remote"], count(one["packets"]), size(one["bytes"])) for one in row["top_unattributed"]],
            right=frozenset({"packets", "bytes"}),
        )


def share(part: int, whole: int) -> str:
    """Such as `12 (34 %)`."""
    return f"{count(part)} ({100 * part / whole:.0f} %)" if whole else count(part)


def _outcomes(summary: Summary) -> Table:
    rows = [
        (row["bucket"], row["reason"], count(row["packets"]), size(row["bytes"]), count(row["flows"]))
        for row in summary["outcomes"]
    ]
    packets, flows = summary["packets"], summary["flows"]
    total = ("total", "", count(packets["total"]), size(summary["bytes"]["total"]), count(flows["total"]))
    return Table(
        title="Verdicts by reason",
        columns=("verdict", "reason", "packets", "bytes", "flows"),
        rows=[*rows, total],
        right=frozenset({"packets", "bytes", "flows"}),
        styles=_STYLES,
    )


def _processes(summary: Summary) -> Table:
    rows = [
        (
            row["image"] or "(not attributed)",
            count(row["allowed"]["packets"]),
            size(row["allowed"]["bytes"]),
            count(row["denied"]["packets"]),
            size(row["denied"]["bytes"]),
        )
        for row in summary["processes"][:PROCESSES_SHOWN]
    ]
    hidden = len(summary["processes"]) - len(rows)
    return Table(
        title="By process: what each program kept and lost" + (f" ({hidden} more in --summary-json)" if hidden else ""),
        columns=("process", "kept", "kept bytes", "lost", "lost bytes"),
        rows=rows,
        right=frozenset({"kept", "kept bytes", "lost", "lost bytes"}),
    )


def _top_denied(summary: Summary) -> Table:
    return Table(
        title="Top denied remotes",
        columns=("remote", "packets", "bytes"),
        rows=[(row["remote"], count(row["packets"]), size(row["bytes"])) for row in summary["top_denied"]],
        right=frozenset({"packets", "bytes"}),
    )


def _rules(summary: Summary) -> Table:
    return Table(
        title="Rules: what each let through",
        columns=("rule", "status", "packets", "bytes", "flows", "why ignored"),
        rows=[
            (
                row["name"],
                row["status"],
                count(row["packets"]),
                size(row["bytes"]),
                count(row["flows"]),
                row["ignored_because"] or "",
            )
            for row in summary["rules"]
        ],
        right=frozenset({"packets", "bytes", "flows"}),
        styles=_STYLES,
    )


def _comparison(comparison: Summary) -> Iterator[Table | Line]:
    """Under the other rules: each change of outcome, then flows that witness it."""
    other, changes = comparison["after"]["rules"], comparison["changes"]
    if not changes:
        yield Line(text=f"Under {other} nothing changes")
        return
    yield Table(
        title=f"Under {other} instead: {count(comparison['changed_flows'])} flows change their verdict",
        columns=("now", "then", "flows", "packets", "bytes"),
        rows=[
            (
                _outcome(change["before"]),
                _outcome(change["after"]),
                count(change["flows"]),
                count(change["packets"]),
                size(change["bytes"]),
            )
            for change in changes
        ],
        right=frozenset({"flows", "packets", "bytes"}),
    )
    yield Table(
        title="Witnesses",
        columns=("flow", "protocol", "direction", "remote", "process", "now", "then"),
        rows=[
            (
                str(flow["flow_id"]),
                flow["protocol"],
                flow["direction"],
                flow["remote"] + (f" ({flow['names'][0]})" if flow["names"] else ""),
                flow["image"] or "(not attributed)",
                _by_rules(change["before"], flow["rules_before"]),
                _by_rules(change["after"], flow["rules_after"]),
            )
            for change in changes
            for flow in change["witnesses"]
        ],
        right=frozenset({"flow"}),
    )


def _outcome(outcome: Mapping[str, str]) -> str:
    return f"{outcome['verdict']} {outcome['reason']}"


def _by_rules(outcome: Mapping[str, str], rules: list[str]) -> str:
    return outcome["verdict"] + (f" by {', '.join(rules)}" if rules else "")
