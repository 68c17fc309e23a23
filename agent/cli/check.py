"""`check`: validates rules documents and says what an administrator should know of them.

Knows the exit codes: 1 where a document holds an error, 2 where it cannot be read. Must not know what is wrong with a
rule (policy.lint does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import Sets
from agent.cli.output import Line, Table, emit_json, show, warning_lines
from agent.model.errors import PolicyError, UsageError
from agent.model.settings import Settings

if TYPE_CHECKING:
    from agent.model.device import Device
    from agent.model.rule import RuleDocument
    from agent.policy.lint import Finding

_STYLES = {"error": "red", "warning": "yellow"}
_LISTS = ("windows_rules", "mac_rules", "linux_rules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One document and what there is to say of it."""

    path: str
    document: RuleDocument | None
    """None if it is not valid."""
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(finding.severity == "error" for finding in self.findings)


def command(
    rules: Annotated[list[str], typer.Argument(metavar="RULES...", help="Rules documents.")],
    device: Annotated[
        str | None, typer.Option(metavar="FILE", help="Check the rules as this device would take them.")
    ] = None,
    settings: Sets = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> int:
    """Validate and lint rules documents. Shows what is wrong, too wide, useless or surprising; exit 1 on errors."""
    chosen = Settings.from_pairs(settings or ())
    described = None
    if device is not None:
        from agent.policy.document import load_device

        described = load_device(device)
    for path in rules:
        _require_readable(path)
    checked = [check(path, described, chosen) for path in rules]
    if as_json:
        emit_json(_document(checked))
    else:
        show(_parts(checked))
    return 1 if any(one.failed for one in checked) else 0


def check(path: str, device: Device | None, settings: Settings) -> Checked:
    """A document that is not valid has one finding: the first thing that is wrong with it."""
    from agent.policy.document import load_rules
    from agent.policy.lint import Finding, Severity, lint

    try:
        document = load_rules(path)
    except PolicyError as error:
        text = f"{error.field}: {error.message}" if error.field else error.message
        finding = Finding(severity=Severity.ERROR, code="invalid_document", rule=error.rule, text=text)
        return Checked(path=path, document=None, findings=(finding,))
    return Checked(path=path, document=document, findings=tuple(lint(document, device, settings)))


def _require_readable(path: str) -> None:
    """Raises UsageError: a file that is not there is no bad document."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"{path}: cannot be read: {reason}; give a rules document (YAML or JSON)") from None


def _document(checked: Sequence[Checked]) -> dict[str, Any]:
    from agent.policy.snapshot import WEAKENS

    return {
        "version": 1,
        "ok": not any(one.failed for one in checked),
        "documents": [
            {
                "path": one.path,
                "valid": one.document is not None,
                "rules": None if one.document is None else {name: len(getattr(one.document, name)) for name in _LISTS},
                "findings": [
                    {
                        "severity": finding.severity.value,
                        "code": finding.code,
                        "rule": finding.rule,
                        "text": finding.text,
                    }
                    for finding in one.findings
                ],
            }
            for one in checked
        ],
        "warnings": [{"code": "exclusions_weaken_isolation", "text": WEAKENS}],
    }


def _parts(checked: Sequence[Checked]) -> list[Table | Line]:
    parts: list[Table | Line] = []
    document = _document(checked)
    for one in document["documents"]:
        counts = [f"{count} {name}" for name, count in (one["rules"] or {}).items() if count]
        what = "not valid" if not one["valid"] else ", ".join(counts) or "no rules"
        if not one["findings"]:
            parts.append(Line(text=f"{one['path']}: {what}: nothing to remark", style="green"))
            continue
        parts.append(
            Table(
                title=f"{one['path']}: {what}",
                columns=("severity", "code", "rule", "finding"),
                rows=[
                    (finding["severity"], finding["code"], finding["rule"] or "", finding["text"])
                    for finding in one["findings"]
                ],
                styles=_STYLES,
            )
        )
    return [*parts, *warning_lines(document["warnings"])]
