r"""One text, one value: networks, host names, services, packages and paths as documents may write them.

Knows which spellings are allowed and why the others are not. Must not know: documents, devices, what a rule does.
Every function raises ValueError with a sentence that says what is allowed.

    >>> parse_network("1.1.1.1/24").last == parse_address("1.1.1.255").value
    True
    >>> parse_network("1.1.1.1/255.255.255.0")
    Traceback (most recent call last):
    ValueError: '1.1.1.1/255.255.255.0': write the prefix length as a number: 1.1.1.1/24, not a mask
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from socket import inet_aton

from agent.model.address import Address, canonical_address, format_address, parse_address
from agent.model.image import posix_image, windows_image
from agent.model.rule import Network
from agent.policy.fields import shown

_BITS = {4: 32, 6: 128}
_LONGEST_IPV6 = len("0000:0000:0000:0000:0000:ffff:255.255.255.255")
_MAPPED_BITS = 96  # ::ffff:0:0/96, RFC 4291 section 2.5.5.2
_OCTET = r"(?:0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}", re.ASCII)
_PLAIN_IPV4 = re.compile(rf"({_OCTET}(?:\.{_OCTET}){{3}})(?:/([12]?\d|3[0-2]))?", re.ASCII)
_LENGTH = re.compile(r"0|[1-9]\d{0,2}", re.ASCII)
_IPV6 = re.compile(r"[0-9A-Fa-f:]+(?P<ipv4>(?<=:)[0-9]+\.[0-9.]+)?", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
# MS-SCMR 3.1.4.12: "The forward slash, back slash, comma, and space characters are illegal in service names."
_SERVICE = re.compile(r"[^/\\,\s]{1,256}")
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,255}", re.ASCII)
# Publisher ids use Windows' base-32 alphabet: digits and letters without i, l, o, u.
_PACKAGE = re.compile(r"[A-Za-z0-9.-]{1,50}_[0-9a-hjkmnp-tv-zA-HJKMNP-TV-Z]{13}", re.ASCII)
_VARIABLE = re.compile(r"%[^%\\/:]+%")
_WILDCARDS = frozenset("*?")


def strict_address(text: str) -> Address:
    """An address in full: no octal or short IPv4 spelling (inet_aton's), no scope id, IPv4-mapped folded to IPv4.

    Stricter than `parse_address`, whose inet_pton differs a little between platforms: a rule must mean the same on all.
    """
    if "%" in text:
        raise ValueError(f"{shown(text)}: a scope id (%...) is not allowed here; write the address alone")
    if _IPV4.fullmatch(text):
        return parse_address(text)
    match = _IPV6.fullmatch(text) if len(text) <= _LONGEST_IPV6 else None
    if match is None or ":" not in text or (match["ipv4"] and not _IPV4.fullmatch(match["ipv4"])):
        raise ValueError(f"{shown(text)} is not an IPv4 or IPv6 address such as 203.0.113.7 or 2001:db8::7")
    return parse_address(text)


@lru_cache(maxsize=4096)  # rules name the same blocks again and again
def parse_network(text: str) -> Network:
    """An address, or address/prefix-length. Host bits may be set; they are cut.

    Plain integers rather than netaddr: that accepts masks and host masks, which must be refused here anyway, and its
    import costs more than reading the whole document. The tests hold the two against each other.
    """
    if plain := _PLAIN_IPV4.fullmatch(text):  # most networks there are
        address, bits = plain.groups("32")
        return _network(4, int.from_bytes(inet_aton(address), "big"), int(bits), text)
    written, slash, length_text = text.partition("/")
    host = strict_address(written.strip() if slash else written)
    mapped = host.version == 4 and ":" in written
    width = 128 if mapped else _BITS[host.version]
    length = _prefix_length(text, length_text, width) if slash else width
    if mapped and length < _MAPPED_BITS:
        # The block is wider than all mapped addresses: an IPv6 block, which no IPv4 packet is ever compared with.
        return _network(6, 0xFFFF << 32 | host.value, length, text)
    if mapped:
        length -= _MAPPED_BITS
    return _network(host.version, host.value, length, text)


def _network(version: int, value: int, length: int, text: str) -> Network:
    hosts = (1 << (_BITS[version] - length)) - 1
    return Network(version=version, first=value & ~hosts, last=value | hosts, text=text)


def _prefix_length(text: str, written: str, width: int) -> int:
    length = written.strip()
    if "." in length or ":" in length:
        raise ValueError(f"{shown(text)}: write the prefix length as a number: 1.1.1.1/24, not a mask")
    if not _LENGTH.fullmatch(length) or int(length) > width:
        raise ValueError(f"{shown(text)}: the prefix length after '/' is a number from 0 to {width}")
    return int(length)


def prefix_text(network: Network) -> str:
    """`network` in its one canonical spelling, such as 1.1.1.0/24 or 2001:db8::7 (equal blocks, equal texts)."""
    hosts = (network.last - network.first).bit_length()
    address = format_address(network.version, network.first)
    return f"{address}/{_BITS[network.version] - hosts}" if hosts else address


def union(networks: Iterable[Network]) -> list[tuple[int, int, int]]:
    """The same addresses as few (version, first, last) ranges, in order, none touching the next."""
    ranges: list[tuple[int, int, int]] = []
    kind, beyond = 0, -1  # version of the last range, and the first address behind it
    for block in sorted({(network.version, network.first, network.last) for network in networks}):
        version, first, last = block
        if version == kind and first <= beyond:
            if last >= beyond:
                ranges[-1] = (version, ranges[-1][1], last)
                beyond = last + 1
        else:
            ranges.append(block)
            kind, beyond = version, last + 1
    return ranges


EVERYTHING: list[tuple[int, int, int]] = [(4, 0, (1 << 32) - 1), (6, 0, (1 << 128) - 1)]
"""The union of all addresses."""


def covers_a_version(networks: Iterable[Network]) -> bool:
    """True if the networks together are every IPv4 or every IPv6 address, whichever way they are cut up."""
    blocks = tuple(networks)
    return any(network.first == 0 for network in blocks) and any(
        first == 0 and last == (1 << _BITS[version]) - 1 for version, first, last in union(blocks)
    )


def host_name(text: str) -> str:
    """A DNS name in lower case without its final dot."""
    name = text.lower().removesuffix(".")
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"{shown(text)} is not a host name such as support.contoso.com (xn-- for other scripts)")
    return name


def device_address(text: str) -> Address:
    """An address a host can have; a scope id is dropped."""
    address = canonical_address(*strict_address(text.partition("%")[0]))
    if address.value == 0 or _multicast(address) or address == (4, 0xFFFFFFFF):
        raise ValueError(f"{shown(text)} is not the address of one host")
    return address


def _multicast(address: Address) -> bool:
    return address.value >> 28 == 0xE if address.version == 4 else address.value >> 120 == 0xFF


def windows_service(text: str) -> str:
    """One short service name, as `Get-Service` prints it under Name."""
    if not _SERVICE.fullmatch(text):
        raise ValueError(
            f"{shown(text)} is not one short service name such as termservice (1..256 characters, no space, comma, "
            "/ or \\; Get-Service prints it under Name, not DisplayName)"
        )
    return text


def systemd_unit(text: str) -> str:
    """One systemd unit."""
    if not _UNIT.fullmatch(text):
        raise ValueError(f"{shown(text)} is not one systemd unit such as ssh.service (1..255 letters, digits, :_.\\@-)")
    return text


def package_family_name(text: str) -> str:
    """`<Name>_<PublisherId>`."""
    if not _PACKAGE.fullmatch(text):
        raise ValueError(
            f"{shown(text)} is not a package family name <Name>_<PublisherId> such as MSTeams_8wekyb3d8bbwe (publisher "
            "id: 13 of 0-9 and a-z without i, l, o, u)"
        )
    return text


def windows_path(text: str) -> str:
    r"""An absolute path of one executable; `%VARIABLES%` are left for the device to expand.

    Checked with stand-ins for the variables: what they hold on a device is known only at the snapshot.
    """
    if text.endswith(("\\", "/")):
        raise ValueError(f"{shown(text)} names a folder; write the path of one executable")
    sample = text
    if "%" in text:
        sample = _VARIABLE.sub("x", re.sub(rf"\A(?:{_VARIABLE.pattern})", r"C:\\x", text))
    try:
        windows_image(sample)
    except ValueError as error:
        reason = str(error).replace(repr(sample), shown(text))
        raise ValueError(f"{reason} (write one absolute path, %VARIABLES% allowed, no quotes or wildcards)") from None
    return text


def posix_path(text: str) -> str:
    """An absolute path of one executable."""
    if text.endswith("/"):
        raise ValueError(f"{shown(text)} names a folder; write the path of one executable")
    if _WILDCARDS & set(text):
        raise ValueError(f"{shown(text)}: wildcards are not supported; write the path of one executable")
    try:
        posix_image(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is not an absolute path of one executable such as /usr/bin/curl") from None
    return text
