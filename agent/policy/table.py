"""The filters of one policy as bit masks, one per distinct value of each condition. No meaning of its own.

Lakshman and Stiliadis' bit-vector classification: the AND of five masks is exactly the filters that match. Every
mask is what `match.condition_state` answers for a representative, and the comments say why that answer stands for
its whole class. Must not know: what a condition means, verdicts, generations.

    >>> table = PolicyTable((Filter(index=0, name="web", direction=Direction.OUTBOUND),))
    >>> table.names(table.matching(Direction.OUTBOUND, table.interval(4, 0xCB007109), Subject()))
    ('web',)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Final, TypeVar

from agent.model.address import Address
from agent.model.subject import Subject
from agent.model.vocabulary import ConditionState, Direction
from agent.policy.effective import Filter
from agent.policy.explain import NearMiss
from agent.policy.intervals import Intervals
from agent.policy.match import CONDITIONS, PASSING, Condition, Facts, condition_state, fact_keys, needed_key
from agent.policy.values import EVERYTHING, union

NEAR_MISSES_SHOWN: Final = 8
Masks = tuple[int, int, int, int, int]
"""The filters that each condition lets pass (met or undefined), in the order of CONDITIONS; bit n is filter n."""

_MAX_LEARNED: Final = 65_536
"""Values kept per process condition; then it forgets and learns anew: whoever invents images costs no memory."""
_LOW_HALF: Final = (1 << 64) - 1
_ANY_ADDRESS: Final = Address(4, 0)
_NOBODY: Final = Subject()
_Fact = TypeVar("_Fact", bound=Hashable)


class PolicyTable:
    """The masks of one policy. Mutable only in what it has learned of the subjects it was asked about."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        """`filters` in the order of their index. Raises ValueError naming one that is out of place."""
        for position, filter in enumerate(filters):
            if filter.index != position:
                raise ValueError(f"filter {filter.name!r} has index {filter.index} but stands at {position}")
        self.filters = tuple(filters)
        self._everything = (1 << len(self.filters)) - 1

        directions, remotes, images, services, packages = (_Groups(self.filters, one) for one in CONDITIONS)
        self._defined = tuple(one.defined for one in (directions, remotes, images, services, packages))
        self._by_direction = {one: directions.passing(Facts(one, _ANY_ADDRESS, _NOBODY)) for one in (*Direction, None)}
        (self._edges4, masks4), (self._edges6, masks6) = _sweep(remotes)
        self._first6 = len(masks4)
        self.intervals = Intervals(self._edges4, self._edges6)
        self._by_interval = masks4 + masks6
        self._images, self._by_image = images, dict[str | None, int]()
        self._services, self._by_services = services, dict[tuple[str, ...] | None, int]()
        self._packages, self._by_package = packages, dict[tuple[bool, str | None], int]()

    def interval(self, version: int, value: int) -> int:
        """The number of the stretch of addresses that no filter tells apart from this one: IPv4's, then IPv6's."""
        return self.intervals.find(version, value >> 64, value & _LOW_HALF)

    def masks(self, direction: Direction | None, interval: int, subject: Subject) -> Masks:
        """The five masks of a flow; `subject` as `match.effective_subject` leaves it."""
        image, services = subject.canonical_image, subject.services
        package = subject.package_known, subject.package_family_name
        by_image, by_services = self._by_image.get(image), self._by_services.get(services)
        by_package = self._by_package.get(package)
        if by_image is None:
            by_image = _learn(self._by_image, image, self._images, subject)
        if by_services is None:
            by_services = _learn(self._by_services, services, self._services, subject)
        if by_package is None:
            by_package = _learn(self._by_package, package, self._packages, subject)
        return self._by_direction[direction], self._by_interval[interval], by_image, by_services, by_package

    def asks_for(self, keys: Iterable[Hashable]) -> bool:
        """False for the keys of an image that no filter names: all such images pass the same filters."""
        return bool(self._images.others) or any(key in self._images.keyed for key in keys)

    def of_direction(self, direction: Direction | None) -> int:
        """The filters that let a direction pass."""
        return self._by_direction[direction]

    def matching(self, direction: Direction | None, interval: int, subject: Subject) -> int:
        """The filters that match, as a mask: 0 if none."""
        by_direction, by_remote, by_image, by_service, by_package = self.masks(direction, interval, subject)
        return by_direction & by_remote & by_image & by_service & by_package

    def names(self, mask: int) -> tuple[str, ...]:
        """Names of the filters in `mask`, in filter order."""
        return tuple(self.filters[index].name for index in _bits(mask))

    def indexes(self, mask: int) -> tuple[int, ...]:
        """Indexes of the filters in `mask`, ascending."""
        return tuple(_bits(mask))

    def near_misses(
        self, direction: Direction | None, interval: int, subject: Subject
    ) -> tuple[tuple[NearMiss, ...], int]:
        """Filters of which one condition failed and another was met: the first few in order, and how many there are."""
        masks = self.masks(direction, interval, subject)
        failed = failed_again = met = 0
        for mask, defined in zip(masks, self._defined, strict=True):
            failing = self._everything ^ mask
            failed_again |= failed & failing
            failed |= failing
            met |= mask & defined
        near = failed & ~failed_again & met
        facts = Facts(direction, self._representative(interval), subject)
        states: dict[Condition, ConditionState] = {}
        shown: list[NearMiss] = []
        for index in islice(_bits(near), NEAR_MISSES_SHOWN):
            condition = next(one for one, mask in zip(CONDITIONS, masks, strict=True) if not mask & 1 << index)
            if condition not in states:
                # A fact is known or not whichever filter asks: the first that it fails speaks for the others.
                states[condition] = condition_state(self.filters[index], condition, facts)
            shown.append(NearMiss(rule=self.filters[index].name, condition=condition, state=states[condition]))
        return tuple(shown), near.bit_count()

    def _representative(self, interval: int) -> Address:
        """The first address of an interval."""
        if interval < self._first6:
            return Address(4, self._edges4[interval - 1] if interval else 0)
        interval -= self._first6
        return Address(6, self._edges6[interval - 1] if interval else 0)


class _Groups:
    """The filters grouped by equal value of one condition.

    `condition_state` depends on that value and the fact alone, so one filter of each group answers for the others.
    """

    __slots__ = ("condition", "defined", "keyed", "members", "others", "undefined")

    def __init__(self, filters: Sequence[Filter], condition: Condition) -> None:
        indexes: dict[Hashable, list[int]] = {}
        for index, value in enumerate(map(_VALUES[condition], filters)):
            indexes.setdefault(value, []).append(index)
        self.condition = condition
        self.members = [(filters[same[0]], _mask(same)) for same in indexes.values()]
        self.undefined = 0
        """The filters that do not define the condition: it lets them pass, whatever the fact."""
        self.keyed: dict[Hashable, list[tuple[Filter, int]]] = {}
        """Groups whose condition only facts with this key can meet."""
        self.others: list[tuple[Filter, int]] = []
        for filter, mask in self.members:
            key = needed_key(filter, condition)
            if key is not None:
                self.keyed.setdefault(key, []).append((filter, mask))
            elif condition_state(filter, condition, _nothing_known(filter)) is ConditionState.UNDEFINED:
                self.undefined |= mask
            else:
                self.others.append((filter, mask))
        self.defined = (1 << len(filters)) - 1 ^ self.undefined

    def passing(self, facts: Facts) -> int:
        """The filters that the condition lets pass. A keyed condition is defined: who lacks its key need not ask it."""
        asked = self.others
        if self.keyed:
            for key in fact_keys(self.condition, facts):
                if key in self.keyed:
                    asked = asked + self.keyed[key]
        mask = self.undefined
        for filter, members in asked:
            if condition_state(filter, self.condition, facts) in PASSING:
                mask |= members
        return mask


_VALUES: Final[Mapping[Condition, Callable[[Filter], Hashable]]] = {
    "direction": attrgetter("direction"),
    "remote_ips": lambda filter: id(filter.remotes),  # not what it holds: comparing 20 networks is no gain
    "process_path": attrgetter("image", "reserved"),
    "service_name": attrgetter("service"),
    "package_family_name": attrgetter("package"),
}


def _nothing_known(filter: Filter) -> Facts:
    """Facts of a flow of which only the remote is known, and that is one of the filter's: it is found at once."""
    remote = Address(filter.remotes[0].version, filter.remotes[0].first) if filter.remotes else _ANY_ADDRESS
    return Facts(None, remote, _NOBODY)


def _learn(known: dict[_Fact, int], fact: _Fact, groups: _Groups, subject: Subject) -> int:
    """The mask of a process condition, asked for and kept; the subject is its own representative."""
    if len(known) >= _MAX_LEARNED:
        known.clear()
    mask = known[fact] = groups.passing(Facts(None, _ANY_ADDRESS, subject))
    return mask


def _sweep(remotes: _Groups) -> tuple[tuple[list[int], list[int]], tuple[list[int], list[int]]]:
    """For IPv4 and IPv6: edges of the elementary intervals (the first, 0, left out) and the mask of each interval.

    A proof, not a sample: an address is met by a filter if any of its networks holds it, so the answer can change
    only at the edges of their union. Undefined remotes never change it. The sweep merely carries each filter's last
    answer on to its next edge, which spares asking all filters in all intervals: 2,000 filters have 80,000
    intervals, but only 41 each of their own. The tests hold every interval's mask against `condition_state`.
    """
    changes: dict[int, dict[int, int]] = {4: {}, 6: {}}
    for filter, members in remotes.members:
        ranges = EVERYTHING if filter.remotes is None else union(filter.remotes)
        for version, first, last in ranges:
            known = changes[version]
            known[first] = known.get(first, 0) ^ members
            known[last + 1] = known.get(last + 1, 0) ^ members
    return _carried(changes[4], 1 << 32), _carried(changes[6], 1 << 128)


def _carried(changes: dict[int, int], limit: int) -> tuple[list[int], list[int]]:
    """Edges, and the mask from 0 on and from each edge on; `changes`: which filters' answer is another there."""
    mask = changes.pop(0, 0)
    changes.pop(limit, 0)
    edges, masks = sorted(changes), [mask]
    for edge in edges:
        mask ^= changes[edge]
        masks.append(mask)
    return edges, masks


def _mask(indexes: Sequence[int]) -> int:
    """The mask with these bits. Not bit by bit into an integer: 2,000 times 2,000 bits take a while."""
    octets = bytearray(indexes[-1] // 8 + 1)
    for index in indexes:
        octets[index >> 3] |= 1 << (index & 7)
    return int.from_bytes(octets, "little")


def _bits(mask: int) -> Iterator[int]:
    """Positions of the bits of `mask` that are set, lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest
