"""THE meaning of a filter: undefined is any, unknown does not match, AND inside a filter, any of its addresses.

Knows what one condition makes of one fact. Must not know: speed, the order of filters, what a match leads to.
`table.py` derives its masks by asking here; nothing else may compare a filter with a flow.

    >>> notepad = Filter(index=0, name="Notepad", image="C:\\\\WINDOWS\\\\NOTEPAD.EXE")
    >>> known = Subject(canonical_image="C:\\\\WINDOWS\\\\NOTEPAD.EXE")
    >>> matches(notepad, Facts(Direction.OUTBOUND, Address(4, 1), known))
    True
    >>> condition_state(notepad, "process_path", Facts(Direction.OUTBOUND, Address(4, 1), Subject())).value
    'unknown'
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from operator import eq
from typing import Final, Literal, NamedTuple, TypeVar

from agent.model.address import Address
from agent.model.rule import Network
from agent.model.subject import Subject
from agent.model.vocabulary import ConditionState, Confidence, Direction
from agent.policy.effective import Filter

Condition = Literal["direction", "remote_ips", "process_path", "service_name", "package_family_name"]
CONDITIONS: Final[tuple[Condition, ...]] = (
    "direction",
    "remote_ips",
    "process_path",
    "service_name",
    "package_family_name",
)
"""The conditions of a filter, named as the rules document names them."""

PASSING: Final = frozenset({ConditionState.MET, ConditionState.UNDEFINED})
"""The states of a condition that do not keep its filter from matching."""

NOT_PACKAGED: Final = "(not packaged)"
"""A fact, and no package can have this name: only unpackaged processes do."""

_Wanted = TypeVar("_Wanted")
_Fact = TypeVar("_Fact")


class Facts(NamedTuple):
    """All of a flow that a filter can ask about."""

    direction: Direction | None
    """None: unknown, such as a guess that the settings do not trust."""
    remote: Address
    subject: Subject
    """What `effective_subject` leaves of the attribution."""


def matches(filter: Filter, facts: Facts) -> bool:
    """True if every condition of `filter` is met or undefined."""
    return all(condition_state(filter, condition, facts) in PASSING for condition in CONDITIONS)


def condition_state(filter: Filter, condition: Condition, facts: Facts) -> ConditionState:
    """What becomes of one condition. It depends on that condition's value and fact alone: `table.py` rests on it."""
    if condition == "remote_ips":
        return _state(filter.remotes, facts.remote, within_any)
    if condition == "process_path" and filter.reserved:
        return _state(filter.image, facts.subject.canonical_image, fits_pattern)
    if condition == "service_name":
        return _state(filter.service, facts.subject.services, hosted)
    if condition == "process_path":
        return _state(filter.image, facts.subject.canonical_image, eq)
    if condition == "direction":
        return _state(filter.direction, facts.direction, eq)
    return _state(filter.package, package_fact(facts.subject), eq)


def needed_key(filter: Filter, condition: Condition) -> Hashable | None:
    """What `fact_keys` must hold for the condition to be met; None if it is undefined or has no such key.

    Needed, not enough: whether it is met only `condition_state` says. 2,000 filters name 1,000 images, a device has
    thousands of them: of an image's fact nearly all filters' keys are missing, so nearly none need be asked.
    """
    if condition == "process_path":
        return _pattern_key(filter.image) if filter.reserved and filter.image is not None else filter.image
    if condition == "direction":
        return filter.direction
    if condition == "service_name":
        return filter.service
    return filter.package if condition == "package_family_name" else None


def fact_keys(condition: Condition, facts: Facts) -> tuple[Hashable, ...]:
    """The keys that a fact has; none if it is unknown."""
    subject = facts.subject
    if condition == "process_path":
        return () if subject.canonical_image is None else image_keys(subject.canonical_image)
    if condition == "service_name":
        return subject.services or ()
    fact = facts.direction if condition == "direction" else package_fact(subject)
    return () if fact is None else (fact,)


def image_keys(image: str) -> tuple[Hashable, ...]:
    """The keys that an image has."""
    # A pattern whose key is a last component has others before it: so has an image that fits it.
    return (image, *[_last_component(image, separator) for separator in "\\/" if separator in image])


def effective_subject(subject: Subject, minimum: Confidence) -> Subject:
    """`subject`, its process facts turned into unknown if it is less certain than `minimum`."""
    if subject.confidence >= minimum:
        return subject
    return replace(subject, canonical_image=None, services=None, package_family_name=None, package_known=False)


def _state(wanted: _Wanted | None, fact: _Fact | None, holds: Callable[[_Wanted, _Fact], bool]) -> ConditionState:
    if wanted is None:
        return ConditionState.UNDEFINED
    if fact is None:
        return ConditionState.UNKNOWN
    return ConditionState.MET if holds(wanted, fact) else ConditionState.NOT_MET


def within_any(networks: tuple[Network, ...], remote: Address) -> bool:
    return any(remote in network for network in networks)


def hosted(service: str, services: tuple[str, ...]) -> bool:
    """True if `service` is among the process's; both sides are canonical."""
    return service in services


def package_fact(subject: Subject) -> str | None:
    """The package's name as filters hold it, or NOT_PACKAGED; None if nobody could tell."""
    if not subject.package_known:
        return None
    return subject.package_family_name.lower() if subject.package_family_name else NOT_PACKAGED


def fits_pattern(pattern: str, image: str) -> bool:
    """True if `image` is `pattern`, each component `*` of which stands for exactly one component."""
    separator = _separator(pattern)
    wanted, found = pattern.split(separator), image.split(separator)
    return len(wanted) == len(found) and all(
        one == other or (one == "*" and other != "") for one, other in zip(wanted, found, strict=True)
    )


def _pattern_key(pattern: str) -> Hashable | None:
    """What an image that fits has: without a component `*` all of the pattern, else its last component, unless `*`."""
    separator = _separator(pattern)
    if "*" not in pattern.split(separator):
        return pattern
    last = _last_component(pattern, separator)
    return None if last[1] == "*" else last


def _last_component(path: str, separator: str) -> tuple[str, str]:
    """With the separator: what stands behind it in one kind of path may be in the middle of a name in the other."""
    return separator, path[path.rfind(separator) + 1 :]


def _separator(pattern: str) -> str:
    return "/" if pattern.startswith("/") else "\\"
