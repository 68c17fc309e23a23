"""The table's shape: intervals, indexes, what it shows of near misses. That it means what match.py means is
tests/differential/test_table_is_match.py."""

from __future__ import annotations

from typing import Any

import pytest

from agent.model.address import parse_address
from agent.model.rule import Network
from agent.model.subject import Subject
from agent.model.vocabulary import ConditionState, Direction
from agent.policy import table as table_module
from agent.policy.effective import Filter
from agent.policy.explain import NearMiss
from agent.policy.table import NEAR_MISSES_SHOWN, PolicyTable

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND
NOBODY = Subject()


def network(text: str) -> Network:
    address, _, prefix = text.partition("/")
    first = parse_address(address)
    host_bits = (32 if first.version == 4 else 128) - int(prefix)
    return Network(version=first.version, first=first.value, last=first.value | (1 << host_bits) - 1, text=text)


def policy(*filters: dict[str, Any]) -> PolicyTable:
    """A table of filters named a, b, c ... in this order."""
    built = []
    for index, conditions in enumerate(filters):
        values = dict(conditions)
        if "remotes" in values:
            values["remotes"] = tuple(network(text) for text in values["remotes"])
        built.append(Filter(index=index, name=chr(ord("a") + index), **values))
    return PolicyTable(built)


def interval(table: PolicyTable, text: str) -> int:
    return table.interval(*parse_address(text))


def test_a_policy_without_filters_matches_nothing() -> None:
    table = policy()
    assert table.matching(OUTBOUND, interval(table, "10.0.0.1"), NOBODY) == 0
    assert table.near_misses(OUTBOUND, interval(table, "10.0.0.1"), NOBODY) == ((), 0)


def test_intervals_are_numbered_without_gaps_first_ipv4_then_ipv6() -> None:
    table = policy({"remotes": ["10.0.0.0/8", "2001:db8::/32"]})
    addresses = ["0.0.0.0", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "255.255.255.255"]
    assert [interval(table, text) for text in addresses] == [0, 0, 1, 1, 2, 2]
    addresses = ["::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "ffff::"]
    assert [interval(table, text) for text in addresses] == [3, 4, 4, 5, 5]


def test_addresses_that_no_filter_tells_apart_share_an_interval() -> None:
    """Two halves of one rule make one stretch: fewer classes, more cached answers."""
    table = policy({"remotes": ["10.0.0.0/9", "10.128.0.0/9"]}, {"remotes": ["10.0.0.0/8"]})
    assert interval(table, "10.0.0.1") == interval(table, "10.200.0.1")


def test_whole_address_space_has_no_edge_at_its_end() -> None:
    table = policy({"remotes": ["0.0.0.0/0"]}, {"remotes": ["::/0"]})

    def matching(text: str) -> tuple[str, ...]:
        return table.names(table.matching(None, interval(table, text), NOBODY))

    assert [matching(text) for text in ("0.0.0.0", "255.255.255.255")] == [("a",), ("a",)]
    assert [matching(text) for text in ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")] == [("b",), ("b",)]


def test_all_matching_filters_are_named_in_filter_order() -> None:
    table = policy({"service": "s"}, {"direction": OUTBOUND}, {}, {"direction": INBOUND})
    mask = table.matching(OUTBOUND, interval(table, "10.0.0.1"), Subject(services=("s",)))
    assert table.names(mask) == ("a", "b", "c")


def test_a_filter_out_of_place_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'stray' has index 7 but stands at 0"):
        PolicyTable([Filter(index=7, name="stray")])


def test_a_near_miss_needs_one_failed_condition_and_one_met() -> None:
    table = policy(
        {"direction": INBOUND},
        {"direction": OUTBOUND, "image": "X"},
        {"direction": INBOUND, "image": "X"},
        {"direction": OUTBOUND, "image": "X", "service": "s"},
        {"direction": OUTBOUND, "image": "X", "remotes": ["203.0.113.9/32"]},
        {"direction": INBOUND, "remotes": ["203.0.113.9/32"]},
    )
    shown, count = table.near_misses(OUTBOUND, interval(table, "203.0.113.9"), NOBODY)
    assert shown == (
        NearMiss(rule="b", condition="process_path", state=ConditionState.UNKNOWN),
        NearMiss(rule="e", condition="process_path", state=ConditionState.UNKNOWN),
        NearMiss(rule="f", condition="direction", state=ConditionState.NOT_MET),
    )
    assert count == 3


@pytest.mark.parametrize(("block", "remote"), [("0.0.0.0/8", "10.0.0.1"), ("::/16", "2001:db8::1")])
def test_a_near_miss_by_address_is_not_met_wherever_the_missed_network_lies(block: str, remote: str) -> None:
    table = policy({"direction": OUTBOUND, "remotes": [block]})
    shown, _ = table.near_misses(OUTBOUND, interval(table, remote), NOBODY)
    assert shown == (NearMiss(rule="a", condition="remote_ips", state=ConditionState.NOT_MET),)


def test_only_the_first_near_misses_are_shown_and_all_are_counted() -> None:
    table = policy(*[{"direction": OUTBOUND, "service": f"s{number}"} for number in range(20)])
    shown, count = table.near_misses(OUTBOUND, interval(table, "10.0.0.1"), Subject(services=()))
    assert [miss.rule for miss in shown] == list("abcdefgh")
    assert len(shown) == NEAR_MISSES_SHOWN
    assert count == 20


def test_subjects_without_number_are_forgotten_and_learned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever invents process names costs no memory, and changes no answer."""
    monkeypatch.setattr(table_module, "_MAX_LEARNED", 4)
    table = policy({"image": "X7"}, {"service": "s"}, {"package": "p_1"})
    where = interval(table, "10.0.0.1")
    for number in range(30):
        subject = Subject(
            canonical_image=f"X{number}", services=("s", str(number)), package_known=True, package_family_name="P_1"
        )
        expected = ("a", "b", "c") if number == 7 else ("b", "c")
        assert table.names(table.matching(None, where, subject)) == expected
    assert len(table._by_image) <= 4
    assert len(table._by_services) <= 4
