"""What every way to find a socket's owner answers: the processes that hold it, and how well it fits.

Knows values only.

    Found((Process(pid=4242, created=..., ...),), exact=True)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.attribution.live.cgroups import Membership


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. None: could not be read."""

    pid: int
    created: int
    """Nanoseconds since 1970."""
    parent: int | None
    name: str | None
    image: str | None
    """As seen in its own mount namespace."""
    comparable: bool
    """True if `image` is that file on this host, too: false inside containers mostly."""
    command_line: tuple[str, ...] | None
    user: str | None
    uid: int | None
    membership: Membership


class Found(NamedTuple):
    """Who holds the socket; several: any of them may be meant."""

    processes: Sequence[Process]
    exact: bool
    """The whole tuple fits, not only the local end."""
    listening: bool = False
    initiated: bool | None = None
    """Where the socket's state proves it."""


def nanoseconds(created: float) -> int:
    """psutil's seconds; Linux counts hundredths, and a float of today has some 200 ns of noise."""
    return round(created * 1_000_000) * 1_000
