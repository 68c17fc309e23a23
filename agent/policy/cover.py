"""Whether one filter lets through all that another does: a proof from their conditions, not from samples.

Knows that an undefined condition covers any, and how blocks of addresses contain each other. Must not know: rules,
devices. It is advice for `lint.py`; a cover that takes several filters together is not looked for.

    >>> wide, narrow = Filter(index=0, name="any"), Filter(index=1, name="one", service="sense")
    >>> covers(wide, narrow), covers(narrow, wide)
    (True, False)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from itertools import product

from agent.model.rule import Network
from agent.policy.effective import Filter
from agent.policy.values import EVERYTHING, union

Range = tuple[int, int, int]


def covers(wide: Filter, narrow: Filter) -> bool:
    """True if every flow that `narrow` matches is matched by `wide` too."""
    return _covers(wide, _ranges(wide), narrow)


def _covers(wide: Filter, ranges: list[Range], narrow: Filter) -> bool:
    """As `covers`, with `_ranges(wide)` at hand."""
    return (
        wide.direction in (None, narrow.direction)
        and wide.image in (None, narrow.image)
        and wide.service in (None, narrow.service)
        and wide.package in (None, narrow.package)
        and (
            ranges == EVERYTHING
            or (narrow.remotes is not None and all(_within(block, ranges) for block in narrow.remotes))
        )
    )


def _ranges(filter: Filter) -> list[Range]:
    """The addresses a filter lets through; undefined remotes are all."""
    return EVERYTHING if filter.remotes is None else union(filter.remotes)


def _within(block: Network, ranges: list[Range]) -> bool:
    return any(
        version == block.version and first <= block.first and block.last <= last for version, first, last in ranges
    )


class Shelves:
    """Active filters by their conditions other than remotes, so that few need to be compared with each."""

    def __init__(self, filters: Iterable[Filter]) -> None:
        self._shelves: defaultdict[tuple[object, ...], list[Filter]] = defaultdict(list)
        self._ranges: dict[int, list[Range]] = {}
        for filter in filters:
            self._shelves[_others(filter)].append(filter)
            self._ranges[filter.index] = _ranges(filter)

    def coverer(self, narrow: Filter) -> Filter | None:
        """The first filter that makes `narrow` superfluous; of two that cover each other, only the later is."""
        keys = set(product(*((None, value) for value in _others(narrow))))
        candidates = [filter for key in keys for filter in self._shelves.get(key, ()) if filter is not narrow]
        for wide in sorted(candidates, key=lambda filter: filter.index):
            if _covers(wide, self._ranges[wide.index], narrow) and (
                wide.index < narrow.index or not _covers(narrow, self._ranges[narrow.index], wide)
            ):
                return wide
        return None


def _others(filter: Filter) -> tuple[object, ...]:
    return (filter.direction, filter.image, filter.service, filter.package)
