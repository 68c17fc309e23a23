"""When one filter lets through all that another does; never said when it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.address import Address
from agent.model.subject import Subject
from agent.model.vocabulary import Direction
from agent.policy.cover import Shelves, covers
from agent.policy.effective import Filter
from agent.policy.match import Facts, matches
from agent.policy.values import parse_network


def filter_of(index: int = 0, *, remotes: list[str] | None = None, **conditions: Any) -> Filter:
    blocks = None if remotes is None else tuple(map(parse_network, remotes))
    return Filter(index=index, name=str(index), remotes=blocks, **conditions)


@pytest.mark.parametrize(
    ("wide", "narrow", "covered"),
    [
        pytest.param({}, {}, True, id="equal"),
        pytest.param({}, {"image": "A"}, True, id="undefined covers any image"),
        pytest.param({"image": "A"}, {}, False, id="not the other way"),
        pytest.param({"image": "A"}, {"image": "B"}, False, id="another image"),
        pytest.param({"image": "A"}, {"image": "A", "service": "s"}, True, id="more conditions are narrower"),
        pytest.param({"direction": Direction.OUTBOUND}, {"direction": Direction.INBOUND}, False, id="direction"),
        pytest.param({"package": "p"}, {"package": "p", "remotes": ["1.1.1.1"]}, True, id="package"),
        pytest.param({"remotes": ["10.0.0.0/8"]}, {"remotes": ["10.1.0.0/16", "10.2.3.4"]}, True, id="block in block"),
        pytest.param({"remotes": ["10.0.0.0/9", "10.128.0.0/9"]}, {"remotes": ["10.0.0.0/8"]}, True, id="halves"),
        pytest.param({"remotes": ["10.0.0.0/8"]}, {"remotes": ["10.0.0.0/7"]}, False, id="wider"),
        pytest.param({"remotes": ["10.0.0.0/8"]}, {"remotes": ["10.0.0.1", "11.0.0.1"]}, False, id="one outside"),
        pytest.param({"remotes": ["10.0.0.0/8"]}, {}, False, id="block and any"),
        pytest.param({"remotes": ["0.0.0.0/0"]}, {}, False, id="all IPv4 is not any"),
        pytest.param({"remotes": ["0.0.0.0/0", "::/0"]}, {}, True, id="both versions are any"),
        pytest.param({"remotes": ["0.0.0.0/0"]}, {"remotes": ["::1"]}, False, id="other version"),
    ],
)
def test_covers(wide: dict[str, Any], narrow: dict[str, Any], covered: bool) -> None:
    assert covers(filter_of(**wide), filter_of(1, **narrow)) is covered


def test_the_first_coverer_is_named_and_of_equals_the_later_is_superfluous() -> None:
    filters = [
        filter_of(0, image="A", remotes=["10.0.0.1"]),
        filter_of(1, image="A"),
        filter_of(2, image="A"),
        filter_of(3, image="B"),
        filter_of(4, image="A", direction=Direction.INBOUND),
    ]
    shelves = Shelves(filters)
    found = [shelves.coverer(item) for item in filters]
    assert [item.index if item is not None else None for item in found] == [1, None, 1, None, 1]


BLOCKS = ["10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.1", "0.0.0.0/0", "::/0", "::/127"]
FILTERS = st.builds(
    filter_of,
    direction=st.sampled_from([None, *Direction]),
    image=st.sampled_from([None, "A", "B"]),
    service=st.sampled_from([None, "s"]),
    package=st.sampled_from([None, "p"]),
    remotes=st.none() | st.lists(st.sampled_from(BLOCKS), min_size=1, max_size=3),
)
FACTS = st.builds(
    Facts,
    st.sampled_from([None, *Direction]),
    st.sampled_from([Address(4, 0x0A000000 + value) for value in range(5)] + [Address(6, 1), Address(6, 2)]),
    st.builds(
        Subject,
        canonical_image=st.sampled_from([None, "A", "B"]),
        services=st.sampled_from([None, (), ("s",)]),
        package_family_name=st.sampled_from([None, "p"]),
        package_known=st.booleans(),
    ),
)


@given(FILTERS, FILTERS, FACTS)
def test_what_the_narrow_one_matches_the_wide_one_matches(wide: Filter, narrow: Filter, facts: Facts) -> None:
    """Held against match.py, the only place that knows what a filter means."""
    if covers(wide, narrow) and matches(narrow, facts):
        assert matches(wide, facts)
