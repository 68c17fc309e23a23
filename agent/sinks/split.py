"""The packets of a run in two captures, allowed and denied, each with a comment that says why.

Knows the comment's form. Must not know pcapng (capture.writer does) or how a verdict came about.

    >>> comment(Verdict.DENY, Reason.FULL_ISOLATION, 17, ())
    'verdict=deny reason=full_isolation flow=17 rules=[]'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.model.vocabulary import Reason, Verdict
from agent.sinks.lines import texts

if TYPE_CHECKING:
    from agent.capture.writer import PcapngWriter


def comment(verdict: Verdict, reason: Reason, flow_id: int | None, rules: tuple[str, ...]) -> str:
    """`rules` as a JSON list, since a rule's name may hold any character; `flow=` only where the reason has a flow."""
    flow = "" if flow_id is None else f" flow={flow_id}"
    return f"verdict={verdict.label} reason={reason.label}{flow} rules={texts(rules)}"


class SplitWriter:
    """Writes each packet to the file of its verdict, where one was asked for."""

    def __init__(self, allowed: str | None, denied: str | None) -> None:
        """Paths, or None for a side that nobody wants. Raises EnvironmentFailure, nothing left behind."""
        from agent.capture.writer import PcapngWriter  # lazily: most runs write no capture

        self._writers: dict[Verdict, PcapngWriter] = {}
        self._comments: dict[tuple[Verdict, Reason, int | None, tuple[str, ...]], str] = {}
        try:
            for verdict, path in ((Verdict.ALLOW, allowed), (Verdict.DENY, denied)):
                if path is not None:
                    self._writers[verdict] = PcapngWriter(path)
        except Exception:
            self.abandon()
            raise

    def packet(
        self,
        time_ns: int,
        link_type: int,
        frame: bytes | bytearray | memoryview,
        original_length: int,
        verdict: Verdict,
        reason: Reason,
        flow_id: int | None,
        rules: tuple[str, ...],
        direction_flag: int,
    ) -> None:
        """`flow_id` None for reasons without a flow; `direction_flag` 0 unknown, 1 inbound, 2 outbound."""
        writer = self._writers.get(verdict)
        if writer is None:
            return
        key = (verdict, reason, flow_id, rules)
        text = self._comments.get(key)
        if text is None:
            if len(self._comments) >= 65_536:
                self._comments.clear()
            text = self._comments[key] = comment(verdict, reason, flow_id, rules)
        writer.write(time_ns, link_type, frame, original_length, text, direction_flag)

    def close(self) -> None:
        """Closes both; if one fails, the other is abandoned."""
        try:
            for writer in self._writers.values():
                writer.close()
        except Exception:
            self.abandon()
            raise

    def abandon(self) -> None:
        for writer in self._writers.values():
            writer.abandon()
