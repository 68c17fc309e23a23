"""Community id version 1, seed 0: the flow hash by which other tools' records can be joined with ours.

Knows the public specification (corelight/community-id-spec) and how Zeek folds ICMP into ports. Must not know
events or policy. Compiled where a C compiler exists (types in community.pxd), else interpreted with the same result.

Every id is the SHA-1 of one block, and hashlib takes longer to make its objects for it (1 us a record, half of what a
record may cost) than to hash; OpenSSL's C functions would bind the extension to one version of that library. So the
compiled form has the eighty rounds itself (FIPS 180-4, 6.1.2). The interpreted form asks hashlib; tests hold both
against the reference package. Nothing here is for security.

    >>> community_id(6, bytes([10, 0, 0, 5]), bytes([203, 0, 113, 9]), 50123, 443)
    '1:u4r+PTmXNv87wAbVU70UKHIF9a8='
"""

from __future__ import annotations

import hashlib
import struct
from binascii import b2a_base64

try:
    import cython  # resolved when this module is compiled, where the hash is our own
except ModuleNotFoundError:
    from agent.model import uncompiled as cython

from agent.model.protocols import ICMP, ICMPV6, SCTP, TCP, UDP
from agent.sinks.buffer import Buffer

_ICMP_PAIRS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMPV6_PAIRS = {
    128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139,
    144: 145, 145: 144,
}  # fmt: skip
_PACK4 = struct.Struct("!HIIBBHH").pack
_PACK6 = struct.Struct("!HQQQQBBHH").pack
"""The message: seed, addresses, protocol, a zero, and of some protocols ports."""
M16, M32, _M64 = 0xFFFF, 0xFFFFFFFF, (1 << 64) - 1
END = 0x80000000
"""The bit that ends a message, as the first of a word."""
H0, H1, H2, H3, H4 = 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0
R0, R1, R2, R3 = 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
LENGTH = 30
"""Of an id: `1:` and 20 bytes in base 64."""


def community_id(
    protocol: int,
    source: bytes,
    destination: bytes,
    source_port: int | None = None,
    destination_port: int | None = None,
) -> str:
    """The id of a flow between two packed addresses; for ICMP the ports are type and code of a packet from `source`."""
    version = 4 if len(source) == 4 else 6
    sender, receiver = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
    buffer = Buffer()
    put_community(
        buffer, protocol, version, sender >> 64, sender & _M64, receiver >> 64, receiver & _M64,
        source_port or 0, destination_port or 0,
    )  # fmt: skip
    return buffer.take().decode()


def put_community(
    buffer: Buffer,
    protocol: int,
    version: int,
    source_high: int,
    source_low: int,
    destination_high: int,
    destination_low: int,
    first: int,
    second: int,
) -> int:
    """The same into a buffer, addresses as two words."""
    one_way = False
    ports = True
    if protocol in (ICMP, ICMPV6):
        reply = (_ICMP_PAIRS if protocol == ICMP else _ICMPV6_PAIRS).get(first)
        if reply is None:
            one_way = True  # the code stays in the second port, and the specification forbids to flip it
        else:
            second = reply
    else:
        ports = protocol in (TCP, UDP, SCTP)
    if source_high != destination_high:
        backward = source_high > destination_high
    elif source_low != destination_low:
        backward = source_low > destination_low
    else:
        backward = ports and first > second
    if backward and not one_way:
        source_high, source_low, destination_high, destination_low, first, second = (
            destination_high, destination_low, source_high, source_low, second, first,
        )  # fmt: skip
    if not cython.compiled:
        if version == 4:
            message = _PACK4(0, source_low, destination_low, protocol, 0, first, second)
        else:
            message = _PACK6(0, source_high, source_low, destination_high, destination_low, protocol, 0, first, second)
        # usedforsecurity: a FIPS build of OpenSSL refuses SHA-1 otherwise.
        digest = hashlib.sha1(message if ports else message[:-4], usedforsecurity=False).digest()
        return buffer.put(b"1:" + b2a_base64(digest, newline=False))
    return _put_block(
        buffer, protocol, version, source_high, source_low, destination_high, destination_low, ports, first, second
    )


def _put_block(
    buffer: Buffer,
    protocol: int,
    version: int,
    source_high: int,
    source_low: int,
    destination_high: int,
    destination_low: int,
    ports: bool,
    first: int,
    second: int,
) -> int:
    """The message as a block of 16 words: the bit behind its end, zeros, and how many bits it has. Compiled only."""
    words = [0] * 80
    if version == 4:
        words[0] = source_low >> 16
        words[1] = (source_low & M16) << 16 | destination_low >> 16
        words[2] = (destination_low & M16) << 16
        last = 2
    else:
        words[0] = source_high >> 48
        words[1] = (source_high >> 16) & M32
        words[2] = (source_high & M16) << 16 | source_low >> 48
        words[3] = (source_low >> 16) & M32
        words[4] = (source_low & M16) << 16 | destination_high >> 48
        words[5] = (destination_high >> 16) & M32
        words[6] = (destination_high & M16) << 16 | destination_low >> 48
        words[7] = (destination_low >> 16) & M32
        words[8] = (destination_low & M16) << 16
        last = 8
    words[last] |= protocol << 8
    if ports:
        last += 1
        words[last] = first << 16 | second
    words[last + 1] = END
    words[15] = 32 * (last + 1)
    return _put_hash(buffer, words)


def _put_hash(buffer: Buffer, words: list[int]) -> int:
    """SHA-1 of a block, of whose 80 words the first 16 are filled. Compiled only: sums are of 32 bits."""
    a, b, c, d, e = H0, H1, H2, H3, H4
    for place in range(16, 80):
        mixed = words[place - 3] ^ words[place - 8] ^ words[place - 14] ^ words[place - 16]
        words[place] = mixed << 1 | mixed >> 31
    for place in range(20):
        mixed = (a << 5 | a >> 27) + (d ^ (b & (c ^ d))) + e + R0 + words[place]
        e, d, c, b, a = d, c, b << 30 | b >> 2, a, mixed
    for place in range(20, 40):
        mixed = (a << 5 | a >> 27) + (b ^ c ^ d) + e + R1 + words[place]
        e, d, c, b, a = d, c, b << 30 | b >> 2, a, mixed
    for place in range(40, 60):
        mixed = (a << 5 | a >> 27) + (b & c | d & (b | c)) + e + R2 + words[place]
        e, d, c, b, a = d, c, b << 30 | b >> 2, a, mixed
    for place in range(60, 80):
        mixed = (a << 5 | a >> 27) + (b ^ c ^ d) + e + R3 + words[place]
        e, d, c, b, a = d, c, b << 30 | b >> 2, a, mixed
    words[0] = H0 + a
    words[1] = H1 + b
    words[2] = H2 + c
    words[3] = H3 + d
    words[4] = H4 + e
    buffer.reserve(LENGTH)
    room = buffer.room
    at = buffer.used
    room[at] = 49
    room[at + 1] = 58
    at += 2
    bits = 0
    pending = 0
    for place in range(5):
        pending = pending << 32 | words[place]
        bits += 32
        while bits >= 6:
            bits -= 6
            room[at] = ALPHABET[(pending >> bits) & 63]
            at += 1
    room[at] = ALPHABET[(pending << 2) & 63]  # the last 4 bits
    room[at + 1] = 61
    buffer.used = at + 2
    return 0
