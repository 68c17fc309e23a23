"""One log of one host or several, collected, then turned into a source of owners: joined, oriented, indexed.

Knows how evidence becomes records. Must not know any format, or what an owner is needed for.

    collector = Collector("sysmon", path, context=context)
    collector.started(ProcessStart(...)); collector.saw(Observation(...))
    source = collector.source()          # once every file of the run has been read
"""

from __future__ import annotations

from agent.attribution.evidence import Context, HostedServices, Observation, ProcessStart, Rank
from agent.model.vocabulary import Confidence


class Collector:
    """Takes what one source (one format in one file) says. Mutable; used up by `source`."""

    def __init__(
        self,
        name: str,
        path: str,
        *,
        context: Context,
        rank: Rank = Rank.LOG,
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        """`name`: what records call it: `sysmon`, `security`, ...; `confidence`: of an exact tuple inside its time."""
        self.name = name
        self.path = path
        self.context = context
        self.rank = rank
        self.confidence = confidence
        self.observations: list[Observation] = []
        self.starts: list[ProcessStart] = []
        self.services: list[HostedServices] = []
        self.warnings: list[tuple[str, str]] = []
        self.witness = False
        """True: it knows who opened a connection, never who owned it. With Side.UNSURE, `first` opened it."""
        self.timeless = False
        """True: its observations have no time of their own (time 0, end FOREVER), and no clock to compare."""

    def saw(self, observation: Observation) -> None:
        """A socket, in the log's own order."""
        self.observations.append(observation)

    def started(self, start: ProcessStart) -> None:
        """A process."""
        self.starts.append(start)

    def hosts(self, row: HostedServices) -> None:
        """Services of a process."""
        self.services.append(row)

    def warn(self, code: str, text: str) -> None:
        """For the summary."""
        self.warnings.append((code, text))
