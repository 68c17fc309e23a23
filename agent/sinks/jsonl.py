"""Decision records as JSON Lines, plain or compressed with zstd.

Knows buffering and files. Must not know what a record says (lines.py does). Compiled where a C compiler exists (types
in jsonl.pxd), else interpreted with the same result.

    writer = JsonlWriter("decisions.jsonl.zst"); writer.flow(event); writer.close()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.sinks.buffer import Buffer
from agent.sinks.lines import LineRenderer, record_line
from agent.sinks.partial import PartialFile

if TYPE_CHECKING:
    from zstandard import ZstdCompressionObj

    from agent.engine.events import FlowEvent

HELD = 1 << 20
"""Bytes gathered before one write."""


class JsonlWriter:
    """An event sink. Raises EnvironmentFailure naming the file when it cannot be written."""

    def __init__(self, path: str, *, flows_only: bool = False) -> None:
        """`flows_only`: write flow records and drop decision, reverdict, isolation and fault events."""
        self._file = PartialFile(path)
        self._flows_only = flows_only
        self._compressor = _zstd() if path.endswith(".zst") else None
        self._lines = Buffer()
        self._renderer = LineRenderer(self._lines)

    def flow(self, event: FlowEvent) -> None:
        if self._flows_only and event.event_type != "flow":
            return
        self._renderer.add(event)
        if self._lines.length() >= HELD:
            self._write_out()

    def isolation(self, record: Mapping[str, Any]) -> None:
        self._record("isolation", record)

    def fault(self, record: Mapping[str, Any]) -> None:
        self._record("fault", record)

    def _record(self, event_type: str, record: Mapping[str, Any]) -> None:
        if not self._flows_only:
            self._lines.put(record_line({"event_type": event_type, **record}))

    def close(self) -> None:
        """Writes what is held and gives the file its name."""
        if self._file.closed:
            return
        self._write_out()
        if self._compressor is not None:
            self._file.write(self._compressor.flush())
        self._file.close()

    def abandon(self) -> None:
        self._lines.cut(0)
        self._file.abandon()

    def _write_out(self) -> None:
        held = self._lines.view()
        try:
            self._file.write(held if self._compressor is None else self._compressor.compress(held))
        finally:
            self._lines.cut(0)


def _zstd() -> ZstdCompressionObj:
    import zstandard  # lazily: plain files do not need it

    return zstandard.ZstdCompressor(level=3).compressobj()
