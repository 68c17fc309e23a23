"""Essential services that must be judged message by message: DNS questions, the DHCP client, neighbour discovery.

A flow-wise permit would let a whole conversation through on the strength of its first packet: a DNS flow could carry
any question, a forged router advertisement could follow a real one. Each answer below is the name of the service
that lets one packet through, or None: then the flow's own verdict stands.

Knows what the open questions and transactions are. Never: flows' verdicts, rules.
"""

from __future__ import annotations

from agent.engine.messages import Dhcp, parse_dhcp4, parse_dhcp6
from agent.engine.names import Answer, NameTable, Question, parse_dns, read_addresses
from agent.model.address import Address
from agent.model.protocols import ICMPV6, UDP
from agent.policy.effective import CloudChannel, EffectivePolicy

DNS, DHCP, DISCOVERY, LISTENER = "dns", "dhcp", "neighbour_discovery", "multicast_listener"
_ASKABLE = frozenset({1, 5, 28, 64, 65})  # A, CNAME, AAAA, SVCB, HTTPS: what a client needs to reach a name
_TRANSACTION_LIFETIME = 60_000_000_000
_MAX_TRANSACTIONS = 256
_MAX_NAMES = 4096
_MAX_SERVERS = _MAX_RESOLVERS = 64
_BROADCAST = Address(4, 0xFFFFFFFF)
_DHCP6_SERVERS = Address(6, 0xFF020000_00000000_00000000_00010002)
_LOW_HALF = (1 << 64) - 1
_CLIENT_PORTS = {4: (68, 67), 6: (546, 547)}


def needs_inspection(protocol: int, version: int, local_port: int, remote_port: int, icmp_type: int) -> bool:
    """True for flows whose packets are judged one by one."""
    if protocol == UDP:
        return remote_port == 53 or (local_port, remote_port) == _CLIENT_PORTS[version]
    return protocol == ICMPV6 and (130 <= icmp_type <= 137 or icmp_type == 143)


def _link_local(address: Address) -> bool:
    return address.value >> 118 == 0xFE80 >> 6


class Essentials:
    """The open questions and transactions of one device."""

    def __init__(self, names: NameTable, resolvers: set[Address]) -> None:
        """`resolvers`: configured ones; DHCP adds to the set."""
        self.names = names
        self.resolvers = resolvers
        self.open_questions = 0
        """Questions for names outside the cloud channel that an open DNS policy let through."""
        self.learned_resolvers: list[Address] = []
        """Those that DHCP handed out beyond the configured ones, in order."""
        self._resolver_words: set[tuple[int, int, int]] = set()
        self._transactions: dict[tuple[int, int], int] = {}
        self._servers: set[Address] = set()
        self._admitted: dict[str, bool] = {}
        self._cloud: CloudChannel | None = None

    def is_resolver(self, version: int, high: int, low: int) -> bool:
        """Whether an address of 128 bits (IPv4: `high` 0) is among the resolvers, which only ever get more."""
        if len(self._resolver_words) != len(self.resolvers):
            self._resolver_words = {(one.version, one.value >> 64, one.value & _LOW_HALF) for one in self.resolvers}
        return (version, high, low) in self._resolver_words

    def judge_dns(
        self, policy: EffectivePolicy, flow: int, resolver: bool, out: bool, message: bytes, allowed: bool, now: int
    ) -> str | None:
        """One packet of a flow to port 53. `allowed`: the flow's own verdict, by a rule or an open DNS policy.

        `resolver`: its remote is one (`is_resolver`).
        """
        parsed = parse_dns(message)
        if out:
            if not isinstance(parsed, Question):
                return None
            essential = resolver and policy.dns == "cloud_names" and self._cloud_question(policy, parsed)
            if allowed and policy.isolated and not self._cloud_name(policy, parsed.name):
                self.open_questions += 1
            self.names.asked(flow, parsed, essential, now)
            return DNS if essential and policy.isolated else None
        if not isinstance(parsed, Answer):
            return None
        asked = self.names.answers(flow, parsed, now)
        if asked is None:
            return None
        essential = asked and resolver and policy.dns == "cloud_names" and policy.isolated
        if resolver and (essential or allowed) and self.names.first_answer(flow, parsed.question):
            self.names.learn(parsed.question.name, read_addresses(message, parsed), now)
        return DNS if essential else None

    def answered(self, flow: int, message: bytes, now: int) -> bool:
        """True if `message` answers a question of `flow` that is still open."""
        parsed = parse_dns(message)
        return isinstance(parsed, Answer) and self.names.answers(flow, parsed, now) is not None

    def _cloud_question(self, policy: EffectivePolicy, question: Question) -> bool:
        return question.plain and question.kind in _ASKABLE and self._cloud_name(policy, question.name)

    def _cloud_name(self, policy: EffectivePolicy, name: str) -> bool:
        """True for a name of the cloud channel; remembered, since programs ask for few names many times."""
        if policy.cloud is not self._cloud or len(self._admitted) >= _MAX_NAMES:
            self._admitted.clear()
            self._cloud = policy.cloud
        admitted = self._admitted.get(name)
        if admitted is None:
            admitted = self._admitted[name] = policy.cloud.admits_name(name)
        return admitted

    def judge_dhcp(
        self, policy: EffectivePolicy, version: int, remote: Address, out: bool, message: bytes, allowed: bool, now: int
    ) -> str | None:
        """One packet between our DHCP client and a server."""
        parsed = parse_dhcp4(message) if version == 4 else parse_dhcp6(message)
        if parsed is None or parsed.from_server == out:
            return None
        switched_on = policy.isolated and bool(policy.settings["essential.dhcp"])
        if out:
            fitting = remote in (_BROADCAST, _DHCP6_SERVERS) or remote in self._servers
            if not (allowed or (switched_on and fitting)):
                return None
            self._remember(version, parsed, now)
            return DHCP if switched_on and fitting else None
        since = self._transactions.get((version, parsed.transaction))
        if since is None or now - since > _TRANSACTION_LIFETIME:
            return None
        if not (allowed or switched_on):
            return None
        if parsed.confirms:
            del self._transactions[version, parsed.transaction]  # whoever answers now was not asked
            if len(self._servers) < _MAX_SERVERS:
                self._servers.add(remote)
            for resolver in parsed.resolvers:
                if resolver not in self.resolvers and len(self.resolvers) < _MAX_RESOLVERS:
                    self.resolvers.add(resolver)
                    self.learned_resolvers.append(resolver)
        return DHCP if switched_on else None

    def _remember(self, version: int, message: Dhcp, now: int) -> None:
        if len(self._transactions) >= _MAX_TRANSACTIONS:
            self._transactions.pop(next(iter(self._transactions)))
        self._transactions[version, message.transaction] = now

    @staticmethod
    def judge_discovery(
        policy: EffectivePolicy, kind: int, hop_limit: int, source: Address, fragmented: bool
    ) -> str | None:
        """One ICMPv6 neighbour discovery or multicast listener message. Redirects (137) are never essential.

        They are never fragmented (RFC 6980), and routers speak from link-local addresses (RFC 4861 section 4.2).
        """
        if not policy.isolated or fragmented:
            return None
        if kind == 134 and not _link_local(source):
            return None
        if 133 <= kind <= 136 and hop_limit == 255 and policy.settings["essential.neighbour_discovery"]:
            return DISCOVERY
        listener = kind in (130, 131, 132, 143) and hop_limit == 1 and _link_local(source)
        if listener and policy.settings["essential.multicast_listener"]:
            return LISTENER
        return None
