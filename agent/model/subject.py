"""What is known of the local end of a flow."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.vocabulary import Confidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The process behind a socket, as one source tells it. None means the source does not know."""

    image: str | None = None
    """As the source gave it (NT device paths mapped to drives): for people and records."""
    canonical_image: str | None = None
    """`model.image` form: the only form that is compared."""
    services: tuple[str, ...] | None = None
    """Services hosted by the process, or the one that owns the socket where the source knows it; () = known to be none.

    Canonical, as filters hold them: lower case on Windows, as spelt on POSIX."""
    package_family_name: str | None = None
    package_known: bool = False
    """True if the source can tell packages: None is then "not packaged", a fact."""
    pid: int | None = None
    process_created: int | None = None
    """Nanoseconds since 1970: with `pid` the one process it is; a pid alone may be given to another."""
    user: str | None = None
    container: str | None = None
    """The container whose process it is, as the source names it; None: in none, or unknown."""
    source: str = ""
    confidence: Confidence = Confidence.HIGH
    candidates: tuple[Subject, ...] = ()
    """Ambiguous: the subjects it may be, eight at most, in the order of their sources; the facts above are one's."""

    @property
    def ambiguous(self) -> bool:
        """Several processes may be meant; its confidence is LOW then."""
        return bool(self.candidates)


UNATTRIBUTED = Subject(confidence=Confidence.LOW)
"""No source knew the socket."""
