"""Classifications of flows, cached by all that the policy in force can tell apart: most flows cost a few look-ups.

Knows which facts `classify` can distinguish, each as a small number: what a subject is to the policy (program), which
filters hold a remote (place), which networks of the channel and the essential services do (edge). `classify` alone
knows what the facts mean. Must not know flows, packets, or what is counted.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable

from agent.datapath.layout import AGENT_DENIED
from agent.engine.classify import (
    DNS_PORT,
    Classification,
    before_filters,
    by_filters,
    classify,
    is_stranger,
    subject_key,
    tables_of,
)
from agent.engine.pairs import Pairs
from agent.model.address import Address
from agent.model.protocols import TCP, UDP, WITH_PORTS
from agent.model.subject import UNATTRIBUTED, Subject
from agent.model.vocabulary import Direction
from agent.policy.effective import EffectivePolicy, Filter, FlowFacts
from agent.policy.table import PolicyTable

MAX_CACHED = 1_000_000
FILTERS_DECIDE, AGENT_KEPT, UNDECIDED = -1, -2, -3
"""Instead of a permit's number: there is none; likewise, and an agent is kept from its cloud; it is not known yet."""

_STRANGER = object()
"""Instead of any image that the policy does not name."""
_DIRECTIONS = (Direction.INBOUND, Direction.OUTBOUND)


class Verdicts:
    """The classifications of one run, and the cache for the policy in force."""

    def __init__(
        self,
        subjects: list[Subject],
        name_sets: list[tuple[str, ...]],
        resolvers: set[Address],
        complete: bool,
        explained: bool,
        seed: int,
    ) -> None:
        """`subjects` and `name_sets` may grow, `resolvers` may change; `complete`, `explained`: as for `classify`."""
        self.subjects = subjects
        self.name_sets = name_sets
        self.resolvers = resolvers
        self.complete = complete
        self.explained = explained
        self.policy: EffectivePolicy | None = None
        self.filtering = False
        self.classes: list[Classification] = []
        """Every classification given so far; its place here is its number."""
        self.outcomes = array("Q", bytes(8 * 64))
        """Of each classification: verdict | reason << 2, and AGENT_DENIED."""
        self.numbers: dict[Classification, int] = {}
        self.cache = Pairs(seed, MAX_CACHED)
        self.cached = array("I", bytes(4 * 256))
        self.programs = array("i")
        self.program_facts: dict[Hashable, int] = {}
        self.program_numbers: dict[Hashable, int] = {}
        self.places = array("i")
        self.place_numbers: dict[int, int] = {}
        # Where nothing is explained: what is permitted before the filters, and what of a flow the filters let pass.
        self.permits: dict[tuple[int, int], int] = {}
        self.program_kinds: list[int] = []
        self.kind_numbers: dict[Hashable, int] = {}
        self.program_masks: list[int] = []
        self.place_masks: list[int] = []
        self.direction_masks: list[int] = []
        self.mask_numbers: dict[tuple[int, bool], int] = {}
        self.cloud_names = array("i")
        self.edge_places = array("i")
        self.edge_numbers: dict[int, int] = {}
        self.services: dict[int, int] = {}
        self.tcp_services = array("H", bytes(2 * 65536))
        self.udp_services = array("H", bytes(2 * 65536))
        self.dns_service = 0

    # Policy -------------------------------------------------------------------------------------------------

    def install(self, policy: EffectivePolicy) -> None:
        """`policy` is in force: what was known of another is forgotten, the classifications stay."""
        self.policy = policy
        self.tables = tables_of(policy)
        self.table = self.tables.filters
        networks = [network for service in policy.essential for network in service.remotes or ()]
        networks += policy.cloud.networks
        self.edges = PolicyTable(
            tuple(Filter(index=n, name="edge", remotes=(network,)) for n, network in enumerate(networks))
        )
        self.intervals = self.table.intervals
        self.edge_intervals = self.edges.intervals
        self.cache.clear()
        self.program_facts, self.program_numbers = {}, {}
        self.programs, self.places, self.cloud_names, self.edge_places = _unknown(), _unknown(), _unknown(), _unknown()
        self.place_numbers, self.edge_numbers = {}, {}
        self.program_masks, self.program_kinds, self.kind_numbers = [], [], {}
        self.place_masks, self.mask_numbers, self.permits = [], {}, {}
        self.direction_masks = [
            self.table.of_direction(_DIRECTIONS[bits & 1] if bits & 2 else None) for bits in range(4)
        ]
        self.filtering = len(policy.filters) > 0
        self._list_services(policy)

    def _list_services(self, policy: EffectivePolicy) -> None:
        """Which ports and ICMP types may be the cloud channel's or an essential service's; the others may not."""
        self.services = {}
        self.tcp_services = array("H", bytes(2 * 65536))
        self.udp_services = array("H", bytes(2 * 65536))
        for port in policy.cloud.tls_ports | policy.cloud.crl_ports:
            self._interesting(TCP, port)
        for protocol in (TCP, UDP):
            self._interesting(protocol, DNS_PORT)
        self.dns_service = self.udp_services[DNS_PORT]
        for service in policy.essential:
            for protocol in service.protocols:
                for number in service.remote_ports | service.icmp_types:
                    self._interesting(protocol, number)
        for service in policy.essential:
            if not service.remote_ports and not service.icmp_types:
                for protocol in service.protocols:
                    self._all_interesting(protocol)

    def _interesting(self, protocol: int, number: int) -> None:
        """Flows to this port (or of this ICMP type) get a number of their own."""
        chosen = self.services.setdefault(protocol << 16 | number, len(self.services) + 1)
        if protocol == TCP:
            self.tcp_services[number] = chosen
        elif protocol == UDP:
            self.udp_services[number] = chosen

    def _all_interesting(self, protocol: int) -> None:
        """Likewise flows of a whole protocol; ports and types that are interesting by themselves keep their numbers."""
        shared = len(self.services) + 1
        for number in range(65536 if protocol in WITH_PORTS else 256):
            self.services.setdefault(protocol << 16 | number, shared)
        for known, services in ((TCP, self.tcp_services), (UDP, self.udp_services)):
            if protocol == known:
                for number in range(65536):
                    services[number] = self.services[protocol << 16 | number]

    # Flows --------------------------------------------------------------------------------------------------

    def of_flow(
        self,
        outbound: bool,
        trusted: bool,
        protocol: int,
        version: int,
        remote_high: int,
        remote_low: int,
        local_port: int,
        remote_port: int,
        icmp_type: int,
        subject: int,
        names: int,
        loopback: bool,
        group: bool,
    ) -> int:
        """Number of a flow's classification.

        `trusted`: its direction is no guess; `icmp_type` -1 for a flow that is none of ICMP; `subject` and `names`
        index the lists given; `group`: its local end is a multicast or broadcast address.
        """
        port = icmp_type if icmp_type >= 0 else (remote_port if outbound else local_port)
        service = 0
        if protocol == 6:
            service = self.tcp_services[port]
        elif protocol == 17:
            service = self.udp_services[port]
        elif len(self.services) > 0:
            service = self.services.get(protocol << 16 | port, 0)
        program = -1
        if subject < len(self.programs):
            program = self.programs[subject]
        if program < 0:
            program = self._program(subject)
        place = 0
        if self.filtering:
            interval = self.intervals.find(version, remote_high, remote_low)
            place = -1
            if interval < len(self.places):
                place = self.places[interval]
            if place < 0:
                place = self._place(interval)
        bits = (2 if trusted else 0) | (1 if outbound else 0)
        edge = 0
        # A flow to a port that neither the channel nor an essential service uses depends on nothing more.
        if service != 0 or loopback:
            named = -1
            if names < len(self.cloud_names):
                named = self.cloud_names[names]
            if named < 0:
                named = self._cloud_name(names)
            interval = self.edge_intervals.find(version, remote_high, remote_low)
            edge = -1
            if interval < len(self.edge_places):
                edge = self.edge_places[interval]
            if edge < 0:
                edge = self._edge(interval)
            bits = bits | 4 | (named << 3)
            if loopback:
                bits |= 32
            if group:
                bits |= 64
            if service == self.dns_service and self._address(version, remote_high, remote_low) in self.resolvers:
                bits |= 128
        first = (program << 32) | place
        second = (service << 40) | (edge << 8) | bits
        found = self.cache.find(first, second)
        if found >= 0:
            return self.cached[found]
        number = -1
        permit = program_kind = 0
        if not self.explained:
            program_kind = self.program_kinds[program]
            permit = self.permits.get((program_kind, second), UNDECIDED)
            if permit >= 0:
                number = permit
            elif permit != UNDECIDED:
                number = self._by_filters(program, place, bits & 3, permit == AGENT_KEPT)
        if number < 0:
            remote = self._address(version, remote_high, remote_low)
            facts = FlowFacts(
                direction=_DIRECTIONS[outbound],
                direction_trusted=trusted,
                protocol=protocol,
                remote=remote,
                remote_port=remote_port,
                local_port=local_port,
                icmp_type=icmp_type,
                names=self.name_sets[names],
                local_group=group,
                remote_is_resolver=remote in self.resolvers,
            )
            number = self._classified(facts, self.subjects[subject], loopback)
            if not self.explained:
                self._note_permit(program_kind, second, facts, self.subjects[subject], loopback)
        found = self.cache.number(first, second)
        if found < 0:
            self.cache.clear()
            found = self.cache.number(first, second)
        if found >= len(self.cached):
            self.cached = _doubled(self.cached, "I")
        self.cached[found] = number
        return number

    def _classified(self, facts: FlowFacts, subject: Subject, loopback: bool) -> int:
        assert self.policy is not None
        return self.number(
            classify(
                self.policy, self.tables, facts, subject,
                complete=self.complete, loopback=loopback, explained=self.explained,
            )
        )  # fmt: skip

    def _note_permit(self, kind: int, second: int, facts: FlowFacts, subject: Subject, loopback: bool) -> int:
        """Keeps what `before_filters` says of all flows like this one: most of 2,000 rules' flows differ behind it."""
        assert self.policy is not None
        found, agent_denied = before_filters(
            self.policy, self.tables, facts, subject, complete=self.complete, loopback=loopback
        )
        if found is not None:
            self.permits[kind, second] = self.number(found)
        else:
            self.permits[kind, second] = AGENT_KEPT if agent_denied else FILTERS_DECIDE
        return 0

    def _by_filters(self, program: int, place: int, directions: int, agent_denied: bool) -> int:
        """Number of the classification of flows that the filters alone decide."""
        mask = self.program_masks[program] & self.direction_masks[directions]
        if self.filtering:
            mask &= self.place_masks[place]
        number = self.mask_numbers.get((mask, agent_denied), -1)
        if number < 0:
            assert self.policy is not None
            number = self.number(by_filters(self.policy, self.table, mask, agent_denied))
            self.mask_numbers[mask, agent_denied] = number
        return number

    def number(self, found: Classification) -> int:
        """Number of a classification, a new one if it has none yet."""
        known = self.numbers.get(found)
        if known is not None:
            return known
        number = self.numbers[found] = len(self.classes)
        self.classes.append(found)
        if len(self.classes) > len(self.outcomes):
            self.outcomes = _doubled(self.outcomes, "Q")
        flag = AGENT_DENIED if found.agent_denied else 0
        self.outcomes[number] = int(found.verdict) | (int(found.reason) << 2) | flag
        return number

    def _address(self, version: int, high: int, low: int) -> Address:
        wide = high  # a Python integer (verdicts.pxd): 128 bits fit no C type
        return Address(version, wide << 64 | low)

    def _program(self, subject: int) -> int:
        """Number of what the policy can tell of a subject: thousands of processes are a few programs to it."""
        one = self.subjects[subject]
        image: Hashable = one.canonical_image
        if one.canonical_image is not None and is_stranger(self.tables, one.canonical_image):
            image = _STRANGER
        told = one.image is not None
        facts = (
            image, told, one.services, one.package_family_name, one.package_known, one.confidence, one.candidates
        )  # fmt: skip
        program = self.program_facts.get(facts, -1)
        if program < 0:
            assert self.policy is not None
            key = subject_key(self.policy, self.tables, one)
            program = self.program_facts[facts] = self.program_numbers.setdefault(key, len(self.program_numbers))
            if program == len(self.program_masks):
                self.program_masks.append(key.passing)
                self.program_kinds.append(self.kind_numbers.setdefault(key.kind, len(self.kind_numbers)))
        self.programs = _with(self.programs, subject, program)
        return program

    def _place(self, interval: int) -> int:
        """Number of the set of filters whose remotes hold an interval: thousands of intervals are a few places."""
        mask = self.table.masks(None, interval, UNATTRIBUTED)[1]
        place = self.place_numbers.setdefault(mask, len(self.place_numbers))
        if place == len(self.place_masks):
            self.place_masks.append(mask)
        self.places = _with(self.places, interval, place)
        return place

    def _edge(self, interval: int) -> int:
        """Number of the set of networks of the channel and the essential services that hold an interval."""
        mask = self.edges.masks(None, interval, UNATTRIBUTED)[1]
        edge = self.edge_numbers.setdefault(mask, len(self.edge_numbers))
        self.edge_places = _with(self.edge_places, interval, edge)
        return edge

    def _cloud_name(self, names: int) -> int:
        """1: a name set of the channel on its TLS ports, 2: on its CRL ports, 3: both, 0: neither."""
        assert self.policy is not None
        cloud = self.policy.cloud
        found = self.name_sets[names]
        named = 0
        for name in found:
            named |= (1 if cloud.tls_name(name) else 0) | (2 if name in cloud.crl_names else 0)
        self.cloud_names = _with(self.cloud_names, names, named)
        return named


def _unknown() -> array[int]:
    """Room for the first numbers of a kind; -1 is not known yet."""
    return array("i", [-1]) * 64


def _with(numbers: array[int], place: int, number: int) -> array[int]:
    """`numbers` with `number` at `place`, grown where needed."""
    if place >= len(numbers):
        grown = array("i", [-1]) * (2 * place)
        memoryview(grown)[: len(numbers)] = memoryview(numbers)
        numbers = grown
    numbers[place] = number
    return numbers


def _doubled(numbers: array[int], code: str) -> array[int]:
    grown = array(code, bytes(2 * len(numbers) * array(code).itemsize))
    memoryview(grown)[: len(numbers)] = memoryview(numbers)
    return grown
