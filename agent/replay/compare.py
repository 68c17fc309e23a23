"""Two judgements of the same packets held against each other, flow by flow.

Both tracks see the same packets, so a flow has the same id and tuple in both unless the flow table overflowed;
those that differ are left out and counted. Memory: a small row per flow.
"""

from __future__ import annotations

from typing import Any

from agent.engine.events import FlowEvent
from agent.model.vocabulary import Reason, Verdict
from agent.sinks.comparison import WITNESSES, Change, build_comparison, witness
from agent.sinks.summary import PolicyRow

_Row = tuple[Verdict, Reason, tuple[str, ...], int, int, tuple[object, ...]]


class _Listener:
    """Keeps the last verdict of each flow, its packets and bytes."""

    def __init__(self) -> None:
        self.rows: dict[int, _Row] = {}

    def flow(self, event: FlowEvent) -> None:
        if event.event_type != "flow":
            return
        identity = (event.protocol, event.local, event.local_port, event.remote, event.remote_port)
        packets = event.packets_original + event.packets_reply
        octets = event.bytes_original + event.bytes_reply
        earlier = self.rows.get(event.flow_id)
        if earlier is not None:
            packets += earlier[3]
            octets += earlier[4]
        self.rows[event.flow_id] = (event.verdict, event.reason, event.rules, packets, octets, identity)

    def isolation(self, record: dict[str, Any]) -> None:
        pass

    def fault(self, record: dict[str, Any]) -> None:
        pass


class _Witnesses(_Listener):
    """Also finds, in the second track, which flows changed; the first track's rows are there when a flow ends."""

    def __init__(self, before: _Listener) -> None:
        super().__init__()
        self.before = before
        self.examples: dict[tuple[Verdict, Reason, Verdict, Reason], list[dict[str, Any]]] = {}

    def flow(self, event: FlowEvent) -> None:
        super().flow(event)
        earlier = self.before.rows.get(event.flow_id)
        if earlier is None or (earlier[0], earlier[1]) == (event.verdict, event.reason):
            return
        examples = self.examples.setdefault((earlier[0], earlier[1], event.verdict, event.reason), [])
        if len(examples) < WITNESSES:
            examples.append(witness(event, earlier[2], event.rules))


class Comparison:
    """Feed `before` and `after` as sinks of the two tracks, in this order, then ask for the result."""

    def __init__(self) -> None:
        self.before = _Listener()
        self.after = _Witnesses(self.before)

    def result(self, before: tuple[str | None, PolicyRow], after: tuple[str | None, PolicyRow]) -> dict[str, Any]:
        """The contract's comparison."""
        changes: dict[tuple[Verdict, Reason, Verdict, Reason], Change] = {}
        for flow_id, row in self.after.rows.items():
            earlier = self.before.rows.get(flow_id)
            if earlier is None or earlier[5] != row[5]:
                continue
            key = (earlier[0], earlier[1], row[0], row[1])
            change = changes.get(key)
            if change is None:
                change = changes[key] = Change(
                    before=key[:2], after=key[2:], witnesses=self.after.examples.get(key, [])
                )
            change.flows += 1
            change.packets += row[3]
            change.bytes += row[4]
        return build_comparison(before, after, changes.values())
