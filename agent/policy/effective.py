"""The effective policy: mode + cloud channel + essential services + snapshot, as immutable values.

`snapshot.py` builds it, `match.py` says what its filters mean, `table.py` makes them fast, the engine runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agent.model.address import Address
from agent.model.device import Family
from agent.model.rule import Network
from agent.model.vocabulary import Direction, Mode, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One compiled condition set. A condition that is None is undefined: any."""

    index: int
    """Position among the policy's filters: the bit it has in every mask."""
    name: str
    direction: Direction | None = None
    remotes: tuple[Network, ...] | None = None
    image: str | None = None
    """Canonical form; in reserved filters a component `*` stands for any one component."""
    reserved: bool = False
    """Ships with the product (cloud agents, embedded list). Never set for a rule: POSIX file names may hold `*`."""
    service: str | None = None
    """Lower case: service names compare without regard to case on Windows; POSIX units keep theirs."""
    package: str | None = None
    """Lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotRule:
    """One rule of the exclusion snapshot: active, with its filter, or ignored, with the reason."""

    name: str
    filter: Filter | None
    ignored_because: str | None = None
    unbounded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudChannel:
    """The Defender agent's own traffic, which no mode cuts."""

    exact_names: frozenset[str]
    """Lower-case host names without a trailing dot, to the TLS ports."""
    suffixes: tuple[str, ...]
    """`.endpoint.security.microsoft.com`: any name below, by whole labels, never the name itself."""
    networks: tuple[Network, ...]
    crl_names: frozenset[str]
    """Host names reachable on the CRL ports."""
    tls_ports: frozenset[int]
    crl_ports: frozenset[int]
    agents: tuple[Filter, ...]
    """Who may speak: reserved filters with an image or a service each."""

    def admits_name(self, name: str) -> bool:
        """True for a host name of the channel, on whichever of its ports."""
        return self.tls_name(name) or name in self.crl_names

    def tls_name(self, name: str) -> bool:
        return name in self.exact_names or any(
            name.endswith(suffix) and len(name) > len(suffix) for suffix in self.suffixes
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EssentialService:
    """One flow-wise essential service of policies/essential.yaml that is switched on."""

    name: str
    protocols: frozenset[int]
    """IP protocol numbers."""
    direction: Direction | None
    remote_ports: frozenset[int]
    """Empty: any, or the protocol has none."""
    icmp_types: frozenset[int]
    remotes: tuple[Network, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectivePolicy:
    """What the datapath runs. Everything but `generation` is under the digest."""

    generation: int
    mode: Mode
    family: Family
    embedded: bool
    """Filters come from the embedded list, not from rules."""
    snapshot: tuple[SnapshotRule, ...]
    filters: tuple[Filter, ...]
    """Active filters in rule order; empty in modes none and full."""
    cloud: CloudChannel
    essential: tuple[EssentialService, ...]
    dns: str
    """off, cloud_names, configured_resolvers or any: `auto` is resolved here."""
    settings: Mapping[str, bool | int | str]
    digest: str
    """`sha256:` + hex over canonical JSON of everything above but the generation."""
    warnings: tuple[tuple[str, str], ...] = ()
    """(code, text) that every view of this policy must show."""

    @property
    def isolated(self) -> bool:
        return self.mode is not Mode.NONE

    @property
    def allow_reason(self) -> Reason:
        return Reason.EMBEDDED_EXCLUSION if self.embedded else Reason.EXCLUSION

    @property
    def deny_reason(self) -> Reason:
        return Reason.FULL_ISOLATION if self.mode is Mode.FULL else Reason.NO_MATCHING_EXCLUSION


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowFacts:
    """Everything a verdict may depend on, for one flow. What the engine asks of `classify`, and `explain` shows."""

    direction: Direction
    direction_trusted: bool
    protocol: int
    remote: Address
    remote_port: int
    """0 where the protocol has none."""
    local_port: int
    icmp_type: int
    names: tuple[str, ...]
    """Host names known for the remote when the flow began."""
    local_group: bool = False
    """The local end is a multicast or broadcast group that this host listens on."""
    remote_is_resolver: bool = False
    """The remote is one of the device's DNS resolvers."""

    @property
    def service_port(self) -> int:
        """The responder's port: the one that says which service a flow is for."""
        return self.remote_port if self.direction is Direction.OUTBOUND else self.local_port
