"""What every part of attribution shares: a socket record, and the owner that a lookup finds.

Knows neither file formats nor how owners are looked up. Example:

    SocketRecord(start=0, end=None, protocol=6, local=parse_endpoint("10.0.0.5:443"), remote=None,
                 subject=Subject(image="/usr/sbin/nginx", source="sockets"), listening=True)
"""

from __future__ import annotations

from typing import NamedTuple

from agent.model.address import Endpoint
from agent.model.subject import Subject


class SocketRecord(NamedTuple):
    """One socket of one process during one interval. A named tuple: a log holds a million of them."""

    start: int
    """Nanoseconds since 1970."""
    end: int | None
    """The last nanosecond, not before `start`; None: until the next record of the same tuple."""
    protocol: int
    local: Endpoint
    remote: Endpoint | None
    """None for listening and unconnected sockets."""
    subject: Subject
    initiated: bool | None = None
    """True if this end opened the connection; None where the source does not know."""
    listening: bool = False


class Owner:
    """The owner of a flow's local end. Sources make them and keep them: equal answers are the same object.

    `subject_id` and `chain` are the chain's to set, when it first sees the owner.
    """

    __slots__ = ("chain", "initiated", "listening", "subject", "subject_id")

    def __init__(self, subject: Subject, *, initiated: bool | None = None, listening: bool = False) -> None:
        self.subject = subject
        self.subject_id = 0
        """Index into the chain's `subjects`; 0 until a chain has seen it."""
        self.initiated = initiated
        """True or False where the socket's record says who opened the connection; meaningful for TCP only."""
        self.listening = listening
        """True if the socket listens: a flow of it is inbound."""
        self.chain: object = None

    def __repr__(self) -> str:
        return f"Owner({self.subject!r}, initiated={self.initiated}, listening={self.listening})"
