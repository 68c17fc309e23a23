"""DNS as the device speaks it: questions to its resolver, answers with their chains of aliases, and the cache.

Who connects to a name asks first, as its own resolver would; answers agree with the addresses that follow.
Never: who connects, or why.
"""

from __future__ import annotations

from collections.abc import Sequence

from scapy.layers.dns import DNS, DNSQR, DNSRR

from agent.model.address import Address
from agent.model.errors import PolicyError
from agent.model.moment import SECOND
from agent.model.protocols import UDP
from agent.traffic.dice import Dice
from agent.traffic.network import Host, Peer, is_link_local
from agent.traffic.parameters import Remote
from agent.traffic.stage import MICROSECOND, MILLISECOND, Stage

_TYPES = {4: "A", 6: "AAAA"}
_PORT = 53
_HEADER_LENGTH = 12


def message(head: DNS, questions: Sequence[DNSQR], records: Sequence[DNSRR] = ()) -> bytes:
    """A DNS message: the header of `head`, then the sections. Lists of records are no field in older scapy."""
    head.qdcount, head.ancount = len(questions), len(records)
    return bytes(head)[:_HEADER_LENGTH] + b"".join(bytes(part) for part in (*questions, *records))


def question(name: str, kind: str, number: int) -> bytes:
    """A DNS query."""
    return message(DNS(id=number, rd=1), [DNSQR(qname=name, qtype=kind)])


def answer(name: str, kind: str, number: int, host: Host | None) -> bytes:
    """The response: the CNAME chain, then the addresses; NXDOMAIN for a name nobody has."""
    asked = [DNSQR(qname=name, qtype=kind)]
    if host is None:
        return message(DNS(id=number, qr=1, rd=1, ra=1, rcode=3), asked)
    owner, records = name, []
    for alias in host.aliases:
        records.append(DNSRR(rrname=owner, type="CNAME", ttl=host.ttl, rdata=alias))
        owner = alias
    addresses = host.of_version(4 if kind == "A" else 6)
    records += [DNSRR(rrname=owner, type=kind, ttl=host.ttl, rdata=str(address)) for address in addresses]
    return message(DNS(id=number, qr=1, rd=1, ra=1), asked, records)


def ask(
    stage: Stage,
    names: Sequence[str],
    when: int,
    dice: Dice,
    *,
    process: str = "dnscache",
    answered: bool = True,
    resolver: Address | None = None,
) -> int:
    """Asks for all names, one after another; returns when the last answer is there."""
    server = Peer(resolver or stage.resolvers[0], _PORT)
    local = stage.local_for(server.address)
    for name in names:
        host = stage.scenario.hosts.get(name)
        begin, arrived = when, when
        for version in _versions(stage):
            client = Peer(local, stage.ephemeral(UDP))
            number = dice.below(1 << 16)
            stage.udp(begin, client, server, question(name, _TYPES[version], number))
            arrived = begin + stage.round_trip(server.address) + dice.between(1, 18_000) * MICROSECOND
            if answered:
                stage.udp(arrived, server, client, answer(name, _TYPES[version], number, host))
            owner = stage.owner(process)
            stage.book.unconnected(UDP, client, server, owner, begin - MILLISECOND, arrived + MILLISECOND)
            when = max(when, arrived)
            begin += 80 * MICROSECOND
        if host is not None and answered:
            stage.cache[name] = arrived + host.ttl * SECOND
        when += 150 * MICROSECOND
    return when


def resolve(stage: Stage, remote: Remote, family: str, when: int, dice: Dice, *, lookup: bool) -> tuple[int, Address]:
    """(when it is known, address) of a remote; asks DNS unless the answer is cached. Raises PolicyError."""
    if remote.name is None:
        assert remote.address is not None
        return when, remote.address
    host = stage.scenario.hosts[remote.name]
    candidates = host.of_version(int(family)) or host.addresses
    if lookup and stage.cache.get(remote.name, 0) <= when:
        when = ask(stage, (remote.name,), when, dice)
    if not candidates:
        raise PolicyError(stage.scenario.path, "has no address", rule=stage.activity, field=f"hosts.{remote.name}")
    return when, dice.pick(candidates)


def _versions(stage: Stage) -> list[int]:
    """A device asks for AAAA only where it has a global IPv6 address."""
    has_ipv6 = any(own.version == 6 and not is_link_local(own) for own in stage.network.addresses)
    return [4, 6] if has_ipv6 else [4]
