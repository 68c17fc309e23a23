"""One answer to "who owns the socket of this packet", and how far it is believed.

Knows: the names of the carriers, and what a block's fields become in a claim. Must not know: which packet means which
block.

    fact = Fact("pib", process_claim(process, own=False))
    fact.rank, fact.confidence          # CARRIED, HIGH
"""

from __future__ import annotations

from agent.attribution.carried.blocks import Process
from agent.attribution.evidence import Claim, Rank
from agent.model.vocabulary import Confidence

PIB, APPLE, PKTAP, PTCPDUMP, HONE = "pib", "apple", "pktap", "ptcpdump", "hone"
ETL2PCAPNG, OPTION_8 = "etl2pcapng", "option8"
_UNSURE = {ETL2PCAPNG: Confidence.LOW, OPTION_8: Confidence.MEDIUM}
"""The first says of itself that its pid is often of another process; the second has no start time beside its pid."""
_SERVICES, _CONTAINER = "services=", "container="


class Fact:
    """Shared by all packets it holds for. Mutable until its section ends: a block may follow what it explains."""

    __slots__ = ("claim", "confidence", "effective", "number", "rank", "source")

    def __init__(self, source: str, claim: Claim, effective: Claim | None = None) -> None:
        self.effective = effective
        """Apple: the process on whose behalf the owner acts. It owns no socket, and no rule is met by it."""
        self.number = -1
        """Its place among the facts of a CarriedRecords, which sets it."""
        self.become(source, claim)

    def become(self, source: str, claim: Claim) -> None:
        """Says this from now on, for the packets before, too."""
        self.source = source
        self.claim = claim
        self.rank = Rank.CARRIED if claim.image is not None else Rank.PID
        self.confidence = _UNSURE.get(source, Confidence.HIGH if self.rank is Rank.CARRIED else Confidence.MEDIUM)

    def __repr__(self) -> str:
        return f"Fact({self.source!r}, {self.claim!r}, {self.rank!r}, {self.confidence!r})"


def process_claim(process: Process, *, own: bool) -> Claim:
    """`own`: the block is of this agent, whose comments mean something."""
    services = container = None
    for comment in process.comments if own else ():
        if comment.startswith(_SERVICES) and services is None:
            services = _services(comment[len(_SERVICES) :])
        elif comment.startswith(_CONTAINER) and container is None:
            container = comment[len(_CONTAINER) :] or None
    return Claim(
        pid=process.pid,
        created=process.started,
        image=process.path or bare_name(process.name),
        command_line=process.command_line,
        user=process.user,
        services=services,
        container=container,
    )


def bare_name(name: str | None) -> str | None:
    """A process's name as its image. It chooses its name itself: what looks like a path there is none."""
    if name is None:
        return None
    return name.replace("\\", "/").rpartition("/")[2].replace(":", "") or None


def _services(listed: str) -> tuple[str, ...]:
    names = listed.split(",") if listed else []
    return tuple(name.replace("%2C", ",").replace("%25", "%") for name in names if name)
