"""Rows say why, with the values that were compared."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.rule import Network
from agent.model.subject import Subject
from agent.model.vocabulary import ConditionState, Direction
from agent.policy.effective import Filter, SnapshotRule
from agent.policy.explain import ConditionRow, NearMiss, explain_filters, explain_rules
from agent.policy.match import CONDITIONS, Facts

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
EVERYTHING = Network(version=4, first=0, last=(1 << 32) - 1, text="0.0.0.0/0")
LAN = Network(version=4, first=0x0A000000, last=0x0AFFFFFF, text="10.1.2.3/8")


def active(name: str, index: int = 0, **conditions: Any) -> SnapshotRule:
    return SnapshotRule(name=name, filter=Filter(index=index, name=name, **conditions))


def flow(**subject: Any) -> Facts:
    return Facts(OUTBOUND, parse_address("203.0.113.9"), Subject(**subject))


def test_every_condition_shows_the_rules_value_beside_the_flows() -> None:
    rule = active("all", direction=OUTBOUND, remotes=(LAN, EVERYTHING), image="X", service="s", package="p_1")
    facts = flow(canonical_image="Y", services=("s", "t"), package_known=True, package_family_name="P_1")
    (row,) = explain_rules([rule], facts)
    met, not_met = ConditionState.MET, ConditionState.NOT_MET
    assert row.conditions == (
        ConditionRow(condition="direction", state=met, wanted="outbound", fact="outbound"),
        ConditionRow(condition="remote_ips", state=met, wanted="10.1.2.3/8, 0.0.0.0/0", fact="203.0.113.9"),
        ConditionRow(condition="process_path", state=not_met, wanted="X", fact="Y"),
        ConditionRow(condition="service_name", state=met, wanted="s", fact="s, t"),
        ConditionRow(condition="package_family_name", state=met, wanted="p_1", fact="p_1"),
    )
    assert not row.matches
    assert row.near_miss == NearMiss(rule="all", condition="process_path", state=not_met)


def test_unknown_and_known_to_be_none_are_told_apart() -> None:
    (row,) = explain_rules([active("any")], Facts(None, parse_address("::1"), Subject()))
    assert [one.fact for one in row.conditions] == [None, "::1", None, None, None]
    (row,) = explain_rules([active("any")], flow(services=(), package_known=True))
    assert [one.fact for one in row.conditions][3:] == ["(no service)", "(not packaged)"]


def test_undefined_conditions_have_no_value_and_let_the_flow_pass() -> None:
    (row,) = explain_rules([active("any")], flow())
    assert row.matches
    assert [one.condition for one in row.conditions] == list(CONDITIONS)
    assert {one.state for one in row.conditions} == {ConditionState.UNDEFINED}
    assert {one.wanted for one in row.conditions} == {None}
    assert row.near_miss is None


def test_ignored_rule_keeps_its_reason_and_never_matches() -> None:
    rules = [SnapshotRule(name="gone", filter=None, ignored_because="no such executable"), active("here")]
    gone, here = explain_rules(rules, flow())
    assert (gone.status, gone.ignored_because, gone.matches, gone.conditions) == (
        "ignored",
        "no such executable",
        False,
        (),
    )
    assert (here.status, here.ignored_because, here.matches) == ("active", None, True)
    assert gone.near_miss is None


def test_unbounded_rule_is_marked() -> None:
    rule = SnapshotRule(name="open", filter=Filter(index=0, name="open"), unbounded=True)
    assert explain_rules([rule], flow())[0].unbounded


@pytest.mark.parametrize(
    ("conditions", "is_near_miss"),
    [
        pytest.param({"direction": INBOUND}, False, id="nothing else met"),
        pytest.param({"direction": INBOUND, "service": "s"}, True, id="one failed, one met"),
        pytest.param({"direction": INBOUND, "service": "s", "image": "X"}, False, id="two failed"),
        pytest.param({"direction": OUTBOUND, "service": "s"}, False, id="it matches"),
    ],
)
def test_near_miss_of_a_row(conditions: dict[str, Any], is_near_miss: bool) -> None:
    (row,) = explain_rules([active("rule", **conditions)], flow(services=("s",)))
    assert (row.near_miss is not None) is is_near_miss


def test_a_matching_rule_that_another_covers_says_which_one() -> None:
    rules = [
        SnapshotRule(name="ignored", filter=None, ignored_because="why"),
        active("narrow", index=0, image="X", direction=OUTBOUND),
        active("wide", index=1, image="X"),
        active("other", index=2, direction=OUTBOUND),
    ]
    rows = explain_rules(rules, flow(canonical_image="X"))
    assert [row.covered_by for row in rows] == [None, "wide", None, None]


def test_of_equal_rules_the_later_is_covered() -> None:
    twins = [active(name, index=index, image="X") for index, name in enumerate(["first", "second", "third"])]
    rows = explain_rules(twins, flow(canonical_image="X"))
    assert [row.covered_by for row in rows] == [None, "first", "first"]


def test_a_rule_that_does_not_match_is_not_said_to_be_covered() -> None:
    """What it adds for other flows is for `check` to say."""
    twins = [active(name, index=index, image="X") for index, name in enumerate(["first", "second"])]
    assert [row.covered_by for row in explain_rules(twins, flow())] == [None, None]


def test_filters_that_stem_from_no_rule_are_explained_alike() -> None:
    embedded = Filter(index=0, name="Classic Teams", image=r"C:\USERS\*\TEAMS.EXE", reserved=True)
    (row,) = explain_filters([embedded], flow(canonical_image=r"C:\USERS\ANN\TEAMS.EXE"))
    assert (row.name, row.status, row.matches) == ("Classic Teams", "active", True)


def test_filters_of_one_name_are_told_apart() -> None:
    outlook = [Filter(index=n, name="Outlook", image=image, reserved=True) for n, image in enumerate(["X", "Y"])]
    assert [row.matches for row in explain_filters(outlook, flow(canonical_image="Y"))] == [False, True]
