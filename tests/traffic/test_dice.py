"""Chance that is the same everywhere: the numbers below are written down, not computed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.traffic.dice import Dice


def test_sequence_is_the_same_on_every_machine() -> None:
    dice = Dice("1/0/beacon")
    assert [dice.below(1000) for _ in range(8)] == [460, 880, 796, 244, 649, 519, 817, 806]
    assert dice.octets(4).hex() == "f4d10dfb"


@given(seed=st.text(max_size=10), low=st.integers(0, 1000), reach=st.integers(0, 1000))
def test_numbers_stay_within_their_bounds(seed: str, low: int, reach: int) -> None:
    dice = Dice(seed)
    assert all(low <= dice.between(low, low + reach) <= low + reach for _ in range(20))


@given(value=st.integers(0, 10**12), percent=st.integers(0, 100))
def test_spread_stays_within_its_percentage(value: int, percent: int) -> None:
    reach = value * percent // 100
    assert value - reach <= Dice("x").spread(value, percent) <= value + reach


def test_every_item_is_picked_at_some_time() -> None:
    dice = Dice("7")
    assert {dice.pick("abcdef") for _ in range(200)} == set("abcdef")


def test_octets_and_text_have_the_length_asked() -> None:
    dice = Dice("7")
    assert [len(dice.octets(count)) for count in (0, 1, 17)] == [0, 1, 17]
    assert [len(dice.text(count)) for count in (0, 1, 1700)] == [0, 1, 1700]
