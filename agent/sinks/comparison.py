"""What changes when the same capture is judged under other rules, with flows that witness it.

Knows the comparison's wire names and its order. Must not know how two runs are made.

    >>> endpoint_text(Address(6, 1), 443)
    '[::1]:443'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.model.address import Address
from agent.model.protocols import protocol_name
from agent.model.vocabulary import Reason, Verdict
from agent.sinks.lines import clean
from agent.sinks.summary import PolicyRow

if TYPE_CHECKING:
    from agent.engine.events import FlowEvent

WITNESSES = 3


@dataclass(slots=True, kw_only=True)
class Change:
    """Flows with one outcome under the first policy and another under the second."""

    before: tuple[Verdict, Reason]
    after: tuple[Verdict, Reason]
    flows: int = 0
    packets: int = 0
    bytes: int = 0
    witnesses: list[dict[str, Any]] = field(default_factory=list)
    """A few such flows (`witness`), in order of flow_id."""


def witness(event: FlowEvent, rules_before: tuple[str, ...], rules_after: tuple[str, ...]) -> dict[str, Any]:
    """A flow as a comparison shows it. `event` under either policy."""
    return {
        "flow_id": event.flow_id,
        "protocol": protocol_name(event.protocol),
        "direction": event.direction.value,
        "local": endpoint_text(event.local, event.local_port),
        "remote": endpoint_text(event.remote, event.remote_port),
        "names": list(event.names),
        "image": event.subject.image,
        "rules_before": list(rules_before),
        "rules_after": list(rules_after),
    }


def endpoint_text(address: Address, port: int | None) -> str:
    """`10.0.0.5:443`, `[2001:db8::5]:443`, or the address alone."""
    if port is None:
        return str(address)
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def build_comparison(
    before: tuple[str | None, PolicyRow], after: tuple[str | None, PolicyRow], changes: Iterable[Change]
) -> dict[str, Any]:
    """What --compare found: (rules file, policy) of both sides, and every group of flows whose outcome differs.

    Groups whose verdict changes stand first, each half in order of outcomes. Equal outcomes are left out.
    """
    rows = [change for change in changes if change.before != change.after]
    rows.sort(key=lambda change: (change.before[0] == change.after[0], change.before, change.after))
    comparison = {
        "before": _side(*before),
        "after": _side(*after),
        "changed_flows": sum(change.flows for change in rows if change.before[0] != change.after[0]),
        "changed_packets": sum(change.packets for change in rows if change.before[0] != change.after[0]),
        "changes": [
            {
                "before": {"verdict": change.before[0].label, "reason": change.before[1].label},
                "after": {"verdict": change.after[0].label, "reason": change.after[1].label},
                "flows": change.flows,
                "packets": change.packets,
                "bytes": change.bytes,
                "witnesses": sorted(change.witnesses, key=lambda row: row["flow_id"])[:WITNESSES],
            }
            for change in rows
        ],
    }
    return clean(comparison)  # type: ignore[no-any-return]  # clean() keeps the shape, which its type cannot say


def _side(path: str | None, row: PolicyRow) -> dict[str, Any]:
    return {"rules": path, "mode": row.mode.value, "digest": row.digest}
