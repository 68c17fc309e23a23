"""Community id version 1, seed 0: the flow hash by which other tools' records can be joined with ours.

Knows the public specification (corelight/community-id-spec) and how Zeek folds ICMP into ports. Must not know
events or policy.

    >>> community_id(6, bytes([10, 0, 0, 5]), bytes([203, 0, 113, 9]), 50123, 443)
    '1:u4r+PTmXNv87wAbVU70UKHIF9a8='
"""

from __future__ import annotations

import hashlib
import struct
from binascii import b2a_base64

from agent.model.protocols import ICMP, ICMPV6, SCTP, TCP, UDP

_SHA1 = hashlib.sha1
_PACK4 = struct.Struct("!H4s4sBBHH").pack  # seed, addresses, protocol, padding, ports
_PACK16 = struct.Struct("!H16s16sBBHH").pack

_ICMP_PAIRS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMPV6_PAIRS = {
    128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139,
    144: 145, 145: 144,
}  # fmt: skip
_HASHED_PORTS = frozenset({TCP, UDP, SCTP})


def community_id(
    protocol: int,
    source: bytes,
    destination: bytes,
    source_port: int | None = None,
    destination_port: int | None = None,
) -> str:
    """The id of a flow between two packed addresses; for ICMP the ports are type and code of a packet from `source`."""
    first, second = source_port or 0, destination_port or 0
    one_way = False
    if protocol in (ICMP, ICMPV6):
        reply = (_ICMP_PAIRS if protocol == ICMP else _ICMPV6_PAIRS).get(first)
        if reply is None:
            one_way = True  # the code stays in the second port, and the specification forbids to flip it
        else:
            second = reply
    elif protocol not in _HASHED_PORTS:
        pair = source + destination if source < destination else destination + source
        return _render(b"\0\0%b%c\0" % (pair, protocol))
    pack = _PACK4 if len(source) == 4 else _PACK16
    if one_way or source < destination or (source == destination and first <= second):
        return _render(pack(0, source, destination, protocol, 0, first, second))
    return _render(pack(0, destination, source, protocol, 0, second, first))


def _render(data: bytes) -> str:
    # Not for security: a FIPS build of OpenSSL refuses SHA-1 otherwise.
    digest = _SHA1(data, usedforsecurity=False).digest()
    return "1:" + b2a_base64(digest, newline=False).decode("ascii")
