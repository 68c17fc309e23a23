"""The ordered chain of sources that say who owned a socket: the first that knows wins.

Knows sources by what they answer only. Must not know formats, files, or what an owner is needed for.

    attribution = Attribution()
    attribution.add(open_source("sockets.jsonl"))
    owner = attribution.resolve(6, 4, 0x0A000005, 50123, 0xCB007109, 443, now_ns, 2)
    if owner is not None: attribution.subjects[owner.subject_id].image
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from agent.attribution.timeline import Timeline
from agent.attribution.values import Owner
from agent.model.address import Address
from agent.model.subject import UNATTRIBUTED, Subject

_LOW_HALF = (1 << 64) - 1

_Find = Callable[[int, int, int, int, int, int, int, int], Owner | None]


class Source(Protocol):
    """One place that knows owners: a file of records, the live system. It belongs to one chain."""

    @property
    def name(self) -> str:
        """What records and the summary call it: `sockets`, `sysmon`, `live`, ..."""

    @property
    def complete(self) -> bool:
        """True if a socket that it does not know did not exist."""

    @property
    def facts(self) -> frozenset[str]:
        """Which of `image`, `services`, `package` it can give for at least one socket."""

    @property
    def warnings(self) -> Sequence[tuple[str, str]]:
        """(code, text) for the summary, found while loading."""

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
    """Asks sources in the order they were added. Mutable: it interns subjects as it meets them.

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
        self._finds: list[tuple[Timeline | None, _Find, Source]] = []

    def add(self, source: Source) -> None:
        """Append a source: it is asked after those already there."""
        self._sources.append(source)
        self._finds.append((getattr(source, "timeline", None), source.find, source))

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
        """In chain order, each once."""
        return list(dict.fromkeys(source.name for source in self._sources))

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """(code, text) of every source."""
        return [warning for source in self._sources for warning in source.warnings]

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
        for timeline, find, source in self._finds:
            try:
                if timeline is not None:
                    index = timeline
                    owner = index.lookup(
                        protocol, version, local_high, local_low, local_port,
                        remote_high, remote_low, remote_port, now_ns, direction,
                    )  # fmt: skip
                else:
                    local, remote = self._wide(local_high, local_low), self._wide(remote_high, remote_low)
                    owner = find(protocol, version, local, local_port, remote, remote_port, now_ns, direction)
            except Exception as error:  # noqa: BLE001 - the last guard: a broken source knows nothing, and is counted
                self._failed(source, error)
                continue
            if owner is not None:
                if owner.chain is not self:
                    self._adopt(owner)
                return owner
        return None

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
        self.complete = source.complete
        self.facts = source.facts
        self.warnings = source.warnings
        self.local_addresses = source.local_addresses
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
