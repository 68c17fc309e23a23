"""Opens the decision writer that a file's name asks for.

>>> open_decisions("out.txt", "native", "flow")
Traceback (most recent call last):
agent.model.errors.UsageError: --decisions out.txt: the name must end in .jsonl, .jsonl.zst or .parquet
"""

from __future__ import annotations

from typing import Protocol

from agent.engine.events import EventSink
from agent.model.errors import UsageError

SUFFIXES = (".jsonl", ".jsonl.zst", ".parquet")
EVENTS = ("flow", "all")
FORMATS = ("native",)


class DecisionWriter(EventSink, Protocol):
    """A sink with a file behind it. Every method raises EnvironmentFailure naming the file, which is then gone."""

    def close(self) -> None:
        """Writes what is held and gives the file its name."""

    def abandon(self) -> None:
        """Leaves no trace. Never raises; after close() it does nothing."""


def check_decisions(path: str, format_name: str, events: str) -> None:
    """Raises UsageError naming the option and what it takes."""
    if not path.endswith(SUFFIXES):
        raise UsageError(f"--decisions {path}: the name must end in .jsonl, .jsonl.zst or .parquet")
    if format_name not in FORMATS:
        raise UsageError(f"--format {format_name}: this version writes {', '.join(FORMATS)} records only")
    if events not in EVENTS:
        raise UsageError(f"--events {events}: must be one of {', '.join(EVENTS)}")


def open_decisions(path: str, format_name: str, events: str) -> DecisionWriter:
    """A writer of `path`. Raises UsageError for a name or format it does not know, EnvironmentFailure otherwise."""
    check_decisions(path, format_name, events)
    flows_only = events == "flow"
    if path.endswith(".parquet"):
        from agent.sinks.parquet import ParquetWriter

        return ParquetWriter(path, flows_only=flows_only)
    from agent.sinks.jsonl import JsonlWriter

    return JsonlWriter(path, flows_only=flows_only)
