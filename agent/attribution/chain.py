"""The ordered chain of sources that say who owned a socket: the most believed one that knows wins.

Knows sources by what they answer only. Must not know formats, files, or what an owner is needed for. Sources of one
rank are asked together: what they agree on is put together, and where they name different processes the answer is
ambiguous, with each as a candidate.

    attribution = Attribution()
    attribution.add(open_source("sockets.jsonl"))
    owner = attribution.resolve(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, 2)
    if owner is not None: attribution.subjects[owner.subject_id].image
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from agent.attribution.agreement import agree
from agent.attribution.evidence import Rank
from agent.attribution.recorded import Surroundings
from agent.attribution.timeline import Timeline
from agent.attribution.values import Owner
from agent.model.address import Address
from agent.model.subject import UNATTRIBUTED, Subject

_LOW_HALF = (1 << 64) - 1
TCP = 6

_Find = Callable[[int, int, int, int, int, int, int, int], Owner | None]


def _rank_of(step: tuple[int, Timeline | None, _Find, Source]) -> int:
    return step[0]


class Source(Protocol):
    """One place that knows owners: a file of records, the live system. It belongs to one chain.

    A source whose `witness` is true knows no owners, only who opened connections: it is asked where nobody else says.
    """

    @property
    def name(self) -> str:
        """What records and the summary call it: `sockets`, `sysmon`, `live`, ..."""

    @property
    def rank(self) -> Rank:
        """How much it is believed."""

    @property
    def complete(self) -> bool:
        """True if a socket that it does not know did not exist."""

    @property
    def facts(self) -> frozenset[str]:
        """Which of `image`, `services`, `package` it can give for at least one socket."""

    @property
    def warnings(self) -> Sequence[tuple[str, str]]:
        """(code, text) for the summary, found while loading."""

    @property
    def misses(self) -> Mapping[str, int]:
        """Why it could not tell an owner it was asked for, and how often; without those it simply never heard of."""

    def find(
        self,
        protocol: int,
        version: int,
        local: int,
        local_port: int,
        remote: int,
        remote_port: int,
        now_ns: int,
        direction: int,
        /,
    ) -> Owner | None:
        """The owner of a flow's local end; equal answers should be the same object. See Attribution.resolve."""

    def local_addresses(self) -> Sequence[Address]:
        """The host's own addresses as its records show them, in order of first appearance."""


class Attribution:
    """Asks sources by rank, equals in the order they were added. Mutable: it interns subjects as it meets them.

    A source whose answers all come from a Timeline shows it as `timeline`, and that is asked without a detour.
    """

    def __init__(self) -> None:
        self.subjects: list[Subject] = [UNATTRIBUTED]
        """Every subject resolved so far; an owner's `subject_id` is its index. Only ever appended to."""
        self.failures = 0
        """How often a source raised instead of answering: the fault `attribution_failed`."""
        self.first_failure: str | None = None
        """`sockets: ValueError: ...`"""
        self._ids: dict[Subject, int] = {UNATTRIBUTED: 0}
        self._sources: list[Source] = []
        self._steps: list[tuple[int, Timeline | None, _Find, Source]] = []
        self._witnesses: list[tuple[int, Timeline | None, _Find, Source]] = []
        self._together: dict[tuple[int, ...], tuple[Owner, tuple[Owner, ...]]] = {}
        """What owners of equal rank came to, by their ids; the owners are kept, so that no id is given away."""

    def add(self, source: Source) -> None:
        """Take a source: it is asked after those of its rank that are already there."""
        self._sources.append(source)
        step = (int(source.rank), getattr(source, "timeline", None), source.find, source)
        if getattr(source, "witness", False):
            self._witnesses.append(step)
        else:
            self._steps.append(step)
            self._steps.sort(key=_rank_of)

    def settle(self, surroundings: Surroundings) -> None:
        """Tell the sources whose sockets are wanted and what the capture shows: before the first question."""
        sources, self._sources, self._steps, self._witnesses = self._sources, [], [], []
        for source in sources:
            settle = getattr(source, "settle", None)
            if settle is not None:
                settle(surroundings)
            self.add(source)

    @property
    def recorded(self) -> bool:
        """True if a source wants to be settled."""
        return any(hasattr(source, "settle") for source in self._sources)

    @property
    def sources(self) -> tuple[Source, ...]:
        """In the order they were added."""
        return tuple(self._sources)

    @property
    def complete(self) -> bool:
        """True if a source is loaded that would have known every socket."""
        return any(source.complete for source in self._sources)

    @property
    def facts(self) -> frozenset[str]:
        """Which of `image`, `services`, `package` some source can give."""
        return frozenset().union(*(source.facts for source in self._sources))

    @property
    def source_names(self) -> list[str]:
        """In the order they are asked, each once; witnesses last."""
        return list(dict.fromkeys(source.name for _, _, _, source in [*self._steps, *self._witnesses]))

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """(code, text) of every source."""
        return [warning for source in self._sources for warning in source.warnings]

    @property
    def misses(self) -> dict[str, int]:
        """Why owners could not be told, and how often, over all sources."""
        found: dict[str, int] = {}
        for source in self._sources:
            for reason, count in source.misses.items():
                found[reason] = found.get(reason, 0) + count
        return dict(sorted(found.items()))

    def local_addresses(self) -> list[Address]:
        """The host's own addresses as the sources show them, in order of first appearance."""
        return list(dict.fromkeys(address for source in self._sources for address in source.local_addresses()))

    def resolve(
        self,
        protocol: int,
        version: int,
        local: int,
        local_port: int,
        remote: int,
        remote_port: int,
        now_ns: int,
        direction: int,
    ) -> Owner | None:
        """The owner of the local end of a flow whose first packet came at `now_ns`; None if no source knows it.

        `version` 4 or 6 with addresses of that many bits; ports 0 where the protocol has none; `direction` 0 unknown,
        1 inbound, 2 outbound. The answer is kept and shared: read it, do not change it.
        """
        return self.owner_of(
            protocol, version, local >> 64, local & _LOW_HALF, local_port,
            remote >> 64, remote & _LOW_HALF, remote_port, now_ns, direction,
        )  # fmt: skip

    def owner_of(
        self,
        protocol: int,
        version: int,
        local_high: int,
        local_low: int,
        local_port: int,
        remote_high: int,
        remote_low: int,
        remote_port: int,
        now_ns: int,
        direction: int,
    ) -> Owner | None:
        """resolve() with each address as two words of 64 bits (IPv4: the high one 0), as flows have them."""
        owner = best = None
        others: list[Owner] | None = None
        rank = 0
        for step in self._steps:
            if owner is not None and step[0] != rank:
                break
            found = self._ask(
                step, protocol, version, local_high, local_low, local_port,
                remote_high, remote_low, remote_port, now_ns, direction,
            )  # fmt: skip
            if found is None:
                continue
            if owner is None:
                owner = found
                rank = step[0]
            elif others is None:
                others = [owner, found]
            else:
                others.append(found)
        if others is not None:
            owner = self._agreed(others)
        if self._witnesses and protocol == TCP and (owner is None or owner.initiated is None):
            for step in self._witnesses:
                best = self._ask(
                    step, protocol, version, local_high, local_low, local_port,
                    remote_high, remote_low, remote_port, now_ns, direction,
                )  # fmt: skip
                if best is not None:
                    owner = self._agreed([best if owner is None else owner, best])
                    break
        if owner is not None and owner.chain is not self:
            self._adopt(owner)
        return owner

    def _ask(
        self,
        step: tuple[int, Timeline | None, _Find, Source],
        protocol: int,
        version: int,
        local_high: int,
        local_low: int,
        local_port: int,
        remote_high: int,
        remote_low: int,
        remote_port: int,
        now_ns: int,
        direction: int,
    ) -> Owner | None:
        """What one source says; None if it breaks, which is counted: the last guard."""
        try:
            timeline = step[1]
            if timeline is not None:
                index = timeline
                return index.lookup(
                    protocol, version, local_high, local_low, local_port,
                    remote_high, remote_low, remote_port, now_ns, direction,
                )  # fmt: skip
            local, remote = self._wide(local_high, local_low), self._wide(remote_high, remote_low)
            return step[2](protocol, version, local, local_port, remote, remote_port, now_ns, direction)
        except Exception as error:  # noqa: BLE001 - a broken source knows nothing
            self._failed(step[3], error)
            return None

    def _agreed(self, owners: list[Owner]) -> Owner:
        """The one owner for what several say; the same object for the same ones."""
        key = tuple([id(owner) for owner in owners])
        known = self._together.get(key)
        if known is None:
            known = self._together[key] = (agree(owners), tuple(owners))
        return known[0]

    def _wide(self, high: int, low: int) -> int:
        wide = high  # a Python integer (chain.pxd): 128 bits fit no C type
        return wide << 64 | low

    def _adopt(self, owner: Owner) -> None:
        """Give an owner seen for the first time the number of its subject."""
        if owner.chain is not None:
            raise RuntimeError(f"a source belongs to one chain, and {owner!r} was given to another")
        number = self._ids.get(owner.subject)
        if number is None:
            number = self._ids[owner.subject] = len(self.subjects)
            self.subjects.append(owner.subject)
        else:
            owner.subject = self.subjects[number]
        owner.subject_id = number
        owner.chain = self

    def _failed(self, source: Source, error: Exception) -> None:
        self.failures += 1
        if self.first_failure is None:
            self.first_failure = f"{source.name}: {type(error).__name__}: {error}"


class Failing:
    """A source that breaks after `answers` questions: what `--simulate attribution_failed=N` wraps around each."""

    def __init__(self, source: Source, *, answers: int) -> None:
        self.name = source.name
        self.rank = source.rank
        self.complete = source.complete
        self.witness = getattr(source, "witness", False)
        self.misses = source.misses
        self.facts = source.facts
        self.warnings = source.warnings
        self.local_addresses = source.local_addresses
        if hasattr(source, "settle"):
            self.settle = source.settle
        self._source = source
        self._left = answers

    def find(
        self,
        protocol: int,
        version: int,
        local: int,
        local_port: int,
        remote: int,
        remote_port: int,
        now_ns: int,
        direction: int,
        /,
    ) -> Owner | None:
        if self._left <= 0:
            raise RuntimeError("simulated: attribution_failed")
        self._left -= 1
        return self._source.find(protocol, version, local, local_port, remote, remote_port, now_ns, direction)
