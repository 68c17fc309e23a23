"""The network around the device: hosts with their names, prefixes on the link, hardware addresses. Never: packets.

>>> Network(addresses=(Address(4, 0x0A000005),)).on_link(Address(4, 0x0A00004D))
True
"""

# ruff: noqa: RUF009 - parameter() returns dataclasses.field(): it is no shared default
from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, replace
from typing import NamedTuple

from agent.model.address import Address, Endpoint
from agent.policy.fields import Place, Tree, mapping
from agent.traffic import parameters as read
from agent.traffic.parameters import NO_SCOPE, Scope
from agent.traffic.schema import parameter, read_fields

LINK_LOCAL = 0xFE80 << 112
_LINK_LOCAL_MASK = 0xFFC0 << 112
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)
ROUTER = Address(6, LINK_LOCAL | 1)
"""The router's link-local address on every link."""
Prefix = tuple[int, int, int]
"""Version, first and last value."""


class Peer(NamedTuple):
    """An address and a port of it: an endpoint that is no wildcard."""

    address: Address
    port: int

    def __str__(self) -> str:
        return str(Endpoint(self.address, self.port))


def _mac(node: Tree, scope: Scope) -> str:
    spelled = read.text(node).lower().replace("-", ":")
    if not _MAC.fullmatch(spelled) or int(spelled[:2], 16) & 1:
        raise ValueError(f"{spelled!r} is not the hardware address of one host, such as 02:00:0a:14:00:0f")
    return spelled


def _prefixes(node: Tree, scope: Scope) -> tuple[Prefix, ...]:
    return tuple(read.prefix(item) for item in read.texts(node, scope))


def is_multicast(address: Address) -> bool:
    return address.value >> 28 == 0xE if address.version == 4 else address.value >> 120 == 0xFF


def is_link_local(address: Address) -> bool:
    return address.version == 6 and address.value & _LINK_LOCAL_MASK == LINK_LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A name that the resolver knows."""

    addresses: tuple[Address, ...] = parameter(read.targets, "what the name stands for, both versions")
    aliases: tuple[str, ...] = parameter(read.host_names, "the chain of CNAMEs from the name to the last", ())
    ttl: int = parameter(read.whole(0, 86_400), "seconds that an answer may be kept", 300)

    def of_version(self, version: int) -> tuple[Address, ...]:
        return tuple(address for address in self.addresses if address.version == version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What the device is plugged into. Prefixes and gateway follow from the device's addresses unless given."""

    addresses: tuple[Address, ...] = ()
    mac: str = parameter(_mac, "the device's hardware address", "")
    gateway: Address | None = parameter(read.address, "IPv4 router; otherwise the first of the first prefix", None)
    prefixes: tuple[Prefix, ...] = parameter(_prefixes, "reached without the gateway; otherwise /24 and /64", ())
    interface_addresses: bool = parameter(read.switch, "does the capture name the device's addresses", True)
    direction_flags: bool = parameter(read.switch, "does the capture say of each frame whether it came or went", True)

    def local_for(self, remote: Address) -> Address | None:
        """The device's address towards `remote`, None where it has none of that version."""
        own = [address for address in self.addresses if address.version == remote.version]
        wants_link_local = is_link_local(remote) or remote.value >> 112 == 0xFF02
        own.sort(key=lambda address: is_link_local(address) != wants_link_local)
        return own[0] if own else None

    def on_link(self, address: Address) -> bool:
        return is_link_local(address) or any(
            version == address.version and first <= address.value <= last for version, first, last in self._blocks()
        )

    def router(self) -> Address:
        """The gateway's IPv4 address."""
        if self.gateway is not None:
            return self.gateway
        first = next((low for version, low, high in self._blocks() if version == 4), 0x0A000000)
        return Address(4, first + 1)

    def mac_of(self, address: Address) -> str:
        """The hardware address that frames to or from `address` carry on this link."""
        if address in self.addresses or address.value == 0:
            return self.mac or _made_mac(self.addresses[0])
        if is_multicast(address):
            low = address.value & (0x7FFFFF if address.version == 4 else 0xFFFFFFFF)
            return _colons((0x01005E000000 if address.version == 4 else 0x333300000000) | low)
        if address.version == 4 and (address.value == 0xFFFFFFFF or self._is_broadcast(address)):
            return "ff:ff:ff:ff:ff:ff"
        return _made_mac(address if self.on_link(address) and address != ROUTER else self.router())

    def _is_broadcast(self, address: Address) -> bool:
        return any(version == 4 and address.value == last and last > first for version, first, last in self._blocks())

    def _blocks(self) -> tuple[Prefix, ...]:
        if self.prefixes:
            return self.prefixes
        blocks = []
        for own in self.addresses:
            span = 1 << (8 if own.version == 4 else 64)
            first = own.value & ~(span - 1)
            blocks.append((own.version, first, first + span - 1))
        return tuple(blocks)


def read_hosts(node: Tree, place: Place) -> dict[str, Host]:
    """`hosts`: name to address, list of addresses, or mapping. Raises PolicyError."""
    hosts: dict[str, Host] = {}
    for spelled, value in mapping(node, place).items():
        entry: Tree = value if isinstance(value, dict) else {"addresses": value}
        try:
            name = read.host_name(spelled, NO_SCOPE)
        except ValueError as error:
            raise place.error(str(error)) from None
        hosts[name] = read_fields(Host, entry, place.at(spelled), NO_SCOPE)
    return hosts


def read_network(node: Tree, addresses: tuple[Address, ...], place: Place) -> Network:
    """`network`, around a device with these addresses. Raises PolicyError."""
    return replace(read_fields(Network, node, place, NO_SCOPE), addresses=addresses)


def _made_mac(address: Address) -> str:
    """A locally administered address that follows from the IP address."""
    low = address.value if address.version == 4 else zlib.crc32(address.packed)
    return _colons((0x0200 if address.version == 4 else 0x0206) << 32 | low)


def _colons(value: int) -> str:
    return ":".join(f"{octet:02x}" for octet in value.to_bytes(6, "big"))
