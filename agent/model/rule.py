"""Rules as an administrator wrote them, validated but not yet tied to a device."""

from __future__ import annotations

from dataclasses import dataclass

from agent.model.address import Address
from agent.model.vocabulary import Direction

MAX_REMOTES = 20
"""Remote IPs per rule (isolation-exclusions: "Up to 20 IP addresses can be defined per rule")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A block of addresses; host bits of the written form are already cut."""

    version: int
    first: int
    last: int
    text: str
    """As the administrator wrote it."""

    def __contains__(self, address: Address) -> bool:
        return address.version == self.version and self.first <= address.value <= self.last

    @property
    def everything(self) -> bool:
        """0.0.0.0/0 or ::/0."""
        return self.first == 0 and self.last == (1 << (32 if self.version == 4 else 128)) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExclusionRule:
    """One isolation exclusion rule. A condition that is None is undefined: any."""

    name: str
    description: str = ""
    process_path: str | None = None
    """As written; may hold %VARIABLES% on Windows."""
    service_name: str | None = None
    package_family_name: str | None = None
    direction: Direction | None = None
    remotes: tuple[Network, ...] | None = None

    @property
    def unbounded(self) -> bool:
        """True without a condition, with a direction only, or with every address of a version named."""
        if not (self.process_path or self.service_name or self.package_family_name or self.remotes):
            return True
        return any(network.everything for network in self.remotes or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDocument:
    """A whole rules document."""

    path: str
    """Where it came from, for messages."""
    isolation_exclusions: bool | None
    """The feature switch; None where the document does not say."""
    windows_rules: tuple[ExclusionRule, ...] = ()
    mac_rules: tuple[ExclusionRule, ...] = ()
    linux_rules: tuple[ExclusionRule, ...] = ()
