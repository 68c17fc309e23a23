"""The small numbers and counts behind the engine's caches, against dictionaries."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.engine.pairs import Pairs
from agent.engine.tally import Tally
from agent.model.address import Address
from agent.policy.intervals import Intervals

WORD = st.integers(0, (1 << 64) - 1)
FEW = st.integers(0, 6)


@settings(deadline=None)
@given(st.lists(st.tuples(FEW | WORD, FEW | WORD), max_size=200), WORD, st.integers(0, 100))
def test_pairs_number_like_a_dictionary_up_to_their_limit(pairs: list[tuple[int, int]], seed: int, limit: int) -> None:
    numbers = Pairs(seed, limit)
    expected: dict[tuple[int, int], int] = {}
    for pair in pairs:
        if pair not in expected and len(expected) < limit:
            expected[pair] = len(expected)
        assert numbers.number(*pair) == expected.get(pair, -1)
    assert numbers.count == len(expected)
    for pair, number in expected.items():
        assert numbers.find(*pair) == number
        assert (numbers.first(number), numbers.second(number)) == pair
    numbers.clear()
    assert [numbers.find(*pair) for pair in expected] == [-1] * len(expected)


def test_thousands_of_pairs_are_all_found_again() -> None:
    numbers = Pairs(1, 100_000)
    assert [numbers.number(number, number * number) for number in range(20_000)] == list(range(20_000))
    assert [numbers.find(number, number * number) for number in range(20_000)] == list(range(20_000))
    assert numbers.find(3, 10) == -1


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((4, 6)), st.integers(0, 40), st.integers(0, 3), st.integers(0, 2)), max_size=200
    ),
    st.integers(1, 12),
)
def test_a_tally_is_a_sorted_dictionary(added: list[tuple[int, int, int, int]], count: int) -> None:
    tally = Tally(5, 1000)
    expected: dict[Address, tuple[int, int]] = {}
    for version, low, packets, octets in added:
        tally.add(version, 0, low, packets, octets)
        before = expected.get(Address(version, low), (0, 0))
        expected[Address(version, low)] = (before[0] + packets, before[1] + octets)
    ordered = [item for version in (4, 6) for item in expected.items() if item[0].version == version]
    ordered.sort(key=lambda item: item[1], reverse=True)
    assert tally.most(count) == [(address, *counts) for address, counts in ordered[:count]]


def test_a_full_tally_counts_on_for_those_it_knows() -> None:
    tally = Tally(5, 2)
    for low in (1, 2, 3, 1):
        tally.add(6, 1 << 63, low, 1, 10)
    assert tally.most(9) == [(Address(6, 1 << 127 | 1), 2, 20), (Address(6, 1 << 127 | 2), 1, 10)]


@given(st.sets(st.integers(1, (1 << 32) - 1)), st.sets(st.integers(1, (1 << 128) - 1) | st.integers(1, 9)), WORD, WORD)
def test_intervals_count_the_edges_up_to_an_address(edges4: set[int], edges6: set[int], high: int, low: int) -> None:
    intervals = Intervals(sorted(edges4), sorted(edges6))
    for value in {low & 0xFFFFFFFF, *edges4, *(edge - 1 for edge in edges4)}:
        assert intervals.find(4, 0, value) == sum(edge <= value for edge in edges4)
    for value in {high << 64 | low, *edges6, *(edge - 1 for edge in edges6)}:
        found = intervals.find(6, value >> 64, value & ((1 << 64) - 1))
        assert found == len(edges4) + 1 + sum(edge <= value for edge in edges6)
