"""Many secrets from one: the numbers that a seed stands for."""

from __future__ import annotations

M64 = 0xFFFFFFFFFFFFFFFF


def splitmix64(seed: int, number: int) -> int:
    """Number `number` of the generator SplitMix64 begun with `seed` (Steele, Lea and Flood, 2014).

    >>> hex(splitmix64(0, 0))
    '0xe220a8397b1dcdaf'
    """
    value = (seed + (number + 1) * 0x9E3779B97F4A7C15) & M64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & M64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & M64
    return value ^ (value >> 31)
