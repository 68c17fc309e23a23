"""Why a rule did or did not let a flow through, as rows for people and JSON. It never decides anything.

Knows rules, their snapshot status and what `match.py` says of each condition. Must not know: verdicts, modes, sinks.

    >>> from agent.model.address import Address
    >>> from agent.model.subject import Subject
    >>> from agent.model.vocabulary import Direction
    >>> rule = SnapshotRule(name="web", filter=Filter(index=0, name="web", direction=Direction.OUTBOUND))
    >>> row = explain_rules((rule,), Facts(Direction.INBOUND, Address(4, 0x0A000001), Subject()))[0]
    >>> row.matches, row.conditions[0].state.value, row.conditions[0].wanted, row.conditions[0].fact
    (False, 'not_met', 'outbound', 'inbound')
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.model.vocabulary import ConditionState
from agent.policy.cover import Shelves
from agent.policy.effective import Filter, SnapshotRule
from agent.policy.match import CONDITIONS, PASSING, Condition, Facts, condition_state, matches, package_fact

NO_SERVICE: Final = "(no service)"
"""Shown where the source knows that the process hosts none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearMiss:
    """A rule that one condition alone kept from matching, while another was met."""

    rule: str
    condition: str
    """One of `match.CONDITIONS`."""
    state: ConditionState
    """NOT_MET or UNKNOWN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionRow:
    """One condition of one rule beside the flow's fact."""

    condition: Condition
    state: ConditionState
    wanted: str | None
    """The rule's value; None: undefined, any."""
    fact: str | None
    """The flow's; None: unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRow:
    """One rule of the snapshot and what it makes of the flow."""

    name: str
    status: str
    """active or ignored."""
    ignored_because: str | None
    unbounded: bool
    matches: bool
    """An ignored rule never does."""
    conditions: tuple[ConditionRow, ...]
    """Empty for an ignored rule, which was never compiled."""
    covered_by: str | None
    """If it matches: the first other rule that lets through all that this one does. This one adds nothing."""

    @property
    def near_miss(self) -> NearMiss | None:
        """The one condition that failed, if just one did and another was met."""
        failed = [row for row in self.conditions if row.state not in PASSING]
        met = any(row.state is ConditionState.MET for row in self.conditions)
        if len(failed) != 1 or not met:
            return None
        return NearMiss(rule=self.name, condition=failed[0].condition, state=failed[0].state)


def explain_rules(snapshot: Sequence[SnapshotRule], facts: Facts) -> tuple[RuleRow, ...]:
    """One row per rule, in rule order."""
    # Whoever covers a rule matches whenever it does, so the rules that match need only be compared among themselves.
    matching = [rule.filter for rule in snapshot if rule.filter is not None and matches(rule.filter, facts)]
    shelves = Shelves(matching)
    covers = {filter.index: shelves.coverer(filter) for filter in matching}
    return tuple(_row(rule, facts, covers) for rule in snapshot)


def explain_filters(filters: Iterable[Filter], facts: Facts) -> tuple[RuleRow, ...]:
    """Likewise for filters that stem from no rule, such as the embedded list's."""
    return explain_rules([SnapshotRule(name=filter.name, filter=filter) for filter in filters], facts)


def _row(rule: SnapshotRule, facts: Facts, covers: dict[int, Filter | None]) -> RuleRow:
    """`covers`: index of each filter that matches -> the one that covers it. Reserved filters may share a name."""
    filter = rule.filter
    wider = None if filter is None else covers.get(filter.index)
    return RuleRow(
        name=rule.name,
        status="ignored" if filter is None else "active",
        ignored_because=rule.ignored_because,
        unbounded=rule.unbounded,
        matches=filter is not None and filter.index in covers,
        conditions=() if filter is None else tuple(condition_row(filter, one, facts) for one in CONDITIONS),
        covered_by=None if wider is None else wider.name,
    )


def condition_row(filter: Filter, condition: Condition, facts: Facts) -> ConditionRow:
    """What becomes of one condition, with the two values that were compared."""
    wanted: dict[Condition, str | None] = {
        "direction": filter.direction and filter.direction.value,
        "remote_ips": None if filter.remotes is None else ", ".join(network.text for network in filter.remotes),
        "process_path": filter.image,
        "service_name": filter.service,
        "package_family_name": filter.package,
    }
    subject = facts.subject
    found: dict[Condition, str | None] = {
        "direction": facts.direction and facts.direction.value,
        "remote_ips": str(facts.remote),
        "process_path": subject.canonical_image,
        "service_name": None if subject.services is None else ", ".join(subject.services) or NO_SERVICE,
        "package_family_name": package_fact(subject),
    }
    return ConditionRow(
        condition=condition,
        state=condition_state(filter, condition, facts),
        wanted=wanted[condition],
        fact=found[condition],
    )
