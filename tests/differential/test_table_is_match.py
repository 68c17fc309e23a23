"""The table says what the predicates say, for every filter, at every prefix edge and beside it, for every subject."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.model.address import Address
from agent.model.rule import Network
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import ConditionState, Confidence, Direction
from agent.policy.cover import Shelves
from agent.policy.effective import Filter
from agent.policy.explain import NearMiss, explain_filters
from agent.policy.match import CONDITIONS, Facts, condition_state, effective_subject, matches
from agent.policy.table import PolicyTable

BITS = {4: 32, 6: 128}
DIRECTIONS = (Direction.OUTBOUND, Direction.INBOUND, None)

# Few values each, so that random filters meet random subjects often, alone and together.
IMAGES = (r"C:\A.EXE", r"C:\B\X\A.EXE", r"C:\B\*\A.EXE", "/opt/*/a", "/opt/x/a")
SERVICES = ("dnscache", "nlasvc", "Unit.service")
PACKAGES = ("a_8wekyb3d8bbwe", "b_8wekyb3d8bbwe")


def block(version: int, value: int, prefix: int) -> Network:
    host_bits = BITS[version] - prefix
    first = value >> host_bits << host_bits
    return Network(version=version, first=first, last=first | (1 << host_bits) - 1, text=f"{first:x}/{prefix}")


@st.composite
def blocks(draw: st.DrawFn) -> Network:
    """Blocks that nest, touch and repeat: few high bits, any length, both ends of the space among them."""
    version = draw(st.sampled_from((4, 6)))
    bits = BITS[version]
    base = draw(st.sampled_from((0, 1 << bits - 1, 0x0A << bits - 8, (1 << bits) - 1)))
    value = base ^ draw(st.integers(0, 7)) << draw(st.sampled_from((0, bits // 2, bits - 3)))
    return block(version, value, draw(st.sampled_from((0, 1, 8, bits // 2, bits - 2, bits - 1, bits))))


@st.composite
def policies(draw: st.DrawFn) -> tuple[Filter, ...]:
    def maybe(*values: object) -> st.SearchStrategy[object]:
        return st.sampled_from((None, *values))

    return tuple(
        Filter(
            index=index,
            name=f"rule {index}",
            direction=draw(maybe(*Direction)),
            remotes=draw(st.none() | st.lists(blocks(), min_size=1, max_size=5).map(tuple)),
            image=draw(maybe(*IMAGES)),
            reserved=draw(st.booleans()),
            service=draw(maybe(*SERVICES)),
            package=draw(maybe(*PACKAGES)),
        )
        for index in range(draw(st.integers(0, 12)))
    )


SUBJECTS = (
    UNATTRIBUTED,
    Subject(),
    *(Subject(canonical_image=image) for image in IMAGES),
    *(Subject(services=services) for services in ((), *((one,) for one in SERVICES), SERVICES)),
    Subject(package_known=True),
    *(Subject(package_known=True, package_family_name=package.upper()) for package in PACKAGES),
    Subject(package_family_name=PACKAGES[0]),
    *(
        Subject(canonical_image=image, services=services, package_known=known, package_family_name=package)
        for image, services, (known, package) in product(
            (IMAGES[0], IMAGES[1]), ((), SERVICES[:2]), ((True, PACKAGES[0]), (True, None), (False, None))
        )
    ),
    effective_subject(
        Subject(canonical_image=IMAGES[0], services=SERVICES, confidence=Confidence.LOW), Confidence.HIGH
    ),
)


def edges(filters: tuple[Filter, ...]) -> list[Address]:
    """Both ends of every network, one address to either side of each, and the ends of the address spaces."""
    values = {4: {0, (1 << 32) - 1}, 6: {0, (1 << 128) - 1}}
    for filter in filters:
        for network in filter.remotes or ():
            near = {network.first - 1, network.first, network.first + 1}
            near |= {network.last - 1, network.last, network.last + 1}
            values[network.version] |= {value for value in near if 0 <= value < 1 << BITS[network.version]}
    return [Address(version, value) for version, some in values.items() for value in sorted(some)]


def naive_near_misses(filters: tuple[Filter, ...], facts: Facts) -> tuple[tuple[NearMiss, ...], int]:
    """The sentence of the semantics, word by word."""
    found = []
    for filter in filters:
        states = {condition: condition_state(filter, condition, facts) for condition in CONDITIONS}
        failed = [one for one, state in states.items() if state in (ConditionState.NOT_MET, ConditionState.UNKNOWN)]
        if len(failed) == 1 and ConditionState.MET in states.values():
            found.append(NearMiss(rule=filter.name, condition=failed[0], state=states[failed[0]]))
    return tuple(found[:8]), len(found)


def assert_table_is_match(filters: tuple[Filter, ...], facts: Facts, table: PolicyTable) -> None:
    interval = table.interval(*facts.remote)
    mask = table.matching(facts.direction, interval, facts.subject)
    expected = sum(1 << filter.index for filter in filters if matches(filter, facts))
    assert mask == expected, facts
    assert table.names(mask) == tuple(filter.name for filter in filters if matches(filter, facts))
    passing = {ConditionState.MET, ConditionState.UNDEFINED}
    for condition, one in zip(CONDITIONS, table.masks(facts.direction, interval, facts.subject), strict=True):
        states = [condition_state(filter, condition, facts) for filter in filters]
        assert one == sum(1 << index for index, state in enumerate(states) if state in passing), (condition, facts)
    assert table.near_misses(facts.direction, interval, facts.subject) == naive_near_misses(filters, facts), facts


def only(*networks: Network) -> tuple[Filter, ...]:
    return tuple(Filter(index=index, name=str(index), remotes=(one,)) for index, one in enumerate(networks))


@pytest.mark.slow
@settings(max_examples=150)
@example(only(block(4, 0, 0), block(4, 0, 32), block(4, (1 << 32) - 1, 32)), 0)
@example(only(block(6, 0, 0), block(6, 0, 128), block(6, (1 << 128) - 1, 128)), 0)
@example(only(block(4, 0, 1), block(4, 1 << 31, 1), block(6, 0, 1), block(6, 1 << 127, 1)), 0)
@given(policies(), st.integers(0, len(SUBJECTS) * len(DIRECTIONS) - 1))
def test_every_edge_is_judged_as_the_predicates_judge_it(filters: tuple[Filter, ...], who: int) -> None:
    """All edges +-1 of one policy, with one subject and direction each."""
    table = PolicyTable(filters)
    direction, subject = DIRECTIONS[who % len(DIRECTIONS)], SUBJECTS[who // len(DIRECTIONS)]
    for remote in edges(filters):
        assert_table_is_match(filters, Facts(direction, remote, subject), table)


@pytest.mark.slow
@settings(max_examples=60)
@given(policies(), st.data())
def test_every_subject_and_direction_is_judged_as_the_predicates_judge_it(
    filters: tuple[Filter, ...], data: st.DataObject
) -> None:
    """All subjects and directions, in a random order of being learned, at one edge."""
    table = PolicyTable(filters)
    remote = data.draw(st.sampled_from(edges(filters)))
    for subject in data.draw(st.permutations(SUBJECTS)):
        for direction in DIRECTIONS:
            assert_table_is_match(filters, Facts(direction, remote, subject), table)


@settings(max_examples=60)
@given(policies(), st.sampled_from(SUBJECTS), st.sampled_from(DIRECTIONS))
def test_rows_show_the_table_s_matches_and_near_misses(
    filters: tuple[Filter, ...], subject: Subject, direction: Direction | None
) -> None:
    table = PolicyTable(filters)
    remote = edges(filters)[-1]
    rows = explain_filters(filters, Facts(direction, remote, subject))
    interval = table.interval(*remote)
    assert tuple(row.name for row in rows if row.matches) == table.names(table.matching(direction, interval, subject))
    near = [row.near_miss for row in rows if row.near_miss is not None]
    assert (tuple(near[:8]), len(near)) == table.near_misses(direction, interval, subject)


@pytest.mark.slow
@settings(max_examples=60)
@given(policies())
def test_a_rule_that_covers_another_matches_whenever_that_does(filters: tuple[Filter, ...]) -> None:
    """What explain and check call superfluous really is."""
    rules = tuple(replace(filter, reserved=False) for filter in filters)
    table = PolicyTable(rules)
    wider = {rule.index: cover.index for rule in rules if (cover := Shelves(rules).coverer(rule)) is not None}
    for remote, subject, direction in product(edges(rules), SUBJECTS, DIRECTIONS):
        mask = table.matching(direction, table.interval(*remote), subject)
        for index, cover in wider.items():
            assert mask >> cover & 1 or not mask >> index & 1


@pytest.mark.slow
def test_two_thousand_filters_with_twenty_networks_each() -> None:
    """The largest policy that anyone promised, at edges of filters spread over it."""
    step = 0x9E3779B97F4A7C15
    filters = []
    for index in range(2_000):
        remotes = []
        for number in range(20):
            mixed = (index * 20 + number + 1) * step
            version = 6 if mixed & 3 == 0 else 4
            value = (mixed * step) % (1 << BITS[version])
            remotes.append(block(version, value, 4 + mixed % (BITS[version] - 3)))
        direction = DIRECTIONS[index % 3]
        service = SERVICES[index % 2] if index % 5 else None
        filters.append(
            Filter(index=index, name=str(index), direction=direction, remotes=tuple(remotes), service=service)
        )
    policy = tuple(filters)
    table = PolicyTable(policy)
    for remote in edges(policy[::200])[::9]:
        assert_table_is_match(policy, Facts(Direction.OUTBOUND, remote, Subject(services=SERVICES[:1])), table)
