"""Chance that falls alike on every machine and Python version. Never: a clock, global random state.

Only `getrandbits` of a seeded Mersenne Twister is used, and integers only: `uniform`, `choice` and friends may change
between versions, and floating point between machines.

    >>> Dice("7").below(6) == Dice("7").below(6)
    True
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_WORD = 64


class Dice:
    """A stream of chance. Mutable: each call moves it on."""

    __slots__ = ("_bits",)

    def __init__(self, seed: str) -> None:
        self._bits = random.Random(seed).getrandbits

    def below(self, limit: int) -> int:
        """A number in 0..limit-1; 0 for a limit of 0. The bias of limit / 2^64 matters to nobody here."""
        return self._bits(_WORD) * limit >> _WORD

    def between(self, low: int, high: int) -> int:
        """A number in low..high, both included."""
        return low + self.below(high - low + 1)

    def spread(self, value: int, percent: int) -> int:
        """`value` give or take up to `percent` of it, never below 0."""
        reach = value * percent // 100
        return max(0, self.between(value - reach, value + reach)) if reach else value

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def octets(self, count: int) -> bytes:
        """Bytes as encryption leaves them."""
        return self._bits(8 * count).to_bytes(count, "big") if count else b""

    def text(self, count: int) -> bytes:
        """Printable bytes that no protocol dissector takes for its own, and that compress well."""
        phrase = b"lab %08x of the quick brown fox; " % self._bits(32)
        return (phrase * (count // len(phrase) + 1))[:count]
