"""The answer of `explain`, as one dict that is printed as JSON or as tables.

Knows how to say it. Must not know how it was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.cli.output import Line, Table, warning_lines
from agent.model.protocols import protocol_name
from agent.model.subject import Subject
from agent.policy.effective import EffectivePolicy, FlowFacts

if TYPE_CHECKING:
    from agent.engine.classify import Classification
    from agent.policy.explain import RuleRow

_STYLES = {"allow": "green", "deny": "red", "active": "green", "ignored": "yellow", "yes": "green"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything that is shown."""

    policy: EffectivePolicy
    flow: FlowFacts
    subject: Subject
    verdict: Classification
    rows: tuple[RuleRow, ...]
    apart: str | None = None
    """An essential service whose messages are judged one by one: some may pass although the flow is denied."""


def document(answer: Answer) -> dict[str, Any]:
    flow, subject, verdict, policy = answer.flow, answer.subject, answer.verdict, answer.policy
    return {
        "version": 1,
        "verdict": verdict.verdict.label,
        "reason": verdict.reason.label,
        "rules": list(verdict.rules),
        "service": verdict.service,
        "evidence": verdict.evidence,
        "judged_apart": answer.apart,
        "near_misses": [
            {"rule": miss.rule, "condition": miss.condition, "state": miss.state.value} for miss in verdict.near_misses
        ],
        "near_miss_count": verdict.near_miss_count,
        "flow": {
            "direction": flow.direction.value,
            "protocol": protocol_name(flow.protocol),
            "remote": {"ip": str(flow.remote), "port": flow.remote_port or None, "names": list(flow.names)},
            "local_port": flow.local_port or None,
        },
        "process": {
            "image": subject.image,
            "canonical_image": subject.canonical_image,
            "services": None if subject.services is None else list(subject.services),
            "package_family_name": subject.package_family_name,
        },
        "conditions": [_row_document(row) for row in answer.rows],
        "policy": {
            "mode": policy.mode.value,
            "embedded_list": policy.embedded,
            "dns": policy.dns,
            "digest": policy.digest,
        },
        "warnings": [{"code": code, "text": text} for code, text in policy.warnings],
    }


def _row_document(row: RuleRow) -> dict[str, Any]:
    return {
        "rule": row.name,
        "status": row.status,
        "ignored_because": row.ignored_because,
        "unbounded": row.unbounded,
        "matches": row.matches,
        "covered_by": row.covered_by,
        "conditions": [
            {"condition": one.condition, "state": one.state.value, "wanted": one.wanted, "fact": one.fact}
            for one in row.conditions
        ],
    }


def parts(answer: Answer) -> list[Table | Line]:
    shown = document(answer)
    flow, verdict = shown["flow"], shown["verdict"]
    remote = flow["remote"]["ip"] + (f" port {flow['remote']['port']}" if flow["remote"]["port"] else "")
    process = shown["process"]
    by = process["image"] or ", ".join(process["services"] or ()) or process["package_family_name"]
    lines: list[Table | Line] = [
        Line(text=f"{verdict}: {shown['reason']}", style=f"bold {_STYLES[verdict]}"),
        Line(
            text=f"{flow['direction']} {flow['protocol']}, remote {remote}, by {by or 'an unknown process'}; "
            f"{shown['policy']['mode']}"
        ),
    ]
    for label, value in (("essential service", shown["service"]), ("evidence", shown["evidence"])):
        if value:
            lines.append(Line(text=f"{label}: {value}"))
    if shown["judged_apart"]:
        lines.append(Line(text=f"{shown['judged_apart']}: single messages of such a flow may pass, judged one by one"))
    if shown["conditions"]:
        lines.append(_rules_table(shown))
    elif shown["policy"]["mode"] == "full":
        lines.append(Line(text="Full isolation applies no exclusions."))
    for miss in shown["near_misses"]:
        state = miss["state"].replace("_", " ")
        lines.append(Line(text=f"near miss: {miss['rule']}: only {miss['condition']} is {state}", style="yellow"))
    if (more := shown["near_miss_count"] - len(shown["near_misses"])) > 0:
        lines.append(Line(text=f"and {more} more near misses", style="yellow"))
    return [*lines, *warning_lines(shown["warnings"])]


def _rules_table(shown: dict[str, Any]) -> Table:
    names = list(dict.fromkeys(one["condition"] for row in shown["conditions"] for one in row["conditions"]))
    rows = []
    for row in shown["conditions"]:
        cells = {one["condition"]: _cell(one) for one in row["conditions"]}
        why = row["ignored_because"] or (f"covered by {row['covered_by']}" if row["covered_by"] else "")
        matches = "yes" if row["matches"] else "no"
        rows.append((row["rule"], row["status"], matches, *(cells.get(name, "") for name in names), why))
    return Table(
        title="Rules, condition by condition",
        columns=("rule", "status", "matches", *names, "remark"),
        rows=rows,
        styles=_STYLES,
    )


def _cell(condition: dict[str, Any]) -> str:
    """`met`, `any`, or what was wanted where it failed."""
    if condition["state"] == "undefined":
        return "any"
    if condition["state"] == "met":
        return "met"
    return f"{condition['state'].replace('_', ' ')}: wants {condition['wanted']}"
