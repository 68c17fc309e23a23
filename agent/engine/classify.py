"""The verdict of one flow: semantics.md section 5 step 9, written once and slowly; the engine caches its answers.

    >>> classify(policy, tables, facts, subject, complete=True).reason        # doctest: +SKIP
    <Reason.NO_MATCHING_EXCLUSION: 13>

Knows the order of the permits. Never: how a filter is matched (policy.match), packets, counters.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from agent.model.protocols import TCP, UDP
from agent.model.subject import Subject
from agent.model.vocabulary import Confidence, Direction, Reason, Verdict
from agent.policy.effective import EffectivePolicy, EssentialService, FlowFacts
from agent.policy.explain import NearMiss
from agent.policy.match import effective_subject, image_keys
from agent.policy.table import PolicyTable

DNS_PORT = 53
DESTINATION_ONLY = "destination_only"
ANYWHERE: Final = 0
"""The number of an interval that every table has."""
_CONFIDENCE: Final[Mapping[object, Confidence]] = {one.name.lower(): one for one in Confidence}


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """A verdict with everything that explains it. Equal ones are one object, so sinks may cache what they render."""

    verdict: Verdict
    reason: Reason
    rules: tuple[str, ...] = ()
    filters: tuple[int, ...] = ()
    """Indexes of the filters behind `rules`."""
    near_misses: tuple[NearMiss, ...] = ()
    near_miss_count: int = 0
    service: str | None = None
    """The essential service that allowed it."""
    evidence: str | None = None
    """`destination_only` where the cloud channel was judged without knowing the process."""
    agent_denied: bool = False
    """The Defender agent itself, or an unknown process, was kept from the cloud channel."""


ALLOWED_NOT_ISOLATED = Classification(verdict=Verdict.ALLOW, reason=Reason.NOT_ISOLATED)
ALLOWED_LOOPBACK = Classification(verdict=Verdict.ALLOW, reason=Reason.LOOPBACK)


def essential(name: str) -> Classification:
    """What a packet or flow of an essential service gets."""
    return Classification(verdict=Verdict.ALLOW, reason=Reason.ESSENTIAL, service=name)


class Tables(NamedTuple):
    """The filters of one policy as masks."""

    filters: PolicyTable
    agents: PolicyTable
    """Those of the Defender agent, whose filters ask for images and services only."""


def tables_of(policy: EffectivePolicy) -> Tables:
    return Tables(PolicyTable(policy.filters), PolicyTable(policy.cloud.agents))


def classify(
    policy: EffectivePolicy,
    tables: Tables,
    facts: FlowFacts,
    subject: Subject,
    *,
    complete: bool,
    loopback: bool = False,
    explained: bool = True,
) -> Classification:
    """What becomes of a flow under `policy`. `complete`: a source that knows every process is loaded.

    `tables` must be those of `policy`; not `explained`: near misses are left out. First that applies: loopback, mode
    none, cloud channel, essential service, the filters, the default.
    """
    permit, agent_denied = before_filters(policy, tables, facts, subject, complete=complete, loopback=loopback)
    if permit is not None:
        return permit
    table = tables.filters
    direction = facts.direction if facts.direction_trusted else None
    interval = table.interval(facts.remote.version, facts.remote.value)
    known = believed(policy, subject)
    mask = table.matching(direction, interval, known)
    if mask or not explained:
        return by_filters(policy, table, mask, agent_denied)
    near, count = table.near_misses(direction, interval, known)
    return replace(by_filters(policy, table, mask, agent_denied), near_misses=near, near_miss_count=count)


def before_filters(
    policy: EffectivePolicy, tables: Tables, facts: FlowFacts, subject: Subject, *, complete: bool, loopback: bool
) -> tuple[Classification | None, bool]:
    """What permits a flow before any filter is asked (None: nothing), and whether it is a denied agent's.

    Of the subject it sees the `kind` of its key, of the remote its names and which networks of the channel and
    the essential services hold it, never which filters do: `verdicts.py` rests on it.
    """
    if loopback and policy.settings["loopback"]:
        return ALLOWED_LOOPBACK, False
    if not policy.isolated:
        return ALLOWED_NOT_ISOLATED, False
    channel = _cloud_channel(policy, tables.agents, facts, believed(policy, subject), complete)
    if channel is not None and channel.verdict is Verdict.ALLOW:
        return channel, False
    service = essential_service(policy, facts)
    return None if service is None else essential(service), channel is not None


def by_filters(policy: EffectivePolicy, table: PolicyTable, mask: int, agent_denied: bool) -> Classification:
    """What becomes of a flow that nothing permits but the filters in `mask`. Near misses are left out."""
    if mask:
        rules, indexes = table.names(mask), table.indexes(mask)
        return Classification(verdict=Verdict.ALLOW, reason=policy.allow_reason, rules=rules, filters=indexes)
    return Classification(verdict=Verdict.DENY, reason=policy.deny_reason, agent_denied=agent_denied)


def _cloud_channel(
    policy: EffectivePolicy, agents: PolicyTable, facts: FlowFacts, subject: Subject, complete: bool
) -> Classification | None:
    """Allowed: the channel. Denied: an agent or unknown process that may not use it. None: not its matter."""
    if facts.protocol != TCP or facts.direction is not Direction.OUTBOUND or not facts.direction_trusted:
        return None
    if facts.remote_port not in policy.cloud.tls_ports and facts.remote_port not in policy.cloud.crl_ports:
        return None
    destination = _cloud_destination(policy, facts)
    if process_known(subject):
        if not is_agent(agents, subject):
            return None
        if destination:
            return Classification(verdict=Verdict.ALLOW, reason=Reason.CLOUD_CHANNEL)
        return Classification(verdict=Verdict.DENY, reason=policy.deny_reason)
    if not destination or all_strangers(agents, subject):
        return None
    evidence = policy.settings["cloud_channel.process_evidence"]
    if evidence == "required" or (evidence == "auto" and complete):
        return Classification(verdict=Verdict.DENY, reason=policy.deny_reason)
    return Classification(verdict=Verdict.ALLOW, reason=Reason.CLOUD_CHANNEL, evidence=DESTINATION_ONLY)


def process_known(subject: Subject) -> bool:
    """True if attribution says which process or which services a flow belongs to, comparable with rules or not."""
    return subject.canonical_image is not None or subject.services is not None or subject.image is not None


def all_strangers(agents: PolicyTable, subject: Subject) -> bool:
    """True if it may be several processes, none of which is the Defender agent: doubt must not open its channel."""
    return bool(subject.candidates) and all(
        process_known(candidate) and not is_agent(agents, candidate) for candidate in subject.candidates
    )


def is_agent(agents: PolicyTable, subject: Subject) -> bool:
    """True for the Defender agent, whichever way and wherever it speaks."""
    return agents.matching(None, ANYWHERE, subject) != 0


def is_stranger(tables: Tables, image: str) -> bool:
    """True for an image that nothing in the policy names: whichever of them it is makes no difference."""
    keys = image_keys(image)
    return not (tables.filters.asks_for(keys) or tables.agents.asks_for(keys))


class SubjectKey(NamedTuple):
    """All that `classify` can see of a subject: subjects with equal keys get equal classifications."""

    by_image: int
    """The filters whose image lets it pass; likewise the next two."""
    by_services: int
    by_package: int
    kind: Hashable
    """What is unknown, and whether it is the Defender agent: `before_filters` sees no more."""

    @property
    def passing(self) -> int:
        """The filters that let the subject pass."""
        return self.by_image & self.by_services & self.by_package


def subject_key(policy: EffectivePolicy, tables: Tables, subject: Subject) -> SubjectKey:
    known = believed(policy, subject)
    _, _, by_image, by_services, by_package = tables.filters.masks(None, ANYWHERE, known)
    unknown = (known.canonical_image is None, known.services is None, known.package_known)
    told = process_known(known)
    agent = told and is_agent(tables.agents, known)
    strangers = not told and all_strangers(tables.agents, known)
    return SubjectKey(by_image, by_services, by_package, (unknown, told, agent, strangers))


def believed(policy: EffectivePolicy, subject: Subject) -> Subject:
    """The subject, or an unknown one where its source is not certain enough."""
    found = effective_subject(subject, _CONFIDENCE[policy.settings["attribution.minimum_confidence"]])
    return found if found is subject else replace(found, image=None)  # else what is shown would be known after all


def _cloud_destination(policy: EffectivePolicy, facts: FlowFacts) -> bool:
    cloud = policy.cloud
    if facts.remote_port in cloud.tls_ports and (
        any(facts.remote in network for network in cloud.networks) or any(cloud.tls_name(name) for name in facts.names)
    ):
        return True
    return facts.remote_port in cloud.crl_ports and any(name in cloud.crl_names for name in facts.names)


def essential_service(policy: EffectivePolicy, facts: FlowFacts) -> str | None:
    """The name of the flow-wise essential service this flow belongs to, if it is switched on."""
    if facts.service_port == DNS_PORT and facts.direction is Direction.OUTBOUND and facts.direction_trusted:
        if policy.dns == "any" and facts.protocol in (TCP, UDP):
            return "dns"
        if policy.dns == "configured_resolvers" and facts.protocol == UDP and facts.remote_is_resolver:
            return "dns"
    for service in policy.essential:
        if _serves(service, facts):
            return service.name
    return None


def _serves(service: EssentialService, facts: FlowFacts) -> bool:
    if facts.protocol not in service.protocols:
        return False
    if service.direction is not None and not (facts.direction_trusted and service.direction is facts.direction):
        return False
    if service.icmp_types and facts.icmp_type not in service.icmp_types:
        return False
    if service.remote_ports and facts.service_port not in service.remote_ports:
        return False
    if service.remotes is None:
        return True
    if facts.direction is Direction.INBOUND:
        return facts.local_group
    return any(facts.remote in network for network in service.remotes)
