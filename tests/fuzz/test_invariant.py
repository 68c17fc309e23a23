"""The invariant of `invariant.py`, by hypothesis and on every hostile input that has a name."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import hostile
from tests.fuzz.invariant import check, check_frame
from tests.fuzz.targets import TARGETS, mutate

few = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
DICE = st.randoms(use_true_random=False)


@pytest.mark.parametrize("name", hostile.FILES)
def test_hostile_files(name: str) -> None:
    check(hostile.FILES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile.FRAMES)
def test_hostile_frames(name: str) -> None:
    link, frame = hostile.FRAMES[name]
    for size in range(len(frame) + 1) if len(frame) < 120 else (len(frame),):
        check_frame(link, frame[:size])


@pytest.mark.parametrize("target", ["dns", "flows"])
def test_seeds(target: str) -> None:
    for seed in TARGETS[target].seeds():
        TARGETS[target].run(seed)


@few
@given(data=st.binary(max_size=300), link=st.sampled_from(hostile.LINKS))
def test_any_bytes_as_a_frame(data: bytes, link: int) -> None:
    check_frame(link, data)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@few
@given(dice=DICE)
def test_made_inputs(target: str, dice: random.Random) -> None:
    TARGETS[target].run(TARGETS[target].make(dice))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@few
@given(dice=DICE)
def test_mutated_seeds(target: str, dice: random.Random) -> None:
    seeds = TARGETS[target].seeds()
    TARGETS[target].run(mutate(dice, dice.choice(seeds), dice.choice(seeds)))


def test_the_same_bytes_give_the_same_outcome() -> None:
    """Whatever the seed of the flow table's hash."""
    for target in TARGETS.values():
        data = target.make(random.Random(7))
        assert target.run(data) == target.run(data)
