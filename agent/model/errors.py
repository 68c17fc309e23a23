"""Errors that cross a border. Each text names the culprit, the place and the fix in one line."""

from __future__ import annotations


class AgentError(Exception):
    """Base of every error that a command reports in one line; `exit_code` is what the command ends with."""

    exit_code = 2


class UsageError(AgentError):
    """The command was asked for something it cannot do as asked."""


class PolicyError(AgentError):
    """A rule, device, names or policy-data document is wrong."""

    def __init__(self, path: str, message: str, *, rule: str | None = None, field: str | None = None) -> None:
        """`path`: the file; `rule`: list and rule, such as `windows_rules[2] 'Remote support'`; `field`: the key."""
        self.path = path
        self.rule = rule
        self.field = field
        self.message = message
        place = ": ".join(part for part in (path, rule, field) if part)
        super().__init__(f"{place}: {message}")


class CaptureError(AgentError):
    """A capture cannot be read from `offset` (bytes from the start of the uncompressed file) on."""

    def __init__(self, path: str, offset: int, message: str) -> None:
        self.path = path
        self.offset = offset
        self.message = message
        super().__init__(f"{path}: at byte {offset}: {message}")


class AttributionError(AgentError):
    """A file that says who owned the sockets is wrong."""

    def __init__(self, path: str, line: int, message: str) -> None:
        self.path = path
        self.line = line
        self.message = message
        super().__init__(f"{path}: line {line}: {message}" if line else f"{path}: {message}")


class EnvironmentFailure(AgentError):
    """The machine refused: permission, missing tool, disk full."""

    exit_code = 3
